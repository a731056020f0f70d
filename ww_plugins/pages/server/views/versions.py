"""One version of a model, as ``ww show`` shows it: its layers, its means, and what was left out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

import ww_core as ww
from ww_plugins.pages.charts import depth_chart
from ww_plugins.pages.server.asked import Asked, Form, address
from ww_plugins.pages.server.page import ROWS, Page, Part, table
from ww_plugins.pages.tables import Cell

if TYPE_CHECKING:
    from ww_core.domain.report import LayerRow


def _ask(store: ww.Store, asked: Asked) -> ww.AnalysisReport:
    return store.report(asked.text("model"), asked.text("profile") or None)


def _shown(_: ww.Store, asked: Asked, report: ww.AnalysisReport) -> Mapping[str, Any]:
    labels = [label for label in report.headline if label in report.labels("matrix")]
    name = f"{report.model}@{report.version}" if report.model else report.digest
    part = Part.of(report.layers, asked)
    doubts = _doubts(report)
    several = len({row.name for row in report.layers}) < len(report.layers)
    heads = ["layer", "kind", *(["extractor", "index"] if several else []), "N", "M", *labels]
    whole = report.labels("layer")
    shown = {row.name for row in part.rows}
    return {
        "report": report,
        "name": name,
        "summary": _facts(report),
        "part": part,
        "layers": table(
            "Layers", heads, (_matrix_cells(row, name, labels, doubts, several=several) for row in part.rows)
        ),
        "chart": _chart(report, labels, name) if report.layers and labels else "",
        "wholes": table(
            "Whole layers",
            ["layer", "kind", *whole],
            (_layer_cells(row, whole, doubts) for row in report.layer_metrics if row.name in shown),
        ),
        "whole": table(
            "The model",
            ("column", "value"),
            ([Cell(label), _value(label, report.model_metrics, doubts)] for label in report.model_metrics),
        ),
        "means": table("Over all layers", ("column", "mean", "median", "min", "max", "layers"), _means(report)),
        "skipped": table(
            "Without a spectrum",
            ("name", "reason"),
            ([Cell(skip.name), Cell(skip.reason)] for skip in report.coverage.reasons[:ROWS]),
        ),
        "failures": table(
            "Failures", ("what", "message"), ([Cell(own.subject), Cell(own.message)] for own in report.failures[:ROWS])
        ),
        "history": address("history", {"model": report.model}) if report.model else "",
    }


def _means(report: ww.AnalysisReport) -> list[list[Cell]]:
    return [
        [Cell(label), Cell(own.mean), Cell(own.median), Cell(own.min), Cell(own.max), Cell(own.count)]
        for label, own in report.summary.items()
        if own.count
    ]


def _facts(report: ww.AnalysisReport) -> list[tuple[str, str]]:
    cover = report.coverage
    layers = f"{cover.analyzed} analysed, {cover.statistics_only} with statistics only, {cover.skipped} skipped"
    refused = f", {cover.refused} refused" if cover.refused else ""
    failed = f", {cover.failed} failed" if cover.failed else ""
    return [
        ("source", report.source),
        ("digest", report.digest),
        ("profile", f"{report.run.profile}, run {report.run.id}"),
        ("layers", layers + refused + failed),
        ("parameters", f"{cover.parameters_analyzed:,} of {cover.parameters:,} analysed"),
        *([("control", str(report.run.control))] if report.run.control else []),
    ]


def _chart(report: ww.AnalysisReport, labels: Sequence[str], name: str) -> Any:
    label = labels[0]
    rows = [row for row in report.layers if row.is_primary]
    numbers = [row.metrics[label].number if label in row.metrics else None for row in rows]
    values = np.array([math.nan if number is None else float(number) for number in numbers])
    unit = next(column.unit for column in report.columns if column.name == label and column.scope == "matrix")
    return depth_chart(label, [row.name for row in rows], {name: values}, unit=unit)


def _matrix_cells(
    row: ww.MatrixRow, name: str, labels: Sequence[str], doubts: Mapping[str, Sequence[str]], *, several: bool
) -> list[Cell]:
    spectrum = address("spectrum", {"model": name, "layer": row.name, "extractor": row.extractor})
    place = [Cell(row.extractor), Cell(row.index)] if several else []
    sides = [Cell(row.N), Cell(row.M)]
    return [Cell(row.name, href=spectrum), Cell(row.kind), *place, *sides, *_values(labels, row.metrics, doubts)]


def _layer_cells(row: LayerRow, labels: Sequence[str], doubts: Mapping[str, Sequence[str]]) -> list[Cell]:
    return [Cell(row.name), Cell(row.kind), *_values(labels, row.metrics, doubts)]


def _values(
    labels: Sequence[str], outcomes: Mapping[str, ww.Outcome], doubts: Mapping[str, Sequence[str]]
) -> list[Cell]:
    return [_value(label, outcomes, doubts) for label in labels]


def _value(label: str, outcomes: Mapping[str, ww.Outcome], doubts: Mapping[str, Sequence[str]]) -> Cell:
    """Return a value; or why there is none; with the flags that cast doubt on it."""
    outcome = outcomes.get(label)
    if outcome is None:
        return Cell(None)
    if not outcome.is_ok:
        return Cell(str(outcome.state).replace("_", " "), note=outcome.explain())
    held = [flag for flag in doubts.get(label, ()) if flag in outcomes and outcomes[flag].number is True]
    return Cell(outcome.value, note=f"not to be trusted: {', '.join(held)}" if held else "", signs="*" if held else "")


def _doubts(report: ww.AnalysisReport) -> dict[str, list[str]]:
    """Return the flags that cast doubt on a column, by the label of that column."""
    labels: Callable[[str, str], list[str]] = lambda scope, name: [  # noqa: E731
        own.name for own in report.columns if own.scope == scope and own.name.partition("[")[0] == name
    ]
    found: dict[str, list[str]] = {}
    for flag in report.columns:
        for name in filter(None, map(str.strip, flag.doubts.split(","))):
            for label in labels(flag.scope, name):
                found.setdefault(label, []).append(flag.name)
    return found


PAGE = Page(
    "Layers",
    Form("show", "show", ("model",), ("profile",), required=("model",)),
    _ask,
    lambda report: report.to_dict(),
    _shown,
)
