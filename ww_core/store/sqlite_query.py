"""One query on an SQLite file, in a process of its own, which ends when the query must end.

SQLite cannot be stopped everywhere: not while it compiles a query, which may grow to twice its size with every line of
it, nor while it searches one long text for another. And its limit of memory is that of a process. So the process is
what ends, and whoever asked goes on.

``ww_core.store.sql`` runs this file as a script. The question comes on stdin and the outcome goes to stdout, both as
``marshal`` writes them. Only the standard library is imported, so that it starts in a few milliseconds.
"""

from __future__ import annotations

import contextlib
import itertools
import marshal
import os
import sqlite3
import sys
import threading
from collections.abc import Iterable, Sequence
from typing import Any

try:
    import resource
except ImportError:  # not on this system
    HAS_LIMITS = False
else:
    HAS_LIMITS = True

ANSWER_BYTES = 128 << 20
"""Most that the values of an answer may take in memory, and that one value may have."""

QUERY_BYTES = 1_000_000
"""Most that a query may have."""

MEMORY_BYTES = 1 << 30
"""Most memory that SQLite may take for a query."""

TEMPORARY_BYTES = 4 << 30
"""Most that a temporary file may have, such as SQLite sorts in: it goes with the process."""

TIMED_OUT = 124
"""Exit code of a process whose query took too long."""

_INNOCUOUS = 0x200000  # SQLite's own mark of functions that do no harm whoever calls them
_LONGEST_WAIT = 30.0  # seconds, for another program's lock


class AnswerTooLargeError(Exception):
    """The answer takes more than ``ANSWER_BYTES``."""


def taken(rows: Iterable[Sequence[Any]]) -> list[tuple[Any, ...]]:
    """Return the rows, unless they are too large.

    Raises:
        AnswerTooLargeError: They take more than ``ANSWER_BYTES``.
    """
    found: list[tuple[Any, ...]] = []
    room = ANSWER_BYTES
    for row in rows:
        room -= sys.getsizeof(row) + sum(map(sys.getsizeof, row))
        if room < 0:
            raise AnswerTooLargeError
        found.append(tuple(row))
    return found


def outcome_of(location: str, query: str, rows: int, seconds: float) -> dict[str, Any]:
    """Ask a file, and tell the columns and rows that it answers, or what it refuses and why.

    Args:
        location: The file, as a URI that opens it for reading.
        query: The query.
        rows: How many rows to take at most.
        seconds: How long to wait for a lock.

    Returns:
        ``columns`` and ``rows``; or ``refused``, which is ``denied``, ``empty``, ``several``, ``unbound``, ``large``,
        ``memory`` or ``error``, with ``detail`` and, of an error, the ``code`` of SQLite.
    """
    denied: list[str] = []
    try:
        with contextlib.closing(
            sqlite3.connect(location, uri=True, isolation_level=None, timeout=min(seconds, _LONGEST_WAIT))
        ) as connection:
            _restrict(connection, denied)
            cursor = connection.execute(query)
            if cursor.description is None:
                return {"refused": "empty"}
            columns = [column[0] for column in cursor.description]
            return {"columns": columns, "rows": taken(itertools.islice(cursor, rows))}
    except AnswerTooLargeError:
        return {"refused": "large"}
    except MemoryError:
        return {"refused": "memory"}
    except (sqlite3.Error, sqlite3.Warning) as error:
        if denied:
            return {"refused": "denied", "detail": denied[0]}
        if "one statement at a time" in str(error):  # of Python, which has no better sign of it
            return {"refused": "several"}
        code = getattr(error, "sqlite_errorcode", 0)
        if isinstance(error, sqlite3.ProgrammingError) and not code:
            return {"refused": "unbound"}
        return {"refused": "error", "detail": str(error), "code": code}


def _restrict(connection: sqlite3.Connection, denied: list[str]) -> None:
    """Let a connection answer SELECT, within limits, and do nothing else; what it denies is put into a list."""
    connection.execute("PRAGMA trusted_schema = OFF")  # views and tables of a stranger's file
    connection.execute("PRAGMA cell_size_check = ON")  # pages of a damaged one
    connection.execute("PRAGMA query_only = ON")
    connection.execute(f"PRAGMA hard_heap_limit = {MEMORY_BYTES}")
    if not HAS_LIMITS:  # files cannot be limited: SQLite then sorts within its limit of memory
        connection.execute("PRAGMA temp_store = MEMORY")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, ANSWER_BYTES)
    connection.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, QUERY_BYTES)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    connection.text_factory = _text
    with contextlib.suppress(sqlite3.OperationalError):  # SQLite without JSON
        connection.execute("SELECT 1 FROM json_each('0'), json_tree('0')")  # to be made now, and no other table later
    listed = connection.execute("SELECT name, flags FROM pragma_function_list").fetchall()
    functions = {name for name, flags in listed if flags & _INNOCUOUS or name.startswith(("json", "->"))}

    def authorize(action: int, _: str | None, second: str | None, *_where: str | None) -> int:
        if action in {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE}:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION and second in functions:
            return sqlite3.SQLITE_OK
        denied.append(f"function {second}" if action == sqlite3.SQLITE_FUNCTION else "")
        return sqlite3.SQLITE_DENY

    connection.set_authorizer(authorize)


def _text(stored: bytes) -> str:
    """Read a text; a byte in it that is no part of any letter is shown as its number."""
    return stored.decode("utf-8", "backslashreplace")


def main() -> None:
    """Answer the question on stdin."""
    location, query, rows, seconds = marshal.load(sys.stdin.buffer)  # noqa: S302 - of the process that started this one
    clock = threading.Timer(seconds, os._exit, [TIMED_OUT])
    clock.daemon = True
    clock.start()
    if HAS_LIMITS:
        resource.setrlimit(resource.RLIMIT_FSIZE, (TEMPORARY_BYTES, TEMPORARY_BYTES))
    outcome = outcome_of(location, query, rows, seconds)
    clock.cancel()
    marshal.dump(outcome, sys.stdout.buffer)


if __name__ == "__main__":
    main()
