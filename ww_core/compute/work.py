"""Work for one layer, and the worker that does it. A task is plain data: it may travel to another process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from ww_core.compute.evaluate import Evaluator, Lost
from ww_core.compute.inputs import LayerInputs, MatrixInputs, MatrixSequence
from ww_core.domain.layer import Layer
from ww_core.domain.outcome import Outcome
from ww_core.domain.report import Failure
from ww_core.domain.request import Request
from ww_core.domain.spectrum import Spectrum
from ww_core.domain.subject import LayerSubject, MatrixSubject
from ww_core.sources.digests import stamp_of

if TYPE_CHECKING:
    from ww_core.contracts.device import Device
    from ww_core.contracts.extractor import MatrixPlan
    from ww_core.contracts.loader import Checkpoint
    from ww_core.plugins.links import Need
    from ww_core.plugins.registry import Registry
    from ww_core.plugins.selection import Selection
    from ww_core.spectral.sharing import Share

Known = Mapping[str, Mapping[str, Outcome]]
"""Outcomes that are stored already, by qualified name of the metric and column."""


@dataclass(frozen=True, slots=True)
class MatrixTask:
    """A matrix of which something is missing.

    Attributes:
        plan: What its extractor promised of it.
        subject: The matrix.
        in_context: The same matrix in its layer, for metrics that depend on more of it than the weight.
        missing: Qualified names of the metrics to compute.
        known: What is stored.
        spectra: Those of its spectra that are stored and may be needed.
    """

    plan: MatrixPlan
    subject: MatrixSubject
    in_context: MatrixSubject
    missing: tuple[str, ...]
    known: Known
    spectra: tuple[Spectrum, ...] = ()


@dataclass(frozen=True, slots=True)
class LayerTask:
    """A layer of which something is missing.

    Attributes:
        layer: The layer.
        subject: Its content.
        stamps: Stamps of its tensors, by name, under which they were digested.
        missing: Qualified names of the layer metrics to compute.
        known: What is stored of the layer.
        matrices: Its matrices of which something is missing, by extractor and index.
        cost: Floating-point operations, roughly.
    """

    layer: Layer
    subject: LayerSubject
    stamps: Mapping[str, str]
    missing: tuple[str, ...]
    known: Known
    matrices: tuple[MatrixTask, ...]
    cost: float


@dataclass(frozen=True, slots=True, eq=False)
class MatrixResult:
    """What was computed of one matrix: spectra made, and outcomes by qualified name."""

    subject: MatrixSubject
    in_context: MatrixSubject
    spectra: tuple[Spectrum, ...]
    attempted: bool
    outcomes: Mapping[str, Mapping[str, Outcome]]


@dataclass(slots=True, eq=False)
class LayerResult:
    """What was computed of one layer and its matrices, and what was lost."""

    task: LayerTask
    outcomes: dict[str, Mapping[str, Outcome]] = field(default_factory=dict)
    matrices: list[MatrixResult] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


class Worker:
    """Computes tasks of one checkpoint. It never sees the store.

    Args:
        checkpoint: The opened checkpoint.
        loader: Qualified name of its loader.
        selection: What is selected.
        seed: Seed of everything random.
        device: Where spectra are made.
        share: Who else may take part in making one.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        loader: str,
        selection: Selection,
        seed: int,
        device: Device,
        share: Share | None = None,
    ) -> None:
        from ww_core.spectral.sharing import alone
        from ww_core.spectral.singular_values import spectrum_of

        self._decompose = partial(spectrum_of, precision=selection.precision, device=device, share=share or alone)
        self._device = device
        self._checkpoint = checkpoint
        self._loader = loader
        self._selection = selection
        self._seed = seed

    def compute(self, task: LayerTask) -> LayerResult:
        """Compute all that is missing of a layer. Exceptions end up in the result's failures, never here."""
        import numpy as np

        result = LayerResult(task)
        nodes = self._selection.nodes
        inputs = LayerInputs(
            self._checkpoint,
            task.layer,
            self._seed,
            task.subject.digest,
            result.failures,
            self._decompose,
            self._device,
        )
        try:
            if self._changed(task, result.failures):
                return result
            whole = Evaluator(nodes, inputs, task.known, task.layer.name, result.failures, elsewhere=_nowhere)
            with np.errstate(all="ignore"):  # what comes of an overflow or a division is a state, not a message
                self._compute_matrices(task, inputs, whole, result)
                result.outcomes |= _outcomes(whole, task.missing)
        finally:
            inputs.close()
        if self._changed(task, result.failures):
            return LayerResult(task, failures=result.failures)
        return result

    def _compute_matrices(self, task: LayerTask, inputs: LayerInputs, whole: Evaluator, result: LayerResult) -> None:
        sequences: dict[str, MatrixSequence] = {}
        nodes = self._selection.nodes
        variants = {variant.identity: variant for variant in self._selection.extractors[task.layer.kind]}
        for matrix in task.matrices:
            variant = variants[matrix.subject.extractor]
            if variant.identity not in sequences:
                sequences[variant.identity] = MatrixSequence(inputs, variant, matrix.plan)
            own = MatrixInputs(inputs, sequences[variant.identity], matrix.plan, matrix.subject, matrix.spectra)
            name = f"{task.layer.name} {variant.label} {matrix.subject.index}"
            evaluator = Evaluator(nodes, own, matrix.known, name, result.failures, elsewhere=whole.value)
            outcomes = _outcomes(evaluator, matrix.missing)
            result.matrices.append(
                MatrixResult(matrix.subject, matrix.in_context, tuple(own.computed), own.attempted, outcomes)
            )

    def _changed(self, task: LayerTask, failures: list[Failure]) -> bool:
        """Tell whether the file is no longer the one that was digested: its content would get a wrong address."""
        specs = [spec for spec in (task.layer.weight, task.layer.bias) if spec is not None]
        try:
            same = all(stamp_of(self._checkpoint, spec, self._loader) == task.stamps[spec.name] for spec in specs)
        except OSError:
            same = False
        if not same:
            message = "the file changed while it was analysed: analyse it again"
            failures.append(Failure("read", self._loader, task.layer.name, message))
        return not same


def _nowhere(need: Need) -> Any:
    raise AssertionError(f"linking lets no layer metric see {need.quantity}")


def _outcomes(evaluator: Evaluator, missing: Sequence[str]) -> dict[str, Mapping[str, Outcome]]:
    found: dict[str, Mapping[str, Outcome]] = {}
    for qualified in missing:
        try:
            found[qualified] = evaluator.new_outcomes(qualified)
        except Lost:
            continue
    return found


@dataclass(frozen=True, slots=True)
class Recipe:
    """How another process comes to the same worker.

    Attributes:
        plugin_files: Files given by ``--plugin``.
        address: Of the source.
        loader: Qualified name of the loader.
        request: What was asked.
        device: Where spectra are made.
    """

    plugin_files: tuple[str, ...]
    address: str
    loader: str
    request: Request
    device: str


_workers: dict[Recipe, Worker] = {}
"""The worker of this process, if it was spawned for one recipe."""


def prepare_process(recipe: Recipe) -> None:
    """Load plugins and open the source anew, in a worker process, with one BLAS thread."""
    from threadpoolctl import threadpool_limits

    from ww_core.plugins.discovery import load_plugins
    from ww_core.plugins.selection import select
    from ww_core.plugins.variants import find_device
    from ww_core.sources.opening import find_source, open_checkpoint

    registry: Registry = load_plugins(files=recipe.plugin_files)
    selection = select(registry, recipe.request)
    checkpoint, loader = open_checkpoint(find_source(recipe.address, registry), registry, recipe.loader)
    import numpy as np  # noqa: F401 - BLAS must be loaded before it can be limited

    threadpool_limits(1, user_api="blas")
    device = find_device(registry, recipe.device).object
    _workers[recipe] = Worker(checkpoint, loader, selection, recipe.request.seed, device)


def compute_in_process(recipe: Recipe, task: LayerTask) -> LayerResult:
    """Compute a task in a worker process that was prepared for the recipe."""
    return _workers[recipe].compute(task)
