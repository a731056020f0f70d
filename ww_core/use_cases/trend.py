"""How well metrics predict reported scores."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ww_core.domain.name import texts_of
from ww_core.domain.scored import Reading, scored_models, told_datasets
from ww_core.domain.trend import LeftOut, SmallGroup, Trend, TrendCounts, TrendLine, TrendMetric, TrendPoint, group_name
from ww_core.errors import UnknownNameError, UsageError
from ww_core.use_cases.agreement import FEW, families_disagree, few_models, resamples, same_weights, statistic_of
from ww_core.use_cases.model_values import asked, check_whole, found_scores, found_values
from ww_core.use_cases.naming import opened_store

if TYPE_CHECKING:
    import os

    from ww_core.domain.expressions.arithmetic import Expression
    from ww_core.domain.model_values import ModelValues
    from ww_core.domain.scored import ScoredModel
    from ww_core.store.store import Store

GROUPS = ("series", "dataset")

Group = tuple[str, str]
"""A series and a dataset; empty where groups are not by it."""


def trend(
    metrics: Sequence[str],
    score: str,
    *,
    store: Store | str | os.PathLike[str],
    by: Sequence[str] = ("series",),
    dataset: str = "",
    source: str = "",
    reading: Reading = "reported",
    min_models: int = 3,
    ddof: int = 0,
    replicates: int | None = None,
    **choice: Any,
) -> Trend:
    """Fit score = slope x metric + intercept for each metric in each group of models. No weight is read.

    Args:
        metrics: Columns, or expressions over columns such as ``ln(spectral_norm)``.
        score: Name of the reported score.
        store: An open store, or its path or URL.
        by: What groups are by: ``series``, ``dataset``, both, or ``none`` for one group.
        dataset: Only scores on this dataset; empty for all.
        source: Only scores that this source reports; empty for all.
        reading: ``error`` or ``accuracy`` takes the complement where the score is the other one; else as reported.
        min_models: How many models a group must have, at least, to get a line.
        ddof: What n is lessened by in RMSE and MSE.
        replicates: How many resamples make the intervals, 0 for none; None for 1000, fewer of more than 2,000 models.
        **choice: Which models, layers and values are meant, as of ``model_values.asked``: ``series``, ``models``,
            ``without``, ``profile``, ``reported``, ``where``, ``layers``, ``without_layers``, ``leave_out``, ``min_m``,
            ``over``, ``every_version``.

    Raises:
        UsageError: A metric is no expression, a number is out of range, or something is ambiguous; the message says how
            to tell it apart.
        UnknownNameError: A column, score, model, series or table is not there.
        NotStoredError: No model is left, or none has a score.
        StoreError: The store cannot be read.
    """
    groups_by = _groups_by(by)
    check_whole("the least number of models", min_models, 2)
    check_whole("ddof", ddof, 0)
    if replicates is not None:
        check_whole("the number of resamples", replicates, 0)
    if ddof >= min_models:
        raise UsageError(f"ddof {ddof} leaves nothing of {min_models} models: take a smaller one, or larger groups")
    if not score:
        raise UsageError("the name of the score is empty: name one; `ww scores list` lists them")
    question = asked(metrics, **choice)
    with opened_store(store, mode="read") as opened, opened.reading() as reader:
        values = found_values(reader, question)
        scores = found_scores(reader, values.rows, score, dataset, source)
    column, scored = scored_models(values.rows, scores, score, reading)
    datasets = sorted({own.dataset for own in scored})
    if "dataset" not in groups_by and len(datasets) > 1:
        raise UsageError(
            f"{score} is reported on {told_datasets(datasets)}: name one by --dataset, or make groups --by dataset"
        )
    groups = _groups(values, scored, groups_by, question.models.series)
    members = {own.at for group in groups.values() for own in group}
    lines: list[TrendLine] = []
    points: list[TrendPoint] = []
    small: list[SmallGroup] = []
    left_out: list[LeftOut] = []
    pooled: list[str] = []
    count = resamples(replicates, len(scored))
    for expression in question.expressions:
        metric = str(expression)
        numbers, reasons = values.values_of(expression)
        left_out += [LeftOut(metric, *values.rows[at][:2], reasons[at]) for at in sorted(members) if reasons[at]]
        for group, own_members in groups.items():
            both = [own for own in own_members if math.isfinite(numbers[own.at])]
            if len(both) < min_models:
                small.append(SmallGroup(metric, *group, len(both)))
                continue
            x = [float(numbers[own.at]) for own in both]
            y = [own.value for own in both]
            lines.append(_line(metric, group, x, y, ddof, count))
            if "series" not in groups_by:
                families = [values.rows[own.at].series for own in both]
                pooled.append(_pooled_families(metric, column.name, x, y, families, count))
            for number, own in zip(x, both, strict=True):
                row = values.rows[own.at]
                points.append(TrendPoint(metric, *group, row.model, row.version, number, own.value))
    if not lines:
        raise UsageError(_why_no_line(min_models, groups, small, left_out))
    counts = TrendCounts(len(values), len({own.at for own in scored}), len(members))
    twice = same_weights([values.rows[own.at] for own in group] for group in groups.values())
    warnings = (*_warnings(values, question.expressions, lines), *filter(None, [twice, *pooled]))
    columns = ((own, values.column_of(own)) for own in question.expressions)
    return Trend(
        column,
        tuple(
            TrendMetric(str(own), told.better if told else "none", told.unit if told else "") for own, told in columns
        ),
        values.origin,
        groups_by,
        ddof,
        tuple(lines),
        tuple(points),
        tuple(small),
        tuple(left_out),
        counts,
        warnings,
    )


def _why_no_line(
    min_models: int,
    groups: Mapping[Group, Sequence[ScoredModel]],
    small: Sequence[SmallGroup],
    left_out: Sequence[LeftOut],
) -> str:
    """Say why no group has a line, and what to do about it."""
    if not groups:
        return "no model with a score is in a series: `ww series add` makes one, and --by none needs none"
    largest = max(own.n for own in small)
    why = f"; {left_out[0].model} has no {left_out[0].metric}: {left_out[0].reason}" if left_out else ""
    return (
        f"no group has {min_models} models with metric and score: the largest has {largest} (--min-models sets the "
        f"least number){why}"
    )


def _groups_by(by: Sequence[str]) -> tuple[str, ...]:
    """Return what groups are by, in one order.

    Raises:
        UnknownNameError: It is something else.
        UsageError: It is none and something besides.
    """
    given = texts_of(by, "by")
    if given == ("none",):
        return ()
    if "none" in given:
        raise UsageError(f"one group of all models is by nothing else: give none, or {' and '.join(GROUPS)}")
    for own in given:
        if own not in GROUPS:
            raise UnknownNameError("kind of group", own, [*GROUPS, "none"])
    return tuple(own for own in GROUPS if own in given)


def _groups(
    values: ModelValues, scored: Sequence[ScoredModel], by: Sequence[str], chosen: Sequence[str]
) -> Mapping[Group, list[ScoredModel]]:
    """Put models with a score into groups, in order; by series, those of no series are in none."""
    found: dict[Group, list[ScoredModel]] = defaultdict(list)
    for own in scored:
        series = values.rows[own.at].series
        families = [name for name in series if not chosen or name in chosen] if "series" in by else [""]
        for family in families:
            found[family, own.dataset if "dataset" in by else ""].append(own)
    return dict(sorted(found.items()))


def _line(metric: str, group: Group, x: Sequence[float], y: Sequence[float], ddof: int, replicates: int) -> TrendLine:
    from ww_core.rank_statistics import fit_line

    line = fit_line(x, y, ddof=ddof, replicates=replicates)
    return TrendLine(
        metric,
        *group,
        n=line.n,
        slope=statistic_of(line.slope),
        intercept=statistic_of(line.intercept),
        rmse=statistic_of(line.rmse),
        mse=statistic_of(line.mse),
        r2=statistic_of(line.r2),
        tau=statistic_of(line.correlation.tau),
        rho=statistic_of(line.correlation.rho),
        chance=line.correlation.chance,
    )


def _pooled_families(
    metric: str,
    score: str,
    x: Sequence[float],
    y: Sequence[float],
    families: Sequence[Sequence[str]],
    replicates: int,
) -> str:
    """Say that models of several series that one line goes through are ordered otherwise inside of them."""
    from ww_core.rank_statistics import grouped_correlation

    members = [(own, other, series) for own, other, names in zip(x, y, families, strict=True) for series in names]
    if len({series for _, _, series in members}) < 2:
        return ""
    return families_disagree(grouped_correlation(*zip(*members, strict=True), replicates=replicates), metric, score)


def _warnings(values: ModelValues, expressions: Sequence[Expression], lines: Sequence[TrendLine]) -> Iterator[str]:
    """Yield what whoever reads the lines must know."""
    for expression in expressions:
        if caveat := values.caveat_of(expression):
            yield caveat
    few = {group_name(own.series, own.dataset): own.n for own in lines if own.n < FEW}
    if few:
        yield few_models(list(few), max(few.values()))
