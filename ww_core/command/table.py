"""Tables for people: rows as lines, whole or fitted to the width of a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from ww_core.domain.text import escaped

if TYPE_CHECKING:
    from rich.console import Console

GAP = 2
"""Blanks between columns."""

FOLDED = 24
"""Characters a text column keeps at least, before it folds."""


@dataclass(frozen=True, slots=True)
class Marked:
    """A value with the signs beside it that tell how far it can be trusted, as ``8.143*``."""

    value: Any
    signs: str


def cell(value: Any) -> str:
    """Return a value as people read it in a table: four digits, yes for true, nothing for none."""
    if value is None or value is False:
        return ""
    if value is True:
        return "yes"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Marked):
        return cell(value.value) + value.signs
    return escaped(str(value))


@dataclass(frozen=True, slots=True)
class Table:
    """Cells by header, as texts; numbers are aligned already, digit under digit.

    Attributes:
        cells: One text per row, by header.
        marked: Rows of cells with a mark, by header.
        numeric: Headers of numbers: they stay whole.
    """

    cells: Mapping[str, Sequence[str]]
    marked: Mapping[str, frozenset[int]] = field(default_factory=dict)
    numeric: frozenset[str] = frozenset()

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]], unused: Sequence[str] = ()) -> Table:
        """Make a table of rows by header, without some of the headers."""
        cells, marked, numeric = {}, {}, set()
        for header in dict.fromkeys(key for row in rows for key in row if key not in unused):
            values = [row.get(header) for row in rows]
            name, texts = escaped(header), [cell(value) for value in values]
            marked[name] = frozenset(at for at, value in enumerate(values) if isinstance(value, Marked))
            if all(isinstance(_plain(value), (int, float, type(None))) for value in values):
                numeric.add(name)
                room = max((len(value.signs) for value in values if isinstance(value, Marked)), default=0)
                texts = [
                    text + " " * (room - (len(value.signs) if isinstance(value, Marked) else 0))
                    for text, value in zip(texts, values, strict=True)
                ]
            cells[name] = texts
        return cls(cells, marked, frozenset(numeric))

    @property
    def widths(self) -> dict[str, int]:
        """Characters of the widest cell, by header."""
        return {header: max(map(len, [header, *column])) for header, column in self.cells.items()}

    def lines(self) -> Iterator[str]:
        """The table as it is, whatever its width, the headers first."""
        widths = self.widths
        for line in (self.cells, *zip(*self.cells.values(), strict=True)):
            padded = [self._justified(header, text, widths) for header, text in zip(self.cells, line, strict=True)]
            yield (" " * GAP).join(padded).rstrip()

    def without(self, headers: Sequence[str]) -> Table:
        """The table without some columns."""
        return Table(
            {header: own for header, own in self.cells.items() if header not in headers}, self.marked, self.numeric
        )

    def beyond(self, room: int, optional: Sequence[str]) -> list[str]:
        """Choose the headers to leave out, so that the rest has room, as far as they are optional, the first first."""
        widths, left_out = self.widths, list[str]()
        for header in (header for header in optional if header in widths):
            kept = [width for other, width in widths.items() if other not in left_out]
            if sum(kept) + GAP * (len(kept) - 1) <= room:
                break
            left_out.append(header)
        return left_out

    def print_fitted(self, room: int) -> None:
        """Print it on a terminal so wide: texts fold, numbers stay whole, marked numbers are yellow."""
        # Not by rich's own table, which takes about ten times as long for each cell.
        from rich.console import Console
        from rich.segment import Segment, Segments
        from rich.style import Style

        widths, fitted = self.widths, self._fitted(room)
        # On a terminal that has no room even so, lines wrap: better than a number that is cut.
        console = Console(width=max(room, _whole_width(fitted)))
        bold, yellow = Style(bold=True), Style(color="yellow")
        segments: list[Segment] = []
        for row, line in enumerate((self.cells, *zip(*self.cells.values(), strict=True)), start=-1):
            columns, styles = [], []
            for header, text in zip(self.cells, line, strict=True):
                shown = self._justified(header, text, widths) if header in self.numeric else text
                columns.append(_folded(shown, fitted[header], console))
                styles.append(bold if row < 0 else yellow if row in self.marked.get(header, ()) else None)
            for parts in zip_longest(*columns):
                for header, part, style in zip(self.cells, parts, styles, strict=True):
                    segments.append(Segment(part or " " * fitted[header], style))
                    segments.append(Segment(" " * GAP))
                segments[-1] = Segment.line()
        console.print(Segments(segments), end="", crop=False)

    def _fitted(self, room: int) -> dict[str, int]:
        """Characters of each column in a line of ``room``: the longest text folds first, others only if they must."""
        fitted = self.widths
        texts = sorted((header for header in self.cells if header not in self.numeric), key=lambda own: -fitted[own])
        for header in texts:
            excess = _whole_width(fitted) - room
            if excess > 0:
                fitted[header] = max(min(fitted[header], FOLDED), fitted[header] - excess)
        return fitted

    def _justified(self, header: str, text: str, widths: Mapping[str, int]) -> str:
        return text.rjust(widths[header]) if header in self.numeric else text.ljust(widths[header])


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Marked) else value


def _whole_width(widths: Mapping[str, int]) -> int:
    return sum(widths.values()) + GAP * (len(widths) - 1)


def _folded(text: str, width: int, console: Console) -> list[str]:
    """Return the lines that a text takes in a column, each as wide as the column."""
    from rich.cells import cell_len
    from rich.text import Text

    if text.isascii() and len(text) <= width:
        return [text.ljust(width)]
    lines = [line.plain for line in Text(text).wrap(console, width, overflow="fold")]
    return [line + " " * (width - cell_len(line)) for line in lines]
