"""The worker that does tasks, a batch at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ww_core.compute.evaluate import Evaluator, Lost
from ww_core.compute.inputs import LayerInputs, MatrixInputs, MatrixSequence
from ww_core.compute.task import LayerResult, LayerTask, MatrixResult
from ww_core.domain.outcome import Outcome
from ww_core.domain.report import Failure
from ww_core.errors import SourceError

if TYPE_CHECKING:
    from ww_core.compute.reading import Read, Reading
    from ww_core.contracts.device import Device
    from ww_core.contracts.loader import Checkpoint
    from ww_core.plugins.links import Need
    from ww_core.plugins.selection import Selection
    from ww_core.spectral.sharing import Share


class Worker:
    """Computes tasks of one checkpoint. It never sees the store.

    Args:
        checkpoint: The opened checkpoint.
        loader: Qualified name of its loader.
        reading: Gives what reads the tensors of a task.
        selection: What is selected.
        seed: Seed of everything random.
        device: Where spectra are made.
        share: Who else may take part in making one.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        loader: str,
        reading: Reading,
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
        self._reading = reading
        self._selection = selection
        self._seed = seed

    def compute(self, batch: Sequence[LayerTask]) -> list[LayerResult]:
        """Compute all that is missing of layers. Exceptions end up in the results' failures, never here."""
        return [self._layer(task) for task in batch]

    def _layer(self, task: LayerTask) -> LayerResult:
        result = LayerResult(task)
        try:
            with self._reading(task) as read:
                self._compute_layer(task, read, result)
        except SourceError as error:
            lost = Failure("read", self._loader, task.layer.name, str(error))
            return LayerResult(task, failures=[*result.failures, lost])
        return result

    def _compute_layer(self, task: LayerTask, read: Read, result: LayerResult) -> None:
        import numpy as np

        nodes = self._selection.nodes
        inputs = LayerInputs(
            self._checkpoint,
            read,
            task.layer,
            self._seed,
            task.subject.digest,
            result.failures,
            self._decompose,
            self._device,
        )
        try:
            whole = Evaluator(nodes, inputs, task.known, task.layer.name, result.failures, elsewhere=_nowhere)
            with np.errstate(all="ignore"):  # what comes of an overflow or a division is a state, not a message
                self._compute_matrices(task, inputs, whole, result)
                result.outcomes |= _outcomes(whole, task.missing)
        finally:
            inputs.close()

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
