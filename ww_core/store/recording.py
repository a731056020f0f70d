"""Writing to the store: content first, then what points at it. Every function works inside the caller's transaction.

All of it may run twice, and in several processes at once: rows are inserted where they are missing, else found.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Table, select, update
from sqlalchemy.dialects import postgresql, sqlite

from ww_core.domain.identity import canonical_json, digest_of, spectrum_identity
from ww_core.domain.outcome import Outcome, State
from ww_core.domain.subject import LayerSubject, MatrixSubject, ModelSubject, Subject
from ww_core.errors import UsageError
from ww_core.store import tables as t
from ww_core.store.encoding import encode_spectrum

if TYPE_CHECKING:
    from ww_core.domain.layer import Layer, SkippedTensor, TensorSpec
    from ww_core.domain.report import Aggregate, Failure
    from ww_core.domain.spectrum import Spectrum

CHUNK = 500
"""Digests in one ``IN (...)``: well under every server's limit on bound variables."""


@dataclass(frozen=True, slots=True)
class CheckpointRecord:
    """A checkpoint as its source presents it.

    Attributes:
        digest: Its content address.
        provisional: Whether some tensor could not be read.
        format: Format it was read from.
        parameters: Numbers in all its tensors.
        tensors: Tensors that were read, by digest.
        layers: All layers in order, with the digests of weight and bias (empty for no bias, or for what could not be
            read).
        skipped: Tensors that belong to no layer, with their reasons.
    """

    digest: str
    provisional: bool
    format: str
    parameters: int
    tensors: Mapping[str, TensorSpec]
    layers: Sequence[tuple[Layer, str, str]]
    skipped: Sequence[SkippedTensor]


@dataclass(frozen=True, slots=True)
class IdentityRecord:
    """An identity with its stored columns: (name, type, better, unit) each."""

    digest: str
    kind: str
    name: str
    version: str
    parameters: Mapping[str, Any]
    needs: Mapping[str, Any]
    source_digest: str
    columns: tuple[tuple[str, str, str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ColumnRecord:
    """A column that is asked for: its label, what it is, and its place among the columns of tables for people."""

    label: str
    scope: str
    identity: str
    column: str
    headline: int | None


@dataclass(frozen=True, slots=True)
class PlanRecord:
    """What was asked, fully resolved.

    Attributes:
        profile: Name of the profile.
        narrowed: Whether only some metrics or layers were asked for.
        content: Everything that tells this plan from others, as plain data.
        extractors: Identities of the primary extractors by role: part of what a variant is.
        every_extractor: Identities of all extractors by role.
        columns: The columns asked for, in order.
    """

    profile: str
    narrowed: bool
    content: Mapping[str, Any]
    extractors: Mapping[str, str]
    every_extractor: Mapping[str, Sequence[str]]
    columns: Sequence[ColumnRecord]


@dataclass(frozen=True, slots=True)
class CoverageRecord:
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


@dataclass(slots=True)
class Keys:
    """Integer keys of what is stored, by content."""

    tensors: dict[str, int] = field(default_factory=dict)
    layers: dict[str, int] = field(default_factory=dict)
    identities: dict[str, int] = field(default_factory=dict)
    columns: dict[tuple[str, str], int] = field(default_factory=dict)
    subjects: dict[str, int] = field(default_factory=dict)
    checkpoint: int = 0
    structure: int = 0


def now() -> str:
    """Return the time as it is stored: UTC, ISO 8601, with ``Z``."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def known_digests(connection: Connection, host: str, path: str, tensors: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return (stamp, digest) of tensors of a file by name, as they were when the file was last read on this host."""
    names = {_file_key(host, path, name): name for name in tensors}
    known = {}
    for chunk in _chunks(list(names)):
        for row in connection.execute(select(t.file_digest).where(t.file_digest.c.key.in_(chunk))):
            known[names[row.key]] = (row.stamp, row.digest)
    return known


def record_digests(connection: Connection, host: str, path: str, digests: Mapping[str, tuple[str, str]]) -> None:
    """Remember (stamp, digest) of the tensors of a file, by tensor name."""
    rows = [
        {"key": _file_key(host, path, name), "path": path, "stamp": stamp, "digest": digest}
        for name, (stamp, digest) in digests.items()
    ]
    _upsert(connection, t.file_digest, rows, update_columns=("stamp", "digest"))


def _file_key(host: str, path: str, tensor: str) -> str:
    return digest_of("file", {"host": host, "path": clean(path), "tensor": clean(tensor)})


def record_checkpoint(connection: Connection, record: CheckpointRecord) -> Keys:
    """Store a checkpoint with its tensors and layers, and return their keys."""
    keys = Keys()
    keys.tensors = _record_by_digest(
        connection,
        t.tensor,
        [
            {"digest": digest, "dtype": spec.dtype, "shape": canonical_json(list(spec.shape)), "size": spec.size}
            for digest, spec in record.tensors.items()
        ],
    )
    row = {"digest": record.digest, "provisional": record.provisional, "created_at": now()}
    keys.checkpoint = _record_by_digest(connection, t.checkpoint, [row])[record.digest]
    layers = [_layer_fields(*layer) for layer in record.layers]
    skipped = [
        {
            "name": tensor.name,
            "dtype": tensor.dtype,
            "shape": canonical_json(list(tensor.shape)),
            "reason": tensor.reason,
        }
        for tensor in record.skipped
    ]
    content = {"checkpoint": record.digest, "format": record.format, "layers": layers, "skipped": skipped}
    structure = digest_of("structure", json.loads(clean(canonical_json(content))))
    row = {
        "digest": structure,
        "checkpoint_id": keys.checkpoint,
        "format": record.format,
        "parameters": record.parameters,
    }
    keys.structure = _record_by_digest(connection, t.structure, [row])[structure]
    rows = []
    for position, fields in enumerate(layers):
        weight, bias = fields.pop("weight"), fields.pop("bias")
        ids = {"weight_id": keys.tensors.get(weight), "bias_id": keys.tensors.get(bias)}
        rows.append({"structure_id": keys.structure, "position": position, **fields, **ids})
    _insert_missing(connection, t.layer, rows)
    _insert_missing(
        connection,
        t.skipped_tensor,
        [{"structure_id": keys.structure, "position": position, **fields} for position, fields in enumerate(skipped)],
    )
    query = select(t.layer.c.position, t.layer.c.id).where(t.layer.c.structure_id == keys.structure)
    names = [layer.name for layer, _, _ in record.layers]
    keys.layers = {names[row.position]: row.id for row in connection.execute(query)}
    return keys


def _layer_fields(layer: Layer, weight: str, bias: str) -> dict[str, Any]:
    return {
        "name": layer.name,
        "kind": str(layer.kind),
        "groups": layer.groups,
        "split": layer.split,
        "shape": canonical_json(list(layer.shape)),
        "size": layer.size,
        "weight_name": layer.weight.name,
        "weight": weight,
        "bias": bias,
    }


def record_label(
    connection: Connection, model: str, version: str, checkpoint_id: int, source: str, *, move: bool
) -> tuple[str, int]:
    """Label a checkpoint as a version of a model; both are made if they are new.

    A label that stands on a checkpoint of which not all could be read goes without being asked to.

    Args:
        connection: An open transaction.
        model: Name of the model.
        version: The label; empty keeps the newest label this checkpoint has under the model, or takes the next integer.
        checkpoint_id: The checkpoint.
        source: Name of the source it was read from.
        move: Let the label leave another checkpoint.

    Returns:
        The label and its key.

    Raises:
        UsageError: The label stands on another checkpoint, and ``move`` is not set.
    """
    _insert_missing(connection, t.model, [{"name": model, "created_at": now()}])
    # The row lock keeps two processes on a server from taking the same next version.
    model_id = connection.scalar(select(t.model.c.id).where(t.model.c.name == model).with_for_update())
    query = (
        select(t.label, t.checkpoint.c.provisional)
        .join(t.checkpoint, t.checkpoint.c.id == t.label.c.checkpoint_id)
        .where(t.label.c.model_id == model_id)
        .order_by(t.label.c.position)
    )
    labels = list(connection.execute(query))
    if not version:
        kept = [row for row in labels if row.checkpoint_id == checkpoint_id]
        if kept:
            return str(kept[-1].name), int(kept[-1].id)
        integers = [int(row.name) for row in labels if row.name.isascii() and row.name.isdigit()]
        version = str(max(integers, default=0) + 1)
    standing = next((row for row in labels if row.name == version), None)
    if standing is None:
        row = {
            "model_id": model_id,
            "name": version,
            "position": labels[-1].position + 1 if labels else 1,
            "checkpoint_id": checkpoint_id,
            "source": clean(source),
            "created_at": now(),
        }
        return version, int(connection.execute(t.label.insert().values(row).returning(t.label.c.id)).scalar_one())
    if standing.checkpoint_id != checkpoint_id:
        if not (move or standing.provisional):
            raise UsageError(
                f"{model}@{version} stands on other weights (from {standing.source}): "
                "take another --version, or --move-label to let it go"
            )
        moved = {"checkpoint_id": checkpoint_id, "source": clean(source), "created_at": now()}
        connection.execute(update(t.label).where(t.label.c.id == standing.id).values(moved))
    return version, int(standing.id)


def record_series(connection: Connection, series: str, model: str) -> None:
    """Make a model, which is stored, a member of a series."""
    _insert_missing(connection, t.series, [{"name": series}])
    series_id = connection.scalar(select(t.series.c.id).where(t.series.c.name == series))
    model_id = connection.scalar(select(t.model.c.id).where(t.model.c.name == model))
    _insert_missing(connection, t.series_member, [{"series_id": series_id, "model_id": model_id}])


def record_identities(connection: Connection, records: Sequence[IdentityRecord], keys: Keys) -> list[str]:
    """Store identities and their columns, and put their keys into ``keys``.

    Returns:
        Names of identities that stand with other source code: the code was changed, its version was not.
    """
    rows = [
        {
            "digest": record.digest,
            "kind": record.kind,
            "name": record.name,
            "version": record.version,
            "parameters": canonical_json(dict(record.parameters)),
            "needs": canonical_json(dict(record.needs)),
            "source_digest": record.source_digest,
            "created_at": now(),
        }
        for record in records
    ]
    keys.identities |= _record_by_digest(connection, t.identity, rows)
    _insert_missing(
        connection,
        t.metric_column,
        [
            {"identity_id": keys.identities[record.digest], "name": name, "type": kind, "better": better, "unit": unit}
            for record in records
            for name, kind, better, unit in record.columns
        ],
    )
    digest_of_key = {keys.identities[record.digest]: record.digest for record in records}
    changed = []
    for chunk in _chunks(list(digest_of_key)):
        query = select(t.metric_column.c.identity_id, t.metric_column.c.name, t.metric_column.c.id)
        for identity_id, name, key in connection.execute(query.where(t.metric_column.c.identity_id.in_(chunk))):
            keys.columns[digest_of_key[identity_id], name] = key
        stored = select(t.identity.c.digest, t.identity.c.source_digest).where(t.identity.c.id.in_(chunk))
        sources = {row.digest: row.source_digest for row in connection.execute(stored)}
        changed += [
            record.name
            for record in records
            if sources.get(record.digest, record.source_digest) != record.source_digest
        ]
    return changed


def record_plan(connection: Connection, record: PlanRecord, keys: Keys) -> int:
    """Store a plan and its variants, and return its key."""
    variants: list[dict[str, Any]] = []
    for column in record.columns:
        extractors = {} if column.scope == "layer" else dict(record.extractors)
        content = {
            "profile": record.profile,
            "extractors": extractors,
            "identity": column.identity,
            "column": column.column,
        }
        variant = {
            "digest": digest_of("variant", content),
            "profile": record.profile,
            "column_id": keys.columns[column.identity, column.column],
            "extractors": canonical_json(extractors),
        }
        variants.append(variant)
    variant_ids = _record_by_digest(connection, t.variant, variants)
    same = {
        "extractors": {role: list(identities) for role, identities in record.every_extractor.items()},
        "columns": [[column.label, column.identity] for column in record.columns],
    }
    comparable = digest_of("comparable", {"profile": record.profile, **same})
    shown = [[column.label, column.headline] for column in record.columns]
    asked: dict[str, Any] = {"comparable": comparable, "shown": shown, "content": dict(record.content)}
    row: dict[str, Any] = {
        "digest": digest_of("plan", asked),
        "profile": record.profile,
        "narrowed": record.narrowed,
        "comparable": comparable,
        "content": canonical_json(dict(record.content)),
    }
    plan_id = _record_by_digest(connection, t.plan, [row])[row["digest"]]
    _insert_missing(
        connection,
        t.plan_variant,
        [
            {
                "plan_id": plan_id,
                "position": position,
                "variant_id": variant_ids[variant["digest"]],
                "label": column.label,
                "scope": column.scope,
                "headline": column.headline,
            }
            for position, (column, variant) in enumerate(zip(record.columns, variants, strict=True))
        ],
    )
    return plan_id


def record_analysis(connection: Connection, plan_id: int, coverage: Sequence[CoverageRecord], keys: Keys) -> int:
    """Store what a plan covers of the structure of ``keys``, and return the key of the pair."""
    _insert_missing(connection, t.analysis, [{"structure_id": keys.structure, "plan_id": plan_id}])
    query = select(t.analysis.c.id).where(t.analysis.c.structure_id == keys.structure, t.analysis.c.plan_id == plan_id)
    analysis_id = int(connection.execute(query).scalar_one())
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
    _upsert(connection, t.coverage, rows, update_columns=changing)
    return analysis_id


def start_run(
    connection: Connection, analysis_id: int, label_id: int, source: str, request: Mapping[str, Any], program: str
) -> int:
    """Write the row of a run that begins, and return its key."""
    row = {
        "analysis_id": analysis_id,
        "label_id": label_id,
        "source": clean(source),
        "request": clean(canonical_json(dict(request))),
        "program": program,
        "state": "running",
        "started_at": now(),
        "computed": 0,
        "reused": 0,
        "failed": 0,
        "seconds": 0.0,
        "warnings": "[]",
    }
    return int(connection.execute(t.run.insert().values(row).returning(t.run.c.id)).scalar_one())


def finish_run(
    connection: Connection,
    run_id: int,
    *,
    state: str,
    computed: int,
    reused: int,
    seconds: float,
    failures: Sequence[Failure],
    warnings: Sequence[str],
) -> None:
    """Write how a run ended, with its failures and warnings; called again, it adds what came later."""
    ended = {
        "state": state,
        "finished_at": now(),
        "computed": computed,
        "reused": reused,
        "failed": len(failures),
        "seconds": seconds,
        "warnings": canonical_json([clean(warning) for warning in warnings]),
    }
    connection.execute(update(t.run).where(t.run.c.id == run_id).values(ended))
    rows = [
        {
            "run_id": run_id,
            "position": position,
            "stage": failure.stage,
            "plugin": failure.plugin,
            "subject": failure.subject,
            "message": failure.message,
        }
        for position, failure in enumerate(failures)
    ]
    _insert_missing(connection, t.run_failure, rows)


def record_results(connection: Connection, results: Sequence[Result], keys: Keys, *, keep_spectra: bool) -> None:
    """Store what was computed. Subjects, spectra and values that are there already stay as they are."""
    rows = [{"digest": result.subject.digest, "kind": result.subject.kind} for result in results]
    keys.subjects |= _record_by_digest(connection, t.subject, rows)
    subjects = [result.subject for result in results]
    layers = [subject for subject in subjects if isinstance(subject, LayerSubject)]
    _insert_missing(connection, t.layer_subject, [_layer_row(subject, keys) for subject in layers])
    matrices = [subject for subject in subjects if isinstance(subject, MatrixSubject)]
    _insert_missing(connection, t.matrix_subject, [_matrix_row(subject, keys) for subject in matrices])
    models = [subject for subject in subjects if isinstance(subject, ModelSubject)]
    _insert_missing(
        connection,
        t.model_subject,
        [{"subject_id": keys.subjects[subject.digest], "checkpoint_id": keys.checkpoint} for subject in models],
    )
    spectra = [_spectrum_row(r, r.spectrum, keys, keep=keep_spectra) for r in results if r.spectrum is not None]
    if keep_spectra:
        # What was left out once is filled in.
        _upsert(connection, t.spectrum, spectra, update_columns=("encoding", "singular_values"))
    else:
        _insert_missing(connection, t.spectrum, spectra)
    values = [row for result in results for row in _value_rows(result, keys)]
    values.sort(key=lambda row: (row["subject_id"], row["column_id"]))
    _insert_missing(connection, t.value, values)


def _layer_row(subject: LayerSubject, keys: Keys) -> dict[str, Any]:
    return {
        "subject_id": keys.subjects[subject.digest],
        "kind": subject.layer_kind,
        "groups": subject.groups,
        "weight_id": keys.tensors[subject.weight],
        "bias_id": keys.tensors[subject.bias] if subject.bias else None,
    }


def _matrix_row(subject: MatrixSubject, keys: Keys) -> dict[str, Any]:
    return {
        "subject_id": keys.subjects[subject.digest],
        "tensor_id": keys.tensors[subject.tensor],
        "groups": subject.groups,
        "split": subject.split,
        "extractor_id": keys.identities[subject.extractor],
        "matrix_index": subject.index,
        "context_id": keys.subjects[subject.context] if subject.context else None,
        "rows": subject.rows,
        "cols": subject.cols,
        "entries": subject.entries,
    }


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
    for column, outcome in result.outcomes.items():
        if outcome.state is State.FAILED:
            continue
        yield {
            "subject_id": keys.subjects[result.subject.digest],
            "column_id": keys.columns[column],
            "state": str(outcome.state),
            "number": outcome.number,
            "text": outcome.text,
            "reason": outcome.reason,
        }


def record_model_subject(connection: Connection, analysis_id: int, subject: ModelSubject, keys: Keys) -> None:
    """Let an analysis point at the subject of its model metrics, which is stored."""
    row = {"model_subject_id": keys.subjects[subject.digest]}
    connection.execute(update(t.analysis).where(t.analysis.c.id == analysis_id).values(row))


def record_summaries(
    connection: Connection,
    checkpoint_id: int,
    plan_id: int,
    chosen: Mapping[str, Any],
    summaries: Mapping[str, Aggregate],
    partial: Collection[str],
) -> None:
    """Store aggregates by column label, in place of what stood there.

    Args:
        connection: An open transaction.
        checkpoint_id: The checkpoint.
        plan_id: The plan whose variants the labels belong to.
        chosen: What chose layers and groups; empty if nothing did.
        summaries: Aggregates by label.
        partial: Labels of which something is missing that a complete run would hold.
    """
    query = select(t.plan_variant.c.label, t.plan_variant.c.variant_id).where(t.plan_variant.c.plan_id == plan_id)
    variants = {row.label: row.variant_id for row in connection.execute(query)}
    rows = [
        {
            "checkpoint_id": checkpoint_id,
            "variant_id": variants[label],
            "selection": digest_of("chosen", chosen) if chosen else "all",
            "aggregate": name,
            "value": number,
            "present": aggregate.count,
            "missing": aggregate.missing,
            "partial": label in partial,
        }
        for label, aggregate in summaries.items()
        for name, number in aggregate.numbers().items()
    ]
    rows.sort(key=lambda row: (row["variant_id"], row["aggregate"]))
    _upsert(connection, t.summary, rows, update_columns=("value", "present", "missing", "partial"))


def _record_by_digest(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Insert the rows whose digest is new, and return the keys of all of them by digest."""
    digests = list(dict.fromkeys(row["digest"] for row in rows))
    keys = _keys_by_digest(connection, table, digests)
    missing = {row["digest"]: row for row in rows if row["digest"] not in keys}
    if missing:
        # In one order everywhere, so that two processes on a server wait for each other and never in a circle.
        _insert_missing(connection, table, [missing[digest] for digest in sorted(missing)])
        keys |= _keys_by_digest(connection, table, list(missing))
    return keys


def _keys_by_digest(connection: Connection, table: Table, digests: Sequence[str]) -> dict[str, int]:
    keys: dict[str, int] = {}
    for chunk in _chunks(digests):
        query = select(table.c.digest, table.c.id).where(table.c.digest.in_(chunk))
        keys |= {row.digest: row.id for row in connection.execute(query)}
    return keys


def _insert_missing(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        connection.execute(_insert(connection, table).on_conflict_do_nothing(), [_clean_row(row) for row in rows])


def _upsert(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], *, update_columns: Sequence[str]
) -> None:
    if rows:
        insert = _insert(connection, table)
        replaced = {name: insert.excluded[name] for name in update_columns}
        statement = insert.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=replaced)
        connection.execute(statement, [_clean_row(row) for row in rows])


def _insert(connection: Connection, table: Table) -> Any:
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


def clean(text: str) -> str:
    """Return text that every database takes: lone surrogates and NUL are written out."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def _clean_row(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: clean(value) if type(value) is str else value for key, value in row.items()}


def _chunks(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]
