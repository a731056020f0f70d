"""Integrity: whether a store holds what it says, as far as it can tell without the weights.

Digests are made again of what is stored, by the functions that made them. Of tensors, checkpoints and files only the
digests are stored: these cannot be checked.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import sqlite3
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import (
    CheckConstraint,
    Connection,
    Row,
    Select,
    Table,
    bindparam,
    case,
    func,
    or_,
    select,
    text,
    true,
)
from sqlalchemy.exc import DBAPIError

from ww_core.domain.answer import report_of
from ww_core.domain.identity import NUMERICS_VERSION, extractor_identity, quantity_identity, spectrum_identity
from ww_core.domain.reported_table import ReportedColumn
from ww_core.domain.spectrum import SpectrumKind
from ww_core.domain.subject import LayerSubject, MatrixSubject, ModelSubject
from ww_core.errors import StoreError
from ww_core.store import tables as t
from ww_core.store.answers import stored_analysis
from ww_core.store.cells import wrong_cells
from ww_core.store.encoding import check_lengths, decode_spectrum
from ww_core.store.engine import NO_NUMBER_LEFT, driver_of, is_interruption
from ww_core.store.families import derivation_digest, pair_digest
from ww_core.store.origins import origin_digest
from ww_core.store.records import DerivationRecord, variant_digest
from ww_core.store.reported import reported_row_digest
from ww_core.store.reported_models import reported_model_digest
from ww_core.store.rows import UNREADABLE, chunks, keys_by_digest
from ww_core.store.schema import parts_of_others
from ww_core.store.scores import score_digest
from ww_core.store.selections import selection_digest
from ww_core.store.structures import structure_digest
from ww_core.store.summaries import record_summaries, summary_rows

if TYPE_CHECKING:
    from ww_core.domain.report import Aggregate

FETCHED = 500
"""Rows that are in memory at a time."""

SHOWN = 20
"""Faults of a kind that are described; the others are counted."""


@dataclass(frozen=True, slots=True)
class Faults:
    """Faults of one kind: how many there are, and the first of them in words."""

    count: int
    first: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Integrity:
    """What was checked, and what is wrong.

    Attributes:
        checked: How many of each were checked: digests, spectra, values, summaries.
        faults: By kind: ``file``, ``cell``, ``reference``, ``constraint``, ``digest``, ``spectrum``, ``value``,
            ``summary``.
        others: Tables, views and indexes that ww has not made and does not use, as kind and name.
    """

    checked: Mapping[str, int]
    faults: Mapping[str, Faults]
    others: tuple[str, ...] = ()


@dataclass(slots=True)
class _Findings:
    checked: Counter[str] = field(default_factory=lambda: Counter(digests=0, spectra=0, values=0, summaries=0))
    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def fault(self, kind: str, message: str) -> None:
        self.counts[kind] += 1
        if self.counts[kind] <= SHOWN:
            self.first[kind].append(message)

    def result(self) -> Integrity:
        faults = {kind: Faults(count, tuple(self.first[kind])) for kind, count in self.counts.items()}
        return Integrity(dict(self.checked), faults)


def verify_store(connection: Connection) -> Integrity:
    """Check everything that can be checked, in bounded memory."""
    # A server looks after its pages, references and types itself.
    own = (_check_file, _check_cells, _check_references) if connection.dialect.name == "sqlite" else ()
    found = _verified(connection, (*own, *_CONTENT_STEPS, _check_summaries))
    return replace(found, others=tuple(parts_of_others(connection)))


def verify_content(connection: Connection) -> Integrity:
    """Check rules of tables, digests, spectra and values, in bounded memory; not what follows from values."""
    return _verified(connection, _CONTENT_STEPS)


def _verified(connection: Connection, steps: Sequence[Check]) -> Integrity:
    findings = _Findings()
    for step in steps:
        try:
            step(connection, findings)
        except (DBAPIError, sqlite3.Error) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            if not isinstance(cause, sqlite3.Error) or is_interruption(cause):
                raise  # of a server: there the transaction has ended
            findings.fault("file", str(cause))
        except UnicodeDecodeError as error:  # the driver reads the message of an error that quotes damaged text
            findings.fault("file", str(error))
        except (StoreError, *UNREADABLE) as error:
            if not findings.counts["cell"]:  # which names the row
                findings.fault("cell", str(error))
    return findings.result()


def rebuild_summaries(reading: Transaction, writing: Transaction) -> int:
    """Write summaries anew that are missing or say something else than the values.

    Args:
        reading: Opens a transaction that reads.
        writing: Opens a transaction that writes.

    Returns:
        How many checkpoints had such.
    """
    with reading() as connection:
        faulty = list(_with_wrong_summaries(connection))
    for checkpoint_id in faulty:
        with writing() as connection:
            _write_summaries(connection, checkpoint_id)
    return len(faulty)


def mend_summaries(connection: Connection, checkpoints: Collection[str]) -> None:
    """Write summaries of checkpoints, named by their digests, anew where they are not what the values say."""
    for digest, key in keys_by_digest(connection, t.checkpoint, sorted(checkpoints)).items():
        if digest in checkpoints and list(_with_wrong_summaries(connection, key)):
            _write_summaries(connection, key)


def _write_summaries(connection: Connection, checkpoint_id: int) -> None:
    for runs in list(_newest_runs(connection, checkpoint_id)):
        for run in runs:
            if run.state == "done":
                record_summaries(connection, *_summary_of(connection, run))


Transaction = Callable[[], AbstractContextManager[Connection]]
Check = Callable[[Connection, _Findings], None]


def _with_wrong_summaries(connection: Connection, checkpoint_id: int | None = None) -> Iterator[int]:
    """Yield the keys of checkpoints, of all or of one, whose summaries can be made again, and would be others."""
    for runs in _newest_runs(connection, checkpoint_id):
        with contextlib.suppress(StoreError, *UNREADABLE):  # what cannot be read is a fault that this does not mend
            if _wrong_summaries(connection, runs)[1]:
                yield runs[0].checkpoint_id


def _rows(connection: Connection, query: Select[Any]) -> Iterator[Row[Any]]:
    yield from connection.execute(query, execution_options={"yield_per": FETCHED})


# --- the database -----------------------------------------------------------------------------------------------------


def _check_file(connection: Connection, findings: _Findings) -> None:
    for (verdict,) in connection.exec_driver_sql(f"PRAGMA integrity_check({SHOWN})"):
        for line in verdict.splitlines() if verdict != "ok" else ():
            if not line.startswith("*** in database"):  # there is one
                findings.fault("file", line)


def _check_references(connection: Connection, findings: _Findings) -> None:
    for table, row, parent, _ in connection.exec_driver_sql("PRAGMA foreign_key_check"):
        place = "a row" if row is None else f"row {row}"
        findings.fault("reference", f"{place} of {table} points at a missing row of {parent}")


def _check_cells(connection: Connection, findings: _Findings) -> None:
    driver = driver_of(connection)
    for table in t.metadata.sorted_tables:
        for place, column, what in wrong_cells(driver, table):
            findings.fault("cell", f"{column} of {place} holds {what}")
    for (name,) in driver.execute(NO_NUMBER_LEFT):
        findings.fault("cell", f"no number is left for another row of {name}")


def _check_constraints(connection: Connection, findings: _Findings) -> None:
    for table in t.metadata.sorted_tables:
        for constraint in table.constraints:
            if isinstance(constraint, CheckConstraint):
                broken = select(*table.primary_key).where(text(f"NOT ({constraint.sqltext})"))
                for row in _rows(connection, broken):
                    findings.fault("constraint", f"{_place(table, row)} breaks the rule {constraint.sqltext}")


def _place(table: Table, row: Row[Any]) -> str:
    keys = (f"{column.name} {getattr(row, column.name)}" for column in table.primary_key)
    return f"{table.name} ({', '.join(keys)})"


# --- digests ----------------------------------------------------------------------------------------------------------


def _compare(findings: _Findings, what: str, digest: str, made_again: Callable[..., str | None], *content: Any) -> None:
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


def _check_matrices(connection: Connection, findings: _Findings) -> None:
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
    for row in _rows(connection, query):
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


def _check_layers(connection: Connection, findings: _Findings) -> None:
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
    for row in _rows(connection, query):
        _compare(findings, f"layer {row.id}", row.digest, _layer_digest, row)


def _layer_digest(row: Row[Any]) -> str:
    return LayerSubject(row.kind, row.groups, row.weight, row.bias or "", row.rounding).digest


def _check_models(connection: Connection, findings: _Findings) -> None:
    for runs in _newest_runs(connection):
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


def _check_structures(connection: Connection, findings: _Findings) -> None:
    query = select(t.structure, t.checkpoint.c.digest.label("checkpoint")).join(t.checkpoint)
    for row in _rows(connection, query):
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


def _check_identities(connection: Connection, findings: _Findings) -> None:
    for row in _rows(connection, select(t.identity)):
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


def _check_tables(connection: Connection, findings: _Findings) -> None:
    table, row = t.imported_table.c, t.reported_subject.c
    counted = select(func.count()).where(row.source == table.source).correlate(t.imported_table).scalar_subquery()
    for own in _rows(connection, select(table.source, table.rows, counted.label("found"))):
        if own.rows != own.found:
            findings.fault("reference", f"table {own.source} has {own.found} rows, and was stored with {own.rows}")


def _check_variants(connection: Connection, findings: _Findings) -> None:
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
    for row in _rows(connection, query):
        _compare(findings, f"variant {row.id}", row.digest, _variant_digest, row)


def _variant_digest(row: Row[Any]) -> str:
    return variant_digest(json.loads(row.extractors), row.identity, row.column, row.type)


def _check_selections(connection: Connection, findings: _Findings) -> None:
    for row in _rows(connection, select(t.selection)):
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


def _check_pairs(connection: Connection, findings: _Findings) -> None:
    first, second = t.subject.alias("first"), t.subject.alias("second")
    query = (
        select(t.subject.c.id, t.subject.c.digest, first.c.digest.label("first"), second.c.digest.label("second"))
        .select_from(t.subject)
        .outerjoin(t.pair_subject, t.pair_subject.c.subject_id == t.subject.c.id)
        .outerjoin(first, first.c.id == t.pair_subject.c.first_id)
        .outerjoin(second, second.c.id == t.pair_subject.c.second_id)
        .where(t.subject.c.kind == "pair")
    )
    for row in _rows(connection, query):
        _compare(findings, f"pair {row.id}", row.digest, pair_digest, row.first, row.second)


def _check_reported(connection: Connection, findings: _Findings) -> None:
    query = (
        select(t.subject.c.id, t.subject.c.digest, t.reported_subject)
        .select_from(t.subject)
        .outerjoin(t.reported_subject, t.reported_subject.c.subject_id == t.subject.c.id)
        .where(t.subject.c.kind == "reported")
    )
    for row in _rows(connection, query):
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


def _check_scores(connection: Connection, findings: _Findings) -> None:
    target = func.coalesce(t.checkpoint.c.digest, t.subject.c.digest).label("target")
    query = (
        select(t.score, target)
        .outerjoin(t.checkpoint, t.checkpoint.c.id == t.score.c.checkpoint_id)
        .outerjoin(t.subject, t.subject.c.id == t.score.c.subject_id)
    )
    for row in _rows(connection, query):
        _compare(findings, f"score {row.id}", row.digest, _score_digest, row)


def _score_digest(row: Row[Any]) -> str | None:
    return None if _is_escaped(row.name, row.dataset, row.source) else score_digest(row.target, row)


def _check_derivations(connection: Connection, findings: _Findings) -> None:
    query = select(t.derivation, t.checkpoint.c.digest.label("child")).join(t.checkpoint)
    for row in _rows(connection, query):
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


def _check_origins(connection: Connection, findings: _Findings) -> None:
    for row in _rows(connection, select(t.origin)):
        _compare(findings, f"origin {row.id}", row.digest, _origin_digest, row)


def _origin_digest(row: Row[Any]) -> str | None:
    content = {name: own for name, own in row._asdict().items() if name not in {"id", "digest"}}
    return None if _is_escaped(*filter(_is_text, content.values())) else origin_digest(content)


def _is_text(content: object) -> bool:
    return isinstance(content, str)


# --- results ----------------------------------------------------------------------------------------------------------


def _check_spectra(connection: Connection, findings: _Findings) -> None:
    for row in _rows(connection, select(t.spectrum).where(t.spectrum.c.singular_values.is_not(None))):
        findings.checked["spectra"] += 1
        try:
            wrong = _wrong_with(row)
        except (StoreError, *UNREADABLE) as error:
            wrong = str(error)
        if wrong:
            findings.fault("spectrum", f"the spectrum of matrix {row.subject_id}: {wrong}")


def _wrong_with(row: Row[Any]) -> str:
    check_lengths([(row.singular_values, row.length)])
    values = decode_spectrum(row.encoding, row.singular_values, row.length)
    if not np.isfinite(values).all() or (values < 0).any():
        return "not all of its singular values are finite and positive"
    if (np.diff(values) > 0).any():
        return "its singular values are not descending"
    if not 0 <= row.noise_floor < math.inf:
        return f"its noise floor is {row.noise_floor}"
    return ""


def _check_values(connection: Connection, findings: _Findings) -> None:
    value, column = t.value.c, t.metric_column.c
    findings.checked["values"] = connection.execute(select(func.count()).select_from(t.value)).scalar_one()
    wrong_kind = case((column.type == "text", value.text.is_(None)), else_=value.number.is_(None))
    query = (
        select(value.subject_id, value.column_id, column.type)
        .join(t.metric_column, column.id == value.column_id)
        .where(value.state == "ok", or_(wrong_kind, func.abs(value.number) > sys.float_info.max))
    )
    for row in _rows(connection, query):
        findings.fault("value", f"{_place(t.value, row)} is no {row.type} that is finite")


# --- summaries --------------------------------------------------------------------------------------------------------


def _check_summaries(connection: Connection, findings: _Findings) -> None:
    for runs in _newest_runs(connection):
        try:
            expected, wrong = _wrong_summaries(connection, runs)
        except (StoreError, *UNREADABLE) as error:
            cause = f"{type(error).__name__}: {error}"
            findings.fault("value", f"the results of checkpoint {runs[0].checkpoint[:12]} cannot be read ({cause})")
            continue
        findings.checked["summaries"] += expected
        for _, variant_id, layers, aggregate, fault in wrong:
            label = connection.execute(_LABEL, {"variant": variant_id}).scalar()
            where = f"checkpoint {runs[0].checkpoint[:12]}" + ("" if layers == "all" else ", chosen layers")
            findings.fault("summary", f"{aggregate} of {label} of {where} {fault}")


_LABEL = select(t.selection_variant.c.label).where(t.selection_variant.c.variant_id == bindparam("variant")).limit(1)


def _newest_runs(connection: Connection, checkpoint_id: int | None = None) -> Iterator[list[Row[Any]]]:
    """Yield the newest run of each analysis, in the order in which they ended, a checkpoint at a time."""
    by_time = (t.run.c.started_at.desc(), t.run.c.id.desc())
    place = func.row_number().over(partition_by=t.run.c.analysis_id, order_by=by_time).label("place")
    placed = select(t.run.c.id, place).subquery()
    newest = select(placed.c.id).where(placed.c.place == 1)
    query = (
        select(
            t.run.c.id,
            t.run.c.state,
            t.analysis.c.id.label("analysis_id"),
            t.analysis.c.selection_id,
            t.analysis.c.model_subject_id,
            t.subject.c.digest.label("model_subject"),
            t.selection.c.layers,
            t.structure.c.checkpoint_id,
            t.checkpoint.c.digest.label("checkpoint"),
        )
        .join(t.analysis, t.analysis.c.id == t.run.c.analysis_id)
        .join(t.selection, t.selection.c.id == t.analysis.c.selection_id)
        .join(t.structure, t.structure.c.id == t.analysis.c.structure_id)
        .join(t.checkpoint, t.checkpoint.c.id == t.structure.c.checkpoint_id)
        .outerjoin(t.subject, t.subject.c.id == t.analysis.c.model_subject_id)
        .where(t.run.c.id.in_(newest), true() if checkpoint_id is None else t.checkpoint.c.id == checkpoint_id)
        .order_by(t.structure.c.checkpoint_id, t.run.c.finished_at, t.run.c.id)
    )
    for _, runs in itertools.groupby(_rows(connection, query), attrgetter("checkpoint_id")):
        yield list(runs)


def _wrong_summaries(connection: Connection, runs: Sequence[Row[Any]]) -> tuple[int, list[tuple[Any, ...]]]:
    """Compare the summaries of a checkpoint with its values.

    Returns:
        How many there must be, and the keys of those that are missing or say something else, with a sentence's end.
    """
    expected: dict[tuple[Any, ...], list[tuple[Any, ...]]] = defaultdict(list)
    unsure = set()
    for run in runs:
        for row in summary_rows(connection, *_summary_of(connection, run)):
            expected[_KEY(row)].append(_CONTENT(row))
            # A run that did not end has said anew what is covered, and written no summary of it.
            if run.state != "done":
                unsure.add(_KEY(row))
    query = select(t.summary).where(t.summary.c.analysis_id.in_([run.analysis_id for run in runs]))
    stored = {_KEY(row): row for row in connection.execute(query).mappings()}
    certain = [key for key in expected if key not in unsure]
    wrong: list[tuple[Any, ...]] = []
    for key in certain:
        if key not in stored:
            wrong.append((*key, "is missing: a run was cut short at its end, or is just ending"))
        # What was lost to an exception may have been computed since, for another checkpoint that shares the layer.
        elif not (stored[key]["partial"] or _CONTENT(stored[key]) in expected[key]):
            wrong.append((*key, "is not what the values say"))
    return len(certain), wrong


_KEY = itemgetter("analysis_id", "variant_id", "layers", "aggregate")
_CONTENT = itemgetter("value", "present", "missing", "partial")


def _summary_of(connection: Connection, run: Row[Any]) -> tuple[int, int, Mapping[str, Aggregate], Collection[str]]:
    """Return what is to be recorded as the summary of a run, of what is stored now."""
    report = report_of(stored_analysis(connection, run.id), "", "")
    partial = report.incomplete_columns()
    return run.analysis_id, run.selection_id, report.summary, partial


_CONTENT_STEPS: tuple[Check, ...] = (
    _check_constraints,
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
    _check_spectra,
    _check_values,
)
