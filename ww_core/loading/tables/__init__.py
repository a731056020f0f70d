"""Public: tables in files and in memory: text with delimiters, JSON records, Parquet, data frames of pandas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ww_core.domain.csv_text import cell_of_value
from ww_core.errors import SourceError
from ww_core.loading.tables.cells import is_missing, name_of, number_of, outcome_of, text_of, whole_number_of
from ww_core.loading.tables.delimited import DelimitedTable
from ww_core.loading.tables.frames import FrameTable, is_frame, read_parquet
from ww_core.loading.tables.lines import LineTable, begins_with_object
from ww_core.loading.tables.records import RecordTable
from ww_core.loading.tables.table import Cell, CellRow, CellTable
from ww_core.loading.unpacked import unpacked_head

if TYPE_CHECKING:
    from ww_core.contracts.source import Source

__all__ = [
    "Cell",
    "CellRow",
    "CellTable",
    "cell_of_value",
    "is_missing",
    "name_of",
    "number_of",
    "outcome_of",
    "read_table",
    "text_of",
    "whole_number_of",
]

HEAD = 4096
"""Bytes by which a kind of file is known."""

OTHERS = {
    b"PK\x03\x04": "a zip archive, as a workbook of Excel is",
    b"\xd0\xcf\x11\xe0": "a workbook of Excel",
    b"\xff\xfe": "a text in UTF-16",
    b"\xfe\xff": "a text in UTF-16",
    b"BZh": "compressed by bzip2",
    b"\xfd7zXZ": "compressed by xz",
    b"(\xb5/\xfd": "compressed by zstd",
    b"SQLite format 3": "a database of SQLite",
    b"%PDF": "a PDF",
}
"""What begins so is not a table that is read."""


def read_table(source: Source) -> CellTable:
    """Read the header of a table, whatever form it has.

    A file is known by its content: text with commas, tabs or semicolons, JSON (a list of objects, or one a line) or
    Parquet, all but the last also compressed by gzip. Of a Python object, a data frame of pandas.

    Raises:
        SourceError: It cannot be read, or is not a table.
        CorruptFileError: Its header is damaged, or exceeds a limit.
        MissingExtraError: It is a Parquet file, and what reads those is not installed.
    """
    if source.is_object:
        if is_frame(source.value):
            return FrameTable(source.value, "the data frame")
        raise SourceError(f"an object of type {source.name} is not a table: give a path or a data frame of pandas")
    if source.is_folder:
        raise SourceError(f"{source.label}: this is a folder: name a file in it")
    head = unpacked_head(source, HEAD)
    if head.startswith(b"PAR1"):
        return read_parquet(source)
    for magic, what in OTHERS.items():
        if head.startswith(magic):
            raise SourceError(f"{source.label}: this is {what}: save the table as CSV in UTF-8")
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if begins_with_object(start):
        return LineTable(source)
    if start[:1] in {b"[", b"{"}:
        return RecordTable(source)
    return DelimitedTable(source)
