"""What a report says of the difference of two models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ww_plugins.pages.charts import depth_chart
from ww_plugins.pages.report.layers import NUMBERS, numbers_of, outcome_cell
from ww_plugins.pages.tables import Cell, Header, PageTable, change_cell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markupsafe import Markup

    import ww_core as ww
    from ww_core.domain.difference import Difference

CHARTS = 2
"""Columns that are drawn over the layers of both."""


@dataclass(frozen=True, slots=True)
class DifferencePart:
    """What a report says of the difference of two models.

    Attributes:
        title: Which two.
        profile: Name of the profile under which both were analysed: a part about one of them may be of another.
        counts: Layers by what became of them, as a sentence.
        means: Means of both.
        layers: The matrices that differ, or are in one of them only.
        tensors: Other tensors that differ.
        notes: What cannot be compared, and warnings.
        charts: Columns over the layers of both.
    """

    title: str
    profile: str
    counts: str
    means: PageTable
    layers: PageTable
    tensors: PageTable
    notes: Sequence[str]
    charts: Sequence[Markup]


def difference_part(difference: ww.CheckpointDifference, layers: Sequence[str]) -> DifferencePart:
    """Return what a report says of a difference.

    Args:
        difference: The difference, what changed most first.
        layers: Names of the layers of the second model in order, which charts keep.
    """
    title = f"{difference.first_name} → {difference.second_name}"
    counts = ", ".join(f"{count:,} {status}" for status, count in difference.counts.items() if count)
    return DifferencePart(
        title=title,
        profile=difference.profile,
        counts=counts or "none",
        means=_means(difference, title),
        layers=_layers(difference, title),
        tensors=_tensors(difference, title),
        notes=[
            *(f"{label} is not comparable: {reason}" for label, reason in difference.not_comparable.items()),
            *difference.warnings,
        ],
        charts=_charts(difference, layers),
    )


def _means(difference: ww.CheckpointDifference, title: str) -> PageTable:
    rows = []
    whole = difference.model_metrics
    for label, own in difference.summary.items():
        if label in whole.labels:
            continue
        change = change_cell(own.change, own.verdict, own.not_comparable)
        rows.append([Cell(label), Cell(own.first), Cell(own.second), change])
    for label in whole.labels:
        first, second = whole.first_outcomes.get(label), whole.second_outcomes.get(label)
        rows.append([Cell(label), outcome_cell(first), outcome_cell(second), _changed(whole, label)])
    headers = [
        Header("column"),
        Header(difference.first_name, is_number=True),
        Header(difference.second_name, is_number=True),
        Header("change", "better or worse by the direction of the column", is_number=True),
    ]
    return PageTable(f"{title}: means over the layers, and metrics of the model.", headers, rows)


def _layers(difference: ww.CheckpointDifference, title: str) -> PageTable:
    listed = [own for own in difference.layers if own.status != "same"]
    labels = [label for label in difference.headline if any(label in own.difference.labels for own in listed)]
    is_renamed = any(own.first_name for own in listed)
    headers = [
        Header("layer"),
        *([Header("was", "its name in the first")] if is_renamed else []),
        Header("status", "of weight and bias"),
        Header("extractor"),
        Header("index", is_number=True),
        *(Header(label, "sorted by the change", difference.columns[label].type in NUMBERS) for label in labels),
    ]
    rows = [
        [
            Cell(own.name),
            *([Cell(own.first_name)] if is_renamed else []),
            *map(Cell, (own.status, own.extractor, own.index)),
            *(_both(own.difference, label) for label in labels),
        ]
        for own in listed
    ]
    return PageTable(f"{title}: layers of other content, those that changed most first.", headers, rows)


def _both(difference: Difference, label: str) -> Cell:
    """Return a cell that says what a column was and what it is; it is sorted by the change."""
    sides = [
        outcome_cell(own[label]).shown if label in own else "-"
        for own in (difference.first_outcomes, difference.second_outcomes)
    ]
    changed = _changed(difference, label)
    if sides[0] == sides[1]:
        return Cell(changed.value, changed.note, text=sides[0])
    way = f"{sides[0] or '-'} → {sides[1] or '-'}"
    text = f"{way} ({changed.text})" if changed.text else way
    return Cell(changed.value, changed.note, verdict=changed.verdict, text=text)


def _changed(difference: Difference, label: str) -> Cell:
    verdict, reason = difference.verdict.get(label, "none"), difference.not_comparable.get(label, "")
    return change_cell(difference.change.get(label), verdict, reason)


def _tensors(difference: ww.CheckpointDifference, title: str) -> PageTable:
    rows = [[*map(Cell, (own.name, own.status, own.reason))] for own in difference.tensors]
    headers = [Header("tensor"), Header("status"), Header("reason", "reason why no metric describes it")]
    return PageTable(f"{title}: other tensors that differ.", headers, rows)


def _charts(difference: ww.CheckpointDifference, layers: Sequence[str]) -> list[Markup]:
    """Draw the first columns of numbers over the layers that both have, in the order of these layers."""
    places = {name: place for place, name in enumerate(layers)}
    both = [own for own in difference.layers if own.difference.first_outcomes and own.difference.second_outcomes]
    both.sort(key=lambda own: (places.get(own.name, len(places)), own.extractor, own.index or 0))
    names = [f"{own.name}[{own.index}]" if own.index else own.name for own in both]
    drawn = []
    for label in difference.headline:
        column = difference.columns.get(label)
        if column is None or column.type not in NUMBERS or column.scope != "matrix" or not both:
            continue
        values = {
            difference.first_name: numbers_of(own.difference.first_outcomes.get(label) for own in both),
            difference.second_name: numbers_of(own.difference.second_outcomes.get(label) for own in both),
        }
        drawn.append(depth_chart(f"{label} of both", names, values, unit=column.unit))
    return drawn[:CHARTS]
