"""What observers of a run are told of its layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ww_core.contracts.observer import LayerDone
from ww_core.domain.report import MatrixRow

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ww_core.compute.task import LayerResult
    from ww_core.domain.outcome import Outcome
    from ww_core.plugins.selection import Selection

    Outcomes = Mapping[str, Mapping[str, Outcome]]
    """By qualified name of the metric and name of the column."""


def layer_done(result: LayerResult, selection: Selection) -> LayerDone:
    """Return what is known of a layer when its results are in: what was computed, and what was stored before."""
    task = result.task
    return LayerDone(
        name=task.layer.name,
        cost=task.cost,
        failed=bool(result.failures),
        metrics=_by_label(task.known, result.outcomes, selection),
        matrices=tuple(_rows(result, selection)),
    )


def _rows(result: LayerResult, selection: Selection) -> Iterator[MatrixRow]:
    layer = result.task.layer
    labels = {variant.identity: variant.label for variant in selection.extractors[layer.kind]}
    for matrix, task in zip(result.matrices, result.task.matrices, strict=False):  # a layer that was lost has none
        subject = matrix.subject
        yield MatrixRow(
            name=layer.name,
            kind=str(layer.kind),
            shape=layer.shape,
            groups=layer.groups,
            split=layer.split,
            extractor=labels[subject.extractor],
            extractor_identity=subject.extractor,
            index=subject.index,
            N=max(subject.rows, subject.cols),
            M=min(subject.rows, subject.cols),
            metrics=_by_label(task.known, matrix.outcomes, selection),
        )


def _by_label(known: Outcomes, computed: Outcomes, selection: Selection) -> dict[str, Outcome]:
    found = {}
    for column in selection.columns:
        name = column.column.name
        outcome = computed.get(column.qualified, {}).get(name) or known.get(column.qualified, {}).get(name)
        if outcome is not None:
            found[column.label] = outcome
    return found
