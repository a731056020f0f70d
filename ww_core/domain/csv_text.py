"""CSV as every command writes it: for programs and spreadsheets, and safe to look at.

Names come from strangers. What cannot be printed is escaped visibly, and what a spreadsheet would run as a formula has
an apostrophe before it. `text_of_cell` undoes both, so nothing is lost.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ww_core.domain.text import escaped, unescaped

KEPT = "\t\n"
"""What CSV holds as it is: a cell with the end of a line in it stands in quotes."""

_RUN = r"[=+\-@\t\r＝＋－＠]"  # noqa: RUF001 - spreadsheets of East Asia take the wide ones for the others
_MAY_BE_RUN = re.compile(rf"'*{_RUN}")
_IS_INERT = re.compile(rf"'+{_RUN}")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


Cell = Callable[[Any], Any]
"""Makes of a value what stands in a cell."""


class CsvLines:
    """Writes rows, a line each.

    Args:
        write: Takes a piece of text.
        cell: What becomes of each value.
    """

    def __init__(self, write: Callable[[str], object], cell: Cell) -> None:
        self._write = write
        self._cell = cell
        self._lines = csv.writer(self, lineterminator="\r\n")  # so that a return in a text is quoted too

    def write(self, line: str) -> None:
        """Take a line from module csv: lines end as all text of ww does."""
        self._write(line.removesuffix("\r\n") + "\n")

    def rows(self, rows: Iterable[Sequence[Any]]) -> None:
        """Write rows; what is None is an empty field."""
        cell = self._cell
        self._lines.writerows([[cell(value) for value in row] for row in rows])


def raw_cell(value: Any) -> Any:
    """Return a value as it is, for who needs every byte: it may move a cursor, or be run by a spreadsheet."""
    return value


def cell_of_value(value: Any) -> Any:
    """Return a value as it stands in a cell. Numbers are what they are, negative ones and those in texts too."""
    if type(value) is not str:
        return value if value is None or isinstance(value, (int, float)) else cell_of_value(str(value))
    if _MAY_BE_RUN.match(value) and not _NUMBER.fullmatch(value):
        return f"'{escaped(value, KEPT)}"
    return escaped(value, KEPT)


def text_of_cell(cell: str) -> str:
    """Return the text that `cell_of_value` made a cell of."""
    if "\\" not in cell and cell[:1] != "'":  # nearly all cells
        return cell
    text = unescaped(cell)
    return text[1:] if _IS_INERT.match(text) else text
