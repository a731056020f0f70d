"""Tables as pages show them: what each cell says, what it is sorted by, and what lies behind it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from markupsafe import Markup, escape

from ww_plugins.pages.rendering import told

LONG = 44
"""Characters of a cell from which on it may break anywhere; what is shorter stays whole."""


@dataclass(frozen=True, slots=True)
class Header:
    """The head of a column.

    Attributes:
        name: What it is called.
        note: What it is, in a sentence; empty for nothing to say.
        is_number: Whether its cells are numbers, which stand on the right.
        is_extra: Whether it is left out on paper, which has no room for every column.
    """

    name: str
    note: str = ""
    is_number: bool = False
    is_extra: bool = False

    @property
    def classes(self) -> str:
        """What the style sheet is to know of it."""
        return " ".join(filter(None, ("n" if self.is_number else "", "extra" if self.is_extra else "")))


@dataclass(frozen=True)
class Cell:
    """A cell.

    Attributes:
        value: A number, a text, yes or no, or None.
        note: What is to be known of it, as why there is no value; empty for nothing.
        signs: Marks beside it that tell how far it can be trusted, as ``*``.
        verdict: ``worse``, ``better``, or empty.
        href: Where it leads, quoted by whoever made it; empty for nowhere.
        text: What is shown in its place; empty for the value itself.
    """

    value: Any
    note: str = ""
    signs: str = ""
    verdict: str = ""
    href: Markup | str = ""
    text: str = ""

    @cached_property
    def shown(self) -> Markup:
        """What stands in it, escaped: no template shortens it once more."""
        return escape(f"{told(self.text or self.value)}{self.signs}")

    @property
    def classes(self) -> str:
        """What the style sheet is to know of it, beside what it is to know of its header."""
        return " ".join(filter(None, ("long" if len(self.shown) > LONG else "", self.verdict)))

    @property
    def number(self) -> str:
        """What it is sorted by, exactly, as JavaScript reads it; empty for its text."""
        is_number = isinstance(self.value, (int, float)) and not isinstance(self.value, bool)
        return repr(self.value).replace("inf", "Infinity") if is_number else ""


def change_cell(change: float | None, verdict: str, note: str = "") -> Cell:
    """Return the cell of a change, with what it means in a word, as not everybody sees its colour.

    Args:
        change: The change; None where nothing may be subtracted.
        verdict: ``better``, ``worse`` or ``none``.
        note: Why nothing may be subtracted.
    """
    meaning = "" if verdict == "none" else verdict
    text = "" if change is None else f"{change:+.4g} {meaning}".strip()
    return Cell(change, note, verdict=meaning, text=text)


def time_cell(moment: str) -> Cell:
    """Return the cell of a moment, to the minute; it is told in full under the mouse.

    Args:
        moment: In ISO 8601, UTC.
    """
    return Cell(moment, moment, text=moment[:16].replace("T", " "))


@dataclass(frozen=True)
class PageTable:
    """A table that sorts and filters where scripts run, and is whole where they do not.

    Attributes:
        caption: What it shows.
        headers: Its columns; the first one names the row.
        rows: Its cells, row by row.
    """

    caption: str
    headers: Sequence[Header]
    rows: Sequence[Sequence[Cell]]

    def cells_of(self, row: Sequence[Cell]) -> Iterator[tuple[Cell, str]]:
        """Give the cells of a row, each with what the style sheet is to know of it under its header."""
        for of_header, cell in zip(self._classes, row, strict=True):
            own = cell.classes
            yield cell, f"{of_header} {own}" if of_header and own else of_header or own

    @cached_property
    def _classes(self) -> list[str]:
        return [header.classes for header in self.headers]
