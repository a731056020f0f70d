"""Which versions of a model stepped to another level, and where."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from ww_core.domain.difference import Verdict


@dataclass(frozen=True, slots=True)
class Regression:
    """A version from which on a column has another level than before, more than its noise explains.

    Attributes:
        version: The first version after the step.
        previous: The last version before it that has a value.
        layer: The layer; empty for a summary, which speaks of the model: the mean over layers, or a metric of models.
        extractor: Label of the extractor that made the matrix; empty for a whole layer and for a summary.
        index: Position of the matrix among those of its layer.
        column: Label of the column.
        before: Level before: a median of values; of a column that drifts, what its trend leads to.
        after: Level after.
        verdict: ``worse`` or ``better`` by the direction of the column, ``none`` without one.
        uncertainty: Standard error of the change, by its noise in this history.
        needed: Evidence from which on a step is reported, for as many tests as this question took.
        p_value: Chance that noise alone shows as much evidence in any of these tests.
        versions_before: How many values ``before`` is the median of.
        versions_after: The same of ``after``.
        is_confirmed: Whether a later version has another value, so that this one is no value that returns at once.
    """

    version: str
    previous: str
    layer: str
    extractor: str
    index: int
    column: str
    before: float
    after: float
    verdict: Verdict
    uncertainty: float
    needed: float
    p_value: float
    versions_before: int
    versions_after: int
    is_confirmed: bool

    @property
    def change(self) -> float:
        """How far, with its sign."""
        return self.after - self.before

    @property
    def evidence(self) -> float:
        """The size of the change in standard errors; infinite where there was no noise at all."""
        return abs(self.change) / self.uncertainty if self.uncertainty else math.inf

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        evidence = self.evidence if math.isfinite(self.evidence) else None
        told = dataclasses.asdict(self) | {"change": self.change, "evidence": evidence}
        return {name: told[name] for name in _names()}


@dataclass(frozen=True, slots=True)
class Regressions:
    """What ``ww regressions`` answers. ``to_dict`` is what ``--json`` prints.

    Attributes:
        model: Name of the model.
        profile: The profile whose own variants these are.
        versions: Labels of all versions in order.
        regressions: Steps in layers, by version, those with most evidence first.
        summaries: Steps in summaries, in the same order.
        series: How many series of numbers were looked at.
        tests: How many places they had at which a step could have been.
        false_alarms: Chance that noise alone yields any step at all.
        not_comparable: By column, the versions whose values are another column's, with the reason.
        suspects: The largest changes that are no steps, as noise may explain them: at most five, in layers and in
            summaries, nearest to what is needed first.
    """

    model: str
    profile: str
    versions: tuple[str, ...]
    regressions: tuple[Regression, ...]
    summaries: tuple[Regression, ...]
    series: int
    tests: int
    false_alarms: float
    not_comparable: Mapping[str, Mapping[str, str]]
    suspects: tuple[Regression, ...] = ()

    @property
    def steps(self) -> tuple[Regression, ...]:
        """Steps in layers and in summaries, by version, those with most evidence first."""
        both = (*self.regressions, *self.summaries)
        return tuple(sorted(both, key=lambda own: (self.versions.index(own.version), -own.evidence)))

    def first(self, count: int | None) -> Regressions:
        """Return the answer with the first of its steps only; all of them for None."""
        kept = self.steps[:count]
        return dataclasses.replace(
            self,
            regressions=tuple(own for own in kept if own.layer),
            summaries=tuple(own for own in kept if not own.layer),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "model": self.model,
            "profile": self.profile,
            "versions": list(self.versions),
            "regressions": [own.to_dict() for own in self.regressions],
            "summaries": [own.to_dict() for own in self.summaries],
            "suspects": [own.to_dict() for own in self.suspects],
            "series": self.series,
            "tests": self.tests,
            "false_alarms": self.false_alarms,
            "not_comparable": {label: dict(versions) for label, versions in self.not_comparable.items()},
        }

    def rows(self) -> list[dict[str, Any]]:
        """Return a flat dict for each step, by version, those with most evidence first."""
        return [{"model": self.model} | own.to_dict() for own in self.steps]

    def to_pandas(self) -> pd.DataFrame:
        """Return ``rows()`` as a data frame. Needs the extra ``pandas``.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        from ww_core.domain.frames import data_frame

        return data_frame(self.rows(), None if self.rows() else ["model", *_names()])


def _names() -> list[str]:
    """What a step is told by: its fields in order, and after the levels what follows from them."""
    fields = [field.name for field in dataclasses.fields(Regression)]
    at = fields.index("after") + 1
    return [*fields[:at], "change", "evidence", *fields[at:]]
