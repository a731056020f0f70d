"""What is said of checkpoints besides their own results: pairs, derivations, tables that a metric has of a subject.

Every function works inside the caller's transaction, and may run twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Table, bindparam, select

from ww_core.domain.identity import canonical_json, digest_of
from ww_core.errors import NotStoredError
from ww_core.store import tables as t
from ww_core.store.origins import record_origins
from ww_core.store.rows import insert_missing, keys_by_digest, now, record_by_digest

if TYPE_CHECKING:
    from ww_core.domain.column import Column
    from ww_core.domain.outcome import Outcome
    from ww_core.store.records import DerivationRecord, OriginRecord


def _key(connection: Connection, table: Table, digest: str) -> int:
    """Return the key of what a digest names.

    Raises:
        NotStoredError: It is not stored.
    """
    key = keys_by_digest(connection, table, [digest]).get(digest)
    if key is None:
        raise NotStoredError(f"no {table.name} {digest!r} in this store: give the digest of one that is stored")
    return key


def record_pair(connection: Connection, first: str, second: str) -> str:
    """Store the pair of two subjects, named by their digests, and return its own.

    Raises:
        NotStoredError: One of them is not stored.
    """
    keys = {own: _key(connection, t.subject, own) for own in (first, second)}
    digest = pair_digest(first, second)
    subject_id = record_by_digest(connection, t.subject, [{"digest": digest, "kind": "pair"}])[digest]
    pair = {"subject_id": subject_id, "first_id": keys[first], "second_id": keys[second]}
    insert_missing(connection, t.pair_subject, [pair])
    return digest


def pair_digest(first: str, second: str) -> str:
    """Return the content address of the pair of two subjects, named by their digests."""
    return digest_of("pair", {"first": first, "second": second})


def record_derivation(connection: Connection, record: DerivationRecord) -> None:
    """Store how a checkpoint was made.

    Raises:
        NotStoredError: The checkpoint is not stored.
    """
    row: dict[str, Any] = {
        "digest": derivation_digest(record),
        "checkpoint_id": _key(connection, t.checkpoint, record.checkpoint),
        "transform": record.transform,
        "version": record.version,
        "parameters": canonical_json(dict(record.parameters)),
        "created_at": now(),
    }
    key = record_by_digest(connection, t.derivation, [row])[row["digest"]]
    parents = [
        {"derivation_id": key, "position": position, "checkpoint": parent}
        for position, parent in enumerate(record.parents)
    ]
    insert_missing(connection, t.derivation_parent, parents)


def parents_of(connection: Connection, digest: str, transform: str, parameters: Mapping[str, Any]) -> list[str]:
    """List the digests of all that a checkpoint was made from by a transform, in the order of recording."""
    asked = {"digest": digest, "transform": transform, "parameters": canonical_json(dict(parameters))}
    return list(dict.fromkeys(connection.scalars(_PARENTS, asked)))


_PARENTS = (
    select(t.derivation_parent.c.checkpoint)
    .join(t.derivation, t.derivation.c.id == t.derivation_parent.c.derivation_id)
    .join(t.checkpoint, t.checkpoint.c.id == t.derivation.c.checkpoint_id)
    .where(
        t.checkpoint.c.digest == bindparam("digest"),
        t.derivation.c.transform == bindparam("transform"),
        t.derivation.c.parameters == bindparam("parameters"),
    )
    .order_by(t.derivation.c.created_at, t.derivation.c.digest, t.derivation_parent.c.position)
)


def derivation_digest(record: DerivationRecord) -> str:
    """Return the content address of a derivation."""
    content = {
        "checkpoint": record.checkpoint,
        "parents": list(record.parents),
        "transform": record.transform,
        "version": record.version,
        "parameters": dict(record.parameters),
    }
    return digest_of("derivation", content)


def record_table(
    connection: Connection,
    subject: str,
    identity: str,
    columns: Sequence[Column],
    rows: Sequence[Mapping[str, Outcome]],
    origin: OriginRecord | None = None,
) -> None:
    """Store the rows of named columns that a metric has of a subject, unless it has some already.

    Args:
        connection: An open transaction.
        subject: Digest of the subject.
        identity: Digest of the metric's identity.
        columns: The columns.
        rows: Outcomes by key of the column, in order.
        origin: Who made them; None if that is not known.

    Raises:
        NotStoredError: The subject or the identity is not stored.
    """
    subject_id, identity_id = _key(connection, t.subject, subject), _key(connection, t.identity, identity)
    described = [
        {
            "identity_id": identity_id,
            "key": own.key,
            "name": own.name,
            "type": own.type,
            "better": own.better,
            "unit": own.unit,
            "standard_error": own.standard_error,
            "is_table": True,
        }
        for own in columns
    ]
    insert_missing(connection, t.metric_column, described)
    column = t.metric_column.c
    stored = connection.execute(
        select(column.key, column.id, column.type).where(column.identity_id == identity_id, column.is_table)
    )
    types = {own.key: own.type for own in columns}
    keys = {row.key: row.id for row in stored if types.get(row.key) == row.type}
    there = select(t.table_value.c.row).where(
        t.table_value.c.subject_id == subject_id, t.table_value.c.column_id.in_(keys.values())
    )
    if connection.execute(there).first() is not None:
        return
    origin_id = record_origins(connection, [origin])[origin] if origin else None
    values = [
        {
            "subject_id": subject_id,
            "column_id": keys[name],
            "row": position,
            "state": str(outcome.state),
            "number": outcome.number,
            "text": outcome.text,
            "reason": outcome.reason,
            "origin_id": origin_id,
        }
        for position, row in enumerate(rows)
        for name, outcome in row.items()
    ]
    insert_missing(connection, t.table_value, sorted(values, key=lambda own: (own["column_id"], own["row"])))
