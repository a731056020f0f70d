"""What a backfill answers."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ww_core.domain.report import Failure


@dataclass(frozen=True, slots=True)
class Refill:
    """A run that filled in what a stored analysis lacked.

    Attributes:
        model: Name of the model; empty if the weights have no label.
        version: Its label.
        profile: Name of the profile.
        run: Key of the run.
        values: Values it computed; none where all were stored and only this analysis did not show them.
        failures: What it lost to exceptions.
    """

    model: str
    version: str
    profile: str
    run: int
    values: int
    failures: tuple[Failure, ...]


@dataclass(frozen=True, slots=True)
class WeightsNeeded:
    """What of a stored analysis cannot be had without the weights.

    Attributes:
        model: Name of the model; empty if the weights have no label.
        version: Its label.
        profile: Name of the profile.
        metrics: In how many layers, by metric; 0 for a metric of the model.
        command: The command that computes it. FILE stands in it for weights that came from a Python object.
    """

    model: str
    version: str
    profile: str
    metrics: Mapping[str, int]
    command: str


@dataclass(frozen=True, slots=True)
class NotRepeatable:
    """Why analyses of some versions cannot be repeated with what is registered today."""

    reason: str
    versions: int


@dataclass(frozen=True, slots=True)
class BackfillReport:
    """All that one backfill says. ``to_dict`` is what ``--json`` prints.

    Attributes:
        versions: How many versions were looked at.
        filled: The runs that filled something in; none if everything is up to date.
        needs_weights: What cannot be had without the weights.
        not_repeatable: What could not be asked again.
        warnings: Sentences the user should see.
    """

    versions: int
    filled: tuple[Refill, ...]
    needs_weights: tuple[WeightsNeeded, ...]
    not_repeatable: tuple[NotRepeatable, ...]
    warnings: tuple[str, ...]

    @property
    def values(self) -> int:
        """How many values were computed."""
        return sum(refill.values for refill in self.filled)

    @property
    def versions_filled(self) -> int:
        """How many versions got a new run."""
        return len({(refill.model, refill.version) for refill in self.filled})

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts, lists, numbers and texts."""
        counts = {"versions": self.versions, "versions_filled": self.versions_filled, "values": self.values}
        return counts | {
            "filled": [dataclasses.asdict(refill) for refill in self.filled],
            "needs_weights": [dataclasses.asdict(needed) for needed in self.needs_weights],
            "not_repeatable": [dataclasses.asdict(cause) for cause in self.not_repeatable],
            "warnings": list(self.warnings),
        }
