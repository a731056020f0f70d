"""Whether a table of others can be stored, before anything of it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import get_args

from ww_core.domain.column import Better
from ww_core.domain.name import LONGEST_NAME, check_name
from ww_core.domain.outcome import Outcome
from ww_core.domain.reported_table import ReportedColumn, ReportedEntry, ReportedTable
from ww_core.domain.score import check_score
from ww_core.domain.text import LONGEST_TEXT, printable
from ww_core.errors import UsageError

TYPES = ("float", "int", "bool", "text")

SHOWN = 80
"""Characters of a text that a message repeats."""


def check_reported_table(table: ReportedTable) -> None:
    """Raise unless a table can be stored.

    Raises:
        UsageError: It cannot; the message names what.
    """
    if not table.rows and not table.scores:
        raise UsageError("it holds no row that says anything")
    check_line("the source", table.source)
    check_line("the provider", table.provider)
    columns = {column.name: column for column in table.columns}
    for column in table.columns:
        _check_column(column)
    for name, count in Counter(column.name for column in table.columns).items():
        if count > 1:
            raise UsageError(f"two columns have the name {name!r}: give one of them another name")
    for model, version in dict.fromkeys((row.model, row.version) for row in table.rows):
        check_name("the model", model)
        if version:
            check_name("the version", version)
    for layer in dict.fromkeys(row.layer for row in table.rows):
        _check_length("the layer", layer, least=0, most=LONGEST_TEXT)  # whatever stands in it: it is a network's
    for row in table.rows:
        _check_values(row, columns)
    for series in dict.fromkeys(series for members in table.series.values() for series in members):
        check_name("the series", series)
    _check_scores(table)


def check_line(what: str, text: object, *, least: int = 1, most: int = LONGEST_NAME) -> None:
    """Raise unless something is a text of one line that is neither empty nor too long.

    Raises:
        UsageError: It is not; the message begins with ``what``.
    """
    if not _check_length(what, text, least, most).isprintable():
        raise UsageError(f"{what} {_shown(text)} has control characters: leave them out")


def _check_length(what: str, text: object, least: int, most: int) -> str:
    if not isinstance(text, str):
        raise UsageError(f"{what} must be a text, not {_shown(text)}")
    if len(text.strip()) < least:
        raise UsageError(f"{what} is empty: give one")
    if len(text) > most:
        raise UsageError(f"{what} has {len(text):,} characters: {most:,} are allowed")
    return text


def _check_column(column: ReportedColumn) -> None:
    check_line("the name of a column", column.name)
    of_it = f"of column {column.name}"
    check_line(f"the key {of_it}", column.metric)
    check_line(f"the version {of_it}", column.version)
    check_line(f"the definition {of_it}", column.definition, most=LONGEST_TEXT)
    check_line(f"the unit {of_it}", column.unit, least=0)
    check_line(f"the caveat {of_it}", column.caveat, least=0, most=LONGEST_TEXT)
    if column.type not in TYPES:
        raise UsageError(f"the type {of_it} is one of {', '.join(TYPES)}, not {_shown(column.type)}")
    if column.better not in get_args(Better):
        raise UsageError(f"the direction {of_it} is lower, higher or none, not {_shown(column.better)}")


def _check_values(row: ReportedEntry, columns: Mapping[str, ReportedColumn]) -> None:
    for name, outcome in row.values.items():
        if name not in columns:
            raise UsageError(f"a row of {row.model} has a value of {_shown(name)}, which is no column of the table")
        if not isinstance(outcome, Outcome):
            raise UsageError(f"{name} of {row.model} is of type {type(outcome).__name__}, no ww.Outcome")
        if outcome.is_ok and (outcome.text is not None) != (columns[name].type == "text"):
            raise UsageError(f"{name} of {row.model} is {_shown(outcome.value)}, and its type is {columns[name].type}")
        if outcome.text is not None:
            check_line(f"{name} of {row.model}", outcome.text, least=0, most=LONGEST_TEXT)


def _check_scores(table: ReportedTable) -> None:
    seen = set()
    for score in table.scores:
        try:
            check_score(score)
        except UsageError as error:
            raise UsageError(f"the score {printable(str(score))}: {error}") from None
        key = (score.model, score.version, score.name, score.dataset, score.source)
        if key in seen:
            raise UsageError(f"the score {score} stands in it twice: leave one out")
        seen.add(key)


def _shown(thing: object) -> str:
    text = repr(thing) if isinstance(thing, (str, int, float, bool)) else f"a {type(thing).__name__}"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
