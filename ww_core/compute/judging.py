"""Values of arrays at hand, each a layer by itself: what a worker does, without a source, a budget and a store."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ww_core.compute.at_hand import LayerAtHand, MatrixAtHand
from ww_core.compute.batches import parted
from ww_core.compute.blas import one_blas_thread
from ww_core.compute.evaluate import Evaluator, Lost, nowhere
from ww_core.compute.matrices import MatrixSequence
from ww_core.compute.needs import kinds_behind
from ww_core.compute.spectra import Lacking, SpectrumMaker
from ww_core.domain.outcome import Outcome, State
from ww_core.domain.read_only import read_only
from ww_core.domain.subject import LayerSubject, MatrixSubject
from ww_core.sources.digests import digest_tensor
from ww_core.spectral.cpu import CPU
from ww_core.spectral.sharing import alone

if TYPE_CHECKING:
    import numpy.typing as npt

    from ww_core.contracts.extractor import MatrixPlan
    from ww_core.domain.layer import Layer, TensorSpec
    from ww_core.domain.report import Failure
    from ww_core.plugins.resolver import Node
    from ww_core.plugins.selection import ExtractorVariant, SelectedColumn


MAKER = SpectrumMaker(CPU, alone)


class Judging:
    """How arrays of one shape and dtype are judged: all that can be told of them beforehand.

    Args:
        layer: The header of one of them.
        variant: The extractor.
        plan: What it makes of one.
        columns: The columns of matrices that are asked for.
        nodes: The quantities behind these, and all that those need.
        seed: Random seed.
    """

    def __init__(
        self,
        layer: Layer,
        variant: ExtractorVariant,
        plan: MatrixPlan,
        columns: Sequence[SelectedColumn],
        nodes: Mapping[str, Node],
        seed: int,
    ) -> None:
        self.plan = plan
        self._layer = layer
        self._variant = variant
        self._nodes = nodes
        self._seed = seed
        self._name = f"{layer.name} {variant.label}"
        self._labels: dict[str, list[tuple[str, str]]] = {own.qualified: [] for own in columns}
        for own in columns:
            self._labels[own.qualified].append((own.label, own.column.name))
        self._kinds = kinds_behind(nodes, tuple(self._labels))
        # Only what is random, and so drawn from the content, asks for its digest, which takes a while.
        needs = (need.core for node in nodes.values() for need in node.needs)
        self._is_seeded = any(core is not None and core.is_seeded for core in needs)
        self._subjects = self._subjects_of("")

    def outcomes(self, weights: Iterable[npt.NDArray[Any]]) -> list[dict[str, Outcome]]:
        """Return the outcomes by label of every matrix of every array, in order.

        Args:
            weights: Arrays with shape and dtype of the header, little-endian and in C order.
        """
        rows = []
        with one_blas_thread(), np.errstate(all="ignore"):
            for piece in parted(self._matrices(weights), lambda own: own.at_hand.nbytes, MAKER.stack_bytes):
                MAKER.make([Lacking(own.at_hand, kind, own.failures) for own in piece for kind in self._kinds])
                rows += self._rows(piece)
        return rows

    def _matrices(self, weights: Iterable[npt.NDArray[Any]]) -> Iterator[_Matrix]:
        for weight in weights:
            subjects, digest = self._subjects, ""
            if self._is_seeded:
                tensor = digest_tensor(weight, self._layer.weight.dtype)
                subjects = self._subjects_of(tensor)
                digest = LayerSubject(str(self._layer.kind), self._layer.groups, tensor).digest
            failures: list[Failure] = []
            layer = LayerAtHand(self._layer, digest, self._seed, functools.partial(_given, read_only(weight)))
            whole = Evaluator(self._nodes, layer, {}, self._layer.name, failures, elsewhere=nowhere)
            sequence = MatrixSequence(layer, self._variant, self.plan, failures)
            for subject in subjects:
                make = functools.partial(sequence.__getitem__, subject.index)
                at_hand = MatrixAtHand(layer, self.plan, subject, (), make)
                evaluator = Evaluator(self._nodes, at_hand, {}, self._name, failures, elsewhere=whole.value)
                yield _Matrix(at_hand, evaluator, failures)

    def _subjects_of(self, tensor: str) -> list[MatrixSubject]:
        """Return the matrices of a tensor, by its digest."""
        plan, layer, extractor = self.plan, self._layer, self._variant.identity
        return [
            MatrixSubject(tensor, layer.groups, layer.split, extractor, index, plan.rows, plan.cols, plan.entries)
            for index in range(plan.matrices)
        ]

    def _rows(self, piece: Sequence[_Matrix]) -> list[dict[str, Outcome]]:
        """Evaluate the columns of matrices: a metric of all of them, then the next, while its code is in the cache."""
        rows: list[dict[str, Outcome]] = [{} for _ in piece]
        for qualified, columns in self._labels.items():
            for own, row in zip(piece, rows, strict=True):
                try:
                    outcomes = own.evaluator.outcomes(qualified)
                except Lost as lost:
                    row.update({label: Outcome(State.FAILED, reason=str(lost)) for label, _ in columns})
                else:
                    for label, name in columns:
                        row[label] = outcomes[name]
        for own in piece:
            own.at_hand.let_go()
        return rows


class _Matrix(NamedTuple):
    """A matrix to be judged, what evaluates it, and where exceptions are recorded."""

    at_hand: MatrixAtHand
    evaluator: Evaluator
    failures: list[Failure]


def _given(weight: npt.NDArray[Any], _: TensorSpec) -> npt.NDArray[Any]:
    """Read the one tensor that there is."""
    return weight
