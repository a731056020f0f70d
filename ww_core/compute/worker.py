"""The worker that does tasks, a batch at a time: first what takes the tensors, then what follows from spectra."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ww_core.compute.at_hand import LayerAtHand, MatrixAtHand
from ww_core.compute.batches import parted
from ww_core.compute.cost import Cost, CostModel, bytes_together
from ww_core.compute.evaluate import Evaluator, Lost, fresh, nowhere
from ww_core.compute.matrices import MatrixSequence
from ww_core.compute.needs import KindsBehind
from ww_core.compute.spectra import Lacking, SpectrumMaker
from ww_core.compute.task import LayerResult, LayerTask, MatrixResult, MatrixTask
from ww_core.domain.report import Failure
from ww_core.errors import SourceError
from ww_core.plugins.isolation import all_but_interrupts, sentence_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from ww_core.compute.memory import Memory
    from ww_core.compute.reading import Reading
    from ww_core.contracts.device import Device
    from ww_core.contracts.loader import Checkpoint
    from ww_core.domain.layer import Layer, TensorSpec
    from ww_core.plugins.resolver import Node
    from ww_core.plugins.selection import Selection
    from ww_core.spectral.sharing import Share


METRIC_SECONDS = 0.5
"""How long metrics may take of one batch, unless it is of one layer: what a metric costs is known to nobody before."""


class Worker:
    """Computes tasks of one checkpoint. It never sees the store.

    Args:
        checkpoint: The opened checkpoint.
        loader: Qualified name of its loader.
        reading: Reads the tensors of a task.
        selection: What is selected.
        seed: Random seed.
        device: Where spectra are made.
        memory: What it may take; what would take more is refused before anything is allocated.
        share: Who else may take part in making one.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        loader: str,
        reading: Callable[[LayerTask], Reading],
        selection: Selection,
        seed: int,
        device: Device,
        memory: Memory,
        share: Share | None = None,
    ) -> None:
        from ww_core.spectral.sharing import alone

        self._maker = SpectrumMaker(device, share or alone)
        self._checkpoint = checkpoint
        self._loader = loader
        self._reading = reading
        self._selection = selection
        self._seed = seed
        self._memory = memory
        self._costs = CostModel.of(selection.nodes)
        self._kinds_behind = KindsBehind(selection.nodes)
        self._of_weights = functools.cache(functools.partial(_of_weights, selection.nodes))
        self._variants = {
            kind: {variant.identity: variant for variant in variants} for kind, variants in selection.extractors.items()
        }

    def compute(self, batch: Sequence[LayerTask]) -> list[LayerResult]:
        """Compute all that is missing of layers. Exceptions end up in the results' failures, never here.

        Metrics that take long cut a batch short, so that results come as they are made, and nobody who interrupts waits
        for a whole batch. What was made of the layers that are left over is made again.

        Returns:
            The results of the first layers of the batch, one at least.
        """
        import numpy as np

        layers, clock = [self._layer(task) for task in batch], _Clock()
        results: list[LayerResult] = []
        taken = self._memory.taken(bytes_together([cost for own in layers for cost in own.costs]))
        with taken, np.errstate(all="ignore"):  # what comes of an overflow or a division is a state, not a message
            self._with_tensors([own for own in layers if not self._changed(own)], clock)
            for own in layers:
                if results and (own.is_left or clock.is_over):
                    break
                if not own.is_lost and not self._changed(own):
                    with clock:
                        own.finish()
                results.append(own.result)
        return results

    def _with_tensors(self, layers: Sequence[_Layer], clock: _Clock) -> None:
        """Make all spectra, and evaluate what takes the weights themselves, as long as there is time."""
        matrices = [matrix for own in layers for matrix in own.matrices if matrix.lacking or matrix.of_weights]
        for piece in parted(matrices, lambda own: own.at_hand.nbytes, self._maker.stack_bytes):
            self._maker.make([lacking for matrix in piece for lacking in matrix.lacking])
            for matrix in piece:
                self._evaluate(matrix.layer, matrix, layers[0], clock)
                matrix.at_hand.let_go()
        for own in layers:
            self._evaluate(own, own, layers[0], clock)
            own.let_go()

    def _evaluate(self, layer: _Layer, own: _Layer | _Matrix, first: _Layer, clock: _Clock) -> None:
        """Evaluate what takes the weights of a layer or of its matrix, or leave it if there is no time."""
        if own.of_weights:
            layer.is_left |= clock.is_over and layer is not first
            if not layer.is_left:
                with clock:
                    own.evaluator.evaluate(own.of_weights)

    def _layer(self, task: LayerTask) -> _Layer:
        result = LayerResult(task)
        nodes = self._selection.nodes
        tensors = _Tensors(self._checkpoint, self._reading(task), result.failures)
        at_hand = LayerAtHand(task.layer, task.subject.digest, self._seed, tensors.read)
        whole = Evaluator(nodes, at_hand, task.known, task.layer.name, result.failures, elsewhere=nowhere)
        layer = _Layer(task, result, tensors, whole, self._of_weights(task.missing))
        sequences = layer.sequences
        for own in task.matrices:
            variant = self._variants[task.layer.kind][own.subject.extractor]
            if variant.identity not in sequences:
                sequences[variant.identity] = MatrixSequence(at_hand, variant, own.plan, result.failures)
            make = functools.partial(sequences[variant.identity].__getitem__, own.subject.index)
            matrix = MatrixAtHand(at_hand, own.plan, own.subject, own.spectra, make)
            kinds = [kind for kind in self._kinds_behind(own) if not matrix.has(kind)]
            name = f"{task.layer.name} {variant.label} {own.subject.index}"
            layer.matrices.append(
                _Matrix(
                    layer=layer,
                    task=own,
                    at_hand=matrix,
                    lacking=[Lacking(matrix, kind, result.failures) for kind in kinds],
                    of_weights=self._of_weights(own.missing),
                    evaluator=Evaluator(nodes, matrix, own.known, name, result.failures, elsewhere=whole.value),
                )
            )
        self._refuse_excess(layer)
        return layer

    def _refuse_excess(self, layer: _Layer) -> None:
        """Lose what takes more than is allowed: the tensors, or what a variant would make of them."""
        header, threads = layer.task.layer, self._memory.workers
        costly = [own for own in layer.matrices if own.lacking or own.of_weights]
        if not costly and not layer.of_weights:
            return
        cost = self._costs.layer(header, self._making_bytes(header))
        if excess := cost.excess(self._memory):
            layer.tensors.refuse(header.tensors, excess)
            return
        layer.costs.append(cost)
        for identity, sequence in layer.sequences.items():
            made = [own for own in costly if own.task.subject.extractor == identity]
            if not made:
                continue
            plan, kinds = made[0].task.plan, {lacking.kind for own in made for lacking in own.lacking}
            with_weights = any(own.of_weights for own in made)
            cost = self._costs.matrices(
                header, plan, len(made), kinds, self._maker.device.piece_bytes, threads, with_weights=with_weights
            )
            if excess := cost.excess(self._memory):
                sequence.lost(excess)
            else:
                layer.costs.append(cost)

    def _making_bytes(self, header: Layer) -> int:
        """Return what is held while a tensor of a layer is made; where that cannot be told, reading it says why."""
        try:
            return max(self._checkpoint.making_bytes(spec) for spec in header.tensors)
        except all_but_interrupts():
            return 0

    def _changed(self, own: _Layer) -> bool:
        """Tell whether the file is no longer the one that was digested: its content would get a wrong address."""
        try:
            own.tensors.reading.check()
        except SourceError as error:
            own.lose(Failure("read", self._loader, own.task.layer.name, str(error)))
            return True
        return False


def _of_weights(nodes: Mapping[str, Node], missing: Iterable[str]) -> tuple[str, ...]:
    return tuple(qualified for qualified in missing if nodes[qualified].of_weights)


class _Clock:
    """How long metrics have taken of one batch."""

    def __init__(self) -> None:
        self._spent = 0.0

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._spent += time.perf_counter() - self._started

    @property
    def is_over(self) -> bool:
        """Whether they have had their time."""
        return self._spent > METRIC_SECONDS


@dataclass(slots=True, eq=False)
class _Matrix:
    """A matrix that is worked on: what it lacks, and which missing metrics take the weights."""

    layer: _Layer
    task: MatrixTask
    at_hand: MatrixAtHand
    lacking: Sequence[Lacking]
    of_weights: Sequence[str]
    evaluator: Evaluator

    def result(self) -> MatrixResult:
        """Return what is known now, having evaluated the rest."""
        task, made = self.task, self.at_hand
        outcomes = self.evaluator.evaluate(task.missing)
        return MatrixResult(task.subject, task.in_context, tuple(made.new_spectra), made.is_tried, outcomes)


@dataclass(slots=True, eq=False)
class _Layer:
    """A layer that is worked on."""

    task: LayerTask
    result: LayerResult
    tensors: _Tensors
    evaluator: Evaluator
    of_weights: Sequence[str]
    sequences: dict[str, MatrixSequence] = field(default_factory=dict)
    matrices: list[_Matrix] = field(default_factory=list)
    costs: list[Cost] = field(default_factory=list)
    is_lost: bool = False
    is_left: bool = False

    def finish(self) -> None:
        """Evaluate what follows from spectra and values."""
        self.result.matrices += [matrix.result() for matrix in self.matrices]
        self.result.outcomes |= self.evaluator.evaluate(self.task.missing)

    def let_go(self) -> None:
        """Hold no numbers of the tensors any more: nothing else frees them before Python looks for cycles."""
        for sequence in self.sequences.values():
            sequence.close()
        self.tensors.close()

    def lose(self, failure: Failure) -> None:
        """Have nothing of the layer but failures."""
        self.is_lost = True
        self.result.failures.append(failure)


class _Tensors:
    """The tensors of a layer, each read when it is first asked for, and held until ``close``.

    Args:
        checkpoint: Where they are read from.
        reading: Reads them.
        failures: Where exceptions are recorded.
    """

    def __init__(self, checkpoint: Checkpoint, reading: Reading, failures: list[Failure]) -> None:
        self.reading = reading
        self._checkpoint = checkpoint
        self._failures = failures
        self._open = ExitStack()
        self._arrays: dict[str, npt.NDArray[Any] | Lost] = {}

    def read(self, spec: TensorSpec) -> npt.NDArray[Any]:
        """Return a tensor in its stored dtype, read-only.

        Raises:
            Lost: It could not be read; the failure is recorded once.
        """
        if spec.name not in self._arrays:
            try:
                self._arrays[spec.name] = self._open.enter_context(self.reading.read(spec))
            except Lost as beyond:  # there is nothing that could be read
                self._arrays[spec.name] = beyond
            except all_but_interrupts() as error:
                sentence = sentence_of(error, self._checkpoint)
                self._failures.append(Failure("read", self._checkpoint.format, spec.name, sentence))
                self._arrays[spec.name] = Lost(spec.name)
        array = self._arrays[spec.name]
        if isinstance(array, Lost):
            raise fresh(array)
        return array

    def refuse(self, specs: Sequence[TensorSpec], reason: str) -> None:
        """Give none of these tensors; the failure is recorded once."""
        self._failures.append(Failure("read", self._checkpoint.format, specs[0].name, reason))
        self._arrays |= {spec.name: Lost(spec.name) for spec in specs}

    def close(self) -> None:
        """Let go of what was read."""
        self._arrays.clear()
        self._open.close()
