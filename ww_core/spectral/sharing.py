"""How one spectrum's work may be shared with workers that have nothing else to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")


class Share(Protocol):
    """Runs ``work`` on an iterator over ``items``, here and perhaps in other threads that draw from the same iterator.

    It returns when all items are done, and raises what ``work`` raised anywhere. The caller always takes part, so that
    nothing waits for a thread that never comes.
    """

    def __call__(self, work: Callable[[Iterator[T]], None], items: Iterable[T], /) -> None:
        """Do all items."""
        ...


def alone(work: Callable[[Iterator[T]], None], items: Iterable[T], /) -> None:
    """Share with nobody."""
    work(iter(items))
