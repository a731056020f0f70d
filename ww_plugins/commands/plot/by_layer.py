"""A metric of every layer of one or several models, in the order of the layers: analysed ones, or those of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

import ww_core as ww

if TYPE_CHECKING:
    import numpy.typing as npt


@dataclass(frozen=True, slots=True, eq=False)
class MetricByLayer:
    """A metric of the matrices of a model.

    Attributes:
        name: The model with its version, as people name it.
        origin: The profile, or the table that the values are from.
        unit: Unit or log base of the metric.
        places: What each value speaks of, in the order of the layers.
        values: The values, float64; NaN where there is none.
    """

    name: str
    origin: str
    unit: str
    places: tuple[str, ...]
    values: npt.NDArray[np.float64]


def metric_by_layer(
    store: ww.Store, models: Sequence[str], metric: str, layers: Sequence[str] = (), *, profile: str | None = None
) -> list[MetricByLayer]:
    """Return a metric of every matrix of models, one model after the other.

    Args:
        store: An open store.
        models: ``MODEL``, ``MODEL@VERSION`` or digest prefixes; models of imported tables too.
        metric: Label of a column of matrices.
        layers: Globs of layers; empty for all.
        profile: Name of the profile; None for the newest run's.

    Raises:
        UsageError: No model is named, or a name is empty.
        UnknownNameError: There is no such column, or a glob matches nothing.
        NotStoredError: Nothing carries a name, or none of its layers has a value.
        StoreError: The database could not be read.
    """
    if not models or not metric:
        raise ww.UsageError("name one model or more, and a metric")
    found = []
    for name in models:
        try:
            report = store.report(name, profile)
        except ww.NotStoredError:
            own = _of_tables(store, name, metric, layers) if profile is None else None
            if own is None:
                raise
        else:
            own = _of_report(report, metric, layers)
        if not np.isfinite(own.values).any():
            raise ww.NotStoredError(f"{name}: no layer has a value of {metric}")
        found.append(own)
    return found


def _of_report(report: ww.AnalysisReport, metric: str, layers: Sequence[str]) -> MetricByLayer:
    columns = {own.name: own for own in report.columns if own.scope == "matrix" and own.type != "text"}
    if metric not in columns:
        raise ww.UnknownNameError("column of matrices", metric, columns, "ww metrics")
    rows = ww.choose_layers([row for row in report.layers if row.is_primary], layers)
    numbers = [own.number if (own := row.metrics.get(metric)) is not None else None for row in rows]
    return MetricByLayer(
        name=f"{report.model}@{report.version}" if report.model else report.digest[:12],
        origin=f"profile {report.run.profile}",
        unit=columns[metric].unit,
        places=tuple(f"{row.name}[{row.index}]" if row.index else row.name for row in rows),
        values=np.array([np.nan if number is None else number for number in numbers], np.float64),
    )


class _Named(NamedTuple):
    """A row of a table, with the name of its layer."""

    name: str
    at: int


def _of_tables(store: ww.Store, name: str, metric: str, layers: Sequence[str]) -> MetricByLayer | None:
    """Return what imported tables say of the layers of a model; None if none speaks of them.

    Raises:
        UsageError: A table has several versions of it, and none is named.
    """
    model, _, version = name.partition("@")
    for table in store.reported_tables():
        try:
            values = store.reported_table(table.source, [metric])
        except ww.UnknownNameError:
            continue
        places = zip(*(values.places[what] for what in ("model", "version", "layer")), strict=True)
        found = [
            (own, _Named(str(layer), at))
            for at, (named, own, layer) in enumerate(places)
            if named == model and version in {"", own} and layer
        ]
        versions = dict.fromkeys(str(own) for own, _ in found)
        if len(versions) > 1:
            several = ", ".join(f"{model}@{own}" for own in versions)
            raise ww.UsageError(f"table {table.source} has several versions of {model}: name one of {several}")
        if found and metric in values.numbers:
            rows = ww.choose_layers([row for _, row in found], layers)
            return MetricByLayer(
                name=name,
                origin=f"table {table.source}",
                unit="",
                places=tuple(row.name for row in rows),
                values=np.asarray(values.numbers[metric], np.float64)[[row.at for row in rows]],
            )
    return None
