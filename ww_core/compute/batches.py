"""Parting what there is to do: layers into batches, and what is held at once into pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from ww_core.compute.task import LayerTask

T = TypeVar("T")

BATCH_BYTES = 64 * 2**20
"""Most bytes of tensors in one batch, unless one tensor has more."""

BATCH_COST = 2e9
"""Most floating-point operations of one batch, roughly: half a second."""

BATCHES_PER_WORKER = 4
"""Least number of batches for each worker, if there are so many layers: so that all end at about the same time."""


def batches_of(tasks: Sequence[LayerTask], jobs: int) -> Iterator[list[LayerTask]]:
    """Part tasks into batches, in order.

    Args:
        tasks: The tasks, the most costly first, so that layers of one shape stand side by side.
        jobs: Count of workers.
    """
    most = sum(task.cost for task in tasks) / (BATCHES_PER_WORKER * jobs) if jobs > 1 else BATCH_COST
    most = max(1.0, min(most, BATCH_COST))
    return parted(tasks, lambda task: max(task.cost / most, task.nbytes / BATCH_BYTES), 1.0)


def parted(items: Iterable[T], size_of: Callable[[T], float], limit: float) -> Iterator[list[T]]:
    """Part items, in order, into lists of at most ``limit`` together, or of one."""
    part: list[T] = []
    total = 0.0
    for item in items:
        size = size_of(item)
        if part and total + size > limit:
            yield part
            part, total = [], 0.0
        part.append(item)
        total += size
    if part:
        yield part
