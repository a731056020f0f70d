"""Text with commas, tabs or semicolons between cells, in UTF-8, perhaps compressed by gzip."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from ww_core.domain.csv_text import text_of_cell
from ww_core.errors import CorruptFileError
from ww_core.loading.tables.table import MOST_ROWS, CellRow, CellTable
from ww_core.loading.unpacked import unpacked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ww_core.contracts.source import Source

LARGEST_TEXT = 2**28
"""Bytes of a table's text, once it is unpacked."""

LONGEST_LINE = 2**22
"""Bytes of a line."""

MOST_LINES = 2 * MOST_ROWS
"""Lines of a text, empty ones too: a small file compressed by gzip may hold as many as there is room for."""

DELIMITERS = ",\t;"


class DelimitedTable(CellTable):
    """A table in a text, with its header in the first line; what stands between cells is told from that line.

    Lines without any character are passed over. A cell with a delimiter, a quote or the end of a line in it stands in
    double quotes; a quote in it is written twice. What ww escapes in CSV, and an apostrophe before what a spreadsheet
    would run, is undone.

    Attributes:
        delimiter: What stands between two cells.

    Raises:
        SourceError: The file cannot be read.
        CorruptFileError: It is empty, its first line is no header, or it is not UTF-8 text.
    """

    unit = "line"

    def __init__(self, source: Source) -> None:
        self._source = source
        self.label = source.label
        first = next((line for line in self._lines() if line.strip()), "")
        if not first:
            raise CorruptFileError(f"{self.label}: the file is empty")
        # Most cells win; a comma where there is one cell only, or as many by another.
        self.delimiter = max(DELIMITERS, key=lambda mark: _width(first, mark))
        header = next(cells for _, cells in self._records())
        super().__init__(source.label, header)

    def _rows(self) -> Iterator[CellRow]:
        width = len(self.header)
        records = self._records()
        next(records)
        for number, cells in records:
            if len(cells) != width:
                raise CorruptFileError(
                    f"{self.place(number)}: the row has {len(cells):,} cells, and the header has {width:,}"
                )
            yield CellRow(number, tuple(cells))

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the cells of each row with the number of the line that it begins in, the header's first."""
        # "strict" refuses what is not closed, and text behind a closing quote; cells have the limit of module csv.
        reader = csv.reader(self._lines(), delimiter=self.delimiter, strict=True)
        while True:
            begin = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise CorruptFileError(f"{self.place(begin)}: {_told(error)}") from None
            if len(cells) > 1 or (cells and cells[0].strip()):
                whole = "".join(cells)  # looked at once: in nearly all rows nothing was escaped
                yield begin, [text_of_cell(cell) for cell in cells] if "\\" in whole or "'" in whole else cells

    def _lines(self) -> Iterator[str]:
        """Yield the lines of the text, with their ends."""
        left = LARGEST_TEXT
        number = 0
        with unpacked(self._source) as file:
            while line := file.readline(LONGEST_LINE + 1):
                number += 1
                left -= len(line)
                if left < 0:
                    raise CorruptFileError(
                        f"{self.label}: the text has more than {LARGEST_TEXT:,} bytes: split it, or leave columns out"
                    )
                if number > MOST_LINES:
                    raise CorruptFileError(f"{self.label}: the text has more than {MOST_LINES:,} lines: split it")
                yield self._text_of(line, number)

    def _text_of(self, line: bytes, number: int) -> str:
        if len(line) > LONGEST_LINE:
            raise CorruptFileError(
                f"{self.place(number)}: the line has more than {LONGEST_LINE:,} bytes: this is not a table"
            )
        if b"\0" in line:
            raise CorruptFileError(
                f"{self.place(number)}: there is a NUL character: this is not UTF-8 text, save the table as one"
            )
        try:
            return line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            raise CorruptFileError(f"{self.place(number)}: this is not UTF-8 text: save the table as one") from None


def _width(line: str, delimiter: str) -> int:
    """Return into how many cells a delimiter cuts a line; 0 if it cannot be cut, which is said when it is read."""
    try:
        return len(next(csv.reader([line], delimiter=delimiter)))
    except csv.Error:
        return 0


def _told(error: csv.Error) -> str:
    text = str(error)
    if "unexpected end of data" in text:
        return "a quote that opens in this row is not closed"
    if "field limit" in text:
        return f"a cell has more than {csv.field_size_limit():,} characters: is a quote not closed?"
    if "expected after" in text:
        return "text follows a closing quote: write a quote inside of a cell twice"
    if "new-line character" in text:
        return "the line has a carriage return in its middle: end lines with a line feed"
    return f"the row cannot be read: {text}"
