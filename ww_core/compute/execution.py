"""Doing tasks: in threads of this process, or by workers elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from ww_core.compute.batches import batches_of
from ww_core.compute.blas import one_blas_thread
from ww_core.compute.idle import IdleWorkers
from ww_core.compute.recipe import Recipe, compute_in_process, prepare_process
from ww_core.compute.task import LayerResult, LayerTask
from ww_core.compute.worker import Worker
from ww_core.domain.report import Failure
from ww_core.errors import PluginError
from ww_core.plugins.isolation import RAISED, sentence_of
from ww_core.plugins.variants import spec_of

if TYPE_CHECKING:
    import concurrent.futures

    from ww_core.contracts.device import Device
    from ww_core.contracts.executor import Executor
    from ww_core.contracts.loader import Checkpoint
    from ww_core.plugins.registry import Owned
    from ww_core.plugins.selection import Asked

    Pending = concurrent.futures.Future[list[LayerResult]]
    Compute = Callable[[Sequence[LayerTask]], list[LayerResult]]


@dataclass(frozen=True, slots=True, eq=False)
class Execution:
    """Where the work is done.

    Attributes:
        jobs: Count of workers.
        executor: What makes them.
        device: Where spectra are made.
    """

    jobs: int
    executor: Executor
    device: Owned[Device]


@dataclass(frozen=True, slots=True, eq=False)
class Tensors:
    """Where workers read the tensors.

    Attributes:
        checkpoint: The opened checkpoint.
        loader: Qualified name of its loader, with its options.
        address: Where another process opens the source; empty if it cannot.
    """

    checkpoint: Checkpoint
    loader: str
    address: str


def fitting(execution: Execution, asked: Asked, address: str) -> tuple[Execution, str]:
    """Return an execution that can do what was asked, and a sentence if it is another one.

    Args:
        execution: The one that was asked for.
        asked: What was asked, by which plugins.
        address: Where another process opens the source; empty if it cannot.
    """
    executor = execution.executor
    if executor.shares_memory or (address and not asked.registry.has_objects):
        return execution, ""
    threads = asked.registry.executors.find("threads").object
    sentence = f"executor {executor.label!r} sees neither Python objects nor the store: threads were used"
    return Execution(execution.jobs, threads, execution.device), sentence


def results_of(
    tasks: Sequence[LayerTask], execution: Execution, asked: Asked, tensors: Tensors, patience: float
) -> Iterator[LayerResult | None]:
    """Yield results as they come, and None when none came for a while: what there is can then be written.

    Args:
        tasks: The tasks, the most costly first.
        execution: Where they are done.
        asked: What was asked.
        tensors: Where the tensors are read.
        patience: Seconds without a result until None is yielded.

    Raises:
        PluginError: The executor cannot be started.
    """
    if not tasks:
        return
    finished: SimpleQueue[Pending] = SimpleQueue()
    with _pool(execution, asked, tensors) as (pool, compute):
        batches: dict[Pending, Sequence[LayerTask]] = {}
        try:
            for batch in batches_of(tasks, execution.jobs):
                try:
                    future = pool.submit(compute, batch)
                    future.add_done_callback(finished.put)
                except RAISED as error:
                    yield from _lost(error, batch, execution.executor)
                    continue
                batches[future] = batch
            for _ in list(batches):
                while True:
                    try:
                        future = finished.get(timeout=patience)
                        break
                    except Empty:
                        yield None
                yield from _results(future, batches.pop(future), execution.executor)
        except BaseException:
            for future in batches:
                future.cancel()
            raise


def _results(future: Pending, batch: Sequence[LayerTask], executor: Executor) -> Sequence[LayerResult]:
    try:
        return future.result()
    except RAISED as error:
        return _lost(error, batch, executor)


def _lost(error: BaseException, batch: Sequence[LayerTask], executor: Executor) -> list[LayerResult]:
    """Return what is left of layers whose worker died, or which the executor did not take."""
    sentence = sentence_of(error, executor)
    return [
        LayerResult(task, failures=[Failure("execute", executor.name, task.layer.name, sentence)]) for task in batch
    ]


@contextmanager
def _pool(
    execution: Execution, asked: Asked, tensors: Tensors
) -> Iterator[tuple[concurrent.futures.Executor, Compute]]:
    executor, jobs = execution.executor, execution.jobs
    if executor.shares_memory:
        with one_blas_thread(), _created(executor, jobs, _prepare_thread, ()) as pool:
            share = IdleWorkers(pool, jobs) if executor.takes_help and jobs > 1 else None
            seed, selection = asked.request.seed, asked.selection
            worker = Worker(tensors.checkpoint, tensors.loader, selection, seed, execution.device.object, share)
            yield pool, worker.compute
    else:
        files, device = asked.registry.plugin_files, spec_of(execution.device)
        recipe = Recipe(files, tensors.address, tensors.loader, asked.request, device)
        with _created(executor, jobs, prepare_process, (recipe,)) as pool:
            yield pool, partial(compute_in_process, recipe)


def _created(
    executor: Executor, jobs: int, initializer: Callable[..., None], initargs: tuple[Any, ...]
) -> concurrent.futures.Executor:
    try:
        pool = executor.create(jobs, initializer, initargs)
    except RAISED as error:
        sentence = sentence_of(error, executor)
        raise PluginError(f"executor {executor.name!r} could not be started: {sentence}") from error
    if not all(hasattr(pool, method) for method in ("submit", "shutdown", "__enter__", "__exit__")):
        raise PluginError(f"executor {executor.name!r} gave an object of type {type(pool).__name__}, no pool")
    return pool


def _prepare_thread() -> None:
    """A worker thread shares all it needs."""
