"""Rows of the store: found by digest, inserted where they are missing, replaced; in few statements.

All of it may run twice, and in several processes at once.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections import namedtuple
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from sqlalchemy import Boolean, Connection, Delete, Dialect, Select, Table, Update, bindparam, select

from ww_core.errors import StoreError
from ww_core.store.cells import CellCheck
from ww_core.store.engine import driver_of

if TYPE_CHECKING:
    import sqlite3

CHUNK = 500
"""Rows in one statement: with a dozen columns, well under every server's limit on bound variables."""

SQLITE_INSERTED = 25
"""Rows in one INSERT into SQLite, where there are so many."""


UNREADABLE = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError)
"""What comes of a text that is not JSON any more, a missing part, a number in place of a text."""


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


def execute(connection: Connection, statement: Statement, parameters: Mapping[str, Any]) -> list[Any]:
    """Run a statement that is a constant of the code, and return its rows, with names as SQLAlchemy's have them.

    SQLite does most of them in less time than SQLAlchemy takes to hand them over, so its driver is asked at once. A
    server gets a list as one array: a placeholder for each entry would have to be written, and read, each time.
    """
    if connection.dialect.name == "sqlite":
        return _prepared(statement, connection.dialect).execute(driver_of(connection), parameters)
    return _prepared_for_server(statement, connection.dialect).execute(connection, parameters)


Statement = Select[Any] | Update | Delete


@functools.cache
def _prepared(statement: Statement, dialect: Dialect) -> _Prepared:
    return _Prepared(statement, dialect)


@functools.cache
def _prepared_for_server(statement: Statement, dialect: Dialect) -> _PreparedForServer:
    return _PreparedForServer(statement, dialect)


def _row_of(statement: Statement) -> Callable[[Sequence[Any]], Any]:
    """Return what makes a row with the names of the statement's columns of a plain one."""
    columns = list(statement.selected_columns) if isinstance(statement, Select) else []
    row: Any = namedtuple("Row", [str(column.key) for column in columns], rename=True)  # type: ignore[misc]
    return functools.partial(tuple.__new__, row)  # faster than its _make


class _PreparedForServer:
    """A statement as the driver of PostgreSQL takes it: compiled once, with arrays for lists."""

    def __init__(self, statement: Statement, dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        self._lists = frozenset(re.findall(_LIST, compiled.string))
        self._text = re.sub(rf"IN \({_LIST}\)", r"= ANY(%(\1)s)", compiled.string)
        self._fixed = dict(compiled.params)
        self._row = _row_of(statement)

    def execute(self, connection: Connection, parameters: Mapping[str, Any]) -> list[Any]:
        given = {**self._fixed, **parameters}
        lists = {name: _array_of(given[name]) for name in self._lists}
        with connection.exec_driver_sql(self._text, given | lists) as answer:
            # The driver's rows, all at once: SQLAlchemy's own would be made one by one, and thrown away.
            return list(map(self._row, answer.cursor.fetchall())) if answer.returns_rows else []


def _array_of(values: Collection[Any]) -> list[Any] | str:
    """Return a list as the driver of PostgreSQL takes it; numbers as the server reads them, whom nobody asks for types.

    The driver looks at each of them, which takes as long as the server takes to find something by it.
    """
    own = list(values)
    return f"{{{','.join(map(str, own))}}}" if own and type(own[0]) is int else own


class _Prepared:
    """A statement as SQLite's driver takes it: compiled once, for lists of any length."""

    def __init__(self, statement: Statement, dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        self._text = compiled.string
        self._lists = frozenset(re.findall(_LIST, self._text))
        self._fixed = dict(compiled.params)
        self._names = tuple(compiled.positiontup or ())
        columns = list(statement.selected_columns) if isinstance(statement, Select) else []
        self._row = _row_of(statement)
        self._check = CellCheck(statement) if isinstance(statement, Select) else _unchecked
        self._booleans = [place for place, column in enumerate(columns) if isinstance(column.type, Boolean)]

    def execute(self, driver: sqlite3.Connection, parameters: Mapping[str, Any]) -> list[Any]:
        given = {**self._fixed, **parameters}
        text = self._text
        for name in self._lists:
            text = text.replace(_LIST_OF.format(name), ", ".join("?" * len(given[name])))
        values = chain.from_iterable(given[name] if name in self._lists else (given[name],) for name in self._names)
        rows = list(map(self._row, driver.execute(text, tuple(values))))
        self._check(rows)
        return [self._row(self._with_booleans(row)) for row in rows] if self._booleans else rows

    def _with_booleans(self, row: Sequence[Any]) -> list[Any]:
        typed = list(row)
        for place in self._booleans:  # which SQLite keeps as 0 and 1
            typed[place] = None if typed[place] is None else bool(typed[place])
        return typed


def _unchecked(_rows: Sequence[Sequence[Any]]) -> None:
    pass  # what changes rows returns none


_LIST_OF = "__[POSTCOMPILE_{}]"  # how SQLAlchemy marks the place of a list
_LIST = r"__\[POSTCOMPILE_(\w+)\]"


def keys_by_digest(connection: Connection, table: Table, digests: Sequence[str]) -> dict[str, int]:
    """Return the keys of those rows of a table that are stored, by digest."""
    found = (execute(connection, _by_digest(table), {"digests": chunk}) for chunk in chunks(digests))
    return dict(chain.from_iterable(found))


@functools.cache
def _by_digest(table: Table) -> Select[Any]:
    return select(table.c.digest, table.c.id).where(table.c.digest.in_(bindparam("digests", expanding=True)))


def record_by_digest(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Insert the rows whose digest is new, and return the keys of all of them by digest."""
    # In one order everywhere, so that two processes on a server wait for each other and never in a circle.
    by_digest = {row["digest"]: row for row in sorted(rows, key=itemgetter("digest"))}
    # SQLite inserts rows one by one and looks their keys up in less time than it takes to return them.
    told = "" if connection.dialect.name == "sqlite" else " RETURNING digest, id"
    keys = dict(_insert(connection, table, list(by_digest.values()), f"ON CONFLICT DO NOTHING{told}"))
    # What was there, or another process has written in the meantime, is not among what was inserted.
    return keys | keys_by_digest(connection, table, [digest for digest in by_digest if digest not in keys])


def insert_one(connection: Connection, table: Table, row: Mapping[str, Any]) -> int:
    """Insert a row that is new, and return its key."""
    statement = _inserting(connection.dialect, table, tuple(row), 1, "RETURNING id")
    ((key,),) = _run(connection, statement, _cleaned(row))
    return int(key)


def insert_missing(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert the rows whose keys are not there."""
    _insert(connection, table, rows, "ON CONFLICT DO NOTHING")


def insert_many(
    connection: Connection,
    table: Table,
    columns: tuple[str, ...],
    rows: Sequence[tuple[Any, ...]],
    *,
    where_null: str = "",
) -> int:
    """Insert the rows whose keys are not there, given as tuples whose texts are clean.

    Args:
        connection: An open transaction.
        table: The table.
        columns: Its columns that the rows have.
        rows: The rows.
        where_null: A column: rows that are there, and have nothing in it, are replaced. Empty: none are.

    Returns:
        How many rows were inserted or replaced.
    """
    ending = _updating(table, (), where_null) if where_null else "ON CONFLICT DO NOTHING"
    if connection.dialect.name == "sqlite":
        driver = driver_of(connection)
        before = driver.total_changes
        _insert_tuples(connection, table, columns, rows, ending)
        return driver.total_changes - before
    changed = 0
    for chunk in chunks(rows):
        statement = _inserting(connection.dialect, table, columns, len(chunk), ending)
        changed += connection.exec_driver_sql(statement, tuple(chain.from_iterable(chunk))).rowcount
    return changed


def insert_very_many(
    connection: Connection, table: Table, columns: tuple[str, ...], rows: Sequence[tuple[Any, ...]]
) -> int:
    """Do the same as `insert_many`; on a server through a table of the transaction's own, in a fifth of the time."""
    if connection.dialect.name == "sqlite" or len(rows) <= CHUNK:
        return insert_many(connection, table, columns, rows)
    coming, names = f"coming_{table.name}", ", ".join(columns)
    place = connection.dialect.identifier_preparer.format_table(table)
    # Names are those of our tables and columns; values are not among them.
    own = f"CREATE TEMPORARY TABLE IF NOT EXISTS {coming} ON COMMIT DROP"
    connection.exec_driver_sql(f"{own} AS SELECT {names} FROM {place} WITH NO DATA")  # noqa: S608 - see above
    connection.exec_driver_sql(f"TRUNCATE {coming}")
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(f"COPY {coming} ({names}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)
    move = f"INSERT INTO {place} ({names}) SELECT {names} FROM {coming} ON CONFLICT DO NOTHING"  # noqa: S608 - see above
    return connection.exec_driver_sql(move).rowcount


def upsert(
    connection: Connection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    *,
    update_columns: Sequence[str] = (),
    where_null: str = "",
) -> None:
    """Insert rows, and update those that are there: all columns, or some; where a column is NULL, if one is named."""
    _insert(connection, table, rows, _updating(table, tuple(update_columns), where_null))


@functools.cache
def _updating(table: Table, columns: tuple[str, ...], where_null: str) -> str:
    keys = table.primary_key.columns.keys()
    columns = columns or tuple(column.name for column in table.columns if not column.primary_key)
    replaced = ", ".join(f"{name} = excluded.{name}" for name in columns)
    condition = f" WHERE {table.name}.{where_null} IS NULL" if where_null else ""
    return f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {replaced}{condition}"


def _insert(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], ending: str) -> list[Any]:
    """Insert rows of equal columns in equal order, and return what the ``ending`` of the statement says."""
    return _insert_tuples(connection, table, tuple(rows[0]), list(map(_cleaned, rows)), ending) if rows else []


def _cleaned(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple([clean(own) if type(own) is str else own for own in row.values()])


def _insert_tuples(
    connection: Connection, table: Table, columns: tuple[str, ...], rows: Sequence[tuple[Any, ...]], ending: str
) -> list[Any]:
    """Insert rows, and return what the ``ending`` of the statement says, which in SQLite must be nothing.

    Many rows go into one statement: a statement for each takes several times as long, and SQLAlchemy's own that take
    many must be compiled anew for each count of rows. SQLite takes longer to read such a statement than to do it, so
    all have one length there, and the rows that are left go one by one.
    """
    statement = functools.partial(_inserting, connection.dialect, table, columns, ending=ending)
    sqlite = connection.dialect.name == "sqlite"
    at_once = len(rows) // SQLITE_INSERTED * SQLITE_INSERTED if sqlite else len(rows)
    returned: list[Any] = []
    for chunk in chunks(rows[:at_once], SQLITE_INSERTED if sqlite else CHUNK):
        returned += _run(connection, statement(len(chunk)), tuple(chain.from_iterable(chunk)))
    if rows[at_once:]:
        driver_of(connection).executemany(statement(1), rows[at_once:])
    return returned


def _run(connection: Connection, statement: str, values: tuple[Any, ...]) -> list[Any]:
    if connection.dialect.name == "sqlite":
        return driver_of(connection).execute(statement, values).fetchall()
    answer = connection.exec_driver_sql(statement, values)
    return list(answer.all()) if answer.returns_rows else []


@functools.lru_cache(maxsize=256)
def _inserting(dialect: Dialect, table: Table, columns: tuple[str, ...], count: int, ending: str) -> str:
    """Return a statement that inserts so many rows. Names and endings are this module's own; values are bound."""
    marks = f"({', '.join(['?' if dialect.name == 'sqlite' else '%s'] * len(columns))})"
    into = f"{dialect.identifier_preparer.format_table(table)} ({', '.join(columns)})"
    return f"INSERT INTO {into} VALUES {', '.join([marks] * count)} {ending}"  # noqa: S608 - see above


def clean(text: str) -> str:
    """Return text that every database takes: lone surrogates and NUL are written out."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def chunks(items: Sequence[Any], size: int = 0) -> Iterator[Sequence[Any]]:
    """Yield parts of ``items`` that one statement can take, or of a smaller size."""
    size = min(size or CHUNK, CHUNK)
    for start in range(0, len(items), size):
        yield items[start : start + size]
