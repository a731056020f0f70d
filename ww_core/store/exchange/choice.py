"""Which rows go along with chosen models: all that belongs to their versions, and nothing of other models."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, select

from ww_core.store import tables as t
from ww_core.store.naming import named_labels
from ww_core.store.rows import chunks


def chosen_rows(connection: Connection, names: Sequence[str]) -> dict[str, set[int]]:
    """Return the keys of the rows that go along with what is named, by table.

    Of the tables that are not named here a row goes along if all that it points at does: definitions of metrics go
    along all, runs of other models' labels do not.

    Args:
        connection: An open transaction.
        names: ``MODEL``, for all its versions, or ``MODEL@VERSION``.

    Raises:
        NotStoredError: Nothing carries a name.
    """
    labels = {label.id: label for name in names for label in named_labels(connection, name)}.values()
    structures = {label.structure_id for label in labels}
    checkpoints = {label.checkpoint_id for label in labels}
    models = {label.model_id for label in labels}
    tensors = {
        key
        for column in (t.layer.c.weight_id, t.layer.c.bias_id, t.skipped_tensor.c.tensor_id)
        for (key,) in _rows(connection, [column], column.table.c.structure_id, structures)
    } - {None}
    subjects = _subjects(connection, tensors, checkpoints)
    origins = {
        key
        for column in (t.value.c.origin_id, t.table_value.c.origin_id, t.spectrum.c.origin_id)
        for (key,) in _rows(connection, [column], column.table.c.subject_id, subjects)
    } - {None}
    selections = _rows(connection, [t.analysis.c.selection_id], t.analysis.c.structure_id, structures)
    series = _rows(connection, [t.series_member.c.series_id], t.series_member.c.model_id, models)
    return {
        "model": models,
        "label": {label.id for label in labels},
        "structure": structures,
        "checkpoint": checkpoints,
        "tensor": tensors,
        "subject": subjects,
        "origin": origins,
        "selection": {key for (key,) in selections},
        "series": {key for (key,) in series},
        "imported_table": set(),
    }


def _subjects(connection: Connection, tensors: Collection[int], checkpoints: Collection[int]) -> set[int]:
    """Return the keys of all subjects that consist of nothing but these tensors and checkpoints."""
    whole, matrix, model, pair = t.layer_subject.c, t.matrix_subject.c, t.model_subject.c, t.pair_subject.c
    layers = _rows(connection, [whole.subject_id, whole.bias_id], whole.weight_id, tensors)
    found = {key for key, bias in layers if bias is None or bias in tensors}
    matrices = _rows(connection, [matrix.subject_id, matrix.context_id], matrix.tensor_id, tensors)
    found |= {key for key, context in matrices if context is None or context in found}
    found |= {key for (key,) in _rows(connection, [model.subject_id], model.checkpoint_id, checkpoints)}
    fresh = found
    while fresh:  # pairs may be in pairs
        pairs = {
            key
            for one, other in ((pair.first_id, pair.second_id), (pair.second_id, pair.first_id))
            for key, second in _rows(connection, [pair.subject_id, other], one, fresh)
            if second in found
        }
        fresh = pairs - found
        found |= fresh
    return found


def _rows(
    connection: Connection, wanted: Sequence[Column[Any]], column: ColumnElement[Any], among: Collection[int]
) -> Iterator[tuple[Any, ...]]:
    """Yield what stands in columns of the rows that have one of these keys in another column, each once a chunk."""
    for chunk in chunks(sorted(among)):
        yield from map(tuple, connection.execute(select(*wanted).where(column.in_(chunk)).distinct()))
