"""From a store to a folder: the rows of each table, a line each, with lines of other files in place of keys."""

from __future__ import annotations

import base64
import json
from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Double,
    LargeBinary,
    Row,
    String,
    Table,
    bindparam,
    literal,
    select,
)

from ww_core.domain.exchange import ExportedFile, FolderExport
from ww_core.errors import OutputError, StoreError, UsageError
from ww_core.store import tables as t
from ww_core.store.exchange.choice import chosen_rows
from ww_core.store.exchange.layout import exchanged_columns, exchanged_tables, has_key, is_numbered, ordering, target_of
from ww_core.store.exchange.manifest import Manifest, file_of, is_export
from ww_core.store.migrate import SCHEMA_HEAD
from ww_core.store.new_files import new_folder
from ww_core.store.rows import CHUNK, now

FETCHED = 5000
"""Rows, or thousands of bytes of spectra, that are in memory at a time, about."""

FEW = 8
"""Rows whose dependents are fetched first, to see how many these are."""

SPARSE = 8
"""Keys of rows that are this many times as large as there are rows are kept in a mapping, not in a list."""


def export_folder(connection: Connection, target: Path, models: Sequence[str], *, replace: bool) -> FolderExport:
    """Write what is stored into a new folder, which is whole or not there.

    Args:
        connection: A transaction that sees one state of the store.
        target: The folder.
        models: ``MODEL`` or ``MODEL@VERSION``: what goes along; empty for everything.
        replace: Whether an export that is there already gives way.

    Raises:
        UsageError: There is something already, and it does not give way.
        NotStoredError: Nothing carries a name.
        OutputError: The folder cannot be written.
        StoreError: Something in the store contradicts itself.
    """
    from ww_core import __version__

    chosen = chosen_rows(connection, models) if models else None
    try:
        gives_way = target.is_dir() and is_export(target)
        with new_folder(target, replace=replace and gives_way) as folder:
            manifest = write_folder(connection, folder, f"ww {__version__}", chosen)
    except FileExistsError:
        fault = "exists already" if gives_way else "exists already, and is not an export"
        advice = ", or --force to replace it" if gives_way else ""
        raise UsageError(f"{target} {fault}: give another name{advice}") from None
    except OSError as error:
        raise OutputError(f"{target} cannot be written: {error.strerror or error}") from error
    return FolderExport(str(target), manifest.digest, manifest.files)


def write_folder(
    connection: Connection, folder: Path, program: str, chosen: Mapping[str, Collection[int]] | None = None
) -> Manifest:
    """Write what is stored into an empty folder.

    Args:
        connection: A transaction that sees one state of the store.
        folder: The folder.
        program: The program and its version.
        chosen: Keys of the rows that go along, by table, of tables that not all rows of go along; the rows of the other
            tables go along if all that they point at does. None for everything.

    Raises:
        StoreError: Something in the store contradicts itself.
        OSError: The folder cannot be written.
    """
    numbering: dict[str, _Lines] = {}
    files = {}
    for table in exchanged_tables(t.metadata):
        writer = _TableWriter(table, numbering, chosen)
        numbering[table.name] = writer.lines
        files[table.name] = writer.write(connection, folder)
    manifest = Manifest(SCHEMA_HEAD, program, now(), files)
    manifest.write(folder)
    return manifest


class _Lines:
    """On which lines of its file the rows of a table stand, by their keys: 16 bytes a row.

    A row that people know by a number is known by that number here, too.
    """

    def __init__(self, *, numbered: bool) -> None:
        self.keys = array("q")  # in the order of the lines
        self._numbered = numbered
        self._lines: array[int] | dict[int, int] = {}

    def close(self) -> None:
        """Prepare for `of`, now that all rows are written."""
        most = max(self.keys, default=0)
        if self._numbered:
            self._lines = {key: key for key in self.keys}
        elif most > SPARSE * len(self.keys) + CHUNK:
            self._lines = {key: line for line, key in enumerate(self.keys, 1)}
        else:
            self._lines = array("q", bytes(8 * (most + 1)))
            for line, key in enumerate(self.keys, 1):
                self._lines[key] = line

    def of(self, key: int) -> int:
        """Return the line, from 1; 0 for a row that is not in the folder."""
        try:
            return self._lines[key]
        except LookupError:
            return 0


_Row = tuple[int, list[Any]]
"""Key of a row, 0 where it has none, and its fields as they are exported."""


class _TableWriter:
    """Writes the rows of one table. What it points at is written already."""

    def __init__(
        self, table: Table, numbering: Mapping[str, _Lines], chosen: Mapping[str, Collection[int]] | None
    ) -> None:
        self.lines = _Lines(numbered=is_numbered(table))
        self._table = table
        self._columns = exchanged_columns(table)
        self._numbering = numbering
        self._is_part = chosen is not None
        self._keep = None if chosen is None else chosen.get(table.name)
        self._pointers = [
            (place, numbering[target.name].of)
            for place, column in enumerate(self._columns)
            if (target := target_of(column)) is not None
        ]
        self._numbers = [place for place, own in enumerate(self._columns) if isinstance(own.type, Double)]
        self._binaries = [place for place, own in enumerate(self._columns) if isinstance(own.type, LargeBinary)]

    def write(self, connection: Connection, folder: Path) -> ExportedFile:
        """Write the file, and return what it is."""
        import blake3

        rows = size = 0
        hasher = blake3.blake3()
        with (folder / file_of(self._table.name)).open("wb") as file:
            for batch in self._batches(connection):
                try:
                    content = "".join([_encode(fields) + "\n" for _, fields in batch]).encode()
                except ValueError:
                    raise StoreError(
                        f"{self._table.name} holds a number that is not finite: look with `ww db check`"
                    ) from None
                file.write(content)
                hasher.update(content)
                rows, size = rows + len(batch), size + len(content)
                if has_key(self._table):
                    self.lines.keys.extend([key for key, _ in batch])
        self.lines.close()
        return ExportedFile(tuple(column.name for column in self._columns), rows, size, hasher.hexdigest())

    def _batches(self, connection: Connection) -> Iterator[list[_Row]]:
        """Yield all rows that go along, in order."""
        first, *_ = order = ordering(self._table)
        key = self._table.c.id if has_key(self._table) else literal(0)
        query = select(key.label("key_of_row"), *self._columns)
        parent = target_of(first)
        if parent is None:
            in_order = query.order_by(*(_by_code_points(column, connection) for column in order))
            for rows in connection.execute(in_order, execution_options={"yield_per": FETCHED}).partitions():
                yield self._exported(rows)
            return
        # The rows that point at one row after the other: no database has to put millions of rows in order.
        places = [self._columns.index(column) for column in order]
        nullable = any(column.nullable for column in order)
        key_of = partial(_with_nulls if nullable else _without_nulls, places)
        of_parents = query.where(first.in_(bindparam("parents", expanding=True)))
        parents, start, step = self._numbering[parent.name].keys, 0, FEW
        while start < len(parents):
            chunk = parents[start : start + step].tolist()
            batch = self._exported(connection.execute(of_parents, {"parents": chunk}).all())
            batch.sort(key=key_of)
            yield batch
            start += step
            step = max(1, min(CHUNK, 4 * step, int(FETCHED * step / max(self._weight(batch), 1))))

    def _weight(self, batch: Sequence[_Row]) -> float:
        """How much memory rows take: 1 for each, and for each thousand letters of what is binary."""
        return len(batch) + sum(len(fields[place] or "") / 1000 for place in self._binaries for _, fields in batch)

    def _exported(self, rows: Sequence[Row[Any]]) -> list[_Row]:
        """Put lines in the place of keys, and leave out what points at something that does not go along."""
        batch: list[_Row] = []
        fields: list[Any]
        for key, *fields in rows:
            if self._keep is not None and key not in self._keep:
                continue
            for place, line_of in self._pointers:
                if fields[place] is not None:
                    fields[place] = line_of(fields[place])
                    if not fields[place]:
                        break
            else:
                for place in self._numbers:
                    if fields[place] is not None:
                        fields[place] += 0.0  # SQLite knows no negative zero
                for place in self._binaries:
                    if fields[place] is not None:
                        fields[place] = base64.b64encode(fields[place]).decode()
                batch.append((key, fields))
                continue
            if not self._is_part:
                raise StoreError(f"a row of {self._table.name} points at a missing one: look with `ww db check`")
        return batch


def _without_nulls(places: Sequence[int], row: _Row) -> list[Any]:
    return [row[1][place] for place in places]


def _with_nulls(places: Sequence[int], row: _Row) -> list[Any]:
    return [(row[1][place] is not None, row[1][place]) for place in places]


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def _by_code_points(column: Column[Any], connection: Connection) -> ColumnElement[Any]:
    """Order texts as SQLite and Python do, whatever the language of a server."""
    if connection.dialect.name == "postgresql" and isinstance(column.type, String):
        return column.collate("C")
    return column
