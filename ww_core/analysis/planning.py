"""From layers, a selection and what is stored to the tasks that remain."""

from __future__ import annotations

import functools
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ww_core.analysis.evaluate import is_complete
from ww_core.analysis.inputs import FROM_SPECTRUM
from ww_core.analysis.reading import sentence_of
from ww_core.analysis.work import Known, LayerTask, MatrixTask
from ww_core.domain.identity import NUMERICS_VERSION, PRECISION, spectrum_identity
from ww_core.domain.layer import LayerKind, SkippedTensor
from ww_core.domain.matrix import MatrixPlan
from ww_core.domain.outcome import Outcome
from ww_core.domain.quantity import Scope
from ww_core.domain.report import Failure
from ww_core.domain.subject import LayerSubject, MatrixSubject
from ww_core.errors import NotApplicable, NoValue
from ww_core.store.records import ColumnKey, ColumnRecord, CoverageRecord, IdentityRecord, Maker, PlanRecord

if TYPE_CHECKING:
    from ww_core.domain.checkpoint import Checkpoint
    from ww_core.domain.layer import Layer
    from ww_core.domain.quantity import Column
    from ww_core.domain.request import Request
    from ww_core.domain.spectrum import Precision, Resolution, Spectrum
    from ww_core.plugins.registry import Registry
    from ww_core.plugins.resolver import Node
    from ww_core.plugins.selection import ExtractorVariant, Selection
    from ww_core.store.reader import Reader


MOST_MATRICES = 2**20
"""Matrices of one layer: each is a subject with a row of its own."""


@dataclass(frozen=True, slots=True, eq=False)
class PlannedMatrices:
    """What one extractor variant will make of a layer, with the subjects by index."""

    variant: ExtractorVariant
    plan: MatrixPlan
    subjects: tuple[MatrixSubject, ...]


@dataclass(slots=True, eq=False)
class PlannedLayer:
    """A selected layer: its content, its matrices by variant, and why a variant makes none.

    ``subject`` is None where a tensor could not be read. ``primary`` are the matrices that summaries and model metrics
    speak of: those of the first variant, so that nothing of another one gets into a mean; None where it makes none.
    """

    layer: Layer
    subject: LayerSubject | None
    matrices: list[PlannedMatrices] = field(default_factory=list)
    reasons: list[tuple[ExtractorVariant, str]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    primary: PlannedMatrices | None = None

    def in_context(self, subject: MatrixSubject) -> MatrixSubject:
        """Return a matrix of this layer as it stands in it."""
        return replace(subject, context=self.subject.digest if self.subject else "")


def plan_layers(
    layers: Sequence[Layer], selection: Selection, contents: Mapping[str, LayerSubject]
) -> list[PlannedLayer]:
    """Plan every layer from its header and its content, by name; nothing is planned of what could not be read."""
    planned = []
    with_matrices = bool(selection.wanted(Scope.MATRIX))
    for layer in layers:
        subject = contents.get(layer.name)
        own = PlannedLayer(layer, subject)
        planned.append(own)
        if subject is None or not with_matrices:
            continue
        for place, variant in enumerate(selection.extractors[layer.kind]):
            plan = plan_of(layer, variant)
            if isinstance(plan, NoPlan):
                own.reasons.append((variant, plan.reason))
                own.failures += [plan.failure] if plan.failure else []
            else:
                made = (_matrix_subject(layer, subject, variant, plan, index) for index in range(plan.matrices))
                own.matrices.append(PlannedMatrices(variant, plan, tuple(made)))
                if place == 0:
                    own.primary = own.matrices[0]
    return planned


@dataclass(frozen=True, slots=True)
class NoPlan:
    """Why a variant makes nothing of a layer, with the failure if it was an exception."""

    reason: str
    failure: Failure | None = None


def plan_of(layer: Layer, variant: ExtractorVariant) -> MatrixPlan | NoPlan:
    """Return what a variant will make of a layer, whatever its extractor raises."""
    try:
        return _checked(variant.extractor.plan(layer))
    except NoValue as missing:
        return NoPlan(missing.reason)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - an extractor is a plugin
        sentence = sentence_of(error)
        return NoPlan(
            f"extractor {variant.label} failed: {sentence}",
            Failure("extract", variant.qualified, layer.name, sentence),
        )


def _checked(plan: object) -> MatrixPlan:
    if not isinstance(plan, MatrixPlan):
        raise TypeError(f"plan must return a MatrixPlan, not {type(plan).__name__}")
    counts = (plan.matrices, plan.entries, plan.rows, plan.cols)
    if min(counts) < 1:
        raise NotApplicable("it makes no matrix of this layer")
    if plan.matrices > MOST_MATRICES:
        raise ValueError(f"it promises {plan.matrices} matrices of one layer, and {MOST_MATRICES} are the most")
    if plan.multiplicities is not None and (len(plan.multiplicities) != plan.entries or min(plan.multiplicities) < 1):
        raise ValueError(f"multiplicities must be {plan.entries} whole numbers from 1 on, one for each entry")
    if not 0.0 < plan.scale < math.inf:
        raise ValueError(f"scale must be a positive number, not {plan.scale!r}")
    if not 0.0 < plan.gain < math.inf:
        raise ValueError(f"gain must be a positive number, not {plan.gain!r}")
    return plan


def _matrix_subject(
    layer: Layer, content: LayerSubject, variant: ExtractorVariant, plan: MatrixPlan, index: int
) -> MatrixSubject:
    return MatrixSubject(
        tensor=content.weight,
        groups=layer.groups,
        split=layer.split,
        extractor=variant.identity,
        index=index,
        rows=plan.rows,
        cols=plan.cols,
        entries=plan.entries,
        rounding=content.rounding,
    )


def coverage_of(
    planned: Sequence[PlannedLayer], unselected: Iterable[Layer], selection: Selection
) -> list[CoverageRecord]:
    """Say of every layer what is done with it: nothing stays without a reason."""
    without = "statistics" if selection.wanted(Scope.LAYER) else "skipped"
    records = []
    for own in planned:
        layer = own.layer
        if own.subject is None:
            records.append(CoverageRecord(layer, "failed", "it could not be read"))
            continue
        failed = {failure.plugin for failure in own.failures}
        records += [
            CoverageRecord(
                layer=layer,
                state="analyzed",
                extractor=made.variant.label,
                extractor_identity=made.variant.identity,
                is_primary=made is own.primary,
                matrices=made.plan.matrices,
                rows=made.plan.rows,
                cols=made.plan.cols,
            )
            for made in own.matrices
        ]
        records += [
            CoverageRecord(
                layer=layer,
                state="failed" if variant.qualified in failed else without,
                reason=reason,
                extractor=variant.label,
                extractor_identity=variant.identity,
            )
            for variant, reason in own.reasons
        ]
        if not own.matrices and not own.reasons:
            records.append(CoverageRecord(layer, without, "no metric of a matrix is selected"))
    records += [CoverageRecord(layer, "skipped", "not selected") for layer in unselected]
    return records


def skipped_tensors(checkpoint: Checkpoint) -> list[SkippedTensor]:
    """Return the tensors that belong to no layer, with their reasons."""
    buffers = [
        SkippedTensor(spec.name, spec.dtype, spec.shape, "a buffer, no weight of a layer")
        for spec in checkpoint.buffers
    ]
    return [*checkpoint.skipped, *buffers]


def plan_record(selection: Selection, request: Request) -> PlanRecord:
    """Return what was asked, as it is stored."""
    headline = {label: place for place, label in enumerate(selection.headline())}
    return PlanRecord(
        profile=selection.profile_key,
        experiment=selection.experiment,
        narrowed=bool(request.metrics or request.layers),
        layers=sorted(request.layers),
        extractors={role: [own.identity for own in variants] for role, variants in _roles(selection).items()},
        columns=[
            ColumnRecord(
                label=column.label,
                scope=str(column.scope),
                identity=selection.nodes[column.qualified].identity,
                column=column.column.key,
                type=column.column.type,
                headline=headline.get(column.label),
            )
            for column in selection.columns
        ],
    )


def _roles(selection: Selection) -> dict[str, Sequence[ExtractorVariant]]:
    """Extractor variants by role: convolutions, all other kinds, and single kinds that differ from these.

    A kind that a later version adds then changes no variant of today.
    """
    roles: dict[str, Sequence[ExtractorVariant]] = {
        "convolution": selection.extractors[LayerKind.CONV2D],
        "other": selection.extractors[LayerKind.DENSE],
    }
    for kind, variants in selection.extractors.items():
        usual = roles["convolution" if kind.is_convolution else "other"]
        if [variant.identity for variant in variants] != [variant.identity for variant in usual]:
            roles[str(kind)] = variants
    return roles


def identity_records(selection: Selection, registry: Registry) -> list[IdentityRecord]:
    """Return the identities of a selection: quantities, metrics, extractors, spectra."""
    makers = {own.name: Maker(own.name, own.distribution, own.version) for own in registry.plugins}
    through = _plugins_behind(selection)
    records = [
        IdentityRecord(
            digest=node.identity,
            kind="metric" if node.quantity.is_metric else "quantity",
            key=node.key,
            name=node.qualified,
            version=node.quantity.version,
            parameters=node.parameters,
            needs=node.need_identities,
            source_digest=node.quantity.source_digest,
            columns=node.quantity.columns if node.quantity.is_metric else (),
            maker=makers[plugin_of(node.qualified)],
            through=tuple(makers[own] for own in sorted(through[node.qualified] - {plugin_of(node.qualified)})),
        )
        for node in selection.nodes.values()
    ]
    variants = {v.identity: v for by_kind in selection.extractors.values() for v in by_kind}
    records += [
        IdentityRecord(
            digest=variant.identity,
            kind="extractor",
            key=variant.key,
            name=variant.qualified,
            version=variant.extractor.version,
            parameters=variant.extractor.values,
            needs={},
            source_digest="",
            maker=makers[plugin_of(variant.qualified)],
        )
        for variant in variants.values()
    ]
    records += [
        IdentityRecord(
            spectrum_identity(resolution, precision),
            "spectrum",
            f"ww:{resolution}",
            f"ww:{resolution}",
            NUMERICS_VERSION,
            {"precision": precision},
            {},
            "",
        )
        for resolution, precision in spectra_of(selection)
    ]
    return records


def plugin_of(qualified: str) -> str:
    """Return the name of the plugin that a qualified name begins with."""
    return qualified.partition(":")[0]


def _plugins_behind(selection: Selection) -> dict[str, set[str]]:
    """Names of the plugins of quantities and of all that these need, by qualified name."""
    behind: dict[str, set[str]] = {}
    for node in selection.nodes.values():  # each after its needs
        needs = (behind[need.quantity] for need in node.needs if need.quantity)
        behind[node.qualified] = {plugin_of(node.qualified)}.union(*needs)
    return behind


def spectra_of(selection: Selection) -> tuple[tuple[Resolution, Precision], ...]:
    """Return resolution and precision of the spectra that a selection makes or takes."""
    return (("standard", selection.precision), ("full", PRECISION))


def plan_tasks(
    reader: Reader, planned: Sequence[PlannedLayer], selection: Selection, stamps: Mapping[str, str]
) -> tuple[list[LayerTask], dict[str, Known]]:
    """Find what the store lacks.

    Args:
        reader: What reads the store.
        planned: The layers.
        selection: What is selected.
        stamps: Stamps of the tensors that lie in files, by name.

    Returns:
        Tasks, the most costly first, each subject in one of them only; and what is stored, by subject digest.
    """
    matrix_nodes, layer_nodes = selection.wanted(Scope.MATRIX), selection.wanted(Scope.LAYER)
    contextual = any(node.in_context for node in matrix_nodes)
    known = known_of(reader, list(_subject_digests(planned, contextual=contextual)), selection)
    seen: set[str] = set()
    tasks = []
    for own in planned:
        if own.subject is None:
            continue
        missing = () if own.subject.digest in seen else missing_of(layer_nodes, known.get(own.subject.digest, {}))
        seen.add(own.subject.digest)
        matrices, cost = [], 0.0
        for made in own.matrices:
            fresh = list(_matrix_tasks(own, made, matrix_nodes, known, seen))
            matrices += fresh
            cost += made.plan.cost * len(fresh) / made.plan.matrices
        if missing or matrices:
            specs = [spec for spec in (own.layer.weight, own.layer.bias) if spec is not None]
            tasks.append(
                LayerTask(
                    layer=own.layer,
                    subject=own.subject,
                    stamps={spec.name: stamps.get(spec.name, "") for spec in specs},
                    missing=missing,
                    known=known.get(own.subject.digest, {}),
                    matrices=tuple(matrices),
                    cost=cost + own.layer.size,
                )
            )
    return _with_spectra(reader, tasks, selection), known


def known_of(reader: Reader, subjects: Sequence[str], selection: Selection) -> dict[str, Known]:
    """Return what is stored of subjects, by digest: the columns of the metrics of a selection."""
    metrics = [node for node in selection.nodes.values() if node.quantity.is_metric]
    stored = reader.outcomes(subjects, [column_key(node, own) for node in metrics for own in node.quantity.columns])
    return {subject: named_outcomes(outcomes, selection) for subject, outcomes in stored.items()}


def column_key(node: Node, column: Column) -> ColumnKey:
    """Return what a stored value of a column of a metric is a value of."""
    return ColumnKey(node.identity, column.key, column.type)


def named_outcomes(outcomes: Mapping[tuple[str, str], Outcome], selection: Selection) -> Known:
    """Return stored outcomes by qualified name of the metric and name of the column."""
    named: dict[str, dict[str, Outcome]] = {}
    for (identity, key), outcome in outcomes.items():
        node = selection.by_identity[identity]
        named.setdefault(node.qualified, {})[node.quantity.names_by_key[key]] = outcome
    return named


def _matrix_tasks(
    own: PlannedLayer, made: PlannedMatrices, nodes: Sequence[Node], known: Mapping[str, Known], seen: set[str]
) -> Iterator[MatrixTask]:
    """Yield a task for each matrix of which something is missing that no task before has taken on."""
    contextual = [node for node in nodes if node.in_context]
    plain = [node for node in nodes if not node.in_context]
    for subject in made.subjects:
        in_context = own.in_context(subject) if contextual else subject
        all_known = {**known.get(subject.digest, {}), **known.get(in_context.digest, {})}
        missing = () if subject.digest in seen else missing_of(plain, all_known)
        if contextual and in_context.digest not in seen:
            missing += missing_of(contextual, all_known)
        seen |= {subject.digest, in_context.digest}
        if missing:
            yield MatrixTask(made.plan, subject, in_context, missing, all_known)


def missing_of(nodes: Sequence[Node], known: Known) -> tuple[str, ...]:
    """Return the qualified names of the metrics of which a column is not known."""
    return tuple(node.qualified for node in nodes if not is_complete(node.quantity, known.get(node.qualified, {})))


def _with_spectra(reader: Reader, tasks: Sequence[LayerTask], selection: Selection) -> list[LayerTask]:
    """Add the stored spectra that are needed, so that what needs no more than them does not read the weights."""
    needed = functools.cache(functools.partial(_resolutions, selection.nodes))  # most matrices lack the same
    subjects: dict[Resolution, list[str]] = defaultdict(list)
    for matrix in (matrix for task in tasks for matrix in task.matrices):
        for resolution in needed(
            matrix.missing, frozenset((q, name) for q, own in matrix.known.items() for name in own)
        ):
            subjects[resolution].append(matrix.subject.digest)
    found: dict[str, tuple[Spectrum, ...]] = defaultdict(tuple)
    for resolution, precision in spectra_of(selection):
        for digest, spectrum in reader.spectra(subjects[resolution], resolution, precision).items():
            found[digest] += (spectrum,)
    if found:
        tasks = [
            replace(
                task,
                matrices=tuple(replace(matrix, spectra=found[matrix.subject.digest]) for matrix in task.matrices),
            )
            for task in tasks
        ]
    return sorted(tasks, key=lambda task: -task.cost)


def _resolutions(
    nodes: Mapping[str, Node], missing: Sequence[str], known: frozenset[tuple[str, str]]
) -> set[Resolution]:
    """Return the resolutions of the spectra behind what is missing, short of the columns that are known."""
    found: set[Resolution] = set()
    reached = list(dict.fromkeys(missing))
    for qualified in reached:  # which grows
        node = nodes[qualified]
        if any(need.core in FROM_SPECTRUM for need in node.needs):
            found.add(node.quantity.resolution)
        for need in node.needs:
            is_known = (need.quantity, need.column) in known
            if need.quantity and not is_known and need.quantity not in reached:
                reached.append(need.quantity)
    return found


def _subject_digests(planned: Sequence[PlannedLayer], *, contextual: bool) -> Iterator[str]:
    for own in planned:
        if own.subject is None:
            continue
        yield own.subject.digest
        for made in own.matrices:
            for subject in made.subjects:
                yield subject.digest
                if contextual:
                    yield own.in_context(subject).digest
