"""What the analyses of a candidate and of its baseline say, as rules ask for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ww_core.domain.comparability import Comparability, by_layer
from ww_core.errors import NotApplicable, UnknownNameError

if TYPE_CHECKING:
    from ww_core.domain.comparability import Side
    from ww_core.domain.expressions.arithmetic import Summary
    from ww_core.domain.outcome import Outcome
    from ww_core.domain.report import LayerRow, MatrixRow, ReportColumn


@dataclass(frozen=True, slots=True)
class Measurement:
    """A column of one matrix, layer or model on both sides; None where there is no such row.

    Attributes:
        layer: Name of the layer; empty for a model.
        extractor: Label of the extractor; empty for what is no matrix.
        index: Index of the matrix; None for what is no matrix.
        first: What became of it in the baseline.
        second: What became of it in the candidate.
        not_comparable: Why the two must not be compared; empty if they may.
        is_primary: Whether means are about it.
    """

    layer: str = ""
    extractor: str = ""
    index: int | None = None
    first: Outcome | None = None
    second: Outcome | None = None
    not_comparable: str = ""
    is_primary: bool = True


class Evidence:
    """Answers what rules ask of a candidate, and of a baseline if there is one.

    Columns are known by the labels of the candidate.
    """

    def __init__(self, candidate: Side, baseline: Side | None) -> None:
        self.candidate = candidate
        self.baseline = baseline
        self._comparable = None if baseline is None else Comparability(baseline, candidate)
        self._second_columns = {column.name: column for column in candidate.report.columns}
        self._first_columns = {} if self._comparable is None else self._comparable.first_columns
        self._partial = {id(side): side.report.partial_columns() for side in (candidate, baseline) if side is not None}

    def column(self, label: str) -> ReportColumn:
        """Return what a column is, on the side that has it, the candidate first.

        Raises:
            UnknownNameError: Neither has it.
        """
        known = self._first_columns | self._second_columns
        if label not in known:
            raise UnknownNameError("column", label, known, "ww show MODEL --json")
        return known[label]

    def label_of(self, side: Side, label: str) -> str:
        """Return the label that a side has for a column; empty if it has no such column."""
        columns = self._second_columns if side is self.candidate else self._first_columns
        return columns[label].name if label in columns else ""

    def why_not_whole(self, side: Side, label: str) -> str:
        """Say why what a side tells of a column is not all there; empty if it is."""
        if side.report.provisional:
            return f"some weights of {side.name} could not be read, so that its analysis is provisional"
        if self.label_of(side, label) in self._partial[id(side)]:
            return f"the analysis of {side.name} lacks some of its values"
        return ""

    def why_no_values(self, label: str) -> str:
        """Say why no value of a column can be compared with the baseline; empty if it can."""
        return "" if self._comparable is None else self._comparable.values.get(label, "")

    def why_no_summaries(self, label: str) -> str:
        """Say why what a column comes to over the model cannot be compared with the baseline; empty if it can."""
        return "" if self._comparable is None else self._comparable.why_not_whole(label)

    def summary(self, side: Side, summary: Summary) -> float:
        """Return what a column comes to over the model on one side.

        Raises:
            NotApplicable: The side has no such column, or no value of it.
        """
        label = self.label_of(side, summary.column)
        if not label:
            raise NotApplicable(f"{side.name} has no column {summary.column}")
        found = side.report.summary.get(label)
        number = None if found is None else found.numbers()[summary.aggregate]
        if number is None:
            raise NotApplicable(f"{side.name} has no value of {summary.column}")
        return number

    def measurements(self, label: str) -> list[Measurement]:
        """Return a column of every matrix, layer or model of both sides, in the order of the candidate."""
        match self.column(label).scope:
            case "matrix":
                return self._matrices(label)
            case "layer":
                return self._layers(label)
        sides = [side for side in (self.baseline, self.candidate) if side is not None]
        found = [side.report.model_metrics.get(self.label_of(side, label)) for side in sides]
        return [Measurement(first=found[0] if len(found) > 1 else None, second=found[-1])]

    def _matrices(self, label: str) -> list[Measurement]:
        first = by_layer(self.baseline.report.layers) if self.baseline else {}
        second = by_layer(self.candidate.report.layers)
        found = []
        for name in dict.fromkeys([*second, *first]):
            before, after = first.get(name, {}), second.get(name, {})
            for place, shown in ({**after, **before} | after).items():
                rows = before.get(place), after.get(place)
                reason = self._comparable.why_not_rows(*rows) if self._comparable else ""
                sides = self._outcomes(label, *rows)
                found.append(Measurement(name, shown.extractor, shown.index, *sides, reason, shown.is_primary))
        return found

    def _layers(self, label: str) -> list[Measurement]:
        first = {row.name: row for row in self.baseline.report.layer_metrics} if self.baseline else {}
        second = {row.name: row for row in self.candidate.report.layer_metrics}
        return [
            Measurement(name, "", None, *self._outcomes(label, first.get(name), second.get(name)))
            for name in dict.fromkeys([*second, *first])
        ]

    def _outcomes(
        self, label: str, first: MatrixRow | LayerRow | None, second: MatrixRow | LayerRow | None
    ) -> tuple[Outcome | None, Outcome | None]:
        before: Mapping[str, Outcome] = first.metrics if first else {}
        after: Mapping[str, Outcome] = second.metrics if second else {}
        old = before.get(self.label_of(self.baseline, label)) if self.baseline else None
        return old, after.get(self.label_of(self.candidate, label))
