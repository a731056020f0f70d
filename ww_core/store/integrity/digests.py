"""Digests made again of what is stored, by the functions that made them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, select

from ww_core.domain.identity import NUMERICS_VERSION, extractor_identity, quantity_identity, spectrum_identity
from ww_core.domain.reported_table import ReportedColumn
from ww_core.domain.spectrum import SpectrumKind
from ww_core.domain.subject import LayerSubject, MatrixSubject, ModelSubject
from ww_core.errors import StoreError
from ww_core.store import tables as t
from ww_core.store.families import derivation_digest, pair_digest
from ww_core.store.integrity.findings import Check, Findings, rows_of
from ww_core.store.integrity.summaries import newest_runs
from ww_core.store.origins import origin_digest
from ww_core.store.records import DerivationRecord, variant_digest
from ww_core.store.reported import reported_row_digest
from ww_core.store.reported_models import reported_model_digest
from ww_core.store.rows import UNREADABLE, chunks
from ww_core.store.scores import score_digest
from ww_core.store.selections import selection_digest
from ww_core.store.structures import structure_digest


def _compare(findings: Findings, what: str, digest: str, made_again: Callable[..., str | None], *content: Any) -> None:
    """Compare a stored digest with the one made again of its content; that is None where not all of it is stored."""
    try:
        found = made_again(*content)
    except (StoreError, *UNREADABLE) as error:
        findings.fault("digest", f"{what} cannot be read ({type(error).__name__}: {error})")
        return
    if found is not None:
        findings.checked["digests"] += 1
        if found != digest:
            findings.fault("digest", f"{what} is not what its digest {str(digest)[:12]} says")


def _check_matrices(connection: Connection, findings: Findings) -> None:
    matrix, context = t.matrix_subject, t.subject.alias("context")
    query = (
        select(
            matrix,
            t.subject.c.id,
            t.subject.c.digest,
            t.tensor.c.digest.label("tensor"),
            t.identity.c.digest.label("extractor"),
            context.c.digest.label("context"),
        )
        .select_from(t.subject)
        .outerjoin(matrix, matrix.c.subject_id == t.subject.c.id)
        .outerjoin(t.tensor, t.tensor.c.id == matrix.c.tensor_id)
        .outerjoin(t.identity, t.identity.c.id == matrix.c.extractor_id)
        .outerjoin(context, context.c.id == matrix.c.context_id)
        .where(t.subject.c.kind == "matrix")
    )
    for row in rows_of(connection, query):
        _compare(findings, f"matrix {row.id}", row.digest, _matrix_digest, row)


def _matrix_digest(row: Row[Any]) -> str:
    return MatrixSubject(
        tensor=row.tensor,
        groups=row.groups,
        split=row.split,
        extractor=row.extractor,
        index=row.matrix_index,
        rows=row.rows,
        cols=row.cols,
        entries=row.entries,
        context=row.context or "",
        rounding=row.rounding,
    ).digest


def _check_layers(connection: Connection, findings: Findings) -> None:
    whole, weight, bias = t.layer_subject, t.tensor.alias("weight"), t.tensor.alias("bias")
    query = (
        select(
            t.subject.c.id,
            t.subject.c.digest,
            whole.c.kind,
            whole.c.groups,
            whole.c.rounding,
            weight.c.digest.label("weight"),
            bias.c.digest.label("bias"),
        )
        .select_from(t.subject)
        .outerjoin(whole, whole.c.subject_id == t.subject.c.id)
        .outerjoin(weight, weight.c.id == whole.c.weight_id)
        .outerjoin(bias, bias.c.id == whole.c.bias_id)
        .where(t.subject.c.kind == "layer")
    )
    for row in rows_of(connection, query):
        _compare(findings, f"layer {row.id}", row.digest, _layer_digest, row)


def _layer_digest(row: Row[Any]) -> str:
    return LayerSubject(row.kind, row.groups, row.weight, row.bias or "", row.rounding).digest


def _check_models(connection: Connection, findings: Findings) -> None:
    for runs in newest_runs(connection):
        for run in runs:
            if run.state == "done" and run.model_subject is not None:
                _compare(findings, f"model {run.model_subject_id}", run.model_subject, _model_digest, connection, run)


def _model_digest(connection: Connection, run: Row[Any]) -> str | None:
    """Make the digest of what a run's model metrics speak of; None where layers were chosen, or a matrix was lost."""
    if json.loads(run.layers):
        return None
    covered = connection.execute(_COVERED, {"analysis": run.analysis_id}).all()
    readable = [row for row in covered if row.weight is not None]
    made = {}
    for chunk in chunks(sorted({row.weight_id for row in readable})):
        for *key, entries, count in connection.execute(_ENTRIES, {"tensors": chunk}):
            made[tuple(key)] = (entries, count)
    layers, matrices = {}, []
    for row in readable:
        if r"\x00" in row.name:  # as it is stored: the digest was made of the letter itself
            return None
        layers[row.layer_id] = (row.name, _layer_digest(row))
        if row.is_primary:
            part = (row.weight_id, row.extractor_id, row.groups, row.split, row.rounding, row.rows, row.cols)
            entries, count = made.get(part, (0, 0))
            if count < row.matrices:
                return None
            parts = (row.weight, row.groups, row.split, row.identity)
            shape = (row.rows, row.cols, entries)
            subjects = [MatrixSubject(*parts, index, *shape, rounding=row.rounding) for index in range(row.matrices)]
            matrices += [(row.name, subject.digest) for subject in subjects]
    return ModelSubject.named(run.checkpoint, list(layers.values()), matrices).digest


_weight, _bias = t.tensor.alias("weight"), t.tensor.alias("bias")
_COVERED = (
    select(
        t.coverage,
        t.layer.c.name,
        t.layer.c.kind,
        t.layer.c.groups,
        t.layer.c.split,
        t.layer.c.rounding,
        t.layer.c.weight_id,
        _weight.c.digest.label("weight"),
        _bias.c.digest.label("bias"),
        t.identity.c.digest.label("identity"),
    )
    .join(t.layer, t.layer.c.id == t.coverage.c.layer_id)
    .outerjoin(_weight, _weight.c.id == t.layer.c.weight_id)
    .outerjoin(_bias, _bias.c.id == t.layer.c.bias_id)
    .outerjoin(t.identity, t.identity.c.id == t.coverage.c.extractor_id)
    .where(t.coverage.c.analysis_id == bindparam("analysis"))
    .order_by(t.coverage.c.position)
)

_matrix = t.matrix_subject.c
_PART = (
    _matrix.tensor_id,
    _matrix.extractor_id,
    _matrix.groups,
    _matrix.split,
    _matrix.rounding,
    _matrix.rows,
    _matrix.cols,
    _matrix.entries,
)
_ENTRIES = (
    select(*_PART, func.count())
    # coalesce, because SQLite would take the index of contexts, in which nearly every matrix of the store has none.
    .where(_matrix.tensor_id.in_(bindparam("tensors", expanding=True)), func.coalesce(_matrix.context_id, 0) == 0)
    .group_by(*_PART)
)


def _check_structures(connection: Connection, findings: Findings) -> None:
    query = select(t.structure, t.checkpoint.c.digest.label("checkpoint")).join(t.checkpoint)
    for row in rows_of(connection, query):
        _compare(findings, f"structure {row.id}", row.digest, _structure_digest, connection, row)


def _structure_digest(connection: Connection, row: Row[Any]) -> str:
    asked = {"structure": row.id}
    layers = [dict(fields) for fields in connection.execute(_LAYERS, asked).mappings()]
    skipped = [dict(fields) for fields in connection.execute(_SKIPPED, asked).mappings()]
    return structure_digest(row.checkpoint, layers, skipped)


_LAYER_KEYS = {"id", "structure_id", "position", "weight_id", "bias_id"}
_LAYERS = (
    select(
        *(column for column in t.layer.columns if column.name not in _LAYER_KEYS),
        func.coalesce(_weight.c.digest, "").label("weight"),
        func.coalesce(_bias.c.digest, "").label("bias"),
    )
    .outerjoin(_weight, _weight.c.id == t.layer.c.weight_id)
    .outerjoin(_bias, _bias.c.id == t.layer.c.bias_id)
    .where(t.layer.c.structure_id == bindparam("structure"))
    .order_by(t.layer.c.position)
)


_SKIPPED = select(t.skipped_tensor).where(t.skipped_tensor.c.structure_id == bindparam("structure"))


def _check_identities(connection: Connection, findings: Findings) -> None:
    for row in rows_of(connection, select(t.identity)):
        _compare(findings, f"{row.kind} {row.key}", row.digest, _identity_digest, row)


def _identity_digest(row: Row[Any]) -> str | None:
    parameters = json.loads(row.parameters)
    match row.kind:
        case "extractor":
            return extractor_identity(row.key, row.version, parameters)
        case "spectrum" if row.version == NUMERICS_VERSION:
            return spectrum_identity(SpectrumKind.of(row.key.partition(":")[2], parameters))
        case "metric" | "quantity":
            return quantity_identity(row.key, row.version, parameters, json.loads(row.needs))
        case "reported" if not _is_escaped(row.key, row.version, row.parameters):
            return ReportedColumn("", row.key, row.version, parameters["definition"]).identity
        case "reported":
            return ReportedColumn("", row.key, row.version, parameters["definition"]).identity
    return None


def _check_tables(connection: Connection, findings: Findings) -> None:
    table, row = t.imported_table.c, t.reported_subject.c
    counted = select(func.count()).where(row.source == table.source).correlate(t.imported_table).scalar_subquery()
    for own in rows_of(connection, select(table.source, table.rows, counted.label("found"))):
        if own.rows != own.found:
            findings.fault("reference", f"table {own.source} has {own.found} rows, and was stored with {own.rows}")


def _check_variants(connection: Connection, findings: Findings) -> None:
    query = (
        select(
            t.variant,
            t.identity.c.digest.label("identity"),
            t.metric_column.c.key.label("column"),
            t.metric_column.c.type,
        )
        .join(t.metric_column, t.metric_column.c.id == t.variant.c.column_id)
        .join(t.identity, t.identity.c.id == t.metric_column.c.identity_id)
    )
    for row in rows_of(connection, query):
        _compare(findings, f"variant {row.id}", row.digest, _variant_digest, row)


def _variant_digest(row: Row[Any]) -> str:
    return variant_digest(json.loads(row.extractors), row.identity, row.column, row.type)


def _check_selections(connection: Connection, findings: Findings) -> None:
    for row in rows_of(connection, select(t.selection)):
        _compare(findings, f"selection {row.id}", row.digest, _selection_digest, connection, row)


def _selection_digest(connection: Connection, row: Row[Any]) -> str:
    shown = [tuple(columns) for columns in connection.execute(_SHOWN_COLUMNS, {"selection": row.id})]
    return selection_digest(shown, row._asdict())


_SHOWN_COLUMNS = (
    select(t.selection_variant.c.label, t.selection_variant.c.headline, t.variant.c.digest)
    .join(t.variant, t.variant.c.id == t.selection_variant.c.variant_id)
    .where(t.selection_variant.c.selection_id == bindparam("selection"))
    .order_by(t.selection_variant.c.position)
)


def _check_pairs(connection: Connection, findings: Findings) -> None:
    first, second = t.subject.alias("first"), t.subject.alias("second")
    query = (
        select(t.subject.c.id, t.subject.c.digest, first.c.digest.label("first"), second.c.digest.label("second"))
        .select_from(t.subject)
        .outerjoin(t.pair_subject, t.pair_subject.c.subject_id == t.subject.c.id)
        .outerjoin(first, first.c.id == t.pair_subject.c.first_id)
        .outerjoin(second, second.c.id == t.pair_subject.c.second_id)
        .where(t.subject.c.kind == "pair")
    )
    for row in rows_of(connection, query):
        _compare(findings, f"pair {row.id}", row.digest, pair_digest, row.first, row.second)


def _check_reported(connection: Connection, findings: Findings) -> None:
    query = (
        select(t.subject.c.id, t.subject.c.digest, t.reported_subject)
        .select_from(t.subject)
        .outerjoin(t.reported_subject, t.reported_subject.c.subject_id == t.subject.c.id)
        .where(t.subject.c.kind == "reported")
    )
    for row in rows_of(connection, query):
        _compare(findings, f"reported subject {row.id}", row.digest, _reported_digest, row)


def _reported_digest(row: Row[Any]) -> str | None:
    if _is_escaped(row.source, row.provider, row.model, row.version):
        return None
    if row.source:
        return reported_row_digest(row.source, row.row, row.provider)
    return reported_model_digest((row.model, row.version))


def _is_escaped(*texts: str) -> bool:
    """Whether a text may be another one than the digest was made of: letters that no database takes are written out."""
    return any(r"\x00" in text or r"\ud" in text for text in texts)


def _check_scores(connection: Connection, findings: Findings) -> None:
    target = func.coalesce(t.checkpoint.c.digest, t.subject.c.digest).label("target")
    query = (
        select(t.score, target)
        .outerjoin(t.checkpoint, t.checkpoint.c.id == t.score.c.checkpoint_id)
        .outerjoin(t.subject, t.subject.c.id == t.score.c.subject_id)
    )
    for row in rows_of(connection, query):
        _compare(findings, f"score {row.id}", row.digest, _score_digest, row)


def _score_digest(row: Row[Any]) -> str | None:
    return None if _is_escaped(row.name, row.dataset, row.source) else score_digest(row.target, row)


def _check_derivations(connection: Connection, findings: Findings) -> None:
    query = select(t.derivation, t.checkpoint.c.digest.label("child")).join(t.checkpoint)
    for row in rows_of(connection, query):
        _compare(findings, f"derivation {row.id}", row.digest, _derivation_digest, connection, row)


def _derivation_digest(connection: Connection, row: Row[Any]) -> str | None:
    if _is_escaped(row.transform, row.version, row.parameters):
        return None
    parents = tuple(connection.scalars(_PARENTS, {"derivation": row.id}))
    record = DerivationRecord(row.child, parents, row.transform, row.version, json.loads(row.parameters))
    return derivation_digest(record)


_PARENTS = (
    select(t.derivation_parent.c.checkpoint)
    .where(t.derivation_parent.c.derivation_id == bindparam("derivation"))
    .order_by(t.derivation_parent.c.position)
)


def _check_origins(connection: Connection, findings: Findings) -> None:
    for row in rows_of(connection, select(t.origin)):
        _compare(findings, f"origin {row.id}", row.digest, _origin_digest, row)


def _origin_digest(row: Row[Any]) -> str | None:
    content = {name: own for name, own in row._asdict().items() if name not in {"id", "digest"}}
    return None if _is_escaped(*filter(_is_text, content.values())) else origin_digest(content)


def _is_text(content: object) -> bool:
    return isinstance(content, str)


STEPS: tuple[Check, ...] = (
    _check_matrices,
    _check_layers,
    _check_models,
    _check_structures,
    _check_identities,
    _check_tables,
    _check_variants,
    _check_selections,
    _check_pairs,
    _check_reported,
    _check_scores,
    _check_derivations,
    _check_origins,
)
