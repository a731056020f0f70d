"""What a report says of one model: its summary, warnings, layers, spectra, coverage and origin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import ww_core as ww
from ww_core.command import cell
from ww_plugins.commands.plot.spectra import fitted_spectra, nothing_to_draw
from ww_plugins.pages.fitted import fitted_chart
from ww_plugins.pages.report.layers import columns_table, depth_charts, layer_table, matrix_table, name_of
from ww_plugins.pages.report.warnings import Warned, warnings_of
from ww_plugins.pages.tables import Cell, Header, PageTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markupsafe import Markup

    from ww_core.domain.report import Aggregate
    from ww_plugins.commands.plot.spectra import FittedSpectrum
    from ww_plugins.pages.report.meanings import Meanings

MOST_SPECTRA = 1500
"""Spectra that are drawn of a model, so that a report stays small enough to send."""

Facts = list[tuple[str, str]]


class LayerChart(NamedTuple):
    """The spectrum of a matrix: its name, what the fit says in a few words, and the chart."""

    name: str
    fit: str
    chart: Markup


@dataclass(frozen=True, slots=True)
class ModelPart:
    """What a report says of one model.

    Attributes:
        name: Model and version.
        summary: What it comes to.
        means: Means over the layers, and metrics of the model.
        warnings: What is to be known before it is believed.
        matrices: The table of its matrices.
        layers: The table of its whole layers.
        columns: What the columns mean.
        depth: Charts over depth.
        spectra: A chart for each matrix.
        no_spectra: Why matrices have no chart.
        coverage: How much was analysed.
        left_out: Layers and tensors without a spectrum, and why.
        provenance: Where it is from.
        origins: Who made the values.
    """

    name: str
    summary: Facts
    means: PageTable
    warnings: Sequence[Warned]
    matrices: PageTable
    layers: PageTable
    columns: PageTable
    depth: Sequence[Markup]
    spectra: Sequence[LayerChart]
    no_spectra: Sequence[str]
    coverage: Facts
    left_out: PageTable
    provenance: Facts
    origins: PageTable


def model_part(store: ww.Store, report: ww.AnalysisReport, named: str, meanings: Meanings) -> ModelPart:
    """Ask the store what it has of one model.

    Args:
        store: An open store.
        report: The analysis.
        named: How the model was named.
        meanings: What columns mean.

    Raises:
        StoreError: The database could not be read.
    """
    spectra, no_spectra = _spectra(store, report, named)
    return ModelPart(
        name=name_of(report),
        summary=_summary(report),
        means=_means(report),
        warnings=warnings_of(report, meanings),
        matrices=matrix_table(report, meanings),
        layers=layer_table(report, meanings),
        columns=columns_table(report, meanings),
        depth=depth_charts(report),
        spectra=spectra,
        no_spectra=no_spectra,
        coverage=_coverage(report),
        left_out=_left_out(report),
        provenance=_provenance(store, report),
        origins=_origins(store, report, named),
    )


def _summary(report: ww.AnalysisReport) -> Facts:
    cover = report.coverage
    return [
        ("Layers analysed", f"{cover.analyzed:,}"),
        ("Parameters analysed", _share(cover.parameters_analyzed, cover.parameters)),
        *((f"Mean {label}", cell(own.mean)) for label, own in _headline_means(report)),
        *((label, cell(own.value) if own.is_ok else own.explain()) for label, own in report.model_metrics.items()),
    ]


def _headline_means(report: ww.AnalysisReport) -> list[tuple[str, Aggregate]]:
    shown = [(label, report.summary[label]) for label in report.headline if label in report.summary]
    return [(label, own) for label, own in shown if own.count]


def _means(report: ww.AnalysisReport) -> PageTable:
    columns = {own.name: own for own in report.columns}
    numbers = ("mean", "median", "min", "max", "rows", "without value")
    headers = [Header("column"), *(Header(own, is_number=True) for own in numbers)]
    rows = [
        [Cell(label), *map(Cell, (own.mean, own.median, own.min, own.max, own.count, own.missing))]
        for label, own in report.summary.items()
        if columns[label].scope != "model"
    ]
    return PageTable(f"Columns of {name_of(report)} over its layers.", headers, rows)


def _spectra(store: ww.Store, report: ww.AnalysisReport, named: str) -> tuple[list[LayerChart], list[str]]:
    if not any(row.is_primary for row in report.layers):
        return [], ["no layer has a matrix"]
    try:
        found, left_out = fitted_spectra(store, named, report)
    except ww.NotStoredError as error:
        return [], [str(error)]
    if not found:
        return [], [nothing_to_draw(left_out)]
    charts = [LayerChart(own.title, _fit(own), fitted_chart(own)) for own in found[:MOST_SPECTRA]]
    reasons = [f"{f'{own.layer}[{own.number}]' if own.number else own.layer}: {own.reason}" for own in left_out]
    if len(found) > MOST_SPECTRA:
        reasons.append(
            f"{len(found) - MOST_SPECTRA:,} more spectra are not drawn, so that the file stays small: `ww plot esd` "
            "draws them"
        )
    return charts, reasons


def _fit(own: FittedSpectrum) -> str:
    if own.tail is None:
        return f"no power law: {own.reason}" if own.reason else "no power law"
    return f"alpha {own.tail.alpha:.4g} ± {own.tail.sigma:.2g}, D {own.tail.D:.4g}, {own.tail.n_tail:,} in the tail"


def _coverage(report: ww.AnalysisReport) -> Facts:
    cover = report.coverage
    counts = {
        "analysed, with a spectrum": cover.analyzed,
        "with statistics only": cover.statistics_only,
        "refused": cover.refused,
        "skipped": cover.skipped,
        "failed": cover.failed,
        "not readable": cover.unread,
    }
    return [
        *((f"Layers {name}", f"{count:,}") for name, count in counts.items() if count),
        ("Parameters with a spectrum", _share(cover.parameters_analyzed, cover.parameters)),
    ]


def _left_out(report: ww.AnalysisReport) -> PageTable:
    rows = [[Cell(own.name), Cell(own.reason)] for own in report.coverage.reasons]
    caption = f"Layers and tensors of {name_of(report)} without a spectrum, and why."
    return PageTable(caption, [Header("name"), Header("reason")], rows)


def _provenance(store: ww.Store, report: ww.AnalysisReport) -> Facts:
    run = report.run
    label = next((own for own in store.versions() if (own.model, own.version) == (report.model, report.version)), None)
    return [
        ("Digest of the weights", report.digest),
        ("Profile", run.profile),
        ("Source", report.source),
        *([("Format", label.format), ("Labelled at", label.created_at)] if label else []),
        ("Run", f"{run.id}, {run.state}: {run.computed:,} spectra computed, {run.reused:,} reused"),
    ]


def _origins(store: ww.Store, report: ww.AnalysisReport, named: str) -> PageTable:
    headers = [Header("column"), Header("values", is_number=True), Header("run", is_number=True)]
    headers += [*map(Header, ("program", "plugin", "through", "linear algebra"))]
    rows = []
    for own in store.origins(named, report.run.profile, run=report.run.id):
        made = own.origin
        texts = (
            ("not recorded", "", "", "")
            if made is None
            else (made.program, _plugin(made.maker), ", ".join(map(_plugin, made.through)), made.blas)
        )
        rows.append([Cell(own.column), Cell(own.values), Cell(made.run if made else None), *map(Cell, texts)])
    return PageTable(f"Who made the values of {name_of(report)}.", headers, rows)


def _plugin(maker: tuple[str, str, str]) -> str:
    plugin, distribution, version = maker
    return f"{plugin} ({distribution} {version})" if distribution else plugin


def _share(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,}{f' ({part / whole:.1%})' if whole else ''}"
