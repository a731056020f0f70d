"""Writing results to the store: content first, then what points at it, inside the caller's transaction.

All of it may run twice, and in several processes at once: rows are inserted where they are missing, else found. What
is inserted together with a row, in one transaction, is there where that row is.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Connection, Row, bindparam, select, update

from ww_core.domain.identity import canonical_json, digest_of, spectrum_identity
from ww_core.domain.outcome import Outcome, State
from ww_core.domain.subject import LayerSubject, MatrixSubject, ModelSubject, Subject
from ww_core.store import tables as t
from ww_core.store.encoding import encode_spectrum
from ww_core.store.rows import (
    chunks,
    clean,
    insert_by_digest,
    insert_missing,
    insert_one,
    keys_by_digest,
    now,
    record_by_digest,
    upsert,
)

if TYPE_CHECKING:
    from ww_core.domain.layer import Layer, SkippedTensor, TensorSpec
    from ww_core.domain.quantity import Column
    from ww_core.domain.report import Aggregate, Failure
    from ww_core.domain.spectrum import Spectrum


class CheckpointRecord(NamedTuple):
    """A checkpoint as its source presents it.

    Attributes:
        digest: Its content address.
        provisional: Whether some tensor could not be read.
        parameters: Numbers in all its tensors.
        tensors: Tensors that were read, by digest.
        layers: All layers in order, with the digests of weight and bias (empty for no bias, or for what could not be
            read).
        skipped: Tensors that belong to no layer, with their reasons and digests (empty for what could not be read).
    """

    digest: str
    provisional: bool
    parameters: int
    tensors: Mapping[str, TensorSpec | SkippedTensor]
    layers: Sequence[tuple[Layer, str, str]]
    skipped: Sequence[tuple[SkippedTensor, str]]


class IdentityRecord(NamedTuple):
    """An identity with its stored columns. ``name`` is what it is called today."""

    digest: str
    kind: str
    key: str
    name: str
    version: str
    parameters: Mapping[str, Any]
    needs: Mapping[str, Any]
    source_digest: str
    columns: tuple[Column, ...] = ()


class ColumnRecord(NamedTuple):
    """A column that is asked for: its label, what it is, and its place among the columns of tables for people.

    ``identity`` and ``column`` are the digest of the metric's identity and the permanent key of the column in it.
    """

    label: str
    scope: str
    identity: str
    column: str
    type: str
    headline: int | None


class PlanRecord(NamedTuple):
    """What was asked, fully resolved.

    Attributes:
        profile: Permanent key of the profile.
        experiment: Whether something in it is no variant of the profile's own.
        narrowed: Whether only some metrics or layers were asked for.
        layers: Globs that choose layers; empty for all.
        extractors: Identities of the extractors by role, the primary one, which is part of what a variant is, first.
        columns: The columns asked for, in order.
    """

    profile: str
    experiment: bool
    narrowed: bool
    layers: Sequence[str]
    extractors: Mapping[str, Sequence[str]]
    columns: Sequence[ColumnRecord]

    def primary_of(self, column: ColumnRecord) -> dict[str, str]:
        """Identities of the extractors that a column speaks of, by role: a column of whole layers speaks of none."""
        return {} if column.scope == "layer" else {role: variants[0] for role, variants in self.extractors.items()}

    def variant_of(self, column: ColumnRecord) -> str:
        """Content address of the variant that a column is."""
        return variant_digest(self.primary_of(column), column.identity, column.column, column.type)


class CoverageRecord(NamedTuple):
    """One layer under one extractor: what is to be made of it, or why nothing is."""

    layer: Layer
    state: str
    reason: str = ""
    extractor: str = ""
    extractor_identity: str = ""
    is_primary: bool = False
    matrices: int = 0
    rows: int = 0
    cols: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What was computed of one subject: its spectrum, if one was made, and outcomes by (identity digest, column)."""

    subject: Subject
    spectrum: Spectrum | None = None
    outcomes: Mapping[tuple[str, str], Outcome] = field(default_factory=dict)


class RunEnd(NamedTuple):
    """How a run ended. ``computed`` and ``reused`` count spectra."""

    state: str
    computed: int
    reused: int
    seconds: float
    failures: tuple[Failure, ...]
    warnings: tuple[str, ...]


@dataclass(slots=True)
class Keys:
    """Integer keys of what is stored, by content; of columns by identity and the column's key."""

    tensors: dict[str, int] = field(default_factory=dict)
    layers: dict[str, int] = field(default_factory=dict)
    identities: dict[str, int] = field(default_factory=dict)
    columns: dict[tuple[str, str], int] = field(default_factory=dict)
    subjects: dict[str, int] = field(default_factory=dict)
    checkpoint: int = 0
    structure: int = 0


def known_digests(connection: Connection, host: str, path: str, tensors: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return (stamp, digest) of tensors of a file by name, as they were when the file was last read on this host."""
    names = {_file_key(host, path, name): name for name in tensors}
    known = {}
    for chunk in chunks(list(names)):
        for key, stamp, digest in connection.execute(_FILE_DIGESTS, {"keys": chunk}).all():
            known[names[key]] = (stamp, digest)
    return known


_file = t.file_digest.c
_FILE_DIGESTS = select(_file.key, _file.stamp, _file.digest).where(_file.key.in_(bindparam("keys", expanding=True)))


def record_digests(connection: Connection, host: str, path: str, digests: Mapping[str, tuple[str, str]]) -> None:
    """Remember (stamp, digest) of the tensors of a file, by tensor name."""
    rows = [
        {"key": _file_key(host, path, name), "path": path, "stamp": stamp, "digest": digest}
        for name, (stamp, digest) in digests.items()
    ]
    upsert(connection, t.file_digest, rows, update_columns=("stamp", "digest"))


def _file_key(host: str, path: str, tensor: str) -> str:
    return digest_of("file", {"host": host, "path": clean(path), "tensor": clean(tensor)})


def record_checkpoint(connection: Connection, record: CheckpointRecord) -> Keys:
    """Store a checkpoint with its tensors and layers, and return their keys."""
    keys = Keys()
    keys.tensors = record_by_digest(
        connection,
        t.tensor,
        [
            {"digest": digest, "dtype": spec.dtype, "shape": _shape_text(spec.shape), "size": spec.size}
            for digest, spec in record.tensors.items()
        ],
    )
    row: dict[str, Any] = {"digest": record.digest, "provisional": record.provisional, "created_at": now()}
    keys.checkpoint = record_by_digest(connection, t.checkpoint, [row])[record.digest]
    layers = [_layer_fields(*layer) for layer in record.layers]
    skipped = [
        {
            "name": clean(tensor.name),
            "dtype": clean(tensor.dtype),
            "shape": _shape_text(tensor.shape),
            "reason": clean(tensor.reason),
            "tied_to": clean(tensor.tied_to),
        }
        for tensor, _ in record.skipped
    ]
    row = {
        "digest": structure_digest(record.digest, layers, skipped),
        "checkpoint_id": keys.checkpoint,
        "parameters": record.parameters,
    }
    stored = keys_by_digest(connection, t.structure, [row["digest"]])
    keys.structure = (stored or insert_by_digest(connection, t.structure, [row]))[row["digest"]]
    if not stored:
        rows = []
        for position, fields in enumerate(layers):
            weight, bias = fields.pop("weight"), fields.pop("bias")
            ids = {"weight_id": keys.tensors.get(weight), "bias_id": keys.tensors.get(bias)}
            rows.append({"structure_id": keys.structure, "position": position, **fields, **ids})
        insert_missing(connection, t.layer, rows)
        rows = [
            {"structure_id": keys.structure, "position": position, **fields, "tensor_id": keys.tensors.get(digest)}
            for position, (fields, (_, digest)) in enumerate(zip(skipped, record.skipped, strict=True))
        ]
        insert_missing(connection, t.skipped_tensor, rows)
    found = connection.execute(_LAYERS, {"structure": keys.structure}).all()
    keys.layers = {row.name: row.id for row in found}
    return keys


_LAYERS = select(t.layer.c.name, t.layer.c.id).where(t.layer.c.structure_id == bindparam("structure"))


def structure_digest(checkpoint: str, layers: Sequence[Mapping[str, Any]], skipped: Sequence[Mapping[str, Any]]) -> str:
    """Return the content address of a structure: of its layers and skipped tensors, whatever their order.

    Args:
        checkpoint: Digest of the checkpoint.
        layers: Columns of the layers, short of keys and positions; ``weight`` and ``bias`` are digests, or empty.
        skipped: Columns of the skipped tensors; the sentences on why they are skipped do not count.
    """
    ordered = sorted((dict(layer) for layer in layers), key=itemgetter("name"))
    names = sorted([own["name"], own["dtype"], own["shape"], own["tied_to"]] for own in skipped)
    return digest_of("structure", {"checkpoint": checkpoint, "layers": ordered, "skipped": names})


def _layer_fields(layer: Layer, weight: str, bias: str) -> dict[str, Any]:
    return {
        "name": clean(layer.name),
        "kind": str(layer.kind),
        "groups": layer.groups,
        "split": layer.split,
        "rounding": layer.weight.told_rounding,
        "shape": _shape_text(layer.shape),
        "size": layer.size,
        "weight_name": clean(layer.weight.name),
        "bias_name": clean(layer.bias.name) if layer.bias else "",
        "weight": weight,
        "bias": bias,
    }


@functools.lru_cache(maxsize=1024)
def _shape_text(shape: tuple[int, ...]) -> str:
    return canonical_json(list(shape))


def record_identities(connection: Connection, records: Sequence[IdentityRecord], keys: Keys) -> list[str]:
    """Store identities and their columns, and put their keys into ``keys``.

    Returns:
        Names of identities that stand with other source code: the code was changed, its version was not.
    """
    found = _stored_identities(connection, records)
    stored = _note(found, records, keys)
    _follow_names(connection, found, records, keys)
    rows: list[dict[str, Any]] = [
        {
            "digest": record.digest,
            "kind": record.kind,
            "key": record.key,
            "version": record.version,
            "parameters": canonical_json(dict(record.parameters)),
            "needs": canonical_json(dict(record.needs)),
            "source_digest": record.source_digest,
            "created_at": now(),
        }
        for record in records
        if record.digest not in stored
    ]
    keys.identities |= insert_by_digest(connection, t.identity, rows)
    extended = [r for r in records if any((r.digest, own.key) not in keys.columns for own in r.columns)]
    rows = [
        {
            "identity_id": keys.identities[record.digest],
            "key": own.key,
            "name": own.name,
            "type": own.type,
            "better": own.better,
            "unit": own.unit,
            "is_table": False,
        }
        for record in extended
        for own in record.columns
        if (record.digest, own.key) not in keys.columns
    ]
    if rows:
        insert_missing(connection, t.metric_column, rows)
        stored |= find_identities(connection, extended, keys)
        for record in extended:  # with a column more its code must be another
            code = {"source_digest": record.source_digest}
            connection.execute(update(t.identity).where(t.identity.c.digest == record.digest).values(code))
            stored[record.digest] = record.source_digest
    return [record.name for record in records if stored.get(record.digest, "") not in {"", record.source_digest}]


def find_identities(connection: Connection, records: Sequence[IdentityRecord], keys: Keys) -> dict[str, str]:
    """Put the keys of those identities that are stored, and of their columns, into ``keys``.

    A column whose type is another one now is another column.

    Returns:
        Digests of their source code, by identity.
    """
    return _note(_stored_identities(connection, records), records, keys)


def _stored_identities(connection: Connection, records: Sequence[IdentityRecord]) -> list[Row[Any]]:
    found: list[Row[Any]] = []
    for chunk in chunks([record.digest for record in records]):
        found.extend(connection.execute(_IDENTITIES, {"digests": chunk}))
    return found


def _note(found: Sequence[Row[Any]], records: Sequence[IdentityRecord], keys: Keys) -> dict[str, str]:
    columns = {(record.digest, own.key): own for record in records for own in record.columns}
    for row in found:
        keys.identities[row.digest] = row.id
        own = columns.get((row.digest, row.key))
        if own is not None and own.type == row.type:
            keys.columns[row.digest, row.key] = row.column_id
    return {row.digest: row.source_digest for row in found}


def _follow_names(
    connection: Connection, found: Sequence[Row[Any]], records: Sequence[IdentityRecord], keys: Keys
) -> None:
    """Let stored columns be called, and be described, as they are today."""
    columns = {keys.columns.get((r.digest, own.key)): own for r in records for own in r.columns}
    for row in found:
        own = columns.get(row.column_id) if row.column_id is not None else None
        if own is not None and (row.name, row.better, row.unit) != (own.name, own.better, own.unit):
            today = {"name": own.name, "better": own.better, "unit": own.unit}
            connection.execute(update(t.metric_column).where(t.metric_column.c.id == row.column_id).values(today))


_identity, _column = t.identity.c, t.metric_column.c
_IDENTITIES = (
    select(
        _identity.digest,
        _identity.id,
        _identity.source_digest,
        _column.id.label("column_id"),
        _column.key,
        _column.name,
        _column.type,
        _column.better,
        _column.unit,
    )
    .outerjoin(t.metric_column, _column.identity_id == _identity.id)
    .where(_identity.digest.in_(bindparam("digests", expanding=True)))
)


def record_plan(connection: Connection, record: PlanRecord, keys: Keys) -> int:
    """Store a plan and its variants, and return its key."""
    extractors = {role: list(identities) for role, identities in record.extractors.items()}
    row: dict[str, Any] = {
        "profile": record.profile,
        "experiment": record.experiment,
        "narrowed": record.narrowed,
        "extractors": canonical_json(extractors),
        "layers": canonical_json(list(record.layers)),
    }
    shown = [(column.label, column.headline, record.variant_of(column)) for column in record.columns]
    row["digest"] = plan_digest(shown, row)
    stored = keys_by_digest(connection, t.plan, [row["digest"]])
    if stored:
        return stored[row["digest"]]
    plan_id = insert_by_digest(connection, t.plan, [row])[row["digest"]]
    variants: list[dict[str, Any]] = [
        {
            "digest": variant,
            "column_id": keys.columns[column.identity, column.column],
            "extractors": canonical_json(record.primary_of(column)),
        }
        for column, (_, _, variant) in zip(record.columns, shown, strict=True)
    ]
    variant_ids = record_by_digest(connection, t.variant, variants)
    rows = [
        {
            "plan_id": plan_id,
            "position": position,
            "variant_id": variant_ids[variant["digest"]],
            "label": column.label,
            "scope": column.scope,
            "headline": column.headline,
        }
        for position, (column, variant) in enumerate(zip(record.columns, variants, strict=True))
    ]
    insert_missing(connection, t.plan_variant, rows)
    return plan_id


def plan_digest(shown: Sequence[tuple[str, int | None, str]], row: Mapping[str, Any]) -> str:
    """Return the content address of a plan.

    Args:
        shown: Label, headline and variant of its columns, in order.
        row: Its other columns as they are stored.
    """
    told = ("profile", "experiment", "narrowed", "extractors", "layers")
    return digest_of("plan", {"shown": list(map(list, shown))} | {name: row[name] for name in told})


def variant_digest(extractors: Mapping[str, str], identity: str, column: str, kind: str) -> str:
    """Return the content address of a variant: a column of an identity, over the matrices of extractors by role.

    Args:
        extractors: Identities of the extractors by role; empty for a column of whole layers.
        identity: Digest of the metric's identity.
        column: Permanent key of the column.
        kind: Type of the column.
    """
    content = {"extractors": dict(extractors), "identity": identity, "column": column, "type": kind}
    return digest_of("variant", content)


def record_analysis(connection: Connection, plan_id: int, coverage: Sequence[CoverageRecord], keys: Keys) -> int:
    """Store what a plan covers of the structure of ``keys``, and return the key of the pair."""
    pair = {"structure_id": keys.structure, "plan_id": plan_id}
    insert_missing(connection, t.analysis, [pair])
    analysis_id = int(connection.execute(_ANALYSIS, pair).scalar_one())
    rows = [
        {
            "analysis_id": analysis_id,
            "position": position,
            "layer_id": keys.layers[record.layer.name],
            "extractor_id": keys.identities.get(record.extractor_identity),
            "extractor": record.extractor,
            "is_primary": record.is_primary,
            "state": record.state,
            "reason": record.reason,
            "matrices": record.matrices,
            "rows": record.rows,
            "cols": record.cols,
        }
        for position, record in enumerate(coverage)
    ]
    # Replaced, because what an extractor said by an exception it may say otherwise next time.
    keyed = {column.name for column in t.coverage.primary_key}
    changing = [column.name for column in t.coverage.columns if column.name not in keyed]
    upsert(connection, t.coverage, rows, update_columns=changing)
    return analysis_id


_ANALYSIS = select(t.analysis.c.id).where(
    t.analysis.c.structure_id == bindparam("structure_id"), t.analysis.c.plan_id == bindparam("plan_id")
)


def start_run(
    connection: Connection,
    analysis_id: int,
    label_id: int | None,
    *,
    name: str,
    profile: str,
    source: str,
    request: Mapping[str, Any],
    program: str,
) -> int:
    """Write the row of a run that begins, of weights without a label too, and return its key.

    Args:
        connection: An open transaction.
        analysis_id: What it does.
        label_id: The label that it answers for.
        name: What that is called now.
        profile: What its profile is called now.
        source: Name of the source.
        request: What was asked.
        program: What it runs in.
    """
    row = {
        "analysis_id": analysis_id,
        "label_id": label_id,
        "name": name,
        "profile": profile,
        "source": source,
        "request": canonical_json(dict(request)),
        "program": program,
        "state": "running",
        "started_at": now(),
        "computed": 0,
        "reused": 0,
        "failed": 0,
        "seconds": 0.0,
        "warnings": "[]",
    }
    return insert_one(connection, t.run, row)


def finish_run(connection: Connection, run_id: int, end: RunEnd) -> None:
    """Write how a run ended, with its failures and warnings; called again, it adds what came later.

    If it is done, its analysis is in force for its label, unless the label has left these weights meanwhile.
    """
    ended = {
        "state": end.state,
        "finished_at": now(),
        "computed": end.computed,
        "reused": end.reused,
        "failed": len(end.failures),
        "seconds": end.seconds,
        "warnings": canonical_json([clean(warning) for warning in end.warnings]),
    }
    connection.execute(_END_OF_RUN, {"run": run_id, **ended})
    rows = [
        {
            "run_id": run_id,
            "position": position,
            "stage": failure.stage,
            "plugin": failure.plugin,
            "subject": failure.subject,
            "message": failure.message,
        }
        for position, failure in enumerate(end.failures)
    ]
    insert_missing(connection, t.run_failure, rows)
    force = connection.execute(_MAY_BE_IN_FORCE, {"run": run_id}).mappings().first() if end.state == "done" else None
    if force is not None:
        upsert(connection, t.in_force, [dict(force)], update_columns=("analysis_id",))


_END_OF_RUN = update(t.run).where(t.run.c.id == bindparam("run"))
_MAY_BE_IN_FORCE = (
    select(t.run.c.label_id, t.plan.c.profile, t.run.c.analysis_id)
    .join(t.analysis, t.analysis.c.id == t.run.c.analysis_id)
    .join(t.plan, t.plan.c.id == t.analysis.c.plan_id)
    .where(
        t.run.c.id == bindparam("run"),
        t.run.c.label_id.is_not(None),
        ~t.plan.c.narrowed,
        ~t.plan.c.experiment,
    )
)


def record_results(connection: Connection, results: Sequence[Result], keys: Keys, *, keep_spectra: bool) -> None:
    """Store what was computed. Subjects, spectra and values that are there already stay as they are."""
    _record_subjects(connection, [result.subject for result in results], keys)
    # Two tasks may have made the same one, and a server takes a row once in a statement, in one order for all writers.
    made = [_spectrum_row(r, r.spectrum, keys, keep=keep_spectra) for r in results if r.spectrum is not None]
    by_key = {(row["subject_id"], row["identity_id"]): row for row in made}
    spectra = [by_key[key] for key in sorted(by_key)]
    if keep_spectra:
        # What was left out once is filled in.
        upsert(connection, t.spectrum, spectra, update_columns=("encoding", "singular_values"))
    else:
        insert_missing(connection, t.spectrum, spectra)
    values = [row for result in results for row in _value_rows(result, keys)]
    values.sort(key=itemgetter("subject_id", "column_id"))
    insert_missing(connection, t.value, values)


def _record_subjects(connection: Connection, subjects: Sequence[Subject], keys: Keys) -> None:
    """Store subjects with what they consist of, contexts before what points at them, and put their keys in ``keys``."""
    by_digest = {subject.digest: subject for subject in subjects}
    stored = keys_by_digest(connection, t.subject, list(by_digest))  # now: what an undone transaction made is gone
    keys.subjects |= stored
    new = [subject for digest, subject in by_digest.items() if digest not in stored]
    rows = [{"digest": subject.digest, "kind": subject.kind} for subject in new]
    keys.subjects |= insert_by_digest(connection, t.subject, rows)
    layers = [_layer_row(subject, keys) for subject in new if isinstance(subject, LayerSubject)]
    insert_missing(connection, t.layer_subject, layers)
    matrices = [_matrix_row(subject, keys) for subject in new if isinstance(subject, MatrixSubject)]
    insert_missing(connection, t.matrix_subject, matrices)
    models = [_model_row(subject, keys) for subject in new if isinstance(subject, ModelSubject)]
    insert_missing(connection, t.model_subject, models)


def _layer_row(subject: LayerSubject, keys: Keys) -> dict[str, Any]:
    return {
        "subject_id": keys.subjects[subject.digest],
        "kind": subject.layer_kind,
        "groups": subject.groups,
        "rounding": subject.rounding,
        "weight_id": keys.tensors[subject.weight],
        "bias_id": keys.tensors[subject.bias] if subject.bias else None,
    }


def _matrix_row(subject: MatrixSubject, keys: Keys) -> dict[str, Any]:
    return {
        "subject_id": keys.subjects[subject.digest],
        "tensor_id": keys.tensors[subject.tensor],
        "groups": subject.groups,
        "split": subject.split,
        "rounding": subject.rounding,
        "extractor_id": keys.identities[subject.extractor],
        "matrix_index": subject.index,
        "context_id": keys.subjects[subject.context] if subject.context else None,
        "rows": subject.rows,
        "cols": subject.cols,
        "entries": subject.entries,
    }


def _model_row(subject: ModelSubject, keys: Keys) -> dict[str, Any]:
    return {"subject_id": keys.subjects[subject.digest], "checkpoint_id": keys.checkpoint}


def _spectrum_row(result: Result, spectrum: Spectrum, keys: Keys, *, keep: bool) -> dict[str, Any]:
    encoding, content = encode_spectrum(spectrum.singular_values) if keep else ("", None)
    return {
        "subject_id": keys.subjects[result.subject.digest],
        "identity_id": keys.identities[spectrum_identity(spectrum.resolution, spectrum.precision)],
        "length": spectrum.singular_values.size,
        "noise_floor": spectrum.noise_floor,
        "route": spectrum.route,
        "seconds": spectrum.seconds,
        "encoding": encoding,
        "singular_values": content,
    }


def _value_rows(result: Result, keys: Keys) -> Iterator[dict[str, Any]]:
    subject_id = keys.subjects[result.subject.digest]
    for column, outcome in result.outcomes.items():
        if outcome.state is State.FAILED:
            continue
        yield {
            "subject_id": subject_id,
            "column_id": keys.columns[column],
            "state": str(outcome.state),
            "number": outcome.number,
            "text": outcome.text,
            "reason": outcome.reason,
        }


def record_model_subject(connection: Connection, analysis_id: int, subject: ModelSubject, keys: Keys) -> None:
    """Let an analysis point at the subject of its model metrics, which is stored."""
    connection.execute(_MODEL_SUBJECT, {"analysis": analysis_id, "model_subject_id": keys.subjects[subject.digest]})


_MODEL_SUBJECT = update(t.analysis).where(t.analysis.c.id == bindparam("analysis"))


def record_summaries(
    connection: Connection,
    analysis_id: int,
    plan_id: int,
    summaries: Mapping[str, Aggregate],
    partial: Collection[str],
) -> None:
    """Store aggregates by column label, in place of what stood there. Arguments are those of `summary_rows`."""
    rows = summary_rows(connection, analysis_id, plan_id, summaries, partial)
    upsert(connection, t.summary, rows, update_columns=("value", "present", "missing", "partial"))


def summary_rows(
    connection: Connection,
    analysis_id: int,
    plan_id: int,
    summaries: Mapping[str, Aggregate],
    partial: Collection[str],
) -> list[dict[str, Any]]:
    """Return aggregates by column label as they are stored, in the order of their keys.

    Args:
        connection: An open transaction.
        analysis_id: The analysis.
        plan_id: Its plan, whose variants the labels belong to.
        summaries: Aggregates by label.
        partial: Labels of which something is missing that a complete run would hold.
    """
    planned = connection.execute(_PLAN_VARIANTS, {"plan": plan_id}).all()
    variants = {row.label: row.variant_id for row in planned}
    globs = json.loads(planned[0].layers) if planned else []
    rows = [
        {
            "analysis_id": analysis_id,
            "variant_id": variants[label],
            "selection": digest_of("selection", {"layers": globs}) if globs else "all",
            "aggregate": name,
            "value": number,
            "present": aggregate.count,
            "missing": aggregate.missing,
            "partial": label in partial,
        }
        for label, aggregate in summaries.items()
        for name, number in aggregate.numbers().items()
    ]
    return sorted(rows, key=lambda row: (row["variant_id"], row["aggregate"]))


_PLAN_VARIANTS = (
    select(t.plan_variant.c.variant_id, t.plan_variant.c.label, t.plan.c.layers)
    .join(t.plan, t.plan.c.id == t.plan_variant.c.plan_id)
    .where(t.plan_variant.c.plan_id == bindparam("plan"))
)
