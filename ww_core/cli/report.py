"""Rendering a report: the table of matrices, what it comes to, what was left out."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from ww_core.command import cell, say, warn
from ww_core.domain.outcome import State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ww_core.command import Output
    from ww_core.domain.outcome import Outcome
    from ww_core.domain.report import Aggregate, AnalysisReport, MatrixRow, RowScope
    from ww_core.store.records import ColumnOrigin, Maker

DIGEST_SHOWN = 12
SHORT = {State.NOT_APPLICABLE: "n/a"}


def print_origins(origins: Sequence[ColumnOrigin], output: Output) -> None:
    """Print who made the values of the columns of a report. What was not recorded is empty."""
    rows = []
    for own in origins:
        row: dict[str, Any] = {"column": own.column, "values": own.values}
        made = own.origin
        row |= {
            "run": made.run if made else None,
            "program": made.program if made else "",
            "plugin": _plugin(made.maker) if made else "",
            "through": ", ".join(_plugin(maker) for maker in made.through) if made else "",
            "blas": made.blas if made else "",
        }
        rows.append(row)
    if output.format == "json":
        output.json(rows)
    elif output.format == "csv":
        output.csv(rows)
    else:
        output.table(rows, optional=("blas", "through", "program"))
        if not rows:
            output.line("no value and no spectrum is stored of this analysis")


def _plugin(maker: Maker) -> str:
    version = f" ({maker.distribution} {maker.version})" if maker.distribution else ""
    return maker.plugin + version


def print_report(report: AnalysisReport, output: Output, scope: RowScope) -> None:
    """Print a report in the format of ``output``; warnings and failures go to stderr.

    Args:
        report: The report.
        output: Where it goes.
        scope: The rows of CSV; of tables, ``matrix`` has those of whole layers under it.
    """
    for warning in report.warnings:
        warn(f"warning: {warning}")
    if output.format == "json":
        output.json(report.to_dict())
    elif output.format == "csv":
        output.csv(report.rows(scope))
    else:
        _print_tables(report, output, scope)
    if output.format == "csv" and (sentence := report.why_no_rows(scope)):
        say(sentence)
    for failure in report.failures:
        warn(f"failed: {failure}")


def _print_tables(report: AnalysisReport, output: Output, scope: RowScope) -> None:
    name = f"{report.model}@{report.version}" if report.model else "unnamed"
    output.line(f"{name}  {report.source}  digest {report.digest[:DIGEST_SHOWN]}  profile {report.run.profile}")
    if report.run.control:
        output.line(str(report.run.control))
    output.line()
    if scope == "matrix":
        printed = [_print_matrices(report, output), _print_layers(report, output, scope)]
    elif scope == "layer":
        printed = [_print_layers(report, output, scope)]
    else:
        printed = [_print_model(report, output)]
    if not any(printed) and not (scope == "matrix" and report.model_metrics):
        output.line(report.why_no_rows(scope))
    if scope != "model":
        _print_means(report, output, scope)
    _print_coverage(report, output)


def _print_matrices(report: AnalysisReport, output: Output) -> bool:
    if not report.labels("matrix"):
        return False
    several = len({row.index for row in report.layers}) > 1
    rows = [_row(row, report.headline, with_index=several) for row in report.layers]
    output.table(rows, optional=_optional(report))
    if rows:
        output.line()
    return bool(rows)


def _print_layers(report: AnalysisReport, output: Output, scope: RowScope) -> bool:
    labels = _layer_labels(report, scope)
    rows = [
        {"layer": row.name, "kind": row.kind, "shape": "x".join(map(str, row.shape))} | _cells(row.metrics, labels)
        for row in report.layer_metrics
    ]
    if not (rows and labels):
        return False
    output.table(rows, optional=("shape", "kind", *reversed(labels)))
    output.line()
    return True


def _layer_labels(report: AnalysisReport, scope: RowScope) -> list[str]:
    """Columns of whole layers to show: those of the headline, or all if there are none and they are asked for."""
    labels = [label for label in report.labels("layer") if label in report.headline]
    return labels or (report.labels("layer") if scope == "layer" else [])


def _print_model(report: AnalysisReport, output: Output) -> bool:
    labels = report.labels("model")
    if not labels:
        return False
    place = {"model": report.model, "version": report.version}
    output.table([place | _cells(report.model_metrics, labels)], optional=tuple(reversed(labels)))
    output.line()
    return True


def _print_means(report: AnalysisReport, output: Output, scope: RowScope) -> None:
    labels = [label for label in report.headline if label not in report.model_metrics]
    if scope == "layer":
        labels = _layer_labels(report, scope)
    means = [
        _mean(label, report.summary[label])
        for label in labels
        if label in report.summary and report.summary[label].count
    ]
    if means:
        output.line(f"mean: {', '.join(means)}")
    whole = [
        f"{label} {cell(outcome.value) or 'no' if outcome.is_ok else outcome.explain()}"
        for label, outcome in report.model_metrics.items()
    ]
    if whole:
        output.line(f"model: {', '.join(whole)}")


def _print_coverage(report: AnalysisReport, output: Output) -> None:
    cover = report.coverage
    refused = f", {cover.refused} refused" if cover.refused else ""
    skipped = f", {cover.skipped} skipped" if cover.skipped else ""
    failed = f", {cover.failed} failed" if cover.failed else ""
    output.line(
        f"layers: {cover.analyzed} analysed{refused}, {cover.statistics_only} with statistics only{skipped}{failed}; "
        f"{cover.parameters_analyzed:,} of {cover.parameters:,} parameters"
    )
    for reason, count in Counter(skip.reason for skip in cover.reasons).most_common():
        names = [skip.name for skip in cover.reasons if skip.reason == reason]
        output.line(f"  without spectrum: {reason}: {count} ({', '.join(names[:3])}{', ...' if count > 3 else ''})")
    run = report.run
    output.line(f"spectra: {run.computed} computed, {run.reused} reused, in {run.seconds:.2f} s")


def _mean(label: str, summary: Aggregate) -> str:
    of = f" ({summary.count} of {summary.count + summary.missing})" if summary.missing else ""
    return f"{label} {summary.mean:.4g}{of}"


def _optional(report: AnalysisReport) -> list[str]:
    """Columns that a narrow terminal leaves out: what the name tells already, then metrics from the last on."""
    places = ["shape", "kind"]
    if len({(row.name, row.extractor) for row in report.layers}) == len({row.name for row in report.layers}):
        places.append("extractor")
    texts = {column.name for column in report.columns if column.type == "text"}
    labels = [label for label in report.headline if label in report.labels("matrix")]
    # The first is what the table is read for, and a text beside it says how far it can be trusted.
    metrics = [label for label in reversed(labels[1:]) if label not in texts]
    return [*places, *metrics, "N", "M"]


def _row(row: MatrixRow, headline: tuple[str, ...], *, with_index: bool) -> dict[str, Any]:
    place: dict[str, Any] = {
        "layer": row.name,
        "kind": row.kind,
        "shape": "x".join(map(str, row.shape)),
        "extractor": row.extractor,
    }
    if with_index:
        place["index"] = row.index
    place |= {"N": row.N, "M": row.M}
    return place | _cells(row.metrics, headline)


def _cells(metrics: Mapping[str, Outcome], labels: Sequence[str]) -> dict[str, Any]:
    shown = {label: metrics[label] for label in labels if label in metrics}
    return {label: o.value if o.is_ok else SHORT.get(o.state, str(o.state)) for label, o in shown.items()}
