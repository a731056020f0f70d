"""A metric of every layer of one or several models, in the order of the layers: analysed ones, or those of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

import ww_core as ww
from ww_plugins.commands.plot.chosen_models import LayerTables, chosen_models, series_of_models

if TYPE_CHECKING:
    import numpy.typing as npt


@dataclass(frozen=True, slots=True, eq=False)
class MetricByLayer:
    """A metric of the matrices of a model.

    Attributes:
        name: The model with its version, as people name it.
        origin: The profile, or the table that the values are from.
        metric: Label of the column.
        unit: Unit or log base of the metric.
        layers: The layer that each value speaks of, in the order of the layers; one that has several matrices stands
            there several times.
        values: The values, float64; NaN where there is none.
        series: A series that the model is a member of; empty for none.
    """

    name: str
    origin: str
    metric: str
    unit: str
    layers: tuple[str, ...]
    values: npt.NDArray[np.float64] = field(repr=False)
    series: str = ""

    @property
    def depths(self) -> npt.NDArray[np.intp]:
        """Number of each value's layer, from 1."""
        numbers = {layer: number for number, layer in enumerate(dict.fromkeys(self.layers), 1)}
        return np.array([numbers[layer] for layer in self.layers], np.intp)

    def layer_means(self) -> npt.NDArray[np.float64]:
        """Return the mean of each layer's values, in the order of the layers; NaN where it has none."""
        at, there = self.depths - 1, np.isfinite(self.values)
        layers = len(dict.fromkeys(self.layers))
        counts = np.bincount(at[there], minlength=layers)
        means = np.full(layers, np.nan)
        # Each share first: the sum of huge values may be too large for a float.
        shares = self.values[there] / counts[at[there]]
        means[counts > 0] = np.bincount(at[there], shares, minlength=layers)[counts > 0]
        return means


def metric_by_layer(
    store: ww.Store,
    models: Sequence[str],
    metric: str,
    layers: Sequence[str] = (),
    *,
    without: Sequence[str] = (),
    series: Sequence[str] = (),
    profile: str | None = None,
) -> list[MetricByLayer]:
    """Return a metric of every matrix of models, one model after the other.

    Args:
        store: An open store.
        models: ``MODEL``, ``MODEL@VERSION``, digest prefixes or globs over models; models of imported tables too.
        metric: Label of a column of matrices.
        layers: Globs of layers; empty for all.
        without: Globs of layers that are left out.
        series: Names of series, whose models come too.
        profile: Name of the profile; None for the newest run's.

    Raises:
        UsageError: No model is named, or a name is empty.
        UnknownNameError: There is no such column or series, or a glob of layers matches nothing.
        NotStoredError: Nothing carries a name, or none of its layers has a value.
        StoreError: The database could not be read.
    """
    if not (models or series) or not metric:
        raise ww.UsageError("name one model or more, or a series, and a metric")
    tables = LayerTables(store, metric)
    families = series_of_models(store)
    chosen = _Chosen(layers, without)
    found = []
    for name in chosen_models(store, tables, models, series):
        try:
            report = store.report(name, profile)
        except ww.NotStoredError:
            own = _of_tables(tables, name, chosen) if profile is None else None
            if own is None:
                raise
        else:
            own = _of_report(report, metric, chosen)
        family = next((each for each in families.get(name.partition("@")[0], ()) if each in series or not series), "")
        found.append(replace(own, series=family))
    for unknown in chosen.unmatched.values():
        raise unknown
    for own in found:
        if not np.isfinite(own.values).any():
            raise ww.NotStoredError(f"{own.name}: no layer has a value of {metric}")
    return found


class _Named(NamedTuple):
    """A value's place, with the name of its layer."""

    name: str
    at: int


@dataclass
class _Chosen:
    """Globs of layers. One may match nothing in a model, if it matches in another."""

    layers: Sequence[str]
    without: Sequence[str]
    unmatched: dict[str, ww.UnknownNameError] = field(default_factory=dict)
    _matched: set[str] = field(default_factory=set)

    def places(self, names: Sequence[str]) -> list[_Named]:
        """Return the places of a model's layers that are chosen and not left out."""
        places = [_Named(name, at) for at, name in enumerate(names)]
        chosen = {at for glob in self.layers for at in self._matching(places, glob)}
        out = {at for glob in self.without for at in self._matching(places, glob)}
        return [place for place in places if (not self.layers or place.at in chosen) and place.at not in out]

    def _matching(self, places: Sequence[_Named], glob: str) -> list[int]:
        try:
            found = [place.at for place in ww.choose_layers(places, [glob])]
        except ww.UnknownNameError as unknown:
            if glob not in self._matched:
                self.unmatched.setdefault(glob, unknown)
            return []
        self._matched.add(glob)
        self.unmatched.pop(glob, None)
        return found


def _of_report(report: ww.AnalysisReport, metric: str, chosen: _Chosen) -> MetricByLayer:
    columns = {own.name: own for own in report.columns if own.scope == "matrix" and own.type != "text"}
    if metric not in columns:
        raise ww.UnknownNameError("column of matrices", metric, columns, "ww metrics")
    rows = [row for row in report.layers if row.is_primary]
    places = chosen.places([row.name for row in rows])
    outcomes = [rows[place.at].metrics.get(metric) for place in places]
    numbers = [None if own is None else own.number for own in outcomes]
    return MetricByLayer(
        name=f"{report.model}@{report.version}" if report.model else report.digest[:12],
        origin=f"profile {report.run.profile}",
        metric=metric,
        unit=columns[metric].unit,
        layers=tuple(place.name for place in places),
        values=np.array([np.nan if number is None else number for number in numbers], np.float64),
    )


def _of_tables(tables: LayerTables, name: str, chosen: _Chosen) -> MetricByLayer | None:
    """Return what imported tables say of the layers of a model; None if none speaks of them.

    Raises:
        UsageError: A table has several versions of it, and none is named.
    """
    model, _, version = name.partition("@")
    for table in tables:
        found = [row for row in table.rows if row.model == model and version in {"", row.version}]
        versions = dict.fromkeys(row.version for row in found)
        if len(versions) > 1:
            several = ", ".join(f"{model}@{own}" for own in versions)
            raise ww.UsageError(f"table {table.source} has several versions of {model}: name one of {several}")
        if found:
            places = chosen.places([row.layer for row in found])
            return MetricByLayer(
                name=name,
                origin=f"table {table.source}",
                metric=tables.metric,
                unit=table.unit,
                layers=tuple(place.name for place in places),
                values=np.array([found[place.at].value for place in places], np.float64),
            )
    return None
