"""Which model is best by a metric, inside each series, and whether reported scores say the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ww_core.domain.statistic import Agreement, finite

if TYPE_CHECKING:
    import pandas as pd

    from ww_core.domain.scored import ScoreColumn


class RankedModel(NamedTuple):
    """A model in its series.

    Attributes:
        series: Name of the series; empty for a model of none.
        rank: Place in it, from 1; models that are equal share one, and the next place counts them. None if it has no
            value that may be ranked.
        is_tied: Whether another model has the same value.
        model: Name of the model.
        version: Its version; empty for none.
        digest: Content address of the checkpoint; empty for what has no weights here.
        value: What the metric comes to; NaN for none.
        present: How many values it is taken over.
        missing: How many of them are not there.
        score: The reported score; NaN for none.
        score_rank: Place by the score, among those of the series that have one; None for none.
        reason: Why it is not ranked; empty if it is.
    """

    series: str
    rank: int | None
    is_tied: bool
    model: str
    version: str
    digest: str
    value: float
    present: int
    missing: int
    score: float
    score_rank: int | None
    reason: str


class LeaderboardCounts(NamedTuple):
    """How many models there are, each counted once, however many series it is in.

    Attributes:
        models: Models that were asked for.
        ranked: Those that have a value of the metric that may be ranked.
        with_score: Those that have the score.
        with_both: Those that have both.
    """

    models: int
    ranked: int
    with_score: int
    with_both: int


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """What ``ww leaderboard`` answers. ``to_dict`` is what ``--json`` prints.

    Attributes:
        metric: The metric, as it was asked for.
        better: ``lower`` or ``higher``.
        unit: Its unit; empty for none.
        origin: The profile of our own values, or the table that reports them.
        score: What the scores are; None if none is compared.
        dataset: What the scores were measured on.
        counts: How many models there are, have a value and have the score.
        models: By series, the best first; what is not ranked last.
        by_series: How far metric and score put the models of each series in the same order, both from best to worst.
        inside: The same over all pairs of models of one series; None unless several series have models with both.
            Models of no series are no part of it, nor of the next two.
        between: The same over pairs of models of different series.
        overall: The same over all pairs.
        warnings: Sentences that whoever reads the ranks must know.
    """

    metric: str
    better: str
    unit: str
    origin: str
    score: ScoreColumn | None
    dataset: str
    counts: LeaderboardCounts
    models: tuple[RankedModel, ...]
    by_series: Mapping[str, Agreement]
    inside: Agreement | None
    between: Agreement | None
    overall: Agreement | None
    warnings: tuple[str, ...] = ()

    def first(self, count: int | None) -> Leaderboard:
        """Return the answer with the first models of each series only; all of them for None."""
        if count is None:
            return self
        counted: dict[str, int] = {}
        kept = []
        for own in self.models:
            counted[own.series] = counted.get(own.series, 0) + 1
            if counted[own.series] <= count:
                kept.append(own)
        return dataclasses.replace(self, models=tuple(kept))

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        parts = {"inside": self.inside, "between": self.between, "overall": self.overall}
        return {
            "metric": self.metric,
            "better": self.better,
            "unit": self.unit,
            "origin": self.origin,
            "score": None if self.score is None else {**self.score._asdict(), "sources": list(self.score.sources)},
            "dataset": self.dataset,
            "counts": self.counts._asdict(),
            "models": self.rows(),
            "by_series": [{"series": series, **own.to_dict()} for series, own in self.by_series.items()],
            **{name: None if own is None else own.to_dict() for name, own in parts.items()},
            "warnings": list(self.warnings),
        }

    def rows(self) -> list[dict[str, Any]]:
        """Return a flat dict for each model, in order; None for a number that is not there."""
        return [own._asdict() | {"value": finite(own.value), "score": finite(own.score)} for own in self.models]

    def to_pandas(self) -> pd.DataFrame:
        """Return ``rows()`` as a data frame. Needs the extra ``pandas``.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        from ww_core.domain.frames import data_frame

        return data_frame(self.rows(), RankedModel._fields)
