"""What expressions over columns come to over many models: computed here, or reported by others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ww_core.domain.expressions.arithmetic import parse_comparison, parse_expressions
from ww_core.domain.model_values import ModelChoice, RowChoice, summaries_asked
from ww_core.domain.name import texts_of
from ww_core.domain.scored import scores_by_model, why_no_score
from ww_core.errors import NotStoredError, UnknownNameError, UsageError

if TYPE_CHECKING:
    from ww_core.domain.columnar import StoredScore
    from ww_core.domain.expressions.arithmetic import Comparison, Expression, Summary
    from ww_core.domain.model_values import ModelRow, ModelValues, Over
    from ww_core.store.reader import Reader


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of many models, checked as far as it can be without a store.

    Attributes:
        expressions: Expressions over columns, in order.
        models: Which models are meant.
        rows: Which rows of them count.
        profile: Name of the profile of our own values; empty for the default one.
        reported: The table or provider whose values are meant instead; empty for our own.
        where: Conditions that models must keep, all of them.
        every_version: Whether all versions of stored models are meant, and not the newest ones only.
    """

    expressions: tuple[Expression, ...]
    models: ModelChoice
    rows: RowChoice
    profile: str
    reported: str
    where: tuple[Comparison, ...]
    every_version: bool


def asked(
    metrics: Sequence[str],
    *,
    models: Sequence[str] = (),
    without: Sequence[str] = (),
    series: Sequence[str] = (),
    layers: Sequence[str] = (),
    without_layers: Sequence[str] = (),
    leave_out: str = "",
    min_m: int = 0,
    over: Over = "matrices",
    profile: str = "",
    reported: str = "",
    where: Sequence[str] = (),
    every_version: bool = False,
) -> Asked:
    """Check what is asked.

    Args:
        metrics: Expressions over columns; a text may hold several, separated by commas.
        models: Globs of names of models; empty for all.
        without: Globs of names of models that are left out.
        series: Names of series of which a model must be a member; empty for any.
        layers: Globs of names of layers; empty for all.
        without_layers: Globs of names of layers that are left out.
        leave_out: Label of a bool column: rows of which it holds are left out.
        min_m: Smallest M, the smaller side of a matrix, that counts.
        over: Whether means are over ``matrices``, or over ``layers`` of the means of their matrices.
        profile: Name of the profile of our own values; empty for ``default``.
        reported: The table or provider whose values are meant instead.
        where: Conditions that models must keep, such as ``max(alpha) < 8``.
        every_version: Whether all versions of stored models are meant.

    Raises:
        UsageError: An expression is none, a name is empty, or two options exclude each other.
    """
    texts = texts_of(metrics, "metrics")
    if not texts:
        raise UsageError("no metric is named: name one, as alpha")
    if profile and reported:
        raise UsageError("a profile selects computed values, and reported values have no profile: give one of the two")
    if reported and every_version:
        raise UsageError("reported models have no order of versions: all versions are used already")
    if over not in {"matrices", "layers"}:
        raise UnknownNameError("kind of mean", over, ["matrices", "layers"])
    check_whole("the smallest M", min_m, 0)
    parsed = [own for text in texts for own in parse_expressions(text, "metric")]
    expressions = tuple(dict.fromkeys(parsed))
    conditions = tuple(parse_comparison(text) for text in texts_of(where, "where"))
    return Asked(
        expressions,
        ModelChoice(texts_of(models, "models"), texts_of(without, "models"), texts_of(series, "series")),
        RowChoice(texts_of(layers, "layers"), texts_of(without_layers, "layers"), leave_out, min_m, over),
        profile,
        reported,
        conditions,
        every_version,
    )


def check_whole(what: str, number: Any, least: int) -> None:
    """Raise unless something is a whole number that is large enough.

    Raises:
        UsageError: It is not.
    """
    if isinstance(number, bool) or not isinstance(number, int) or number < least:
        raise UsageError(f"{what} must be a whole number from {least} on, not {number!r}")


def found_values(reader: Reader, question: Asked) -> ModelValues:
    """Return the values that a question is about.

    Where nothing says whose values are meant, they are our own; where there are no such, those of the only provider
    that reports all of the columns.

    Raises:
        UnknownNameError: A column, model, series or table is not there.
        UsageError: A column holds texts; or several providers report the columns, and nothing says which is meant.
        NotStoredError: No model is left.
    """
    summaries = summaries_asked(*question.expressions, *question.where)
    if question.reported:
        values = reader.reported_values(summaries, question.reported, question.models, question.rows)
    else:
        values = _own_or_reported(reader, question, summaries)
    for condition in question.where:
        values = values.where(condition)
        if not len(values):
            raise NotStoredError(f"no model keeps the condition {str(condition)!r}")
    return values


def found_scores(
    reader: Reader, models: Sequence[ModelRow], name: str, dataset: str, source: str
) -> Mapping[int, list[StoredScore]]:
    """Return the scores of models, by the position of the model; an empty name, dataset or source chooses all.

    Raises:
        UnknownNameError: There is none of this name, on this dataset or by this source.
        NotStoredError: There is none, though one was asked for.
    """
    found = scores_by_model(models, reader.scores_of(models, name, dataset, source))
    if not found and (name or dataset or source):
        every = scores_by_model(models, reader.scores_of(models))
        raise why_no_score([score for own in every.values() for score in own], name, dataset, source)
    return found


def _own_or_reported(reader: Reader, question: Asked, summaries: Sequence[Summary]) -> ModelValues:
    try:
        return reader.computed_values(
            summaries,
            question.profile or "default",
            question.models,
            question.rows,
            every_version=question.every_version,
        )
    except (NotStoredError, UnknownNameError) as error:
        if question.profile or not reader.reported_tables():
            raise
        cause = error
    columns = list(dict.fromkeys(own.column for own in summaries))
    table = _only_table(reader, columns)
    if not table:
        if isinstance(cause, UnknownNameError):
            raise cause
        lacking = [own for own in columns if not reader.reported_origins([own])] or columns
        raise NotStoredError(f"{', '.join(lacking)}: no imported table has it, and {cause}") from cause
    try:
        return reader.reported_values(summaries, table, question.models, question.rows)
    except (NotStoredError, UnknownNameError):
        if isinstance(cause, UnknownNameError):
            raise cause from None
        raise


def _only_table(reader: Reader, columns: Sequence[str]) -> str:
    """Return the only table that has all of these columns, or the only provider of several; empty for none.

    Raises:
        UsageError: There are several.
    """
    tables = reader.reported_origins(columns)
    providers = {provider for _, provider in tables}
    if len(providers) > 1:
        names = ", ".join(own for own, _ in tables)
        raise UsageError(f"{', '.join(columns)}: several tables report it, {names}: name one by --reported")
    return tables[0][0] if len(tables) == 1 else next(iter(providers), "")
