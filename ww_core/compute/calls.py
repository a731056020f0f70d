"""Doing tasks: batches on their way to workers and back, and once more where a worker died."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from ww_core.compute.batches import batches_of
from ww_core.compute.crew import Crew
from ww_core.compute.reading import ReadingByStamp
from ww_core.compute.recipe import Recipe, compute_by_recipe
from ww_core.compute.task import LayerResult, LayerTask
from ww_core.compute.worker import Worker
from ww_core.domain.report import Failure
from ww_core.plugins.isolation import all_but_interrupts, forgiven, kind_of, sentence_of
from ww_core.plugins.variants import spec_of

if TYPE_CHECKING:
    import concurrent.futures

    from ww_core.compute.execution import Execution
    from ww_core.contracts.loader import Checkpoint
    from ww_core.plugins.selection import Asked

    Batch = Sequence[LayerTask]
    Pending = concurrent.futures.Future[list[LayerResult]]
    Compute = Callable[[Batch], list[LayerResult]]


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


def results_of(
    tasks: Sequence[LayerTask], execution: Execution, asked: Asked, tensors: Tensors, patience: float
) -> Generator[LayerResult | None, None, None]:
    """Yield results as they come, and None when none came for a while: what there is can then be written.

    Layers of a call that came to nothing, as where its worker died, are tried again, each in a call of its own. Where
    a death costs the calls of the other workers too, those are tried once more, one after the other: so the layer that
    ends its worker is the only one that is lost.

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
    execution.start()
    batches = list(batches_of(tasks, execution.jobs))
    crew = Crew(len(batches)) if execution.executor.shares_memory and execution.jobs > 1 else None
    calls = _Calls(execution, _computation(execution, asked, tensors, crew), patience)
    try:
        for batch in batches:
            calls.send(batch)
        if crew:
            calls.ask_for_help(crew)
        yield from calls.results()
        for most in (execution.jobs, 1):
            for task in calls.take_lost():
                calls.send((task,))
                yield from calls.results(most - 1)
            yield from calls.results()
        yield from calls.given_up()
    finally:
        calls.cancel()
        if crew:
            crew.close()


def _computation(execution: Execution, asked: Asked, tensors: Tensors, crew: Crew | None) -> Compute:
    """Return what a worker does with a batch."""
    if not execution.executor.shares_memory:
        limit = execution.memory.limit
        recipe = Recipe.of(asked, tensors.address, tensors.loader, spec_of(execution.device), limit)
        return partial(compute_by_recipe, recipe)
    reading = partial(ReadingByStamp, tensors.checkpoint, tensors.loader)
    seed, device = asked.request.seed, execution.device.object
    memory = execution.memory
    worker = Worker(tensors.checkpoint, tensors.loader, reading, asked.selection, seed, device, memory, crew)
    return crew.doing(worker.compute) if crew else worker.compute


@dataclass(slots=True, eq=False)
class _Calls:
    """The calls of one run that are out, and those that came to nothing."""

    execution: Execution
    compute: Compute
    patience: float
    out: dict[Pending, Batch] = field(default_factory=dict)
    back: SimpleQueue[Pending] = field(default_factory=SimpleQueue)
    lost: list[tuple[Batch, BaseException]] = field(default_factory=list)

    def send(self, batch: Batch) -> None:
        """Give a batch to a worker."""
        try:
            future = self.execution.submit(self.compute, batch)
            future.add_done_callback(self.back.put)
            self.out[future] = batch
        except all_but_interrupts() as error:
            self.lost.append((batch, error))

    def ask_for_help(self, crew: Crew) -> None:
        """Ask workers for help, when they have nothing else to do."""
        with forgiven():  # it can be done without
            for _ in range(self.execution.jobs - 1):
                self.execution.submit(crew.help)

    def results(self, most: int = 0) -> Iterator[LayerResult | None]:
        """Yield results until no more than so many calls are out, and None when none came for a while."""
        while len(self.out) > most:
            try:
                future = self.back.get(timeout=self.patience)
            except Empty:
                yield None
                continue
            batch = self.out.pop(future)
            try:
                results = _checked(future.result())
            except all_but_interrupts() as error:
                self.lost.append((batch, error))
            else:
                for task in batch[len(results) :]:  # for which the worker had no time
                    self.send((task,))
                yield from results

    def take_lost(self) -> list[LayerTask]:
        """Return the layers that came to nothing, to be tried again."""
        tasks = [task for batch, _ in self.lost for task in batch]
        self.lost.clear()
        return tasks

    def given_up(self) -> Iterator[LayerResult]:
        """Yield what is left of layers that came to nothing again and again."""
        executor = self.execution.executor
        for batch, error in self.lost:
            if issubclass(type(error), BrokenExecutor):  # of a stranger's exception nothing else is asked
                sentence = "its worker died, and so did another that had nothing but this layer to do"
            else:
                sentence = sentence_of(error, executor)
            for task in batch:
                yield LayerResult(task, failures=[Failure("execute", executor.name, task.layer.name, sentence)])

    def cancel(self) -> None:
        """Let nobody begin what is still out."""
        for future in self.out:
            with forgiven():
                future.cancel()


def _checked(answer: object) -> list[LayerResult]:
    """Return what a pool gave for a batch.

    Raises:
        TypeError: It is no result of any layer.
    """
    if not (isinstance(answer, list) and answer and all(isinstance(result, LayerResult) for result in answer)):
        raise TypeError(f"it gave {kind_of(answer)} in place of results")
    return answer
