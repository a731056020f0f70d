"""What a section is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from benchmarks.peer.bench import Bench


@dataclass
class Measured:
    """Rows and notes of one case."""

    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)


Cases = Iterator[tuple[str, Callable[[], Measured]]]
"""Names, and what measures each: one may fail without the others."""


@dataclass(frozen=True, slots=True)
class Section:
    """A table: its name on the command line, what stands above it, its cases, whether these are models."""

    name: str
    title: str
    explanation: str
    columns: tuple[str, ...]
    cases: Callable[[Bench], Cases]
    of_models: bool = True
