"""What a report says of a model over its versions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

import ww_core as ww
from ww_plugins.pages.charts import history_chart
from ww_plugins.pages.tables import Cell, Header, PageTable, time_cell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markupsafe import Markup


@dataclass(frozen=True, slots=True)
class HistoryPart:
    """What a report says of a model over its versions.

    Attributes:
        model: Name of the model.
        versions: The versions with the means of the columns that the profile shows, and scores.
        charts: The same over the versions, with regressions marked.
        regressions: Where a column stepped to a worse level.
        found: How many such steps there are, and how they were looked for.
        notes: What cannot be compared.
    """

    model: str
    versions: PageTable
    charts: Sequence[Markup]
    regressions: PageTable
    found: str
    notes: Sequence[str]


def history_part(store: ww.Store, model: str, profile: str) -> HistoryPart:
    """Ask the store how a model went over its versions.

    Raises:
        NotStoredError: None of its versions has a complete analysis under the profile.
        StoreError: The database could not be read.
    """
    history = ww.history(model, store=store, profile=profile)
    found = ww.regressions(model, store=store, profile=profile)
    return HistoryPart(
        model=model,
        versions=_versions(history),
        charts=_charts(history, found),
        regressions=_regressions(found),
        found=_found(found),
        notes=[
            f"{label} of {version} is not comparable: {reason}"
            for label, track in history.tracks.items()
            for version, reason in track.not_comparable.items()
        ],
    )


def _versions(history: ww.History) -> PageTable:
    labels, scores = list(history.tracks), list(history.scores)
    headers = [
        Header("version"),
        Header("step", is_number=True),
        Header("labelled at", "UTC"),
        Header("digest", "of the weights, its start"),
        *(Header(label, _what(history, label), is_number=True) for label in [*labels, *scores]),
    ]
    means = {label: (track.means, track.mean_changes) for label, track in history.tracks.items()}
    rows = []
    for at, version in enumerate(history.versions):
        row = [Cell(version.version), Cell(version.step), time_cell(version.created_at), Cell(version.digest[:12])]
        for label in labels:
            mean, change = (float(own[at]) for own in means[label])
            row.append(_mean(mean, change, history.tracks[label].not_comparable.get(version.version, "")))
        for label in scores:
            number = history.scores[label].numbers[at]
            row.append(Cell(None if number is None else number.value))
        rows.append(row)
    return PageTable(f"Versions of {history.model} in their order; profile {history.profile}.", headers, rows)


def _what(history: ww.History, label: str) -> str:
    if label in history.scores:
        return str(history.scores[label])
    scope = history.tracks[label].column.scope
    return "metric of the model" if scope == "model" else "mean over the layers, and its change"


def _mean(mean: float, change: float, why: str) -> Cell:
    if not math.isfinite(mean):
        return Cell(None, why)
    return Cell(mean, why, text=f"{mean:.4g} ({change:+.4g})" if change and math.isfinite(change) else "")


def _charts(history: ww.History, found: ww.Regressions) -> list[Markup]:
    labels = [own.version for own in history.versions]
    drawn = []
    for label, track in history.tracks.items():
        stepped = {labels.index(own.version) for own in found.steps if own.column == label}
        drawn.append(history_chart(label, labels, {label: track.means}, marked=stepped, unit=track.column.unit))
    for label, score in history.scores.items():
        numbers = [math.nan if own is None else own.value for own in score.numbers]
        drawn.append(history_chart(str(score), labels, {label: np.array(numbers)}, unit=score.unit))
    return drawn


def _regressions(found: ww.Regressions) -> PageTable:
    headers = [
        Header("version", "the first one of the new level"),
        Header("layer", "the model stands for a mean over layers, or a metric of the model"),
        Header("extractor"),
        Header("index", is_number=True),
        Header("column"),
        Header("before", is_number=True),
        Header("after", is_number=True),
        Header("change", is_number=True),
        Header("evidence", "size of the change in standard errors", is_number=True),
        Header("needed", "evidence from which on a step is reported", is_number=True),
        Header("confirmed", "whether a later version has another value"),
    ]
    rows = [
        [
            Cell(own.version),
            Cell(own.layer, text="" if own.layer else "(the model)"),
            *map(Cell, (own.extractor, own.index if own.extractor else None, own.column)),
            *map(Cell, (own.before, own.after)),
            Cell(own.change, verdict="" if own.verdict == "none" else own.verdict, text=f"{own.change:+.4g}"),
            *map(Cell, (own.evidence if math.isfinite(own.evidence) else None, own.needed)),
            Cell(own.is_confirmed, text="yes" if own.is_confirmed else "no"),
        ]
        for own in found.steps
    ]
    return PageTable(f"Regressions of {found.model}: where a column stepped to a worse level.", headers, rows)


def _found(found: ww.Regressions) -> str:
    count = len(found.steps)
    return (
        f"{count or 'No'} step{'' if count == 1 else 's'} to a worse level, in {found.series:,} histories. "
        "Rule: the step is larger than the noise of the history explains; the chance that noise alone yields any "
        f"step at all is {found.false_alarms:.2g}."
    )
