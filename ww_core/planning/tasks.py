"""What the store lacks, as tasks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ww_core.compute.evaluate import is_complete
from ww_core.compute.needs import KindsBehind
from ww_core.compute.task import Known, LayerTask, MatrixTask
from ww_core.domain.column import Scope
from ww_core.domain.outcome import Outcome
from ww_core.planning.layers import PlannedLayer, PlannedMatrices
from ww_core.store.records import ColumnKey

if TYPE_CHECKING:
    from ww_core.domain.column import Column
    from ww_core.domain.spectrum import Spectrum, SpectrumKind
    from ww_core.plugins.resolver import Node
    from ww_core.plugins.selection import Selection
    from ww_core.store.reader import Reader


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
    plain = [node for node in matrix_nodes if not node.in_context]
    contextual = [node for node in matrix_nodes if node.in_context]
    known = known_of(reader, list(_subject_digests(planned, contextual=bool(contextual))), selection)
    seen: set[str] = set()
    tasks = []
    for own in planned:
        if own.subject is None:
            continue
        missing = () if own.subject.digest in seen else missing_of(layer_nodes, known.get(own.subject.digest, {}))
        seen.add(own.subject.digest)
        matrices, cost = [], 0.0
        for made in own.matrices:
            fresh = list(_matrix_tasks(own, made, plain, contextual, known, seen))
            matrices += fresh
            cost += made.plan.operations * len(fresh) / made.plan.matrices
        if missing or matrices:
            tasks.append(
                LayerTask(
                    layer=own.layer,
                    subject=own.subject,
                    stamps={spec.name: stamps.get(spec.name, "") for spec in own.layer.tensors},
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
    own: PlannedLayer,
    made: PlannedMatrices,
    plain: Sequence[Node],
    contextual: Sequence[Node],
    known: Mapping[str, Known],
    seen: set[str],
) -> Iterator[MatrixTask]:
    """Yield a task for each matrix of which something is missing that no task before has taken on."""
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
    if not known:
        return tuple(node.qualified for node in nodes)
    return tuple(node.qualified for node in nodes if not is_complete(node.quantity, known.get(node.qualified, {})))


def _with_spectra(reader: Reader, tasks: Sequence[LayerTask], selection: Selection) -> list[LayerTask]:
    """Add the stored spectra that are needed, so that what needs no more than them does not read the weights."""
    kinds_behind = KindsBehind(selection.nodes)
    subjects: dict[SpectrumKind, list[str]] = defaultdict(list)
    for matrix in (matrix for task in tasks for matrix in task.matrices):
        for kind in kinds_behind(matrix):
            subjects[kind].append(matrix.subject.digest)
    found: dict[str, tuple[Spectrum, ...]] = defaultdict(tuple)
    for kind in selection.spectra:
        for digest, spectrum in reader.spectra(subjects[kind], kind).items():
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
