"""What of a plan can be had without the weights: from stored values and stored spectra alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TYPE_CHECKING

from ww_core.compute.inputs import FROM_SPECTRUM, tensor_behind
from ww_core.compute.task import Known, LayerTask, MatrixTask
from ww_core.contracts.metric import CORE_INPUTS
from ww_core.domain.column import Scope
from ww_core.errors import NotApplicable
from ww_core.planning.tasks import missing_of

if TYPE_CHECKING:
    from ww_core.domain.layer import Layer
    from ww_core.domain.spectrum import Resolution
    from ww_core.planning.layers import PlannedLayer
    from ww_core.plugins.links import Need
    from ww_core.plugins.resolver import Node
    from ww_core.plugins.selection import Selection

Nodes = Mapping[str, "Node"]


@dataclass(frozen=True, slots=True, eq=False)
class Reach:
    """What is missing of a model, parted by what it takes.

    Attributes:
        tasks: What can be computed of layers and matrices.
        model: Model metrics that can be computed then.
        beyond: Metrics that need the weights, with the names of the layers of which they do; none for the model's.
    """

    tasks: tuple[LayerTask, ...]
    model: tuple[str, ...]
    beyond: Mapping[str, Collection[str]]


def reach_of(
    tasks: Sequence[LayerTask], planned: Sequence[PlannedLayer], known_of_model: Known, selection: Selection
) -> Reach:
    """Part what the store lacks into what follows from what it has, and what needs the weights.

    Args:
        tasks: What it lacks, with the stored spectra.
        planned: All layers of the model that are planned.
        known_of_model: What is stored of the model's own metrics.
        selection: What is selected.
    """
    within = []
    layers: dict[str, set[str]] = defaultdict(set)
    subjects: dict[str, set[str]] = defaultdict(set)
    for task in tasks:
        kept, beyond = _part(task, selection.nodes)
        within += [kept] if kept is not None else []
        for qualified, subject in beyond:
            layers[qualified].add(task.layer.name)
            subjects[qualified].add(subject)
    nodes = selection.wanted(Scope.MODEL)
    missing = missing_of(nodes, known_of_model)
    view = _WithoutWeights(selection.nodes, known_of_model, _core_of_model, _columns_of_model(planned, subjects))
    model = tuple(qualified for qualified in missing if view.has(qualified))
    return Reach(tuple(within), model, layers | {qualified: set() for qualified in missing if qualified not in model})


class _Answer(Enum):
    """What a need gets without the weights."""

    VALUE = auto()
    """A value; or computing it says why there is none."""

    NO_VALUE = auto()
    """It is known to have none, and that is an answer too."""

    WEIGHTS = auto()
    """Nothing: it takes the weights."""


class _WithoutWeights:
    """One subject as it is seen without the weights. It asks in the order in which an ``Evaluator`` does.

    Args:
        nodes: All nodes of the selection.
        known: Outcomes that are stored, by qualified name and column.
        core: Answers for a core input of this scope.
        elsewhere: Answers for a need of another scope.
    """

    def __init__(
        self,
        nodes: Nodes,
        known: Known,
        core: Callable[[str, Node], _Answer],
        elsewhere: Callable[[Need], _Answer],
    ) -> None:
        self._nodes = nodes
        self._known = known
        self._core = core
        self._elsewhere = elsewhere
        self._answers: dict[str, _Answer] = {}

    def has(self, qualified: str) -> bool:
        """Tell whether the columns of a metric that is not known can be had."""
        return self._result(qualified) is not _Answer.WEIGHTS

    def value(self, need: Need) -> _Answer:
        """Answer for a need of this scope."""
        known = self._known.get(need.quantity, {})
        if need.column in known:
            return _Answer.VALUE if known[need.column].is_ok else _Answer.NO_VALUE
        return self._result(need.quantity)

    def _result(self, qualified: str) -> _Answer:
        if qualified not in self._answers:
            node = self._nodes[qualified]
            answers = (self._need(node, need) for need in node.needs)
            # The first need without a value decides: an evaluator does not ask for those behind it.
            self._answers[qualified] = next((one for one in answers if one is not _Answer.VALUE), _Answer.VALUE)
        return self._answers[qualified]

    def _need(self, node: Node, need: Need) -> _Answer:
        if need.core:
            return self._core(need.core, node)
        if self._nodes[need.quantity].quantity.scope is not node.quantity.scope:
            return self._elsewhere(need)
        return self.value(need)


def _part(task: LayerTask, nodes: Nodes) -> tuple[LayerTask | None, list[tuple[str, str]]]:
    """Cut a task down to what can be had; None if that is nothing. The rest: metrics with digests of their subjects."""
    whole = _WithoutWeights(nodes, task.known, _core_of_layer(task.layer), _none)
    missing = tuple(qualified for qualified in task.missing if whole.has(qualified))
    beyond = [(qualified, task.subject.digest) for qualified in task.missing if qualified not in missing]
    matrices = []
    for matrix in task.matrices:
        view = _WithoutWeights(nodes, matrix.known, _core_of_matrix(matrix, task.layer), whole.value)
        kept = tuple(qualified for qualified in matrix.missing if view.has(qualified))
        matrices += [replace(matrix, missing=kept)] if kept else []
        beyond += [
            (qualified, (matrix.in_context if nodes[qualified].in_context else matrix.subject).digest)
            for qualified in matrix.missing
            if qualified not in kept
        ]
    within = replace(task, missing=missing, matrices=tuple(matrices)) if missing or matrices else None
    return within, beyond


def _core_of_layer(layer: Layer) -> Callable[[str, Node], _Answer]:
    def core(name: str, node: Node) -> _Answer:  # noqa: ARG001 - of a layer all metrics see the same
        if name in {"rng", "layer"}:
            return _Answer.VALUE
        try:
            tensor_behind(name, layer)
        except NotApplicable:
            return _Answer.NO_VALUE
        return _Answer.WEIGHTS

    return core


def _core_of_matrix(matrix: MatrixTask, layer: Layer) -> Callable[[str, Node], _Answer]:
    stored: set[Resolution] = {spectrum.resolution for spectrum in matrix.spectra}
    of_layer = _core_of_layer(layer)

    def core(name: str, node: Node) -> _Answer:
        if name in {"n_rows", "n_cols"}:
            return _Answer.VALUE
        if name in FROM_SPECTRUM:
            return _Answer.VALUE if node.quantity.resolution in stored else _Answer.WEIGHTS
        if CORE_INPUTS.get(name) is Scope.MATRIX:
            return _Answer.WEIGHTS
        return of_layer(name, node)

    return core


def _core_of_model(name: str, node: Node) -> _Answer:  # noqa: ARG001 - all of it comes of headers and digests
    return _Answer.VALUE


def _columns_of_model(
    planned: Sequence[PlannedLayer], beyond: Mapping[str, Collection[str]]
) -> Callable[[Need], _Answer]:
    """Answer for columns of layers and matrices, which a model needs of all that it is made of."""
    own = set(_primary_digests(planned)) if beyond else set()
    without = {qualified for qualified, subjects in beyond.items() if not own.isdisjoint(subjects)}
    return lambda need: _Answer.WEIGHTS if need.quantity in without else _Answer.VALUE


def _primary_digests(planned: Sequence[PlannedLayer]) -> Iterator[str]:
    for own in planned:
        if own.subject is not None:
            yield own.subject.digest
            for subject in own.primary.subjects if own.primary else ():
                yield from (subject.digest, own.in_context(subject).digest)


def _none(need: Need) -> _Answer:
    raise AssertionError(f"linking lets nothing of this scope see {need.quantity}")
