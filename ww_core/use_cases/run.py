"""One run of planned layers: computation, records, report."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ww_core.compute.blas import blas_in_use
from ww_core.compute.calls import Tensors, results_of
from ww_core.compute.execution import Execution, fitting
from ww_core.compute.task import LayerResult, LayerTask
from ww_core.contracts.observer import RunObserver, RunStart
from ww_core.domain.answer import RunEnd
from ww_core.domain.column import Scope
from ww_core.domain.identity import spectrum_identity
from ww_core.domain.report import AnalysisReport, Failure
from ww_core.planning.layers import PlannedLayer
from ww_core.planning.records import coverage_of, identity_records, plugin_of, selection_record
from ww_core.planning.weights import Weights
from ww_core.plugins.isolation import all_but_interrupts, kind_of, sentence_of
from ww_core.plugins.selection import Asked
from ww_core.plugins.variants import spec_of
from ww_core.store.records import Maker, Result, RunRecord
from ww_core.store.store import Store
from ww_core.use_cases.model_metrics import evaluate_model
from ww_core.use_cases.watching import layer_done

if TYPE_CHECKING:
    from ww_core.domain.layer import Layer
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

    asked: Asked
    weights: Weights
    planned: Sequence[PlannedLayer]
    store: Store
    execution: Execution
    observers: Sequence[tuple[str, RunObserver]]
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
            profile=self.asked.profile,
            source=self.weights.source,
            request=asdict(self.asked.request),
            program=_program(),
            identities=identity_records(self.asked.selection, self.asked.registry),
            selection=selection_record(self.asked.selection, self.asked.request),
            coverage=coverage_of(self.planned, self._unselected(), self.asked.selection),
            loader=self._loader(),
        )
        self.opened = writer.begin_run(record, ref)
        self.warnings += self.asked.selection.left_out
        self.warnings += [
            f"{metric}: its code changed, but not its version, so the stored values are used; give it a new version"
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
        weights = self.weights
        execution, sentence = fitting(self.execution, self.asked, weights.address) if tasks else (self.execution, "")
        self.warnings += [sentence] if sentence else []
        tensors = Tensors(weights.checkpoint, weights.loader, weights.address)
        pending: list[LayerResult] = []
        last_flush = time.perf_counter()
        try:
            with closing(results_of(tasks, execution, self.asked, tensors, FLUSH_SECONDS)) as results:
                for result in results:
                    pending += [result] if result is not None else []
                    if result is None or time.perf_counter() - last_flush >= FLUSH_SECONDS:
                        self._flush(pending)
                        last_flush = time.perf_counter()
        finally:
            self._flush(pending)
        self.warnings += execution.warnings

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
            if self.observers:
                self._observe("on_layer", layer_done(result, self.asked.selection))
        pending.clear()

    def _stored_results(self, result: LayerResult) -> Iterator[Result]:
        """Yield what of a layer's result is stored under which subject, contexts before what points at them."""
        nodes, keys = self.asked.selection.nodes, self.asked.selection.column_keys
        whole = {
            keys[qualified][name]: outcome
            for qualified, columns in result.outcomes.items()
            for name, outcome in columns.items()
        }
        if whole or any(matrix.in_context.context for matrix in result.matrices):
            yield Result(result.task.subject, outcomes=whole)
        for matrix in result.matrices:
            plain: dict[tuple[str, str], Any] = {}
            context: dict[tuple[str, str], Any] = {}
            for qualified, columns in matrix.outcomes.items():
                target = context if nodes[qualified].in_context else plain
                target |= {keys[qualified][name]: own for name, own in columns.items()}
            yield Result(matrix.subject, outcomes=plain)
            for spectrum in matrix.spectra:
                yield Result(matrix.subject, spectrum=spectrum)
            if context:
                yield Result(matrix.in_context, outcomes=context)

    def _compute_model(self) -> None:
        """Evaluate model metrics from what is stored now.

        Where it was not even planned what a layer consists of, there are none: they would be those of another network.
        """
        if not self.asked.selection.wanted(Scope.MODEL) or any(own.failures for own in self.planned):
            return
        with self.store.reading() as reader:
            subject, outcomes = evaluate_model(
                reader, self.planned, self.asked.selection, self.weights.digest, self.failures, self.asked.request.seed
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
            except all_but_interrupts() as error:  # an observer's error must not stop the run
                sentence = f"{method}: {sentence_of(error, observer)}"
                self.failures.append(Failure("observer", plugin, kind_of(observer), sentence))

    def _run_start(self, tasks: Sequence[LayerTask]) -> RunStart:
        cost = sum(task.cost for task in tasks)
        return RunStart(self.weights.source, self.ref.model, self.ref.version, self.asked.profile, len(tasks), cost)

    def _rows(self) -> Iterator[str]:
        for own in self.planned:
            if own.subject is not None:
                for made in own.matrices:
                    yield from (subject.digest for subject in made.subjects)

    def _reused(self, reader: Reader, known: Collection[str]) -> int:
        """Count matrices whose spectrum did not have to be made in this run: stored before, or shared with another."""
        rows = list(self._rows())
        made = self.computed.intersection(rows)
        kinds = (kind for kind in self.asked.selection.spectra if kind.randomized is None)
        identities = {spectrum_identity(kind) for kind in kinds}
        others = [subject for subject in dict.fromkeys(rows) if subject not in made]
        available = reader.with_spectra(others, identities).union(known, made)
        return sum(subject in available for subject in rows) - len(made)

    def _loader(self) -> Maker:
        name = plugin_of(self.weights.loader)
        found = (own for own in self.asked.registry.plugins if own.name == name)
        return next((Maker(name, own.distribution, own.version) for own in found), Maker(name))

    def _blas(self) -> str:
        from ww_core.spectral.cpu import CPU

        device = self.execution.device
        return blas_in_use() if device.object == CPU else f"{blas_in_use()}; on {spec_of(device)}"

    def _unselected(self) -> list[Layer]:
        chosen = {own.layer.name for own in self.planned}
        return [layer for layer in self.weights.layers if layer.name not in chosen]


def cores() -> int:
    """Count the cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _program() -> str:
    from ww_core import __version__

    return f"ww {__version__}"
