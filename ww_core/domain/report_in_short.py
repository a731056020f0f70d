"""A report in short: a few lines for a notebook, and flat numbers for whoever logs a training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from ww_core.domain.text import printable

if TYPE_CHECKING:
    from ww_core.domain.outcome import Outcome
    from ww_core.domain.report import AnalysisReport

MOST_COLUMNS = 8
"""Columns of the headline that have a line."""

WIDTH = 100
"""Characters of a line."""

LABEL_WIDTH = 40
"""Most characters of a label, or of a name."""


def lines_of(report: AnalysisReport) -> str:
    """Return at most 15 lines: what was analysed, the means of the headline, and how much was said besides."""
    return "\n".join(_cut(line, WIDTH) for line in _lines(report))


def _lines(report: AnalysisReport) -> Iterator[str]:
    name = f"{_cut(report.model, LABEL_WIDTH)}@{_cut(report.version, LABEL_WIDTH)}" if report.model else "unnamed"
    state = "" if report.run.state == "done" else f", {report.run.state}"
    yield f"AnalysisReport of {name}, digest {report.digest[:12]}, profile {report.run.profile}{state}"
    cover = report.coverage
    counts = {
        "refused": cover.refused,
        "with statistics only": cover.statistics_only,
        "skipped": cover.skipped,
        "failed": cover.failed,
    }
    others = "".join(f", {count} {what}" for what, count in counts.items() if count)
    yield f"layers: {cover.analyzed} analysed{others}"
    yield f"parameters: {cover.parameters_analyzed:,} of {cover.parameters:,} have a spectrum"
    shown = [label for label in report.headline if label in report.summary]
    if shown:
        yield "means:"
    for label in shown[:MOST_COLUMNS]:
        own = report.summary[label]
        missing = f", {own.missing} without a value" if own.missing else ""
        mean = "none" if own.mean is None else f"{own.mean:.4g}"
        yield f"  {_cut(label, LABEL_WIDTH)} {mean} (of {own.count}{missing})"
    if len(shown) > MOST_COLUMNS:
        yield f"  and {len(shown) - MOST_COLUMNS} more: see summary"
    for what, sentences in {"warnings": report.warnings, "failures": report.failures}.items():
        if sentences:
            yield f"{what}: {len(sentences)}, the first: {sentences[0]}"


def _cut(text: str, most: int) -> str:
    """Return a text in one line that may be printed, with its end left out where it is longer than this."""
    told = printable(" ".join(text[: 4 * most].splitlines()))
    return told if len(told) <= most else f"{told[: most - 3]}..."


def numbers_of(report: AnalysisReport, prefix: str) -> dict[str, float]:
    """Return the finite numbers of a report; `AnalysisReport.flat` says by which names."""
    root = f"{prefix}/" if prefix else ""
    numbers = {f"{root}{label}": own.mean for label, own in report.summary.items() if own.mean is not None}
    rows = [row for row in report.layers if row.is_primary]
    several = {row.name for row in rows if row.index}
    for row in rows:
        index = f"[{row.index}]" if row.name in several else ""
        numbers |= _finite(row.metrics, f"{root}{row.name}/", index)
    for whole in report.layer_metrics:
        numbers |= _finite(whole.metrics, f"{root}{whole.name}/", "")
    return numbers


def _finite(outcomes: Mapping[str, Outcome], before: str, after: str) -> dict[str, float]:
    return {f"{before}{label}{after}": float(own.number) for label, own in outcomes.items() if own.number is not None}
