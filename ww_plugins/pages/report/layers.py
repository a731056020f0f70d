"""A model's layers as tables and as charts over depth."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

import ww_core as ww
from ww_core.command.marks import Marks
from ww_plugins.pages.charts import depth_chart
from ww_plugins.pages.tables import Cell, Header, PageTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from markupsafe import Markup

    from ww_core.domain.report import LayerRow, ReportColumn
    from ww_plugins.pages.report.meanings import Meanings

NUMBERS = ("float", "int")

INFINITE = {ww.State.INF: math.inf, ww.State.NEGATIVE_INF: -math.inf}
"""What results without a finite number are sorted by."""


def name_of(report: ww.AnalysisReport) -> str:
    """Return what people call a report's checkpoint: model and version, or the start of its digest."""
    return f"{report.model}@{report.version}" if report.model else report.digest[:12]


def matrix_table(report: ww.AnalysisReport, meanings: Meanings) -> PageTable:
    """Return the table of a model's matrices, with every column: those that the profile shows first."""
    of_scope = [own for own in report.columns if own.scope == "matrix"]
    first = [own for name in report.headline for own in of_scope if own.name == name]
    columns = [*first, *(own for own in of_scope if own not in first)]
    several = len({row.index for row in report.layers}) > 1
    headers = [
        Header("layer", "the model's own name of it"),
        Header("kind"),
        Header("shape", "of the weight: out, in, kernel"),
        Header("extractor", "how matrices were made of the weight"),
        *([Header("index", "which of the layer's matrices", is_number=True)] if several else []),
        Header("N", "larger side of the matrix", is_number=True),
        Header("M", "smaller side of the matrix", is_number=True),
        *_headers(first, meanings),
        *(replace(own, is_extra=True) for own in _headers(columns[len(first) :], meanings)),
    ]
    marks = Marks(report.columns)
    rows = [
        [
            *_place(row),
            Cell(row.extractor),
            *([Cell(row.index)] if several else []),
            Cell(row.N),
            Cell(row.M),
            *_cells(columns, row.metrics, marks),
        ]
        for row in report.layers
    ]
    notes = "".join(f" {note}." for note in marks.footnotes())
    return PageTable(f"Matrices of {name_of(report)}, in the order of the layers.{notes}", headers, rows)


def layer_table(report: ww.AnalysisReport, meanings: Meanings) -> PageTable:
    """Return the table of a model's whole layers."""
    columns = [own for own in report.columns if own.scope == "layer"]
    headers = [Header("layer"), Header("kind"), Header("shape"), *_headers(columns, meanings)]
    marks = Marks(report.columns)
    rows = [[*_place(row), *_cells(columns, row.metrics, marks)] for row in report.layer_metrics]
    notes = "".join(f" {note}." for note in marks.footnotes())
    return PageTable(f"Whole layers of {name_of(report)}.{notes}", headers, rows)


def columns_table(report: ww.AnalysisReport, meanings: Meanings) -> PageTable:
    """Return the table that says what each column means."""
    headers = [*map(Header, ("column", "of", "meaning", "unit", "better", "metric", "version"))]
    rows = [
        [*map(Cell, (own.name, own.scope, meanings.of(own), own.unit, own.better, own.metric, own.version))]
        for own in report.columns
    ]
    return PageTable(f"Columns of {name_of(report)}: what each means.", headers, rows)


def depth_charts(report: ww.AnalysisReport) -> list[Markup]:
    """Return a chart for each column of numbers that the profile shows and that has one: of primary matrices."""
    by_name = {own.name: own for own in report.columns if own.type in NUMBERS and own.scope == "matrix"}
    rows = [row for row in report.layers if row.is_primary]
    names = [f"{row.name}[{row.index}]" if row.index else row.name for row in rows]
    drawn = []
    for label in report.headline:
        if label not in by_name:
            continue
        values = numbers_of(row.metrics.get(label) for row in rows)
        if np.isfinite(values).any():
            drawn.append(depth_chart(label, names, {name_of(report): values}, unit=by_name[label].unit))
    return drawn


def numbers_of(outcomes: Iterable[ww.Outcome | None]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return values as numbers, shape (n,), float64; NaN where there is none."""
    return np.array([np.nan if own is None or own.number is None else own.number for own in outcomes], np.float64)


def outcome_cell(outcome: ww.Outcome | None, signs: str = "") -> Cell:
    """Return the cell of a value; where there is none, its state, and why."""
    if outcome is None:
        return Cell(None)
    if not outcome.is_ok:
        return Cell(
            INFINITE.get(outcome.state),
            outcome.reason,
            text="n/a" if outcome.state is ww.State.NOT_APPLICABLE else outcome.state,
        )
    return Cell(outcome.value, signs=signs if outcome.value is not None else "")


def _headers(columns: Sequence[ReportColumn], meanings: Meanings) -> list[Header]:
    return [Header(own.name, meanings.note(own), own.type in NUMBERS) for own in columns]


def _place(row: ww.MatrixRow | LayerRow) -> list[Cell]:
    return [Cell(row.name), Cell(row.kind), Cell("x".join(map(str, row.shape)))]


def _cells(columns: Sequence[ReportColumn], metrics: Mapping[str, ww.Outcome], marks: Marks) -> list[Cell]:
    return [outcome_cell(metrics.get(own.name), marks.of(own.name, metrics)) for own in columns]
