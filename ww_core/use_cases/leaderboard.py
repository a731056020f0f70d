"""Which model is best by a metric, and whether reported scores say the same."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ww_core.domain.expressions.arithmetic import Summary
from ww_core.domain.leaderboard import Leaderboard, LeaderboardCounts, RankedModel
from ww_core.domain.scored import scored_models, told_datasets
from ww_core.domain.text import shortened
from ww_core.errors import UnknownNameError, UsageError
from ww_core.use_cases.agreement import FEW, agreement_of, families_disagree, few_models, resamples, same_weights
from ww_core.use_cases.model_values import asked, check_whole, found_scores, found_values
from ww_core.use_cases.naming import opened_store

if TYPE_CHECKING:
    import os

    from ww_core.domain.expressions.arithmetic import Expression
    from ww_core.domain.model_values import ModelRow, ModelValues, Standing
    from ww_core.domain.scored import ScoreColumn
    from ww_core.rank_statistics import Correlation, GroupedCorrelation
    from ww_core.store.reader import Reader
    from ww_core.store.store import Store
    from ww_core.use_cases.model_values import Asked


def leaderboard(
    metric: str,
    *,
    store: Store | str | os.PathLike[str],
    score: str = "",
    dataset: str = "",
    source: str = "",
    better: str = "",
    replicates: int | None = None,
    **choice: Any,
) -> Leaderboard:
    """Rank models by a metric inside each series, beside their reported scores. No weight is read.

    Args:
        metric: A column, or an expression over columns such as ``alpha_weighted / log_norm``.
        store: An open store, or its path or URL.
        score: Name of the reported score to compare with; empty for the only one that the models have. Where they have
            several, none is compared, and a warning says so.
        dataset: What it was measured on; empty if it is one dataset only.
        source: Who says so; empty if only one does.
        better: ``lower`` or ``higher``, for an expression; empty for the direction of the column.
        replicates: How many resamples make the intervals, 0 for none; None for 1000, fewer of more than 2,000 models.
        **choice: Which models, layers and values are meant, as of ``model_values.asked``: ``series``, ``models``,
            ``without``, ``profile``, ``reported``, ``where``, ``layers``, ``without_layers``, ``leave_out``, ``min_m``,
            ``over``, ``every_version``.

    Raises:
        UsageError: The metric has no direction or is no expression, or something is ambiguous; the message says how to
            tell it apart.
        UnknownNameError: A column, score, model, series or table is not there.
        NotStoredError: No model is left, or none has a score though one was asked for.
        StoreError: The store cannot be read.
    """
    question = asked([metric], **choice)
    expression, *more = question.expressions
    if more:
        raise UsageError(f"models are ranked by one metric, not by {len(more) + 1}: name one")
    if replicates is not None:
        check_whole("the number of resamples", replicates, 0)
    with opened_store(store, mode="read") as opened, opened.reading() as reader:
        values = found_values(reader, question)
        direction = _direction(reader, question, values, better)
        scored = _scored(reader, values, score, dataset, source)
    return _answer(values, expression, direction, scored, question.models.series, replicates)


class _Scored(NamedTuple):
    """The scores of models by their position, and what is to be said of them."""

    column: ScoreColumn | None
    dataset: str
    values: Mapping[int, float]
    warnings: tuple[str, ...]


_NO_SCORE = _Scored(None, "", {}, ())


def _direction(reader: Reader, question: Asked, values: ModelValues, better: str) -> str:
    """Return which direction of a metric is better.

    Raises:
        UsageError: Nothing says so.
        UnknownNameError: What is said is no direction.
    """
    expression = question.expressions[0]
    if better:
        if better not in {"lower", "higher"}:
            raise UnknownNameError("direction", better, ["lower", "higher"])
        return better
    column = values.column_of(expression)
    if column is None:
        raise UsageError(f"{expression} is an expression, and its direction is unknown: give --better lower or higher")
    if column.better != "none":
        return column.better
    known = (
        reader.directed_columns(table=values.origin)
        if values.is_reported
        else reader.directed_columns(question.profile or "default")
    )
    raise UsageError(
        f"{column.name} has no direction, so no model is best by it: say --better lower or higher, or name a column "
        f"that has one: {', '.join(known) or 'there is none'}"
    )


def _scored(reader: Reader, values: ModelValues, name: str, dataset: str, source: str) -> _Scored:
    """Find the scores of models: of the name that was asked for, else of the only one that they have.

    Raises:
        UnknownNameError: There is no such score, dataset or source.
        NotStoredError: No model has a score, though one was asked for.
        UsageError: A score that was asked for is on several datasets, or reported by several sources.
    """
    is_asked = bool(name or dataset or source)
    scores = found_scores(reader, values.rows, name, dataset, source)
    names = sorted({score.name for own in scores.values() for score in own})
    if not names:
        return _NO_SCORE
    if len(names) > 1:
        warning = f"no score is compared, because there are several, {', '.join(names)}: name one by --score"
        return _NO_SCORE._replace(warnings=(warning,))
    try:
        column, found = scored_models(values.rows, scores, names[0])
        datasets = sorted({own.dataset for own in found})
        if len(datasets) > 1:
            raise UsageError(f"{names[0]} is reported on {told_datasets(datasets)}: name one by --dataset")
    except UsageError as error:
        if is_asked:
            raise
        return _NO_SCORE._replace(warnings=(f"no score is compared, because {error}",))
    return _Scored(column, datasets[0], {own.at: own.value for own in found}, ())


def _answer(
    values: ModelValues,
    expression: Expression,
    better: str,
    scored: _Scored,
    chosen_series: Sequence[str],
    replicates: int | None,
) -> Leaderboard:
    numbers, reasons = values.values_of(expression)
    standing = values.standings[expression] if isinstance(expression, Summary) else None
    known = {at: number for at, number in enumerate(numbers.tolist()) if math.isfinite(number)}
    groups: dict[str, list[int]] = defaultdict(list)
    for at, row in enumerate(values.rows):
        for series in _groups_of(row.series, chosen_series):
            groups[series].append(at)
    ranked: list[RankedModel] = []
    for series in sorted(groups, key=lambda name: (name == "", name)):
        ranked += _ranked(values.rows, series, groups[series], known, reasons, standing, better, scored)
    column = values.column_of(expression)
    correlated = _correlated(ranked, better, scored, resamples(replicates, len(ranked)))
    return Leaderboard(
        metric=str(expression),
        better=better,
        unit=column.unit if column else "",
        origin=values.origin,
        score=scored.column,
        dataset=scored.dataset,
        counts=LeaderboardCounts(len(values), len(known), len(scored.values), len(known.keys() & scored.values.keys())),
        models=tuple(ranked),
        by_series={series: agreement_of(own) for series, own in correlated.by_series.items()},
        inside=agreement_of(correlated.grouped.inside) if correlated.grouped else None,
        between=agreement_of(correlated.grouped.between) if correlated.grouped else None,
        overall=agreement_of(correlated.grouped.overall) if correlated.grouped else None,
        warnings=tuple(_warnings(values, expression, correlated, scored, groups)),
    )


def _groups_of(series: Sequence[str], chosen: Sequence[str]) -> Iterable[str]:
    """Return the groups of a model: its series, or those of them that were asked for; one without a name for none."""
    return [own for own in series if own in chosen] if chosen else series or [""]


def _ranked(
    rows: Sequence[ModelRow],
    series: str,
    places: Sequence[int],
    known: Mapping[int, float],
    reasons: Sequence[str],
    standing: Standing | None,
    better: str,
    scored: _Scored,
) -> Iterator[RankedModel]:
    """Yield the models of a series, the best first."""
    sign = 1.0 if better == "lower" else -1.0
    ranks = _ranks({at: sign * known[at] for at in places if at in known})
    shared = Counter(ranks.values())
    score_sign = 1.0 if scored.column and scored.column.better == "lower" else -1.0
    score_ranks = _ranks({at: score_sign * scored.values[at] for at in places if at in scored.values})
    present = standing.present.tolist() if standing else [0] * len(rows)
    missing = standing.missing.tolist() if standing else present
    for at in sorted(sorted(places), key=lambda at: ranks.get(at, math.inf)):
        row, rank = rows[at], ranks.get(at)
        yield RankedModel(
            series,
            rank,
            rank is not None and shared[rank] > 1,
            row.model,
            row.version,
            row.digest,
            known.get(at, math.nan),
            present[at],
            missing[at],
            scored.values.get(at, math.nan),
            score_ranks.get(at),
            reasons[at],
        )


def _ranks(numbers: Mapping[int, float]) -> dict[int, int]:
    """Return the place of each number, from 1, the lowest first; equal ones share the first place that is theirs."""
    ordered = sorted(numbers.values())
    first: dict[float, int] = {}
    for place, number in enumerate(ordered, 1):
        first.setdefault(number, place)
    return {at: first[number] for at, number in numbers.items()}


class _Correlated(NamedTuple):
    """How far the orders by metric and score agree, both from best to worst."""

    by_series: Mapping[str, Correlation]
    grouped: GroupedCorrelation | None


def _correlated(ranked: Sequence[RankedModel], better: str, scored: _Scored, replicates: int) -> _Correlated:
    """Compare the orders in each series; inside, between and over all series, if there are several.

    Models of no series are no family: they are compared by themselves only.
    """
    both = [own for own in ranked if math.isfinite(own.value) and math.isfinite(own.score)]
    if scored.column is None or not both:
        return _Correlated({}, None)
    from ww_core.rank_statistics import correlation, grouped_correlation

    sign = 1.0 if better == "lower" else -1.0
    score_sign = 1.0 if scored.column.better == "lower" else -1.0

    def numbers(models: Sequence[RankedModel]) -> tuple[list[float], list[float]]:
        return [sign * own.value for own in models], [score_sign * own.score for own in models]

    of_series = [own for own in both if own.series]
    grouped = None
    if len({own.series for own in of_series}) > 1:
        grouped = grouped_correlation(*numbers(of_series), [own.series for own in of_series], replicates=replicates)
        by_series = {str(series): own for series, own in grouped.groups.items()}
    else:
        by_series = {own.series: correlation(*numbers(of_series), replicates=replicates) for own in of_series[:1]}
    if len(of_series) < len(both):
        by_series[""] = correlation(*numbers([own for own in both if not own.series]), replicates=replicates)
    return _Correlated(by_series, grouped)


def _warnings(
    values: ModelValues,
    expression: Expression,
    correlated: _Correlated,
    scored: _Scored,
    groups: Mapping[str, Sequence[int]],
) -> Iterator[str]:
    """Yield what whoever reads the ranks must know."""
    if caveat := values.caveat_of(expression):
        yield caveat
    yield from scored.warnings
    if scored.column is None:
        return
    if scored.column.better == "none":
        yield f"{scored.column.name} has no direction: its ranks count from the highest"
    few = [(name, own.tau.n) for name, own in correlated.by_series.items() if own.tau.n < FEW]
    if few:
        yield few_models([name for name, _ in few], max(n for _, n in few))
    twice = same_weights([values.rows[at] for at in own if at in scored.values] for own in groups.values())
    if twice:
        yield twice
    if correlated.grouped is None:
        return
    several = Counter(at for series, own in groups.items() if series for at in own)
    shared = [values.rows[at].name for at, count in several.items() if count > 1]
    if shared:
        yield f"in several series, and counted in each: {shortened(shared)}"
    opposite = families_disagree(correlated.grouped, str(expression), scored.column.name)
    if opposite:
        yield opposite
