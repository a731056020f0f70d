"""Tables as pages show them: what each cell says, what it is sorted by, and what lies behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ww_plugins.pages.rendering import told


@dataclass(frozen=True, slots=True)
class Header:
    """The head of a column.

    Attributes:
        name: What it is called.
        note: What it is, in a sentence; empty for nothing to say.
        is_number: Whether its cells are numbers, which stand on the right.
    """

    name: str
    note: str = ""
    is_number: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell.

    Attributes:
        value: A number, a text, yes or no, or None.
        note: What is to be known of it, as why there is no value; empty for nothing.
        signs: Marks beside it that tell how far it can be trusted, as ``*``.
        verdict: ``worse``, ``better``, or empty.
        href: Where it leads; empty for nowhere.
        text: What is shown in its place; empty for the value itself.
    """

    value: Any
    note: str = ""
    signs: str = ""
    verdict: str = ""
    href: str = ""
    text: str = ""

    @property
    def shown(self) -> str:
        """What stands in it."""
        return f"{told(self.text or self.value)}{self.signs}"

    @property
    def number(self) -> str:
        """What it is sorted by, exactly; empty for its text."""
        is_number = isinstance(self.value, (int, float)) and not isinstance(self.value, bool)
        return repr(self.value) if is_number else ""


@dataclass(frozen=True, slots=True)
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
