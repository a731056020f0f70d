"""Values of arrays at hand, each a layer by itself: what a worker does, without a source, a budget and a store."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    import numpy.typing as npt

    from ww_core.contracts.extractor import MatrixPlan
    from ww_core.domain.layer import Layer, TensorSpec
    from ww_core.domain.report import Failure
    from ww_core.domain.spectrum import SpectrumKind
    from ww_core.plugins.resolver import Node
    from ww_core.plugins.selection import ExtractorVariant, SelectedColumn


@dataclass(frozen=True, slots=True, eq=False)
class Judging:
    """How arrays of one shape and dtype are judged: all that can be told of them beforehand.

    Attributes:
        layer: The header of one of them.
        variant: The extractor.
        plan: What it makes of one.
        columns: The columns of matrices that are asked for.
        nodes: The quantities behind these, and all that those need.
        seed: Seed of everything random.
        kinds: The spectra behind the columns.
        is_seeded: Whether something random is behind them, which is drawn from the digest of the content.
    """

    layer: Layer
    variant: ExtractorVariant
    plan: MatrixPlan
    columns: tuple[SelectedColumn, ...]
    nodes: Mapping[str, Node]
    seed: int
    kinds: tuple[SpectrumKind, ...] = field(init=False)
    is_seeded: bool = field(init=False)

    def __post_init__(self) -> None:
        """Look at what the columns need."""
        needs = [need for node in self.nodes.values() for need in node.needs]
        metrics = tuple(dict.fromkeys(own.qualified for own in self.columns))
        object.__setattr__(self, "kinds", kinds_behind(self.nodes, metrics))
        object.__setattr__(self, "is_seeded", any(need.core is not None and need.core.is_seeded for need in needs))

    def outcomes(self, weights: Sequence[npt.NDArray[Any]]) -> list[dict[str, Outcome]]:
        """Return the outcomes by label of every matrix of every array, in order.

        Args:
            weights: Arrays with shape and dtype of the header, little-endian and in C order.
        """
        import numpy as np

        from ww_core.spectral.cpu import CPU
        from ww_core.spectral.sharing import alone

        maker = SpectrumMaker(CPU, alone)
        rows = []
        with one_blas_thread(), np.errstate(all="ignore"):
            for piece in parted(self._matrices(weights), lambda own: own.at_hand.nbytes, maker.stack_bytes):
                maker.make(Lacking(own.at_hand, kind, own.failures) for own in piece for kind in self.kinds)
                rows += [self._row(own) for own in piece]
        return rows

    def _matrices(self, weights: Sequence[npt.NDArray[Any]]) -> Iterator[_Matrix]:
        plan = self.plan
        for weight in weights:
            failures: list[Failure] = []
            own, whole = self._subject(weight)
            layer = LayerAtHand(self.layer, whole, self.seed, functools.partial(_given, read_only(weight)))
            evaluator = Evaluator(self.nodes, layer, {}, self.layer.name, failures, elsewhere=nowhere)
            sequence = MatrixSequence(layer, self.variant, plan, failures)
            for index in range(plan.matrices):
                subject = MatrixSubject(own, 1, "", self.variant.identity, index, plan.rows, plan.cols, plan.entries)
                make = functools.partial(sequence.__getitem__, index)
                yield _Matrix(MatrixAtHand(layer, plan, subject, (), make), evaluator, failures)

    def _subject(self, weight: npt.NDArray[Any]) -> tuple[str, str]:
        """Digests of a tensor and of the layer that it is; empty where nothing asks for them."""
        if not self.is_seeded:
            return "", ""
        digest = digest_tensor(weight, self.layer.weight.dtype)
        return digest, LayerSubject(str(self.layer.kind), 1, digest).digest

    def _row(self, own: _Matrix) -> dict[str, Outcome]:
        name = f"{self.layer.name} {self.variant.label}"
        evaluator = Evaluator(self.nodes, own.at_hand, {}, name, own.failures, elsewhere=own.whole.value)
        row = {}
        for column in self.columns:
            try:
                row[column.label] = evaluator.outcomes(column.qualified)[column.column.name]
            except Lost as lost:
                row[column.label] = Outcome(State.FAILED, reason=str(lost))
        own.at_hand.let_go()
        return row


@dataclass(frozen=True, slots=True, eq=False)
class _Matrix:
    """A matrix to be judged, what evaluates its layer, and where exceptions are recorded."""

    at_hand: MatrixAtHand
    whole: Evaluator
    failures: list[Failure]


def _given(weight: npt.NDArray[Any], _: TensorSpec) -> npt.NDArray[Any]:
    """Read the one tensor that there is."""
    return weight
