"""The details frame of WeightWatcher, versions 0.2 to 0.7: a row for each layer, or for each slice of it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import ww_core as ww
from ww_core.loading.tables import is_missing, name_of, outcome_of, read_table, text_of
from ww_plugins.importers.peer_columns import (
    IDENTIFYING,
    PROGRAM,
    STATISTICS,
    WITHOUT_CONTENT,
    PeerColumn,
    is_known,
    meaning_of,
    recognised_version,
    version_of,
)

if TYPE_CHECKING:
    from ww_core.loading.tables import Cell, CellRow, CellTable
    from ww_plugins.importers.peer_columns import Version

LEAST_COLUMNS = 2
"""Columns that a frame must have besides the layer's number, so that it is taken for one."""

FIRST, LAST = (0, 2), (0, 8)
"""The versions whose columns are known, the last one not included."""

MODEL_COLUMNS = ("model", "model_name")
LAYER_COLUMNS = ("longname", "name")
DERIVED = ("alpha_weighted", "log_alpha_norm", "warning", "ERG_gap")
"""Columns that are made of what the fit gave: where it failed, they say nothing."""

NOT_FITTED = ww.Outcome(ww.State.REFUSED, reason="the fit failed: the table says -1")
MADE_OF_A_FAILED_FIT = ww.Outcome(ww.State.REFUSED, reason="the fit failed, and this is made of its alpha of -1")
EMPTY_TEXT = ww.Outcome(ww.State.OK, text="")


@dataclass(frozen=True)
class WeightWatcherImporter(ww.Importer):
    """Reads what ``analyze()`` of WeightWatcher returns: as CSV, JSON records, Parquet, or the data frame itself.

    Each column has the definition of the version that made it. The version is told by the columns, unless it is given.

    Attributes:
        version: Version of WeightWatcher, such as ``0.7.5.5``.
        model_column: Column that names the model; default ``model`` or ``model_name``, if there is one.
        undocumented: Whether columns that no version is known to have are read too.
    """

    name = "weightwatcher"
    description = "details frames of WeightWatcher 0.2 to 0.7: CSV, JSON records, Parquet, a data frame"
    version: str = ""
    model_column: str = ""
    undocumented: bool = False

    def __post_init__(self) -> None:
        check_version(self.version)

    def probe(self, source: ww.Source) -> float:
        """Look for the layer's number and at least two known columns in the header."""
        try:
            header = read_table(source).header
        except (ww.SourceError, OSError):
            return 0.0
        known = [name for name in header if is_known(name)]
        return 0.9 if "layer_id" in header and len(known) >= LEAST_COLUMNS else 0.0

    def read(self, source: ww.Source) -> ww.ReportedTable:
        """Read the frame.

        Raises:
            SourceError: It cannot be read, or is no such frame.
            CorruptFileError: It is damaged, or a cell holds what its column cannot; the message names the line.
            UsageError: There is no such column as the option says.
        """
        table = read_table(source)
        if "layer_id" not in table.header:
            raise ww.SourceError(f"{table.label}: this is no details frame of WeightWatcher: it has no column layer_id")
        if self.model_column and self.model_column not in table.header:
            raise ww.UnknownNameError(f"column of {table.label}", self.model_column, filter(None, table.header))
        return _Frame(table, self).read()


def check_version(text: str) -> None:
    """Raise unless a text is empty, or a version whose columns are known.

    Raises:
        UsageError: It is none.
    """
    if not text:
        return
    try:
        known = FIRST <= version_of(text) < LAST
    except ValueError:
        known = False
    if not known:
        raise ww.UsageError(f"version {text!r} of WeightWatcher is not known: 0.2 to 0.7 are, such as 0.7.5.5")


class _Column(NamedTuple):
    """A column of the frame that is read: where it stands, what it means, what it is called."""

    position: int
    header: str
    name: str
    meaning: PeerColumn | None

    def reported(self, provider: str) -> ww.ReportedColumn:
        """Return it as the table's."""
        if self.meaning is None:
            definition = f"Column {self.header} of the details of {provider}; not documented."
            return ww.ReportedColumn(self.name, f"{PROGRAM}:{self.header}", "unknown", definition)
        own = self.meaning
        return ww.ReportedColumn(
            self.name, own.metric, own.first, f"{own.definition}.", own.type, own.better, own.unit, own.caveat
        )


@dataclass
class _Frame:
    """One frame being read."""

    table: CellTable
    options: WeightWatcherImporter
    notes: list[str] = field(default_factory=list)

    def read(self) -> ww.ReportedTable:
        """Read all of it."""
        header = self.table.header
        version_text = self.options.version or recognised_version(header)
        provider = f"{PROGRAM} {version_text}"
        if not self.options.version:
            self.notes.append(
                f"read as a frame of WeightWatcher {version_text}, which its columns fit: if it is of another version, "
                f"say so by --importer '{self.options.name}[version=...]'"
            )
        rows = self._finest(list(self.table))
        if not rows:
            raise ww.CorruptFileError(f"{self.table.label}: it has a header and no rows of layers")
        columns = self._columns(rows, version_of(version_text))
        layers = self._layers(rows)
        self._check_once(rows, layers)
        failed = Counter[str]()
        entries = []
        for row, layer in zip(rows, layers, strict=True):
            values = {column.name: self._outcome(row, column) for column in columns}
            self._refuse_derived(values, columns, failed)
            entries.append(ww.ReportedEntry(self._model(row), values, self._text(row, "version"), layer))
        if failed:
            told = ", ".join(f"{name} in {count}" for name, count in failed.items())
            self.notes.append(f"fits that failed (-1 in the table) have no value: {told} of {len(rows)} rows")
        return ww.ReportedTable(
            source="",
            provider=provider,
            columns=tuple(column.reported(provider) for column in columns),
            rows=tuple(entries),
            notes=tuple(self.notes),
        )

    def _cell(self, row: CellRow, column: str) -> Cell:
        return row.cells[self.table.header.index(column)] if column in self.table.header else None

    def _text(self, row: CellRow, column: str) -> str:
        cell = self._cell(row, column)
        return "" if is_missing(cell) or _is_nan(cell) else text_of(cell)

    def _finest(self, rows: Sequence[CellRow]) -> list[CellRow]:
        """Leave rows out that are means of others: those of the network, and those of a layer that has slices."""
        if "level" not in self.table.header:
            return [row for row in rows if not all(map(is_missing, row.cells))]
        levels = [self._level(row) for row in rows]
        sliced = {
            (self._model(row), self._id(row)) for row, level in zip(rows, levels, strict=True) if level == "SLICE"
        }
        kept = [
            row
            for row, level in zip(rows, levels, strict=True)
            if level == "SLICE" or (level == "LAYER" and (self._model(row), self._id(row)) not in sliced)
        ]
        if len(kept) < len(rows):
            self.notes.append(
                f"left out {len(rows) - len(kept)} rows of layers and of the network, which are means of the "
                f"{len(kept)} rows that are read"
            )
        return kept

    def _level(self, row: CellRow) -> str:
        level = self._text(row, "level").upper().rpartition(".")[2]
        if level not in {"SLICE", "LAYER", "NETWORK"}:
            raise ww.CorruptFileError(
                f"{self.table.place(row.number, 'level')}: {level!r} is none of SLICE, LAYER and NETWORK"
            )
        return level

    def _id(self, row: CellRow) -> str:
        cell = self._cell(row, "layer_id")
        if is_missing(cell) or _is_nan(cell):
            raise ww.CorruptFileError(f"{self.table.place(row.number, 'layer_id')}: the layer has no number")
        return _whole(text_of(cell))

    def _columns(self, rows: Sequence[CellRow], version: Version) -> list[_Column]:
        """Return the columns that are read, and tell of the others."""
        header = self.table.header
        columns, unknown, empty = [], [], []
        quiet = {*IDENTIFYING, *WITHOUT_CONTENT, self.options.model_column} - {"slice", "slice_id"}
        for index, name in enumerate(header):
            if name in quiet or (name.endswith(STATISTICS) and "level" in header):
                continue
            meaning = meaning_of(name, version)
            if meaning is None and not self.options.undocumented:
                unknown.append(name)
                continue
            if all(is_missing(row.cells[index]) or _is_nan(row.cells[index]) for row in rows) and not (
                meaning and meaning.empty_text
            ):
                empty.append(name)
                continue
            if meaning is None:
                columns.append(_Column(index, name, name, None))
                continue
            columns.append(_Column(index, name, name if meaning.name in header else meaning.name, meaning))
        if unknown:
            self.notes.append(
                f"left out, as no definition is known of them in version {'.'.join(map(str, version))}: "
                f"{', '.join(unknown)}"
            )
        if empty:
            self.notes.append(f"left out, as no row has a value: {', '.join(empty)}")
        if not columns:
            raise ww.CorruptFileError(f"{self.table.label}: no column that is known has a value")
        return columns

    def _layers(self, rows: Sequence[CellRow]) -> list[str]:
        """Name the layer of each row: by the first column of names that tells all layers apart, else by its number."""
        models = [self._model(row) for row in rows]
        ids = [self._id(row) for row in rows]
        layers = list(zip(models, ids, strict=True))
        for column in LAYER_COLUMNS:
            names = [self._text(row, column) for row in rows]
            named = set(zip(layers, names, strict=True))
            if all(names) and len(named) == len(set(layers)) == len(set(zip(models, names, strict=True))):
                return names
        if any(name in self.table.header for name in LAYER_COLUMNS):
            self.notes.append("layers are called by their numbers, as no column of names tells all of them apart")
        return ids

    def _model(self, row: CellRow) -> str:
        columns = (self.options.model_column,) if self.options.model_column else MODEL_COLUMNS
        column = next((name for name in columns if name in self.table.header), "")
        if not column:
            return ""
        try:
            return name_of(self._cell(row, column), "the model")
        except ValueError as error:
            raise ww.CorruptFileError(f"{self.table.place(row.number, column)}: {error}") from None

    def _check_once(self, rows: Sequence[CellRow], layers: Sequence[str]) -> None:
        """Raise if a slice of a layer has two rows, or a row stands there twice."""
        slices = next((name for name in ("slice_id", "slice") if name in self.table.header), "")
        seen: dict[tuple[object, ...], int] = {}
        for row, layer in zip(rows, layers, strict=True):
            number = _whole(self._text(row, slices)) if slices else ""
            key = (self._model(row), self._text(row, "version"), layer, number) if number else row.cells
            line = seen.setdefault(key, row.number)
            if line != row.number and (number or "level" not in self.table.header):
                raise ww.CorruptFileError(
                    f"{self.table.place(row.number)}: layer {layer}{f', slice {number},' if number else ''} has a row "
                    f"in {self.table.unit} {line} already: leave one out"
                )

    def _outcome(self, row: CellRow, column: _Column) -> ww.Outcome:
        cell, meaning = row.cells[column.position], column.meaning
        if meaning and meaning.empty_text and (is_missing(cell) or _is_nan(cell)):
            return EMPTY_TEXT
        try:
            outcome = outcome_of(cell, meaning.type if meaning else "float")
        except ValueError as error:
            raise ww.CorruptFileError(f"{self.table.place(row.number, column.header)}: {error}") from None
        return NOT_FITTED if meaning and meaning.failed and outcome.number == -1 else outcome

    def _refuse_derived(self, values: dict[str, ww.Outcome], columns: Sequence[_Column], failed: Counter[str]) -> None:
        """Give what is made of a failed fit no value, and count what failed."""
        lost = [name for name, outcome in values.items() if outcome is NOT_FITTED]
        failed.update(lost)
        if "alpha" in lost:
            for column in columns:
                if column.meaning and column.meaning.name in DERIVED:
                    values[column.name] = MADE_OF_A_FAILED_FIT


def _whole(text: str) -> str:
    """Return a whole number as pandas writes it in a column without an empty cell."""
    return text.removesuffix(".0")


def _is_nan(cell: Cell) -> bool:
    return (isinstance(cell, float) and math.isnan(cell)) or (
        isinstance(cell, str) and cell.strip().casefold() == "nan"
    )
