"""What two analyses say that means the same, and why the rest must not be compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from ww_core.domain.layer import OF_NO_LAYER

if TYPE_CHECKING:
    from ww_core.domain.report import AnalysisReport, MatrixRow, ReportColumn

MatrixPlace = tuple[str, int]
"""A matrix in its layer: identity of the extractor variant, and index."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Side:
    """One of two things that are compared: an analysis, and what messages call it."""

    name: str
    report: AnalysisReport


class Comparability:
    """Tells which columns and rows of two analyses mean the same. A reason is empty where they do.

    Columns are known by the labels of the second analysis; a column of the first that means the same as one of these
    has its label, whatever it was called.

    Attributes:
        first_columns: Columns of the first analysis, by label of today.
        second_columns: Columns of the second.
        values: Why the values under a label cannot be compared, by label; without those that can.
    """

    def __init__(self, first: Side, second: Side) -> None:
        self._first, self._second = first, second
        self._labels = _labels_today(first.report.columns, second.report.columns)
        self.first_columns = self.renamed({column.name: column for column in first.report.columns})
        self.second_columns = {column.name: column for column in second.report.columns}
        labels = dict.fromkeys([*self.second_columns, *self.first_columns])
        self.values = {label: reason for label in labels if (reason := self._why_not(label))}
        self._made_otherwise = self._why_not_matrices()

    def label_of(self, label: str) -> str:
        """Return the label of today of a label of the first analysis."""
        return self._labels[label]

    def renamed(self, by_label: Mapping[str, T]) -> dict[str, T]:
        """Return what the first analysis says by label, under the labels of today."""
        return {self._labels[label]: said for label, said in by_label.items()}

    def why_not_rows(self, first: MatrixRow | None, second: MatrixRow | None) -> str:
        """Say why two matrices of a layer are not made in one way, whatever its content."""
        if first is None or second is None:
            return ""
        if first.groups != second.groups:
            return f"{first.groups} groups in {self._first.name}, {second.groups} in {self._second.name}"
        if first.split != second.split:
            splits = first.split or "none", second.split or "none"
            return f"split {splits[0]} in {self._first.name}, {splits[1]} in {self._second.name}"
        return ""

    def why_not_whole(self, label: str) -> str:
        """Say why what a column comes to over a model cannot be compared, if both analyses are complete."""
        if label in self.values:
            return self.values[label]
        if self.first_columns[label].variant != self.second_columns[label].variant:
            return "over the matrices of other extractors"
        if self._first.report.chosen_layers != self._second.report.chosen_layers:
            return "over other layers"
        if reason := self._why_not_layers():
            return reason
        return self._made_otherwise if self.second_columns[label].scope != "layer" else ""

    def _why_not(self, label: str) -> str:
        old, new = self.first_columns.get(label), self.second_columns.get(label)
        first, second = self._first.name, self._second.name
        if old is None or new is None:
            return f"only {second if old is None else first} has it"
        if _meaning(old) == _meaning(new):
            return ""
        if old.metric != new.metric or old.column != new.column:
            return f"{_metric(old)} in {first}, {_metric(new)} in {second}"
        if old.version != new.version:
            return f"version {old.version} in {first}, {new.version} in {second}"
        if old.type != new.type:
            return f"{old.type} in {first}, {new.type} in {second}"
        return "other parameters, or another definition of what it needs"

    def _why_not_layers(self) -> str:
        """Say of a buffer that it is a layer on one side only."""
        for one, other in ((self._first, self._second), (self._second, self._first)):
            buffers = {own.name for own in one.report.coverage.reasons if own.reason == OF_NO_LAYER}
            buffers -= set(_layers(one.report))
            if shared := next((name for name in _layers(other.report) if name in buffers), ""):
                return f"{shared} is a buffer in {one.name}, and a layer in {other.name}"
        return ""

    def _why_not_matrices(self) -> str:
        """Say of a layer why its matrices are not made in one way on both sides."""
        first, second = by_layer(self._first.report.layers), by_layer(self._second.report.layers)
        for name, rows in second.items():
            for place, row in rows.items():
                if reason := self.why_not_rows(first.get(name, {}).get(place), row):
                    return f"{name} has {reason}"
        return ""


def _layers(report: AnalysisReport) -> list[str]:
    """Return the names of layers that have a matrix or a value."""
    return [*(row.name for row in report.layers), *(row.name for row in report.layer_metrics)]


def by_layer(rows: Iterable[MatrixRow]) -> dict[str, dict[MatrixPlace, MatrixRow]]:
    """Return the matrices of a report by the name of their layer, then by their place in it."""
    places: dict[str, dict[MatrixPlace, MatrixRow]] = {}
    for row in rows:
        places.setdefault(row.name, {})[row.extractor_identity, row.index] = row
    return places


def _meaning(column: ReportColumn) -> tuple[str, str, str]:
    """What two columns have in common if their values may be compared."""
    return column.identity, column.column, column.type


def _labels_today(old: Iterable[ReportColumn], new: Iterable[ReportColumn]) -> dict[str, str]:
    """Return under which label each column of the first report stands: that of the second for what means the same."""
    by_meaning = {_meaning(column): column.name for column in new}
    labels = {column.name: by_meaning[_meaning(column)] for column in old if _meaning(column) in by_meaning}
    for column in old:
        if column.name not in labels:
            taken = column.name in labels.values()
            labels[column.name] = f"{column.metric}[version {column.version}]" if taken else column.name
    return labels


def _metric(column: ReportColumn) -> str:
    return column.metric if column.metric.endswith(f":{column.column}") else f"{column.metric} {column.column}"
