"""Reading from the store: one function per question, inside the caller's transaction, answering with frozen data."""

from __future__ import annotations

import functools
import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, and_, bindparam, case, func, select

from ww_core.domain.identity import spectrum_identity
from ww_core.domain.layer import Layer, LayerKind, TensorSpec
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
from ww_core.domain.spectrum import Precision, Resolution, Spectrum
from ww_core.domain.subject import LayerSubject
from ww_core.errors import NotStoredError, UsageError, near_names
from ww_core.store import tables as t
from ww_core.store.encoding import decode_spectrum
from ww_core.store.recording import Keys, chunks, clean, keys_by_digest

MIN_PREFIX = 6
"""Shortest digest prefix that names a checkpoint."""

AVERAGED = ("float", "int")
"""Types of columns that have a mean: of a text or a yes there is none."""

_NUMBERS: dict[str, type[int]] = {"int": int, "bool": bool}

LOST = Outcome(State.FAILED, reason="lost to an exception: see failures")
OUT_OF_REACH = Outcome(State.FAILED, reason="not computed: it needs the weights")
NOT_REACHED = Outcome(State.FAILED, reason="not computed: the run did not end")


@dataclass(frozen=True, slots=True)
class CheckpointRef:
    """A checkpoint under the name it was asked for; model and version are empty, and the label None, if it has none."""

    id: int
    digest: str
    model: str
    version: str
    label_id: int | None = None


@dataclass(frozen=True, slots=True)
class StoredLabel:
    """The label of a version of a model, with the keys of its row, of the model and of what it stands on."""

    id: int
    model_id: int
    checkpoint_id: int
    digest: str
    model: str
    version: str
    source: str

    @property
    def ref(self) -> CheckpointRef:
        """What it stands on, under its name."""
        return CheckpointRef(self.checkpoint_id, self.digest, self.model, self.version, self.id)


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
    """A layer of a stored checkpoint, with the digests of its tensors (empty for no bias, or for what was not read)."""

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
    name = clean(name)
    named = stored_labels(connection, name)
    if named:
        return named[0].ref
    model, at, _ = name.partition("@")
    is_prefix = not at and bool(name) and all(letter in "0123456789abcdef" for letter in name)
    if is_prefix and len(name) >= MIN_PREFIX:
        by_digest = _by_digest_prefix(connection, name)
        if by_digest:
            return by_digest
    models = [row.name for row in connection.execute(select(t.model.c.name))]
    near = near_names(model, models)
    hint = f"did you mean {', '.join(near)}?" if near else "`ww show` lists what is stored"
    if is_prefix and len(name) < MIN_PREFIX:
        hint += f" (the prefix of a digest has {MIN_PREFIX} digits or more)"
    raise NotStoredError(f"no model {model!r} in this store: {hint}")


def stored_labels(connection: Connection, name: str) -> list[StoredLabel]:
    """List the versions that ``MODEL`` or ``MODEL@VERSION`` names, the newest first; none if there is no such model.

    Raises:
        NotStoredError: There is the model, and it has no such version.
    """
    model, at, version = clean(name).partition("@")
    query = _LABELLED.where(t.model.c.name == model).order_by(t.label.c.position.desc())
    labels = [StoredLabel(*row) for row in connection.execute(query)]
    named = [label for label in labels if not at or label.version == version]
    if labels and not named:
        versions = ", ".join(label.version for label in reversed(labels[:12]))
        raise NotStoredError(f"model {model!r} has no version {version!r}: it has {versions}")
    return named


_label = t.label.c
_LABELLED = (
    select(
        _label.id,
        _label.model_id,
        _label.checkpoint_id,
        t.checkpoint.c.digest,
        t.model.c.name,
        _label.name.label("version"),
        _label.source,
    )
    .join(t.model, t.model.c.id == _label.model_id)
    .join(t.checkpoint, t.checkpoint.c.id == _label.checkpoint_id)
)


def find_versions(connection: Connection, name: str = "") -> list[CheckpointRef]:
    """Find every version of MODEL, or what ``MODEL@VERSION`` or a digest prefix names; without a name, all there are.

    A checkpoint comes once, under its newest label; models by name, versions in their order.

    Raises:
        NotStoredError: Nothing carries the name; the message lists near ones.
        UsageError: A digest prefix fits several checkpoints.
    """
    query = _LABELLED.order_by(t.model.c.name, t.label.c.position)
    if name:
        query = query.where(t.model.c.name == clean(name))
    found = [StoredLabel(*row).ref for row in connection.execute(query)]
    if name and not found:
        return [find_checkpoint(connection, name)]
    newest = {ref.id: ref for ref in sorted(found, key=lambda ref: ref.label_id or 0)}
    return [ref for ref in found if newest[ref.id] is ref]


def _by_digest_prefix(connection: Connection, prefix: str) -> CheckpointRef | None:
    query = select(t.checkpoint.c.id, t.checkpoint.c.digest).where(t.checkpoint.c.digest.startswith(prefix)).limit(3)
    found = list(connection.execute(query))
    if len(found) > 1:
        raise UsageError(f"digest {prefix} fits several checkpoints: give more digits")
    if not found:
        return None
    labelled = _LABELLED.where(t.label.c.checkpoint_id == found[0].id).order_by(t.label.c.id.desc())
    label = connection.execute(labelled).first()
    return StoredLabel(*label).ref if label else CheckpointRef(found[0].id, found[0].digest, "", "")


def is_stored(connection: Connection, ref: CheckpointRef) -> bool:
    """Whether a checkpoint is still there, under its key."""
    key = t.checkpoint.c
    return connection.scalar(select(key.digest).where(key.id == ref.id)) == ref.digest


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
            t.structure.c.format,
            t.structure.c.parameters,
        )
        .join(t.model, t.model.c.id == t.label.c.model_id)
        .join(t.checkpoint, t.checkpoint.c.id == t.label.c.checkpoint_id)
        .join(t.structure, t.structure.c.id == _newest_structure(t.checkpoint.c.id))
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
    """List the layers of a checkpoint in order, as the newest source presented them."""
    query = _LAYERS.where(t.layer.c.structure_id == _newest_structure(checkpoint_id))
    return [
        StoredLayer(row.name, row.kind, _shape(row.shape), row.weight or "", row.bias or "")
        for row in connection.execute(query)
    ]


_weight, _bias = t.tensor.alias("weight"), t.tensor.alias("bias")
_LAYERS = (
    select(
        t.layer,
        _weight.c.digest.label("weight"),
        _weight.c.dtype.label("weight_dtype"),
        _bias.c.digest.label("bias"),
        _bias.c.dtype.label("bias_dtype"),
        _bias.c.shape.label("bias_shape"),
    )
    .outerjoin(_weight, _weight.c.id == t.layer.c.weight_id)
    .outerjoin(_bias, _bias.c.id == t.layer.c.bias_id)
    .order_by(t.layer.c.position)
)


def _newest_structure(checkpoint_id: Any) -> Any:
    newest = t.structure.alias("newest")
    return select(func.max(newest.c.id)).where(newest.c.checkpoint_id == checkpoint_id).scalar_subquery()


@dataclass(frozen=True, slots=True, eq=False)
class StoredStructure:
    """A checkpoint as one source presented it, as far as the store knows.

    Attributes:
        digest: Content address of the checkpoint.
        provisional: Whether some tensor could not be read.
        format: Format it was read from.
        layers: Its layers in order. Names of biases are not stored: they are what their weights' names suggest. What
            could not be read has no dtype.
        contents: What the layers consist of, by name; without those that could not be read.
        keys: Keys of the checkpoint, its structure, layers and tensors.
    """

    digest: str
    provisional: bool
    format: str
    layers: tuple[Layer, ...]
    contents: Mapping[str, LayerSubject]
    keys: Keys


def stored_structure(connection: Connection, structure_id: int) -> StoredStructure:
    """Return the structure of a key, which is stored."""
    head = connection.execute(_STRUCTURE, {"structure": structure_id}).one()
    keys = Keys(checkpoint=head.checkpoint_id, structure=structure_id)
    layers, contents = [], {}
    for row in connection.execute(_LAYERS_OF_STRUCTURE, {"structure": structure_id}).all():
        bias = None
        if row.bias_id is not None:
            bias = TensorSpec(_bias_name(row.name, row.weight_name), row.bias_dtype, _shape(row.bias_shape))
            keys.tensors[row.bias] = row.bias_id
        if row.weight_id is not None:
            contents[row.name] = LayerSubject(row.kind, row.groups, row.weight, row.bias or "")
            keys.tensors[row.weight] = row.weight_id
        weight = TensorSpec(row.weight_name, row.weight_dtype or "", _shape(row.shape))
        layers.append(Layer(row.name, LayerKind(row.kind), weight, bias, row.groups, row.split))
        keys.layers[row.name] = row.id
    return StoredStructure(head.digest, head.provisional, head.format, tuple(layers), contents, keys)


_STRUCTURE = (
    select(t.structure.c.checkpoint_id, t.structure.c.format, t.checkpoint.c.digest, t.checkpoint.c.provisional)
    .join(t.checkpoint, t.checkpoint.c.id == t.structure.c.checkpoint_id)
    .where(t.structure.c.id == bindparam("structure"))
)
_LAYERS_OF_STRUCTURE = _LAYERS.where(t.layer.c.structure_id == bindparam("structure"))


def _bias_name(layer: str, weight: str) -> str:
    path, found, ending = weight.rpartition("weight")
    return f"{path}bias{ending}" if found else f"{layer}.bias"


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
    stored = _digests_by_key(connection, subjects)
    for chunk in chunks(list(stored)):
        asked = {"subjects": chunk, "columns": list(columns)}
        for subject, column, *content in connection.execute(_VALUES_OF_COLUMNS, asked).all():
            found[stored[subject]][columns[column]] = _outcome(*content)
    return dict(found)


_value = t.value.c
_VALUES = select(_value.subject_id, _value.column_id, _value.state, _value.number, _value.text, _value.reason).where(
    _value.subject_id.in_(bindparam("subjects", expanding=True))
)
_VALUES_OF_COLUMNS = _VALUES.where(_value.column_id.in_(bindparam("columns", expanding=True)))


def stored_spectra(
    connection: Connection,
    subjects: Sequence[str],
    identity_id: int,
    resolution: Resolution,
    precision: Precision,
) -> dict[str, Spectrum]:
    """Return the stored spectra of subjects by digest; none where the singular values were left out.

    Args:
        connection: An open transaction.
        subjects: Digests.
        identity_id: Key of the identity of spectra of this resolution and precision.
        resolution: The resolution.
        precision: The precision.
    """
    found = {}
    stored = _digests_by_key(connection, subjects)
    for chunk in chunks(list(stored)):
        for row in connection.execute(_SPECTRA, {"subjects": chunk, "identity": identity_id}):
            values = decode_spectrum(row.encoding, row.singular_values, row.length)
            found[stored[row.subject_id]] = Spectrum(
                values, row.noise_floor, resolution, precision, row.route, row.seconds
            )
    return found


_SPECTRA = select(t.spectrum).where(
    t.spectrum.c.subject_id.in_(bindparam("subjects", expanding=True)),
    t.spectrum.c.identity_id == bindparam("identity"),
    t.spectrum.c.singular_values.is_not(None),
)


def _digests_by_key(connection: Connection, subjects: Sequence[str]) -> dict[int, str]:
    """Return the digests of those subjects that are stored, by key.

    Looked up first, because of a join SQLite reads the other end: every value of a column, every spectrum there is.
    """
    return {key: digest for digest, key in keys_by_digest(connection, t.subject, subjects).items()}


@dataclass(frozen=True, slots=True)
class CoveredLayer:
    """What a run covers of a layer by one extractor.

    Attributes:
        layer: Name of the layer.
        extractor: Label of the variant.
        reason: Why it makes nothing; empty if it does.
        eigenvalues: In the standard spectra of its matrices, in float64, multiplicities counted.
        seconds: How long these took when they were made.
    """

    layer: str
    extractor: str
    reason: str
    eigenvalues: int
    seconds: float


def covered_layers(connection: Connection, run_id: int) -> list[CoveredLayer]:
    """List the layers and extractors of a run in their order, with what their standard spectra took."""
    query = (
        select(
            t.layer.c.name,
            t.coverage.c.extractor,
            t.coverage.c.reason,
            func.coalesce(func.sum(t.spectrum.c.length), 0),
            func.coalesce(func.sum(t.spectrum.c.seconds), 0.0),
        )
        .select_from(t.run)
        .join(t.coverage, t.coverage.c.analysis_id == t.run.c.analysis_id)
        .join(t.layer, t.layer.c.id == t.coverage.c.layer_id)
        .outerjoin(
            t.matrix_subject,
            and_(
                t.matrix_subject.c.tensor_id == t.layer.c.weight_id,
                t.matrix_subject.c.extractor_id == t.coverage.c.extractor_id,
                t.matrix_subject.c.groups == t.layer.c.groups,
                t.matrix_subject.c.split == t.layer.c.split,
            ),
        )
        .outerjoin(t.identity, t.identity.c.digest == spectrum_identity("standard"))
        .outerjoin(
            t.spectrum,
            and_(
                t.spectrum.c.subject_id == t.matrix_subject.c.subject_id,
                t.spectrum.c.identity_id == t.identity.c.id,
            ),
        )
        .where(t.run.c.id == run_id, t.coverage.c.extractor != "")
        .group_by(t.coverage.c.position, t.layer.c.name, t.coverage.c.extractor, t.coverage.c.reason)
        .order_by(t.coverage.c.position)
    )
    return [CoveredLayer(*row) for row in connection.execute(query)]


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run of a checkpoint.

    Attributes:
        id: Its key.
        profile: Name of its profile.
        comparable: Equal for runs that asked for the same columns of the same extractors.
    """

    id: int
    profile: str
    comparable: str


def stored_runs(connection: Connection, checkpoint_id: int, profile: str = "") -> list[StoredRun]:
    """List the runs of a checkpoint, under a profile if one is named.

    The newest come first; after all others, those that did not end, and those that asked for some metrics or layers.

    Raises:
        NotStoredError: There is none; the message lists the profiles there are.
    """
    query = (
        select(t.run.c.id, t.plan.c.profile, t.plan.c.comparable)
        .join(t.analysis, t.analysis.c.id == t.run.c.analysis_id)
        .join(t.structure, t.structure.c.id == t.analysis.c.structure_id)
        .join(t.plan, t.plan.c.id == t.analysis.c.plan_id)
        .where(t.structure.c.checkpoint_id == checkpoint_id)
        .order_by(case((t.run.c.state == "done", 0), else_=1), t.plan.c.narrowed, t.run.c.id.desc())
    )
    runs = [StoredRun(*row) for row in connection.execute(query)]
    named = [run for run in runs if not profile or run.profile == profile]
    if not named:
        profiles = ", ".join(sorted({run.profile for run in runs})) or "none"
        raise NotStoredError(f"it was never analysed under profile {profile!r}: there is {profiles}")
    return named


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """Something that was asked of a checkpoint, by one run or several.

    Attributes:
        structure_id: Key of the structure it was asked of.
        profile: Name of the profile.
        source: Name of the source, as the newest of the runs had it.
        content: The request's fields by name, as plain data.
        shown: Digests of the variants that the newest run that ended shows; None if none has ended.
    """

    structure_id: int
    profile: str
    source: str
    content: Mapping[str, Any]
    shown: frozenset[str] | None


def stored_requests(connection: Connection, checkpoint_id: int) -> list[StoredRequest]:
    """List what was ever asked of a checkpoint, each once, that of the newest run first."""
    newest: dict[tuple[int, str], Any] = {}
    ended: dict[tuple[int, str], int] = {}
    for row in connection.execute(_REQUESTS, {"checkpoint": checkpoint_id}).all():
        newest.setdefault((row.structure_id, row.request), row)
        if row.state == "done":
            ended.setdefault((row.structure_id, row.request), row.plan_id)
    shown: dict[int, set[str]] = defaultdict(set)
    for chunk in chunks(sorted(set(ended.values()))):
        for plan, variant in connection.execute(_VARIANTS_OF_PLANS, {"plans": chunk}).all():
            shown[plan].add(variant)
    return [
        StoredRequest(
            structure_id=row.structure_id,
            profile=row.profile,
            source=row.source,
            content=json.loads(row.request),
            shown=frozenset(shown[ended[asked]]) if asked in ended else None,
        )
        for asked, row in newest.items()
    ]


_REQUESTS = (
    select(
        t.run.c.source,
        t.run.c.request,
        t.run.c.state,
        t.analysis.c.structure_id,
        t.analysis.c.plan_id,
        t.plan.c.profile,
    )
    .join(t.analysis, t.analysis.c.id == t.run.c.analysis_id)
    .join(t.structure, t.structure.c.id == t.analysis.c.structure_id)
    .join(t.plan, t.plan.c.id == t.analysis.c.plan_id)
    .where(t.structure.c.checkpoint_id == bindparam("checkpoint"))
    .order_by(t.run.c.id.desc())
)
_VARIANTS_OF_PLANS = (
    select(t.plan_variant.c.plan_id, t.variant.c.digest)
    .join(t.variant, t.variant.c.id == t.plan_variant.c.variant_id)
    .where(t.plan_variant.c.plan_id.in_(bindparam("plans", expanding=True)))
)


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
    run = connection.execute(_RUN, {"run": run_id}).one()
    columns = _columns_of_plan(connection, run.plan_id)
    covered = _covered_layers(connection, run.analysis_id)
    wholes = _layer_subjects(connection, covered)
    matrices = _matrix_subjects(connection, covered, wholes)
    subjects = [row.subject_id for rows in matrices.values() for row in rows]
    subjects += [*wholes.values(), *([run.model_subject_id] if run.model_subject_id else [])]
    values = _values(connection, subjects, columns)
    failures = _failures(connection, run_id)
    lost = NOT_REACHED if run.state != "done" else LOST if failures else OUT_OF_REACH

    layers: dict[int, _LayerAnswer] = {}
    matrix_rows: list[MatrixRow] = []
    primary_rows: list[MatrixRow] = []
    layer_rows: list[LayerRow] = []
    for row in covered:
        shape = _shape(row.shape)
        layer = layers.setdefault(row.layer_id, _LayerAnswer(row.name, row.weight_name, math.prod(shape)))
        made = _rows_of(row, matrices.get((row.layer_id, row.extractor_id), []), values, columns["matrix"], lost)
        matrix_rows += made
        primary_rows += made if row.is_primary else []
        layer.add(row, made)
        if columns["layer"] and row.state in {"analyzed", "statistics"} and not layer.shown:
            layer.shown = True
            known = values.get(wholes.get(row.layer_id, 0), {})
            outcomes = _outcomes(columns["layer"], known, lost)
            layer_rows.append(LayerRow(row.name, row.kind, shape, row.groups, outcomes))
    name = ref or _name_of(connection, run.checkpoint_id, run.digest)
    skipped = connection.execute(_SKIPPED, {"structure": run.structure_id}).all()
    states = [layer.state for layer in layers.values()]
    weights = {layer.weight: layer.size for layer in layers.values() if layer.state == "analyzed"}
    headline = sorted(
        (column for column in columns["matrix"] if column.headline is not None),
        key=lambda column: column.headline or 0,
    )
    return AnalysisReport(
        source=run.source,
        model=name.model,
        version=name.version,
        digest=run.digest,
        run=RunInfo(run.id, run.profile, run.state, run.computed, run.reused, run.seconds),
        coverage=Coverage(
            parameters=run.parameters,
            parameters_analyzed=sum(weights.values()),
            analyzed=states.count("analyzed"),
            statistics_only=states.count("statistics"),
            skipped=states.count("skipped"),
            failed=states.count("failed"),
            reasons=(
                *(Skip(layer.name, layer.reason) for layer in layers.values() if layer.state != "analyzed"),
                *(Skip(tensor, reason) for tensor, reason in skipped),
            ),
        ),
        layers=tuple(matrix_rows),
        layer_metrics=tuple(layer_rows),
        model_metrics=_outcomes(columns["model"], values.get(run.model_subject_id, {}), lost),
        summary=summarize(primary_rows, [column.label for column in columns["matrix"] if column.type in AVERAGED]),
        headline=tuple(column.label for column in headline),
        failures=failures,
        warnings=tuple(json.loads(run.warnings)),
    )


_RUN = (
    select(
        t.run,
        t.analysis.c.structure_id,
        t.analysis.c.plan_id,
        t.analysis.c.model_subject_id,
        t.structure.c.checkpoint_id,
        t.structure.c.parameters,
        t.checkpoint.c.digest,
        t.plan.c.profile,
    )
    .join(t.analysis, t.analysis.c.id == t.run.c.analysis_id)
    .join(t.structure, t.structure.c.id == t.analysis.c.structure_id)
    .join(t.checkpoint, t.checkpoint.c.id == t.structure.c.checkpoint_id)
    .join(t.plan, t.plan.c.id == t.analysis.c.plan_id)
    .where(t.run.c.id == bindparam("run"))
)

_SKIPPED = (
    select(t.skipped_tensor.c.name, t.skipped_tensor.c.reason)
    .where(t.skipped_tensor.c.structure_id == bindparam("structure"))
    .order_by(t.skipped_tensor.c.position)
)


@dataclass(slots=True)
class _LayerAnswer:
    """What became of a layer under all its extractors: the best of it counts."""

    name: str
    weight: str
    size: int
    state: str = ""
    reason: str = ""
    shown: bool = False

    def add(self, row: Row[Any], made: Sequence[MatrixRow]) -> None:
        """Take one row of coverage and the matrices behind it into account."""
        state, reason = row.state, row.reason
        if state == "analyzed":
            state, reason = _answered([matrix.metrics for matrix in made])
        order = ("analyzed", "failed", "statistics", "skipped", "")
        if order.index(state) < order.index(self.state):
            self.state, self.reason = state, reason


def _answered(outcomes: Sequence[Mapping[str, Outcome]]) -> tuple[str, str]:
    """Tell what became of a layer that was to be analysed: its state, and the reason if it has no value at all."""
    flat = [outcome for by_label in outcomes for outcome in by_label.values()]
    if any(outcome.state not in {State.FAILED, State.REFUSED} for outcome in flat):
        return "analyzed", ""
    if not flat:  # columns of the model alone were asked for
        return "analyzed", ""
    lost = [outcome for outcome in flat if outcome.state is State.FAILED]
    if lost:
        return "failed", lost[0].reason
    return "skipped", flat[0].explain()


def _rows_of(
    row: Row[Any],
    subjects: Sequence[Row[Any]],
    values: Mapping[int, Mapping[int, Outcome]],
    columns: Sequence[_PlannedColumn],
    lost: Outcome,
) -> list[MatrixRow]:
    """Make the rows of a covered layer: one per matrix that was planned, whether anything is stored of it or not."""
    known: dict[int, dict[int, Outcome]] = defaultdict(dict)
    for subject in subjects:  # the matrix itself, and as it stands in its layer
        known[subject.matrix_index] |= values.get(subject.subject_id, {})
    return [
        MatrixRow(
            name=row.name,
            kind=row.kind,
            shape=_shape(row.shape),
            groups=row.groups,
            extractor=row.extractor,
            index=index,
            N=max(row.rows, row.cols),
            M=min(row.rows, row.cols),
            metrics=_outcomes(columns, known[index], lost),
        )
        for index in range(row.matrices)
    ]


def _outcomes(columns: Sequence[_PlannedColumn], known: Mapping[int, Outcome], lost: Outcome) -> dict[str, Outcome]:
    return {column.label: known.get(column.key, lost) for column in columns}


def summarize(rows: Sequence[MatrixRow], labels: Sequence[str]) -> dict[str, Aggregate]:
    """Aggregate number columns over matrices; what has no value is counted."""
    summary = {}
    for label in labels:
        outcomes = [row.metrics[label] for row in rows]
        if not outcomes:
            continue
        numbers = sorted(float(outcome.number) for outcome in outcomes if outcome.number is not None)
        count = len(numbers)
        summary[label] = Aggregate(
            # Divided before they are added, so that no sum overflows.
            mean=math.fsum(number / count for number in numbers) if numbers else None,
            median=numbers[count // 2] / 2 + numbers[(count - 1) // 2] / 2 if numbers else None,
            min=numbers[0] if numbers else None,
            max=numbers[-1] if numbers else None,
            count=count,
            missing=len(outcomes) - count,
        )
    return summary


@dataclass(frozen=True, slots=True)
class _PlannedColumn:
    key: int
    label: str
    type: str
    headline: int | None


def _columns_of_plan(connection: Connection, plan_id: int) -> dict[str, list[_PlannedColumn]]:
    """Columns by scope, in the order of display."""
    columns: dict[str, list[_PlannedColumn]] = {"matrix": [], "layer": [], "model": []}
    for scope, *content in connection.execute(_PLANNED_COLUMNS, {"plan": plan_id}).all():
        columns[scope].append(_PlannedColumn(*content))
    return columns


_PLANNED_COLUMNS = (
    select(
        t.plan_variant.c.scope,
        t.variant.c.column_id,
        t.plan_variant.c.label,
        t.metric_column.c.type,
        t.plan_variant.c.headline,
    )
    .join(t.variant, t.variant.c.id == t.plan_variant.c.variant_id)
    .join(t.metric_column, t.metric_column.c.id == t.variant.c.column_id)
    .where(t.plan_variant.c.plan_id == bindparam("plan"))
    .order_by(t.plan_variant.c.position)
)


def _covered_layers(connection: Connection, analysis_id: int) -> Sequence[Row[Any]]:
    return connection.execute(_COVERED_LAYERS, {"analysis": analysis_id}).all()


_layer = t.layer.c
_COVERED_LAYERS = (
    select(
        t.coverage,
        _layer.name,
        _layer.kind,
        _layer.groups,
        _layer.split,
        _layer.shape,
        _layer.weight_name,
        _layer.weight_id,
        _layer.bias_id,
    )
    .join(t.layer, _layer.id == t.coverage.c.layer_id)
    .where(t.coverage.c.analysis_id == bindparam("analysis"))
    .order_by(t.coverage.c.position)
)


def _matrix_subjects(
    connection: Connection, covered: Sequence[Row[Any]], contexts: Mapping[int, int]
) -> dict[tuple[int, int], list[Row[Any]]]:
    """Matrix subjects by (layer key, extractor key), plain and in the context of their layer, by index."""
    analyzed = [row for row in covered if row.state == "analyzed"]
    found: dict[tuple[int, str, int, int], list[Row[Any]]] = defaultdict(list)
    for chunk in chunks(sorted({row.weight_id for row in analyzed})):
        for row in connection.execute(_MATRIX_SUBJECTS, {"tensors": chunk}).all():
            found[row.groups, row.split, row.tensor_id, row.extractor_id].append(row)
    return {
        (row.layer_id, row.extractor_id): [
            subject
            for subject in found[row.groups, row.split, row.weight_id, row.extractor_id]
            if subject.context_id is None or subject.context_id == contexts.get(row.layer_id)
        ]
        for row in analyzed
    }


_MATRIX_SUBJECTS = (
    select(t.matrix_subject)
    .where(t.matrix_subject.c.tensor_id.in_(bindparam("tensors", expanding=True)))
    .order_by(t.matrix_subject.c.matrix_index)
)


def _layer_subjects(connection: Connection, covered: Sequence[Row[Any]]) -> dict[int, int]:
    """Keys of layer subjects by layer key."""
    by_content: dict[tuple[str, int, int, int | None], int] = {}
    for chunk in chunks(sorted({row.weight_id for row in covered if row.weight_id is not None})):
        for key, *content in connection.execute(_LAYER_SUBJECTS, {"tensors": chunk}).all():
            by_content[tuple(content)] = key
    keys = {row.layer_id: by_content.get((row.kind, row.groups, row.weight_id, row.bias_id)) for row in covered}
    return {layer_id: key for layer_id, key in keys.items() if key is not None}


_whole = t.layer_subject.c
_LAYER_SUBJECTS = select(_whole.subject_id, _whole.kind, _whole.groups, _whole.weight_id, _whole.bias_id).where(
    _whole.weight_id.in_(bindparam("tensors", expanding=True))
)


def _values(
    connection: Connection, subjects: Sequence[int], columns: Mapping[str, Sequence[_PlannedColumn]]
) -> dict[int, dict[int, Outcome]]:
    types = {column.key: _NUMBERS.get(column.type) for by_scope in columns.values() for column in by_scope}
    found: dict[int, dict[int, Outcome]] = defaultdict(dict)
    for chunk in chunks(sorted(set(subjects))):
        for subject, column, state, number, *content in connection.execute(_VALUES, {"subjects": chunk}).all():
            if column in types:
                kind = types[column]
                typed = number if kind is None or number is None else kind(number)
                found[subject][column] = _outcome(state, typed, *content)
    return dict(found)


def subjects_with_spectra(connection: Connection, subjects: Sequence[str], identities: Sequence[int]) -> set[str]:
    """Return the digests of those subjects that have a spectrum of these identities, with its values or without."""
    found: set[str] = set()
    for chunk in chunks(subjects):
        rows = connection.execute(_WITH_SPECTRA, {"subjects": chunk})
        # Chosen here: SQLite would go through all spectra of an identity instead of those of the subjects.
        found |= {row.digest for row in rows if row.identity_id in identities}
    return found


_WITH_SPECTRA = (
    select(t.subject.c.digest, t.spectrum.c.identity_id)
    .join(t.spectrum, t.spectrum.c.subject_id == t.subject.c.id)
    .where(t.subject.c.digest.in_(bindparam("subjects", expanding=True)))
)


@functools.lru_cache(maxsize=1024)
def _shape(text: str) -> tuple[int, ...]:
    return tuple(json.loads(text))


def _outcome(state: str, number: float | None, text: str | None, reason: str) -> Outcome:
    return Outcome(_STATES[state], number, text, reason)


_STATES = {str(state): state for state in State}


def _failures(connection: Connection, run_id: int) -> tuple[Failure, ...]:
    return tuple(Failure(*content) for content in connection.execute(_FAILURES, {"run": run_id}))


_failure = t.run_failure.c
_FAILURES = (
    select(_failure.stage, _failure.plugin, _failure.subject, _failure.message)
    .where(_failure.run_id == bindparam("run"))
    .order_by(_failure.position)
)


def _name_of(connection: Connection, checkpoint_id: int, digest: str) -> CheckpointRef:
    return _by_digest_prefix(connection, digest) or CheckpointRef(checkpoint_id, digest, "", "")
