"""Workers that have no layer left help with the spectra that are still being made."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from ww_core.compute.task import LayerResult, LayerTask

    Compute = Callable[[Sequence[LayerTask]], list[LayerResult]]

T = TypeVar("T")

PATIENCE = 0.05
"""Seconds that a helper waits for the last batch to begin, which its worker may have taken a moment ago."""


class Crew:
    """A ``Share`` among the workers that do the batches of one run.

    Behind all batches, the pool is given calls of ``help``, so that only who is idle helps. Nobody waits for a worker
    that is busy with a batch, and each takes the next piece when it has done one, so that a slow core slows down its
    own piece only. A helper never waits for a batch that nobody has begun: in a pool that runs its queue in another
    order it would be in the way.

    Args:
        batches: How many there are.
    """

    def __init__(self, batches: int) -> None:
        self._changed = threading.Condition()
        self._to_begin = batches
        self._to_end = batches
        self._shared: list[_Shared[Any]] = []

    def doing(self, compute: Callable[[Sequence[LayerTask]], list[LayerResult]]) -> Compute:
        """Return a function that computes a batch, and lets the helpers know when it begins and ends."""

        def done(batch: Sequence[LayerTask]) -> list[LayerResult]:
            with self._changed:
                self._to_begin -= 1
                self._changed.notify_all()
            try:
                return compute(batch)
            finally:
                with self._changed:
                    self._to_end -= 1
                    self._changed.notify_all()

        return done

    def __call__(self, work: Callable[[Iterator[T]], None], items: Iterable[T], /) -> None:
        """Do all items, here and wherever a worker is idle."""
        listed = list(items)
        if len(listed) <= 1:
            work(iter(listed))
            return
        shared = _Shared(work, listed, self._changed)
        with self._changed:
            self._shared.append(shared)
            self._changed.notify_all()
        try:
            work(shared)
        finally:
            with self._changed:
                shared.close()
                self._shared.remove(shared)
                self._changed.wait_for(lambda: not shared.helpers)
        if shared.errors:
            raise shared.errors.pop()

    def help(self) -> None:
        """Take part in whatever is shared, until all batches have ended."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._to_begin <= 0, PATIENCE):
                return
        while self._help_once():
            pass

    def close(self) -> None:
        """Let the helpers go, whatever has not begun or ended."""
        with self._changed:
            self._to_begin = self._to_end = 0
            self._changed.notify_all()

    def _help_once(self) -> bool:
        """Take part in one thing; tell whether there may be another. What was shared is let go of on return."""
        with self._changed:
            self._changed.wait_for(lambda: self._to_end <= 0 or self._open() is not None)
            shared = self._open()
            if self._to_end <= 0 or shared is None:
                return False
            shared.helpers += 1
        try:
            shared.help()
        finally:
            with self._changed:
                shared.helpers -= 1
                shared.is_open = False  # who comes back has found nothing left to do
                self._changed.notify_all()
        return True

    def _open(self) -> _Shared[Any] | None:
        """Return what has items left, and the fewest helpers."""
        return min((own for own in self._shared if own.is_open), key=lambda own: own.helpers, default=None)


class _Shared(Generic[T]):
    """Work, and an iterator over its items that several threads draw from.

    Attributes:
        is_open: Whether somebody who joins now may find an item.
        helpers: How many take part besides the one who shares it.
        errors: What was raised in helpers.
    """

    def __init__(self, work: Callable[[Iterator[T]], None], items: Iterable[T], lock: threading.Condition) -> None:
        self.is_open = True
        self.helpers = 0
        self.errors: list[BaseException] = []
        self._work = work
        self._remaining = iter(items)
        self._lock = lock

    def help(self) -> None:
        """Take part; what is raised belongs to the one who shares the work."""
        try:
            self._work(self)
        except BaseException as error:  # noqa: BLE001 - raised there again
            self.errors.append(error)

    def close(self) -> None:
        """Let nobody draw any more."""
        self.is_open = False
        self._remaining = iter(())

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        with self._lock:
            try:
                return next(self._remaining)
            except StopIteration:
                self.is_open = False
                raise
