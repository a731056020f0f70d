"""A page: what a command answers, as HTML and as the JSON that the command prints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from markupsafe import Markup, escape

import ww_core as ww
from ww_core.command import json_text, printable
from ww_plugins.pages.tables import Cell, Header, PageTable

if TYPE_CHECKING:
    from ww_plugins.pages.server.asked import Asked, Form

T = TypeVar("T")

LONGEST_SENTENCE = 2000
"""Characters of a sentence."""

ROWS = 100
"""Rows of a table that a page shows at once."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One kind of page.

    Attributes:
        title: What people call it.
        form: What may be asked.
        ask: Makes the call that the command makes.
        content: What the command prints of the answer as JSON.
        shown: What the template shows of the answer, by name.
        blank: What it shows where something is missing that must be given; None where there is no such page.
        completed: Chooses what was left open, so that the answer is made soon: the command of the page then says so.
    """

    title: str
    form: Form
    ask: Callable[[ww.Store, Asked], T]
    content: Callable[[T], Any]
    shown: Callable[[ww.Store, Asked, T], Mapping[str, Any]]
    blank: Callable[[ww.Store], Mapping[str, Any]] | None = None
    completed: Callable[[ww.Store, Asked], Asked] = lambda _, asked: asked

    def json(self, store: ww.Store, asked: Asked) -> str:
        """Return what the command of the page prints after ``--json``, to the last byte.

        Raises:
            WWError: As the command's call; or something is missing.
        """
        self._check(asked)
        return json_text(self.content(self.ask(store, self.completed(store, asked))))

    def values(self, store: ww.Store, asked: Asked) -> Mapping[str, Any]:
        """Return what the template shows, with the question as it was completed.

        Raises:
            WWError: As the command's call; or something is missing.
        """
        if asked.missing and self.blank is not None:
            return {"asked": asked, **self.blank(store)}
        self._check(asked)
        asked = self.completed(store, asked)
        return {"asked": asked, **self.shown(store, asked, self.ask(store, asked))}

    def _check(self, asked: Asked) -> None:
        if asked.missing:
            raise ww.UsageError(f"{' and '.join(asked.missing)} must be given: /models lists what is stored")


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a long table, and the addresses of those before and after it.

    Attributes:
        rows: Its rows.
        first: Number of the first of them, from 1.
        total: How many rows there are in all.
        before: Address of the part before; empty for none.
        after: Address of the part after.
    """

    rows: Sequence[Any]
    first: int
    total: int
    before: Markup | str
    after: Markup | str

    @classmethod
    def of(cls, rows: Sequence[Any], asked: Asked, size: int = ROWS) -> Part:
        """Return the part that was asked for, of so many rows at most.

        Raises:
            NotStoredError: There are fewer parts.
        """
        start = (asked.page - 1) * size
        if asked.page > 1 and start >= len(rows):
            raise ww.NotStoredError(f"there is no page {asked.page}: the table has {len(rows):,} rows")
        before = asked.address(page=asked.page - 1) if asked.page > 1 else ""
        after = asked.address(page=asked.page + 1) if start + size < len(rows) else ""
        return cls(rows[start : start + size], start + 1, len(rows), before, after)

    @property
    def last(self) -> int:
        """Number of the last row."""
        return self.first + len(self.rows) - 1


def sentence(text: str) -> Markup:
    """Return a sentence of ours, which may repeat a stranger's text, as a page shows it."""
    return escape(printable(text[:LONGEST_SENTENCE]))


def table(caption: str, names: Sequence[str], rows: Iterable[Sequence[Cell]]) -> PageTable:
    """Return a table; a column without a text in it is one of numbers."""
    cells = [*rows]
    columns = zip(*cells, strict=True) if cells else [() for _ in names]
    headers = [
        Header(name, is_number=any(own.number for own in column) and not any(map(_is_text, column)))
        for name, column in zip(names, columns, strict=True)
    ]
    return PageTable(caption, headers, cells)


def shortened(caption: str, names: Sequence[str], rows: Sequence[T], cells: Callable[[T], Sequence[Cell]]) -> PageTable:
    """Return a table of the first rows, which says how many there are.

    Args:
        caption: What it shows.
        names: Names of its columns.
        rows: What it tells of, all of it.
        cells: Makes the cells of a row.
    """
    told = f"{caption}: the first {ROWS} of {len(rows):,}" if len(rows) > ROWS else caption
    return table(told, names, map(cells, rows[:ROWS]))


def _is_text(own: Cell) -> bool:
    return isinstance(own.value, str) and own.value != "" and not own.note
