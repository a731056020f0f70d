"""From a folder to a temporary store: every row is looked at there, before any other store sees it.

The folder may be untrusted. The temporary store has the schema of the folder, with all of its rules, and is upgraded
by the same migrations as any store.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import math
import os
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from io import BufferedReader
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Engine,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    delete,
    select,
    text,
)
from sqlalchemy.exc import DBAPIError

from ww_core.domain.exchange import ExportedFile
from ww_core.domain.name import check_name
from ww_core.errors import CorruptFileError, SourceError, StoreError, UsageError
from ww_core.store import migrate, naming
from ww_core.store import tables as t
from ww_core.store.engine import Location, connect_temporary, driver_of
from ww_core.store.exchange.layout import exchanged_columns, exchanged_tables, target_of
from ww_core.store.exchange.manifest import Manifest, checked_manifest, file_of, opened
from ww_core.store.integrity import verify_content
from ww_core.store.rows import clean

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
    folder = Path(path).expanduser()
    manifest = checked_manifest(folder)
    engine = connect_temporary()
    try:
        with _room_for(folder):
            migrate.make_empty_store(engine, manifest.revision, str(folder))
            with engine.begin() as connection:
                _load(connection, manifest, folder)
            migrate.upgrade(engine, Location())
            with engine.begin() as connection:
                _check(connection, folder)
                for old, new in (rename or {}).items():
                    naming.rename(connection, old, new)
        yield StagedFolder(folder, manifest, engine)
    finally:
        engine.dispose()


@contextlib.contextmanager
def _room_for(folder: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, DBAPIError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
        if code not in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}:
            raise
        raise StoreError(
            f"no room for a temporary copy of {folder}: free some, or set the variable TMPDIR to another folder"
        ) from error


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
    for name, table in tables.items():
        if name not in manifest.files:
            raise CorruptFileError(f"{folder} is not as it was exported: {file_of(name)} is missing")
        _load_table(driver, table, manifest.files[name], folder)


def _load_table(driver: sqlite3.Connection, table: Table, told: ExportedFile, folder: Path) -> None:
    place = folder / file_of(table.name)
    columns = {column.name: column for column in exchanged_columns(table)}
    for name in [*columns.keys() - set(told.columns), *set(told.columns) - columns.keys()]:
        what = "lacks the column" if name in columns else "has an unknown column"
        raise CorruptFileError(f"{place} {what} {name!r:.60}")
    if len(told.columns) > len(columns):
        raise CorruptFileError(f"{place} has a column twice")
    checks = [_check_of(table, columns[name]) for name in told.columns]
    names = list(told.columns)
    numbered = "id" in table.columns and "id" not in columns
    if numbered:
        names.insert(0, "id")
    quoted = ", ".join(f'"{name}"' for name in names)
    statement = f'INSERT INTO "{table.name}" ({quoted}) VALUES ({", ".join("?" * len(names))})'  # noqa: S608 - see above
    has_binary = any(isinstance(column.type, LargeBinary) for column in columns.values())
    reader = _Reader(place, told, checks)
    with opened(folder, place.name) as file:
        rows = reader.rows(file, LONGEST_BINARY_LINE if has_binary else LONGEST_LINE)
        try:
            driver.executemany(statement, ((reader.line, *row) for row in rows) if numbered else rows)
        except sqlite3.IntegrityError as error:
            raise CorruptFileError(f"{place}, line {reader.line}: {_broken_rule(error)}") from None
        except OSError as error:
            raise SourceError(f"{place} cannot be read: {error.strerror or error}") from error


def _broken_rule(error: sqlite3.IntegrityError) -> str:
    kind, _, what = str(error).partition(" constraint failed")
    match kind:
        case "FOREIGN KEY":
            return "the row points at one that is not in the folder"
        case "UNIQUE":
            return f"another row has the same {what.removeprefix(': ')}"
        case _:
            return f"the row breaks a rule of its table ({what.removeprefix(': ')})"


class _Reader:
    """Reads the lines of a file; `line` is the number of the one that was read last."""

    def __init__(self, place: Path, told: ExportedFile, checks: Sequence[_Check]) -> None:
        self.line = 0
        self._place = place
        self._told = told
        self._checks = checks

    def rows(self, file: BufferedReader, longest: int) -> Iterator[list[Any]]:
        """Yield the checked fields of each line.

        Raises:
            CorruptFileError: A line is no row of the table.
        """
        checks, count = self._checks, len(self._checks)
        while content := file.readline(longest + 1):
            self.line += 1
            if not content.endswith(b"\n"):
                what = f"has more than {longest:,} bytes" if len(content) > longest else "is cut"
                raise CorruptFileError(f"{self._place}, line {self.line}: it {what}")
            try:
                fields = _decode(content.decode("utf-8"))
                if type(fields) is not list or len(fields) != count:
                    raise ValueError(f"it is no list of {count} fields")
                yield [check(field) for check, field in zip(checks, fields, strict=True)]
            except UnicodeDecodeError:
                raise CorruptFileError(f"{self._place}, line {self.line}: it is no text in UTF-8") from None
            except RecursionError:
                raise CorruptFileError(f"{self._place}, line {self.line}: it is nested too deep") from None
            except ValueError as error:
                raise CorruptFileError(f"{self._place}, line {self.line}: {error}") from None
        if self.line != self._told.rows:
            raise CorruptFileError(f"{self._place} has {self.line:,} rows, and its manifest says {self._told.rows:,}")


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"it holds {name}, which is no number of JSON")


_decode = json.JSONDecoder(parse_constant=_refuse_constant).decode


# --- fields -----------------------------------------------------------------------------------------------------------

_Check = Callable[[Any], Any]


def _check_of(table: Table, column: Column[Any]) -> _Check:
    """Return what gives a field as it is stored, and raises ValueError if it is none of its column."""
    check = _check_of_type(table, column)
    name, nullable = column.name, column.nullable

    def checked(field: Any) -> Any:
        if field is None:
            if nullable:
                return None
            raise ValueError(f"{name} is missing")
        try:
            return check(field)
        except ValueError as error:
            raise ValueError(f"{name} {error}") from None

    return checked


def _check_of_type(table: Table, column: Column[Any]) -> _Check:
    kind = column.type
    if column.name == "id" or target_of(column) is not None:
        return partial(_whole, 1, 2**63)
    if isinstance(kind, Boolean):
        return _boolean
    if isinstance(kind, Float):
        return _number
    if isinstance(kind, BigInteger):
        return partial(_whole, -(2**63), 2**63)
    if isinstance(kind, Integer):
        return partial(_whole, -(2**31), 2**31)
    if isinstance(kind, LargeBinary):
        return _binary
    if not isinstance(kind, String):
        raise TypeError(f"{table.name}.{column.name} has a type that no folder holds: {kind!r}")
    if column.name == "digest":
        return _digest
    form = JSON_TEXTS.get((table.name, column.name))
    return partial(_json_text, form) if form else partial(_text, kind.length or math.inf)


def _text(longest: float, field: Any) -> str:
    if type(field) is not str:
        raise ValueError(f"is {_kind(field)}, and must be a text")
    if not (field.isascii() and "\0" not in field) and clean(field) != field:
        raise ValueError("holds a letter that no text has")
    if len(field) > longest:
        raise ValueError(f"has {len(field):,} letters, and {longest} are allowed")
    return field


def _whole(least: int, limit: int, field: Any) -> int:
    if type(field) is not int:
        raise ValueError(f"is {_kind(field)}, and must be a whole number")
    if not least <= field < limit:
        raise ValueError("is out of range")
    return field


def _number(field: Any) -> float:
    if type(field) is not float and type(field) is not int:
        raise ValueError(f"is {_kind(field)}, and must be a number")
    try:
        number = float(field)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError("is no finite number")
    return number


def _boolean(field: Any) -> bool:
    if type(field) is not bool:
        raise ValueError(f"is {_kind(field)}, and must be true or false")
    return field


def _binary(field: Any) -> bytes:
    if type(field) is not str:
        raise ValueError(f"is {_kind(field)}, and must be a text in base64")
    try:
        return base64.b64decode(field, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("is no text in base64") from None


def _digest(field: Any) -> str:
    if type(field) is not str or not _DIGEST.fullmatch(field):
        raise ValueError("is no digest")
    return field


_DIGEST = re.compile(r"[0-9a-f]{64}")


def _json_text(form: type, field: Any) -> str:
    told = _text(math.inf, field)
    if told == "" and form is str:  # it may be empty
        return told
    try:
        content = json.loads(told, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise ValueError("is no JSON") from None
    if form is not str and type(content) is not form:
        raise ValueError(f"is {_kind(content)} in JSON")
    return told


JSON_TEXTS: Mapping[tuple[str, str], type] = {
    ("tensor", "shape"): list,
    ("layer", "shape"): list,
    ("layer", "rounding"): str,
    ("skipped_tensor", "shape"): list,
    ("derivation", "parameters"): dict,
    ("label", "options"): dict,
    ("identity", "parameters"): dict,
    ("identity", "needs"): dict,
    ("matrix_subject", "rounding"): str,
    ("layer_subject", "rounding"): str,
    ("origin", "through"): list,
    ("variant", "extractors"): dict,
    ("selection", "extractors"): dict,
    ("selection", "layers"): list,
    ("run", "request"): dict,
    ("run", "warnings"): list,
}
"""What texts that are JSON hold, by table and column; of ``str`` anything, or nothing."""


def _kind(field: Any) -> str:
    kinds = {
        dict: "an object",
        list: "a list",
        str: "a text",
        bool: "true or false",
        int: "a number",
        float: "a number",
    }
    return kinds.get(type(field), "nothing")


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
