"""Batches: layers that a worker takes on at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ww_core.compute.task import LayerTask

BATCH_BYTES = 64 * 2**20
"""Most bytes of tensors in one batch, unless one tensor has more."""

BATCH_COST = 2e9
"""Most floating-point operations of one batch, roughly: half a second."""

BATCHES_PER_WORKER = 4
"""Least number of batches for each worker, if there are so many layers: so that all end at about the same time."""


def batches_of(tasks: Sequence[LayerTask], jobs: int) -> Iterator[tuple[LayerTask, ...]]:
    """Part tasks into batches, in order.

    Args:
        tasks: The tasks, the most costly first, so that layers of one shape stand side by side.
        jobs: Count of workers.
    """
    limit = BATCH_COST if jobs == 1 else min(BATCH_COST, sum(task.cost for task in tasks) / (BATCHES_PER_WORKER * jobs))
    batch: list[LayerTask] = []
    cost, size = 0.0, 0
    for task in tasks:
        if batch and (cost + task.cost > limit or size + task.nbytes > BATCH_BYTES):
            yield tuple(batch)
            batch, cost, size = [], 0.0, 0
        batch.append(task)
        cost += task.cost
        size += task.nbytes
    if batch:
        yield tuple(batch)
