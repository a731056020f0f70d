"""A metric of every layer of one or several models, in the order of the layers: analysed ones, or those of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

import ww_core as ww
from ww_plugins.commands.plot.chosen_models import LayerTables, NoColumnError, chosen_models, series_of_models

if TYPE_CHECKING:
    import numpy.typing as npt

    from ww_core.domain.report import LayerRow, ReportColumn


@dataclass(frozen=True, slots=True, eq=False)
class MetricByLayer:
    """A metric of the matrices of a model, or of its layers.

    Attributes:
        name: The model with its version, as people name it.
        origin: The profile, or the table that the values are from.
        metric: Label of the column.
        unit: Unit or log base of the metric.
        layers: The layer that each value speaks of, in the order of the layers; one that has several matrices stands
            there several times.
        values: The values, float64; NaN where there is none.
        series: A series that the model is a member of; empty for none.
        scope: What each value speaks of.
    """

    name: str
    origin: str
    metric: str
    unit: str
    layers: tuple[str, ...]
    values: npt.NDArray[np.float64] = field(repr=False)
    series: str = ""
    scope: Literal["matrix", "layer"] = "matrix"

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


class LeftOut(NamedTuple):
    """A model of a glob or a series that cannot be drawn, and why."""

    name: str
    error: ww.WWError

    @property
    def reason(self) -> str:
        """The error, shorter."""
        return (
            self.error.brief
            if isinstance(self.error, NoColumnError)
            else str(self.error).removeprefix(f"{self.name}: ")
        )


class Metrics(NamedTuple):
    """Metrics of models, metric by metric, and the models that lack one of them."""

    found: list[MetricByLayer]
    left_out: list[LeftOut]


def metrics_by_layer(
    store: ww.Store,
    models: Sequence[str],
    metrics: Sequence[str],
    layers: Sequence[str] = (),
    *,
    without: Sequence[str] = (),
    series: Sequence[str] = (),
    profile: str | None = None,
) -> Metrics:
    """Return metrics of every matrix or layer of models, each model once.

    The analysis is the one that `Store.report` shows, else the newest that has the column. A model that has none is
    looked for in imported tables. One that a glob or a series stands for is left out if it lacks one of the metrics.

    Args:
        store: An open store.
        models: ``MODEL``, ``MODEL@VERSION``, digest prefixes or globs over models; models of imported tables too.
        metrics: Labels of columns of matrices or layers.
        layers: Globs of layers; empty for all.
        without: Globs of layers that are left out.
        series: Names of series, whose models come too.
        profile: Name of the profile; None for the newest run's.

    Raises:
        UsageError: No model is named, a name is empty, there is no such column, it has no numbers of layers or
            matrices, or no layer is left.
        UnknownNameError: There is no such series, or a glob of layers matches nothing.
        NotStoredError: Nothing carries a name, or none of its layers has a value.
        StoreError: The database could not be read.
    """
    if not (models or series) or not metrics or not all(metrics):
        raise ww.UsageError("name one model or more, or a series, and a metric")
    tables = {metric: LayerTables(store, metric) for metric in metrics}
    families = series_of_models(store)
    chosen = _Chosen(layers, without)
    found: dict[str, list[MetricByLayer]] = {}
    left_out: list[LeftOut] = []
    refused: list[ww.WWError] = []
    for name, is_named in chosen_models(store, tables[metrics[0]], models, series).items():
        try:
            of_model = [_of_model(store, own, name, chosen, profile) for own in tables.values()]
        except (ww.UsageError, ww.NotStoredError) as error:
            if is_named:
                refused.append(error)
            else:
                left_out.append(LeftOut(name, error))
            continue
        family = next((each for each in families.get(name.partition("@")[0], ()) if each in series or not series), "")
        found.setdefault(of_model[0].name, [replace(own, series=family) for own in of_model])
    reasons = [*chosen.unmatched.values(), *refused, *(() if found else (own.error for own in left_out))]
    if reasons:
        raise reasons[0]
    return Metrics([of_model[at] for at in range(len(tables)) for of_model in found.values()], left_out)


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

    def checked(self, own: MetricByLayer) -> MetricByLayer:
        """Return what has a layer.

        Raises:
            UsageError: None is left.
        """
        if own.layers:
            return own
        options = (("--layers", self.layers), ("--without-layers", self.without))
        asked = " and ".join(f"{option} {','.join(globs)}" for option, globs in options if globs)
        if not asked:
            raise ww.NotStoredError(f"{own.name}: no {own.scope} has values of metrics")
        raise ww.UsageError(f"{own.name}: no layer is left by {asked}")

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


def _of_model(store: ww.Store, tables: LayerTables, name: str, chosen: _Chosen, profile: str | None) -> MetricByLayer:
    """Return a metric of the layers of a model, as its analysis or else a table has it.

    Raises:
        UsageError: There is no such column, or no layer is left.
        NotStoredError: Nothing carries the name, or no layer has a value.
    """
    try:
        report = store.report(name, profile)
        if tables.metric not in {own.name for own in report.columns}:
            report = _another_report(store, name, tables.metric, profile) or report
        column = _column(store, name, report, tables.metric)
    except (ww.NotStoredError, ww.UsageError) as missing:
        own = _of_tables(tables, name, chosen) if profile is None else None
        if own is not None:
            return own
        if profile is None and isinstance(missing, ww.NotStoredError):
            _check_tables(tables, name)
        raise
    return _of_report(report, column, chosen)


def _another_report(store: ww.Store, name: str, metric: str, profile: str | None) -> ww.AnalysisReport | None:
    """Return the newest analysis that shows a column, as one that was asked for this metric only; None for none."""
    try:
        return store.report(name, profile, variant=metric)
    except ww.NotStoredError:
        return None


def _column(store: ww.Store, name: str, report: ww.AnalysisReport, metric: str) -> ReportColumn:
    """Return a column of numbers of matrices or layers.

    Raises:
        UsageError: It is none, or the analysis lacks it.
    """
    columns = {own.name: own for own in report.columns}
    column = columns.get(metric)
    if column is None:
        known = [own.name for own in report.columns if own.scope != "model" and own.type != "text"]
        next_step = ""
        if any(own.name == metric for quantity in ww.load_plugins().quantities for own in quantity.object.columns):
            next_step = f"; `{ww.analysis_command(store, name, [metric], profile=report.run.profile)}` adds it"
        raise NoColumnError(_name(report), "its analysis", metric, known, next_step)
    if column.type == "text":
        raise ww.UsageError(f"{metric} is a text and cannot be drawn: `ww show {_name(report)}` lists it")
    if column.scope == "model":
        raise ww.UsageError(f"{metric} describes the whole model, not its layers: `ww show {_name(report)}` lists it")
    return column


def _name(report: ww.AnalysisReport) -> str:
    return f"{report.model}@{report.version}" if report.model else report.digest[:12]


def _of_report(report: ww.AnalysisReport, column: ReportColumn, chosen: _Chosen) -> MetricByLayer:
    rows: Sequence[ww.MatrixRow | LayerRow]
    rows = report.layer_metrics if column.scope == "layer" else [row for row in report.layers if row.is_primary]
    places = chosen.places([row.name for row in rows])
    outcomes = [rows[place.at].metrics.get(column.name) for place in places]
    numbers = [None if own is None else own.number for own in outcomes]
    if places and not any(number is not None for number in numbers):
        reasons = dict.fromkeys("it was not computed" if own is None else own.reason or own.state for own in outcomes)
        more = f" and {len(reasons) - 1} other reasons" if len(reasons) > 1 else ""
        raise ww.NotStoredError(f"{_name(report)}: no layer has a value of {column.name}: {next(iter(reasons))}{more}")
    return chosen.checked(
        MetricByLayer(
            name=_name(report),
            origin=f"profile {report.run.profile}",
            metric=column.name,
            unit=column.unit,
            layers=tuple(place.name for place in places),
            values=np.array([np.nan if number is None else number for number in numbers], np.float64),
            scope="layer" if column.scope == "layer" else "matrix",
        )
    )


def _of_tables(tables: LayerTables, name: str, chosen: _Chosen) -> MetricByLayer | None:
    """Return what imported tables say of the layers of a model; None if none speaks of them.

    Raises:
        UsageError: A table has several versions of it, and none is named.
    """
    model, _, version = name.partition("@")
    for table in tables:
        if table.known:
            continue
        found = [row for row in table.rows if row.model == model and version in {"", row.version}]
        versions = dict.fromkeys(row.version for row in found)
        if len(versions) > 1:
            several = ", ".join(f"{model}@{own}" for own in versions)
            raise ww.UsageError(f"table {table.source} has several versions of {model}: name one of {several}")
        if found:
            places = chosen.places([row.layer for row in found])
            values = np.array([found[place.at].value for place in places], np.float64)
            if places and not np.isfinite(values).any():
                raise ww.NotStoredError(
                    f"{name}: no layer has a value of {tables.metric}: table {table.source} is empty there"
                )
            return chosen.checked(
                MetricByLayer(
                    name=name,
                    origin=f"table {table.source}",
                    metric=tables.metric,
                    unit=table.unit,
                    layers=tuple(place.name for place in places),
                    values=values,
                )
            )
    return None


def _check_tables(tables: LayerTables, name: str) -> None:
    """Raise if a table speaks of a model and lacks the column.

    Raises:
        NoColumnError: One does.
    """
    model, _, version = name.partition("@")
    for table in tables:
        if table.known and any(row.model == model and version in {"", row.version} for row in table.rows):
            raise NoColumnError(name, f"table {table.source}", tables.metric, table.known)
