"""How one spectrum's work may be shared with workers that have nothing else to do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
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


class Turns:
    """Lets threads that do numbered things side by side finish them in order, so that sums are the same in any case."""

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._next = 0
        self._given_up = False

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Whoever fails in here releases those who wait for its turn to pass."""
        try:
            yield
        except BaseException:
            with self._change:
                self._given_up = True
                self._change.notify_all()
            raise

    @contextmanager
    def turn(self, number: int) -> Iterator[None]:
        """Wait until all lower numbers have had their turn."""
        with self._change:
            self._change.wait_for(lambda: self._next == number or self._given_up)
        yield
        with self._change:
            self._next += 1
            self._change.notify_all()
