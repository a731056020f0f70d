"""Reading from the store: one function per question, inside the caller's transaction, answering with frozen data."""

from __future__ import annotations

import functools
import itertools
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, case, func, select

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
    ReportColumn,
    RunInfo,
    Skip,
)
from ww_core.domain.rounding import Rounding
from ww_core.domain.spectrum import Precision, Resolution, Spectrum
from ww_core.domain.subject import LayerSubject
from ww_core.errors import NotStoredError, UsageError, near_names
from ww_core.store import tables as t
from ww_core.store.encoding import decode_spectrum
from ww_core.store.recording import Keys, RunEnd
from ww_core.store.rows import chunks, clean, keys_by_digest

MIN_PREFIX = 6
"""Shortest digest prefix that names a checkpoint."""

AVERAGED = ("float", "int")
"""Types of columns that have a mean: of a text or a yes there is none."""

_NUMBERS: dict[str, type[int]] = {"int": int, "bool": bool}

LOST = Outcome(State.FAILED, reason="lost to an exception: see failures")
OUT_OF_REACH = Outcome(State.FAILED, reason="not computed: it needs the weights")
NOT_REACHED = Outcome(State.FAILED, reason="not computed: the run did not end")


class CheckpointRef(NamedTuple):
    """A checkpoint under the name it was asked for; model and version are empty, and the label None, if it has none.

    ``structure_id`` is what the label stands on; of a checkpoint without a label, the newest that there is.
    """

    id: int
    structure_id: int
    digest: str
    model: str
    version: str
    label_id: int | None = None

    @property
    def name(self) -> str:
        """``MODEL@VERSION``; the digest of weights without a name."""
        return f"{self.model}@{self.version}" if self.model else self.digest


class StoredLabel(NamedTuple):
    """The label of a version of a model, with the keys of its row, of the model and of what it stands on."""

    id: int
    model_id: int
    checkpoint_id: int
    structure_id: int
    digest: str
    model: str
    version: str
    source: str

    @property
    def ref(self) -> CheckpointRef:
        """What it stands on, under its name."""
        return CheckpointRef(self.checkpoint_id, self.structure_id, self.digest, self.model, self.version, self.id)


class StoredVersion(NamedTuple):
    """One line of the list of everything stored."""

    model: str
    version: str
    step: int | None
    digest: str
    format: str
    parameters: int
    source: str
    created_at: str
    series: tuple[str, ...]


class StoredLayer(NamedTuple):
    """A layer of a stored checkpoint, with the digests of its tensors (empty for no bias, or for what was not read)."""

    name: str
    kind: str
    groups: int
    shape: tuple[int, ...]
    weight: str
    bias: str
    is_read: bool = True


class StoredTensor(NamedTuple):
    """A tensor that belongs to no layer, and why it is not analysed.

    ``content`` is its digest, or the name of the tensor it is tied to; empty if it could not be read.
    """

    name: str
    reason: str
    content: str


def find_checkpoint(connection: Connection, name: str) -> CheckpointRef:
    """Find what ``MODEL``, ``MODEL@VERSION`` or the prefix of a digest names. MODEL alone is its newest version.

    Raises:
        NotStoredError: Nothing carries the name; the message lists near ones.
        UsageError: A digest prefix fits several checkpoints.
    """
    name = clean(name)
    if not name:
        raise UsageError("the name is empty: give MODEL, MODEL@VERSION or the prefix of a digest")
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
    query = _LABELLED.where(t.model.c.name == model).order_by(*_NEWEST_FIRST)
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
        t.structure.c.checkpoint_id,
        _label.structure_id,
        t.checkpoint.c.digest,
        t.model.c.name,
        _label.name.label("version"),
        _label.source,
    )
    .join(t.model, t.model.c.id == _label.model_id)
    .join(t.structure, t.structure.c.id == _label.structure_id)
    .join(t.checkpoint, t.checkpoint.c.id == t.structure.c.checkpoint_id)
)

# Versions are in the order of their steps where all of a model have one, else in the order of recording.
# Whoever asks for the order asks for all versions of a model: these are what the windows count.
_with_step = func.count(_label.step).over(partition_by=_label.model_id)
_place = case((_with_step == func.count(_label.id).over(partition_by=_label.model_id), _label.step))
_IN_ORDER = (_place, _label.position)
_NEWEST_FIRST = (_place.desc(), _label.position.desc())


def find_versions(connection: Connection, name: str = "") -> list[CheckpointRef]:
    """Find every version of MODEL, or what ``MODEL@VERSION`` or a digest prefix names; without a name, all there are.

    Models come by name, versions in their order.

    Raises:
        NotStoredError: Nothing carries the name; the message lists near ones.
        UsageError: A digest prefix fits several checkpoints.
    """
    query = _LABELLED.order_by(t.model.c.name, *_IN_ORDER)
    if name:
        query = query.where(t.model.c.name == clean(name))
    found = [StoredLabel(*row).ref for row in connection.execute(query)]
    return found if found or not name else [find_checkpoint(connection, name)]


def _by_digest_prefix(connection: Connection, prefix: str) -> CheckpointRef | None:
    query = select(t.checkpoint.c.id, t.checkpoint.c.digest).where(t.checkpoint.c.digest.startswith(prefix)).limit(3)
    found = list(connection.execute(query))
    if len(found) > 1:
        raise UsageError(f"digest {prefix} fits several checkpoints: give more digits")
    if not found:
        return None
    return _named(connection, found[0].id, found[0].digest)


def _named(connection: Connection, checkpoint_id: int, digest: str) -> CheckpointRef:
    """A checkpoint under its newest label, if it has one."""
    labelled = _LABELLED.where(t.structure.c.checkpoint_id == checkpoint_id).order_by(t.label.c.id.desc())
    label = connection.execute(labelled).first()
    if label:
        return StoredLabel(*label).ref
    newest = select(func.max(t.structure.c.id)).where(t.structure.c.checkpoint_id == checkpoint_id)
    return CheckpointRef(checkpoint_id, connection.execute(newest).scalar_one(), digest, "", "")


def is_stored(connection: Connection, ref: CheckpointRef) -> bool:
    """Whether what a name stood on is still there, and the label still stands on it."""
    if ref.label_id is not None:
        return connection.scalar(select(_label.structure_id).where(_label.id == ref.label_id)) == ref.structure_id
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
            t.structure.c.parameters,
        )
        .join(t.model, t.model.c.id == t.label.c.model_id)
        .join(t.structure, t.structure.c.id == t.label.c.structure_id)
        .join(t.checkpoint, t.checkpoint.c.id == t.structure.c.checkpoint_id)
        .order_by(t.model.c.name, *_IN_ORDER)
    )
    return [
        StoredVersion(
            model=row.model,
            version=row.name,
            step=row.step,
            digest=row.digest,
            format=row.format,
            parameters=row.parameters,
            source=row.source,
            created_at=row.created_at,
            series=tuple(members[row.model_id]),
        )
        for row in connection.execute(query)
    ]


def stored_layers(connection: Connection, structure_id: int) -> list[StoredLayer]:
    """List the layers of a structure in order."""
    return [
        StoredLayer(
            name=row.name,
            kind=row.kind,
            groups=row.groups,
            shape=_shape(row.shape),
            weight=row.weight or "",
            bias=row.bias or "",
            is_read=row.weight is not None and (row.bias is not None or not row.bias_name),
        )
        for row in connection.execute(_LAYERS_OF_STRUCTURE, {"structure": structure_id})
    ]


def stored_tensors(connection: Connection, structure_id: int) -> list[StoredTensor]:
    """List the tensors of a structure that belong to no layer, in order."""
    rows = connection.execute(_SKIPPED, {"structure": structure_id})
    return [StoredTensor(row.name, row.reason, row.digest or row.tied_to) for row in rows]


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


@dataclass(frozen=True, slots=True, eq=False)
class StoredStructure:
    """A checkpoint as one source presented it, as far as the store knows.

    Attributes:
        digest: Content address of the checkpoint.
        provisional: Whether some tensor could not be read.
        layers: Its layers in order. What could not be read has no dtype.
        contents: What the layers consist of, by name; without those that could not be read.
        keys: Keys of the checkpoint, its structure, layers and tensors.
    """

    digest: str
    provisional: bool
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
            bias = TensorSpec(row.bias_name, row.bias_dtype, _shape(row.bias_shape))
            keys.tensors[row.bias] = row.bias_id
        if row.weight_id is not None:
            contents[row.name] = LayerSubject(row.kind, row.groups, row.weight, row.bias or "", row.rounding)
            keys.tensors[row.weight] = row.weight_id
        rounding = Rounding.parse(row.rounding)
        weight = TensorSpec(row.weight_name, row.weight_dtype or "", _shape(row.shape), rounding)
        layers.append(Layer(row.name, LayerKind(row.kind), weight, bias, row.groups, row.split))
        keys.layers[row.name] = row.id
    return StoredStructure(head.digest, head.provisional, tuple(layers), contents, keys)


_STRUCTURE = (
    select(t.structure.c.checkpoint_id, t.checkpoint.c.digest, t.checkpoint.c.provisional)
    .join(t.checkpoint, t.checkpoint.c.id == t.structure.c.checkpoint_id)
    .where(t.structure.c.id == bindparam("structure"))
)
_LAYERS_OF_STRUCTURE = _LAYERS.where(t.layer.c.structure_id == bindparam("structure"))


def stored_outcomes(
    connection: Connection, subjects: Sequence[str], columns: Mapping[int, tuple[str, str]]
) -> dict[str, dict[tuple[str, str], Outcome]]:
    """Return the stored outcomes of subjects.

    Args:
        connection: An open transaction.
        subjects: Digests of the subjects.
        columns: (identity digest, key of the column) by key of the row, of the columns asked for.

    Returns:
        Outcomes by subject digest, then by (identity digest, key of the column).
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


class CoveredLayer(NamedTuple):
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
                t.matrix_subject.c.rounding == t.layer.c.rounding,
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


class StoredRun(NamedTuple):
    """A run, and what it did.

    Attributes:
        id: Its key.
        plan_id: Key of its plan.
        profile: What its profile was called.
        profile_key: Permanent key of the profile.
        structure_id: Key of the structure that it speaks of.
        layers: The globs that chose layers, as stored.
    """

    id: int
    plan_id: int
    profile: str
    profile_key: str
    structure_id: int
    layers: str


def stored_runs(connection: Connection, ref: CheckpointRef, profile: str = "", variant: str = "") -> list[StoredRun]:
    """List the runs that answer for a label, or for a checkpoint that has none; the one to be shown first.

    That is the newest. After all others come those that did not end; before them those whose variants are not the
    profile's own; before these, those that asked for some metrics or layers only.

    Args:
        connection: An open transaction.
        ref: The checkpoint under its name.
        profile: Name of the profile; empty for any.
        variant: Label of a column or an extractor that it must show, such as ``alpha[ks=two-sided]``; empty for any.

    Raises:
        NotStoredError: There is none; the message lists what there is.
    """
    query = (
        select(
            t.run.c.id,
            t.analysis.c.plan_id,
            t.run.c.profile,
            t.plan.c.profile.label("profile_key"),
            t.analysis.c.structure_id,
            t.plan.c.layers,
        )
        .join(t.analysis, t.analysis.c.id == t.run.c.analysis_id)
        .join(t.structure, t.structure.c.id == t.analysis.c.structure_id)
        .join(t.plan, t.plan.c.id == t.analysis.c.plan_id)
        .where(_answers_for(ref))
        .order_by(
            case((t.run.c.state == "done", 0), else_=1), t.plan.c.experiment, t.plan.c.narrowed, t.run.c.id.desc()
        )
    )
    runs = [StoredRun(*row) for row in connection.execute(query)]
    named = [run for run in runs if not profile or profile in {run.profile, run.profile_key}]
    if not runs:
        raise NotStoredError(f"no analysis of {ref.name} is stored: `ww analyze SOURCE` makes one")
    if not named:
        profiles = ", ".join(sorted({run.profile for run in runs}))
        raise NotStoredError(f"{ref.name} was never analysed under profile {profile!r}: there is {profiles}")
    if not variant:
        return named
    shown = _labels_of_plans(connection, named)
    showing = [run for run in named if variant in shown[run.plan_id]]
    if not showing:
        labels = {label for labels in shown.values() for label in labels if label}
        near = near_names(variant, labels) or sorted(label for label in labels if "[" in label)
        hint = f"did you mean {', '.join(near)}?" if near else "every run shows the profile's own variants"
        raise NotStoredError(f"no run of {ref.name} shows {variant!r}: {hint}")
    return showing


def _answers_for(ref: CheckpointRef) -> ColumnElement[bool]:
    return t.structure.c.checkpoint_id == ref.id if ref.label_id is None else t.run.c.label_id == ref.label_id


def _labels_of_plans(connection: Connection, runs: Sequence[StoredRun]) -> dict[int, set[str]]:
    """Labels of the columns and extractors that runs show, by plan."""
    labels: dict[int, set[str]] = defaultdict(set)
    for chunk in chunks(sorted({run.plan_id for run in runs})):
        columns = select(t.plan_variant.c.plan_id, t.plan_variant.c.label).where(t.plan_variant.c.plan_id.in_(chunk))
        extractors = (
            select(t.analysis.c.plan_id, t.coverage.c.extractor)
            .join(t.coverage, t.coverage.c.analysis_id == t.analysis.c.id)
            .where(t.analysis.c.plan_id.in_(chunk))
            .distinct()
        )
        for query in (columns, extractors):
            for plan, label in connection.execute(query):
                labels[plan].add(label)
    return labels


class StoredRequest(NamedTuple):
    """Something that was asked of a checkpoint, by one run or several.

    Attributes:
        structure_id: Key of the structure it was asked of.
        profile: What the profile was called.
        profile_key: Permanent key of the profile.
        source: Name of the source, as the newest of the runs had it.
        content: The request's fields by name, as plain data.
        shown: Digests of the variants that the newest run that ended shows; None if none has ended.
    """

    structure_id: int
    profile: str
    profile_key: str
    source: str
    content: Mapping[str, Any]
    shown: frozenset[str] | None


def stored_requests(connection: Connection, ref: CheckpointRef) -> list[StoredRequest]:
    """List what was ever asked under a label, or of a checkpoint that has none, each once, the newest first."""
    newest: dict[tuple[int, str], Any] = {}
    ended: dict[tuple[int, str], int] = {}
    for row in connection.execute(_REQUESTS.where(_answers_for(ref))).all():
        newest.setdefault((row.structure_id, row.request), row)
        if row.state == "done":
            ended.setdefault((row.structure_id, row.request), row.plan_id)
    shown = _variants_of_plans(connection, ended.values())
    return [
        StoredRequest(
            structure_id=row.structure_id,
            profile=row.profile,
            profile_key=row.profile_key,
            source=row.source,
            content=json.loads(row.request),
            shown=frozenset(variant for variant, _ in shown[ended[asked]]) if asked in ended else None,
        )
        for asked, row in newest.items()
    ]


_REQUESTS = (
    select(
        t.run.c.source,
        t.run.c.request,
        t.run.c.state,
        t.run.c.profile,
        t.analysis.c.structure_id,
        t.analysis.c.plan_id,
        t.plan.c.profile.label("profile_key"),
    )
    .join(t.analysis, t.analysis.c.id == t.run.c.analysis_id)
    .join(t.structure, t.structure.c.id == t.analysis.c.structure_id)
    .join(t.plan, t.plan.c.id == t.analysis.c.plan_id)
    .order_by(t.run.c.id.desc())
)


def _variants_of_plans(connection: Connection, plans: Iterable[int]) -> dict[int, set[tuple[str, int]]]:
    """Variants that plans show: digest, and key of the column, by plan."""
    shown: dict[int, set[tuple[str, int]]] = defaultdict(set)
    for chunk in chunks(sorted(set(plans))):
        for plan, variant, column in connection.execute(_VARIANTS_OF_PLANS, {"plans": chunk}).all():
            shown[plan].add((variant, column))
    return shown


_VARIANTS_OF_PLANS = (
    select(t.plan_variant.c.plan_id, t.variant.c.digest, t.variant.c.column_id)
    .join(t.variant, t.variant.c.id == t.plan_variant.c.variant_id)
    .where(t.plan_variant.c.plan_id.in_(bindparam("plans", expanding=True)))
)


def likest_runs(
    connection: Connection, first: CheckpointRef, second: CheckpointRef, profile: str = ""
) -> tuple[StoredRun, StoredRun]:
    """Return the runs of two checkpoints that have most variants in common, of equal ones those over the same layers.

    Where there is still a choice, those that are to be shown first.

    Raises:
        NotStoredError: One was never analysed under the profile.
    """
    new_runs, old_runs = (_one_of_each_plan(stored_runs(connection, ref, profile)) for ref in (second, first))
    shown = _variants_of_plans(connection, (run.plan_id for run in (*new_runs, *old_runs)))

    def likeness(pair: tuple[StoredRun, StoredRun]) -> tuple[float, bool, float]:
        new, old = (shown[run.plan_id] for run in pair)
        columns = [{column for _, column in variants} for variants in (new, old)]
        return _shared(new, old), pair[0].layers == pair[1].layers, _shared(*columns)

    new, old = max(itertools.product(new_runs, old_runs), key=likeness)
    return old, new


def _one_of_each_plan(runs: Sequence[StoredRun]) -> list[StoredRun]:
    """Of runs that say the same of a checkpoint, the first."""
    first: dict[int, StoredRun] = {}
    for run in runs:
        first.setdefault(run.plan_id, run)
    return list(first.values())


def _shared(one: Set[Any], other: Set[Any]) -> float:
    """The part of all that both have."""
    return len(one & other) / len(one | other) if one or other else 1.0


def report_of_run(
    connection: Connection, run_id: int, ref: CheckpointRef | None = None, end: RunEnd | None = None
) -> AnalysisReport:
    """Put together what a run says.

    Args:
        connection: An open transaction.
        run_id: The run.
        ref: The checkpoint under the name that is to be shown; None for the newest it has.
        end: How the run has just ended, if that is not stored yet.
    """
    run = connection.execute(_RUN, {"run": run_id}).one()
    if end is None:
        failures = _failures(connection, run_id)
        end = RunEnd(run.state, run.computed, run.reused, run.seconds, failures, tuple(json.loads(run.warnings)))
    columns = _columns_of_plan(connection, run.plan_id)
    covered = _covered_layers(connection, run.analysis_id)
    wholes = _layer_subjects(connection, covered)
    matrices = _matrix_subjects(connection, covered, wholes)
    subjects = [row.subject_id for rows in matrices.values() for row in rows]
    subjects += [*wholes.values(), *([run.model_subject_id] if run.model_subject_id else [])]
    values = _values(connection, subjects, columns)
    lost = NOT_REACHED if end.state != "done" else LOST if end.failures else OUT_OF_REACH

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
    name = ref or _named(connection, run.checkpoint_id, run.digest)
    model_metrics = _outcomes(columns["model"], values.get(run.model_subject_id, {}), lost)
    skipped = connection.execute(_SKIPPED, {"structure": run.structure_id}).all()
    states = [layer.state for layer in layers.values()]
    weights = {layer.weight: layer.size for layer in layers.values() if layer.state == "analyzed"}
    every_column = [column for by_scope in columns.values() for column in by_scope]
    headline = sorted(
        (column for column in every_column if column.headline is not None), key=lambda column: column.headline or 0
    )
    return AnalysisReport(
        source=run.source,
        model=name.model,
        version=name.version,
        digest=run.digest,
        run=RunInfo(run.id, run.profile, end.state, end.computed, end.reused, end.seconds),
        coverage=Coverage(
            parameters=run.parameters,
            parameters_analyzed=sum(weights.values()),
            analyzed=states.count("analyzed"),
            refused=states.count("refused"),
            statistics_only=states.count("statistics"),
            skipped=states.count("skipped"),
            failed=states.count("failed"),
            unread=sum(row.state == "failed" and not row.extractor for row in covered),
            reasons=(
                *(Skip(layer.name, layer.reason) for layer in layers.values() if layer.state != "analyzed"),
                *(Skip(tensor.name, tensor.reason) for tensor in skipped),
            ),
        ),
        columns=tuple(column.shown for column in every_column),
        layers=tuple(matrix_rows),
        layer_metrics=tuple(layer_rows),
        model_metrics=model_metrics,
        summary={
            **_summarized(columns["matrix"], [row.metrics for row in primary_rows]),
            **_summarized(columns["layer"], [row.metrics for row in layer_rows]),
            **_summarized(columns["model"], [model_metrics]),
        },
        headline=tuple(column.shown.name for column in headline),
        failures=end.failures,
        warnings=end.warnings,
        chosen_layers=tuple(json.loads(run.layers)),
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
        t.plan.c.layers,
    )
    .join(t.analysis, t.analysis.c.id == t.run.c.analysis_id)
    .join(t.plan, t.plan.c.id == t.analysis.c.plan_id)
    .join(t.structure, t.structure.c.id == t.analysis.c.structure_id)
    .join(t.checkpoint, t.checkpoint.c.id == t.structure.c.checkpoint_id)
    .where(t.run.c.id == bindparam("run"))
)

_SKIPPED = (
    select(t.skipped_tensor.c.name, t.skipped_tensor.c.reason, t.skipped_tensor.c.tied_to, t.tensor.c.digest)
    .outerjoin(t.tensor, t.tensor.c.id == t.skipped_tensor.c.tensor_id)
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
        order = ("analyzed", "failed", "refused", "statistics", "skipped", "")
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
    return "refused", flat[0].explain()


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
            split=row.split,
            extractor=row.extractor,
            extractor_identity=row.extractor_identity,
            index=index,
            N=max(row.rows, row.cols),
            M=min(row.rows, row.cols),
            metrics=_outcomes(columns, known[index], lost),
        )
        for index in range(row.matrices)
    ]


def _outcomes(columns: Sequence[_PlannedColumn], known: Mapping[int, Outcome], lost: Outcome) -> dict[str, Outcome]:
    return {column.shown.name: known.get(column.key, lost) for column in columns}


def _summarized(columns: Sequence[_PlannedColumn], rows: Sequence[Mapping[str, Outcome]]) -> dict[str, Aggregate]:
    """Aggregate the columns of numbers over the rows of their scope; what has no value is counted."""
    summary = {}
    for label in (column.shown.name for column in columns if column.shown.type in AVERAGED):
        outcomes = [row[label] for row in rows]
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


class _PlannedColumn(NamedTuple):
    key: int
    headline: int | None
    shown: ReportColumn


def _columns_of_plan(connection: Connection, plan_id: int) -> dict[str, list[_PlannedColumn]]:
    """Columns by scope, in the order of display."""
    columns: dict[str, list[_PlannedColumn]] = {"matrix": [], "layer": [], "model": []}
    for key, headline, *content in connection.execute(_PLANNED_COLUMNS, {"plan": plan_id}).all():
        column = ReportColumn(*content)
        columns[column.scope].append(_PlannedColumn(key, headline, column))
    return columns


_PLANNED_COLUMNS = (
    select(
        t.variant.c.column_id,
        t.plan_variant.c.headline,
        t.plan_variant.c.label,
        t.plan_variant.c.scope,
        t.identity.c.key,
        t.identity.c.version,
        t.variant.c.digest,
        t.metric_column.c.type,
        t.metric_column.c.better,
        t.metric_column.c.unit,
        t.identity.c.digest.label("identity"),
        t.metric_column.c.key.label("column"),
    )
    .join(t.variant, t.variant.c.id == t.plan_variant.c.variant_id)
    .join(t.metric_column, t.metric_column.c.id == t.variant.c.column_id)
    .join(t.identity, t.identity.c.id == t.metric_column.c.identity_id)
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
    connection: Connection, covered: Sequence[Row[Any]], contexts: Mapping[int, int]
) -> dict[tuple[int, int], list[Row[Any]]]:
    """Matrix subjects by (layer key, extractor key), plain and in the context of their layer, by index."""
    analyzed = [row for row in covered if row.state == "analyzed"]
    found: dict[tuple[int, str, str, int, int], list[Row[Any]]] = defaultdict(list)
    for chunk in chunks(sorted({row.weight_id for row in analyzed})):
        for row in connection.execute(_MATRIX_SUBJECTS, {"tensors": chunk}).all():
            found[row.groups, row.split, row.rounding, row.tensor_id, row.extractor_id].append(row)
    return {
        (row.layer_id, row.extractor_id): [
            subject
            for subject in found[row.groups, row.split, row.rounding, row.weight_id, row.extractor_id]
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
    by_content: dict[tuple[str, int, str, int, int | None], int] = {}
    for chunk in chunks(sorted({row.weight_id for row in covered if row.weight_id is not None})):
        for key, *content in connection.execute(_LAYER_SUBJECTS, {"tensors": chunk}).all():
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


def _values(
    connection: Connection, subjects: Sequence[int], columns: Mapping[str, Sequence[_PlannedColumn]]
) -> dict[int, dict[int, Outcome]]:
    types = {column.key: _NUMBERS.get(column.shown.type) for by_scope in columns.values() for column in by_scope}
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
