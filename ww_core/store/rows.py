"""Rows of the store: found by digest, inserted where they are missing, replaced; in few statements.

All of it may run twice, and in several processes at once.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, bindparam, select

from ww_core.errors import StoreError

CHUNK = 500
"""Rows in one statement: with a dozen columns, well under every server's limit on bound variables."""


UNREADABLE = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError)
"""What comes of a text that is no JSON any more, a missing part, a number in place of a text."""


@contextlib.contextmanager
def readable() -> Iterator[None]:
    """Turn what comes of a row that is not what ww writes into one sentence with the next step.

    Raises:
        StoreError: Something that is stored cannot be read.
    """
    try:
        yield
    except UnicodeDecodeError:  # the database's own, of a damaged file
        raise
    except UNREADABLE as error:
        cause = f"something in the store cannot be read ({type(error).__name__}: {error})"
        raise StoreError(f"{cause}: `ww db check` lists what is damaged") from error


def now() -> str:
    """Return the time as it is stored: UTC, ISO 8601, with ``Z``."""
    return timestamp(datetime.now(UTC))


def timestamp(moment: datetime) -> str:
    """Return a moment, in UTC, as it is stored: texts of moments are in the order of the moments."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def record_by_digest(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Insert the rows whose digest is new, and return the keys of all of them by digest."""
    keys = keys_by_digest(connection, table, [row["digest"] for row in rows])
    return keys | insert_by_digest(connection, table, [row for row in rows if row["digest"] not in keys])


def keys_by_digest(connection: Connection, table: Table, digests: Sequence[str]) -> dict[str, int]:
    """Return the keys of those rows of a table that are stored, by digest."""
    found = (connection.execute(_by_digest(table), {"digests": chunk}) for chunk in chunks(digests))
    return {digest: key for rows in found for digest, key in rows.all()}


@functools.cache
def _by_digest(table: Table) -> Select[Any]:
    return select(table.c.digest, table.c.id).where(table.c.digest.in_(bindparam("digests", expanding=True)))


def insert_by_digest(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Insert rows whose digests were not there, and return their keys by digest."""
    # In one order everywhere, so that two processes on a server wait for each other and never in a circle.
    by_digest = {row["digest"]: row for row in sorted(rows, key=itemgetter("digest"))}
    inserted = _insert(connection, table, list(by_digest.values()), "ON CONFLICT DO NOTHING RETURNING digest, id")
    keys = {row.digest: row.id for row in inserted}
    # What another process has written in the meantime is not among what was inserted.
    return keys | keys_by_digest(connection, table, [digest for digest in by_digest if digest not in keys])


def insert_one(connection: Connection, table: Table, row: Mapping[str, Any]) -> int:
    """Insert a row that is new, and return its key."""
    return int(_insert(connection, table, [row], "RETURNING id")[0].id)


def insert_missing(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert the rows whose keys are not there."""
    _insert(connection, table, rows, "ON CONFLICT DO NOTHING")


def upsert(
    connection: Connection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    *,
    update_columns: Sequence[str],
    where_null: str = "",
) -> None:
    """Insert rows, and update some columns of those that are there; only where a column is NULL, if one is named."""
    keys = ", ".join(table.primary_key.columns.keys())
    replaced = ", ".join(f"{name} = excluded.{name}" for name in update_columns)
    condition = f" WHERE {table.name}.{where_null} IS NULL" if where_null else ""
    _insert(connection, table, rows, f"ON CONFLICT ({keys}) DO UPDATE SET {replaced}{condition}")


def _insert(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], ending: str) -> list[Row[Any]]:
    """Insert rows of equal columns in equal order, and return what the ``ending`` of the statement says.

    Many rows go into one statement: a statement for each takes several times as long, and SQLAlchemy's own that take
    many must be compiled anew for each count of rows.
    """
    if not rows:
        return []
    mark = "%s" if connection.dialect.name == "postgresql" else "?"
    into = f"{connection.dialect.identifier_preparer.format_table(table)} ({', '.join(rows[0])})"
    marks = f"({', '.join([mark] * len(rows[0]))})"
    returned: list[Row[Any]] = []
    for chunk in chunks(rows):
        values = [clean(value) if type(value) is str else value for row in chunk for value in row.values()]
        # Names and endings are this module's own; values are bound.
        statement = f"INSERT INTO {into} VALUES {', '.join([marks] * len(chunk))} {ending}"  # noqa: S608
        answer = connection.exec_driver_sql(statement, tuple(values))
        returned += answer.all() if answer.returns_rows else ()
    return returned


def clean(text: str) -> str:
    """Return text that every database takes: lone surrogates and NUL are written out."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def chunks(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Yield parts of ``items`` that one statement can take."""
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]
