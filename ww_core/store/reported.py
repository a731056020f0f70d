"""Tables of results that others made: stored as they are, told by their source, and never mixed with our own values.

Every function works inside the caller's transaction.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, bindparam, delete, or_, select, update

from ww_core.domain.columnar import ValueTable
from ww_core.domain.identity import canonical_json, digest_of
from ww_core.domain.outcome import State
from ww_core.errors import UnknownNameError, UsageError
from ww_core.store import tables as t
from ww_core.store.garbage import remove_subjects
from ww_core.store.records import ImportedTable, StoredTable
from ww_core.store.reported_models import record_reported_models
from ww_core.store.rows import clean, execute, insert_many, insert_missing, now, record_by_digest, upsert
from ww_core.store.scores import record_reported_scores
from ww_core.store.series import record_reported_members

if TYPE_CHECKING:
    from ww_core.domain.reported_table import ReportedColumn, ReportedTable


def record_reported_table(connection: Connection, table: ReportedTable, *, replace: bool) -> ImportedTable:
    """Store a table, unless it is stored already.

    Args:
        connection: An open transaction.
        table: The table.
        replace: Whether another table of the same source gives way to it.

    Raises:
        UsageError: There is another table of the same source, and ``replace`` is not set; or the same source has
            another number for a score.
    """
    models = {(row.model, row.version) for row in table.rows} | {(own.model, own.version) for own in table.scores}
    values = sum(len(row.values) for row in table.rows)
    counts = (len(models), len(table.rows), values, len(table.scores))
    content = _content_digest(table)
    # Of two processes that store a table of one source, the second waits here, and finds the first one's.
    nothing = {"provider": "", "content": "", "rows": 0, "created_at": ""}
    insert_missing(connection, t.imported_table, [{"source": table.source} | nothing])
    stored = connection.execute(_IMPORTED.with_for_update(), {"source": clean(table.source)}).one()
    if stored.content == content:
        return ImportedTable(table.source, table.provider, *counts, is_new=False)
    if stored.content:
        if not replace:
            raise UsageError(
                f"another table of source {table.source!r} is stored (of {stored.created_at[:10]}): --replace puts "
                "this one in its place, or give this one another --source"
            )
        _remove_rows(connection, table.source)
    told = {"provider": clean(table.provider), "content": content, "rows": len(table.rows), "created_at": now()}
    connection.execute(update(t.imported_table).where(t.imported_table.c.id == stored.id).values(told))
    columns = _record_columns(connection, table.columns)
    keys = record_reported_models(connection, models)
    _record_rows(connection, table, columns)
    members = defaultdict(set)
    for (model, _), key in keys.items():
        for series in table.series.get(model, ()):
            members[series].add(key)
    record_reported_members(connection, members)
    record_reported_scores(connection, table.scores, correct=replace)
    return ImportedTable(table.source, table.provider, *counts, is_new=True)


def remove_reported_table(connection: Connection, source: str) -> int:
    """Remove the rows of a table and what they say, and return how many there were.

    Models, series and scores that came with it stay: others may speak of them.

    Raises:
        UnknownNameError: There is no such table.
    """
    if not execute(connection, _IMPORTED, {"source": clean(source)}):
        raise UnknownNameError("table", source, [own.source for own in stored_tables(connection)])
    connection.execute(delete(t.imported_table).where(t.imported_table.c.source == clean(source)))
    return _remove_rows(connection, source)


def _remove_rows(connection: Connection, source: str) -> int:
    own = t.reported_subject.c
    keys = list(connection.scalars(select(own.subject_id).where(own.source == clean(source))))
    remove_subjects(connection, keys)
    return len(keys)


def stored_tables(connection: Connection) -> list[StoredTable]:
    """List the tables of others, by source."""
    own = t.imported_table.c
    query = select(own.source, own.provider, own.rows, own.created_at).order_by(own.source)
    return [StoredTable(*row) for row in connection.execute(query)]


_IMPORTED = select(t.imported_table).where(t.imported_table.c.source == bindparam("source"))


def reported_row_digest(source: str, position: int, provider: str) -> str:
    """Return the content address of a row of a table of others."""
    return digest_of("reported", {"source": source, "row": position, "provider": provider})


def reported_table(connection: Connection, table: str, columns: Sequence[str]) -> ValueTable:
    """Return the rows of a table, or of all tables of a provider, in order.

    Args:
        connection: An open transaction.
        table: Source of a table, or a provider.
        columns: Names of columns; empty for all.

    Raises:
        UnknownNameError: There is no such table or column.
    """
    import numpy as np

    asked = {"table": clean(table)}
    rows = execute(connection, _ROWS, asked)
    if not rows:
        known = {own for stored in stored_tables(connection) for own in (stored.source, stored.provider)}
        raise UnknownNameError("table or provider", table, known)
    place_of = {row.subject_id: at for at, row in enumerate(rows)}
    some = {**asked, "names": [clean(name) for name in columns]}
    values = execute(connection, _SOME_VALUES, some) if columns else execute(connection, _VALUES, asked)
    types = {row.name: row.type for row in values}
    for name in columns:
        if name not in types:
            raise UnknownNameError(
                f"column of {table}", name, {row.name for row in execute(connection, _VALUES, asked)}
            )
    chosen = list(columns) or sorted(types)
    numbers = {name: np.full(len(rows), np.nan) for name in chosen if types[name] != "text"}
    texts = {name: np.full(len(rows), None, dtype=object) for name in chosen if types[name] == "text"}
    states = {name: np.full(len(rows), "missing", dtype=object) for name in chosen}
    variants = {name: np.full(len(rows), None, dtype=object) for name in chosen}
    for row in values:
        if row.name in states:
            at = place_of[row.subject_id]
            states[row.name][at], variants[row.name][at] = row.state, row.identity
            if row.number is not None and row.name in numbers:
                numbers[row.name][at] = row.number
            elif row.text is not None and row.name in texts:
                texts[row.name][at] = row.text
    heads = ("model", "version", "layer", "source", "table_row")
    places = {head: np.array([row[at] for row in rows], dtype=object) for at, head in enumerate(heads)}
    return ValueTable(places, numbers, texts, variants, states)


_own = t.reported_subject.c
_OF_TABLE = or_(_own.source == bindparam("table"), _own.provider == bindparam("table"))
_ROWS = (
    select(_own.model, _own.version, _own.layer, _own.source, _own.row, _own.subject_id)
    .where(_OF_TABLE, _own.source != "")
    .order_by(_own.source, _own.row)
)
_VALUES = (
    select(
        _own.subject_id,
        t.metric_column.c.name,
        t.metric_column.c.type,
        t.identity.c.digest.label("identity"),
        t.value.c.state,
        t.value.c.number,
        t.value.c.text,
    )
    .select_from(t.reported_subject)
    .join(t.value, t.value.c.subject_id == _own.subject_id)
    .join(t.metric_column, t.metric_column.c.id == t.value.c.column_id)
    .join(t.identity, t.identity.c.id == t.metric_column.c.identity_id)
    .where(_OF_TABLE, _own.source != "")
)
_SOME_VALUES = _VALUES.where(t.metric_column.c.name.in_(bindparam("names", expanding=True)))


def _content_digest(table: ReportedTable) -> str:
    content = {
        "provider": table.provider,
        "columns": [[own.name, own.identity, own.type, own.better, own.unit, own.caveat] for own in table.columns],
        "rows": [[own.model, own.version, own.layer, sorted(own.values.items())] for own in table.rows],
        "series": {model: sorted(own) for model, own in table.series.items()},
        "scores": sorted(map(list, table.scores), key=canonical_json),
    }
    return digest_of("table", content)


def _record_columns(connection: Connection, columns: Sequence[ReportedColumn]) -> dict[str, int]:
    """Store the definitions of columns, described as they are today, and return the keys of the columns by name."""
    moment = now()
    identities = [
        {
            "digest": own.identity,
            "kind": "reported",
            "key": own.metric,
            "version": own.version,
            "parameters": canonical_json({"definition": own.definition}),
            "needs": "{}",
            "source_digest": "",
            "created_at": moment,
        }
        for own in columns
    ]
    identity_keys = record_by_digest(connection, t.identity, identities)
    rows = [
        {
            "identity_id": identity_keys[own.identity],
            "key": own.name,
            "name": own.name,
            "type": own.type,
            "better": own.better,
            "unit": own.unit,
            "standard_error": "",
            "is_table": False,
        }
        for own in columns
    ]
    insert_missing(connection, t.metric_column, rows)
    column = t.metric_column.c
    keys = {}
    for own in columns:
        query = select(column.id, column.better, column.unit).where(
            column.identity_id == identity_keys[own.identity], column.key == clean(own.name), column.type == own.type
        )
        stored = connection.execute(query).one()
        keys[own.name] = int(stored.id)
        today = {"better": own.better, "unit": clean(own.unit)}
        if (stored.better, stored.unit) != tuple(today.values()):
            connection.execute(update(t.metric_column).where(column.id == stored.id).values(today))
    caveats = [{"column_id": keys[own.name], "caveat": own.caveat} for own in columns if own.caveat]
    upsert(connection, t.column_caveat, caveats)
    without = [keys[own.name] for own in columns if not own.caveat]
    connection.execute(delete(t.column_caveat).where(t.column_caveat.c.column_id.in_(without)))
    return keys


def _record_rows(connection: Connection, table: ReportedTable, columns: Mapping[str, int]) -> None:
    digests = [reported_row_digest(table.source, position, table.provider) for position in range(len(table.rows))]
    subjects = record_by_digest(connection, t.subject, [{"digest": own, "kind": "reported"} for own in digests])
    keys = [subjects[digest] for digest in digests]
    source, provider = clean(table.source), clean(table.provider)
    parts: list[tuple[Any, ...]] = [
        (key, source, position, provider, clean(row.model), clean(row.version), clean(row.layer))
        for position, (key, row) in enumerate(zip(keys, table.rows, strict=True))
    ]
    names = ("subject_id", "source", "row", "provider", "model", "version", "layer")
    insert_many(connection, t.reported_subject, names, parts)
    values: list[tuple[Any, ...]] = [
        (key, columns[name], str(own.state), _number(own.number), _text(own.text), clean(own.reason))
        for key, row in zip(keys, table.rows, strict=True)
        for name, own in row.values.items()
        if own.state is not State.FAILED
    ]
    stated = ("subject_id", "column_id", "state", "number", "text", "reason")
    insert_many(connection, t.value, stated, sorted(values, key=lambda own: own[:2]))


def _number(number: float | bool | None) -> float | None:
    return None if number is None else float(number)


def _text(text: str | None) -> str | None:
    return None if text is None else clean(text)
