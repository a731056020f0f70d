"""Values of arrays at hand, each a layer by itself: what a worker does, without a source, a budget and a store."""

from __future__ import annotations

import functools
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ww_core.compute.at_hand import LayerAtHand, MatrixAtHand
from ww_core.compute.batches import parted
from ww_core.compute.blas import one_blas_thread
from ww_core.compute.evaluate import Evaluator, Lost, nowhere, shared, value_of
from ww_core.compute.matrices import MatrixSequence
from ww_core.compute.needs import kinds_behind
from ww_core.compute.spectra import Lacking, SpectrumMaker
from ww_core.domain.outcome import Outcome, State
from ww_core.domain.read_only import read_only
from ww_core.domain.subject import LayerSubject, MatrixSubject
from ww_core.plugins.isolation import all_but_interrupts
from ww_core.sources.digests import digest_tensor
from ww_core.spectral.cpu import CPU
from ww_core.spectral.sharing import alone

if TYPE_CHECKING:
    import numpy.typing as npt

    from ww_core.contracts.core_input import CoreInput
    from ww_core.contracts.extractor import MatrixPlan
    from ww_core.domain.column import Column
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
        seed: Seed of everything random.
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
        self._steps = _steps_of(nodes, tuple(self._labels))

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
        """Evaluate the columns of matrices."""
        found = self._found_well(piece)
        rows = [
            self._row(own) if outcomes is None else self._labelled(outcomes)
            for own, outcomes in zip(piece, found, strict=True)
        ]
        for own in piece:
            own.at_hand.let_go()
        return rows

    def _found_well(self, piece: Sequence[_Matrix]) -> list[dict[str, Mapping[str, Outcome]] | None]:
        """Return the outcomes by metric of the matrices in which nothing lacks what it needs; None of all others.

        A metric is computed of all matrices before the next is. For small ones that takes half the time of an
        evaluator's way, which goes from metric to metric of each and asks what is there already.
        """
        if not self._steps:
            return [None] * len(piece)
        found: list[dict[str, Mapping[str, Outcome]] | None] = [{} for _ in piece]
        values: dict[Hashable, list[Any]] = {}
        for step in self._steps:
            node, qualified, quantity = step.node, step.node.qualified, step.node.quantity
            for place in [*(place for _, place in step.inputs), *(place for place, _ in step.needed)]:
                values[place] = [None] * len(piece)
            inputs = [(core, values[place]) for core, place in step.inputs]
            arguments = [values[place] for place in step.places]
            needed = [(values[place], column) for place, column in step.needed]
            for at, own in enumerate(piece):
                outcomes_of = found[at]
                if outcomes_of is None:
                    continue
                try:
                    for core, given in inputs:
                        given[at] = own.at_hand(core, node)
                    result = own.evaluator.call(node, [argument[at] for argument in arguments])
                    if quantity.columns:
                        outcomes = outcomes_of[qualified] = own.evaluator.split(qualified, quantity, result)
                        for given, column in needed:
                            given[at] = value_of(outcomes[column.name], column) if column else result
                    else:
                        result = shared(result)
                        for given, _ in needed:
                            given[at] = result
                except all_but_interrupts():
                    found[at] = None  # what it was, the evaluator says
        return found

    def _labelled(self, outcomes: Mapping[str, Mapping[str, Outcome]]) -> dict[str, Outcome]:
        return {
            label: outcomes[qualified][name] for qualified, columns in self._labels.items() for label, name in columns
        }

    def _row(self, own: _Matrix) -> dict[str, Outcome]:
        """Evaluate the columns of one matrix, whatever goes wrong."""
        row: dict[str, Outcome] = {}
        for qualified, columns in self._labels.items():
            try:
                outcomes = own.evaluator.outcomes(qualified)
            except Lost as lost:
                row |= {label: Outcome(State.FAILED, reason=str(lost)) for label, _ in columns}
            else:
                row |= {label: outcomes[name] for label, name in columns}
        return row


class _Step(NamedTuple):
    """A quantity in the order in which they are computed.

    Attributes:
        node: The quantity.
        inputs: Core inputs that are to be had before, and where they are kept.
        places: Where its arguments are kept.
        needed: What others need of it, and where it is kept: a column, or None for its whole result.
    """

    node: Node
    inputs: tuple[tuple[CoreInput, Hashable], ...]
    places: tuple[Hashable, ...]
    needed: tuple[tuple[Hashable, Column | None], ...]


def _steps_of(nodes: Mapping[str, Node], metrics: Sequence[str]) -> list[_Step]:
    """Return the steps to metrics, each after those to its needs; none if one of them needs another scope."""
    reached, waiting = dict.fromkeys(metrics), list(metrics)
    while waiting:
        for need in nodes[waiting.pop()].needs:
            if need.quantity and need.quantity not in reached:
                reached[need.quantity] = None
                waiting.append(need.quantity)
    own = [node for qualified, node in nodes.items() if qualified in reached]
    needs = [need for node in own for need in node.needs]
    if any(need.is_elsewhere for need in needs):
        return []
    steps, kept = [], set()
    for node in own:
        inputs, places = [], []
        for need in node.needs:
            if need.core is None:
                place: Hashable = need.quantity, need.column
            else:
                # What is of a spectrum is the same for all who ask; of the rest each may get its own.
                place = need.core.name, node.kinds.get(need.core.name) or node.qualified
                if place not in kept:
                    kept.add(place)
                    inputs.append((need.core, place))
            places.append(place)
        names = dict.fromkeys(need.column for need in needs if need.quantity == node.qualified)
        needed = [((node.qualified, name), node.quantity.column(name) if name else None) for name in names]
        steps.append(_Step(node, tuple(inputs), tuple(places), tuple(needed)))
    return steps


class _Matrix(NamedTuple):
    """A matrix to be judged, what evaluates it, and where exceptions are recorded."""

    at_hand: MatrixAtHand
    evaluator: Evaluator
    failures: list[Failure]


def _given(weight: npt.NDArray[Any], _: TensorSpec) -> npt.NDArray[Any]:
    """Read the one tensor that there is."""
    return weight
