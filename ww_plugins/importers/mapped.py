"""Any published table, by a mapping that says what its columns are."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import ww_core as ww
from ww_core.loading.tables import is_missing, name_of, number_of, outcome_of, read_table, text_of
from ww_plugins.importers.mapping import COLUMN, NAME, ColumnRule, ScoreRule, TableMapping, Template, read_mapping

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ww_core.loading.tables import Cell, Row, Table


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


@dataclass
class _Reading:
    """One table being read by one mapping."""

    mapping: TableMapping
    file: Table
    at: Mapping[str, int] = field(init=False)
    notes: list[str] = field(default_factory=list)

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
        columns: dict[str, ww.ReportedColumn] = {}
        provider = self._common("provider", self.mapping.provider, rows)
        entries = self._entries(rows, taken, columns, provider)
        scores = tuple(self._scores(rows))
        if not columns and not scores:
            self._refuse(f"no column of {self.file.label} that it names holds a number")
        return ww.ReportedTable(
            source=self._common("source", self.mapping.source, rows),
            provider=provider,
            columns=tuple(columns.values()),
            rows=entries,
            series=self._series(rows),
            scores=scores,
            notes=tuple(self.notes),
        )

    def _refuse(self, sentence: str) -> None:
        raise ww.UsageError(f"{self.mapping.path}: {sentence}")

    def _check_columns(self) -> None:
        """Check that the file has every column that the mapping names."""
        for key, template in self.mapping.templates():
            self._check_names(f"{key} {template.text!r}", template.columns)
        self._check_names("keep", self.mapping.keep)
        self._check_names("leave_out", self.mapping.leave_out)
        for rule in self.mapping.columns:
            where = rule.where.removeprefix(f"{self.mapping.path}: ")
            if not _is_glob(rule.column, self.at):
                self._check_names(where, [rule.column])
            elif not any(_matches(name, rule.column) for name in self.at if name):
                self._check_names(where, [rule.column])
            special = {"name": (COLUMN,), "metric": (COLUMN, NAME), "definition": (COLUMN, NAME)}
            for key, known in special.items():
                template: Template = getattr(rule, key)
                self._check_names(f"{where}: {key}", [name for name in template.columns if name not in known])
        for score in self.mapping.scores:
            where = score.where.removeprefix(f"{self.mapping.path}: ")
            used = [score.value, *filter(None, (score.low, score.high))]
            self._check_names(where, [*used, *score.name.columns, *score.dataset.columns, *score.source.columns])

    def _check_names(self, where: str, names: Iterator[str] | Sequence[str] | Mapping[str, object]) -> None:
        for name in names:
            if name not in self.at:
                unknown = ww.UnknownNameError(f"column of {self.file.label}", name, filter(None, self.at))
                self._refuse(f"{where}: {unknown}")

    def _is_kept(self, row: Row) -> bool:
        keep, leave_out = self.mapping.keep, self.mapping.leave_out
        return all(self._text(row, column) in texts for column, texts in keep.items()) and not any(
            self._text(row, column) in texts for column, texts in leave_out.items()
        )

    def _cell(self, row: Row, column: str) -> Cell:
        return row.cells[self.at[column]]

    def _text(self, row: Row, column: str) -> str:
        return text_of(self._cell(row, column))

    def _filled(self, template: Template, row: Row, special: Mapping[str, str] | None = None) -> str:
        known = special or {}
        return template.filled(lambda name: known[name] if name in known else self._text(row, name))

    def _common(self, key: str, template: Template, rows: Sequence[Row]) -> str:
        """Return what a template says of the whole table."""
        texts = list(dict.fromkeys(self._filled(template, row) for row in rows))
        if len(texts) > 1:
            self._refuse(
                f"{key} {template.text!r} is not the same in all rows: {texts[0]!r} and {texts[1]!r}; "
                "keep the rows of one by keep, and import the others by themselves"
            )
        return texts[0]

    def _taken(self, rows: Sequence[Row]) -> list[_Taken]:
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

    def _fault_of_numbers(self, rows: Sequence[Row], column: str) -> str:
        for row in rows:
            cell = self._cell(row, column)
            if isinstance(cell, bool):
                return f"{self.file.unit} {row.number}: {cell} is no number"
            try:
                _ = is_missing(cell) or number_of(cell)
            except ValueError as error:
                return f"{self.file.unit} {row.number}: {error}"
        return ""

    def _entries(
        self, rows: Sequence[Row], taken: Sequence[_Taken], columns: dict[str, ww.ReportedColumn], provider: str
    ) -> tuple[ww.ReportedEntry, ...]:
        """Return the rows, and fill in the columns; where names of columns depend on the row, rows are merged."""
        merge = any(own.rule.is_long for own in taken)
        entries: list[ww.ReportedEntry] = []
        merged: dict[tuple[str, str, str], dict[str, ww.Outcome]] = {}
        lines: dict[tuple[str, ...], int] = {}
        rules: dict[str, tuple[str, ColumnRule]] = {}
        if not taken and not self.mapping.series:
            return ()
        for row in rows:
            place = self._place(row)
            values: dict[str, ww.Outcome] = {}
            for column, rule in taken:
                name = self._name(rule, column, row)
                source_column, first = rules.setdefault(name, (column, rule))
                if first is not rule or (source_column != column):
                    self._refuse(f"{rule.where}: the name {name!r} is that of column {source_column!r} already")
                self._define(columns, rule, column, name, row, provider)
                values[name] = self._outcome(row, column, rule)
            if merge:
                known = merged.setdefault(place, {})
                for name, outcome in values.items():
                    line = lines.setdefault((*place, name), row.number)
                    if known.setdefault(name, outcome) != outcome:
                        raise ww.CorruptFileError(
                            f"{self.file.place(row.number)}: {name} of {_shown(place)} has another value than in "
                            f"{self.file.unit} {line}"
                        )
                continue
            line = lines.setdefault(place, row.number)
            if line != row.number and not place[2]:
                raise ww.CorruptFileError(
                    f"{self.file.place(row.number)}: there is a row of {_shown(place)} in {self.file.unit} {line} "
                    "already: choose one of them by keep, or give the layer"
                )
            model, version, layer = place
            entries.append(ww.ReportedEntry(model, values, version, layer))
        entries += [ww.ReportedEntry(own[0], values, own[1], own[2]) for own, values in merged.items()]
        return tuple(entries)

    def _place(self, row: Row) -> tuple[str, str, str]:
        """Return model, version and layer of a row."""
        mapping = self.mapping
        try:
            texts = {
                "the model": self._filled(mapping.model, row),
                "the version": self._filled(mapping.version, row),
                "the layer": self._filled(mapping.layer, row),
            }
            for what, text in texts.items():
                if text or (what == "the model" and mapping.model.text):
                    name_of(text, what)
        except ValueError as error:
            raise ww.CorruptFileError(f"{self.file.place(row.number)}: {error}") from None
        return texts["the model"], texts["the version"], texts["the layer"]

    def _name(self, rule: ColumnRule, column: str, row: Row) -> str:
        name = self._filled(rule.name, row, {COLUMN: column})
        if not name:
            raise ww.CorruptFileError(
                f"{self.file.place(row.number)}: the name {rule.name.text!r} of a column is empty here"
            )
        return name

    def _define(
        self, columns: dict[str, ww.ReportedColumn], rule: ColumnRule, column: str, name: str, row: Row, provider: str
    ) -> None:
        if name in columns and not rule.is_long:
            return
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
        if columns.setdefault(name, defined) != defined:
            raise ww.CorruptFileError(
                f"{self.file.place(row.number)}: column {name} has another definition here than in a row before"
            )

    def _outcome(self, row: Row, column: str, rule: ColumnRule) -> ww.Outcome:
        try:
            return outcome_of(self._cell(row, column), rule.type)
        except ValueError as error:
            raise ww.CorruptFileError(f"{self.file.place(row.number, column)}: {error}") from None

    def _series(self, rows: Sequence[Row]) -> dict[str, tuple[str, ...]]:
        members: dict[str, dict[str, None]] = {}
        for row in rows if self.mapping.series else ():
            model = self._place(row)[0]
            for template in self.mapping.series:
                if series := self._filled(template, row):
                    try:
                        members.setdefault(model, {})[name_of(series, "the series")] = None
                    except ValueError as error:
                        raise ww.CorruptFileError(f"{self.file.place(row.number)}: {error}") from None
        return {model: tuple(series) for model, series in members.items()}

    def _scores(self, rows: Sequence[Row]) -> Iterator[ww.Score]:
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

    def _score(self, rule: ScoreRule, row: Row) -> ww.Score | None:
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

    def _number(self, row: Row, column: str) -> float | None:
        cell = self._cell(row, column)
        try:
            number = None if is_missing(cell) else number_of(cell)
        except ValueError as error:
            raise ww.CorruptFileError(f"{self.file.place(row.number, column)}: {error}") from None
        return None if number != number else number  # noqa: PLR0124 - NaN, as a data frame writes an empty cell


def _is_glob(column: str, header: Mapping[str, int]) -> bool:
    return column not in header and any(mark in column for mark in "*?[")


def _matches(column: str, glob: str) -> bool:
    return column == glob or fnmatch.fnmatchcase(column, glob)


def _shown(place: tuple[str, str, str]) -> str:
    model, version, layer = place
    name = f"{model}@{version}" if version else model or "the model"
    return f"{layer} of {name}" if layer else name
