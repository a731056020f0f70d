"""Compare two stored checkpoints, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from ww_core.domain.difference import Change, Difference, LayerChange
from ww_core.store.store import open_store

if TYPE_CHECKING:
    import os

    from ww_core.domain.report import AnalysisReport, MatrixRow
    from ww_core.store.queries import StoredLayer


def diff(first: str, second: str, *, store: str | os.PathLike[str], profile: str = "") -> Difference:
    """Compare two checkpoints, each named as ``MODEL``, ``MODEL@VERSION`` or by a digest prefix.

    Layers are matched by name. Their metrics are those of the newest runs that asked for the same of both.

    Raises:
        NotStoredError: One is not stored, or was never analysed under the profile.
        StoreError: The store cannot be read.
    """
    with open_store(store, mode="read") as opened:
        old_report, new_report = opened.comparable_reports(first, second, profile)
        old_layers = {layer.name: layer for layer in opened.layers(first)}
        new_layers = {layer.name: layer for layer in opened.layers(second)}
    changes = {name: _change(old_layers.get(name), new_layers.get(name)) for name in {**new_layers, **old_layers}}
    first_labels = [label for label in new_report.headline if label in new_report.summary]
    labels = dict.fromkeys([*first_labels, *new_report.summary, *old_report.summary])
    means = {
        label: tuple(
            report.summary[label].mean if label in report.summary else None for report in (old_report, new_report)
        )
        for label in labels
    }
    return Difference(
        first_name=_name(old_report),
        first_digest=old_report.digest,
        second_name=_name(new_report),
        second_digest=new_report.digest,
        profile=new_report.run.profile,
        headline=tuple(dict.fromkeys([*new_report.headline, *old_report.headline])),
        layers=tuple(_layer_changes(changes, old_report, new_report)),
        counts={c: list(changes.values()).count(c) for c in ("same", "changed", "added", "removed")},
        summary={label: (pair[0], pair[1]) for label, pair in means.items()},
    )


def _name(report: AnalysisReport) -> str:
    return f"{report.model}@{report.version}" if report.model else report.digest


def _change(old: StoredLayer | None, new: StoredLayer | None) -> Change:
    if old is None:
        return "added"
    if new is None:
        return "removed"
    return "same" if (old.weight, old.bias) == (new.weight, new.bias) else "changed"


def _layer_changes(changes: Mapping[str, Change], old: AnalysisReport, new: AnalysisReport) -> Iterator[LayerChange]:
    old_rows, new_rows = _rows_by_layer(old), _rows_by_layer(new)
    for name, change in changes.items():
        before, after = old_rows.get(name, {}), new_rows.get(name, {})
        if not before and not after:
            yield LayerChange(name, change, "", None, {}, {})
        for place in {**after, **before}:
            extractor, index = place
            yield LayerChange(
                name=name,
                change=change,
                extractor=extractor,
                index=index,
                first_outcomes=before[place].metrics if place in before else {},
                second_outcomes=after[place].metrics if place in after else {},
            )


def _rows_by_layer(report: AnalysisReport) -> dict[str, dict[tuple[str, int], MatrixRow]]:
    rows: dict[str, dict[tuple[str, int], MatrixRow]] = {}
    for row in report.layers:
        rows.setdefault(row.name, {})[row.extractor, row.index] = row
    return rows
