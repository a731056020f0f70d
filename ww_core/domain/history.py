"""How the numbers of a model went over its versions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from ww_core.domain.difference import verdict_on
from ww_core.domain.globs import choose_layers
from ww_core.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from ww_core.domain.columnar import StoredScore
    from ww_core.domain.history_score import ScoreTrack

    Numbers = npt.NDArray[np.float64]


class HistoryVersion(NamedTuple):
    """A version of a model, in the order of the versions.

    Attributes:
        version: Its label.
        step: Its step; None for none.
        created_at: When the label came to stand on its weights.
        digest: Content address of the checkpoint.
        is_analyzed: Whether there is a complete analysis under the profile.
    """

    version: str
    step: int | None
    created_at: str
    digest: str
    is_analyzed: bool


class LayerContent(NamedTuple):
    """What a layer of one version consists of.

    Attributes:
        version: Label of the version.
        content: Digests of weight and bias as one text; empty if it could not be read; None if there is no such layer.
    """

    version: str
    content: str | None


class HistoryColumn(NamedTuple):
    """A column of numbers, as the newest version has it.

    Attributes:
        name: Label it is shown by.
        scope: What its values speak of: ``matrix``, ``layer`` or ``model``.
        type: ``float``, ``int``, ``bool`` or ``text``.
        better: ``lower``, ``higher`` or ``none``.
        unit: Unit or log base.
        metric: Permanent key of the metric.
        metric_version: Version of the metric.
        standard_error: Label of the column that holds its standard error; empty for none.
        headline: Place among the columns of tables for people; None for none.
    """

    name: str
    scope: str
    type: str
    better: str
    unit: str
    metric: str
    metric_version: str
    standard_error: str
    headline: int | None


class HistoryPlace(NamedTuple):
    """A matrix of a layer; a whole layer, without extractor; or the model, without a name."""

    name: str
    extractor: str = ""
    matrix_index: int = 0

    def __str__(self) -> str:
        return f"{self.name}[{self.matrix_index}]" if self.matrix_index else self.name


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """A column over the versions of a model.

    Attributes:
        column: The column.
        places: What its values speak of, in the order of the newest version that has each.
        values: Shape (versions, places), float64; NaN where there is no number, or none that may be compared.
        errors: Standard errors of the values, of the same shape, NaN where there is none; None if the column has none.
        missing: How many values of each version should be there and are not stored, shape (versions,).
        not_comparable: By version, why its values under this label are another column's.
        other_matrices: Versions, by their row, whose means are over other matrices than those of the newest one.
    """

    column: HistoryColumn
    places: tuple[HistoryPlace, ...]
    values: Numbers
    errors: Numbers | None
    missing: npt.NDArray[np.int64]
    not_comparable: Mapping[str, str]
    other_matrices: tuple[int, ...] = ()

    @property
    def means(self) -> Numbers:
        """Mean over the places that have a value, shape (versions,); NaN where none has, or other matrices do."""
        import numpy as np

        count = self.present
        # Divided before they are added, so that no sum overflows.
        total = np.nansum(self.values / np.maximum(count, 1)[:, None], axis=1)
        means = np.where(count > 0, total, np.nan)
        means[list(self.other_matrices)] = np.nan
        return means

    @property
    def present(self) -> npt.NDArray[np.int64]:
        """How many places have a value, shape (versions,)."""
        import numpy as np

        count: npt.NDArray[np.int64] = np.isfinite(self.values).sum(axis=1)
        return count

    @property
    def mean_errors(self) -> Numbers | None:
        """Standard errors of the means, shape (versions,), were the errors of the layers independent; None for none."""
        import numpy as np

        if self.errors is None:
            return None
        known = np.isfinite(self.errors) & np.isfinite(self.values)
        complete = known.sum(axis=1) == self.present
        root = np.sqrt(np.nansum(np.where(known, self.errors, 0.0) ** 2, axis=1))
        return np.where(complete & (self.present > 0), root / np.maximum(self.present, 1), np.nan)

    @property
    def changes(self) -> Numbers:
        """Change to the version before that has a value there, shape (versions, places); NaN for the first."""
        return _changes(self.values)

    @property
    def mean_changes(self) -> Numbers:
        """Change of the mean to the version before that has one, shape (versions,); NaN for the first."""
        return _changes(self.means)

    def lasting(self) -> Track:
        """Return the track of those places that have a value wherever any has one: their means may be compared."""
        import numpy as np

        known = np.isfinite(self.values)
        everywhere: npt.NDArray[np.bool_] = np.logical_and(known[known.any(axis=1)].all(axis=0), known.any(axis=0))
        return self.at(everywhere)

    def at(self, keep: npt.NDArray[np.bool_]) -> Track:
        """Return the track of some of its places.

        Args:
            keep: Which ones, shape (places,).
        """
        import numpy as np

        known = np.isfinite(self.values[:, keep])
        return replace(
            self,
            other_matrices=tuple(row for row in self.other_matrices if (known.any(axis=0) & ~known[row]).any()),
            places=tuple(place for place, kept in zip(self.places, keep, strict=True) if kept),
            values=self.values[:, keep],
            errors=None if self.errors is None else self.errors[:, keep],
        )


def _changes(values: Numbers) -> Numbers:
    """Change of each number to the last one above it in its column that is none NaN."""
    import numpy as np

    rows = np.where(np.isfinite(values), np.arange(len(values)).reshape(-1, *[1] * (values.ndim - 1)), -1)
    last = np.maximum.accumulate(rows, axis=0)
    before = np.full_like(values, np.nan)
    if len(values) > 1:
        picked = np.take_along_axis(values, np.maximum(last[:-1], 0), axis=0)
        before[1:] = np.where(last[:-1] >= 0, picked, np.nan)
    return values - before


class Move(NamedTuple):
    """How far a column went in one place from one version to another. ``error`` is None without standard errors."""

    place: HistoryPlace
    before: float
    after: float
    error: float | None

    @property
    def change(self) -> float:
        """How far, with its sign."""
        return self.after - self.before

    @property
    def weight(self) -> float:
        """Its size, in standard errors where there are any."""
        return abs(self.change) / self.error if self.error else abs(self.change)


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """How columns of a model went over its versions. ``to_dict`` is what ``--json`` prints.

    Attributes:
        model: Name of the model.
        profile: The profile whose own variants these are.
        versions: All versions in their order, those without an analysis too.
        tracks: The columns by label.
        left_out: Places that were left out on request.
        scores: What was reported about the versions, by label.
    """

    model: str
    profile: str
    versions: tuple[HistoryVersion, ...]
    tracks: Mapping[str, Track]
    left_out: tuple[HistoryPlace, ...] = ()
    scores: Mapping[str, ScoreTrack] = field(default_factory=dict)

    def with_scores(self, scores: Mapping[int, Sequence[StoredScore]], names: Sequence[str] = ()) -> History:
        """Return the history with what was reported about its versions.

        Args:
            scores: Scores by the place of their version.
            names: Of which scores; empty for all.

        Raises:
            UnknownNameError: There is no score of a name.
            NotStoredError: There is none at all, though one was named.
        """
        from ww_core.domain.history_score import score_tracks

        taken = {"model", "moved most", *HistoryVersion._fields}
        taken |= {name for own in self.tracks for name in (own, f"{own}_change", f"{own}_count", f"{own} from")}
        return replace(self, scores=score_tracks(scores, names, len(self.versions), taken))

    def of(self, labels: Iterable[str]) -> History:
        """Return the history of these columns alone."""
        return replace(self, tracks={label: self.tracks[label] for label in labels})

    def chosen(self, globs: Sequence[str]) -> History:
        """Return the history of the layers that globs choose; of the model itself nothing is left.

        Raises:
            UsageError: No column speaks of layers.
            UnknownNameError: A glob fits no layer.
        """
        import numpy as np

        if not globs:
            return self
        if self.tracks and all(track.column.scope == "model" for track in self.tracks.values()):
            raise UsageError(f"{', '.join(self.tracks)} describes the model, not layers: leave the layers out")
        every = {place.name: place for track in self.tracks.values() for place in track.places if place.name}
        names = {place.name for place in choose_layers([*every.values()], globs)}
        tracks = {
            label: track.at(np.array([place.name in names for place in track.places], dtype=bool))
            for label, track in self.tracks.items()
            if track.column.scope != "model"
        }
        return replace(self, tracks=tracks)

    def without(self, flag: Track) -> History:
        """Return the history without the matrices that a flag was set for in any version.

        They are left out in all versions, so that means are taken over the same matrices.

        Args:
            flag: Track of a bool column over the same versions.
        """
        import numpy as np

        flagged = {place for place, set_ in zip(flag.places, np.nansum(flag.values, axis=0) > 0, strict=True) if set_}
        tracks = {
            label: track.at(np.array([place not in flagged for place in track.places], dtype=bool))
            for label, track in self.tracks.items()
        }
        known = {place for track in self.tracks.values() for place in track.places}
        return replace(self, tracks=tracks, left_out=tuple(place for place in flag.places if place in flagged & known))

    def moves(self, label: str, version: int | None = None) -> list[Move]:
        """Return what moved most first: from the first version to the last one, or to a version from the one before.

        Of a column of the model there is nothing to tell apart, and so nothing is returned.

        Args:
            label: The column.
            version: Place of the version among ``versions``; None for the whole way.
        """
        import numpy as np

        track = self.tracks[label]
        if track.column.scope == "model":
            return []
        moves = []
        for at, place in enumerate(track.places):
            rows = np.flatnonzero(np.isfinite(track.values[: None if version is None else version + 1, at]))
            if len(rows) < 2 or (version is not None and rows[-1] != version):
                continue
            first, last = (rows[0] if version is None else rows[-2]), rows[-1]
            error = (
                None if track.errors is None else math.hypot(*(float(track.errors[row, at]) for row in (first, last)))
            )
            known = None if error is None or not math.isfinite(error) else error
            move = Move(place, float(track.values[first, at]), float(track.values[last, at]), known)
            moves += [move] if move.change else []
        return sorted(moves, key=lambda move: move.weight, reverse=True)

    def best(self, label: str) -> tuple[int, int] | None:
        """Tell where the mean of a column stops to improve.

        Returns:
            The place of the first version whose mean no later one improves on by more than the standard error of the
            difference, and that of the last version with a mean; None if the column has no direction or fewer than
            three versions have a mean.
        """
        import numpy as np

        track = self.tracks[label]
        rows = np.flatnonzero(np.isfinite(track.means))
        if track.column.better == "none" or len(rows) < 3:
            return None
        means = track.means if track.column.better == "lower" else -track.means
        errors = track.mean_errors if track.mean_errors is not None else np.zeros(len(means))
        for row in rows:
            later = rows[rows > row]
            margin = np.hypot(np.nan_to_num(errors[later]), np.nan_to_num(errors[row]))
            if not np.any(means[later] < means[row] - margin):
                return int(row), int(rows[-1])
        raise AssertionError("nothing comes after the last version")

    def told_best(self, label: str) -> str:
        """Say where the mean of a column stops to improve, without a full stop; empty where `best` finds nothing."""
        found = self.best(label)
        if found is None:
            return ""
        best, last = (self.versions[at].version for at in found)
        if best == last:
            return f"{label} is best at {last}, the last version: none before it is as good"
        return f"{label} stops improving at {best}: no later version is better by more than the standard error"

    def rows(self) -> list[dict[str, Any]]:
        """Return a flat dict for each version.

        It has means, changes to the version before, how many values went in, and scores with the ends of their
        intervals.
        """
        means = {label: (track.means, track.mean_changes, track.present) for label, track in self.tracks.items()}
        rows: list[dict[str, Any]] = []
        for at, version in enumerate(self.versions):
            row: dict[str, Any] = {"model": self.model, **version._asdict()}
            for label, (values, changes, counts) in means.items():
                row[label] = _number(values[at])
                row[f"{label}_change"] = _number(changes[at])
                row[f"{label}_count"] = int(counts[at])
            for label, score in self.scores.items():
                number = score.numbers[at]
                row[label], row[f"{label}_low"], row[f"{label}_high"] = number or (None, None, None)
            rows.append(row)
        return rows

    def to_pandas(self) -> pd.DataFrame:
        """Return ``rows()`` as a data frame. Needs the extra ``pandas``.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        from ww_core.domain.frames import data_frame

        return data_frame(self.rows())

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts, lists, numbers and texts. What is not a finite number is None."""
        means = {label: (track.means, track.mean_changes, track.present) for label, track in self.tracks.items()}
        versions = []
        for at, version in enumerate(self.versions):
            summary = {}
            for label, track in self.tracks.items():
                values, changes, counts = means[label]
                summary[label] = {
                    "mean": _number(values[at]),
                    "change": _number(changes[at]),
                    "verdict": verdict_on(float(changes[at]), track.column.better),
                    "count": int(counts[at]),
                    "missing": int(track.missing[at]),
                    "not_comparable": track.not_comparable.get(version.version, ""),
                }
            scores = [told for score in self.scores.values() if (told := score.to_dict(at)) is not None]
            versions.append({**version._asdict(), "summary": summary, "scores": scores})
        return {
            "model": self.model,
            "profile": self.profile,
            "versions": versions,
            "columns": [track.column._asdict() for track in self.tracks.values()],
            "layers": [
                {"layer": place.name, "extractor": place.extractor, "index": place.matrix_index, "column": label}
                | {"values": [_number(value) for value in track.values[:, at]]}
                for label, track in self.tracks.items()
                if track.column.scope != "model"
                for at, place in enumerate(track.places)
            ],
            "left_out": [
                {"layer": place.name, "extractor": place.extractor, "index": place.matrix_index}
                for place in self.left_out
            ],
            "best": {
                label: self.versions[found[0]].version
                for label in self.tracks
                if (found := self.best(label)) is not None
            },
        }


def _number(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None
