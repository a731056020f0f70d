"""Any published table, by a mapping that says what its columns are."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn, cast

import ww_core as ww
from ww_core.loading.tables import is_missing, name_of, number_of, outcome_of, read_table, text_of
from ww_plugins.importers.mapping import COLUMN, NAME, ColumnRule, ScoreRule, TableMapping, Template, read_mapping

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ww_core.loading.tables import Cell, CellRow, CellTable


@dataclass(frozen=True)
class MappedImporter(ww.Importer):
    """Reads a table of any form by a mapping; without one it recognises nothing.

    Attributes:
        mapping: Path of the mapping, a file in TOML.
    """

    name = "mapped"
    description = "any table, CSV, TSV, JSON records or Parquet, by a mapping in TOML that says what its columns are"
    mapping: str = ""

    def probe(self, source: ww.Source) -> float:
        """Say that it is sure enough, where a mapping was given and there is a table."""
        if not self.mapping:
            return 0.0
        try:
            read_table(source)
        except (ww.SourceError, OSError):
            # Asked for by its mapping, it is the one to say what is wrong with the file.
            return 0.0 if source.is_object or source.is_folder else 0.1
        return 0.9

    def read(self, source: ww.Source) -> ww.ReportedTable:
        """Read the table.

        Raises:
            SourceError: It cannot be read.
            CorruptFileError: It is damaged, or a cell is not what the mapping says; the message names the line.
            UsageError: There is no mapping, or it does not fit the table.
        """
        if not self.mapping:
            raise ww.UsageError("importer mapped needs a mapping: give --mapping FILE.toml")
        mapping = read_mapping(Path(self.mapping))
        return _Reading(mapping, read_table(source)).table()


class _Taken(NamedTuple):
    """A column of the file that a rule takes."""

    column: str
    rule: ColumnRule


class _Place(NamedTuple):
    """What a row speaks of; version and layer are empty for none."""

    model: str
    version: str
    layer: str

    def __str__(self) -> str:
        model = f"{self.model}@{self.version}" if self.version else self.model or "the model"
        return f"{self.layer} of {model}" if self.layer else model


@dataclass
class _Reading:
    """One table being read by one mapping."""

    mapping: TableMapping
    file: CellTable
    at: Mapping[str, int] = field(init=False)
    notes: list[str] = field(default_factory=list)
    columns: dict[str, ww.ReportedColumn] = field(default_factory=dict)
    _taken_by: dict[str, _Taken] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.at = {name: index for index, name in enumerate(self.file.header)}
        self._check_columns()

    def table(self) -> ww.ReportedTable:
        """Read all of it."""
        rows = [row for row in self.file if self._is_kept(row)]
        if not rows:
            self._refuse(
                "no row is left: none has the cells that keep and leave_out ask for"
                if self.mapping.keep or self.mapping.leave_out
                else f"{self.file.label} has a header and no rows"
            )
        taken = self._taken(rows)
        provider = self._common("provider", self.mapping.provider, rows)
        source = self._common("source", self.mapping.source, rows)
        entries = self._entries(rows, taken, provider)
        scores = tuple(self._scores(rows))
        if not self.columns and not scores:
            self._refuse(f"no column of {self.file.label} that it names holds a number")
        return ww.ReportedTable(
            source=source,
            provider=provider,
            columns=tuple(self.columns.values()),
            rows=entries,
            series=self._series(rows),
            scores=scores,
            notes=tuple(self.notes),
        )

    def _refuse(self, sentence: str) -> NoReturn:
        raise ww.UsageError(f"{self.mapping.path}: {sentence}")

    def _check_columns(self) -> None:
        """Check that the file has every column that the mapping names."""
        for key, template in self.mapping.templates():
            self._check_names(f"{key} {template.text!r}", template.columns)
        self._check_names("keep", self.mapping.keep)
        self._check_names("leave_out", self.mapping.leave_out)
        for rule in self.mapping.columns:
            where = rule.where.removeprefix(f"{self.mapping.path}: ")
            if not any(_matches(name, rule.column) for name in self.at if name):
                self._check_names(where, [rule.column])
            special = {"name": (COLUMN,), "metric": (COLUMN, NAME), "definition": (COLUMN, NAME)}
            for key, known in special.items():
                names = cast("Template", getattr(rule, key)).columns
                self._check_names(f"{where}: {key}", [name for name in names if name not in known])
        for score in self.mapping.scores:
            where = score.where.removeprefix(f"{self.mapping.path}: ")
            used = [score.value, *filter(None, (score.low, score.high))]
            self._check_names(where, [*used, *score.name.columns, *score.dataset.columns, *score.source.columns])

    def _check_names(self, where: str, names: Iterator[str] | Sequence[str] | Mapping[str, object]) -> None:
        for name in names:
            if name not in self.at:
                unknown = ww.UnknownNameError(f"column of {self.file.label}", name, filter(None, self.at))
                self._refuse(f"{where}: {unknown}")

    def _is_kept(self, row: CellRow) -> bool:
        keep, leave_out = self.mapping.keep, self.mapping.leave_out
        return all(self._text(row, column) in texts for column, texts in keep.items()) and not any(
            self._text(row, column) in texts for column, texts in leave_out.items()
        )

    def _cell(self, row: CellRow, column: str) -> Cell:
        return row.cells[self.at[column]]

    def _text(self, row: CellRow, column: str) -> str:
        return text_of(self._cell(row, column))

    def _filled(self, template: Template, row: CellRow, special: Mapping[str, str] | None = None) -> str:
        known = special or {}
        return template.filled(lambda name: known[name] if name in known else self._text(row, name))

    def _common(self, key: str, template: Template, rows: Sequence[CellRow]) -> str:
        """Return what a template says of the whole table."""
        texts = list(dict.fromkeys(self._filled(template, row) for row in rows))
        if len(texts) > 1:
            self._refuse(
                f"{key} {template.text!r} is not the same in all rows: {texts[0]!r} and {texts[1]!r}; "
                "keep the rows of one by keep, and import the others by themselves"
            )
        return texts[0]

    def _taken(self, rows: Sequence[CellRow]) -> list[_Taken]:
        """Return which columns of the file are taken by which rule, in the order of the rules."""
        named = {rule.column for rule in self.mapping.columns if not _is_glob(rule.column, self.at)}
        used = {column for _, template in self.mapping.templates() for column in template.columns}
        used |= {*self.mapping.keep, *self.mapping.leave_out}
        used |= {column for rule in self.mapping.columns for column in rule.name.columns}
        for score in self.mapping.scores:
            used |= {score.value, score.low, score.high}
            used |= {name for own in (score.name, score.dataset, score.source) for name in own.columns}
        taken: list[_Taken] = []
        by_glob: set[str] = set()
        texts: dict[str, str] = {}
        for rule in self.mapping.columns:
            if not _is_glob(rule.column, self.at):
                taken.append(_Taken(rule.column, rule))
                continue
            for column in self.at:
                free = column and column not in named | used | by_glob
                if not free or not _matches(column, rule.column) or any(_matches(column, own) for own in rule.left_out):
                    continue
                if rule.type != "text" and (fault := self._fault_of_numbers(rows, column)):
                    texts[column] = fault
                    continue
                by_glob.add(column)
                taken.append(_Taken(column, rule))
        texts = {column: fault for column, fault in texts.items() if column not in by_glob}
        empty = [own.column for own in taken if all(is_missing(self._cell(row, own.column)) for row in rows)]
        ignored = [c for c in self.at if c and c not in named | used | by_glob | texts.keys()]
        if texts:
            self.notes.append("left out, as they hold no numbers: " + "; ".join(f"{c} ({f})" for c, f in texts.items()))
        if empty:
            self.notes.append(f"left out, as no row has a value: {', '.join(dict.fromkeys(empty))}")
        if ignored:
            self.notes.append(f"left out, as the mapping does not name them: {', '.join(ignored)}")
        return [own for own in taken if own.column not in empty]

    def _fault_of_numbers(self, rows: Sequence[CellRow], column: str) -> str:
        for row in rows:
            cell = self._cell(row, column)
            if isinstance(cell, bool):
                return f"{self.file.unit} {row.number}: {cell} is no number"
            try:
                _ = is_missing(cell) or number_of(cell)
            except ValueError as error:
                return f"{self.file.unit} {row.number}: {error}"
        return ""

    def _entries(self, rows: Sequence[CellRow], taken: Sequence[_Taken], provider: str) -> tuple[ww.ReportedEntry, ...]:
        """Return the rows, and fill in the columns."""
        if not taken:  # scores alone; models that are members of a series are rows that say nothing
            places = dict.fromkeys(self._place(row) for row in rows) if self.mapping.series else {}
            return tuple(ww.ReportedEntry(model, {}, version, layer) for model, version, layer in places)
        fixed = [(self._defined(own, rows[0], provider), own) for own in taken if not own.rule.is_long]
        varying = [own for own in taken if own.rule.is_long]
        read: list[tuple[CellRow, _Place, dict[str, ww.Outcome]]] = []
        for row in rows:
            values = {name: self._outcome(row, own) for name, own in fixed}
            for own in varying:
                values[self._defined(own, row, provider)] = self._outcome(row, own)
            read.append((row, self._place(row), values))
        return tuple(self._merged(read) if varying else self._apart(read))

    def _merged(self, read: Sequence[tuple[CellRow, _Place, dict[str, ww.Outcome]]]) -> Iterator[ww.ReportedEntry]:
        """Put rows together that speak of one model and layer, where each says something else."""
        merged: dict[_Place, dict[str, ww.Outcome]] = {}
        lines: dict[tuple[_Place, str], int] = {}
        for row, place, values in read:
            known = merged.setdefault(place, {})
            for name, outcome in values.items():
                line = lines.setdefault((place, name), row.number)
                if known.setdefault(name, outcome) != outcome:
                    raise ww.CorruptFileError(
                        f"{self.file.place(row.number)}: {name} of {place} has another value than in "
                        f"{self.file.unit} {line}"
                    )
        for place, values in merged.items():
            yield ww.ReportedEntry(place.model, values, place.version, place.layer)

    def _apart(self, read: Sequence[tuple[CellRow, _Place, dict[str, ww.Outcome]]]) -> Iterator[ww.ReportedEntry]:
        """Make an entry of each row; a layer may have several, one for each of its matrices, but a model has one."""
        lines: dict[_Place, int] = {}
        for row, place, values in read:
            line = lines.setdefault(place, row.number)
            if line != row.number and not self.mapping.model.text and not place.layer:
                self._refuse(
                    f"it does not say which model a row of {self.file.label} is of: write model = '{{column}}'"
                )
            if line != row.number and not place.layer:
                raise ww.CorruptFileError(
                    f"{self.file.place(row.number)}: {place} has a row in {self.file.unit} {line} already: choose one "
                    "of them by keep or leave_out, or say the layer"
                )
            yield ww.ReportedEntry(place.model, values, place.version, place.layer)

    def _place(self, row: CellRow) -> _Place:
        """Return what a row speaks of."""
        mapping = self.mapping
        try:
            texts = {
                "the model": self._filled(mapping.model, row),
                "the version": self._filled(mapping.version, row),
            }
            for what, text in texts.items():
                if text or (what == "the model" and mapping.model.text):
                    name_of(text, what)
        except ValueError as error:
            raise ww.CorruptFileError(f"{self.file.place(row.number)}: {error}") from None
        return _Place(texts["the model"], texts["the version"], self._filled(mapping.layer, row))

    def _defined(self, taken: _Taken, row: CellRow, provider: str) -> str:
        """Return the name of a column as a row says it, and define it if it is new."""
        column, rule = taken
        name = self._filled(rule.name, row, {COLUMN: column})
        if not name:
            raise ww.CorruptFileError(
                f"{self.file.place(row.number)}: the name {rule.name.text!r} of a column is empty here"
            )
        first = self._taken_by.setdefault(name, taken)
        if first != taken:
            self._refuse(f"the name {name!r} is given to columns {first.column!r} and {column!r}: rename one")
        special = {COLUMN: column, NAME: name}
        undocumented = f"Column {column} of the table{f' of {provider}' if provider else ''}; not documented."
        defined = ww.ReportedColumn(
            name=name,
            metric=self._filled(rule.metric, row, special),
            version=rule.version,
            definition=self._filled(rule.definition, row, special) or undocumented,
            type=rule.type,
            better=rule.better,
            unit=rule.unit,
            caveat=rule.caveat,
        )
        if self.columns.setdefault(name, defined) != defined:
            raise ww.CorruptFileError(
                f"{self.file.place(row.number)}: column {name} has another definition here than in a row before"
            )
        return name

    def _outcome(self, row: CellRow, taken: _Taken) -> ww.Outcome:
        try:
            return outcome_of(self._cell(row, taken.column), taken.rule.type)
        except ValueError as error:
            raise ww.CorruptFileError(f"{self.file.place(row.number, taken.column)}: {error}") from None

    def _series(self, rows: Sequence[CellRow]) -> dict[str, tuple[str, ...]]:
        members: dict[str, dict[str, None]] = {}
        for row in rows if self.mapping.series else ():
            model = self._place(row).model
            for template in self.mapping.series:
                if series := self._filled(template, row):
                    try:
                        members.setdefault(model, {})[name_of(series, "the series")] = None
                    except ValueError as error:
                        raise ww.CorruptFileError(f"{self.file.place(row.number)}: {error}") from None
        return {model: tuple(series) for model, series in members.items()}

    def _scores(self, rows: Sequence[CellRow]) -> Iterator[ww.Score]:
        seen: dict[tuple[str, ...], tuple[ww.Score, int]] = {}
        for row in rows:
            for rule in self.mapping.scores:
                score = self._score(rule, row)
                if score is None:
                    continue
                key = (score.model, score.version, score.name, score.dataset, score.source)
                first, line = seen.setdefault(key, (score, row.number))
                if first != score:
                    raise ww.CorruptFileError(
                        f"{self.file.place(row.number, rule.value)}: the {score} is another number than in "
                        f"{self.file.unit} {line}"
                    )
                if line == row.number and first is score:
                    yield score

    def _score(self, rule: ScoreRule, row: CellRow) -> ww.Score | None:
        value = self._number(row, rule.value)
        if value is None:
            return None
        model, version, _ = self._place(row)
        return ww.Score(
            model=model,
            name=self._filled(rule.name, row),
            dataset=self._filled(rule.dataset, row),
            value=value,
            source=self._filled(rule.source, row),
            version=version,
            better=rule.better,
            unit=rule.unit,
            low=self._number(row, rule.low) if rule.low else None,
            high=self._number(row, rule.high) if rule.high else None,
        )

    def _number(self, row: CellRow, column: str) -> float | None:
        cell = self._cell(row, column)
        try:
            number = None if is_missing(cell) else number_of(cell)
        except ValueError as error:
            raise ww.CorruptFileError(f"{self.file.place(row.number, column)}: {error}") from None
        return None if number is None or math.isnan(number) else number


def _is_glob(column: str, header: Mapping[str, int]) -> bool:
    return column not in header and any(mark in column for mark in "*?[")


def _matches(column: str, glob: str) -> bool:
    return column == glob or fnmatch.fnmatchcase(column, glob)
