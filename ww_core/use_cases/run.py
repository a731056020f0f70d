"""One run of planned layers: computation, records, report."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from ww_core.compute.blas import blas_in_use, one_blas_thread
from ww_core.compute.idle import IdleWorkers
from ww_core.compute.work import LayerResult, LayerTask, Recipe, Worker, compute_in_process, prepare_process
from ww_core.contracts.observer import LayerDone, RunObserver, RunStart
from ww_core.domain.answer import RunEnd
from ww_core.domain.column import Scope
from ww_core.domain.identity import spectrum_identity
from ww_core.domain.report import AnalysisReport, Failure
from ww_core.domain.request import Request
from ww_core.errors import PluginError
from ww_core.planning.layers import PlannedLayer
from ww_core.planning.records import coverage_of, identity_records, plan_record, plugin_of
from ww_core.planning.weights import Weights
from ww_core.plugins.isolation import RAISED, sentence_of
from ww_core.plugins.selection import Selection
from ww_core.store.records import Maker, Result, RunRecord
from ww_core.store.store import Store
from ww_core.use_cases.model_metrics import evaluate_model

if TYPE_CHECKING:
    import concurrent.futures

    from ww_core.contracts.executor import Executor
    from ww_core.domain.layer import Layer
    from ww_core.plugins.registry import Registry
    from ww_core.store.reader import Reader
    from ww_core.store.records import CheckpointRef
    from ww_core.store.runs import OpenRun
    from ww_core.store.writer import Writer

FLUSH_SECONDS = 0.05
"""Results are written in transactions that gather about this long, so that other writers wait no longer."""


@dataclass(slots=True, eq=False)
class Run:
    """One run, from planned layers to a report. Its methods are called in order: begin, execute.

    It is told what to compute, of which weights, and as what these are stored; it asks for none of it.
    """

    registry: Registry
    selection: Selection
    profile: str
    request: Request
    weights: Weights
    planned: Sequence[PlannedLayer]
    store: Store
    jobs: int
    executor: str
    observers: Sequence[tuple[str, RunObserver]]
    device: str = "cpu"
    keep_spectra: bool = True
    started: float = field(default_factory=time.perf_counter)
    warnings: list[str] = field(default_factory=list)
    ref: CheckpointRef = field(init=False)
    opened: OpenRun = field(init=False)
    computed: set[str] = field(default_factory=set)
    values: int = 0
    failures: list[Failure] = field(default_factory=list)

    def begin(self, writer: Writer, ref: CheckpointRef) -> None:
        """Store what was asked, what is covered, and that the run has begun.

        Args:
            writer: What writes to the store.
            ref: The stored checkpoint, under the label of this run.
        """
        self.ref = ref
        self.failures += self.weights.failures
        self.failures += [failure for own in self.planned for failure in own.failures]
        record = RunRecord(
            profile=self.profile,
            source=self.weights.source,
            request=asdict(self.request),
            program=_program(),
            identities=identity_records(self.selection, self.registry),
            plan=plan_record(self.selection, self.request),
            coverage=coverage_of(self.planned, self._unselected(), self.selection),
            loader=self._loader(),
        )
        self.opened = writer.begin_run(record, ref)
        self.warnings += [
            f"{metric}: its code changed and its version did not, so stored values stand; give it a new version"
            for metric in self.opened.changed
        ]

    def execute(self, tasks: Sequence[LayerTask], known: Collection[str]) -> AnalysisReport:
        """Do the tasks, store what comes of them as it comes, and put the report together.

        Args:
            tasks: What the store lacks, and this run is to compute.
            known: Digests of the subjects of which something is stored.
        """
        try:
            self._observe("on_start", self._run_start(tasks))
            self._compute(tasks)
            self._compute_model()
            report, end = self._end(known)
        except BaseException:
            self.interrupt(known)
            raise
        before = len(self.failures)
        self._observe("on_end", report)
        if len(self.failures) == before:
            return report
        with self.store.writing() as writer:
            writer.finish_run(self.opened, end._replace(failures=tuple(self.failures)))
        return replace(report, failures=tuple(self.failures))

    def interrupt(self, known: Collection[str] = ()) -> None:
        """Store that the run, which has begun, does not come to its end."""
        with self.store.reading() as reader:
            end = self._ended("interrupted", self._reused(reader, known))
        with self.store.writing() as writer:
            writer.finish_run(self.opened, end)

    def _end(self, known: Collection[str]) -> tuple[AnalysisReport, RunEnd]:
        """End the run as done, with its summaries in one transaction, however the program ends.

        What takes long is read before, so that nobody else waits for it.
        """
        with self.store.reading() as reader:
            end = self._ended("done", self._reused(reader, known))
            report = reader.report(self.opened.number, self.ref, end)
        with self.store.writing() as writer:
            writer.finish_run(self.opened, end)
            writer.record_summaries(self.opened, report.summary, report.incomplete_columns())
        return report, end

    def _ended(self, state: str, reused: int) -> RunEnd:
        return RunEnd(
            state=state,
            computed=len(self.computed.intersection(self._rows())),
            reused=reused,
            seconds=time.perf_counter() - self.started,
            failures=tuple(self.failures),
            warnings=tuple(self.warnings),
        )

    def _compute(self, tasks: Sequence[LayerTask]) -> None:
        pending: list[LayerResult] = []
        last_flush = time.perf_counter()
        try:
            for result in self._results(tasks):
                pending += [result] if result is not None else []
                if result is None or time.perf_counter() - last_flush >= FLUSH_SECONDS:
                    self._flush(pending)
                    last_flush = time.perf_counter()
        finally:
            self._flush(pending)

    def _results(self, tasks: Sequence[LayerTask]) -> Iterator[LayerResult | None]:
        """Yield results as they come, and None when none came for a while: what there is can then be written."""
        if not tasks:
            return
        finished: SimpleQueue[concurrent.futures.Future[LayerResult]] = SimpleQueue()
        with self._pool() as (pool, compute):
            futures: dict[concurrent.futures.Future[LayerResult], LayerTask] = {}
            try:
                for task in tasks:
                    try:
                        future = pool.submit(compute, task)
                    except RAISED as error:
                        yield self._lost(error, task)
                        continue
                    futures[future] = task
                    future.add_done_callback(finished.put)
                for _ in list(futures):
                    while True:
                        try:
                            future = finished.get(timeout=FLUSH_SECONDS)
                            break
                        except Empty:
                            yield None
                    yield self._result(future, futures.pop(future))
            except BaseException:
                for future in futures:
                    future.cancel()
                raise

    def _result(self, future: concurrent.futures.Future[LayerResult], task: LayerTask) -> LayerResult:
        try:
            return future.result()
        except RAISED as error:
            return self._lost(error, task)

    def _lost(self, error: BaseException, task: LayerTask) -> LayerResult:
        """Return what is left of a layer whose worker died, or which the executor did not take."""
        sentence = sentence_of(error, self.registry.executors.find(self.executor).object)
        return LayerResult(task, failures=[Failure("execute", self.executor, task.layer.name, sentence)])

    @contextmanager
    def _pool(self) -> Iterator[tuple[concurrent.futures.Executor, Callable[[LayerTask], LayerResult]]]:
        executor = self.registry.executors.find(self.executor).object
        weights, path = self.weights, self.weights.path
        if not executor.shares_memory and (path is None or self.registry.has_objects):
            self.warnings.append(
                f"executor {self.executor!r} sees neither Python objects nor the store: threads were used"
            )
            executor = self.registry.executors.find("threads").object
        if executor.shares_memory or path is None:
            with one_blas_thread(), _created(executor, self.jobs, _prepare_thread, ()) as pool:
                share = IdleWorkers(pool, self.jobs) if executor.takes_help and self.jobs > 1 else None
                seed = self.request.seed
                worker = Worker(weights.checkpoint, weights.loader, self.selection, seed, self.device, share)
                yield pool, worker.compute
        else:
            recipe = Recipe(self.registry.plugin_files, path.absolute(), weights.loader, self.request, self.device)
            with _created(executor, self.jobs, prepare_process, (recipe,)) as pool:
                yield pool, partial(compute_in_process, recipe)

    def _flush(self, pending: list[LayerResult]) -> None:
        if not pending:
            return
        results = [stored for result in pending for stored in self._stored_results(result)]
        with self.store.writing() as writer:
            writer.record_results(self.opened, results, keep_spectra=self.keep_spectra, blas=self._blas())
        self.values += sum(len(stored.outcomes) for stored in results)
        for result in pending:
            self.failures += result.failures
            self.computed |= {m.subject.digest for m in result.matrices if m.attempted}
            done = LayerDone(result.task.layer.name, result.task.cost, bool(result.failures))
            self._observe("on_layer", done)
        pending.clear()

    def _stored_results(self, result: LayerResult) -> Iterator[Result]:
        """Yield what of a layer's result is stored under which subject, contexts before what points at them."""
        nodes = self.selection.nodes
        whole = {
            (nodes[qualified].identity, nodes[qualified].quantity.column(name).key): outcome
            for qualified, columns in result.outcomes.items()
            for name, outcome in columns.items()
        }
        if whole or any(matrix.in_context.context for matrix in result.matrices):
            yield Result(result.task.subject, outcomes=whole)
        for matrix in result.matrices:
            plain: dict[tuple[str, str], Any] = {}
            context: dict[tuple[str, str], Any] = {}
            for qualified, columns in matrix.outcomes.items():
                node = nodes[qualified]
                target = context if node.in_context else plain
                target |= {(node.identity, node.quantity.column(name).key): own for name, own in columns.items()}
            yield Result(matrix.subject, outcomes=plain)
            for spectrum in matrix.spectra:
                yield Result(matrix.subject, spectrum=spectrum)
            if context:
                yield Result(matrix.in_context, outcomes=context)

    def _compute_model(self) -> None:
        """Evaluate model metrics from what is stored now."""
        if not self.selection.wanted(Scope.MODEL):
            return
        with self.store.reading() as reader:
            subject, outcomes = evaluate_model(
                reader, self.planned, self.selection, self.weights.digest, self.failures, self.request.seed
            )
        self.values += len(outcomes)
        stored = Result(subject, outcomes=outcomes)
        with self.store.writing() as writer:
            blas = self._blas() if outcomes else ""  # asking the libraries takes longer than writing nothing
            writer.record_results(self.opened, [stored], keep_spectra=False, blas=blas)
            writer.record_model(self.opened, subject)

    def _observe(self, method: str, argument: object) -> None:
        for plugin, observer in self.observers:
            try:
                getattr(observer, method)(argument)
            except RAISED as error:  # an observer's error must not stop the run
                sentence = f"{method}: {sentence_of(error, observer)}"
                self.failures.append(Failure("observer", plugin, type(observer).__name__, sentence))

    def _run_start(self, tasks: Sequence[LayerTask]) -> RunStart:
        cost = sum(task.cost for task in tasks)
        return RunStart(self.weights.source, self.ref.model, self.ref.version, self.profile, len(tasks), cost)

    def _rows(self) -> Iterator[str]:
        for own in self.planned:
            if own.subject is not None:
                for made in own.matrices:
                    yield from (subject.digest for subject in made.subjects)

    def _reused(self, reader: Reader, known: Collection[str]) -> int:
        """Count matrices whose spectrum did not have to be made in this run: stored before, or shared with another."""
        rows = list(self._rows())
        identities = {spectrum_identity(*spectrum) for spectrum in self.selection.spectra}
        available = reader.with_spectra(list(dict.fromkeys(rows)), identities).union(known)
        made = self.computed.intersection(rows)
        return sum(subject in made or subject in available for subject in rows) - len(made)

    def _loader(self) -> Maker:
        name = plugin_of(self.weights.loader)
        found = (own for own in self.registry.plugins if own.name == name)
        return next((Maker(name, own.distribution, own.version) for own in found), Maker(name))

    def _blas(self) -> str:
        return blas_in_use() if self.device == "cpu" else f"{blas_in_use()}; torch on {self.device}"

    def _unselected(self) -> list[Layer]:
        chosen = {own.layer.name for own in self.planned}
        return [layer for layer in self.weights.layers if layer.name not in chosen]


def _created(
    executor: Executor, jobs: int, initializer: Callable[..., None], initargs: tuple[Any, ...]
) -> concurrent.futures.Executor:
    try:
        return executor.create(jobs, initializer, initargs)
    except RAISED as error:
        sentence = sentence_of(error, executor)
        raise PluginError(f"executor {executor.name!r} could not be started: {sentence}") from error


def _prepare_thread() -> None:
    """A worker thread shares all it needs."""


def cores() -> int:
    """Count the cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _program() -> str:
    from ww_core import __version__

    return f"ww {__version__}"
