"""What is found in checking a store: faults by kind, counted, and the first of each in words."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row, Select, Table

FETCHED = 500
"""Rows that are in memory at a time."""

SHOWN = 20
"""Faults of a kind that are described; the others are counted."""


@dataclass(frozen=True, slots=True)
class Faults:
    """Faults of one kind: how many there are, and the first of them in words."""

    count: int
    first: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Integrity:
    """What was checked, and what is wrong.

    Attributes:
        checked: How many of each were checked: digests, spectra, values, summaries.
        faults: By kind: ``file``, ``cell``, ``reference``, ``constraint``, ``digest``, ``spectrum``, ``value``,
            ``summary``.
        others: Tables, views and indexes that ww has not made and does not use, as kind and name.
    """

    checked: Mapping[str, int]
    faults: Mapping[str, Faults]
    others: tuple[str, ...] = ()


@dataclass(slots=True)
class Findings:
    """What was checked and found so far."""

    checked: Counter[str] = field(default_factory=lambda: Counter(digests=0, spectra=0, values=0, summaries=0))
    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def fault(self, kind: str, message: str) -> None:
        """Count a fault of a kind, and keep the first of them."""
        self.counts[kind] += 1
        if self.counts[kind] <= SHOWN:
            self.first[kind].append(message)

    def result(self) -> Integrity:
        """Return what there is."""
        faults = {kind: Faults(count, tuple(self.first[kind])) for kind, count in self.counts.items()}
        return Integrity(dict(self.checked), faults)


Check = Callable[["Connection", Findings], None]
"""Looks at one thing, and says what is wrong with it."""


def rows_of(connection: Connection, query: Select[Any]) -> Iterator[Row[Any]]:
    """Yield the rows of a query, a bounded number of them in memory."""
    yield from connection.execute(query, execution_options={"yield_per": FETCHED})


def place_of(table: Table, row: Row[Any]) -> str:
    """Return where a row stands, by its key."""
    keys = (f"{column.name} {getattr(row, column.name)}" for column in table.primary_key)
    return f"{table.name} ({', '.join(keys)})"
