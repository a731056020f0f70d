"""Workers that have no layer left help with the spectra that are still being made."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import wait
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    import concurrent.futures

T = TypeVar("T")


class IdleWorkers:
    """A ``Share`` among the workers of a pool.

    Help is asked for at the end of the pool's queue, behind all layers, so that only who is idle gives it; help that
    has not begun when the work is done is taken back. Nobody waits for a worker that is busy, and each takes the next
    piece when it has done one, so that a slow core slows down its own piece only.

    Args:
        pool: The pool whose worker the caller is.
        workers: How many it has.
    """

    def __init__(self, pool: concurrent.futures.Executor, workers: int) -> None:
        self._pool = pool
        self._workers = workers

    def __call__(self, work: Callable[[Iterator[T]], None], items: Iterable[T], /) -> None:
        """Do all items, here and wherever a worker is idle."""
        listed = list(items)
        shared = _Shared(work, listed)
        helpers = [self._pool.submit(shared.help) for _ in range(min(self._workers, len(listed)) - 1)]
        try:
            work(shared)
        finally:
            shared.close()
            begun = [helper for helper in helpers if not helper.cancel()]
            wait(begun)
        for helper in begun:
            helper.result()


class _Shared(Generic[T]):
    """Work, and an iterator over its items that several threads draw from."""

    def __init__(self, work: Callable[[Iterator[T]], None], items: list[T]) -> None:
        self._work: Callable[[Iterator[T]], None] | None = work
        self._remaining = iter(items)
        self._lock = threading.Lock()

    def help(self) -> None:
        """Take part, if there is still something to do."""
        work = self._work
        if work is not None:
            work(self)

    def close(self) -> None:
        """Let nobody draw any more; what stays in the queue of the pool must not keep a tensor alive."""
        with self._lock:
            self._remaining = iter(())
            self._work = None

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        with self._lock:
            return next(self._remaining)
