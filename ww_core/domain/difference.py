"""The difference of two checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ww_core.domain.outcome import Outcome

Change = Literal["same", "changed", "added", "removed"]


@dataclass(frozen=True, slots=True)
class LayerChange:
    """One matrix, or a layer without one, in both checkpoints; a side on which it does not exist is empty.

    ``change`` speaks of the layer's content, weight and bias: ``same`` means equal to the last bit.
    """

    name: str
    change: Change
    extractor: str
    index: int | None
    first_outcomes: Mapping[str, Outcome]
    second_outcomes: Mapping[str, Outcome]

    @property
    def first(self) -> dict[str, Any]:
        """Values in the first checkpoint."""
        return {label: outcome.value for label, outcome in self.first_outcomes.items()}

    @property
    def second(self) -> dict[str, Any]:
        """Values in the second checkpoint."""
        return {label: outcome.value for label, outcome in self.second_outcomes.items()}

    @property
    def delta(self) -> dict[str, float]:
        """Second minus first, where both are numbers."""
        return {
            label: outcome.number - self.first_outcomes[label].number  # type: ignore[operator]  # both are checked
            for label, outcome in self.second_outcomes.items()
            if outcome.number is not None
            and label in self.first_outcomes
            and self.first_outcomes[label].number is not None
            and not isinstance(outcome.number, bool)
        }


@dataclass(frozen=True, slots=True)
class Difference:
    """Two checkpoints side by side, layers in the order of the second, removed ones last."""

    first_name: str
    first_digest: str
    second_name: str
    second_digest: str
    profile: str
    headline: tuple[str, ...]
    layers: tuple[LayerChange, ...]
    counts: Mapping[Change, int]
    summary: Mapping[str, tuple[float | None, float | None]]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, as ``--json`` prints it."""
        return {
            "first": {"name": self.first_name, "digest": self.first_digest},
            "second": {"name": self.second_name, "digest": self.second_digest},
            "profile": self.profile,
            "counts": dict(self.counts),
            "layers": [
                {
                    "name": change.name,
                    "change": change.change,
                    "extractor": change.extractor,
                    "index": change.index,
                    "first": change.first,
                    "second": change.second,
                    "delta": change.delta,
                }
                for change in self.layers
            ],
            "summary": {label: {"first": first, "second": second} for label, (first, second) in self.summary.items()},
        }
