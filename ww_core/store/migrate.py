"""The schema of a store: which revision it has, and how it comes to ours.

Alembic is imported only when there is something to upgrade: at a normal open the revision is read and compared with
``SCHEMA_HEAD``.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import shlex
import sqlite3
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, Select, column, func, inspect, select, table

from ww_core.errors import NotAStoreError, SchemaTooNewError, SchemaTooOldError, StoreError
from ww_core.store import schema
from ww_core.store.engine import Location, connect, driver_of, explained
from ww_core.store.rows import execute

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic.config import Config

SCHEMA_HEAD = "0004"
OUR_TABLES = {"alembic_version", "tensor", "checkpoint", "subject", "identity", "metric_column", "value"}
ADVISORY_LOCK = 0x7777_0001  # any number will do that other programs on the server are unlikely to use

_alembic_lock = threading.Lock()  # Alembic keeps the running migration in a global


def scripts_folder() -> Path:
    """Folder of the migration scripts: in the package of a wheel, else beside the package in a checkout.

    Raises:
        StoreError: There is neither.
    """
    package = Path(__file__).parents[1]
    for folder in (package / "_migrations", package.parent / "migrations"):
        if (folder / "env.py").is_file():
            return folder
    raise StoreError("the migration scripts are missing from this installation: reinstall ww")


def current_revision(connection: Connection, location: Location) -> str | None:
    """Read the revision of a store's schema, which is as that revision makes it; None for an empty database.

    Of a server that is looked at once in a process.

    Raises:
        NotAStoreError: The database holds something, and it is no store, or lacks a part of one.
        StoreError: A part of the store was changed, or one that is not ours would do something.
    """
    if connection.dialect.name == "sqlite":
        driver = driver_of(connection)
        parts = schema.parts_of_file(driver)
        revision = _revision(connection, location, {part.name for part in parts if part.is_table})
        if revision in schema.FILE_DIGESTS:
            schema.check_file(driver, parts, location, revision, _parts_made)
        return revision
    revision = _revision(connection, location, set(inspect(connection).get_table_names()))
    if revision in schema.FILE_DIGESTS and (location, revision) not in _checked:
        schema.check_active_parts(connection, location)
        if revision == SCHEMA_HEAD:
            schema.check_columns(connection, location)
        _checked.add((location, revision))
    return revision


_checked: set[tuple[Location, str]] = set()


def _revision(connection: Connection, location: Location, tables: set[str]) -> str | None:
    tables = {name for name in tables if not str(name).startswith("sqlite_")}
    versions: list[str] = []
    if "alembic_version" in tables:
        versions = [version for (version,) in execute(connection, _VERSIONS, {})]
    if tables >= OUR_TABLES and len(versions) == 1:
        return versions[0]
    if tables <= {"alembic_version"} and not versions:
        return None
    raise NotAStoreError(f"{location} is the database of another program: give ww a file or a database of its own")


_VERSIONS: Select[Any] = select(column("version_num")).select_from(table("alembic_version"))


@functools.cache
def _parts_made(revision: str) -> list[schema.Part]:
    engine = connect(Location())
    try:
        make_empty_store(engine, revision, revision)
        with engine.connect() as connection:
            return schema.parts_of_file(driver_of(connection))
    finally:
        engine.dispose()


def existing_revision(connection: Connection, location: Location) -> str:
    """Read the revision of a store's schema.

    Raises:
        NotAStoreError: The database is empty, or holds something that is no store.
    """
    revision = current_revision(connection, location)
    if revision is None:
        raise NotAStoreError(f"{location} holds no store yet: `ww analyze` makes one")
    return revision


def check_readable(connection: Connection, location: Location) -> None:
    """Refuse to read a store that this program would have to change first.

    Raises:
        NotAStoreError: The database is empty, or holds something that is no store.
        SchemaTooOldError: The schema is older than ours.
        SchemaTooNewError: The schema is newer than ours.
    """
    revision = existing_revision(connection, location)
    if revision != SCHEMA_HEAD:
        _check_known(revision, location)
        command = shlex.join(["ww", "db", "upgrade", "--store", str(location)])
        raise SchemaTooOldError(f"{location} was made by an older ww: run `{command}`")


def upgrade(engine: Engine, location: Location) -> Path | None:
    """Bring an empty or older store to our schema, in one transaction; of an older file a copy is kept.

    Returns:
        The copy of the file as it was, if there is one.

    Raises:
        NotAStoreError: The database holds something, and it is no store.
        SchemaTooNewError: The schema is newer than ours.
        StoreError: The upgrade failed; the store is as it was.
    """
    from alembic import command

    writer = engine.execution_options(sqlite_begin="IMMEDIATE")
    with explained(location), writer.connect() as connection, _foreign_keys_off(connection), connection.begin():
        if connection.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(ADVISORY_LOCK)))
        # Another process may have been faster: only what is read under the lock counts.
        revision = current_revision(connection, location)
        if revision == SCHEMA_HEAD:
            return None
        if revision is not None:
            _check_known(revision, location)
        with _backup(location, revision) as copy, _alembic_lock:
            command.upgrade(_config(connection), SCHEMA_HEAD)
            _check_references(connection, location)
    return copy


def copy_empty_store(engine: Engine) -> None:
    """Give our schema to a new store in memory: a copy takes a tenth of the time of an upgrade."""
    with engine.connect() as connection:
        _empty_store().backup(driver_of(connection))


def make_empty_store(engine: Engine, revision: str, name: str) -> None:
    """Give the schema of a revision to an empty database, for what ``name`` stands for to be put in it.

    Raises:
        SchemaTooNewError: This program does not know the revision.
    """
    from alembic import command

    if revision == SCHEMA_HEAD:
        copy_empty_store(engine)
        return
    _check_known(revision, name)
    with engine.begin() as connection, _alembic_lock:
        command.upgrade(_config(connection), revision)


@functools.cache
def _empty_store() -> sqlite3.Connection:
    engine = connect(Location())
    upgrade(engine, Location())
    with engine.connect() as connection:
        return driver_of(connection)


def _check_known(revision: str, location: Location | str) -> None:
    from alembic.script import ScriptDirectory

    if revision not in {script.revision for script in ScriptDirectory(str(scripts_folder())).walk_revisions()}:
        raise SchemaTooNewError(f"{location} was made by a newer ww: upgrade ww (`pip install --upgrade ww-core`)")


def _config(connection: Connection) -> Config:
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(scripts_folder()).replace("%", "%%"))
    return config


@contextlib.contextmanager
def _foreign_keys_off(connection: Connection) -> Iterator[None]:
    """Keep SQLite from following references while tables are made anew: dropping one would delete what points at it."""
    if connection.dialect.name != "sqlite":
        yield
        return
    driver = driver_of(connection)
    driver.execute("PRAGMA foreign_keys = OFF")  # no effect inside a transaction, so before it
    try:
        yield
    finally:
        with contextlib.suppress(sqlite3.ProgrammingError):  # closed already by what interrupts
            driver.execute("PRAGMA foreign_keys = ON")


def _check_references(connection: Connection, location: Location) -> None:
    if connection.dialect.name == "sqlite":
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
        if broken is not None:
            raise StoreError(
                f"{location} was not upgraded: a row of {broken[0]} points at a missing row of {broken[2]}"
            )


@contextlib.contextmanager
def _backup(location: Location, revision: str | None) -> Iterator[Path | None]:
    """Copy an SQLite file of an older revision; the copy goes if the upgrade fails, for then nothing has changed."""
    if location.path is None or revision is None:
        yield None
        return
    first = location.path.with_name(f"{location.path.name}.bak-{revision}")
    later = (first.with_name(f"{first.name}-{number}") for number in itertools.count(2))
    copy = next(path for path in itertools.chain([first], later) if not path.exists())
    try:
        # A connection of its own, because SQLite copies nothing for one that is about to write.
        with (
            contextlib.closing(sqlite3.connect(location.path.as_uri() + "?mode=ro", uri=True)) as source,
            contextlib.closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
        yield copy
    except BaseException:
        copy.unlink(missing_ok=True)
        raise
