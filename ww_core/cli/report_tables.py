"""The tables of a report: one of its matrices, one of whole layers, one of the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ww_core.command.marks import Marks
from ww_core.domain.outcome import State
from ww_core.domain.report import PLACES
from ww_core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ww_core.command import Output
    from ww_core.command.choice import Choice
    from ww_core.domain.outcome import Outcome
    from ww_core.domain.report import AnalysisReport, RowScope

SHORT = {State.NOT_APPLICABLE: "n/a"}


def check_choice(report: AnalysisReport, choice: Choice, scopes: Sequence[RowScope]) -> None:
    """Refuse chosen columns that rows of these scopes do not have.

    Raises:
        UsageError: A column is of another scope, or rows are to be sorted by a column of the model.
        UnknownNameError: It is of none; the message lists near ones.
    """
    _check_sort(report, choice)
    known = {name for scope in scopes for name in (*PLACES[scope], *report.labels(scope))}
    for other in PLACES:
        for name in choice.names:
            if name not in known and name in report.labels(other):
                raise UsageError(f"column {name!r} is of scope {other}: choose --scope {other}")
    choice.check(known)


def _check_sort(report: AnalysisReport, choice: Choice) -> None:
    of_rows = {name for scope in _WITH_ROWS for name in (*PLACES[scope], *report.labels(scope))}
    if choice.sorted_by not in of_rows and choice.sorted_by in (*PLACES["model"], *report.labels("model")):
        best = dict.fromkeys(name for scope in _WITH_ROWS for name in (*PLACES[scope], *shown_labels(report, scope)))
        raise UsageError(
            f"--sort: the model has one {choice.sorted_by}, which sorts no rows: sort by {', '.join(best)}"
        )


_WITH_ROWS: tuple[RowScope, ...] = ("matrix", "layer")
"""Scopes of which a report has many rows; of the model it is one."""


def named_by(report: AnalysisReport, scope: RowScope) -> list[str]:
    """Columns that tell rows of a scope apart."""
    if scope == "model":
        return ["model", "version"]
    names = ["layer"]
    if scope == "matrix":
        names += ["extractor"] if _several_extractors(report) else []
        names += ["index"] if _several_matrices(report) else []
    return names


def shown_labels(report: AnalysisReport, scope: RowScope) -> list[str]:
    """Columns that a table for people shows: of matrices those of the headline, of layers and the model all of them."""
    own = report.labels(scope)
    labels = [label for label in report.headline if label in own]
    return labels if scope == "matrix" else list(dict.fromkeys([*labels, *own]))


def print_table(report: AnalysisReport, scope: RowScope, choice: Choice, output: Output) -> bool:
    """Print the rows of a scope with what their marks mean, and tell whether there is any row.

    Of chosen columns a scope shows its own; a scope that has none of them shows nothing.
    """
    flat = report.rows(scope)
    chosen = [name for name in choice.columns if name in PLACES[scope] or name in report.labels(scope)]
    labels = [name for name in choice.columns or shown_labels(report, scope) if name in report.labels(scope)]
    of_places_alone = scope == "matrix" and not _are_columns(report, choice.columns)
    if not flat or not (labels or of_places_alone):
        return False
    if scope == "model":
        _print_model(report, labels, output)
        return True
    marks = Marks(report.columns)
    outcomes = [row.metrics for row in (report.layers if scope == "matrix" else report.layer_metrics)]
    places = named_by(report, scope) if chosen else _places(report, scope)
    names = dict.fromkeys((*places, *(chosen or labels)))
    rows = [
        {name: _cell(name, outcomes[at], marks) if name in labels else flat[at][name] for name in names}
        for at in choice.order(flat)
    ]
    output.table(rows, optional=[] if chosen else _optional(report, scope, labels, marks))
    for note in marks.footnotes():
        output.line(note)
    output.line()
    return True


def _print_model(report: AnalysisReport, labels: Sequence[str], output: Output) -> None:
    marks = Marks(report.columns)
    metrics = report.model_metrics
    units = {column.name: column.unit for column in report.columns}
    output.table([{"column": name, "value": _cell(name, metrics, marks), "unit": units[name]} for name in labels])
    for note in marks.footnotes():
        output.line(note)
    output.line()


def _cell(label: str, row: Mapping[str, Outcome], marks: Marks) -> Any:
    outcome = row[label]
    return marks.marked(label, row) if outcome.is_ok else SHORT.get(outcome.state, str(outcome.state))


def _are_columns(report: AnalysisReport, names: Sequence[str]) -> bool:
    """Whether any is the column of a metric, and not only of what rows are."""
    return any(name in report.labels(scope) for scope in PLACES for name in names)


def _places(report: AnalysisReport, scope: RowScope) -> list[str]:
    if scope == "layer":
        return ["layer", "kind", "shape"]
    return ["layer", "kind", "shape", "extractor", *(["index"] if _several_matrices(report) else []), "N", "M"]


def _optional(report: AnalysisReport, scope: RowScope, labels: Sequence[str], marks: Marks) -> list[str]:
    """Columns that a narrow terminal leaves out, the first one first.

    Flags, whose marks stay; what the name tells already; then metrics from the last on. The first metric is what the
    table is read for, and a text says what it means.
    """
    texts = {column.name for column in report.columns if column.type == "text"}
    flags = marks.flags_of(labels)
    places = ["shape", "kind", *([] if _several_extractors(report) or scope == "layer" else ["extractor"])]
    metrics = [label for label in reversed(labels[1:]) if label not in texts and label not in flags]
    return [*flags, *places, *metrics, "N", "M"]


def _several_extractors(report: AnalysisReport) -> bool:
    return len({(row.name, row.extractor) for row in report.layers}) > len({row.name for row in report.layers})


def _several_matrices(report: AnalysisReport) -> bool:
    return len({row.index for row in report.layers}) > 1
