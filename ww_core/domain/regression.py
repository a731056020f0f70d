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
        before: Level before: a median of values.
        after: Level after.
        verdict: ``worse`` or ``better`` by the direction of the column, ``none`` without one.
        uncertainty: Standard error of the change, by its noise in this history.
        needed: Evidence from which on a step is reported, for as many tests as this question took.
        p_value: Chance that noise alone shows as much evidence in any of these tests.
        versions_before: How many values ``before`` is the median of.
        versions_after: The same of ``after``; 1: no later version confirms it yet.
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
        first = (
            "version",
            "previous",
            "layer",
            "extractor",
            "index",
            "column",
            "before",
            "after",
            "change",
            "evidence",
        )
        return {name: told[name] for name in (*first, *told)}


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
        """Return a flat dict for each step, those in layers first."""
        return [{"model": self.model} | own.to_dict() for own in (*self.regressions, *self.summaries)]

    def to_pandas(self) -> pd.DataFrame:
        """Return ``rows()`` as a data frame. Needs the extra ``pandas``.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        from ww_core.domain.frames import data_frame

        return data_frame(self.rows(), None if self.rows() else ["model", *_names()])


def _names() -> list[str]:
    return [field.name for field in dataclasses.fields(Regression)]
