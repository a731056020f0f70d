"""Compare two stored checkpoints, layer by layer and column by column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ww_core.domain.comparability import Comparability, Side, by_layer
from ww_core.domain.difference import (
    STATUSES,
    CheckpointDifference,
    Difference,
    Importance,
    LayerDifference,
    Status,
    SummaryDifference,
    TensorDifference,
    WholeLayerDifference,
)
from ww_core.domain.globs import choose_layers
from ww_core.domain.name import check_text, texts_of
from ww_core.errors import UnknownNameError, UsageError
from ww_core.use_cases.naming import Named, installed_plugins, opened_with

if TYPE_CHECKING:
    import os

    from ww_core.contracts.observer import RunObserver
    from ww_core.domain.outcome import Outcome
    from ww_core.domain.report import LayerRow, MatrixRow
    from ww_core.plugins.registry import Registry
    from ww_core.store.records import Compared, StoredLayer
    from ww_core.store.store import Store

ORDERS = ("importance", "layer")
"""Orders of layers, besides the labels of columns."""


def diff(
    first: object,
    second: object,
    *,
    store: Store | str | os.PathLike[str] | None = None,
    profile: str | None = None,
    metrics: Sequence[str] = (),
    layers: Sequence[str] = (),
    sort: str = "importance",
    top: int = 0,
    record: bool = False,
    registry: Callable[[], Registry] = installed_plugins,
    observers: Sequence[RunObserver] = (),
) -> CheckpointDifference:
    """Compare two checkpoints: which layers differ in content, and how their metrics differ.

    Layers are matched by name, and those without a match by content; their matrices by what made them; and columns by
    what they are: two values are subtracted only where metric, version, parameters and all that these need are the
    same. Of several runs of a checkpoint, those are compared that have most in common.

    Args:
        first: ``MODEL``, ``MODEL@VERSION``, a digest prefix; or what is not stored under such a name: a path, an
            address or an object such as a dict of arrays, which is analysed.
        second: The same.
        store: An open store, a path or URL, or None for one in memory, where only what is no name can be compared.
        profile: Name of the profile; None for that of the newest runs.
        metrics: Labels of the columns to compare; empty for all.
        layers: Globs that choose layers. Then means over the model and its own metrics are left out.
        sort: ``importance``: by change in units of its standard error, then what has none by relative change;
            ``layer``: the order of the layers; or the label of a column: by its change.
        top: How many matrices, and whole layers, are returned; 0 for all.
        record: Whether what is analysed gets a label.
        registry: Loads plugins, if something is analysed.
        observers: Observers of the analyses.

    Raises:
        UsageError: A name is empty, ``top`` is negative, or there is no such column, layer or order.
        NotStoredError: One is not stored and no source, or was never analysed under the profile.
        SourceError: One cannot be read.
        StoreError: The store cannot be read.
    """
    (difference,) = diff_each(
        first,
        [second],
        store=store,
        profile=profile,
        metrics=metrics,
        layers=layers,
        sort=sort,
        top=top,
        record=record,
        registry=registry,
        observers=observers,
    )
    return difference


def diff_each(
    first: object,
    others: Sequence[object],
    *,
    store: Store | str | os.PathLike[str] | None,
    profile: str | None,
    metrics: Sequence[str],
    layers: Sequence[str],
    sort: str,
    top: int,
    record: bool,
    registry: Callable[[], Registry],
    observers: Sequence[RunObserver],
) -> tuple[CheckpointDifference, ...]:
    """Compare each of several checkpoints with the first, as ``diff`` does.

    Raises:
        WWError: As of ``diff``.
    """
    metrics, layers = texts_of(metrics, "metrics"), texts_of(layers, "layers")
    if profile == "":
        raise UsageError("the profile is empty: name one, or leave it out")
    check_text("sort", sort)
    if not isinstance(top, int):
        raise UsageError(f"top={top!r} is not a whole number: 0 shows all")
    if top < 0:
        raise UsageError(f"top={top} is negative: 0 shows all")
    names = (first, *others)
    with opened_with(names, store, profile=profile, record=record, registry=registry, observers=observers) as found:
        opened, (base, *rest) = found
        pairs = [_sides(opened, base, other, profile) for other in rest]
    differences = [_Comparison(old, new, metrics, layers).difference() for old, new in pairs]
    return tuple(
        replace(_ordered(difference, sort, top), warnings=(*base.warnings, *other.warnings))
        for difference, other in zip(differences, rest, strict=True)
    )


def _sides(opened: Store, first: Named, second: Named, profile: str | None) -> tuple[Compared, Compared]:
    with opened.reading() as reader:
        old, new = reader.compared(first.ref, second.ref, profile or "")
    return replace(old, name=first.name), replace(new, name=second.name)


def _ordered(difference: CheckpointDifference, sort: str, top: int) -> CheckpointDifference:
    """Put matrices and whole layers in the order that was asked for, and keep those at the top.

    Raises:
        UnknownNameError: There is no such order.
    """
    if sort not in {*ORDERS, *difference.columns}:
        raise UnknownNameError("order", sort, [*ORDERS, *difference.columns])

    def weight(own: LayerDifference | WholeLayerDifference) -> tuple[float, float]:
        if sort == "layer":
            return Importance()
        if sort == "importance":
            return max(own.difference.importance.values(), default=Importance())
        return abs(own.difference.change.get(sort, 0.0)), 0.0

    kept = slice(top or None)
    return replace(
        difference,
        layers=tuple(sorted(difference.layers, key=weight, reverse=True)[kept]),
        layer_metrics=tuple(sorted(difference.layer_metrics, key=weight, reverse=True)[kept]),
    )


class _Comparison:
    """Two checkpoints with their analyses, and which of their columns mean the same."""

    def __init__(self, old: Compared, new: Compared, metrics: Sequence[str], globs: Sequence[str]) -> None:
        self._old_names = _renamed(old.layers, new.layers)
        old = _called_as_today(old, {before: after for after, before in self._old_names.items()})
        self._old, self._new = old, new
        self._comparable = Comparability(Side(old.name, old.report), Side(new.name, new.report))
        self._columns = self._comparable.first_columns | self._comparable.second_columns
        labels = dict.fromkeys([*self._comparable.second_columns, *self._comparable.first_columns])
        for label in metrics:
            if label not in labels:
                raise UnknownNameError("column", label, labels)
        self._asked = tuple(dict.fromkeys(metrics))
        self._shown = self._asked or tuple(labels)
        self._old_layers = {layer.name: layer for layer in old.layers}
        self._new_layers = {layer.name: layer for layer in new.layers}
        self._globs = globs
        self._incomplete = [(side.name, side.report.partial_columns()) for side in (old, new)]
        self._wholes = {label: reason for label in labels if (reason := self._why_not_whole(label))}

    def difference(self) -> CheckpointDifference:
        """Put it all together.

        Raises:
            UnknownNameError: A glob fits no layer.
        """
        old, new = self._old.report, self._new.report
        layers = {**self._new_layers, **self._old_layers} | self._new_layers
        statuses = {layer.name: self._status(layer.name) for layer in choose_layers([*layers.values()], self._globs)}
        tensors = [] if self._globs else list(self._tensors())
        headline = dict.fromkeys([*new.headline, *map(self._comparable.label_of, old.headline)])
        return CheckpointDifference(
            first_name=self._old.name,
            first_digest=old.digest,
            first_profile=old.run.profile,
            second_name=self._new.name,
            second_digest=new.digest,
            second_profile=new.run.profile,
            headline=self._asked or tuple(headline),
            columns={label: self._columns[label] for label in self._shown},
            layers=tuple(self._matrices(statuses)),
            layer_metrics=tuple(self._whole_layers(statuses)),
            model_metrics=self._of_model(),
            counts=_counted(statuses.values()),
            tensors=tuple(own for own in tensors if own.status != "same"),
            tensor_counts=_counted(own.status for own in tensors),
            summary={} if self._globs else self._summary(),
            not_comparable={label: reason for label, reason in self._comparable.values.items() if label in self._shown},
        )

    def _status(self, name: str) -> Status:
        if name in self._old_names:
            return "renamed"
        return _status(_content(self._old_layers.get(name)), _content(self._new_layers.get(name)))

    def _of(self, before: Mapping[str, Outcome], after: Mapping[str, Outcome], everywhere: str = "") -> Difference:
        """Compare the outcomes of one subject; ``everywhere`` says why no column of it is comparable."""
        present = {*before, *after}
        labels = tuple(label for label in self._shown if label in present)
        reasons = {label: everywhere or self._comparable.values.get(label, "") for label in labels}
        told = {label: reason for label, reason in reasons.items() if reason}
        return Difference(before, after, told, self._columns, labels)

    def _matrices(self, statuses: Mapping[str, Status]) -> Iterator[LayerDifference]:
        old_rows, new_rows = by_layer(self._old.report.layers), by_layer(self._new.report.layers)
        for name, status in statuses.items():
            before, after = old_rows.get(name, {}), new_rows.get(name, {})
            if not before and not after:
                yield LayerDifference(name, status, "", None, self._of({}, {}), self._old_names.get(name, ""))
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
                yield LayerDifference(name, status, extractor, index, difference, self._old_names.get(name, ""))

    def _whole_layers(self, statuses: Mapping[str, Status]) -> Iterator[WholeLayerDifference]:
        before = {row.name: row for row in self._old.report.layer_metrics}
        after = {row.name: row for row in self._new.report.layer_metrics}
        for name, status in statuses.items():
            if name in before or name in after:
                difference = self._of(self._before(before.get(name)), _outcomes(after.get(name)))
                yield WholeLayerDifference(name, status, difference, self._old_names.get(name, ""))

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
                better=self._columns[label].better,
                not_comparable=self._wholes.get(label, ""),
            )
            for label in dict.fromkeys([*first_labels, *new, *old])
            if label in self._shown
        }

    def _before(self, row: MatrixRow | LayerRow | None) -> Mapping[str, Outcome]:
        return self._comparable.renamed(_outcomes(row))

    def _of_model(self) -> Difference:
        before, after = self._comparable.renamed(self._old.report.model_metrics), self._new.report.model_metrics
        labels = tuple(label for label in self._shown if label in {*before, *after} and not self._globs)
        told = {label: self._wholes[label] for label in labels if label in self._wholes}
        return Difference(before, after, told, self._columns, labels)

    def _why_not_whole(self, label: str) -> str:
        """Say why what a column comes to over a model cannot be compared; empty if it can."""
        if reason := self._comparable.why_not_whole(label):
            return reason
        for name, columns in self._incomplete:
            if label in columns:
                return f"the analysis of {name} lacks some of it"
        return ""


def _renamed(old: Sequence[StoredLayer], new: Sequence[StoredLayer]) -> dict[str, str]:
    """Return which layers of the first are called otherwise in the second, as told by content: old name by new name."""
    old_names, new_names = {layer.name for layer in old}, {layer.name for layer in new}
    removed: dict[Content, list[str]] = {}
    for layer in old:
        if layer.name not in new_names and layer.is_read:
            removed.setdefault(_content(layer), []).append(layer.name)
    return {
        layer.name: removed[_content(layer)].pop(0)
        for layer in new
        if layer.name not in old_names and layer.is_read and removed.get(_content(layer))
    }


def _called_as_today(side: Compared, new_names: Mapping[str, str]) -> Compared:
    """Return a side of a comparison whose layers have their new names."""
    report = side.report
    return replace(
        side,
        report=replace(
            report,
            layers=tuple(replace(row, name=new_names.get(row.name, row.name)) for row in report.layers),
            layer_metrics=tuple(replace(row, name=new_names.get(row.name, row.name)) for row in report.layer_metrics),
        ),
        layers=tuple(layer._replace(name=new_names.get(layer.name, layer.name)) for layer in side.layers),
    )


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
    """Count by status; of renamed ones and those that could not be read only where there are some."""
    counts = Counter(statuses)
    return {status: counts[status] for status in STATUSES if status not in {"renamed", "unread"} or counts[status]}
