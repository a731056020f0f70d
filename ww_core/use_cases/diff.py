"""Compare two stored checkpoints, layer by layer and column by column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from ww_core.domain.comparability import Comparability, Side, by_layer
from ww_core.domain.difference import (
    STATUSES,
    CheckpointDifference,
    Difference,
    LayerDifference,
    Status,
    SummaryDifference,
    TensorDifference,
    WholeLayerDifference,
)
from ww_core.store.store import open_store

if TYPE_CHECKING:
    import os

    from ww_core.domain.outcome import Outcome
    from ww_core.domain.report import LayerRow, MatrixRow
    from ww_core.store.records import StoredLayer
    from ww_core.store.store import Compared


def diff(first: str, second: str, *, store: str | os.PathLike[str], profile: str | None = None) -> CheckpointDifference:
    """Compare two checkpoints, each named as ``MODEL``, ``MODEL@VERSION`` or by a digest prefix.

    Layers are matched by name, their matrices by what made them, and columns by what they are: two values are
    subtracted only where metric, version, parameters and all that these need are the same. Of several runs of a
    checkpoint, those are compared that have most in common.

    Raises:
        UsageError: A name is empty.
        NotStoredError: One is not stored, or was never analysed under the profile.
        StoreError: The store cannot be read.
    """
    with open_store(store, mode="read") as opened:
        old, new = opened.compared(first, second, profile)
    return _Comparison(old, new).difference()


class _Comparison:
    """Two checkpoints with their analyses, and which of their columns mean the same."""

    def __init__(self, old: Compared, new: Compared) -> None:
        self._old, self._new = old, new
        self._comparable = Comparability(Side(old.name, old.report), Side(new.name, new.report))
        self._old_layers = {layer.name: layer for layer in old.layers}
        self._new_layers = {layer.name: layer for layer in new.layers}
        # By name: of one checkpoint with itself, both are the same.
        self._incomplete = {side.name: side.report.partial_columns() for side in (old, new)}
        labels = dict.fromkeys([*self._comparable.second_columns, *self._comparable.first_columns])
        self._wholes = {label: reason for label in labels if (reason := self._why_not_whole(label))}

    def difference(self) -> CheckpointDifference:
        """Put it all together."""
        old, new = self._old.report, self._new.report
        statuses = {
            name: _status(_content(self._old_layers.get(name)), _content(self._new_layers.get(name)))
            for name in (*self._new_layers, *(name for name in self._old_layers if name not in self._new_layers))
        }
        tensors = list(self._tensors())
        return CheckpointDifference(
            first_name=self._old.name,
            first_digest=old.digest,
            first_profile=old.run.profile,
            second_name=self._new.name,
            second_digest=new.digest,
            second_profile=new.run.profile,
            headline=tuple(dict.fromkeys([*new.headline, *map(self._comparable.label_of, old.headline)])),
            layers=tuple(self._matrices(statuses)),
            layer_metrics=tuple(self._whole_layers(statuses)),
            model_metrics=self._of_model(),
            counts=_counted(statuses.values()),
            tensors=tuple(own for own in tensors if own.status != "same"),
            tensor_counts=_counted(own.status for own in tensors),
            summary=self._summary(),
            not_comparable=self._comparable.values,
        )

    def _of(self, before: Mapping[str, Outcome], after: Mapping[str, Outcome], everywhere: str = "") -> Difference:
        """Compare the outcomes of one subject; ``everywhere`` says why no column of it is comparable."""
        labels = dict.fromkeys([*after, *before])
        reasons = {label: everywhere or self._comparable.values.get(label, "") for label in labels}
        return Difference(before, after, {label: reason for label, reason in reasons.items() if reason})

    def _matrices(self, statuses: Mapping[str, Status]) -> Iterator[LayerDifference]:
        old_rows, new_rows = by_layer(self._old.report.layers), by_layer(self._new.report.layers)
        for name, status in statuses.items():
            before, after = old_rows.get(name, {}), new_rows.get(name, {})
            if not before and not after:
                yield LayerDifference(name, status, "", None, self._of({}, {}))
            for place, shown in ({**after, **before} | after).items():
                extractor, index = shown.extractor, shown.index
                rows = before.get(place), after.get(place)
                reason = self._comparable.why_not_rows(*rows)
                if None in rows and name in self._old_layers and name in self._new_layers:
                    here, there = self._new.name, self._old.name
                    here, there = (here, there) if rows[0] is None else (there, here)
                    reason = f"only {here} has matrix {index} of {extractor}"
                    reason = reason if before and after else f"no matrix of it was analysed in {there}"
                difference = self._of(self._before(rows[0]), _outcomes(rows[1]), reason)
                yield LayerDifference(name, status, extractor, index, difference)

    def _whole_layers(self, statuses: Mapping[str, Status]) -> Iterator[WholeLayerDifference]:
        before = {row.name: row for row in self._old.report.layer_metrics}
        after = {row.name: row for row in self._new.report.layer_metrics}
        for name, status in statuses.items():
            if name in before or name in after:
                difference = self._of(self._before(before.get(name)), _outcomes(after.get(name)))
                yield WholeLayerDifference(name, status, difference)

    def _tensors(self) -> Iterator[TensorDifference]:
        before = {tensor.name: tensor for tensor in self._old.others}
        after = {tensor.name: tensor for tensor in self._new.others}
        for name in dict.fromkeys([*after, *before]):
            old, new = before.get(name), after.get(name)
            shown = new or old
            if shown is not None:
                contents = [None if tensor is None else (tensor.content,) for tensor in (old, new)]
                status = _status(contents[0], contents[1])
                yield TensorDifference(name, status, shown.reason)

    def _summary(self) -> dict[str, SummaryDifference]:
        old = self._comparable.renamed(self._old.report.summary)
        new = self._new.report.summary
        first_labels = [label for label in self._new.report.headline if label in new]
        return {
            label: SummaryDifference(
                first=old[label].mean if label in old else None,
                second=new[label].mean if label in new else None,
                not_comparable=self._wholes.get(label, ""),
            )
            for label in dict.fromkeys([*first_labels, *new, *old])
        }

    def _before(self, row: MatrixRow | LayerRow | None) -> Mapping[str, Outcome]:
        return self._comparable.renamed(_outcomes(row))

    def _of_model(self) -> Difference:
        before, after = self._comparable.renamed(self._old.report.model_metrics), self._new.report.model_metrics
        labels = dict.fromkeys([*after, *before])
        return Difference(before, after, {label: self._wholes[label] for label in labels if label in self._wholes})

    def _why_not_whole(self, label: str) -> str:
        """Say why what a column comes to over a model cannot be compared; empty if it can."""
        if reason := self._comparable.why_not_whole(label):
            return reason
        for side in (self._old, self._new):
            if label in self._incomplete[side.name]:
                return f"the analysis of {side.name} lacks some of it"
        return ""


def _outcomes(row: MatrixRow | LayerRow | None) -> Mapping[str, Outcome]:
    return row.metrics if row is not None else {}


Content = tuple[str, ...] | None
"""Digests of what a layer or tensor consists of, the first one empty if it could not be read; None: it is not there."""


def _status(old: Content, new: Content) -> Status:
    if old is None:
        return "added"
    if new is None:
        return "removed"
    if not (old[0] and new[0]):
        return "unread"
    return "same" if old == new else "changed"


def _content(layer: StoredLayer | None) -> Content:
    if layer is None:
        return None
    return (layer.weight, layer.bias) if layer.is_read else ("",)


def _counted(statuses: Iterable[str]) -> dict[str, int]:
    """Count by status; those that could not be read only where there are some."""
    counts = Counter(statuses)
    return {status: counts[status] for status in STATUSES if status != "unread" or counts[status]}
