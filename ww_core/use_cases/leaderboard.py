"""Which model is best by a metric, and whether reported scores say the same."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ww_core.domain.expressions.arithmetic import Summary
from ww_core.domain.leaderboard import Leaderboard, RankedModel
from ww_core.domain.scored import score_names, scored_models
from ww_core.errors import UnknownNameError, UsageError
from ww_core.use_cases.agreement import FEW, agreement_of, few_models
from ww_core.use_cases.model_values import asked, found_values
from ww_core.use_cases.naming import opened_store

if TYPE_CHECKING:
    import os

    from ww_core.domain.columnar import ScoreTable
    from ww_core.domain.expressions.arithmetic import Expression
    from ww_core.domain.model_values import ModelValues
    from ww_core.domain.scored import ScoreColumn
    from ww_core.rank_statistics import GroupedCorrelation
    from ww_core.store.reader import Reader
    from ww_core.store.store import Store


def leaderboard(
    metric: str,
    *,
    store: Store | str | os.PathLike[str],
    score: str = "",
    dataset: str = "",
    source: str = "",
    better: str = "",
    replicates: int = 1000,
    **choice: Any,
) -> Leaderboard:
    """Rank models by a metric inside each series, beside their reported scores. No weight is read.

    Args:
        metric: A column, or an expression over columns such as ``alpha_weighted / log_norm``.
        store: An open store, or its path or URL.
        score: Name of the reported score to compare with; empty for the only one there is.
        dataset: What it was measured on; empty if models have one on one dataset only.
        source: Who says so; empty if only one does.
        better: ``lower`` or ``higher``, for an expression; empty for the direction of the column.
        replicates: How many resamples make the intervals; 0 for none.
        **choice: Which models, layers and values are meant, as of ``model_values.asked``: ``series``, ``models``,
            ``without``, ``profile``, ``reported``, ``where``, ``layers``, ``without_layers``, ``leave_out``, ``min_m``,
            ``over``, ``every_version``.

    Raises:
        UsageError: The metric has no direction or is no expression, or something is ambiguous; the message says how to
            tell it apart.
        UnknownNameError: A column, score, model, series or table is not there.
        NotStoredError: No model is left.
        StoreError: The store cannot be read.
    """
    question = asked([metric], **choice)
    (expression,) = question.expressions
    with opened_store(store, mode="read") as opened:
        with opened.reading() as reader:
            values = found_values(reader, question)
            direction = _direction(reader, values, expression, better)
        scores = opened.scores(
            names=[score] if score else (),
            datasets=[dataset] if dataset else (),
            sources=[source] if source else (),
        )
    return _answer(values, expression, direction, _scored(values, scores, score), question.models.series, replicates)


class _Scored(NamedTuple):
    """The scores of models by their position, and what is to be said of them."""

    column: ScoreColumn | None
    dataset: str
    values: Mapping[int, float]
    warnings: tuple[str, ...]


def _direction(reader: Reader, values: ModelValues, expression: Expression, better: str) -> str:
    """Return which direction of a metric is better.

    Raises:
        UsageError: Nothing says so.
        UnknownNameError: What is said is no direction.
    """
    if better:
        if better not in {"lower", "higher"}:
            raise UnknownNameError("direction", better, ["lower", "higher"])
        return better
    column = values.column_of(expression)
    if column is None:
        raise UsageError(f"{expression} is an expression, whose direction nobody knows: say --better lower or higher")
    if column.better != "none":
        return column.better
    known = reader.directed_columns(values.origin if values.is_reported else "")
    raise UsageError(
        f"{column.name} has no direction, so that no model is best by it: these have one: {', '.join(known)} (or say "
        "--better lower or higher)"
    )


def _scored(values: ModelValues, scores: ScoreTable, name: str) -> _Scored:
    """Find the scores of models.

    Raises:
        UnknownNameError: There is no such score.
        UsageError: They are on several datasets, or one is reported by several.
    """
    names = [name] if name else score_names(values.rows, scores)
    if not names:
        return _Scored(None, "", {}, ())
    if len(names) > 1:
        return _Scored(None, "", {}, (f"there are several scores, {', '.join(names)}: name one by --score",))
    column, found = scored_models(values.rows, scores, names[0])
    datasets = sorted({own.dataset for own in found})
    if len(datasets) > 1:
        raise UsageError(f"{names[0]} is reported on {', '.join(datasets)}: name one by --dataset")
    return _Scored(column, datasets[0], {own.at: own.value for own in found}, ())


def _answer(
    values: ModelValues,
    expression: Expression,
    better: str,
    scored: _Scored,
    chosen_series: Sequence[str],
    replicates: int,
) -> Leaderboard:
    numbers, reasons = values.values_of(expression)
    groups: dict[str, list[int]] = defaultdict(list)
    for at, row in enumerate(values.rows):
        for series in _groups_of(row.series, chosen_series):
            groups[series].append(at)
    ranked: list[RankedModel] = []
    for series in sorted(groups, key=lambda name: (name == "", name)):
        ranked += _ranked(values, expression, series, groups[series], numbers.tolist(), reasons, better, scored)
    column = values.column_of(expression)
    correlated = _correlated(ranked, better, scored, replicates)
    several = correlated is not None and len(correlated.groups) > 1
    return Leaderboard(
        metric=str(expression),
        better=better,
        unit=column.unit if column else "",
        origin=values.origin,
        score=scored.column,
        dataset=scored.dataset,
        models=tuple(ranked),
        by_series={str(own): agreement_of(of) for own, of in correlated.groups.items()} if correlated else {},
        inside=agreement_of(correlated.inside) if correlated and several else None,
        between=agreement_of(correlated.between) if correlated and several else None,
        overall=agreement_of(correlated.overall) if correlated and several else None,
        warnings=tuple(_warnings(values, expression, correlated, scored)),
    )


def _groups_of(series: Sequence[str], chosen: Sequence[str]) -> Iterable[str]:
    """Return the groups of a model: its series, or those of them that were asked for; one without a name for none."""
    return [own for own in series if own in chosen] if chosen else series or [""]


def _ranked(
    values: ModelValues,
    expression: Expression,
    series: str,
    places: Sequence[int],
    numbers: Sequence[float],
    reasons: Sequence[str],
    better: str,
    scored: _Scored,
) -> Iterator[RankedModel]:
    """Yield the models of a series, the best first."""
    sign = 1.0 if better == "lower" else -1.0
    known = [at for at in places if math.isfinite(numbers[at])]
    ranks = _ranks({at: sign * numbers[at] for at in known})
    score_sign = 1.0 if scored.column and scored.column.better == "lower" else -1.0
    score_ranks = _ranks({at: score_sign * scored.values[at] for at in places if at in scored.values})
    counts = [numbers[at] for at in known]
    standing = values.standings[expression] if isinstance(expression, Summary) else None
    order = sorted(places, key=lambda at: (ranks.get(at, math.inf), values.rows[at].name))
    for at in order:
        row = values.rows[at]
        yield RankedModel(
            series=series,
            rank=ranks.get(at),
            is_tied=at in ranks and counts.count(numbers[at]) > 1,
            model=row.model,
            version=row.version,
            digest=row.digest,
            value=numbers[at],
            present=int(standing.present[at]) if standing else 0,
            missing=int(standing.missing[at]) if standing else 0,
            score=scored.values.get(at, math.nan),
            score_rank=score_ranks.get(at),
            reason=reasons[at],
        )


def _ranks(numbers: Mapping[int, float]) -> dict[int, int]:
    """Return the place of each number, from 1, the lowest first; equal ones share the first place that is theirs."""
    ordered = sorted(numbers.values())
    first: dict[float, int] = {}
    for place, number in enumerate(ordered, 1):
        first.setdefault(number, place)
    return {at: first[number] for at, number in numbers.items()}


def _correlated(
    ranked: Sequence[RankedModel], better: str, scored: _Scored, replicates: int
) -> GroupedCorrelation | None:
    """Compare the orders by metric and score, both from best to worst; None if no model has both."""
    if scored.column is None:
        return None
    from ww_core.rank_statistics import grouped_correlation

    both = [own for own in ranked if math.isfinite(own.value) and math.isfinite(own.score)]
    if not both:
        return None
    sign = 1.0 if better == "lower" else -1.0
    score_sign = 1.0 if scored.column.better == "lower" else -1.0
    return grouped_correlation(
        [sign * own.value for own in both],
        [score_sign * own.score for own in both],
        [own.series for own in both],
        replicates=replicates,
    )


def _warnings(
    values: ModelValues, expression: Expression, correlated: GroupedCorrelation | None, scored: _Scored
) -> Iterator[str]:
    """Yield what whoever reads the ranks must know."""
    column = values.column_of(expression)
    if column and column.caveat and isinstance(expression, Summary) and expression.aggregate == "mean":
        yield f"{column.name}: {column.caveat}"
    yield from scored.warnings
    if correlated is None or scored.column is None:
        return
    if scored.column.better == "none":
        yield f"{scored.column.name} has no direction: its ranks count from the highest"
    few = [(str(name), own.tau.n) for name, own in correlated.groups.items() if own.tau.n < FEW]
    if few:
        yield few_models([name for name, _ in few], max(n for _, n in few))
    from ww_core.rank_statistics import Disagreement, disagreement

    opposite = disagreement(correlated)
    if opposite is not Disagreement.NONE and len(correlated.groups) > 1:
        inside, between = correlated.inside.tau.value, correlated.between.tau.value
        sure = "" if opposite is Disagreement.CLEAR else " (so few models cannot make it sure)"
        yield (
            f"inside series {expression} and {scored.column.name} agree with tau {inside:.2f}, between series with "
            f"{between:.2f}{sure}: models of different series must not be ranked by it together (Simpson's paradox)"
        )
