"""What is to be known before the numbers of a model are believed, each with the rule behind it."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import ww_core as ww
from ww_core.command.marks import Marks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ww_core.domain.report import ReportColumn
    from ww_plugins.pages.report.meanings import Meanings

WARNING = "warning"
"""Key of columns whose texts are warnings."""

SHOWN = 12
"""Names that a warning gives; beyond that they are counted."""


class Warned(NamedTuple):
    """A warning.

    Attributes:
        text: What is wrong.
        rule: By which rule it is.
        names: Of which layers; empty for the whole model.
        more: How many more layers there are.
    """

    text: str
    rule: str
    names: tuple[str, ...] = ()
    more: int = 0


class Flagged(NamedTuple):
    """Layers of which a column says that something is wrong.

    Attributes:
        column: The column.
        text: What is wrong.
        names: Of which layers, in their order.
    """

    column: ReportColumn
    text: str
    names: Sequence[str]


def warnings_of(report: ww.AnalysisReport, meanings: Meanings) -> list[Warned]:
    """Return the warnings of an analysis: what it lost, what it said itself, then what rules say of its layers."""
    return [*_of_the_run(report), *_of_layers(report, meanings)]


def _of_the_run(report: ww.AnalysisReport) -> Iterator[Warned]:
    run = report.run
    if run.control is not None:
        yield Warned(str(run.control), "a control is no trained network: `ww analyze --control` made it")
    if run.state != "done":
        yield Warned(f"the analysis is {run.state}", "means and counts are of what was computed until then")
    if report.provisional:
        yield Warned("the digest is provisional", "some tensor could not be read, so it is not that of all weights")
    if report.chosen_layers:
        yield Warned("not all layers were analysed", f"the analysis was asked for {', '.join(report.chosen_layers)}")
    yield from _of_refused(report)
    for text in report.warnings:
        yield Warned(text, "said by the analysis")
    for failure in report.failures:
        yield Warned(f"lost: {failure.message}", f"{failure.stage} by {failure.plugin}", (failure.subject,))


def _of_refused(report: ww.AnalysisReport) -> Iterator[Warned]:
    """Give one warning of all layers without any value, as of weights that are NaN: Coverage has the reason of each."""
    refused = [own for own in report.coverage.reasons if own.reason.startswith(f"{ww.State.REFUSED}: ")]
    if refused:
        names, reasons = [own.name for own in refused], list(dict.fromkeys(own.reason for own in refused))
        more = f"; {len(reasons) - 1:,} more reasons under Coverage" if len(reasons) > 1 else ""
        yield Warned(
            "no value at all, and no part in any mean",
            f"{reasons[0]}{more}",
            tuple(names[:SHOWN]),
            max(0, len(names) - SHOWN),
        )


def _of_layers(report: ww.AnalysisReport, meanings: Meanings) -> Iterator[Warned]:
    for column, text, names in flagged_layers(report):
        rule = f"{column.name}: {meanings.of(column)}"
        if column.doubts:
            rule += f" Then {column.doubts.replace(',', ', ')} of the layer are not to be trusted."
        yield Warned(text, rule, tuple(names[:SHOWN]), max(0, len(names) - SHOWN))


def flagged_layers(report: ww.AnalysisReport) -> Iterator[Flagged]:
    """Give the layers of which a column says that something is wrong, by columns and by what they say."""
    flags = Marks(report.columns).flags
    for column in report.columns:
        found: dict[str, list[str]] = defaultdict(list)
        for row in report.layers if column.scope == "matrix" else report.layer_metrics:
            outcome = row.metrics.get(column.name)
            if outcome is None:
                continue
            if column.name in flags and outcome.number is True:
                found[column.name].append(row.name)
            elif column.column == WARNING and outcome.text:
                found[outcome.text].append(row.name)
        for text, every in found.items():
            yield Flagged(column, text, list(dict.fromkeys(every)))
