"""From a folder to a temporary store: every row is looked at there, before any other store sees it.

The folder may be untrusted. The temporary store has the schema of the folder, with all of its rules, and is upgraded
by the same migrations as any store.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from sqlalchemy import Connection, Engine, LargeBinary, MetaData, Table, delete, select, text
from sqlalchemy.exc import DBAPIError

from ww_core.domain.control import MARK
from ww_core.domain.exchange import ExportedFile
from ww_core.domain.name import check_name
from ww_core.errors import CorruptFileError, NotStoredError, SourceError, StoreError, UsageError
from ww_core.store import migrate, naming
from ww_core.store import tables as t
from ww_core.store.engine import Location, connect_temporary, driver_of, is_interruption
from ww_core.store.exchange.fields import check_of
from ww_core.store.exchange.layout import exchanged_columns, exchanged_tables, has_key, is_numbered
from ww_core.store.exchange.lines import LineReader
from ww_core.store.exchange.manifest import Manifest, checked_manifest, file_of, opened
from ww_core.store.integrity import verify_content
from ww_core.store.rows import UNREADABLE

LONGEST_LINE = 2**26
"""Bytes of a line."""

LONGEST_BINARY_LINE = 2**29
"""Bytes of a line that holds a spectrum: one of forty million values."""


class StagedFolder:
    """A folder that was read into a temporary store, all of which was looked at. Made by `staged`.

    Attributes:
        path: The folder.
        digest: Content address of all rows in it.
        rows: How many rows it has.
    """

    def __init__(self, folder: Path, manifest: Manifest, engine: Engine) -> None:
        self.path = str(folder)
        self.digest = manifest.digest
        self.rows = sum(file.rows for file in manifest.files.values())
        self._engine = engine

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction on the temporary store."""
        with self._engine.begin() as connection:
            yield connection


@contextlib.contextmanager
def staged(path: str | os.PathLike[str], rename: Mapping[str, str] | None = None) -> Iterator[StagedFolder]:
    """Read a folder into a temporary store of today's schema, and check everything in it that can be checked.

    Args:
        path: The folder.
        rename: New names of models and versions in it, by their names there: ``MODEL`` or ``MODEL@VERSION``.

    Raises:
        SourceError: There is no such folder, or it cannot be read.
        CorruptFileError: It is no export, is not as it was exported, or contradicts itself.
        SchemaTooNewError: It was made by a newer program.
        NotStoredError: It has nothing of a name that is to be another one.
        UsageError: A new name cannot be used, or is in the folder already.
        StoreError: There is no room for the temporary store.
    """
    try:
        folder = Path(path).expanduser()
    except RuntimeError as error:  # there is no such user
        raise SourceError(f"{os.fspath(path)}: {error}") from None
    manifest = checked_manifest(folder)
    engine = connect_temporary()
    try:
        with _room_for(folder):
            migrate.make_empty_store(engine, manifest.revision, str(folder))
            with engine.begin() as connection:
                _load(connection, manifest, folder)
            _upgrade(engine, manifest, folder)
            with engine.begin() as connection:
                _check(connection, folder)
                # A network takes along what controls are not named themselves.
                for old, new in sorted((rename or {}).items(), key=lambda own: MARK not in own[0]):
                    _rename(connection, old, new, folder)
        yield StagedFolder(folder, manifest, engine)
    finally:
        engine.dispose()


@contextlib.contextmanager
def _room_for(folder: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, DBAPIError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        if not _is_lack_of_room(cause):
            raise
        raise StoreError(
            f"no room for a temporary copy of {folder}: free some, or set the variable TMPDIR to another folder"
        ) from error


def _is_lack_of_room(error: BaseException | None) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}


def _upgrade(engine: Engine, manifest: Manifest, folder: Path) -> None:
    """Bring what was read to today's schema.

    Raises:
        CorruptFileError: It holds something that a migration makes nothing of.
    """
    try:
        migrate.upgrade(engine, Location())
    except (DBAPIError, *UNREADABLE) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        if _is_lack_of_room(cause) or is_interruption(cause):
            raise
        raise CorruptFileError(f"{folder} cannot be upgraded from revision {manifest.revision}: {cause}") from error


# --- rows -------------------------------------------------------------------------------------------------------------


def _load(connection: Connection, manifest: Manifest, folder: Path) -> None:
    metadata = MetaData()
    metadata.reflect(connection)  # the schema of the folder, which may be an older one
    tables = {table.name: table for table in exchanged_tables(metadata)}
    for name in manifest.files:
        if name not in tables:
            raise CorruptFileError(f"{folder} is no export of revision {manifest.revision}: it has no table {name!r}")
    driver = driver_of(connection)
    for table in reversed(tables.values()):  # a new store has kinds, and a folder brings its own
        connection.execute(delete(table))
    there: dict[str, Collection[int]] = {}
    for name, table in tables.items():
        if name not in manifest.files:
            raise CorruptFileError(f"{folder} is not as it was exported: {file_of(name)} is missing")
        _load_table(driver, table, manifest.files[name], folder, there)
        if is_numbered(table):
            there[name] = {number for (number,) in driver.execute(f'SELECT id FROM "{name}"')}  # noqa: S608 - ours
        else:
            there[name] = range(1, manifest.files[name].rows + 1)


def _load_table(
    driver: sqlite3.Connection, table: Table, told: ExportedFile, folder: Path, there: Mapping[str, Collection[int]]
) -> None:
    place = folder / file_of(table.name)
    columns = {column.name: column for column in exchanged_columns(table)}
    for name in [*columns.keys() - set(told.columns), *set(told.columns) - columns.keys()]:
        what = "lacks the column" if name in columns else "has an unknown column"
        raise CorruptFileError(f"{place} {what} {name!r:.60}")
    if len(told.columns) > len(columns):
        raise CorruptFileError(f"{place} has a column twice")
    with_key = has_key(table) and not is_numbered(table)
    names = ["id", *told.columns] if with_key else list(told.columns)
    quoted = ", ".join(f'"{name}"' for name in names)
    statement = f'INSERT INTO "{table.name}" ({quoted}) VALUES ({", ".join("?" * len(names))})'  # noqa: S608 - ours
    reader = LineReader(place, [(name, check_of(table, columns[name], there)) for name in told.columns])
    has_binary = any(isinstance(column.type, LargeBinary) for column in columns.values())
    with opened(folder, place.name) as file:
        rows = reader.rows(file, LONGEST_BINARY_LINE if has_binary else LONGEST_LINE)
        try:
            driver.executemany(statement, ((reader.line, *row) for row in rows) if with_key else rows)
        except sqlite3.IntegrityError as error:
            raise CorruptFileError(f"{place}, line {reader.line}: {_broken_rule(error)}") from None
        except OSError as error:
            raise SourceError(f"{place} cannot be read: {error.strerror or error}") from error
    if reader.line != told.rows:
        raise CorruptFileError(f"{place} has {reader.line:,} rows, and its manifest says {told.rows:,}")
    if any(key.column.name != "id" for key in table.foreign_keys):  # of kinds, which are named
        for _, line, target, _ in driver.execute(f'PRAGMA foreign_key_check("{table.name}")'):
            raise CorruptFileError(f"{place}, line {line}: it names a row of {target} that is not in the folder")


def _broken_rule(error: sqlite3.IntegrityError) -> str:
    kind, _, what = str(error).partition(" constraint failed: ")
    if kind == "UNIQUE":
        return f"another row has the same {what}"
    return f"the row breaks a rule of its table ({what or kind})"


# --- what the rows say together ---------------------------------------------------------------------------------------


def _check(connection: Connection, folder: Path) -> None:
    """Check names, digests, spectra, values, and that what belongs together speaks of the same weights.

    Raises:
        CorruptFileError: Something is wrong; the message tells the first of it.
    """
    for what, column in {"a model": t.model.c.name, "a version": t.label.c.name}.items():
        for name in connection.scalars(select(column)):
            try:
                check_name(f"the name of {what}", name)
            except UsageError as error:
                raise CorruptFileError(f"{folder} contradicts itself: {error}") from None
    for what, query in _STRAYS.items():
        found = connection.execute(text(query)).first()
        if found is not None:
            raise CorruptFileError(f"{folder} contradicts itself: {what} ({found[0]})")
    faults = verify_content(connection).faults
    if faults:
        kind, first = next(iter(faults.items()))
        count = sum(own.count for own in faults.values()) - 1
        more = f" (and {count} more faults)" if count else ""
        raise CorruptFileError(f"{folder} contradicts itself: {kind}: {first.first[0]}{more}")


def _rename(connection: Connection, old: str, new: str, folder: Path) -> None:
    try:
        naming.rename(connection, old, new)
    except (NotStoredError, UsageError) as error:
        raise type(error)(f"{old} of {folder} cannot become {new}: {error}") from None


_STRAYS = {
    "a run answers for a label that stands on something else": """
        SELECT 'run ' || run.id FROM run
        JOIN label ON label.id = run.label_id
        JOIN analysis ON analysis.id = run.analysis_id
        WHERE analysis.structure_id <> label.structure_id
    """,
    "an analysis in force is of something else than its label, or not the profile's own": """
        SELECT model.name || '@' || label.name FROM in_force
        JOIN label ON label.id = in_force.label_id
        JOIN model ON model.id = label.model_id
        JOIN analysis ON analysis.id = in_force.analysis_id
        JOIN selection ON selection.id = analysis.selection_id
        WHERE analysis.structure_id <> label.structure_id
            OR selection.profile <> in_force.profile OR selection.narrowed OR selection.experiment
    """,
    "an analysis covers a layer of something else": """
        SELECT layer.name FROM coverage
        JOIN analysis ON analysis.id = coverage.analysis_id
        JOIN layer ON layer.id = coverage.layer_id
        WHERE layer.structure_id <> analysis.structure_id
    """,
    "a model's own metrics speak of other weights": """
        SELECT 'analysis ' || analysis.id FROM analysis
        JOIN structure ON structure.id = analysis.structure_id
        LEFT JOIN model_subject ON model_subject.subject_id = analysis.model_subject_id
        WHERE analysis.model_subject_id IS NOT NULL
            AND coalesce(model_subject.checkpoint_id, 0) <> structure.checkpoint_id
    """,
    "a column has a scope that there is not": """
        SELECT label FROM selection_variant WHERE scope NOT IN ('matrix', 'layer', 'model')
    """,
    "a subject is of another kind than what is said of it": """
        SELECT subject.digest FROM subject
        LEFT JOIN matrix_subject ON matrix_subject.subject_id = subject.id
        LEFT JOIN layer_subject ON layer_subject.subject_id = subject.id
        LEFT JOIN model_subject ON model_subject.subject_id = subject.id
        LEFT JOIN pair_subject ON pair_subject.subject_id = subject.id
        LEFT JOIN reported_subject ON reported_subject.subject_id = subject.id
        WHERE (matrix_subject.subject_id IS NOT NULL) <> (subject.kind = 'matrix')
            OR (layer_subject.subject_id IS NOT NULL) <> (subject.kind = 'layer')
            OR (model_subject.subject_id IS NOT NULL) <> (subject.kind = 'model')
            OR (pair_subject.subject_id IS NOT NULL) <> (subject.kind = 'pair')
            OR (reported_subject.subject_id IS NOT NULL) <> (subject.kind = 'reported')
    """,
}
"""What may not be, with what finds it."""
