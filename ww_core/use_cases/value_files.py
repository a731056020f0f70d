"""Rows of values as CSV, JSON and Parquet, written batch by batch, so that memory does not grow with them."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ww_core.domain.csv_text import Cell, CsvLines, cell_of_value
from ww_core.domain.text import json_escaped
from ww_core.errors import MissingExtraError, OutputError, UsageError
from ww_core.store.new_files import gives_way, new_file

Batches = Iterator[Sequence[Sequence[Any]]]

SUFFIXES = (".csv", ".json", ".parquet")
"""What names of files end in, each in its own form."""

SMALLEST_DATABASE = 512
"""Bytes of one page of SQLite's: what is smaller is no database with anything in it."""

ROW_GROUP = 100_000
"""Rows of a group of a Parquet file, all of which are in memory at a time."""


@contextlib.contextmanager
def new_table(target: Path, *, replace: bool) -> Iterator[Path]:
    """Give the path of a file to write, which takes its place when the block has ended without an exception.

    Raises:
        UsageError: There is something already, and ``replace`` is not set.
        OutputError: The file cannot be written.
    """
    check_new_table(target, replace=replace)
    try:
        with new_file(target, replace=replace) as file:
            yield file
    except FileExistsError:
        raise _taken(target) from None
    except OSError as error:
        raise OutputError(f"{target} cannot be written: {error.strerror or error}") from error


def check_new_table(target: Path, *, replace: bool) -> None:
    """Raise before anything is computed if no file can be written there.

    Raises:
        UsageError: There is something already, and ``replace`` is not set.
        OutputError: Its folder is missing or read-only, or it is a folder itself, a pipe, a device or a database.
    """
    try:
        if os.path.lexists(target) and not replace:
            raise _taken(target)
        if not target.parent.is_dir():
            raise OutputError(f"{target} cannot be written: {os.strerror(errno.ENOENT)}")
        if not gives_way(target):
            raise OutputError(f"{target} cannot be written: it is a folder, a pipe or a device: give another name")
        if _is_database(target):
            raise OutputError(f"{target} is a store, or another SQLite database: give another name, or remove it first")
        if not os.access(target.parent, os.W_OK):
            raise OutputError(f"{target} cannot be written: its folder is read-only for this user")
    except OSError as error:  # such as a name that is too long
        raise OutputError(f"{target} cannot be written: {error.strerror or error}") from error


def _is_database(target: Path) -> bool:
    """Tell whether an SQLite database is there: a store holds years of analyses, and is no output to be made anew."""
    if not target.is_file() or target.stat().st_size < SMALLEST_DATABASE:
        return False
    import sqlite3

    # Asked of SQLite: to open and close a file by other means would drop the locks of those who have the store open.
    with contextlib.closing(sqlite3.connect(target.as_uri() + "?mode=ro&immutable=1", uri=True)) as connection:
        try:
            connection.execute("PRAGMA schema_version").fetchone()
        except sqlite3.Error:
            return False
    return True


def _taken(target: Path) -> UsageError:
    force = ", or --force to replace it" if gives_way(target) else ""
    return UsageError(f"{target} exists already: give another name{force}")


def write_csv(
    write: Callable[[str], object], columns: Sequence[str], batches: Batches, cell: Cell = cell_of_value
) -> int:
    """Write CSV with a header, and return how many rows it has. What is empty is NULL.

    Args:
        write: Takes a piece of text.
        columns: Names of the columns.
        batches: The rows.
        cell: What becomes of each value.
    """
    lines = CsvLines(write, cell)
    lines.rows([columns])
    rows = 0
    for batch in batches:
        lines.rows(batch)
        rows += len(batch)
    return rows


def write_json(write: Callable[[str], object], columns: Sequence[str], batches: Batches) -> int:
    """Write a list of JSON objects, one on each line, and return how many these are. Arguments as of `write_csv`."""
    rows = 0
    for batch in batches:
        lines = [json_escaped(_encode(dict(zip(columns, row, strict=True)))) for row in batch]
        write(("[\n" if rows == 0 else ",\n") + ",\n".join(lines) if lines else "")
        rows += len(lines)
    write("\n]\n" if rows else "[]\n")
    return rows


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def check_parquet() -> None:
    """Raise before anything is read if no Parquet can be written.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    try:
        import pyarrow.parquet  # noqa: F401 - whether it is there
    except ImportError:
        raise MissingExtraError("pyarrow is not installed: pip install 'ww-core[parquet]'") from None


def write_parquet(path: Path, types: Mapping[str, type], batches: Batches) -> int:
    """Write a Parquet file, and return how many rows it has.

    Args:
        path: The file.
        types: Types of the columns by name: ``str``, ``int`` or ``float``.
        batches: The rows.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {str: pa.string(), int: pa.int64(), float: pa.float64()}
    schema = pa.schema([(name, kinds[kind]) for name, kind in types.items()])
    rows = 0
    with pq.ParquetWriter(path, schema) as file:
        for group in _groups(batches):
            columns = zip(zip(*group, strict=True), schema, strict=True)
            arrays = [pa.array(fields, column.type) for fields, column in columns]
            file.write_table(pa.Table.from_arrays(arrays, schema=schema))
            rows += len(group)
    return rows


def _groups(batches: Batches) -> Iterator[list[Sequence[Any]]]:
    group: list[Sequence[Any]] = []
    for batch in batches:
        group += batch
        if len(group) >= ROW_GROUP:
            yield group
            group = []
    if group:
        yield group
