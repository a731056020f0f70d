"""Tables for people: rows as lines, whole or fitted to the width of a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ww_core.domain.text import escaped

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
        from rich.console import Console
        from rich.table import Table as Grid
        from rich.text import Text

        # The longest text folds first, and the others only where that is not enough.
        widths = self.widths
        texts = sorted((header for header in self.cells if header not in self.numeric), key=lambda own: -widths[own])
        least = dict(widths)
        total = sum(least.values()) + GAP * (len(least) - 1)
        for header in texts:
            if total > room:
                least[header] = max(min(widths[header], FOLDED), widths[header] - (total - room))
                total -= widths[header] - least[header]
        grid = Grid(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
        for header in self.cells:
            shown = self._justified(header, header, widths) if header in self.numeric else header
            grid.add_column(Text(shown), overflow="fold", width=least[header])
        for row in range(len(next(iter(self.cells.values()), ()))):
            line = []
            for header, column in self.cells.items():
                text = self._justified(header, column[row], widths) if header in self.numeric else column[row]
                # Text, so that a name with brackets is no markup
                line.append(Text(text, style="yellow" if row in self.marked.get(header, ()) else ""))
            grid.add_row(*line)
        # On a terminal that has no room even so, lines wrap: better than a number that is cut.
        Console(width=max(room, total)).print(grid)

    def _justified(self, header: str, text: str, widths: Mapping[str, int]) -> str:
        return text.rjust(widths[header]) if header in self.numeric else text.ljust(widths[header])


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Marked) else value
