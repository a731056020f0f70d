"""Metrics of the whole model, from the stored columns of its matrices and layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ww_core.compute.at_hand import ModelAtHand
from ww_core.compute.evaluate import Evaluator, Lost
from ww_core.domain.column import Column, Scope
from ww_core.domain.outcome import Outcome, State
from ww_core.domain.subject import LayerSubject, MatrixPlace, MatrixSubject, ModelSubject
from ww_core.planning.tasks import column_key, known_of, missing_of

if TYPE_CHECKING:
    import numpy as np

    from ww_core.domain.report import Failure
    from ww_core.planning.layers import PlannedLayer
    from ww_core.plugins.links import Need
    from ww_core.plugins.selection import Selection
    from ww_core.store.reader import Reader
    from ww_core.store.records import ColumnKey


def evaluate_model(
    reader: Reader,
    planned: Sequence[PlannedLayer],
    selection: Selection,
    checkpoint: str,
    failures: list[Failure],
    seed: int,
) -> tuple[ModelSubject, dict[tuple[str, str], Outcome]]:
    """Evaluate the model metrics of a selection.

    The matrices a model consists of are those of the primary extractor of each layer; another choice of layers or
    extractors is another subject.

    Returns:
        The subject, and what is new of it by (identity digest, column).
    """
    import numpy as np

    subject = model_subject(planned, checkpoint)
    known = known_of(reader, [subject.digest], selection).get(subject.digest, {})
    missing = missing_of(selection.wanted(Scope.MODEL), known)
    if not missing:
        return subject, {}
    layers = [(own.layer, own.subject) for own in planned if own.subject is not None]
    matrices = list(_primary_matrices(planned))
    wanted = [*(own.digest for _, own in layers), *(matrix.digest for _, _, matrix in matrices)]
    wanted += [own.in_context(matrix).digest for own, _, matrix in matrices]
    stored = reader.outcomes(wanted, set(_columns_of(selection)))
    columns_of = _ColumnArrays(selection, stored, [s for _, s in layers], [(own, m) for own, _, m in matrices])
    places = tuple(
        MatrixPlace(
            layer=own.layer.name,
            kind=str(own.layer.kind),
            shape=own.layer.shape,
            groups=own.layer.groups,
            extractor=label,
            index=matrix.index,
            rows=matrix.rows,
            cols=matrix.cols,
        )
        for own, label, matrix in matrices
    )
    at_hand = ModelAtHand(tuple(layer for layer, _ in layers), places, subject.digest, seed)
    evaluator = Evaluator(selection.nodes, at_hand, known, "the model", failures, elsewhere=columns_of)
    with np.errstate(all="ignore"):
        found = evaluator.evaluate(missing)
    return subject, {
        selection.column_keys[qualified][name]: outcome
        for qualified, outcomes in found.items()
        for name, outcome in outcomes.items()
    }


def model_subject(planned: Sequence[PlannedLayer], checkpoint: str) -> ModelSubject:
    """Return the subject that the readable layers of a checkpoint and their primary matrices make up."""
    layers = [(own.layer, own.subject) for own in planned if own.subject is not None]
    return ModelSubject.of(checkpoint, layers, [(own.layer, matrix) for own, _, matrix in _primary_matrices(planned)])


def _primary_matrices(planned: Sequence[PlannedLayer]) -> Iterator[tuple[PlannedLayer, str, MatrixSubject]]:
    """Yield the matrices a model consists of, each with its layer and the label of the extractor."""
    for own in planned:
        if own.subject is not None and own.primary is not None:
            for subject in own.primary.subjects:
                yield own, own.primary.variant.label, subject


def _columns_of(selection: Selection) -> Iterator[ColumnKey]:
    """Yield every column that model metrics have or need."""
    for node in selection.nodes.values():
        if node.quantity.scope is Scope.MODEL:
            yield from (column_key(node, column) for column in node.quantity.columns)
            upstream = ((selection.nodes[need.quantity], need.column) for need in node.needs if need.column)
            yield from (column_key(owner, owner.quantity.column(name)) for owner, name in upstream)


class _ColumnArrays:
    """Columns of matrices and layers as masked arrays, in the order of the model."""

    def __init__(
        self,
        selection: Selection,
        stored: Mapping[str, Mapping[tuple[str, str], Outcome]],
        layers: Sequence[LayerSubject],
        matrices: Sequence[tuple[PlannedLayer, MatrixSubject]],
    ) -> None:
        self._selection = selection
        self._stored = stored
        self._layers = layers
        self._matrices = matrices

    def __call__(self, need: Need) -> Any:
        node = self._selection.nodes[need.quantity]
        column = node.quantity.column(need.column)
        if node.quantity.scope is Scope.LAYER:
            subjects = [subject.digest for subject in self._layers]
        else:
            subjects = [(own.in_context(m) if node.in_context else m).digest for own, m in self._matrices]
        outcomes = [self._stored.get(subject, {}).get((node.identity, column.key)) for subject in subjects]
        return _aligned([_present(outcome, column) for outcome in outcomes], column)


def _present(outcome: Outcome | None, column: Column) -> Outcome:
    if outcome is None or outcome.state is State.FAILED:
        raise Lost(column.name)
    return outcome


def _aligned(outcomes: Sequence[Outcome], column: Column) -> np.ma.MaskedArray[Any, Any]:
    """Return values in order as a masked array, masked where there is none."""
    import numpy as np

    dtype: Any = {"int": np.int64, "bool": np.bool_, "text": object}.get(column.type, np.float64)
    filled = [(own.value if own.is_ok else "" if column.type == "text" else 0) for own in outcomes]
    return np.ma.MaskedArray(
        np.array(filled, dtype=dtype), mask=np.array([not own.is_ok for own in outcomes], dtype=bool)
    )
