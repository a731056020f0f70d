"""Identities: metrics, extractors and spectra with version and parameters, and the columns that are stored of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, bindparam, delete, func, select, update

from ww_core.store import tables as t
from ww_core.store.keys import Keys
from ww_core.store.rows import chunks, clean, execute, insert_missing, now, record_by_digest, upsert

if TYPE_CHECKING:
    from ww_core.store.records import ColumnKey, IdentityRecord


def record_identities(connection: Connection, records: Sequence[IdentityRecord], keys: Keys) -> list[str]:
    """Store identities and their columns, and put their keys into ``keys``.

    Returns:
        Names of identities that stand with other source code: the code was changed, its version was not.
    """
    found = _stored_identities(connection, records)
    stored = _note(found, records, keys)
    _follow_names(connection, found, records, keys)
    remarked = _follow_remarks(connection, found, records, keys)
    moment = now()
    rows: list[dict[str, Any]] = [
        {
            "digest": record.digest,
            "kind": record.kind,
            "key": record.key,
            "version": record.version,
            **record.texts,
            "source_digest": record.source_digest,
            "created_at": moment,
        }
        for record in records
        if record.digest not in stored
    ]
    keys.identities |= record_by_digest(connection, t.identity, rows)
    extended = [r for r in records if any((r.digest, own.key) not in keys.columns for own in r.columns)]
    rows = [
        {
            "identity_id": keys.identities[record.digest],
            "key": own.key,
            "name": own.name,
            "type": own.type,
            "better": own.better,
            "unit": own.unit,
            "standard_error": own.standard_error,
            "is_table": False,
        }
        for record in extended
        for own in record.columns
        if (record.digest, own.key) not in keys.columns
    ]
    if rows:
        insert_missing(connection, t.metric_column, rows)
        grown = [record for record in extended if record.digest in stored]
        added = _stored_identities(connection, extended)
        stored |= _note(added, extended, keys)
        _follow_remarks(connection, added, extended, keys)
        remarked += grown
    _have_code_of_today(connection, remarked)
    stored |= {record.digest: record.source_digest for record in remarked}
    return [record.name for record in records if stored.get(record.digest, "") not in {"", record.source_digest}]


def follow_identities(connection: Connection, records: Sequence[IdentityRecord]) -> None:
    """Let the columns of stored identities be called and described as they are today; no identity is added."""
    keys = Keys()
    found = _stored_identities(connection, records)
    _note(found, records, keys)
    _follow_names(connection, found, records, keys)
    _have_code_of_today(connection, _follow_remarks(connection, found, records, keys))


def _have_code_of_today(connection: Connection, records: Sequence[IdentityRecord]) -> None:
    """Note the code of identities with a column more, or another remark: it must be another."""
    for record in records:
        code = {"source_digest": record.source_digest}
        connection.execute(update(t.identity).where(t.identity.c.digest == record.digest).values(code))


def _stored_identities(connection: Connection, records: Sequence[IdentityRecord]) -> list[Any]:
    found: list[Any] = []
    for chunk in chunks([record.digest for record in records]):
        found += execute(connection, _IDENTITIES, {"digests": chunk})
    return found


def _note(found: Sequence[Any], records: Sequence[IdentityRecord], keys: Keys) -> dict[str, str]:
    """Note the keys of what was found, and return digests of source code by identity.

    A column whose type is another one now is another column.
    """
    columns = {(record.digest, own.key): own for record in records for own in record.columns}
    for row in found:
        keys.identities[row.digest] = row.id
        own = columns.get((row.digest, row.key))
        if own is not None and own.type == row.type:
            keys.columns[row.digest, row.key] = row.column_id
    return {row.digest: row.source_digest for row in found}


def _follow_names(connection: Connection, found: Sequence[Any], records: Sequence[IdentityRecord], keys: Keys) -> None:
    """Let stored columns be called, and be described, as they are today."""
    columns = {keys.columns.get((r.digest, own.key)): own for r in records for own in r.columns}
    for row in found:
        own = columns.get(row.column_id) if row.column_id is not None else None
        if own is None:
            continue
        today = {name: getattr(own, name) for name in ("name", "better", "unit", "standard_error")}
        if any(getattr(row, name) != value for name, value in today.items()):
            connection.execute(update(t.metric_column).where(t.metric_column.c.id == row.column_id).values(today))


def _follow_remarks(
    connection: Connection, found: Sequence[Any], records: Sequence[IdentityRecord], keys: Keys
) -> list[IdentityRecord]:
    """Let stored columns have the remarks of today, and return the records whose result class says another one."""
    changed = []
    for table, remark in _REMARKS:
        stored = {row.column_id: getattr(row, remark) for row in found}
        for record in records:
            today = {keys.columns.get((record.digest, own.key)): clean(getattr(own, remark)) for own in record.columns}
            other = {key: text for key, text in today.items() if key is not None and stored.get(key, text) != text}
            upsert(connection, table, [{"column_id": key, remark: text} for key, text in other.items() if text])
            gone = [key for key, text in other.items() if not text]
            if gone:
                connection.execute(delete(table).where(table.c.column_id.in_(gone)))
            if other and len(record.columns) > 1:
                changed.append(record)
    return changed


_REMARKS = ((t.column_caveat, "caveat"), (t.column_doubt, "doubts"))
"""What is told of few columns: where it is stored, and the name it has in each."""


_identity, _column = t.identity.c, t.metric_column.c
_IDENTITIES = (
    select(
        _identity.digest,
        _identity.id,
        _identity.source_digest,
        _column.id.label("column_id"),
        _column.key,
        _column.name,
        _column.type,
        _column.better,
        _column.unit,
        _column.standard_error,
        func.coalesce(t.column_caveat.c.caveat, "").label("caveat"),
        func.coalesce(t.column_doubt.c.doubts, "").label("doubts"),
    )
    .outerjoin(t.metric_column, _column.identity_id == _identity.id)
    .outerjoin(t.column_caveat, t.column_caveat.c.column_id == _column.id)
    .outerjoin(t.column_doubt, t.column_doubt.c.column_id == _column.id)
    .where(_identity.digest.in_(bindparam("digests", expanding=True)))
)


def column_keys(connection: Connection, columns: Collection[ColumnKey]) -> dict[int, tuple[str, str]]:
    """Return identity and column of those columns that are stored, by key."""
    wanted = {(own.identity, own.column, own.type) for own in columns}
    found = {}
    for chunk in chunks(sorted({own.identity for own in columns})):
        for row in execute(connection, _IDENTITIES, {"digests": chunk}):
            if (row.digest, row.key, row.type) in wanted:
                found[row.column_id] = (row.digest, row.key)
    return found
