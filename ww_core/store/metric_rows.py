"""What the view ``v_metrics`` shows of chosen versions, row by row in an order that people expect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, select

from ww_core.errors import UnknownNameError
from ww_core.store import tables as t
from ww_core.store.columnar import PLACES, places_of, stored_values, versions_in_force
from ww_core.store.rows import chunks, execute, readable

Values = tuple[Any, ...]


def metric_rows(
    connection: Connection, names: Sequence[str], profile: str, metrics: Sequence[str], scopes: Sequence[str]
) -> Iterator[list[Values]]:
    """Return the rows of versions, in batches: models by name, versions and layers in their order.

    Of a version come the rows of its matrices, then of its layers, then its own; of each of these the columns in their
    order.

    Args:
        connection: An open transaction, which stays open until the last batch.
        names: ``MODEL`` or ``MODEL@VERSION``; empty for all.
        profile: Name of the profile.
        metrics: Labels of columns; empty for all.
        scopes: What the rows speak of.

    Raises:
        NotStoredError: Nothing carries a name, or nothing was analysed under the profile.
        UnknownNameError: No analysis has such a column in these scopes.
    """
    versions = versions_in_force(connection, names, profile)
    columns = _columns(connection, {row.selection_id for row in versions}, metrics, scopes)
    return _read(
        batch
        for version in versions
        for scope in scopes
        for batch in _batches(connection, version, scope, columns[version.selection_id].get(scope, {}))
    )


def _read(batches: Iterator[list[Values]]) -> Iterator[list[Values]]:
    with readable():  # as they are read, which is later
        yield from batches


_Columns = Mapping[int, tuple[str, str, str]]
"""Label, better and unit of columns by their keys, in order."""


def _columns(
    connection: Connection, selections: set[int], metrics: Sequence[str], scopes: Sequence[str]
) -> dict[int, dict[str, dict[int, tuple[str, str, str]]]]:
    """Return the chosen columns by selection and scope.

    Raises:
        UnknownNameError: None of the selections has one of them.
    """
    found: dict[int, dict[str, dict[int, tuple[str, str, str]]]] = {key: {} for key in selections}
    known: set[str] = set()
    for chunk in chunks(sorted(selections)):
        for row in execute(connection, _COLUMNS, {"selections": chunk}):
            if row.scope in scopes:
                known.add(row.label)
                if not metrics or row.label in metrics:
                    of_scope = found[row.selection_id].setdefault(row.scope, {})
                    of_scope[row.column_id] = (row.label, row.better, row.unit)
    for label in metrics:
        if label not in known:
            where = "" if len(scopes) > 1 else f" of scope {scopes[0]}"
            raise UnknownNameError(f"column{where}", label, known, "ww metrics")
    return found


def _batches(connection: Connection, version: Any, scope: str, columns: _Columns) -> Iterator[list[Values]]:
    if not columns:
        return
    head = (
        version.model,
        version.version,
        version.step,
        version.position,
        version.created_at,
        version.digest,
        version.profile,
        scope,
    )
    nowhere = (None,) * (3 - len(PLACES[scope]))
    places = places_of(connection, [version], scope)[version.analysis_id]
    for chunk in chunks(places):
        subjects = {subject for _, found in chunk for subject in found}
        values: dict[int, dict[int, Any]] = {}
        for row in stored_values(connection, subjects, columns):
            values.setdefault(row.subject_id, {})[row.column_id] = row
        yield [
            (*head, *place, *nowhere, label, row.number, row.text, row.state, better, unit)
            for place, found in chunk
            for key, (label, better, unit) in columns.items()
            for subject in found
            if (row := values.get(subject, {}).get(key)) is not None
        ]


_COLUMNS = (
    select(
        t.selection_variant.c.selection_id,
        t.selection_variant.c.label,
        t.selection_variant.c.scope,
        t.variant.c.column_id,
        t.metric_column.c.better,
        t.metric_column.c.unit,
    )
    .join(t.variant, t.variant.c.id == t.selection_variant.c.variant_id)
    .join(t.metric_column, t.metric_column.c.id == t.variant.c.column_id)
    .where(t.selection_variant.c.selection_id.in_(bindparam("selections", expanding=True)))
    .order_by(t.selection_variant.c.selection_id, t.selection_variant.c.position)
)
