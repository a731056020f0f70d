"""Which version of a model introduced which regression."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from ww_core.domain.answer import AVERAGED
from ww_core.domain.difference import verdict_on
from ww_core.domain.regression import Regression, Regressions
from ww_core.errors import UsageError
from ww_core.use_cases.naming import opened_store

if TYPE_CHECKING:
    import os

    import numpy as np
    import numpy.typing as npt

    from ww_core.domain.history import History, HistoryColumn, HistoryPlace, Track
    from ww_core.store.store import Store

    Numbers = npt.NDArray[np.float64]

FALSE_ALARMS = 0.01
"""Chance that noise alone yields a step, over all that one question looks at."""
SUSPECTS = 5
"""How many changes that may be noise are told, too."""


def regressions(
    model: str,
    *,
    store: Store | str | os.PathLike[str],
    metrics: Sequence[str] = (),
    layers: Sequence[str] = (),
    leave_out: str = "",
    any_direction: bool = False,
    false_alarms: float = FALSE_ALARMS,
    profile: str = "default",
) -> Regressions:
    """Find the versions from which on a column of a layer, or its summary, is worse than before. No weight is read.

    A change counts if it is larger than the noise of the history explains: the standard error of the column, and what
    neighbouring versions differ by anyway. docs/explanation/steps.md says how, and how often that is right.

    Args:
        model: Name of the model.
        store: An open store, or its path or URL.
        metrics: Labels of columns of numbers; empty for all that have a direction.
        layers: Globs that choose layers; then summaries are taken over these, and metrics of the model are left out.
        leave_out: Label of a bool column, such as ``short_tail``: a matrix of which it ever holds is left out.
        any_direction: Tell steps to the better too, and those of columns without a direction.
        false_alarms: Chance, over all that is looked at, that noise alone yields a step; between 0 and 1.
        profile: Name of the profile.

    Raises:
        UsageError: A name is empty or that of one version, a column holds texts or has no direction, or
            ``false_alarms`` is no such chance.
        UnknownNameError: There is no such column or layer.
        NotStoredError: There is no such model, or none of its versions has a complete analysis under the profile.
        StoreError: The store cannot be read.
    """
    if not profile:
        raise UsageError("the profile is empty: name one, or leave it out")
    _check_chance(false_alarms)
    with opened_store(store, mode="read") as opened:
        with opened.reading() as reader:
            columns = reader.history_columns(model, profile)
        labels = metrics or [own.name for own in columns if _is_looked_at(own, any_direction=any_direction)]
        if not labels:
            raise UsageError(f"no column of profile {profile!r} has a direction, so that none is worse: add --any")
        history = opened.history(model, labels, layers, leave_out=leave_out, profile=profile)
    if not any_direction:
        _refuse_undirected(history)
    return regressions_of(history, any_direction=any_direction, false_alarms=false_alarms)


def regressions_of(history: History, *, any_direction: bool = False, false_alarms: float = FALSE_ALARMS) -> Regressions:
    """Find the same in a history that one has already, in those of its columns that have a direction. Nothing is read.

    Args:
        history: Columns of a model over its versions, as ``ww_core.history`` returns them.
        any_direction: As of ``regressions``, as is the other.
        false_alarms: Chance of a false alarm.

    Raises:
        UsageError: ``false_alarms`` is no chance.
    """
    _check_chance(false_alarms)
    if not any_direction:
        history = history.of(label for label, own in history.tracks.items() if own.column.better != "none")
    return _answer(history, list(_series(history)), false_alarms, any_direction=any_direction)


def _check_chance(false_alarms: float) -> None:
    """Raise if a number is no chance of a false alarm.

    Raises:
        UsageError: It is none.
    """
    if not isinstance(false_alarms, int | float):
        raise UsageError(f"false_alarms must be a number, not {false_alarms!r}")
    if not 0 < false_alarms < 1:
        raise UsageError(f"false_alarms={false_alarms} is no chance: give a number between 0 and 1, as 0.01")


def _is_looked_at(column: HistoryColumn, *, any_direction: bool) -> bool:
    return column.type in AVERAGED and (any_direction or column.better != "none")


def _refuse_undirected(history: History) -> None:
    """Raise if a column was named of which nobody can say what is worse.

    Raises:
        UsageError: There is one.
    """
    for label, track in history.tracks.items():
        if track.column.better == "none":
            raise UsageError(f"column {label!r} has no direction, so that no change of it is worse: add --any")


SAME = 1e-10
"""Relative difference up to which two values are one, as for the steps."""


class _Series(NamedTuple):
    """The numbers of a column in one place over the versions; ``place`` is None for a summary."""

    track: Track
    place: HistoryPlace | None
    values: Numbers
    errors: Numbers | None


def _series(history: History) -> Iterator[_Series]:
    """Yield what is looked at: every place of every column, and its mean over the places that all versions have."""
    for track in history.tracks.values():
        if track.column.scope == "model":
            yield _Series(track, None, track.values[:, 0], None)
            continue
        for at, place in enumerate(track.places):
            yield _Series(track, place, track.values[:, at], None if track.errors is None else track.errors[:, at])
        lasting = track.lasting()
        if lasting.places:
            yield _Series(lasting, None, lasting.means, lasting.mean_errors)


def _answer(history: History, series: Sequence[_Series], false_alarms: float, *, any_direction: bool) -> Regressions:
    import numpy as np

    from ww_core.change_points import Step, find_suspects

    none = np.full(len(history.versions), np.nan)
    groups = {key: at for at, key in enumerate(dict.fromkeys(_kind(own) for own in series))}
    steps, suspects = (
        find_suspects(
            np.column_stack([own.values for own in series]),
            np.column_stack([none if own.errors is None else own.errors for own in series]),
            groups=[groups[_kind(own)] for own in series],
            false_alarms=false_alarms,
        )
        if series
        else ((), ())
    )
    versions = tuple(version.version for version in history.versions)

    def told(steps: Iterable[Step]) -> Iterator[Regression]:
        for step in steps:
            track, place = series[step.series].track, series[step.series].place
            verdict = verdict_on(step.change, track.column.better)
            if verdict == "worse" or any_direction:
                yield Regression(
                    version=versions[step.at],
                    previous=versions[step.previous],
                    layer=place.name if place else "",
                    extractor=place.extractor if place else "",
                    index=place.matrix_index if place else 0,
                    column=track.column.name,
                    before=step.before,
                    after=step.after,
                    verdict=verdict,
                    uncertainty=step.uncertainty,
                    needed=step.needed,
                    p_value=step.p_value,
                    versions_before=step.versions_before,
                    versions_after=step.versions_after,
                    is_confirmed=_is_confirmed(series[step.series].values, step.at),
                )

    found = sorted(told(steps), key=lambda own: (versions.index(own.version), -own.evidence))
    counts = [int(np.isfinite(own.values).sum()) for own in series]
    return Regressions(
        model=history.model,
        profile=history.profile,
        versions=versions,
        regressions=tuple(own for own in found if own.layer),
        summaries=tuple(own for own in found if not own.layer),
        series=len(series),
        tests=sum(max(0, count - 1) for count in counts),
        false_alarms=false_alarms,
        not_comparable={label: track.not_comparable for label, track in history.tracks.items() if track.not_comparable},
        suspects=tuple(islice(told(suspects), SUSPECTS)),
    )


def _is_confirmed(values: Numbers, at: int) -> bool:
    """Tell whether a later version than that at a place has a value, and one of other weights."""
    import numpy as np

    later = values[at + 1 :]
    return bool(np.any(np.isfinite(later) & ~np.isclose(later, values[at], rtol=SAME, atol=0.0)))


def _kind(series: _Series) -> tuple[str, bool]:
    """What series have in common that tell each other's noise: the column, and whether it is a summary."""
    return series.track.column.name, series.place is None
