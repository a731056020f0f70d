"""What of a plan can be had without the weights: from stored values and stored spectra alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ww_core.compute.at_hand import LayerAtHand, MatrixAtHand
from ww_core.compute.evaluate import Evaluator, Lost, nowhere
from ww_core.compute.task import Known, LayerTask
from ww_core.domain.column import Scope
from ww_core.domain.outcome import Outcome, State
from ww_core.planning.tasks import missing_of

if TYPE_CHECKING:
    from ww_core.contracts.core_input import CoreInput
    from ww_core.contracts.metric import Quantity
    from ww_core.domain.layer import TensorSpec
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
    foresight = _Foresight(selection.nodes, _of_header, known_of_model, "", [], _columns_of_model(planned, subjects))
    model = tuple(foresight.evaluate(missing))
    return Reach(tuple(within), model, layers | {qualified: set() for qualified in missing if qualified not in model})


class _Foresight(Evaluator):
    """Evaluates without a call of any function: what it does not lose can be had of what is at hand."""

    def _call(self, node: Node, arguments: Sequence[Any]) -> Any:  # noqa: ARG002 - they are there, and that is enough
        return None

    def _split(self, qualified: str, quantity: Quantity, result: Any) -> dict[str, Outcome]:  # noqa: ARG002 - likewise
        return {column.name: _SOME_TEXT if column.type == "text" else _SOME_NUMBER for column in quantity.columns}


_SOME_NUMBER, _SOME_TEXT = Outcome(State.OK, number=0.0), Outcome(State.OK, text="")


def _part(task: LayerTask, nodes: Nodes) -> tuple[LayerTask | None, list[tuple[str, str]]]:
    """Cut a task down to what can be had; None if that is nothing. The rest: metrics with digests of their subjects."""
    at_hand = LayerAtHand(task.layer, task.subject.digest, 0, _beyond)
    whole = _Foresight(nodes, at_hand, task.known, "", [], nowhere)
    missing = tuple(whole.evaluate(task.missing))
    beyond = [(qualified, task.subject.digest) for qualified in task.missing if qualified not in missing]
    matrices = []
    for matrix in task.matrices:
        own = MatrixAtHand(at_hand, matrix.plan, matrix.subject, matrix.spectra, _not_made)
        kept = tuple(_Foresight(nodes, own, matrix.known, "", [], whole.value).evaluate(matrix.missing))
        matrices += [replace(matrix, missing=kept)] if kept else []
        beyond += [
            (qualified, (matrix.in_context if nodes[qualified].in_context else matrix.subject).digest)
            for qualified in matrix.missing
            if qualified not in kept
        ]
    within = replace(task, missing=missing, matrices=tuple(matrices)) if missing or matrices else None
    return within, beyond


def _beyond(spec: TensorSpec) -> Any:
    raise Lost(f"the weights of {spec.name}")


def _not_made() -> Any:
    raise Lost("the matrix")


def _of_header(own: CoreInput, node: Node) -> Any:  # noqa: ARG001 - all that a model has comes of headers and digests
    return None


def _columns_of_model(planned: Sequence[PlannedLayer], beyond: Mapping[str, Collection[str]]) -> Callable[[Need], Any]:
    """Give columns of layers and matrices, which a model needs of all that it is made of."""
    own = set(_primary_digests(planned)) if beyond else set()
    without = {qualified for qualified, subjects in beyond.items() if not own.isdisjoint(subjects)}

    def column(need: Need) -> Any:
        if need.quantity in without:
            raise Lost(need.column)

    return column


def _primary_digests(planned: Sequence[PlannedLayer]) -> Iterator[str]:
    for own in planned:
        if own.subject is not None:
            yield own.subject.digest
            for subject in own.primary.subjects if own.primary else ():
                yield from (subject.digest, own.in_context(subject).digest)
