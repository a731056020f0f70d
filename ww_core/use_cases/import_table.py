"""Import a table of results that others made: read it whole, check all of it, then store it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from ww_core.domain.name import check_name, texts_of
from ww_core.domain.reported_table import ReportedTable
from ww_core.domain.table_check import check_line, check_reported_table
from ww_core.errors import CorruptFileError, PluginError, SourceError, UsageError, WWError
from ww_core.loading.tables import read_table
from ww_core.plugins.discovery import load_plugins
from ww_core.plugins.isolation import all_but_interrupts, kind_of, sentence_of
from ww_core.plugins.probes import surest
from ww_core.plugins.variants import configured
from ww_core.sources.opening import find_source
from ww_core.use_cases.naming import opened_store

if TYPE_CHECKING:
    from ww_core.contracts.importer import Importer
    from ww_core.contracts.source import Source
    from ww_core.plugins.registry import Owned, Registry
    from ww_core.use_cases.naming import Place

MAPPING = "mapping"
"""The option of importers that ``--mapping`` sets."""

SUFFIXES = (".gz", ".csv", ".tsv", ".txt", ".json", ".parquet", ".pq")
"""Ends of a file's name that are no part of the name of a model."""

SHOWN_COLUMNS = 12


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What was imported.

    Attributes:
        source: What tells the table from others.
        provider: The program that computed it, or the paper.
        importer: The importer that read it, as ``plugin:name[options]``; empty where a program made the table.
        store: Where it is stored.
        models: How many models it speaks of, versions counted one by one.
        rows: How many rows it has.
        columns: Names of its columns, in order.
        values: How many values stand in them, those that are no number counted.
        scores: How many scores stand in it.
        is_new: Whether it was stored now; not if the same table was there already.
        notes: Sentences that the user should see, such as which columns were left out.
    """

    source: str
    provider: str
    importer: str
    store: str
    models: int
    rows: int
    columns: tuple[str, ...]
    values: int
    scores: int
    is_new: bool
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, as ``--json`` prints it."""
        return asdict(self) | {"columns": list(self.columns), "notes": list(self.notes)}


def import_table(
    file: object,
    *,
    store: Place = None,
    importer: str | None = None,
    mapping: str | os.PathLike[str] | None = None,
    source: str | None = None,
    provider: str | None = None,
    model: str | None = None,
    version: str | None = None,
    series: Sequence[str] = (),
    replace: bool = False,
    plugins: Sequence[object] = (),
    registry: Registry | None = None,
    plugin_files: Sequence[str] = (),
) -> ImportReport:
    """Store a table of results that others made, with the definitions of its columns, its series and its scores.

    What it says is kept apart from what ww computes. The whole table is read and checked before anything is stored. The
    same table again adds nothing.

    Args:
        file: A path, an address, a data frame of pandas, or a ``ReportedTable`` that a program made: it is complete as
            it is, and no importer is asked.
        store: An open store, a path or URL, or None for one in memory.
        importer: Name of the importer, with options, as ``"weightwatcher[version=0.2.7]"``; default the one that
            recognises the table.
        mapping: A file in TOML that says what the columns are.
        source: What tells the table from others; default what the table says, else the name of the file.
        provider: The program that computed it, with its version, or the paper; default what the table says.
        model: Name of the model, where the table names none; default the name of the file.
        version: Version of the models, if the table has none.
        series: Series that all models of the table become members of.
        replace: Put the table in the place of another one of the same source.
        plugins: Modules or objects with hooks, besides those that are installed.
        registry: Loaded plugins, if they are loaded already.
        plugin_files: Python files with hooks.

    Returns:
        What was stored.

    Raises:
        UsageError: An option does not fit the table, or the store has another table of this source.
        SourceError: The file cannot be read, or no importer recognises it.
        StoreError: The store cannot be opened or written.
    """
    choices = _Choices(source, provider, model, version, texts_of(series, "--series"))
    choices.check()
    for option, text in {"--importer": importer, "--mapping": None if mapping is None else os.fspath(mapping)}.items():
        if text == "":
            raise UsageError(f"{option} is empty: name one, or leave it out")
    if registry is None:
        registry = load_plugins(files=plugin_files, objects=plugins)
    found = find_source(file, registry)
    warnings: list[str] = []
    if isinstance(file, ReportedTable):
        if importer is not None or mapping is not None:
            raise UsageError("a ReportedTable is read already: leave importer and mapping out")
        made_by, read = "", file
    else:
        owned, warnings = _importer_for(found, registry, importer, None if mapping is None else os.fspath(mapping))
        made_by, read = f"{owned.plugin}:{owned.object.label}", _read(owned, found)
    table = choices.applied(read, found)
    _check(table, found)
    with opened_store(store, mode="write") as opened:
        with opened.writing() as writer:
            stored = writer.record_reported_table(table, replace=replace)
        return ImportReport(
            source=stored.source,
            provider=stored.provider,
            importer=made_by,
            store=opened.location,
            models=len(set(_subjects(table))),
            rows=stored.rows,
            columns=tuple(column.name for column in table.columns),
            values=stored.values,
            scores=stored.scores,
            is_new=stored.is_new,
            notes=(*warnings, *table.notes),
        )


@dataclass(frozen=True, slots=True)
class _Choices:
    """What a person says of a table; None for what the table or its file should say."""

    source: str | None
    provider: str | None
    model: str | None
    version: str | None
    series: tuple[str, ...]

    def check(self) -> None:
        """Raise unless all of it can be stored."""
        for option, text in {"--source": self.source, "--provider": self.provider}.items():
            if text is not None:
                check_line(option, text)
        for option, text in {"--model": self.model, "--version": self.version}.items():
            if text is not None:
                check_name(option, text)
        for text in self.series:
            check_name("--series", text)

    def applied(self, table: ReportedTable, file: Source) -> ReportedTable:
        """Return the table with what a person said of it, and what is left to the file's name."""
        subjects = _subjects(table)
        named = next((own for own, _ in subjects if own), "")
        if self.model is not None and named:
            raise UsageError(f"{file.label} names its models, such as {named!r}: leave --model out")
        told = next((own for _, own in subjects if own), "")
        if self.version is not None and told:
            raise UsageError(f"{file.label} says its versions, such as {told!r}: leave --version out")
        model, version = self.model or "", self.version or ""
        if not model and not all(own for own, _ in subjects):
            if file.is_object:
                raise UsageError(f"{file.label} names no model: give model=")
            model = _stem(file.name)
        source = self.source or table.source
        if not source and file.is_object:
            raise UsageError(f"{file.label} has no name: give source=, which tells this table from others")
        provider = self.provider or table.provider
        if not provider:
            raise UsageError(
                f"{file.label} does not name the program or paper that computed it: "
                "give --provider, such as 'weightwatcher 0.7.5.5'"
            )
        rows = tuple(own._replace(model=own.model or model, version=own.version or version) for own in table.rows)
        scores = tuple(own._replace(model=own.model or model, version=own.version or version) for own in table.scores)
        members = {own or model: tuple(given) for own, given in table.series.items()}
        if self.series:
            if not rows:
                raise UsageError(f"{file.label} holds scores alone: --series takes the models of rows; leave it out")
            for own in rows:
                members[own.model] = tuple(dict.fromkeys((*members.get(own.model, ()), *self.series)))
        return replace(table, source=source or file.name, provider=provider, rows=rows, scores=scores, series=members)


def _subjects(table: ReportedTable) -> list[tuple[str, str]]:
    """Return the model and the version of every row and score."""
    rows = [(own.model, own.version) for own in table.rows]
    return rows + [(own.model, own.version) for own in table.scores]


def _stem(name: str) -> str:
    """Return the name of a file without the ends that say its form."""
    stem = name
    while any(stem.lower().endswith(suffix) and len(stem) > len(suffix) for suffix in SUFFIXES):
        stem = stem.rpartition(".")[0]
    return stem


def _importer_for(
    source: Source, registry: Registry, spec: str | None, mapping: str | None
) -> tuple[Owned[Importer], list[str]]:
    """Return the importer that was named, or the one that recognises a source best; and warnings of those that failed.

    Raises:
        UsageError: There is no such importer, it takes no mapping, or several are equally sure.
        SourceError: None recognises it.
    """
    if spec is not None:
        named = configured(registry.importers, spec)
        if mapping is not None and not _takes_mapping(named.object):
            raise UsageError(f"importer {named.name} takes no mapping: leave --mapping or --importer out")
        return _with_mapping(named, mapping), []
    asked = [owned for owned in registry.importers if mapping is None or _takes_mapping(owned.object)]
    best, warnings = surest((_with_mapping(own, mapping) for own in asked), source, "importer")
    if best is None:
        raise _unrecognised(source, [own.name for own in asked], warnings)
    return best, warnings


def _takes_mapping(importer: Importer) -> bool:
    return any(parameter.name == MAPPING for parameter in importer.parameters())


def _with_mapping(owned: Owned[Importer], mapping: str | None) -> Owned[Importer]:
    if mapping is None:
        return owned
    return replace(owned, object=replace(owned.object, **{MAPPING: mapping}))  # type: ignore[type-var] # has options


def _unrecognised(source: Source, asked: Sequence[str], warnings: Sequence[str]) -> SourceError:
    """Return the error that nothing recognises a source, with what it holds."""
    holds = ""
    if not source.is_object:
        header = [name for name in read_table(source).header if name]  # says what is wrong with a damaged file
        more = f" and {len(header) - SHOWN_COLUMNS} more" if len(header) > SHOWN_COLUMNS else ""
        holds = f" (its columns are {', '.join(header[:SHOWN_COLUMNS])}{more})"
    known = ", ".join(sorted(asked)) or "none"
    return SourceError(
        "; ".join(
            [
                f"{source.label}: no importer recognises it{holds}, of {known}",
                *warnings,
                "describe its columns by --mapping FILE.toml, or give --importer",
            ]
        )
    )


def _read(owned: Owned[Importer], source: Source) -> ReportedTable:
    """Let an importer read a source.

    Raises:
        WWError: What the importer says of it.
        PluginError: It raised something else, or gave no table.
    """
    try:
        table: object = owned.object.read(source)
        if not isinstance(table, ReportedTable):
            kind = kind_of(table)
            raise PluginError(f"importer {owned.qualified} gave an object of type {kind}, no ww.ReportedTable")
    except WWError:
        raise
    except all_but_interrupts() as error:
        sentence = sentence_of(error, owned.object)
        raise PluginError(f"{source.label}: importer {owned.qualified} failed: {sentence}") from error
    return table


def _check(table: ReportedTable, source: Source) -> None:
    """Raise unless all of a table can be stored.

    Raises:
        CorruptFileError: It cannot; the message names what.
    """
    try:
        check_reported_table(table)
    except UsageError as error:
        raise CorruptFileError(f"{source.label}: {error}") from None
