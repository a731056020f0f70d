"""Writing to the store: content first, then what points at it. Every function works inside the caller's transaction.

All of it may run twice, and in several processes at once: rows are inserted where they are missing, else found. What
is inserted together with a row, in one transaction, is there where that row is.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, Select, Table, bindparam, select, update

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
"""Rows in one statement: with a dozen columns, well under every server's limit on bound variables."""


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
    return timestamp(datetime.now(UTC))


def timestamp(moment: datetime) -> str:
    """Return a moment, in UTC, as it is stored: texts of moments are in the order of the moments."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


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
            {"digest": digest, "dtype": spec.dtype, "shape": _shape_text(spec.shape), "size": spec.size}
            for digest, spec in record.tensors.items()
        ],
    )
    row: dict[str, Any] = {"digest": record.digest, "provisional": record.provisional, "created_at": now()}
    keys.checkpoint = _record_by_digest(connection, t.checkpoint, [row])[record.digest]
    layers = [_layer_fields(*layer) for layer in record.layers]
    skipped = [
        {
            "name": clean(tensor.name),
            "dtype": clean(tensor.dtype),
            "shape": _shape_text(tensor.shape),
            "reason": clean(tensor.reason),
        }
        for tensor in record.skipped
    ]
    row = {
        "digest": structure_digest(record.digest, record.format, layers, skipped),
        "checkpoint_id": keys.checkpoint,
        "format": record.format,
        "parameters": record.parameters,
    }
    stored = keys_by_digest(connection, t.structure, [row["digest"]])
    keys.structure = (stored or _insert_by_digest(connection, t.structure, [row]))[row["digest"]]
    if not stored:
        rows = []
        for position, fields in enumerate(layers):
            weight, bias = fields.pop("weight"), fields.pop("bias")
            ids = {"weight_id": keys.tensors.get(weight), "bias_id": keys.tensors.get(bias)}
            rows.append({"structure_id": keys.structure, "position": position, **fields, **ids})
        _insert_missing(connection, t.layer, rows)
        rows = [{"structure_id": keys.structure, "position": place, **fields} for place, fields in enumerate(skipped)]
        _insert_missing(connection, t.skipped_tensor, rows)
    names = [layer.name for layer, _, _ in record.layers]
    found = connection.execute(_LAYERS, {"structure": keys.structure}).all()
    keys.layers = {names[position]: key for position, key in found}
    return keys


_LAYERS = select(t.layer.c.position, t.layer.c.id).where(t.layer.c.structure_id == bindparam("structure"))


def structure_digest(
    checkpoint: str, source_format: str, layers: Sequence[Mapping[str, Any]], skipped: Sequence[Mapping[str, Any]]
) -> str:
    """Return the content address of a structure: of what is stored of its layers and skipped tensors, in order.

    Args:
        checkpoint: Digest of the checkpoint.
        source_format: Format it was read from.
        layers: Columns of the layers, short of keys and positions; ``weight`` and ``bias`` are digests, or empty.
        skipped: Columns of the skipped tensors, short of keys and positions.
    """
    content = {"checkpoint": checkpoint, "format": source_format, "layers": list(layers), "skipped": list(skipped)}
    return digest_of("structure", content)


def _layer_fields(layer: Layer, weight: str, bias: str) -> dict[str, Any]:
    return {
        "name": clean(layer.name),
        "kind": str(layer.kind),
        "groups": layer.groups,
        "split": layer.split,
        "shape": _shape_text(layer.shape),
        "size": layer.size,
        "weight_name": clean(layer.weight.name),
        "weight": weight,
        "bias": bias,
    }


@functools.lru_cache(maxsize=1024)
def _shape_text(shape: tuple[int, ...]) -> str:
    return canonical_json(list(shape))


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
    model_id = connection.scalar(_MODEL.with_for_update(), {"name": model})
    labels = list(connection.execute(_LABELS, {"model": model_id}))
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
            "source": source,
            "created_at": now(),
        }
        return version, _insert_one(connection, t.label, row)
    if standing.checkpoint_id != checkpoint_id:
        if not (move or standing.provisional):
            raise UsageError(
                f"{model}@{version} stands on other weights (from {standing.source}): "
                "take another --version, or --move-label to let it go"
            )
        moved = {"checkpoint_id": checkpoint_id, "source": clean(source), "created_at": now()}
        connection.execute(update(t.label).where(t.label.c.id == standing.id).values(moved))
    return version, int(standing.id)


_MODEL = select(t.model.c.id).where(t.model.c.name == bindparam("name"))
_LABELS = (
    select(t.label, t.checkpoint.c.provisional)
    .join(t.checkpoint, t.checkpoint.c.id == t.label.c.checkpoint_id)
    .where(t.label.c.model_id == bindparam("model"))
    .order_by(t.label.c.position)
)


def record_series(connection: Connection, series: str, model: str) -> None:
    """Make a model, which is stored, a member of a series."""
    _insert_missing(connection, t.series, [{"name": series}])
    series_id = connection.scalar(select(t.series.c.id).where(t.series.c.name == series))
    model_id = connection.scalar(_MODEL, {"name": model})
    _insert_missing(connection, t.series_member, [{"series_id": series_id, "model_id": model_id}])


def record_identities(connection: Connection, records: Sequence[IdentityRecord], keys: Keys) -> list[str]:
    """Store identities and their columns, and put their keys into ``keys``.

    Returns:
        Names of identities that stand with other source code: the code was changed, its version was not.
    """
    stored = find_identities(connection, [record.digest for record in records], keys)
    missing = [record for record in records if record.digest not in stored]
    if missing:
        rows: list[dict[str, Any]] = [
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
            for record in missing
        ]
        ids = _insert_by_digest(connection, t.identity, rows)
        rows = [
            {"identity_id": ids[record.digest], "name": name, "type": kind, "better": better, "unit": unit}
            for record in missing
            for name, kind, better, unit in record.columns
        ]
        _insert_missing(connection, t.metric_column, rows)
        stored |= find_identities(connection, [record.digest for record in missing], keys)
    return [record.name for record in records if stored[record.digest] != record.source_digest]


def find_identities(connection: Connection, digests: Sequence[str], keys: Keys) -> dict[str, str]:
    """Put the keys of those identities that are stored, and of their columns, into ``keys``.

    Returns:
        Digests of their source code, by identity.
    """
    sources = {}
    for chunk in chunks(digests):
        for digest, key, source, name, column in connection.execute(_IDENTITIES, {"digests": chunk}).all():
            sources[digest] = source
            keys.identities[digest] = key
            if column is not None:
                keys.columns[digest, name] = column
    return sources


_identity, _column = t.identity.c, t.metric_column.c
_IDENTITIES = (
    select(_identity.digest, _identity.id, _identity.source_digest, _column.name, _column.id)
    .outerjoin(t.metric_column, _column.identity_id == _identity.id)
    .where(_identity.digest.in_(bindparam("digests", expanding=True)))
)


def record_plan(connection: Connection, record: PlanRecord, keys: Keys) -> int:
    """Store a plan and its variants, and return its key."""
    same = {
        "extractors": {role: list(identities) for role, identities in record.every_extractor.items()},
        "columns": [[column.label, column.identity] for column in record.columns],
    }
    comparable = digest_of("comparable", {"profile": record.profile, **same})
    shown = [(column.label, column.headline) for column in record.columns]
    row: dict[str, Any] = {
        "digest": plan_digest(comparable, shown, record.content),
        "profile": record.profile,
        "narrowed": record.narrowed,
        "comparable": comparable,
        "content": canonical_json(dict(record.content)),
    }
    stored = keys_by_digest(connection, t.plan, [row["digest"]])
    if stored:
        return stored[row["digest"]]
    plan_id = _insert_by_digest(connection, t.plan, [row])[row["digest"]]
    variants = [_variant_row(record, column, keys) for column in record.columns]
    variant_ids = _record_by_digest(connection, t.variant, variants)
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
    _insert_missing(connection, t.plan_variant, rows)
    return plan_id


def plan_digest(comparable: str, shown: Sequence[tuple[str, int | None]], content: Mapping[str, Any]) -> str:
    """Return the content address of a plan.

    Args:
        comparable: What it has in common with plans for the same columns of the same extractors.
        shown: Label and headline of its columns, in order.
        content: What else tells it from others.
    """
    return digest_of("plan", {"comparable": comparable, "shown": list(shown), "content": dict(content)})


def variant_digest(profile: str, extractors: Mapping[str, str], identity: str, column: str) -> str:
    """Return the content address of a variant: a column of an identity, under a profile and extractors by role."""
    content = {"profile": profile, "extractors": dict(extractors), "identity": identity, "column": column}
    return digest_of("variant", content)


def variant_digests(record: PlanRecord) -> set[str]:
    """Return the content addresses of the variants that a plan shows, whether it is stored or not."""
    return {
        variant_digest(record.profile, _extractors_of(record, column), column.identity, column.column)
        for column in record.columns
    }


def _variant_row(record: PlanRecord, column: ColumnRecord, keys: Keys) -> dict[str, Any]:
    extractors = _extractors_of(record, column)
    return {
        "digest": variant_digest(record.profile, extractors, column.identity, column.column),
        "profile": record.profile,
        "column_id": keys.columns[column.identity, column.column],
        "extractors": canonical_json(extractors),
    }


def _extractors_of(record: PlanRecord, column: ColumnRecord) -> dict[str, str]:
    return {} if column.scope == "layer" else dict(record.extractors)


def record_analysis(connection: Connection, plan_id: int, coverage: Sequence[CoverageRecord], keys: Keys) -> int:
    """Store what a plan covers of the structure of ``keys``, and return the key of the pair."""
    pair = {"structure_id": keys.structure, "plan_id": plan_id}
    _insert_missing(connection, t.analysis, [pair])
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
    _upsert(connection, t.coverage, rows, update_columns=changing)
    return analysis_id


_ANALYSIS = select(t.analysis.c.id).where(
    t.analysis.c.structure_id == bindparam("structure_id"), t.analysis.c.plan_id == bindparam("plan_id")
)


def start_run(
    connection: Connection,
    analysis_id: int,
    label_id: int | None,
    source: str,
    request: Mapping[str, Any],
    program: str,
) -> int:
    """Write the row of a run that begins, of weights without a label too, and return its key."""
    row = {
        "analysis_id": analysis_id,
        "label_id": label_id,
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
    return _insert_one(connection, t.run, row)


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
        for position, failure in enumerate(failures)
    ]
    _insert_missing(connection, t.run_failure, rows)


_END_OF_RUN = update(t.run).where(t.run.c.id == bindparam("run"))


def record_results(connection: Connection, results: Sequence[Result], keys: Keys, *, keep_spectra: bool) -> None:
    """Store what was computed. Subjects, spectra and values that are there already stay as they are."""
    _record_subjects(connection, [result.subject for result in results], keys)
    # Two tasks may have made the same one, and a server takes a row once in a statement, in one order for all writers.
    made = [_spectrum_row(r, r.spectrum, keys, keep=keep_spectra) for r in results if r.spectrum is not None]
    by_key = {(row["subject_id"], row["identity_id"]): row for row in made}
    spectra = [by_key[key] for key in sorted(by_key)]
    if keep_spectra:
        # What was left out once is filled in.
        _upsert(connection, t.spectrum, spectra, update_columns=("encoding", "singular_values"))
    else:
        _insert_missing(connection, t.spectrum, spectra)
    values = [row for result in results for row in _value_rows(result, keys)]
    values.sort(key=itemgetter("subject_id", "column_id"))
    _insert_missing(connection, t.value, values)


def _record_subjects(connection: Connection, subjects: Sequence[Subject], keys: Keys) -> None:
    """Store subjects with what they consist of, contexts before what points at them, and put their keys in ``keys``."""
    by_digest = {subject.digest: subject for subject in subjects}
    stored = keys_by_digest(connection, t.subject, list(by_digest))  # now: what an undone transaction made is gone
    keys.subjects |= stored
    new = [subject for digest, subject in by_digest.items() if digest not in stored]
    rows = [{"digest": subject.digest, "kind": subject.kind} for subject in new]
    keys.subjects |= _insert_by_digest(connection, t.subject, rows)
    layers = [_layer_row(subject, keys) for subject in new if isinstance(subject, LayerSubject)]
    _insert_missing(connection, t.layer_subject, layers)
    matrices = [_matrix_row(subject, keys) for subject in new if isinstance(subject, MatrixSubject)]
    _insert_missing(connection, t.matrix_subject, matrices)
    models = [_model_row(subject, keys) for subject in new if isinstance(subject, ModelSubject)]
    _insert_missing(connection, t.model_subject, models)


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
    checkpoint_id: int,
    plan_id: int,
    chosen: Mapping[str, Any],
    summaries: Mapping[str, Aggregate],
    partial: Collection[str],
) -> None:
    """Store aggregates by column label, in place of what stood there. Arguments are those of `summary_rows`."""
    rows = summary_rows(connection, checkpoint_id, plan_id, chosen, summaries, partial)
    _upsert(connection, t.summary, rows, update_columns=("value", "present", "missing", "partial"))


def summary_rows(
    connection: Connection,
    checkpoint_id: int,
    plan_id: int,
    chosen: Mapping[str, Any],
    summaries: Mapping[str, Aggregate],
    partial: Collection[str],
) -> list[dict[str, Any]]:
    """Return aggregates by column label as they are stored, in the order of their keys.

    Args:
        connection: An open transaction.
        checkpoint_id: The checkpoint.
        plan_id: The plan whose variants the labels belong to.
        chosen: What chose layers and groups; empty if nothing did.
        summaries: Aggregates by label.
        partial: Labels of which something is missing that a complete run would hold.
    """
    variants = {label: key for key, label in connection.execute(_PLAN_VARIANTS, {"plan": plan_id}).all()}
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
    return sorted(rows, key=lambda row: (row["variant_id"], row["aggregate"]))


_PLAN_VARIANTS = select(t.plan_variant.c.variant_id, t.plan_variant.c.label).where(
    t.plan_variant.c.plan_id == bindparam("plan")
)


def _record_by_digest(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Insert the rows whose digest is new, and return the keys of all of them by digest."""
    keys = keys_by_digest(connection, table, [row["digest"] for row in rows])
    return keys | _insert_by_digest(connection, table, [row for row in rows if row["digest"] not in keys])


def keys_by_digest(connection: Connection, table: Table, digests: Sequence[str]) -> dict[str, int]:
    """Return the keys of those rows of a table that are stored, by digest."""
    found = (connection.execute(_by_digest(table), {"digests": chunk}) for chunk in chunks(digests))
    return {digest: key for rows in found for digest, key in rows.all()}


@functools.cache
def _by_digest(table: Table) -> Select[Any]:
    return select(table.c.digest, table.c.id).where(table.c.digest.in_(bindparam("digests", expanding=True)))


def _insert_by_digest(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Insert rows whose digests were not there, and return their keys by digest."""
    # In one order everywhere, so that two processes on a server wait for each other and never in a circle.
    by_digest = {row["digest"]: row for row in sorted(rows, key=itemgetter("digest"))}
    inserted = _insert(connection, table, list(by_digest.values()), "ON CONFLICT DO NOTHING RETURNING digest, id")
    keys = {row.digest: row.id for row in inserted}
    # What another process has written in the meantime is not among what was inserted.
    return keys | keys_by_digest(connection, table, [digest for digest in by_digest if digest not in keys])


def _insert_one(connection: Connection, table: Table, row: Mapping[str, Any]) -> int:
    """Insert a row that is new, and return its key."""
    return int(_insert(connection, table, [row], "RETURNING id")[0].id)


def _insert_missing(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    _insert(connection, table, rows, "ON CONFLICT DO NOTHING")


def _upsert(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], *, update_columns: Sequence[str]
) -> None:
    keys = ", ".join(table.primary_key.columns.keys())
    replaced = ", ".join(f"{name} = excluded.{name}" for name in update_columns)
    _insert(connection, table, rows, f"ON CONFLICT ({keys}) DO UPDATE SET {replaced}")


def _insert(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], ending: str) -> list[Row[Any]]:
    """Insert rows of equal columns in equal order, and return what the ``ending`` of the statement says.

    Many rows go into one statement: a statement for each takes several times as long, and SQLAlchemy's own that take
    many must be compiled anew for each count of rows.
    """
    if not rows:
        return []
    mark = "%s" if connection.dialect.name == "postgresql" else "?"
    into = f"{connection.dialect.identifier_preparer.format_table(table)} ({', '.join(rows[0])})"
    marks = f"({', '.join([mark] * len(rows[0]))})"
    returned: list[Row[Any]] = []
    for chunk in chunks(rows):
        values = [clean(value) if type(value) is str else value for row in chunk for value in row.values()]
        # Names and endings are this module's own; values are bound.
        statement = f"INSERT INTO {into} VALUES {', '.join([marks] * len(chunk))} {ending}"  # noqa: S608
        answer = connection.exec_driver_sql(statement, tuple(values))
        returned += answer.all() if answer.returns_rows else ()
    return returned


def clean(text: str) -> str:
    """Return text that every database takes: lone surrogates and NUL are written out."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def chunks(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Yield parts of ``items`` that one statement can take."""
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]
