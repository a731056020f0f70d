"""The difference of two checkpoints."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ww_core.domain.outcome import Outcome

if TYPE_CHECKING:
    import pandas as pd

    from ww_core.domain.column import Better
    from ww_core.domain.report import ReportColumn, RowScope

Status = Literal["same", "changed", "added", "removed", "renamed", "unread"]
"""What became of a layer or tensor from the first checkpoint to the second.

``renamed``: the second has the same content under another name. ``unread``: both have it, and its content could not be
read in one of them.
"""

STATUSES: tuple[Status, ...] = ("same", "changed", "added", "removed", "renamed", "unread")

Verdict = Literal["better", "worse", "none"]
"""What a change means by the direction of its column: ``none`` without a change or without a direction."""


def verdict_on(change: float, better: Better | str) -> Verdict:
    """Tell whether a change is one to the better."""
    if change == 0 or better == "none" or math.isnan(change):
        return "none"
    return "better" if (change < 0) == (better == "lower") else "worse"


class Importance(NamedTuple):
    """How much a change weighs, to be ordered by: what has no standard error comes after what has one.

    Attributes:
        in_errors: In units of its standard error; 0 without one.
        relative: As a part of the larger of the two values, 0 to 2.
    """

    in_errors: float = 0.0
    relative: float = 0.0


@dataclass(frozen=True, slots=True)
class Difference:
    """What became of one matrix, layer or model; a side on which it does not exist is empty.

    Attributes:
        first_outcomes: Outcomes in the first checkpoint, by label.
        second_outcomes: Outcomes in the second.
        not_comparable: Why the two numbers under a label must not be subtracted, by label.
        columns: The columns by label.
        labels: Labels of the columns that are compared, in order.
    """

    first_outcomes: Mapping[str, Outcome]
    second_outcomes: Mapping[str, Outcome]
    not_comparable: Mapping[str, str]
    columns: Mapping[str, ReportColumn]
    labels: tuple[str, ...]

    @property
    def first(self) -> dict[str, Any]:
        """Values in the first checkpoint."""
        return {label: self.first_outcomes[label].value for label in self.labels if label in self.first_outcomes}

    @property
    def second(self) -> dict[str, Any]:
        """Values in the second checkpoint."""
        return {label: self.second_outcomes[label].value for label in self.labels if label in self.second_outcomes}

    @property
    def change(self) -> dict[str, float]:
        """Second minus first, where both are numbers that may be compared."""
        changes = {}
        for label in self.labels:
            before, after = self.first_outcomes.get(label), self.second_outcomes.get(label)
            if before is None or after is None or label in self.not_comparable or isinstance(after.number, bool):
                continue
            if after.number is not None and before.number is not None:
                change = after.number - before.number
                if math.isfinite(change):  # two numbers may be further apart than a number can tell
                    changes[label] = change
        return changes

    @property
    def verdict(self) -> dict[str, Verdict]:
        """What each change means by the direction of its column."""
        return {label: verdict_on(change, self.columns[label].better) for label, change in self.change.items()}

    @property
    def uncertainty(self) -> dict[str, float]:
        """Standard error of each change whose two values have one: the root of the sum of their squares."""
        errors = {}
        for label in self.change:
            name = self.columns[label].standard_error
            both = [side[name].number for side in (self.first_outcomes, self.second_outcomes) if name in side]
            if len(both) == 2 and None not in both and name not in self.not_comparable:
                errors[label] = math.hypot(*(float(own) for own in both if own is not None))
        return errors

    @property
    def importance(self) -> dict[str, Importance]:
        """How much each change weighs."""
        first, second, errors = self.first, self.second, self.uncertainty
        weights = {}
        for label, change in self.change.items():
            error = errors.get(label)
            in_errors = 0.0 if error is None or change == 0 else abs(change) / error if error else math.inf
            largest = max(abs(first[label]), abs(second[label]))
            weights[label] = Importance(in_errors, abs(change / largest) if change else 0.0)
        return weights

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "first": self.first,
            "second": self.second,
            "change": self.change,
            "uncertainty": self.uncertainty,
            "verdict": self.verdict,
            "not_comparable": dict(self.not_comparable),
        }

    def cells(self, labels: Sequence[str]) -> dict[str, Any]:
        """Return the values of both sides, change and verdict by name, for a flat row; and what is not comparable."""
        first, second, change, verdict = self.first, self.second, self.change, self.verdict
        row: dict[str, Any] = {}
        for label in labels:
            row[f"{label}_first"] = first.get(label)
            row[f"{label}_second"] = second.get(label)
            row[f"{label}_change"] = change.get(label)
            row[f"{label}_verdict"] = verdict.get(label)
        reasons = [f"{label}: {reason}" for label, reason in self.not_comparable.items() if label in labels]
        return row | {"not_comparable": "; ".join(reasons)}


@dataclass(frozen=True, slots=True)
class LayerDifference:
    """One matrix of a layer, or a layer without one, in both checkpoints.

    ``status`` speaks of the layer's content, weight and bias: ``same`` means equal to the last bit. A renamed layer has
    its name in the second checkpoint, and ``first_name`` is what the first calls it; else that is empty.
    """

    name: str
    status: Status
    extractor: str
    index: int | None
    difference: Difference
    first_name: str = ""

    @property
    def place(self) -> dict[str, Any]:
        """What a row says besides its columns."""
        place = {"layer": self.name, "first_name": self.first_name, "status": self.status}
        return place | {"extractor": self.extractor, "index": self.index}

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        place = self.place
        return {"name": place.pop("layer")} | place | self.difference.to_dict()


@dataclass(frozen=True, slots=True)
class WholeLayerDifference:
    """A whole layer in both checkpoints, by the metrics of layers."""

    name: str
    status: Status
    difference: Difference
    first_name: str = ""

    @property
    def place(self) -> dict[str, Any]:
        """What a row says besides its columns."""
        return {"layer": self.name, "first_name": self.first_name, "status": self.status}

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        place = self.place
        return {"name": place.pop("layer")} | place | self.difference.to_dict()


@dataclass(frozen=True, slots=True)
class TensorDifference:
    """A tensor that belongs to no layer, and is not the same in both checkpoints: no metric speaks of it."""

    name: str
    status: Status
    reason: str


@dataclass(frozen=True, slots=True)
class SummaryDifference:
    """The mean of a column in both checkpoints, and why the two must not be subtracted; empty if they may be."""

    first: float | None
    second: float | None
    better: str = "none"
    not_comparable: str = ""

    @property
    def change(self) -> float | None:
        """Second minus first, if that may be said."""
        if self.first is None or self.second is None or self.not_comparable:
            return None
        change = self.second - self.first
        return change if math.isfinite(change) else None

    @property
    def verdict(self) -> Verdict:
        """What the change means by the direction of the column."""
        return "none" if self.change is None else verdict_on(self.change, self.better)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        told = {"first": self.first, "second": self.second, "change": self.change, "verdict": self.verdict}
        return told | ({"not_comparable": self.not_comparable} if self.not_comparable else {})


@dataclass(frozen=True, slots=True)
class CheckpointDifference:
    """Two checkpoints side by side. ``to_dict`` is what ``--json`` prints.

    Attributes:
        first_name: Name of the first.
        first_digest: Its digest.
        first_profile: Profile of the analysis that is compared.
        second_name: Name of the second.
        second_digest: Its digest.
        second_profile: Profile of the analysis that is compared.
        headline: Labels that tables for people show: those that were asked for, else those that the profile shows.
        columns: The columns by label.
        layers: Matrices in the order that was asked for: what changed most first, unless it was another.
        layer_metrics: Whole layers, in the same order; empty without metrics of layers.
        model_metrics: The two models.
        counts: Layers by status.
        tensors: Tensors that belong to no layer and are not the same.
        tensor_counts: Tensors that belong to no layer, by status.
        summary: Means by label.
        not_comparable: Columns that are compared nowhere, with the reason.
        warnings: What the analyses warned of that were made for this comparison, and what they lost.
    """

    first_name: str
    first_digest: str
    first_profile: str
    second_name: str
    second_digest: str
    second_profile: str
    headline: tuple[str, ...]
    columns: Mapping[str, ReportColumn]
    layers: tuple[LayerDifference, ...]
    layer_metrics: tuple[WholeLayerDifference, ...]
    model_metrics: Difference
    counts: Mapping[str, int]
    tensors: tuple[TensorDifference, ...]
    tensor_counts: Mapping[str, int]
    summary: Mapping[str, SummaryDifference]
    not_comparable: Mapping[str, str]
    warnings: tuple[str, ...] = ()

    @property
    def profile(self) -> str:
        """The profile of both, or both profiles."""
        profiles: Sequence[str] = tuple(dict.fromkeys((self.first_profile, self.second_profile)))
        return " and ".join(profiles)

    def rows(self, scope: RowScope = "matrix", *, everything: bool = False) -> list[dict[str, Any]]:
        """Return a flat dict for each matrix, layer or model: its place, both sides, change and verdict of each column.

        Args:
            scope: What the rows speak of: ``matrix``, ``layer`` or ``model``.
            everything: Whether layers of the same content are among them.
        """
        names = {"first": self.first_name, "second": self.second_name}
        if scope == "model":
            whole = self.model_metrics
            return [names | whole.cells(whole.labels)] if whole.labels else []
        listed = self.listed(scope, everything=everything)
        labels = list(dict.fromkeys(label for own in listed for label in own.difference.labels))
        return [names | own.place | own.difference.cells(labels) for own in listed]

    def listed(
        self, scope: RowScope = "matrix", *, everything: bool = False
    ) -> Sequence[LayerDifference | WholeLayerDifference]:
        """Return the matrices or whole layers, unless ``everything`` those of another content only."""
        rows: Sequence[LayerDifference | WholeLayerDifference]
        rows = self.layers if scope == "matrix" else self.layer_metrics
        return [own for own in rows if everything or own.status != "same"]

    def to_pandas(self, scope: RowScope = "matrix") -> pd.DataFrame:
        """Return ``rows(scope, everything=True)`` as a data frame. Needs the extra ``pandas``.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        from ww_core.domain.frames import data_frame

        return data_frame(self.rows(scope, everything=True))

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, as ``--json`` prints it."""
        return {
            "first": {"name": self.first_name, "digest": self.first_digest, "profile": self.first_profile},
            "second": {"name": self.second_name, "digest": self.second_digest, "profile": self.second_profile},
            "profile": self.profile,
            "counts": dict(self.counts),
            "layers": [own.to_dict() for own in self.layers],
            "layer_metrics": [own.to_dict() for own in self.layer_metrics],
            "model_metrics": self.model_metrics.to_dict(),
            "tensor_counts": dict(self.tensor_counts),
            "tensors": [{"name": own.name, "status": own.status, "reason": own.reason} for own in self.tensors],
            "summary": {label: own.to_dict() for label, own in self.summary.items()},
            "not_comparable": dict(self.not_comparable),
            "warnings": list(self.warnings),
        }
