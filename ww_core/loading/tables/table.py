"""What every table is: a header, and rows of cells that know their places."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from ww_core.errors import CorruptFileError
from ww_core.loading.names import legible, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Cell = str | int | float | bool | None
"""A text as it stands in a file, or the value of a typed table."""

MOST_COLUMNS = 10_000
MOST_ROWS = 1_000_000
MOST_CELLS = 10_000_000
LONGEST_HEADER = 200
"""Characters of a column's name."""


class CellRow(NamedTuple):
    """A row of a table.

    Attributes:
        number: Number of the line, record or row that it begins in, from 1.
        cells: Its cells, in the order of the header.
    """

    number: int
    cells: tuple[Cell, ...]


class CellTable(ABC):
    """A table whose header has been read; rows are read anew each time that it is iterated over.

    Iterating raises CorruptFileError where a row is damaged or a limit is exceeded; the message names the place.

    Attributes:
        label: How it is named to people.
        header: Names of the columns: printable, none twice, and none empty but that of the first.
    """

    unit: ClassVar[str] = "row"

    def __init__(self, label: str, header: Sequence[str]) -> None:
        self.label = label
        self.header = tuple(name.strip() for name in header)
        self._check_header()

    def __iter__(self) -> Iterator[CellRow]:
        width = max(1, len(self.header))
        most = min(MOST_ROWS, MOST_CELLS // width)
        for count, row in enumerate(self._rows(), 1):
            if count > most:
                raise CorruptFileError(
                    f"{self.label}: it has more than {most:,} rows of {width:,} columns: split it, or leave columns out"
                )
            yield row

    def place(self, number: int, column: str = "") -> str:
        """Name a row, and a column of it, for a message: ``layers.csv, line 12, column alpha``."""
        return f"{self.label}, {self.unit} {number}" + (f", column {legible(column)}" if column else "")

    @abstractmethod
    def _rows(self) -> Iterator[CellRow]:
        """Read the rows; each has as many cells as the header has names."""

    def _check_header(self) -> None:
        if not any(self.header):
            raise CorruptFileError(f"{self.label}: it has no header: the first line must name the columns")
        if len(self.header) > MOST_COLUMNS:
            raise CorruptFileError(
                f"{self.label}: it has {len(self.header):,} columns, and a table may have {MOST_COLUMNS:,}"
            )
        for at, name in enumerate(self.header, 1):
            if not name and at > 1:  # the first may be the index of a data frame
                raise CorruptFileError(f"{self.label}: column {at} of the header has no name")
            if not name.isprintable() or len(name) > LONGEST_HEADER:
                raise CorruptFileError(
                    f"{self.label}: column {at} of the header, {quoted(name)}, has control characters or more than "
                    f"{LONGEST_HEADER} characters: is the first line the header?"
                )
        twice = [name for name, count in Counter(self.header).items() if count > 1]
        if twice:
            raise CorruptFileError(f"{self.label}: the header names column {twice[0]!r} twice: rename one")
