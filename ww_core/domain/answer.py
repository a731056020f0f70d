"""From what is stored of an analysis to what it answers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from ww_core.domain.control import ControlInfo
from ww_core.domain.outcome import Outcome, State
from ww_core.domain.report import (
    Aggregate,
    AnalysisReport,
    Coverage,
    Failure,
    LayerRow,
    MatrixRow,
    ReportColumn,
    RowScope,
    RunInfo,
    Skip,
)

AVERAGED = ("float", "int")
"""Types of columns that have a mean: of a text or a yes there is none."""

LOST = Outcome(State.FAILED, reason="lost to an exception: see failures")
OUT_OF_REACH = Outcome(State.FAILED, reason="not computed: it needs the weights")
NOT_REACHED = Outcome(State.FAILED, reason="not computed: the run did not end")


class PlannedColumn(NamedTuple):
    """A column that was asked for, and its place among the columns of tables for people, if it has one."""

    shown: ReportColumn
    headline: int | None


class CoveredLayer(NamedTuple):
    """A layer under one extractor: what was to be made of it, or why nothing was, and what is stored of it.

    Attributes:
        name: Name of the layer.
        kind: Its kind.
        shape: Shape of its weight.
        groups: Its groups.
        split: Its split.
        weight: Name of its weight.
        extractor: Label of the extractor variant; empty for none.
        extractor_identity: Digest of its identity.
        is_primary: Whether summaries speak of these matrices.
        state: ``analyzed``, ``statistics``, ``skipped`` or ``failed``.
        reason: Why nothing was made.
        rows: Rows of an entry.
        cols: Columns of an entry.
        matrices: What is stored of each matrix, by index, then by label of the column.
        whole: What is stored of the whole layer.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    groups: int
    split: str
    weight: str
    extractor: str
    extractor_identity: str
    is_primary: bool
    state: str
    reason: str
    rows: int
    cols: int
    matrices: Sequence[Mapping[str, Outcome]]
    whole: Mapping[str, Outcome]


class RunEnd(NamedTuple):
    """How a run ended. ``computed`` and ``reused`` count spectra."""

    state: str
    computed: int
    reused: int
    seconds: float
    failures: tuple[Failure, ...]
    warnings: tuple[str, ...]


class StoredAnalysis(NamedTuple):
    """All that is stored of the analysis that a run has made.

    Attributes:
        run: Number of the run.
        profile: What its profile was called.
        source: Name of the source.
        digest: Content address of the checkpoint.
        control: Which control it is, if it is one.
        provisional: Whether some tensor of it could not be read.
        parameters: Numbers in all its tensors.
        chosen_layers: Globs that chose layers; empty for all.
        end: How the run ended.
        columns: The columns asked for, in order.
        layers: Layers under their extractors, in order.
        skipped: Tensors that belong to no layer.
        model: What is stored of the whole model, by label.
    """

    run: int
    profile: str
    source: str
    digest: str
    control: ControlInfo | None
    provisional: bool
    parameters: int
    chosen_layers: tuple[str, ...]
    end: RunEnd
    columns: Sequence[PlannedColumn]
    layers: Sequence[CoveredLayer]
    skipped: Sequence[Skip]
    model: Mapping[str, Outcome]


def report_of(analysis: StoredAnalysis, model: str, version: str) -> AnalysisReport:
    """Put together what an analysis says, under a name of its checkpoint."""
    end = analysis.end
    lost = NOT_REACHED if end.state != "done" else LOST if end.failures else OUT_OF_REACH
    labels: dict[str, list[str]] = {"matrix": [], "layer": [], "model": []}
    for column in analysis.columns:
        labels[column.shown.scope].append(column.shown.name)

    layers: dict[str, _LayerAnswer] = {}
    matrix_rows: list[MatrixRow] = []
    primary_rows: list[MatrixRow] = []
    layer_rows: list[LayerRow] = []
    for own in analysis.layers:
        layer = layers.setdefault(own.name, _LayerAnswer(own.name, own.weight, math.prod(own.shape)))
        made = _rows_of(own, labels["matrix"], lost)
        matrix_rows += made
        primary_rows += made if own.is_primary else []
        layer.add(own, made)
        # What is lost in making matrices costs the layer's own metrics nothing.
        is_read = own.state in {"analyzed", "statistics"} or (own.state == "failed" and own.extractor != "")
        if labels["layer"] and is_read and not layer.shown:
            layer.shown = True
            outcomes = _outcomes(labels["layer"], own.whole, lost)
            layer_rows.append(LayerRow(own.name, own.kind, own.shape, own.groups, outcomes))
    model_metrics = _outcomes(labels["model"], analysis.model, lost)
    states = [layer.state for layer in layers.values()]
    weights = {layer.weight: layer.size for layer in layers.values() if layer.state == "analyzed"}
    ranked = sorted((own.headline, own.shown.name) for own in analysis.columns if own.headline is not None)
    rows: Mapping[RowScope, Sequence[Mapping[str, Outcome]]] = {
        "matrix": [row.metrics for row in primary_rows],
        "layer": [row.metrics for row in layer_rows],
        "model": [model_metrics],
    }
    return AnalysisReport(
        source=analysis.source,
        model=model,
        version=version,
        digest=analysis.digest,
        run=RunInfo(analysis.run, analysis.profile, end.state, end.computed, end.reused, end.seconds, analysis.control),
        coverage=Coverage(
            parameters=analysis.parameters,
            parameters_analyzed=sum(weights.values()),
            analyzed=states.count("analyzed"),
            refused=states.count("refused"),
            statistics_only=states.count("statistics"),
            skipped=states.count("skipped"),
            failed=states.count("failed"),
            unread=sum(own.state == "failed" and not own.extractor for own in analysis.layers),
            reasons=(
                *(Skip(layer.name, layer.reason) for layer in layers.values() if layer.state != "analyzed"),
                *analysis.skipped,
            ),
        ),
        columns=_report_columns(analysis.columns, list(rows)),
        layers=tuple(matrix_rows),
        layer_metrics=tuple(layer_rows),
        model_metrics=model_metrics,
        summary={name: made for scope, of_scope in rows.items() for name, made in _summary(analysis, scope, of_scope)},
        headline=tuple(name for _, name in ranked),
        failures=end.failures,
        warnings=end.warnings,
        chosen_layers=analysis.chosen_layers,
        provisional=analysis.provisional,
    )


def _report_columns(columns: Sequence[PlannedColumn], scopes: Sequence[RowScope]) -> tuple[ReportColumn, ...]:
    """Return the columns by scope; the key of a standard error becomes the name it is shown by, where it is shown."""
    names = {(own.shown.identity, own.shown.column): own.shown.name for own in columns}
    return tuple(
        replace(own.shown, standard_error=names.get((own.shown.identity, own.shown.standard_error), ""))
        for scope in scopes
        for own in columns
        if own.shown.scope == scope
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

    def add(self, covered: CoveredLayer, made: Sequence[MatrixRow]) -> None:
        """Take one extractor and the matrices that it made into account."""
        state, reason = covered.state, covered.reason
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


def _rows_of(covered: CoveredLayer, labels: Sequence[str], lost: Outcome) -> list[MatrixRow]:
    """Make the rows of a covered layer: one per matrix that was planned, whether anything is stored of it or not."""
    return [
        MatrixRow(
            name=covered.name,
            kind=covered.kind,
            shape=covered.shape,
            groups=covered.groups,
            split=covered.split,
            extractor=covered.extractor,
            extractor_identity=covered.extractor_identity,
            index=index,
            N=max(covered.rows, covered.cols),
            M=min(covered.rows, covered.cols),
            metrics=_outcomes(labels, known, lost),
            is_primary=covered.is_primary,
        )
        for index, known in enumerate(covered.matrices)
    ]


def _outcomes(labels: Sequence[str], known: Mapping[str, Outcome], lost: Outcome) -> dict[str, Outcome]:
    return {label: known.get(label, lost) for label in labels}


def _summary(
    analysis: StoredAnalysis, scope: str, rows: Sequence[Mapping[str, Outcome]]
) -> list[tuple[str, Aggregate]]:
    """Aggregate the columns of numbers of a scope over its rows."""
    shown = [own.shown for own in analysis.columns if own.shown.scope == scope and own.shown.type in AVERAGED]
    return [(column.name, Aggregate.of([row[column.name] for row in rows])) for column in shown if rows]
