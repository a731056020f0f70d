"""Rendering a report: its tables, what they come to, what was left out."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from ww_core.cli.report_tables import check_choice, named_by, print_table, shown_labels
from ww_core.command import cell, say, warn
from ww_core.domain.layer import tied_by

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ww_core.command import Output
    from ww_core.command.choice import Choice
    from ww_core.domain.outcome import Outcome
    from ww_core.domain.report import Aggregate, AnalysisReport, RowScope
    from ww_core.store.records import ColumnOrigin, Maker

DIGEST_SHOWN = 12


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
            output.line("no value and no spectrum is stored for this analysis")


def _plugin(maker: Maker) -> str:
    version = f" ({maker.distribution} {maker.version})" if maker.distribution else ""
    return maker.plugin + version


def print_report(report: AnalysisReport, output: Output, scope: RowScope | None, choice: Choice) -> None:
    """Print a report in the format of ``output``; warnings and failures go to stderr.

    Args:
        report: The report.
        output: Where it goes.
        scope: What the rows speak of; None for all tables, and for CSV of matrices.
        choice: Which columns are shown, in which order of rows.

    Raises:
        UsageError: A chosen column is not there.
    """
    for warning in report.warnings:
        warn(f"warning: {warning}")
    if output.format == "json":
        output.json(report.to_dict())
    elif output.format == "csv":
        _print_csv(report, output, scope or "matrix", choice)
    else:
        _print_tables(report, output, scope, choice)
    for failure in report.failures:
        warn(f"failed: {failure}")


def _print_csv(report: AnalysisReport, output: Output, scope: RowScope, choice: Choice) -> None:
    check_choice(report, choice, [scope])
    output.csv(choice.of_rows(report.rows(scope), named_by(report, scope)))
    if sentence := report.why_no_rows(scope):
        say(sentence)


def _print_tables(report: AnalysisReport, output: Output, scope: RowScope | None, choice: Choice) -> None:
    check_choice(report, choice, [scope] if scope else ["matrix", "layer", "model"])
    name = f"{report.model}@{report.version}" if report.model else "unnamed"
    output.line(f"{name}  {report.source}  digest {report.digest[:DIGEST_SHOWN]}  profile {report.run.profile}")
    if report.run.control:
        output.line(str(report.run.control))
    output.line()
    # Of all tables that of the model is the line under the means.
    tables: Sequence[RowScope] = [scope] if scope else ["matrix", "layer"]
    printed = [print_table(report, own, choice, output) for own in tables]
    if not any(printed) and (scope or not report.model_metrics):
        output.line(report.why_no_rows(scope or "matrix"))
    if scope != "model":
        _print_means(report, output, scope or "matrix", choice)
        if report.model_metrics:
            output.items("model", [f"{label} {_told(own)}" for label, own in report.model_metrics.items()])
    _print_coverage(report, output)


def _print_means(report: AnalysisReport, output: Output, scope: RowScope, choice: Choice) -> None:
    means = [
        _mean(label, report.summary[label])
        for label in choice.columns or shown_labels(report, scope)
        if label in report.summary and report.summary[label].count and label not in report.model_metrics
    ]
    if means:
        output.items("mean", means)


def _told(outcome: Outcome) -> str:
    return cell(outcome.value) or "no" if outcome.is_ok else outcome.explain()


def _print_coverage(report: AnalysisReport, output: Output) -> None:
    cover = report.coverage
    refused = f", {cover.refused} refused" if cover.refused else ""
    skipped = f", {cover.skipped} skipped" if cover.skipped else ""
    failed = f", {cover.failed} failed" if cover.failed else ""
    output.line(
        f"layers: {cover.analyzed} analysed{refused}, {cover.statistics_only} with statistics only{skipped}{failed}; "
        f"{cover.parameters_analyzed:,} of {cover.parameters:,} parameters"
    )
    names = defaultdict(list)
    for skip in cover.reasons:
        tied_to = tied_by(skip.reason)
        names["tied to another tensor" if tied_to else skip.reason].append(f"{skip.name}{tied_to and f' = {tied_to}'}")
    for reason, own in sorted(names.items(), key=lambda pair: -len(pair[1])):
        output.line(f"  without spectrum: {reason}: {len(own)} ({', '.join(own[:3])}{', ...' if len(own) > 3 else ''})")
    run = report.run
    output.line(f"spectra: {run.computed} computed, {run.reused} reused, in {run.seconds:.2f} s")


def _mean(label: str, summary: Aggregate) -> str:
    of = f" ({summary.count} of {summary.count + summary.missing})" if summary.missing else ""
    return f"{label} {summary.mean:.4g}{of}"
