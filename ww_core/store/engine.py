"""Where a store lies, how to connect to it, and what the database's errors mean to a person."""

from __future__ import annotations

import contextlib
import functools
import os
import sqlite3
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry, Pool, QueuePool, StaticPool

from ww_core.domain.address import absolute_path, looks_like_address
from ww_core.errors import MissingExtraError, NotAStoreError, ReadOnlyStoreError, StoreError
from ww_core.store.cells import CHECKED_TYPES
from ww_core.store.server_url import SCHEMES, read_server_url, refused_address, shown_server_url

if TYPE_CHECKING:
    from collections.abc import Iterator

BUSY_SECONDS = 30  # to wait for another program's lock
MINIMUM_SQLITE = (3, 35, 0)  # the first with RETURNING
STEPS = 1_000_000  # of SQLite's machine, some 20 ms: so often Python is asked whether somebody wants to interrupt
LARGEST_CELL = 256 << 20  # bytes of one text or blob: twice what the longest spectrum takes that is kept
SERVER_PARAMETERS = {
    "jit": "off",  # compiling a long query takes seconds, running it a part of one; older servers do not compile
    # Tables are named nearly in the order in which they are best joined; to look for a better one among eight takes
    # longer than most questions.
    "join_collapse_limit": "4",
}
TEMPORARY_CACHE = 64 * 1024  # KiB of a temporary store that are kept in memory
WRITERS_LOCK = 0x7777_0002  # any number will do that other programs on the server are unlikely to use


@dataclass(frozen=True, slots=True, repr=False)
class Location:
    """Where a store lies: a file, a server, or, with neither, the memory of this process."""

    path: Path | None = None
    url: URL | None = None

    @classmethod
    def of(cls, location: str | os.PathLike[str] | None) -> Location:
        """Read a path, ``sqlite:///path``, a ``postgresql://`` URL, or None for memory.

        What follows ``sqlite:///`` is a path as it stands: nothing in it is escaped, and it has no query.

        Raises:
            NotAStoreError: It is an address of another kind, or one that cannot be read; no part of it is repeated.
            StoreError: It is a path at which no file can be.
        """
        text = ":memory:" if location is None else os.fspath(location)
        if not isinstance(location, os.PathLike) and text in {":memory:", "sqlite://", "sqlite:///"}:
            return cls()
        if not isinstance(location, os.PathLike) and text.startswith("sqlite:///"):
            text = text.removeprefix("sqlite:///")
            if text == ":memory:":
                return cls()
        elif text.startswith(tuple(f"{scheme}://" for scheme in SCHEMES)):
            return cls(url=read_server_url(text))
        elif looks_like_address(text):
            raise refused_address(text)
        try:
            return cls(path=absolute_path(text))
        except ValueError as error:
            raise StoreError(f"{text}: {error}") from None

    @property
    def in_memory(self) -> bool:
        """Whether the store ends with the process."""
        return self.path is None and self.url is None

    def __str__(self) -> str:
        if self.path is not None:
            return str(self.path)
        return ":memory:" if self.url is None else shown_server_url(self.url)

    def __repr__(self) -> str:
        return f"Location({str(self)!r})"  # no secret either


def connect(location: Location, *, read_only: bool = False, immutable: bool = False) -> Engine:
    """Make the engine for a store. Nothing is opened before its first connection.

    Connections of an SQLite engine begin a transaction as the execution option ``sqlite_begin`` says: DEFERRED
    unless it is ``"IMMEDIATE"``. Those of a server's engine begin with the lock among writers that the option
    ``writers`` names: ``"together"`` or ``"alone"``; without it they take none.

    Args:
        location: Where the store lies.
        read_only: Refuse every write, also those that SQLite would make on its own.
        immutable: Read an SQLite file without any lock, for folders in which no lock can be made.

    Raises:
        StoreError: This Python's SQLite is too old.
        MissingExtraError: psycopg is not installed.
    """
    if location.url is not None:
        return _connect_server(location.url)
    if sqlite3.sqlite_version_info < MINIMUM_SQLITE:
        needed = ".".join(map(str, MINIMUM_SQLITE))
        raise StoreError(
            f"ww needs SQLite {needed} or newer, this Python has {sqlite3.sqlite_version}: use a newer Python"
        )

    place = str(location.path or ":memory:")
    if location.path is not None and read_only:
        place = uri_for_reading(location.path, immutable=immutable)

    def open_file(rec: ConnectionPoolEntry) -> Any:  # a connection of the driver's, which is none to SQLAlchemy's types
        connection = _open_file(place, uri=read_only)
        if not read_only:
            rec.info["written"] = (location, _file_at(location))
        else:
            connection.execute("PRAGMA query_only = ON")
        return connection

    pool = StaticPool if location.in_memory else QueuePool
    return _file_engine(pool(open_file, dialect=_sqlite().dialect))


def connect_temporary() -> Engine:
    """Make the engine for a store in a temporary file, which nobody else sees and which goes with its connection.

    The file lies where SQLite keeps such files, which the variable TMPDIR tells; it has no name, so that nothing of it
    is left whatever ends the process. References and rules of tables are not enforced there, which takes most of the
    time of an insertion: who fills it looks at them afterwards.
    """

    def open_file() -> Any:
        connection = _open_file("", uri=False)
        for rule in ("foreign_keys = OFF", "ignore_check_constraints = ON", "synchronous = OFF"):
            connection.execute(f"PRAGMA {rule}")
        connection.execute(f"PRAGMA cache_size = -{TEMPORARY_CACHE}")
        return connection

    return _file_engine(StaticPool(open_file, dialect=_sqlite().dialect))


def _open_file(place: str, *, uri: bool) -> sqlite3.Connection:
    # The driver would begin transactions on its own, late, and never around DDL: BEGIN is ours.
    connection = sqlite3.connect(place, uri=uri, isolation_level=None, check_same_thread=False, timeout=BUSY_SECONDS)
    connection.execute("PRAGMA foreign_keys = ON")  # off by default
    connection.execute("PRAGMA legacy_alter_table = OFF")  # a renamed table takes its references with it
    connection.execute("PRAGMA synchronous = NORMAL")  # with WAL a power cut costs the last commits, not the file
    _distrust(connection)
    return connection


def _distrust(connection: sqlite3.Connection) -> None:
    """Let a connection believe a file less, which may come from somebody else."""
    connection.execute("PRAGMA trusted_schema = OFF")  # definitions call no function that does more than compute
    connection.execute("PRAGMA cell_size_check = ON")  # a page is looked at when it is read, and not when it misleads
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST_CELL)
    if sys.version_info >= (3, 12):
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_DEFENSIVE, True)  # no statement writes to the catalogue
    # Signals are handled between the instructions of Python only, and one statement may take forever.
    connection.set_progress_handler(_go_on, STEPS)


def _go_on() -> int:
    return 0


def _file_engine(pool: Pool) -> Engine:
    common = _sqlite()
    return _FileEngine(pool, common.dialect, common.url, execution_options={"compiled_cache": _compiled})


def uri_for_reading(path: Path, *, immutable: bool) -> str:
    """Return the URI by which SQLite opens a file for reading; without any lock, if it is immutable."""
    return path.as_uri() + ("?mode=ro&immutable=1" if immutable else "?mode=ro")


class _FileEngine(Engine):
    """What connects to an SQLite store."""


@event.listens_for(_FileEngine, "begin")  # of the class, for to add a listener takes longer than a transaction
def _begin(connection: Connection) -> None:
    location, file = connection.info.get("written", (None, None))
    if location is not None and file != _file_at(location):
        raise StoreError(f"{location} was moved, removed or replaced while it was open: run the same command again")
    driver_of(connection).execute("BEGIN " + connection.get_execution_options().get("sqlite_begin", "DEFERRED"))


def _file_at(location: Location) -> tuple[int, int] | None:
    """Which file lies at the place of a store: one that is gone takes what is written, and nobody would know."""
    try:
        status = os.stat(location.path) if location.path is not None else None  # noqa: PTH116 - at every transaction
    except OSError:
        return None
    return status and (status.st_dev, status.st_ino)


_compiled: dict[Any, Any] = {}
"""Compiled statements of all SQLite stores of this process: as many as there are in the code."""


@functools.cache
def _sqlite() -> Engine:
    """The engine whose dialect all SQLite stores share: statements are compiled for a dialect, and not for a file."""
    engine = create_engine("sqlite://")
    dialect: Any = engine.dialect
    dialect.colspecs = {**dialect.colspecs, **CHECKED_TYPES}
    engine.connect().close()  # the dialect asks its first connection what SQLite can do
    engine.dispose()
    return engine


def _connect_server(url: URL) -> Engine:
    defaults = {"application_name": "ww", "connect_timeout": 10}
    try:
        engine = create_engine(
            url,
            pool_pre_ping=True,  # an analysis may outlive a restart of the server
            connect_args={name: value for name, value in defaults.items() if name not in url.query},
        )
    except ImportError as error:
        raise MissingExtraError("a PostgreSQL store needs psycopg: pip install 'ww-core[postgres]'") from error

    @event.listens_for(engine, "connect")
    def set_parameters(connection: Any, _record: Any) -> None:
        for parameter in SERVER_PARAMETERS.items():
            connection.execute("SELECT set_config(name, %s, false) FROM pg_settings WHERE name = %s", parameter[::-1])
        connection.commit()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # Before any lock of a row, so that nobody waits in a circle; the transaction's end gives it back.
        lock = _WRITERS_LOCKS.get(connection.get_execution_options().get("writers", ""))
        if lock:
            connection.exec_driver_sql(f"SELECT {lock}({WRITERS_LOCK})").close()

    return engine


_WRITERS_LOCKS = {"together": "pg_advisory_xact_lock_shared", "alone": "pg_advisory_xact_lock"}


def driver_of(connection: Connection) -> sqlite3.Connection:
    """Return the driver's own connection behind one to SQLite."""
    return cast("sqlite3.Connection", connection.connection.driver_connection)


@contextlib.contextmanager
def one_at_a_time(location: Location) -> Iterator[None]:
    """Let one process after the other make the stores of a folder, where the system can lock a folder.

    Finding out whether WAL can be had changes the file for a moment, in which nobody else can read it.
    """
    try:
        import fcntl
    except ImportError:  # not on this system
        fcntl = None  # type: ignore[assignment]
    if location.path is None or fcntl is None:
        yield
        return
    with contextlib.ExitStack() as stack:
        # A folder or file system without such locks takes none: a race then costs a second attempt.
        with contextlib.suppress(OSError):
            folder = os.open(location.path.parent, os.O_RDONLY)
            stack.callback(os.close, folder)
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield


def prefer_wal(path: Path) -> None:
    """Let readers and the writer of a new SQLite file work at the same time, where the folder allows it.

    The mode stays with the file. Without the shared memory that WAL needs, as in many network folders, the file keeps
    its rollback journal.

    Raises:
        sqlite3.Error: The file can be used in neither mode.
    """
    with contextlib.closing(sqlite3.connect(path, timeout=1, isolation_level=None)) as connection:
        if connection.execute("PRAGMA journal_mode").fetchone() == ("wal",):
            return
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("BEGIN IMMEDIATE")  # SQLite finds no shared memory only when it needs some
            connection.execute("ROLLBACK")
        except sqlite3.OperationalError as error:
            if _code(error) == sqlite3.SQLITE_BUSY:  # another program is at work: the next one to open will do
                return
        else:
            return
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")  # the one way to leave WAL without shared memory
        connection.execute("PRAGMA journal_mode = DELETE")


def must_be_immutable(path: Path) -> bool:
    """Whether an SQLite file can be read only without locks, because no lock can be made in its folder.

    Raises:
        StoreError: A part of the content is in a journal, which cannot be read without locks.
    """
    with contextlib.closing(sqlite3.connect(path.as_uri() + "?mode=ro", uri=True)) as connection:
        try:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError as error:
            if _code(error) not in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}:
                raise
            for log in (path.with_name(path.name + "-wal"), path.with_name(path.name + "-journal")):
                if log.exists() and log.stat().st_size:
                    raise StoreError(
                        f"{path} was not closed, and is not repaired by reading: open it for writing, "
                        f"or copy it with {log.name} to a folder that can be written"
                    ) from error
            return True
    return False


@contextlib.contextmanager
def explained(location: Location) -> Iterator[None]:
    """Turn the database's errors into one sentence with the next step; those that can only be our fault pass.

    Raises:
        NotAStoreError: The file is no database.
        ReadOnlyStoreError: The place cannot be written.
        StoreError: The disk is full, the store is locked or damaged, or the server is gone.
    """
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        if isinstance(cause, sqlite3.Error):
            explanation = _explain_sqlite(cause, location)
        else:
            explanation = _explain_postgresql(cause, location, lost=isinstance(error, OperationalError))
        if explanation is None:
            raise
        raise explanation from error
    except UnicodeDecodeError as error:  # the driver reads the message of an error that quotes damaged text
        raise _damaged(location) from error


def _damaged(location: Location) -> StoreError:
    return StoreError(f"{location} is damaged: restore a copy, or save what is left with `sqlite3 FILE .recover`")


def _what_is_closed(location: Location) -> str:
    """Say what keeps a store from being written: a log that a reader of another user left, or permissions."""
    log = Path(f"{os.path.realpath(location.path)}-wal") if location.path is not None else None
    if log is None or not log.exists() or os.access(log, os.W_OK):
        return ": check its permissions and those of its folder"
    name = log.name
    return (
        f", as {name}, which a reader left beside it, belongs to another user: "
        f"remove {name} and {name[:-3]}shm when nobody has the store open and {name} is empty"
    )


def _incomplete(location: Location, cause: str) -> StoreError:
    return NotAStoreError(f"{location} is damaged: it lacks a part that every store has ({cause})")


def is_interruption(error: BaseException | None) -> bool:
    """Whether a statement ended because of a signal, whose exception SQLite has taken for its own."""
    return isinstance(error, sqlite3.Error) and _code(error) == sqlite3.SQLITE_INTERRUPT


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF  # without its extension; the driver's own errors have none


def _explain_sqlite(error: sqlite3.Error, location: Location) -> StoreError | None:
    match _code(error):
        case sqlite3.SQLITE_INTERRUPT:
            raise KeyboardInterrupt from error
        case sqlite3.SQLITE_TOOBIG:
            return StoreError(
                f"a row of {location} takes more than {LARGEST_CELL >> 20} MiB, as none that ww makes does: "
                "look with `ww db check`"
            )
        case sqlite3.SQLITE_FULL if _has_no_number_left(location):
            return StoreError(f"{location} is damaged, no number is left for another run: look with `ww db check`")
        case sqlite3.SQLITE_FULL:
            return StoreError(
                f"no room left on the disk for {location}: free some space and run the same command again"
            )
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return ReadOnlyStoreError(f"{location} cannot be written{_what_is_closed(location)}")
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreError(f"{location} is locked by another program: run the same command again when it is done")
        case sqlite3.SQLITE_NOTADB:
            return NotAStoreError(f"{location} is not a ww store: it is not a SQLite database")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_MISMATCH:
            return _damaged(location)
        case sqlite3.SQLITE_ERROR if "file format" in str(error):
            return StoreError(
                f"{location} has a format that this SQLite ({sqlite3.sqlite_version}) does not know: "
                "it is damaged, or take a newer Python"
            )
        case sqlite3.SQLITE_CANTOPEN:
            return StoreError(f"{location} cannot be opened: check its permissions and those of its folder")
        case sqlite3.SQLITE_IOERR:
            return StoreError(f"reading or writing {location} failed ({error}): check the disk and its free space")
        case 0 if "decode to UTF-8" in str(error):  # the driver's own error
            return StoreError(
                f"{location} is damaged, a text in it cannot be read: restore a copy, or look with `ww db check`"
            )
        case sqlite3.SQLITE_CONSTRAINT if not _is_sound(location):
            return StoreError(f"{location} is damaged, rows in it contradict each other: look with `ww db check`")
        case sqlite3.SQLITE_ERROR if "no such" in str(error):
            return _incomplete(location, str(error))
        case _:
            return None


def _has_no_number_left(location: Location) -> bool:
    """Tell whether SQLite finds no room because the largest number that it knows is given."""
    if location.path is None:
        return False
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(location.path.as_uri() + "?mode=ro", uri=True, timeout=1)) as connection,
    ):
        return connection.execute(NO_NUMBER_LEFT).fetchone() is not None
    return False


NO_NUMBER_LEFT = (
    "SELECT name FROM sqlite_sequence WHERE seq >= 9223372036854775807"
    " UNION SELECT 'run' FROM run WHERE id >= 9223372036854775807"
)


def _is_sound(location: Location) -> bool:
    """Tell whether a constraint that broke is our own fault: the file shows no damage."""
    if location.path is None:
        return True
    try:
        with contextlib.closing(
            sqlite3.connect(location.path.as_uri() + "?mode=ro", uri=True, timeout=1)
        ) as connection:
            pages = connection.execute("PRAGMA quick_check(1)").fetchall()
            return pages == [("ok",)] and not connection.execute("PRAGMA foreign_key_check").fetchall()
    except sqlite3.DatabaseError as error:
        return _code(error) not in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def _explain_postgresql(error: BaseException | None, location: Location, *, lost: bool) -> StoreError | None:
    state: str | None = getattr(error, "sqlstate", None)  # None: the server was not reached, or is gone
    cause = str(error).partition("\n")[0]
    if state is None and "connection option" in cause:  # a key that this libpq is too old for
        return StoreError(f"no connection to {location}: psycopg's libpq knows no such option ({cause})")
    if state is None:
        return StoreError(f"no connection to {location}: {cause}") if lost else None
    if state in {"25006", "42501"}:
        return ReadOnlyStoreError(f"{location} cannot be written: {cause}")
    if state in {"42703", "42P01"}:
        return _incomplete(location, cause)
    match state[:2]:
        case "08" | "28" | "57":
            return StoreError(f"the server of {location} ended the work: {cause}")
        case "53":
            return StoreError(f"the server of {location} has run out of a resource: {cause}")
        case "40" | "55":
            return StoreError(f"{location} is locked by another program: run the same command again when it is done")
        case "58" | "XX":
            return StoreError(f"the server of {location} failed: {cause}")
        case _:
            return None
