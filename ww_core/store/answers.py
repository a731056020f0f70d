"""All that is stored of the analysis that a run has made."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, func, select

from ww_core.domain.answer import CoveredLayer, PlannedColumn, RunEnd, StoredAnalysis
from ww_core.domain.control import TRANSFORM, Control, ControlInfo, ControlledNetwork
from ww_core.domain.identity import PRECISION, spectrum_identity
from ww_core.domain.outcome import Outcome
from ww_core.domain.report import Failure, ReportColumn, Skip
from ww_core.domain.spectrum import SpectrumKind
from ww_core.errors import StoreError
from ww_core.store import tables as t
from ww_core.store.families import parents_of
from ww_core.store.origins import origins_of
from ww_core.store.pairing import network_of
from ww_core.store.records import ColumnOrigin
from ww_core.store.rows import chunks, execute
from ww_core.store.structures import shape_of, stored_tensors
from ww_core.store.values import values_of


def stored_analysis(connection: Connection, number: int, end: RunEnd | None = None) -> StoredAnalysis:
    """Return what is stored of the analysis of a run.

    Args:
        connection: An open transaction.
        number: Number of the run, which is stored.
        end: How the run has just ended, if that is not stored yet.
    """
    (run,) = execute(connection, _RUN, {"run": number})
    if end is None:
        failures = tuple(Failure(*content) for content in execute(connection, _FAILURES, {"run": number}))
        end = RunEnd(run.state, run.computed, run.reused, run.seconds, failures, tuple(json.loads(run.warnings)))
    columns = [
        (key, PlannedColumn(ReportColumn(*content), headline))
        for key, headline, *content in execute(connection, _PLANNED_COLUMNS, {"selection": run.selection_id})
    ]
    covered = execute(connection, _COVERED_LAYERS, {"analysis": run.analysis_id})
    wholes = _layer_subjects(connection, covered)
    matrices = _matrix_subjects(connection, covered, wholes)
    subjects = [row.subject_id for rows in matrices.values() for row in rows]
    subjects += [*wholes.values(), *([run.model_subject_id] if run.model_subject_id else [])]
    values = values_of(connection, subjects, {key: column.shown.type for key, column in columns})

    labels: dict[str, list[tuple[int, str]]] = {"matrix": [], "layer": [], "model": []}
    for key, column in columns:
        labels[column.shown.scope].append((key, column.shown.name))

    def known(subject: int | None, scope: str) -> dict[str, Outcome]:
        outcomes = values.get(subject, {}) if subject is not None else {}
        return {label: outcomes[key] for key, label in labels[scope] if key in outcomes} if outcomes else {}

    layers = []
    for row in covered:
        made: list[dict[str, Outcome]] = [{} for _ in range(row.matrices)]
        for subject in matrices.get((row.layer_id, row.extractor_id), ()):  # the matrix, and as it stands in its layer
            made[subject.matrix_index] |= known(subject.subject_id, "matrix")
        layers.append(
            CoveredLayer(
                name=row.name,
                kind=row.kind,
                shape=shape_of(row.shape),
                groups=row.groups,
                split=row.split,
                weight=row.weight_name,
                extractor=row.extractor,
                extractor_identity=row.extractor_identity,
                is_primary=row.is_primary,
                state=row.state,
                reason=row.reason,
                rows=row.rows,
                cols=row.cols,
                matrices=made,
                whole=known(wholes.get(row.layer_id), "layer"),
            )
        )
    return StoredAnalysis(
        run=run.id,
        profile=run.profile,
        source=run.source,
        digest=run.digest,
        control=_control(connection, run),
        provisional=run.provisional,
        parameters=run.parameters,
        chosen_layers=tuple(json.loads(run.layers)),
        end=end,
        columns=[column for _, column in columns],
        layers=layers,
        skipped=[Skip(own.name, own.reason) for own in stored_tensors(connection, run.structure)],
        model=known(run.model_subject_id, "model"),
    )


def _control(connection: Connection, run: Any) -> ControlInfo | None:
    """Tell which control a run analysed, and of what; None if it analysed a network."""
    asked = json.loads(run.request)
    if not asked.get("control"):
        return None
    control = Control(asked["control"], asked.get("seed", 0))
    found = []
    for digest in parents_of(connection, run.digest, TRANSFORM, control.parameters):
        named = network_of(connection, digest, run.structure_id)
        found.append(ControlledNetwork(digest, named.model, named.version) if named else ControlledNetwork(digest))
    return ControlInfo(control.kind, control.seed, tuple(found))


def origins_of_run(connection: Connection, number: int) -> list[ColumnOrigin]:
    """List who made what a run shows: its columns in order, then spectra; of each the newest run first."""
    (run,) = execute(connection, _RUN, {"run": number})
    labels = {
        row.column_id: row.label for row in execute(connection, _PLANNED_COLUMNS, {"selection": run.selection_id})
    }
    covered = execute(connection, _COVERED_LAYERS, {"analysis": run.analysis_id})
    wholes = _layer_subjects(connection, covered)
    subjects = {row.subject_id for rows in _matrix_subjects(connection, covered, wholes).values() for row in rows}
    subjects |= set(wholes.values()) | ({run.model_subject_id} if run.model_subject_id else set())
    precision = json.loads(run.request).get("precision", PRECISION)
    spectra = {spectrum_identity(kind) for kind in (SpectrumKind("standard", precision), SpectrumKind("full"))}
    return origins_of(connection, subjects, labels, spectra)


_RUN = (
    select(
        t.run,
        t.analysis.c.selection_id,
        t.analysis.c.structure_id,
        t.analysis.c.model_subject_id,
        t.structure.c.digest.label("structure"),
        t.structure.c.parameters,
        t.checkpoint.c.digest,
        t.checkpoint.c.provisional,
        t.selection.c.layers,
    )
    .join(t.analysis, t.analysis.c.id == t.run.c.analysis_id)
    .join(t.selection, t.selection.c.id == t.analysis.c.selection_id)
    .join(t.structure, t.structure.c.id == t.analysis.c.structure_id)
    .join(t.checkpoint, t.checkpoint.c.id == t.structure.c.checkpoint_id)
    .where(t.run.c.id == bindparam("run"))
)

_PLANNED_COLUMNS = (
    select(
        t.variant.c.column_id,
        t.selection_variant.c.headline,
        t.selection_variant.c.label,
        t.selection_variant.c.scope,
        t.identity.c.key,
        t.identity.c.version,
        t.variant.c.digest,
        t.metric_column.c.type,
        t.metric_column.c.better,
        t.metric_column.c.unit,
        t.identity.c.digest.label("identity"),
        t.metric_column.c.key.label("column"),
        t.metric_column.c.standard_error,
        func.coalesce(t.column_doubt.c.doubts, ""),
    )
    .join(t.variant, t.variant.c.id == t.selection_variant.c.variant_id)
    .join(t.metric_column, t.metric_column.c.id == t.variant.c.column_id)
    .join(t.identity, t.identity.c.id == t.metric_column.c.identity_id)
    .outerjoin(t.column_doubt, t.column_doubt.c.column_id == t.metric_column.c.id)
    .where(t.selection_variant.c.selection_id == bindparam("selection"))
    .order_by(t.selection_variant.c.position)
)


_layer = t.layer.c
_COVERED_LAYERS = (
    select(
        t.coverage,
        _layer.name,
        _layer.kind,
        _layer.groups,
        _layer.split,
        _layer.rounding,
        _layer.shape,
        _layer.weight_name,
        _layer.weight_id,
        _layer.bias_id,
        func.coalesce(t.identity.c.digest, "").label("extractor_identity"),
    )
    .join(t.layer, _layer.id == t.coverage.c.layer_id)
    .outerjoin(t.identity, t.identity.c.id == t.coverage.c.extractor_id)
    .where(t.coverage.c.analysis_id == bindparam("analysis"))
    .order_by(t.coverage.c.position)
)


def _matrix_subjects(
    connection: Connection, covered: Sequence[Any], contexts: Mapping[int, int]
) -> dict[tuple[int, int], list[Any]]:
    """Matrix subjects by (layer key, extractor key), plain and in the context of their layer, by index.

    Raises:
        StoreError: The run counts more matrices than there can be, or some that have no rows or columns.
    """
    analyzed = [row for row in covered if row.state == "analyzed"]
    found: dict[tuple[int, str, str, int, int], list[Any]] = defaultdict(list)
    count = 0
    for chunk in chunks(sorted({row.weight_id for row in analyzed})):
        for row in execute(connection, _MATRIX_SUBJECTS, {"tensors": chunk}):
            found[row.groups, row.split, row.rounding, row.tensor_id, row.extractor_id].append(row)
            count += 1
    if any(row.matrices and min(row.matrices, row.rows, row.cols) < 1 for row in covered):
        raise StoreError("the coverage of a run is damaged, it counts matrices without a size: look with `ww db check`")
    said = sum(row.matrices for row in covered)
    if said > max(MOST_MATRICES, count):
        raise StoreError(f"the coverage of a run is damaged, it counts {said} matrices: look with `ww db check`")
    return {
        (row.layer_id, row.extractor_id): [
            subject
            for subject in found[row.groups, row.split, row.rounding, row.weight_id, row.extractor_id]
            if 0 <= subject.matrix_index < row.matrices
            and (subject.context_id is None or subject.context_id == contexts.get(row.layer_id))
        ]
        for row in analyzed
    }


MOST_MATRICES = 1_000_000
"""Matrices that a run may count without all of them being stored: as many are put together in memory."""

_MATRIX_SUBJECTS = (
    select(t.matrix_subject)
    .where(t.matrix_subject.c.tensor_id.in_(bindparam("tensors", expanding=True)))
    .order_by(t.matrix_subject.c.matrix_index)
)


def _layer_subjects(connection: Connection, covered: Sequence[Any]) -> dict[int, int]:
    """Keys of layer subjects by layer key."""
    by_content: dict[tuple[str, int, str, int, int | None], int] = {}
    for chunk in chunks(sorted({row.weight_id for row in covered if row.weight_id is not None})):
        for key, *content in execute(connection, _LAYER_SUBJECTS, {"tensors": chunk}):
            by_content[tuple(content)] = key
    keys = {
        row.layer_id: by_content.get((row.kind, row.groups, row.rounding, row.weight_id, row.bias_id))
        for row in covered
    }
    return {layer_id: key for layer_id, key in keys.items() if key is not None}


_whole = t.layer_subject.c
_LAYER_SUBJECTS = select(
    _whole.subject_id, _whole.kind, _whole.groups, _whole.rounding, _whole.weight_id, _whole.bias_id
).where(_whole.weight_id.in_(bindparam("tensors", expanding=True)))


_failure = t.run_failure.c
_FAILURES = (
    select(_failure.stage, _failure.plugin, _failure.subject, _failure.message)
    .where(_failure.run_id == bindparam("run"))
    .order_by(_failure.position)
)
