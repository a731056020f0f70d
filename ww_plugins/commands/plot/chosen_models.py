"""The models that a picture shows: named one by one, by globs, or by their series."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

import ww_core as ww


class NoColumnError(ww.UsageError):
    """What is stored of a model lacks a column; ``brief`` says so in a few words."""

    def __init__(self, model: str, where: str, column: str, known: Sequence[str], next_step: str = "") -> None:
        unknown = ww.UnknownNameError(f"column of {model}", column, known, "ww metrics" if next_step else "")
        super().__init__(f"{unknown}{next_step}")
        self.brief = f"{where} has no column {column!r}"


class LayerValue(NamedTuple):
    """What a row of an imported table says of a layer; the value is NaN for none."""

    model: str
    version: str
    layer: str
    value: float


class LayerTable(NamedTuple):
    """The rows of an imported table that speak of layers, in order, with one of its columns.

    ``known`` are the columns of numbers that it has, where it lacks that one; its values are NaN then.
    """

    source: str
    unit: str
    rows: tuple[LayerValue, ...]
    known: tuple[str, ...] = ()


@dataclass
class LayerTables:
    """The imported tables that have rows for layers, with a column; each is read once."""

    store: ww.Store
    metric: str
    _read: list[LayerTable] | None = field(default=None, init=False, repr=False)

    def __iter__(self) -> Iterator[LayerTable]:
        if self._read is None:
            tables = (self._table(stored.source) for stored in self.store.reported_tables())
            self._read = [table for table in tables if table is not None]
        return iter(self._read)

    def _table(self, source: str) -> LayerTable | None:
        try:
            values = self.store.reported_table(source, [self.metric])
        except ww.UnknownNameError:
            values = self.store.reported_table(source)
        known = () if self.metric in values.numbers else tuple(values.numbers)
        heads = zip(*(values.places[head] for head in ("model", "version", "layer", "source")), strict=True)
        numbers = values.numbers.get(self.metric, np.full(len(values), np.nan))
        rows = tuple(
            LayerValue(str(model), str(version), str(layer), float(numbers[at]))
            for at, (model, version, layer, table) in enumerate(heads)
            if layer and table == source
        )
        return LayerTable(source, self._unit(source), rows, known) if rows else None

    def _unit(self, source: str) -> str:
        """Return the unit of the column, as the table's definition of it says."""
        chosen = " AND ".join(
            f"{column} = '{text.replace(chr(39), 2 * chr(39))}'"
            for column, text in (("source", source), ("column_name", self.metric))
        )
        rows = self.store.sql(f"SELECT unit FROM v_reported WHERE {chosen} LIMIT 1").rows  # noqa: S608 - quoted
        return str(rows[0][0] or "") if rows else ""


def chosen_models(
    store: ww.Store, tables: LayerTables, models: Sequence[str], series: Sequence[str] = ()
) -> dict[str, bool]:
    """Return the names of models, and whether each was named itself: not by a glob or a series alone.

    The models of a glob or a series come in the order of the store, and those of a table in the order of its rows.

    Args:
        store: An open store.
        tables: The imported tables that may have them.
        models: Names as they were given; a name with ``*``, ``?`` or ``[`` that no model has is a glob over models.
        series: Names of series.

    Raises:
        UsageError: A name is empty.
        NotStoredError: A glob matches no model.
        UnknownNameError: There is no such series.
    """
    if not all(models):
        raise ww.UsageError("the name of a model is empty")
    names: dict[str, bool] = {}
    known = _known_models(store, tables) if series or any(map(_is_glob, models)) else {}
    for name in models:
        if not _is_glob(name) or name.partition("@")[0] in known:
            names[name] = True
            continue
        matching = [own for own in known if fnmatch.fnmatchcase(own, name)]
        if not matching:
            raise ww.NotStoredError(f"no model matches {name!r}, stored or reported with layers")
        names = _with(names, matching)
    for each in series:
        members = {own.model for own in store.series(each)}
        matching = [own for own in known if own in members]
        if not matching:
            raise ww.NotStoredError(f"series {each}: no model of it is stored, or reported with layers")
        names = _with(names, matching)
    return names


def _with(names: dict[str, bool], matching: Sequence[str]) -> dict[str, bool]:
    return names | {own: names.get(own, False) for own in matching}


def series_of_models(store: ww.Store) -> dict[str, list[str]]:
    """Return the series of each model that is in any, by name."""
    families: dict[str, list[str]] = {}
    for member in store.series():
        families.setdefault(member.model, []).append(member.series)
    return families


def _known_models(store: ww.Store, tables: LayerTables) -> dict[str, None]:
    stored = dict.fromkeys(version.model for version in store.versions() if version.model)
    return stored | dict.fromkeys(row.model for table in tables for row in table.rows)


def _is_glob(name: str) -> bool:
    return any(mark in name for mark in "*?[")
