"""Averages over whole networks, as WeightWatcher's ``get_summary()`` returns them, one network or a table of many."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ww_core as ww
from ww_core.loading.json_text import parse_json
from ww_core.loading.tables import is_missing, name_of, outcome_of, read_table
from ww_core.loading.unpacked import unpacked_content, unpacked_head
from ww_plugins.importers.peer_columns import (
    PROGRAM,
    WITHOUT_CONTENT,
    PeerColumn,
    is_known,
    meaning_of,
    recognised_version,
    version_of,
)
from ww_plugins.importers.weightwatcher import check_version

if TYPE_CHECKING:
    from ww_core.loading.tables import Cell, CellTable
    from ww_plugins.importers.peer_columns import Version

MODEL_COLUMNS = ("modelname", "model", "model_name", "name")
COMPOUND = "_compound"
LEAST_COLUMNS = 2
LARGEST_DICT = 2**20
"""Bytes of a text that holds one summary."""

MOST_SHOWN = 40
"""Characters of a text that a message repeats."""


@dataclass(frozen=True)
class SummaryImporter(ww.Importer):
    """Reads averages: a dict of them as JSON, as Python prints it or as an object, or a table with a row per model.

    Attributes:
        version: Version of WeightWatcher, such as ``0.2.7``; default the first one that the names fit.
        model_column: Column that names the model; default ``modelname``, ``model``, ``model_name`` or ``name``.
    """

    name = "weightwatcher-summary"
    description = "averages of WeightWatcher without layers: the dict of get_summary(), or a table with a row per model"
    version: str = ""
    model_column: str = ""

    def __post_init__(self) -> None:
        check_version(self.version)

    def probe(self, source: ww.Source) -> float:
        """Look for at least two names of averages, and for no layer."""
        try:
            names = list(_summary_of(source) or read_table(source).header)
        except (ww.SourceError, OSError):
            return 0.0
        known = [name for name in names if is_known(_base(name))]
        return 0.8 if len(known) >= LEAST_COLUMNS and "layer_id" not in names else 0.0

    def read(self, source: ww.Source) -> ww.ReportedTable:
        """Read all averages.

        Raises:
            SourceError: It cannot be read, or holds no averages.
            CorruptFileError: It is damaged, or an average is no number; the message names the place.
            UsageError: No column names the models, and there are several.
        """
        summary = _summary_of(source)
        if summary is not None:
            return self._of_one(summary, source.label)
        return self._of_many(read_table(source))

    def _of_one(self, summary: Mapping[str, Cell], label: str) -> ww.ReportedTable:
        version = self.version or recognised_version(map(_base, summary))
        columns, notes = _columns(list(summary), version)
        values = {name: _value(cell, f"{label}: {name}") for name, cell in summary.items() if name in columns}
        return self._table(version, columns, [ww.ReportedEntry("", values)], notes)

    def _of_many(self, table: CellTable) -> ww.ReportedTable:
        model_column = self._model_column(table)
        version = self.version or recognised_version(map(_base, table.header))
        rows = list(table)
        if not rows:
            raise ww.CorruptFileError(f"{table.label}: it has a header and no rows")
        if not model_column and len(rows) > 1:
            raise ww.UsageError(
                f"{table.label} has {len(rows)} rows, and no column names their models: "
                f"name one by --importer '{self.name}[model_column=...]'"
            )
        named = [name for name in table.header if name != model_column]
        columns, notes = _columns(named, version)
        used = [(index, name) for index, name in enumerate(table.header) if name in columns]
        empty = {name for index, name in used if all(is_missing(row.cells[index]) for row in rows)}
        if empty:
            notes.append(f"left out, as no row has a value: {', '.join(name for _, name in used if name in empty)}")
        entries: list[ww.ReportedEntry] = []
        lines: dict[str, int] = {}
        for row in rows:
            values = {
                name: _value(row.cells[index], table.place(row.number, name))
                for index, name in used
                if name not in empty
            }
            model = ""
            if model_column:
                try:
                    model = name_of(row.cells[table.header.index(model_column)], "the model")
                except ValueError as error:
                    raise ww.CorruptFileError(f"{table.place(row.number, model_column)}: {error}") from None
            line = lines.setdefault(model, row.number)
            if line != row.number:
                raise ww.CorruptFileError(
                    f"{table.place(row.number)}: {model} has a row in {table.unit} {line} already: leave one "
                    "out, or say by a mapping how models are called"
                )
            entries.append(ww.ReportedEntry(model, values))
        kept = {name: column for name, column in columns.items() if name not in empty}
        return self._table(version, kept, entries, notes)

    def _model_column(self, table: CellTable) -> str:
        if self.model_column and self.model_column not in table.header:
            raise ww.UnknownNameError(f"column of {table.label}", self.model_column, filter(None, table.header))
        return self.model_column or next((name for name in MODEL_COLUMNS if name in table.header), "")

    def _table(
        self,
        version: str,
        columns: Mapping[str, ww.ReportedColumn],
        entries: Sequence[ww.ReportedEntry],
        notes: Sequence[str],
    ) -> ww.ReportedTable:
        if not columns:
            raise ww.SourceError(f"importer {self.name}: there is no average that is known")
        told = (
            f"read as averages of WeightWatcher {version}, which their names fit: if they are of another version, "
            f"say so by --importer '{self.name}[version=...]'"
        )
        return ww.ReportedTable(
            source="",
            provider=f"{PROGRAM} {version}",
            columns=tuple(columns.values()),
            rows=tuple(entries),
            notes=(*notes,) if self.version else (told, *notes),
        )


def _base(name: str) -> str:
    return name.removesuffix(COMPOUND)


def _columns(names: Sequence[str], version_text: str) -> tuple[dict[str, ww.ReportedColumn], list[str]]:
    """Return the averages that are known by name, and sentences on the others."""
    version = version_of(version_text)
    columns: dict[str, ww.ReportedColumn] = {}
    unknown = []
    for name in names:
        if name in WITHOUT_CONTENT:
            continue
        meaning = meaning_of(_base(name), version)
        if meaning is None or meaning.type == "text":
            unknown.append(name)
            continue
        columns[name] = ww.ReportedColumn(
            name=name,
            metric=f"{PROGRAM}:summary.{name}",
            version=meaning.first,
            definition=_definition(name, meaning, version),
            better=meaning.better,
            unit=meaning.unit,
            caveat=meaning.caveat,
        )
    return columns, [f"left out, as no definition is known of them: {', '.join(unknown)}"] if unknown else []


def _definition(name: str, meaning: PeerColumn, version: Version) -> str:
    if name.endswith(COMPOUND):
        over = "Mean over layers of the means over their slices"
    elif version < (0, 4):
        over = "Mean over the slices of all layers"
    else:
        over = "Mean over the rows of the details, in which a failed fit counts as -1"
    return f"{over}: {meaning.definition}."


def _value(cell: Cell, place: str) -> ww.Outcome:
    try:
        return outcome_of(cell, "float")
    except ValueError as error:
        raise ww.CorruptFileError(f"{place}: {error}") from None


def _summary_of(source: ww.Source) -> dict[str, Cell] | None:
    """Return one summary, by the names of its averages; None if the source holds a table.

    Raises:
        SourceError: The file cannot be read.
        CorruptFileError: It begins as a dict and is none of texts and numbers.
    """
    if source.is_object:
        if not isinstance(source.value, Mapping):
            return None
        return _checked(dict(source.value), "the dict")
    if source.is_folder or not unpacked_head(source, 64).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{"):
        return None
    content = unpacked_content(source, LARGEST_DICT, "summary")
    try:
        return _checked(parse_json(content, source.label, "summary", constant=float), source.label)
    except ww.CorruptFileError:
        if b"'" not in content:
            raise
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ww.CorruptFileError(f"{source.label}: this is not UTF-8 text") from None
    return dict(_printed_dict(text, source.label))


def _checked(content: object, label: str) -> dict[str, Cell]:
    if not isinstance(content, dict):
        raise ww.CorruptFileError(f"{label}: an object with an average for each name is expected")
    summary: dict[str, Cell] = {}
    for name, value in content.items():
        plain = value.item() if getattr(value, "shape", None) == () and hasattr(value, "item") else value
        if not isinstance(name, str) or not (plain is None or isinstance(plain, (int, float))):
            raise ww.CorruptFileError(f"{label}: {str(name)[:MOST_SHOWN]!r} has no number: this is no summary")
        summary[name] = plain
    if not summary:
        raise ww.CorruptFileError(f"{label}: the summary is empty")
    return summary


_NUMBER = r"[+-]?(?:nan|inf|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
_ENTRY = re.compile(
    rf"""\s*(?:'(?P<single>[^'\\\n]{{1,200}})'|"(?P<double>[^"\\\n]{{1,200}})")\s*:\s*"""
    rf"""(?:(?P<number>{_NUMBER})|(?:np|numpy)\.float(?:16|32|64)\((?P<wrapped>{_NUMBER})\)|(?P<none>None))\s*"""
)


def _printed_dict(text: str, label: str) -> Iterator[tuple[str, Cell]]:
    """Yield what Python printed of a dict of texts and numbers. Nothing of it is run.

    Raises:
        CorruptFileError: It is no such dict; the message says where.
    """
    text = text.strip()
    seen: set[str] = set()
    at = 1
    while True:
        entry = _ENTRY.match(text, at)
        if not entry:
            break
        name = entry["single"] or entry["double"]
        if name in seen:
            raise ww.CorruptFileError(f"{label}: {name!r} stands in the dict twice")
        seen.add(name)
        number = entry["number"] or entry["wrapped"]
        yield name, None if number is None else float(number)
        at = entry.end()
        if text[at : at + 1] != ",":
            break
        at += 1
    if text[at:].strip() != "}" or not seen:
        raise ww.CorruptFileError(
            f"{label}: {text[at : at + MOST_SHOWN]!r} is not expected: a dict of names and numbers is"
        )
