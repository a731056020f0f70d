"""One version of a model, as ``ww show`` shows it: its layers, its means, and what was left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import ww_core as ww
from ww_core.command.marks import Marks
from ww_plugins.pages.report.layers import depth_charts, name_of, outcome_cell
from ww_plugins.pages.report.warnings import SHOWN, flagged_layers
from ww_plugins.pages.server.asked import Asked, Form, address
from ww_plugins.pages.server.page import Page, Part, sentence, shortened, table
from ww_plugins.pages.tables import Cell

if TYPE_CHECKING:
    from ww_core.domain.report import LayerRow

CHARTS = 4
"""Columns that are drawn over depth."""


def _ask(store: ww.Store, asked: Asked) -> ww.AnalysisReport:
    return store.report(asked.text("model"), asked.text("profile") or None)


def _shown(_: ww.Store, asked: Asked, report: ww.AnalysisReport) -> Mapping[str, Any]:
    part = Part.of(report.layers, asked)
    names = {row.name for row in part.rows}
    marks = Marks(report.columns)
    return {
        "report": report,
        "warnings": [*map(sentence, report.warnings)],
        "flagged": _flagged(report),
        "name": name_of(report),
        "summary": _summary(report),
        "charts": depth_charts(report)[:CHARTS],
        "part": part,
        "layers": _layers(report, part.rows, marks),
        "wholes": table(
            "Whole layers: statistics of weights and biases",
            ["layer", "kind", *report.labels("layer")],
            (_whole_layer(row, report.labels("layer"), marks) for row in report.layer_metrics if row.name in names),
        ),
        "whole": table(
            "The model",
            ("column", "value"),
            ([Cell(label), *_values([label], report.model_metrics, marks)] for label in report.model_metrics),
        ),
        "notes": marks.footnotes(),
        "means": table(
            "Each column over all layers", ("column", "mean", "median", "min", "max", "rows"), _means(report)
        ),
        "skipped": shortened(
            "Layers and tensors without a spectrum",
            ("name", "reason"),
            report.coverage.reasons,
            lambda skip: [Cell(skip.name), Cell(skip.reason)],
        ),
        "failures": shortened(
            "Failures", ("what", "message"), report.failures, lambda own: [Cell(own.subject), Cell(own.message)]
        ),
        "history": address("history", {"model": report.model, "profile": report.run.profile}) if report.model else "",
    }


def _flagged(report: ww.AnalysisReport) -> list[tuple[str, list[tuple[str, str]], int]]:
    """Return what columns warn of: the text, the first of its layers with their spectra, and how many are left."""
    rows = {row.name: row for row in reversed(report.layers)}
    return [
        (
            own.text if own.text == own.column.name else f"{own.text} ({own.column.name})",
            [(name, _spectrum(report, rows[name]) if name in rows else "") for name in own.names[:SHOWN]],
            max(0, len(own.names) - SHOWN),
        )
        for own in flagged_layers(report)
    ]


def _summary(report: ww.AnalysisReport) -> list[tuple[str, str]]:
    cover = report.coverage
    counts = {
        "analysed": cover.analyzed,
        "with statistics only": cover.statistics_only,
        "refused": cover.refused,
        "skipped": cover.skipped,
        "failed": cover.failed,
    }
    return [
        ("Layers", ", ".join(f"{count:,} {name}" for name, count in counts.items() if count) or "none"),
        ("Parameters", f"{cover.parameters_analyzed:,} of {cover.parameters:,} analysed"),
        ("Profile", f"{report.run.profile}, run {report.run.id}"),
        *([("Control", str(report.run.control))] if report.run.control else []),
        ("Source", report.source),
        ("Digest", report.digest),
    ]


def _means(report: ww.AnalysisReport) -> list[list[Cell]]:
    return [
        [Cell(label), *map(Cell, (own.mean, own.median, own.min, own.max, own.count))]
        for label, own in report.summary.items()
        if own.count
    ]


def _layers(report: ww.AnalysisReport, rows: Sequence[ww.MatrixRow], marks: Marks) -> Any:
    labels = [label for label in report.headline if label in report.labels("matrix")]
    several = len({row.name for row in report.layers}) < len(report.layers)
    heads = ["layer", "kind", *(["extractor", "index"] if several else []), "N", "M", *labels]
    return table(
        "Matrices, in the order of the layers",
        heads,
        (
            [
                Cell(row.name, href=_spectrum(report, row)),
                Cell(row.kind),
                *([Cell(row.extractor), Cell(row.index)] if several else []),
                *map(Cell, (row.N, row.M)),
                *_values(labels, row.metrics, marks),
            ]
            for row in rows
        ),
    )


def _spectrum(report: ww.AnalysisReport, row: ww.MatrixRow) -> str:
    name = f"{report.model}@{report.version}" if report.model else report.digest
    given = {"model": name, "layer": row.name, "extractor": row.extractor, "profile": report.run.profile}
    return address("spectrum", given)


def _whole_layer(row: LayerRow, labels: Sequence[str], marks: Marks) -> list[Cell]:
    return [Cell(row.name), Cell(row.kind), *_values(labels, row.metrics, marks)]


def _values(labels: Sequence[str], outcomes: Mapping[str, ww.Outcome], marks: Marks) -> list[Cell]:
    return [outcome_cell(outcomes.get(label), marks.of(label, outcomes)) for label in labels]


PAGE = Page(
    "Layers",
    Form("show", "show", ("model",), ("profile",), required=("model",)),
    _ask,
    lambda report: report.to_dict(),
    _shown,
)
