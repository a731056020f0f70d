"""Queries that somebody wrote in SQL: each is one SELECT, which changes nothing and ends in time.

On an SQLite file a query runs in a process of its own (``sqlite_query``), on a server in a session of its own: whatever
it makes of them ends with it.
"""

from __future__ import annotations

import contextlib
import marshal
import math
import os
import re
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy.exc import DBAPIError, OperationalError

from ww_core.domain.sql_answer import SqlAnswer, named_once
from ww_core.errors import StoreError, UnknownNameError, UsageError, near_names
from ww_core.store import sqlite_query, tables
from ww_core.store.engine import driver_of, must_be_immutable, uri_for_reading
from ww_core.store.sqlite_query import (
    ANSWER_BYTES,
    MEMORY_BYTES,
    QUERY_BYTES,
    TEMPORARY_BYTES,
    AnswerTooLargeError,
    taken,
)
from ww_core.store.views import VIEWS

if TYPE_CHECKING:
    import psycopg
    from sqlalchemy import Connection

    from ww_core.store.engine import Location

MOST_SECONDS = 1_000_000
MOST_ROWS = 1_000_000_000

PATIENCE = 3.0
"""Seconds beyond its limit of time that a server is heard."""

MOST_FETCHED = 1024
"""Rows that a server makes at a time: it begins to send them when the last one is made."""

_OF_TEMPORARY_FILES = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE}  # the store itself is only read

_CURSOR = "ww_sql"
_NOTHING = re.compile(r"(?:[\s;]++|--[^\n]*+|/\*.*?\*/)*+", re.DOTALL)  # blanks and comments
_SELECT = re.compile(
    rf"(?:{_NOTHING.pattern}\()*+{_NOTHING.pattern}(?:SELECT|WITH|VALUES|TABLE)\b", re.DOTALL | re.IGNORECASE
)


def ask(connection: Connection, location: Location, query: str, *, seconds: float, rows: int) -> SqlAnswer:
    """Answer a query.

    Args:
        connection: A transaction that reads the store.
        location: Where the store lies.
        query: One SELECT.
        seconds: How long it may take.
        rows: How many rows to return at most.

    Raises:
        UsageError: The query is not one SELECT, cannot be run, takes too long, or answers too much.
        UnknownNameError: It names a table, view or column that is not there.
        StoreError: The database could not be read.
    """
    _check(query, seconds, rows)
    asked = _ask_server if connection.dialect.name == "postgresql" else _ask_file
    columns, found = asked(connection, location, query, seconds, rows + 1)
    return SqlAnswer(named_once(columns), tuple(found[:rows]), is_cut=len(found) > rows)


def _check(query: str, seconds: float, rows: Any) -> None:
    if not isinstance(query, str):
        raise UsageError(f"the query is a text, not {type(query).__name__}")
    if not 0 < seconds <= MOST_SECONDS:
        raise UsageError(f"the limit of seconds is a number above 0, up to {MOST_SECONDS:,}, not {seconds}")
    if not isinstance(rows, int) or not 1 <= rows <= MOST_ROWS:
        raise UsageError(f"the limit of rows is a whole number from 1 to {MOST_ROWS:,}, not {rows}")
    if len(query) > QUERY_BYTES or len(query.encode(errors="replace")) > QUERY_BYTES:
        raise UsageError(f"the query is longer than {QUERY_BYTES:,} bytes: shorten it")
    if "\0" in query or any("\ud800" <= letter <= "\udfff" for letter in query):
        raise UsageError("the query holds a NUL or half a character: such stand in no text")
    if _NOTHING.fullmatch(query):
        raise _empty()


# --- an SQLite file ---------------------------------------------------------------------------------------------------


def _ask_file(
    connection: Connection, location: Location, query: str, seconds: float, rows: int
) -> tuple[list[str], list[tuple[Any, ...]]]:
    with _uri(connection, location) as uri:
        code, output = _run_apart(marshal.dumps((uri, query, rows, float(seconds))))
    if code == sqlite_query.TIMED_OUT:
        raise _too_slow(seconds)
    if code:
        raise StoreError(
            f"the process of the query ended with code {code}: run it again, "
            "or look with `ww db check` whether the store is whole"
        )
    outcome = marshal.loads(output)  # noqa: S302 - of our own process
    if "refused" in outcome:
        raise _refused_by_sqlite(query, **outcome)
    return outcome["columns"], outcome["rows"]


def _run_apart(question: bytes) -> tuple[int, bytes]:
    """Run ``sqlite_query`` in a process of its own, which ends in any case, and return its exit code and output."""
    # -I: neither the folder one stands in, which may be a stranger's, nor variables say where modules are found.
    with subprocess.Popen(  # noqa: S603 - a file of ours
        [sys.executable, "-I", "-S", sqlite_query.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            output, _ = process.communicate(question)
        finally:
            process.kill()
            process.wait()
    return process.returncode, output


@contextlib.contextmanager
def _uri(connection: Connection, location: Location) -> Iterator[str]:
    """Give the address of a store for another process: of one in memory that of a copy."""
    if location.path is not None:
        yield uri_for_reading(location.path, immutable=must_be_immutable(location.path))
        return
    with tempfile.TemporaryDirectory(prefix="ww-") as folder:
        path = Path(folder) / "copy.sqlite"
        with contextlib.closing(sqlite3.connect(path)) as copy:
            driver_of(connection).backup(copy)
        yield uri_for_reading(path, immutable=True)


def _refused_by_sqlite(query: str, refused: str, detail: str = "", code: int = 0) -> Exception:
    match refused:
        case "denied":
            return _denied(detail)
        case "empty":
            return _empty()
        case "several":
            return _several()
        case "unbound":
            return _unbound()
        case "large":
            return _too_large()
        case "memory":
            return _too_much()
    match code & 0xFF:
        case sqlite3.SQLITE_TOOBIG:
            return _too_large()
        case sqlite3.SQLITE_NOMEM:
            return _too_much()
        case _ if code in _OF_TEMPORARY_FILES:
            return UsageError(
                f"the query takes more than {TEMPORARY_BYTES >> 30} GiB of disk, or than is free: narrow it"
            )
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_AUTH:
            return _denied()
        case sqlite3.SQLITE_ERROR | sqlite3.SQLITE_MISMATCH | sqlite3.SQLITE_RANGE | sqlite3.SQLITE_CONSTRAINT:
            if unknown := re.fullmatch(r"no such (table|column): (.+)", detail, re.DOTALL):
                return _unknown(unknown[1], unknown[2], query)
            return _wrong(detail)
    error = sqlite3.OperationalError(detail)  # of the file: explained as any other
    error.sqlite_errorcode = code
    return error


# --- a server ---------------------------------------------------------------------------------------------------------


def _ask_server(
    connection: Connection, _location: Location, query: str, seconds: float, rows: int
) -> tuple[list[str], list[tuple[Any, ...]]]:
    import psycopg

    driver = cast("psycopg.Connection[tuple[Any, ...]]", connection.connection.driver_connection)
    connection.detach()  # what a query makes of its session, such as settings and locks, ends with it
    end = time.monotonic() + seconds
    try:
        with _hung_up(driver, seconds + PATIENCE):
            _give_up_rights(driver)
            _limit_time(driver, end)
            # Sent as one statement, which the server takes for a cursor only if it is a SELECT.
            with driver.cursor(name=_CURSOR) as declared:
                declared.execute(query)
                described = declared.description or []
                with contextlib.closing(_fetched(driver, described, rows, end)) as fetched:
                    return [column.name for column in described], taken(fetched)
    except psycopg.Error as error:
        raise _refused_by_server(error, query, seconds, is_late=time.monotonic() > end) from error
    except AnswerTooLargeError:
        raise _too_large() from None
    finally:
        if driver.closed:
            connection.invalidate()
        else:
            driver.rollback()  # even a transaction that only reads can make large objects, on older servers


def _fetched(
    driver: psycopg.Connection[tuple[Any, ...]], described: Sequence[psycopg.Column], rows: int, end: float
) -> Generator[tuple[Any, ...]]:
    """Fetch rows of the cursor, of which the server makes a few at a time, and of these one at a time comes here."""
    from psycopg.types.string import TextLoader

    with driver.cursor() as cursor:
        for column in described:
            if column.type_code not in _LOADED:
                cursor.adapters.register_loader(column.type_code, TextLoader)
        left, size = rows, 1
        while left:
            size = min(4 * size, MOST_FETCHED, left)
            _limit_time(driver, end)  # anew each time: the query may have set another limit
            count = 0
            stream = cursor.stream(f"FETCH FORWARD {size} FROM {_CURSOR}".encode())
            with contextlib.closing(cast("Generator[tuple[Any, ...]]", stream)):  # which cancels the rest
                for row in stream:
                    count += 1
                    yield tuple(map(_plain, row))
            left = left - count if count == size else 0


@contextlib.contextmanager
def _hung_up(driver: psycopg.Connection[Any], seconds: float) -> Iterator[None]:
    """Hang up on a server that keeps no time, as while it makes a plan, or that is not heard of any more."""

    def hang_up() -> None:
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(driver.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)

    clock = threading.Timer(seconds, hang_up)
    clock.daemon = True
    clock.start()
    try:
        yield
    finally:
        clock.cancel()


_LOADED = {16, 17, 19, 20, 21, 23, 25, 26, 700, 701, 705, 1042, 1043, 1700}
"""Types that come as bool, number, bytes or text; all others come as the text that the server makes of them."""


def _give_up_rights(driver: psycopg.Connection[Any]) -> None:
    """Let a superuser's query do no more than read tables: neither files of the server nor other sessions."""
    lesser = driver.execute(
        "SELECT 1 FROM pg_roles, pg_roles AS lesser"
        " WHERE pg_roles.rolname = current_user AND pg_roles.rolsuper AND lesser.rolname = 'pg_read_all_data'"
    ).fetchone()
    if lesser:
        # A schema called as the role, which "$user" means, must be found under another role too.
        driver.execute(
            "SELECT set_config('search_path', string_agg(quote_ident(name), ', '), true)"
            " FROM unnest(current_schemas(false)) AS name"
        )
        driver.execute("SET LOCAL ROLE pg_read_all_data")


def _limit_time(driver: psycopg.Connection[Any], end: float) -> None:
    left = max(1, math.ceil((end - time.monotonic()) * 1000))
    driver.execute("SELECT set_config('statement_timeout', %s, true)", [str(left)])


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        whole = value.is_finite() and value.as_tuple().exponent == 0 and abs(value) < 2**63
        return int(value) if whole else float(value)
    return value


def _refused_by_server(error: psycopg.Error, query: str, seconds: float, *, is_late: bool) -> Exception:
    import psycopg

    message = error.diag.message_primary or str(error).partition("\n")[0]
    state = error.sqlstate or ""
    match state:
        case "57014" | "" if is_late:
            return _too_slow(seconds)
        case "25001" | "25006":
            return _denied()
        case "08P01" | "42P02":
            return _unbound()
        case "42P01" | "42703":
            if unknown := re.search(r'"(.+?)"', message) or re.search(r"(\S+\.\S+)", message):
                return _unknown("table" if state == "42P01" else "column", unknown[1], query)
        case "42601" if "multiple commands" in message:
            return _several()
        case "42601" if not _SELECT.match(query):
            return UsageError(f"{message}: {_ONE_SELECT}")
        case "0A000" | "42601" if "DECLARE CURSOR" in message or "INTO" in message:
            return _denied()
    if state[:2] in {"08", "28", "40", "53", "55", "57", "58", "XX", ""}:  # of the server: explained as any other
        kind = OperationalError if isinstance(error, psycopg.OperationalError) else DBAPIError
        return kind(None, None, error)
    return _wrong(message)


# --- what is said -----------------------------------------------------------------------------------------------------

_ONE_SELECT = "a query is one SELECT on tables and views of the store, and writes, attaches and sets nothing"


def _empty() -> UsageError:
    return UsageError("the query is empty: write one SELECT")


def _several() -> UsageError:
    return UsageError("the query holds more than one statement: give one SELECT")


def _unbound() -> UsageError:
    return UsageError("the query has a placeholder, such as ?, :name or $1, and no value for it: write the value")


def _denied(what: str = "") -> UsageError:
    if what:
        return UsageError(f"{what} is not available: a query may use functions that only compute")
    return UsageError(f"this is refused: {_ONE_SELECT}")


def _wrong(message: str) -> UsageError:
    return UsageError(f"the query cannot be run: {message}")


def _too_slow(seconds: float) -> UsageError:
    return UsageError(
        f"the query was stopped after {seconds:g} s, and no row is shown: narrow it, or allow it more seconds"
    )


def _too_large() -> UsageError:
    return UsageError(f"the answer is larger than {ANSWER_BYTES >> 20} MiB: ask for fewer rows or columns")


def _too_much() -> UsageError:
    return UsageError(f"the query takes more than {MEMORY_BYTES >> 30} GiB of memory: narrow it")


def _unknown(what: str, name: str, query: str) -> UnknownNameError:
    plain = name.rpartition(".")[2]
    if what == "table":
        views = [view.name for view in VIEWS]
        near = near_names(plain, [*views, *tables.metadata.tables])
        return UnknownNameError("view or table", plain, near or views, "`ww sql`")
    asked = [view for view in VIEWS if re.search(rf"\b{view.name}\b", query, re.IGNORECASE)]
    return UnknownNameError("column", plain, {column for view in asked or VIEWS for column in view.columns}, "`ww sql`")
