"""The difference of two checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ww_core.domain.outcome import Outcome

Status = Literal["same", "changed", "added", "removed", "unread"]
"""What became of a layer or tensor from the first checkpoint to the second.

``unread``: both have it, and its content could not be read in one of them.
"""

STATUSES: tuple[Status, ...] = ("same", "changed", "added", "removed", "unread")


@dataclass(frozen=True, slots=True)
class Difference:
    """What became of one matrix, layer or model; a side on which it does not exist is empty.

    Attributes:
        first_outcomes: Outcomes in the first checkpoint, by label.
        second_outcomes: Outcomes in the second.
        not_comparable: Why the two numbers under a label must not be subtracted, by label.
    """

    first_outcomes: Mapping[str, Outcome]
    second_outcomes: Mapping[str, Outcome]
    not_comparable: Mapping[str, str]

    @property
    def first(self) -> dict[str, Any]:
        """Values in the first checkpoint."""
        return {label: outcome.value for label, outcome in self.first_outcomes.items()}

    @property
    def second(self) -> dict[str, Any]:
        """Values in the second checkpoint."""
        return {label: outcome.value for label, outcome in self.second_outcomes.items()}

    @property
    def change(self) -> dict[str, float]:
        """Second minus first, where both are numbers that may be compared."""
        changes = {}
        for label, outcome in self.second_outcomes.items():
            before = self.first_outcomes.get(label)
            if before is None or label in self.not_comparable or isinstance(outcome.number, bool):
                continue
            if outcome.number is not None and before.number is not None:
                changes[label] = outcome.number - before.number
        return changes

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "first": self.first,
            "second": self.second,
            "change": self.change,
            "not_comparable": dict(self.not_comparable),
        }


@dataclass(frozen=True, slots=True)
class LayerDifference:
    """One matrix of a layer, or a layer without one, in both checkpoints.

    ``status`` speaks of the layer's content, weight and bias: ``same`` means equal to the last bit.
    """

    name: str
    status: Status
    extractor: str
    index: int | None
    difference: Difference

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        place = {"name": self.name, "status": self.status, "extractor": self.extractor, "index": self.index}
        return place | self.difference.to_dict()


@dataclass(frozen=True, slots=True)
class WholeLayerDifference:
    """A whole layer in both checkpoints, by the metrics of layers."""

    name: str
    status: Status
    difference: Difference

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {"name": self.name, "status": self.status} | self.difference.to_dict()


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
    not_comparable: str = ""

    @property
    def change(self) -> float | None:
        """Second minus first, if that may be said."""
        if self.first is None or self.second is None or self.not_comparable:
            return None
        return self.second - self.first

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        told = {"first": self.first, "second": self.second, "change": self.change}
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
        headline: Labels that tables for people show.
        layers: Matrices, layers in the order of the second checkpoint, removed ones last.
        layer_metrics: Whole layers, in the same order; empty without metrics of layers.
        model_metrics: The two models.
        counts: Layers by status.
        tensors: Tensors that belong to no layer and are not the same.
        tensor_counts: Tensors that belong to no layer, by status.
        summary: Means by label.
        not_comparable: Columns that are compared nowhere, with the reason.
    """

    first_name: str
    first_digest: str
    first_profile: str
    second_name: str
    second_digest: str
    second_profile: str
    headline: tuple[str, ...]
    layers: tuple[LayerDifference, ...]
    layer_metrics: tuple[WholeLayerDifference, ...]
    model_metrics: Difference
    counts: Mapping[str, int]
    tensors: tuple[TensorDifference, ...]
    tensor_counts: Mapping[str, int]
    summary: Mapping[str, SummaryDifference]
    not_comparable: Mapping[str, str]

    @property
    def profile(self) -> str:
        """The profile of both, or both profiles."""
        profiles: Sequence[str] = tuple(dict.fromkeys((self.first_profile, self.second_profile)))
        return " and ".join(profiles)

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
        }
