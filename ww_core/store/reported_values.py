"""What columns come to over models that others report: tables that were imported, and their providers."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Connection, and_, bindparam, or_, select

from ww_core.domain.model_values import ModelColumn, ModelRow, ModelValues, Standing
from ww_core.errors import NotStoredError, UnknownNameError, UsageError
from ww_core.store import tables as t
from ww_core.store.model_values import Found, has_direction, series_of, summed_up
from ww_core.store.rows import clean, execute

if TYPE_CHECKING:
    from ww_core.domain.expressions.arithmetic import Summary
    from ww_core.domain.model_values import ModelChoice, RowChoice


def reported_values(
    connection: Connection,
    asked: Collection[Summary],
    table: str,
    models: ModelChoice,
    rows: RowChoice,
) -> ModelValues:
    """Return what columns come to over reported models, by a table of others or the tables of a provider.

    Of a provider those tables count that have any of the columns. What a table says of a whole model counts as it is.
    Else the column is summed up over its rows of layers. ``table:column`` names the column of another table or
    provider.

    Args:
        connection: An open transaction.
        asked: The columns, and what they shall come to.
        table: Source of a table, or a provider.
        models: Which models are meant.
        rows: Which rows of layers count.

    Raises:
        UnknownNameError: There is no such table or column, or nothing fits a name of ``models``.
        UsageError: A model is in several tables of the provider; a column holds texts, or is told of whole models where
            layers are chosen.
        NotStoredError: No reported model is left.
    """
    origins = _origins(connection)
    if table not in origins:
        raise UnknownNameError("table or provider", table, origins)
    columns = {summary: _reported_column(connection, *_split(summary.column, table, origins)) for summary in asked}
    sources = {row.source for own in columns.values() if own.origin == table for row in own.rows}
    tables_of = _reported_models(connection, table, sources)
    members = series_of(connection, reported=True)
    models.check([model for model, _ in tables_of], {own for series in members.values() for own in series})
    kept = [own for own in sorted(tables_of) if models.keeps(own[0], members.get(own[0], ()))]
    if not kept:
        raise NotStoredError(f"no model of {table} is left by these names and series")
    for own in kept:
        if len(tables_of[own]) > 1:
            several = ", ".join(sorted(tables_of[own]))
            raise UsageError(f"{own[0]} is in several tables of {table}: name one by --reported: {several}")
    standings = {
        summary: _reported_standing(summary, own, kept, rows, _left_out(connection, own.origin, rows))
        for summary, own in columns.items()
    }
    own_rows = tuple(ModelRow(model, version, "", members.get(model, ())) for model, version in kept)
    return ModelValues(table, is_reported=True, rows=own_rows, standings=standings)


def reported_origins(connection: Connection, columns: Collection[str]) -> list[tuple[str, str]]:
    """List the tables that have all of these columns, with their providers; ``table:column`` is of any."""
    origins = _origins(connection)
    labels = {label for origin, label in (_split(own, "", origins) for own in columns) if not origin}
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for label in labels:
        for row in execute(connection, _HOLDERS, {"label": clean(label)}):
            found[row.source, row.provider].add(label)
    return sorted(own for own, of in found.items() if of == labels)


def directed_columns(connection: Connection, table: str) -> list[str]:
    """List the columns of numbers of a table, or of the tables of a provider, that have a direction."""
    return sorted({row.label for row in execute(connection, _DIRECTED, {"table": clean(table)})})


_reported = t.reported_subject.c
_OF_TABLE = and_(
    _reported.source != "", or_(_reported.source == bindparam("table"), _reported.provider == bindparam("table"))
)
_DIRECTED = (
    select(t.metric_column.c.name.label("label"))
    .select_from(t.reported_subject)
    .join(t.value, t.value.c.subject_id == _reported.subject_id)
    .join(t.metric_column, t.metric_column.c.id == t.value.c.column_id)
    .where(_OF_TABLE, has_direction)
    .distinct()
)
_HOLDERS = (
    select(_reported.source, _reported.provider)
    .select_from(t.metric_column)
    .join(t.identity, and_(t.identity.c.id == t.metric_column.c.identity_id, t.identity.c.kind == "reported"))
    .join(t.value, t.value.c.column_id == t.metric_column.c.id)
    .join(t.reported_subject, _reported.subject_id == t.value.c.subject_id)
    .where(t.metric_column.c.name == bindparam("label"))
    .distinct()
)


class _ReportedColumn(NamedTuple):
    """A column of a table or provider, with all that the tables say of it."""

    told: ModelColumn
    key: int
    origin: str
    rows: list[Any]


def _origins(connection: Connection) -> set[str]:
    """Return the sources of tables, and their providers."""
    return {own for row in connection.execute(_TABLES) for own in row}


_TABLES = select(t.imported_table.c.source, t.imported_table.c.provider)


def _split(column: str, table: str, origins: Collection[str]) -> tuple[str, str]:
    """Split ``table:column``; a column without a table is one of the table that was asked for."""
    origin, colon, label = column.rpartition(":")
    return (origin, label) if colon and origin in origins else (table, column)


def _reported_column(connection: Connection, table: str, label: str) -> _ReportedColumn:
    """Return the definition of a label that most rows of a table have, and all rows that have the label.

    Raises:
        UnknownNameError: The table has no such column.
        UsageError: It holds texts.
    """
    definitions = {row.column_id: row for row in execute(connection, _DEFINITIONS, {"label": clean(label)})}
    rows = _rows_of(connection, table, definitions)
    if not rows:
        known = {row.name for row in execute(connection, _REPORTED_NAMES, {"table": clean(table)})}
        raise UnknownNameError(f"column of {table}", label, known)
    counts = Counter(row.column_id for row in rows)
    chosen = definitions[max(counts, key=lambda key: (counts[key], key))]
    if chosen.type == "text":
        raise UsageError(f"column {label!r} holds texts: models are compared by numbers")
    told = ModelColumn(label, chosen.metric, chosen.version, chosen.better, chosen.unit, chosen.caveat or "")
    return _ReportedColumn(told, chosen.column_id, table, rows)


def _rows_of(connection: Connection, table: str, columns: Collection[int]) -> list[Any]:
    """Return what a table says of columns, in order."""
    return execute(connection, _ROWS, {"table": clean(table), "columns": sorted(columns)}) if columns else []


_DEFINITIONS = (
    select(
        t.metric_column.c.id.label("column_id"),
        t.metric_column.c.type,
        t.metric_column.c.better,
        t.metric_column.c.unit,
        t.identity.c.key.label("metric"),
        t.identity.c.version,
        t.column_caveat.c.caveat,
    )
    .select_from(t.metric_column)
    .join(t.identity, t.identity.c.id == t.metric_column.c.identity_id)
    .outerjoin(t.column_caveat, t.column_caveat.c.column_id == t.metric_column.c.id)
    .where(t.metric_column.c.name == bindparam("label"), t.identity.c.kind == "reported")
)
_ROWS = (
    select(
        _reported.subject_id,
        _reported.source,
        _reported.model,
        _reported.version,
        _reported.layer,
        t.value.c.column_id,
        t.value.c.number,
        t.value.c.state,
    )
    .select_from(t.reported_subject)
    .join(t.value, t.value.c.subject_id == _reported.subject_id)
    .where(_OF_TABLE, t.value.c.column_id.in_(bindparam("columns", expanding=True)))
    .order_by(_reported.source, _reported.row)
)
_REPORTED_NAMES = (
    select(t.metric_column.c.name)
    .select_from(t.reported_subject)
    .join(t.value, t.value.c.subject_id == _reported.subject_id)
    .join(t.metric_column, t.metric_column.c.id == t.value.c.column_id)
    .where(_OF_TABLE)
    .distinct()
)


def _reported_models(
    connection: Connection, table: str, sources: Collection[str]
) -> Mapping[tuple[str, str], set[str]]:
    """Return the models of a table, or of some tables of a provider (for none: of all), with their tables."""
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in execute(connection, _MODELS, {"table": clean(table)}):
        if not sources or row.source in sources:
            found[row.model, row.version].add(row.source)
    return found


_MODELS = select(_reported.model, _reported.version, _reported.source).where(_OF_TABLE).distinct()


def _reported_standing(
    summary: Summary,
    column: _ReportedColumn,
    models: Sequence[tuple[str, str]],
    choice: RowChoice,
    left_out: Collection[int],
) -> Standing:
    """Sum up a column over what its tables say of each model.

    Raises:
        UsageError: It is told of whole models, where layers are chosen or summed up.
    """
    import numpy as np

    of_models: dict[tuple[str, str], Found] = {}
    of_layers: dict[tuple[str, str], list[tuple[str, float | None]]] = defaultdict(list)
    of_another: set[tuple[str, str]] = set()
    for row in column.rows:
        model, number = (row.model, row.version), row.number if row.state == "ok" else None
        if row.column_id != column.key:
            of_another.add(model)
        elif not row.layer:
            of_models[model] = Found(number, int(number is not None), int(number is None))
        elif row.subject_id not in left_out and choice.keeps(row.layer):
            of_layers[model].append((row.layer, number))
    choice.check({row.layer for row in column.rows if row.layer})
    if not of_models.keys().isdisjoint(models) and not (choice.is_everything and summary.aggregate == "mean"):
        what = "no layers can be chosen" if summary.aggregate == "mean" else f"there is no {summary.aggregate}"
        raise UsageError(f"{column.origin} tells {summary.column} of whole models: {what}")
    values, reasons = np.full(len(models), np.nan), []
    present, missing = np.zeros(len(models), np.int64), np.zeros(len(models), np.int64)
    for at, own in enumerate(models):
        found = of_models.get(own) or summed_up(of_layers[own], summary.aggregate, choice)
        present[at], missing[at] = found.present, found.missing
        if own in of_another:
            reasons.append(f"another definition of this column than most rows of {column.origin} have")
        elif found.value is None:
            reasons.append(f"{column.origin} has no value of it")
        else:
            values[at] = found.value
            reasons.append("")
    return Standing(column.told, values, present, missing, tuple(reasons))


def _left_out(connection: Connection, table: str, rows: RowChoice) -> set[int]:
    """Return the keys of those rows of a table that do not count, by their flag and their M."""
    out: set[int] = set()
    if rows.leave_out:
        flags = _reported_column(connection, table, rows.leave_out).rows
        out |= {row.subject_id for row in flags if row.number}
    if rows.min_m:
        sides = _reported_column(connection, table, "M").rows
        out |= {row.subject_id for row in sides if row.number is not None and row.number < rows.min_m}
    return out
