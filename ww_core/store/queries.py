"""Reading from the store: one function per question, inside the caller's transaction, answering with frozen data."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Row, select

from ww_core.domain.outcome import Outcome, State
from ww_core.domain.report import (
    Aggregate,
    AnalysisReport,
    Coverage,
    Failure,
    LayerRow,
    MatrixRow,
    RunInfo,
    Skip,
)
from ww_core.domain.spectrum import Spectrum
from ww_core.errors import NotStoredError, UsageError, near_names
from ww_core.store import tables as t
from ww_core.store.encoding import decode_spectrum
from ww_core.store.recording import CHUNK

MIN_PREFIX = 6
"""Shortest digest prefix that names a checkpoint."""

_NUMBERS: dict[str, type[int]] = {"int": int, "bool": bool}

LOST = Outcome(State.FAILED, reason="lost to an exception: see failures")


@dataclass(frozen=True, slots=True)
class CheckpointRef:
    """A checkpoint under the name it was asked for; model and version are empty if it has none."""

    id: int
    digest: str
    model: str
    version: str


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """One line of the list of everything stored."""

    model: str
    version: str
    digest: str
    format: str
    parameters: int
    source: str
    created_at: str
    series: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StoredLayer:
    """A layer of a stored checkpoint, with the digests of its tensors (empty for no bias)."""

    name: str
    kind: str
    shape: tuple[int, ...]
    weight: str
    bias: str


def find_checkpoint(connection: Connection, name: str) -> CheckpointRef:
    """Find what ``MODEL``, ``MODEL@VERSION`` or the prefix of a digest names. MODEL alone is its newest version.

    Raises:
        NotStoredError: Nothing carries the name; the message lists near ones.
        UsageError: A digest prefix fits several checkpoints.
    """
    model, at, version = name.partition("@")
    query = (
        select(t.label.c.checkpoint_id, t.checkpoint.c.digest, t.model.c.name, t.label.c.name.label("version"))
        .join(t.model, t.model.c.id == t.label.c.model_id)
        .join(t.checkpoint, t.checkpoint.c.id == t.label.c.checkpoint_id)
        .where(t.model.c.name == model)
        .order_by(t.label.c.position.desc())
    )
    labels = [CheckpointRef(*row) for row in connection.execute(query)]
    named = [label for label in labels if not at or label.version == version]
    if named:
        return named[0]
    if labels:
        versions = ", ".join(label.version for label in reversed(labels[:12]))
        raise NotStoredError(f"model {model!r} has no version {version!r}: it has {versions}")
    if not at and len(name) >= MIN_PREFIX and all(letter in "0123456789abcdef" for letter in name):
        by_digest = _by_digest_prefix(connection, name)
        if by_digest:
            return by_digest
    models = [row.name for row in connection.execute(select(t.model.c.name))]
    near = near_names(model, models)
    hint = f"did you mean {', '.join(near)}?" if near else "`ww show` lists what is stored"
    raise NotStoredError(f"no model {model!r} in this store: {hint}")


def _by_digest_prefix(connection: Connection, prefix: str) -> CheckpointRef | None:
    query = select(t.checkpoint.c.id, t.checkpoint.c.digest).where(t.checkpoint.c.digest.startswith(prefix)).limit(3)
    found = list(connection.execute(query))
    if len(found) > 1:
        raise UsageError(f"digest {prefix} fits several checkpoints: give more digits")
    if not found:
        return None
    labelled = (
        select(t.model.c.name, t.label.c.name.label("version"))
        .join(t.model, t.model.c.id == t.label.c.model_id)
        .where(t.label.c.checkpoint_id == found[0].id)
        .order_by(t.label.c.id.desc())
    )
    label = connection.execute(labelled).first()
    model, version = (label.name, label.version) if label else ("", "")
    return CheckpointRef(found[0].id, found[0].digest, model, version)


def stored_versions(connection: Connection) -> list[StoredVersion]:
    """List every version of every model, models by name, versions in their order."""
    members: dict[int, list[str]] = defaultdict(list)
    series = select(t.series_member.c.model_id, t.series.c.name).join(t.series).order_by(t.series.c.name)
    for model_id, name in connection.execute(series):
        members[model_id].append(name)
    query = (
        select(
            t.label,
            t.model.c.name.label("model"),
            t.checkpoint.c.digest,
            t.checkpoint.c.format,
            t.checkpoint.c.parameters,
        )
        .join(t.model, t.model.c.id == t.label.c.model_id)
        .join(t.checkpoint, t.checkpoint.c.id == t.label.c.checkpoint_id)
        .order_by(t.model.c.name, t.label.c.position)
    )
    return [
        StoredVersion(
            model=row.model,
            version=row.name,
            digest=row.digest,
            format=row.format,
            parameters=row.parameters,
            source=row.source,
            created_at=row.created_at,
            series=tuple(members[row.model_id]),
        )
        for row in connection.execute(query)
    ]


def stored_layers(connection: Connection, checkpoint_id: int) -> list[StoredLayer]:
    """List the layers of a checkpoint in order, each name once."""
    weight, bias = t.tensor.alias("weight"), t.tensor.alias("bias")
    query = (
        select(t.layer.c.name, t.layer.c.kind, weight.c.shape, weight.c.digest, bias.c.digest.label("bias"))
        .join(weight, weight.c.id == t.layer.c.weight_id)
        .outerjoin(bias, bias.c.id == t.layer.c.bias_id)
        .where(t.layer.c.checkpoint_id == checkpoint_id)
        .order_by(t.layer.c.position, t.layer.c.id)
    )
    layers = [
        StoredLayer(row.name, row.kind, tuple(json.loads(row.shape)), row.digest, row.bias or "")
        for row in connection.execute(query)
    ]
    return list({layer.name: layer for layer in layers}.values())


def stored_outcomes(
    connection: Connection, subjects: Sequence[str], columns: Mapping[int, tuple[str, str]]
) -> dict[str, dict[tuple[str, str], Outcome]]:
    """Return the stored outcomes of subjects.

    Args:
        connection: An open transaction.
        subjects: Digests of the subjects.
        columns: (identity digest, column name) by key, of the columns asked for.

    Returns:
        Outcomes by subject digest, then by (identity digest, column name).
    """
    found: dict[str, dict[tuple[str, str], Outcome]] = defaultdict(dict)
    for chunk in _chunks(subjects):
        query = (
            select(t.subject.c.digest, t.value)
            .join(t.value, t.value.c.subject_id == t.subject.c.id)
            .where(t.subject.c.digest.in_(chunk))
        )
        for row in connection.execute(query):
            if row.column_id in columns:
                found[row.digest][columns[row.column_id]] = _outcome(row)
    return dict(found)


def stored_spectra(connection: Connection, subjects: Sequence[str], identity_id: int) -> dict[str, Spectrum]:
    """Return the stored spectra of subjects by digest; those whose singular values were left out are not there."""
    found = {}
    for chunk in _chunks(subjects):
        query = (
            select(t.subject.c.digest, t.spectrum)
            .join(t.spectrum, t.spectrum.c.subject_id == t.subject.c.id)
            .where(
                t.subject.c.digest.in_(chunk),
                t.spectrum.c.identity_id == identity_id,
                t.spectrum.c.singular_values.is_not(None),
            )
        )
        for row in connection.execute(query):
            values = decode_spectrum(row.encoding, row.singular_values, row.length)
            found[row.digest] = Spectrum(values, row.noise_floor, route=row.route, seconds=row.seconds)
    return found


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run of a checkpoint.

    Attributes:
        id: Its key.
        profile: Name of its profile.
        narrowed: Whether it was asked for some metrics or layers only.
        comparable: Equal for runs that asked for the same columns of the same extractors.
    """

    id: int
    profile: str
    narrowed: bool
    comparable: str


def stored_runs(connection: Connection, checkpoint_id: int, profile: str = "") -> list[StoredRun]:
    """List the runs of a checkpoint, under a profile if one is named: the newest first, narrowed ones last.

    Raises:
        NotStoredError: There is none; the message lists the profiles there are.
    """
    query = (
        select(t.run.c.id, t.plan.c.profile, t.plan.c.content)
        .join(t.analysis, t.analysis.c.id == t.run.c.analysis_id)
        .join(t.plan, t.plan.c.id == t.analysis.c.plan_id)
        .where(t.analysis.c.checkpoint_id == checkpoint_id)
        .order_by(t.run.c.id.desc())
    )
    runs = []
    for row in connection.execute(query):
        content = json.loads(row.content)
        runs.append(StoredRun(row.id, row.profile, content["narrowed"], content["comparable"]))
    named = [run for run in runs if not profile or run.profile == profile]
    if not named:
        profiles = ", ".join(sorted({run.profile for run in runs})) or "none"
        raise NotStoredError(f"it was never analysed under profile {profile!r}: there is {profiles}")
    return sorted(named, key=lambda run: run.narrowed)


def comparable_runs(
    connection: Connection, first: CheckpointRef, second: CheckpointRef, profile: str = ""
) -> tuple[int, int]:
    """Return the newest runs of two checkpoints that asked for the same; the newest of each if there are none such.

    Raises:
        NotStoredError: One was never analysed under the profile.
    """
    new_runs = stored_runs(connection, second.id, profile)
    old_runs = stored_runs(connection, first.id, profile)
    for new in new_runs:
        for old in old_runs:
            if new.comparable == old.comparable:
                return old.id, new.id
    same_profile = stored_runs(connection, first.id, new_runs[0].profile)
    return same_profile[0].id, new_runs[0].id


def report_of_run(connection: Connection, run_id: int, ref: CheckpointRef | None = None) -> AnalysisReport:
    """Put together what a run says, under the name ``ref`` if one is given."""
    run = connection.execute(
        select(t.run, t.analysis.c.checkpoint_id, t.analysis.c.plan_id, t.analysis.c.model_subject_id, t.plan.c.profile)
        .join(t.analysis, t.analysis.c.id == t.run.c.analysis_id)
        .join(t.plan, t.plan.c.id == t.analysis.c.plan_id)
        .where(t.run.c.id == run_id)
    ).one()
    checkpoint = connection.execute(select(t.checkpoint).where(t.checkpoint.c.id == run.checkpoint_id)).one()
    columns = _columns_of_plan(connection, run.plan_id)
    covered = _covered_layers(connection, run.analysis_id)
    matrices = _matrix_subjects(connection, covered)
    layer_subjects = _layer_subjects(connection, covered)
    subjects = [row.subject_id for rows in matrices.values() for row in rows]
    subjects += list(layer_subjects.values())
    subjects += [run.model_subject_id] if run.model_subject_id else []
    values = _values(connection, subjects, columns)
    with_spectrum = _with_spectrum(connection, subjects)

    by_scope: dict[str, dict[str, int]] = {"matrix": {}, "layer": {}, "model": {}}
    content = _plan_content(connection, run.plan_id)
    for label, scope in content["columns"]:
        by_scope[scope][label] = next(key for key, column in columns.items() if column.label == label)
    matrix_rows, layer_rows = [], []
    states: dict[int, str] = {}
    reasons: list[Skip] = []
    parameters_analyzed = 0
    shown: set[str] = set()
    for row in covered:
        if row.state == "analyzed":
            own = matrices.get((row.layer_id, row.extractor_id), [])
            merged = [_merged(values, own_row, by_scope["matrix"], columns) for own_row in _by_index(own)]
            has_spectrum = any(r.subject_id in with_spectrum for r in own)
            state, reason = _layer_state([outcomes for _, outcomes in merged], has_spectrum=has_spectrum)
            matrix_rows += [_matrix_row(row, first, outcomes) for first, outcomes in merged]
            if state == "analyzed" and states.get(row.layer_id) != "analyzed":
                parameters_analyzed += row.weight_size
            if reason:
                reasons.append(Skip(row.name, reason))
            if states.get(row.layer_id) != "analyzed":
                states[row.layer_id] = state
        else:
            reasons.append(Skip(row.name, row.reason))
            if row.layer_id is not None:
                states.setdefault(row.layer_id, row.state)
        covered_whole = row.state != "skipped" and row.layer_id in layer_subjects and by_scope["layer"]
        if covered_whole and row.name not in shown:
            shown.add(row.name)
            outcomes = {
                label: values.get(layer_subjects[row.layer_id], {}).get(key, LOST)
                for label, key in by_scope["layer"].items()
            }
            layer_rows.append(LayerRow(row.name, row.kind, _shape(row), row.groups, outcomes))
    model_values = values.get(run.model_subject_id, {}) if run.model_subject_id else {}
    model_metrics = {label: model_values.get(key, LOST) for label, key in by_scope["model"].items()}
    failures = _failures(connection, run_id)
    counts = {state: list(states.values()).count(state) for state in ("analyzed", "statistics", "skipped", "failed")}
    name = ref or _name_of(connection, run.checkpoint_id, checkpoint.digest)
    return AnalysisReport(
        source=run.source,
        model=name.model,
        version=name.version,
        digest=checkpoint.digest,
        run=RunInfo(run.id, run.profile, run.computed, run.reused, run.seconds),
        coverage=Coverage(
            parameters=checkpoint.parameters,
            parameters_analyzed=parameters_analyzed,
            analyzed=counts["analyzed"],
            statistics_only=counts["statistics"],
            skipped=counts["skipped"],
            failed=counts["failed"],
            reasons=tuple(reasons),
        ),
        layers=tuple(matrix_rows),
        layer_metrics=tuple(layer_rows),
        model_metrics=model_metrics,
        summary=summarize(matrix_rows, content["primary"], list(by_scope["matrix"])),
        headline=tuple(content["headline"]),
        failures=failures,
    )


def summarize(rows: Sequence[MatrixRow], primary: Sequence[str], labels: Sequence[str]) -> dict[str, Aggregate]:
    """Aggregate number columns over the matrices that the primary extractors made; what has no value is counted."""
    summary = {}
    for label in labels:
        outcomes = [row.metrics[label] for row in rows if row.extractor in primary]
        if not outcomes or any(outcome.text is not None or type(outcome.number) is bool for outcome in outcomes):
            continue
        numbers = [float(outcome.number) for outcome in outcomes if outcome.number is not None]
        summary[label] = Aggregate(
            mean=statistics.fmean(numbers) if numbers else None,
            median=statistics.median(numbers) if numbers else None,
            min=min(numbers, default=None),
            max=max(numbers, default=None),
            count=len(numbers),
            missing=len(outcomes) - len(numbers),
        )
    return summary


@dataclass(frozen=True, slots=True)
class _PlannedColumn:
    label: str
    type: str


def _columns_of_plan(connection: Connection, plan_id: int) -> dict[int, _PlannedColumn]:
    """Columns by key, in the order of display."""
    query = (
        select(t.variant.c.column_id, t.variant.c.name, t.metric_column.c.type)
        .join(t.plan_variant, t.plan_variant.c.variant_id == t.variant.c.id)
        .join(t.metric_column, t.metric_column.c.id == t.variant.c.column_id)
        .where(t.plan_variant.c.plan_id == plan_id)
        .order_by(t.plan_variant.c.position)
    )
    return {key: _PlannedColumn(label, kind) for key, label, kind in connection.execute(query)}


def _plan_content(connection: Connection, plan_id: int) -> dict[str, Any]:
    content = connection.execute(select(t.plan.c.content).where(t.plan.c.id == plan_id)).scalar_one()
    return dict(json.loads(content))


def _covered_layers(connection: Connection, analysis_id: int) -> list[Row[Any]]:
    weight = t.tensor.alias("weight")
    query = (
        select(
            t.coverage,
            t.layer.c.kind,
            t.layer.c.groups,
            t.layer.c.split,
            t.layer.c.weight_id,
            t.layer.c.bias_id,
            weight.c.shape,
            weight.c.size.label("weight_size"),
        )
        .outerjoin(t.layer, t.layer.c.id == t.coverage.c.layer_id)
        .outerjoin(weight, weight.c.id == t.layer.c.weight_id)
        .where(t.coverage.c.analysis_id == analysis_id)
        .order_by(t.coverage.c.position)
    )
    return list(connection.execute(query))


def _matrix_subjects(connection: Connection, covered: Sequence[Row[Any]]) -> dict[tuple[int, int], list[Row[Any]]]:
    """Matrix subjects by (layer key, extractor key), plain and in context, by index."""
    analyzed = [row for row in covered if row.state == "analyzed"]
    found: dict[tuple[int, str, int, int], list[Row[Any]]] = defaultdict(list)
    m = t.matrix_subject
    contexts = _context_layers(connection, analyzed)
    for chunk in _chunks(sorted({row.weight_id for row in analyzed})):
        for row in connection.execute(select(m).where(m.c.tensor_id.in_(chunk)).order_by(m.c.matrix_index)):
            found[row.groups, row.split, row.tensor_id, row.extractor_id].append(row)
    return {
        (row.layer_id, row.extractor_id): [
            subject
            for subject in found[row.groups, row.split, row.weight_id, row.extractor_id]
            if subject.context_id is None or subject.context_id == contexts.get(row.layer_id)
        ]
        for row in analyzed
    }


def _layer_subjects(connection: Connection, covered: Sequence[Row[Any]]) -> dict[int, int]:
    """Keys of layer subjects by layer key."""
    return _context_layers(connection, [row for row in covered if row.layer_id is not None])


def _context_layers(connection: Connection, rows: Sequence[Row[Any]]) -> dict[int, int]:
    s = t.layer_subject
    by_content: dict[tuple[str, int, int, int | None], int] = {}
    for chunk in _chunks(sorted({row.weight_id for row in rows})):
        for found in connection.execute(select(s).where(s.c.weight_id.in_(chunk))):
            by_content[found.kind, found.groups, found.weight_id, found.bias_id] = found.subject_id
    keys = {row.layer_id: by_content.get((row.kind, row.groups, row.weight_id, row.bias_id)) for row in rows}
    return {layer_id: key for layer_id, key in keys.items() if key is not None}


def _values(
    connection: Connection, subjects: Sequence[int], columns: Mapping[int, _PlannedColumn]
) -> dict[int, dict[int, Outcome]]:
    found: dict[int, dict[int, Outcome]] = defaultdict(dict)
    for chunk in _chunks(sorted(set(subjects))):
        for row in connection.execute(select(t.value).where(t.value.c.subject_id.in_(chunk))):
            if row.column_id in columns:
                outcome = _outcome(row)
                kind = _NUMBERS.get(columns[row.column_id].type)
                if kind is not None and outcome.number is not None:
                    outcome = replace(outcome, number=kind(outcome.number))
                found[row.subject_id][row.column_id] = outcome
    return dict(found)


def subjects_with_spectra(connection: Connection, subjects: Sequence[str]) -> set[str]:
    """Return the digests of those subjects whose spectrum was made, whether its values were kept or not."""
    found: set[str] = set()
    for chunk in _chunks(subjects):
        query = (
            select(t.subject.c.digest)
            .join(t.spectrum, t.spectrum.c.subject_id == t.subject.c.id)
            .where(t.subject.c.digest.in_(chunk))
        )
        found |= set(connection.scalars(query))
    return found


def _with_spectrum(connection: Connection, subjects: Sequence[int]) -> set[int]:
    found: set[int] = set()
    for chunk in _chunks(sorted(set(subjects))):
        query = select(t.spectrum.c.subject_id).where(t.spectrum.c.subject_id.in_(chunk))
        found |= set(connection.scalars(query))
    return found


def _by_index(rows: Sequence[Row[Any]]) -> Iterator[list[Row[Any]]]:
    """Group subjects of one index: the plain one and the one in context."""
    by_index: dict[int, list[Row[Any]]] = defaultdict(list)
    for row in rows:
        by_index[row.matrix_index].append(row)
    for index in sorted(by_index):
        yield by_index[index]


def _merged(
    values: Mapping[int, Mapping[int, Outcome]],
    rows: Sequence[Row[Any]],
    wanted: Mapping[str, int],
    columns: Mapping[int, _PlannedColumn],
) -> tuple[Row[Any], dict[str, Outcome]]:
    known: dict[int, Outcome] = {}
    for row in rows:
        known |= values.get(row.subject_id, {})
    return rows[0], {label: known.get(key, LOST) for label, key in wanted.items() if key in columns}


def _layer_state(outcomes: Sequence[Mapping[str, Outcome]], *, has_spectrum: bool) -> tuple[str, str]:
    """Tell what became of a layer that was to be analysed: its state, and the reason if it has no spectrum."""
    flat = [outcome for by_label in outcomes for outcome in by_label.values()]
    if has_spectrum or any(outcome.is_ok for outcome in flat):
        return "analyzed", ""
    if not flat or any(outcome.state is State.FAILED for outcome in flat):
        return "failed", "lost to an exception: see failures"
    return "skipped", flat[0].explain()


def _matrix_row(row: Row[Any], subject: Row[Any], outcomes: Mapping[str, Outcome]) -> MatrixRow:
    return MatrixRow(
        name=row.name,
        kind=row.kind,
        shape=_shape(row),
        groups=row.groups,
        extractor=row.extractor,
        index=subject.matrix_index,
        N=max(subject.rows, subject.cols),
        M=min(subject.rows, subject.cols),
        metrics=outcomes,
    )


def _shape(row: Row[Any]) -> tuple[int, ...]:
    return tuple(json.loads(row.shape))


def _outcome(row: Row[Any]) -> Outcome:
    return Outcome(State(row.state), row.number, row.text, row.reason)


def _failures(connection: Connection, run_id: int) -> tuple[Failure, ...]:
    query = select(t.run_failure).where(t.run_failure.c.run_id == run_id).order_by(t.run_failure.c.position)
    return tuple(Failure(row.stage, row.plugin, row.subject, row.message) for row in connection.execute(query))


def _name_of(connection: Connection, checkpoint_id: int, digest: str) -> CheckpointRef:
    return _by_digest_prefix(connection, digest) or CheckpointRef(checkpoint_id, digest, "", "")


def _chunks(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]
