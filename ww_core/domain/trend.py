"""How well metrics predict reported scores: a line for each group of models."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ww_core.domain.statistic import Statistic, finite

if TYPE_CHECKING:
    import pandas as pd

    from ww_core.domain.scored import ScoreColumn

FIGURES = ("slope", "intercept", "rmse", "mse", "r2", "tau", "rho")
"""What a line is told by."""


def group_name(series: str, dataset: str) -> str:
    """Return what people call a group."""
    return " on ".join(filter(None, (series, dataset))) or "all models"


class TrendMetric(NamedTuple):
    """What x is.

    Attributes:
        name: The metric, as it was asked for.
        better: ``lower``, ``higher`` or ``none``; ``none`` of an expression.
        unit: Its unit or log base; empty for none, and of an expression.
    """

    name: str
    better: str
    unit: str


class TrendPoint(NamedTuple):
    """A model of a group.

    Attributes:
        metric: The metric, as it was asked for.
        series: Its series, if groups are by series; else empty.
        dataset: What its score was measured on, if groups are by dataset; else empty.
        model: Name of the model.
        version: Its version; empty for none.
        x: What the metric comes to.
        y: Its score.
    """

    metric: str
    series: str
    dataset: str
    model: str
    version: str
    x: float
    y: float


class TrendLine(NamedTuple):
    """score = slope x metric + intercept, by least squares, over the models of one group.

    Attributes:
        metric: The metric, as it was asked for.
        series: Name of the series, if groups are by series; else empty.
        dataset: The dataset, if groups are by dataset; else empty.
        n: How many models have both.
        slope: Unit of the score for each unit of the metric.
        intercept: Score where the metric is 0.
        rmse: sqrt(SSE / (n - ddof)), where SSE is the sum of squared residuals.
        mse: SSE / (n - ddof).
        r2: 1 - SSE / SST, where SST is the sum of squared deviations from the mean score.
        tau: Kendall's tau-b of metric and score, as they are.
        rho: Spearman's rho of them.
        chance: Chance of a tau so far from 0, were the order random.
    """

    metric: str
    series: str
    dataset: str
    n: int
    slope: Statistic
    intercept: Statistic
    rmse: Statistic
    mse: Statistic
    r2: Statistic
    tau: Statistic
    rho: Statistic
    chance: float

    def figures(self) -> dict[str, Statistic]:
        """Return its statistics by name."""
        return {name: getattr(self, name) for name in FIGURES}

    def row(self) -> dict[str, Any]:
        """Return it flat: each statistic, and the ends of its interval behind it."""
        told: dict[str, Any] = {"metric": self.metric, "series": self.series, "dataset": self.dataset, "n": self.n}
        for name, own in self.figures().items():
            told |= {name: finite(own.value), f"{name}_low": finite(own.low), f"{name}_high": finite(own.high)}
        return told | {"chance": finite(self.chance)}


class SmallGroup(NamedTuple):
    """A group that has no line, because too few of its models have both metric and score.

    Attributes:
        metric: The metric.
        series: Its series, if groups are by series; else empty.
        dataset: Its dataset, if groups are by dataset; else empty.
        n: How many models have both.
    """

    metric: str
    series: str
    dataset: str
    n: int


class LeftOut(NamedTuple):
    """A model with a score that is in no line of a metric, because it has no value of it.

    Attributes:
        metric: The metric.
        model: Name of the model.
        version: Its version; empty for none.
        reason: Why it has no value.
    """

    metric: str
    model: str
    version: str
    reason: str


class TrendCounts(NamedTuple):
    """How many models there are.

    Attributes:
        models: Models that were asked for.
        with_score: Those that have the score.
        in_groups: Those that have it and belong to a group.
    """

    models: int
    with_score: int
    in_groups: int


class TrendSummary(NamedTuple):
    """A statistic of a metric over all groups.

    Attributes:
        metric: The metric.
        figure: Name of the statistic, such as ``r2``.
        groups: How many groups have it.
        mean: Its mean over them.
        std: Its standard deviation, by n - 1; NaN of one group.
    """

    metric: str
    figure: str
    groups: int
    mean: float
    std: float


@dataclass(frozen=True, slots=True)
class Trend:
    """What ``ww trend`` answers. ``to_dict`` is what ``--json`` prints.

    Attributes:
        score: What y is.
        metrics: What x is, in the order in which it was asked for.
        origin: The profile of our own values, or the table that reports them.
        by: What groups are by: ``series``, ``dataset``, both or nothing.
        ddof: What n is lessened by in RMSE and MSE.
        lines: By metric, then by group.
        points: The models behind the lines, in the same order.
        small: Groups of which there is no line.
        left_out: Models of groups that have a score, but no value of a metric.
        counts: How many models there are, and have the score.
        warnings: Sentences that whoever reads the lines must know.
    """

    score: ScoreColumn
    metrics: tuple[TrendMetric, ...]
    origin: str
    by: tuple[str, ...]
    ddof: int
    lines: tuple[TrendLine, ...]
    points: tuple[TrendPoint, ...]
    small: tuple[SmallGroup, ...]
    left_out: tuple[LeftOut, ...]
    counts: TrendCounts
    warnings: tuple[str, ...] = ()

    def line(self, metric: str, series: str = "", dataset: str = "") -> TrendLine:
        """Return the line of a metric in a group.

        Raises:
            KeyError: There is none.
        """
        for own in self.lines:
            if (own.metric, own.series, own.dataset) == (metric, series, dataset):
                return own
        raise KeyError((metric, series, dataset))

    def summaries(self) -> list[TrendSummary]:
        """Return mean and standard deviation of each statistic over the groups in which it is defined, by metric."""
        found = []
        for metric in self.metrics:
            lines = [own for own in self.lines if own.metric == metric.name]
            for figure in FIGURES:
                values = [own.figures()[figure].value for own in lines]
                known = [value for value in values if math.isfinite(value)]
                mean = statistics.fmean(known) if known else math.nan
                std = statistics.stdev(known) if len(known) > 1 else math.nan
                found.append(TrendSummary(metric.name, figure, len(known), mean, std))
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "score": {**self.score._asdict(), "sources": list(self.score.sources)},
            "metrics": [own._asdict() for own in self.metrics],
            "origin": self.origin,
            "by": list(self.by),
            "ddof": self.ddof,
            "lines": list(self._line_dicts()),
            "summary": [own._asdict() | {"mean": finite(own.mean), "std": finite(own.std)} for own in self.summaries()],
            "points": [own._asdict() for own in self.points],
            "small_groups": [own._asdict() for own in self.small],
            "left_out": [own._asdict() for own in self.left_out],
            "counts": self.counts._asdict(),
            "warnings": list(self.warnings),
        }

    def _line_dicts(self) -> Iterator[dict[str, Any]]:
        for own in self.lines:
            group = {"metric": own.metric, "series": own.series, "dataset": own.dataset, "n": own.n}
            figures = {name: figure.to_dict() for name, figure in own.figures().items()}
            yield group | figures | {"chance": finite(own.chance)}

    def rows(self) -> list[dict[str, Any]]:
        """Return a flat dict for each line, in order; None for a number that is not there."""
        return [own.row() for own in self.lines]

    def to_pandas(self) -> pd.DataFrame:
        """Return ``rows()`` as a data frame. Needs the extra ``pandas``.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        from ww_core.domain.frames import data_frame

        return data_frame(self.rows())
