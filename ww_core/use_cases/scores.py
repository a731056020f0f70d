"""Scores of a file: a row is a number that somebody reports about a model, and all rows are stored or none."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ww_core.domain.score import Score, ScoreError, UnknownModelsError, check_score
from ww_core.errors import CorruptFileError, NotStoredError, UsageError, near_names
from ww_core.loading.files import FileSource
from ww_core.loading.tables import is_missing, number_of, read_table, text_of
from ww_core.store.store import Store, open_existing_store, open_store

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

    from ww_core.loading.tables import Cell, CellRow, CellTable
    from ww_core.store.records import ScoreCounts

COLUMNS = ("model", "version", "dataset", "name", "value", "unit", "direction", "source", "low", "high")
"""Columns of a file of scores; the order does not matter."""

OTHER_NAMES = {"better": "direction"}
"""What columns may be called too."""

NEEDED = ("model", "name", "value")
"""Columns that every file must have."""


def import_scores(
    path: str | os.PathLike[str],
    *,
    store: Store | str | os.PathLike[str],
    source: str = "",
    dataset: str = "",
    direction: str = "",
    correct: bool = False,
    without_weights: bool = False,
) -> ScoreCounts:
    """Store the scores of a file, all or none.

    The file is a table: text with commas, tabs or semicolons, a list of JSON objects or one such object a line, or
    Parquet. Its columns are model, version, dataset, name, value, unit, direction, source, low and high, in any order;
    model, name and value must be there. ``model`` may be ``MODEL@VERSION`` or the prefix of a digest.

    Args:
        path: Path of the file.
        store: An open store, or its path or URL.
        source: Who says so, for rows that do not tell.
        dataset: What was measured on, for rows that do not tell.
        direction: ``lower``, ``higher`` or ``none``, for rows that do not tell; if this does not either, the one that
            all stored scores of that name have.
        correct: Whether another number for what is stored already replaces it; what it was is kept.
        without_weights: Whether models that are not stored are those without weights here.

    Returns:
        How many scores were added, corrected, or known already.

    Raises:
        SourceError: The file cannot be read, or holds something else; the message names line and column.
        UsageError: Nothing says who says so, or which direction is better; or another number is stored for one of the
            scores, and ``correct`` is not set.
        NotStoredError: Models are neither stored nor reported.
        StoreError: The store cannot be written.
    """
    table = read_table(FileSource(Path(path)))
    defaults = {"source": source, "dataset": dataset, "direction": direction}
    scores = _scores(table, _places(table), defaults)
    with _opened(store, make=without_weights) as opened, _told_by_row(table, scores):
        return opened.add_scores(scores.values(), correct=correct, without_weights=without_weights)


def add_score(
    score: Score, *, store: Store | str | os.PathLike[str], correct: bool = False, without_weights: bool = False
) -> ScoreCounts:
    """Store a score; what is left out is as in `import_scores`.

    Raises:
        WWError: As of ``Store.add_scores`` and ``open_store``.
    """
    check_score(score)
    with _opened(store, make=without_weights) as opened:
        return opened.add_scores([score], correct=correct, without_weights=without_weights)


def _places(table: CellTable) -> Mapping[str, int]:
    """Return the places of the columns by name.

    Raises:
        CorruptFileError: The header names an unknown column, two that are one, or too few.
    """
    places: dict[str, int] = {}
    for at, header in enumerate(table.header):
        name = OTHER_NAMES.get(header.casefold(), header.casefold())
        if name not in COLUMNS:
            near = near_names(header, [*COLUMNS, *OTHER_NAMES])
            hint = f"did you mean {', '.join(near)}?" if near else f"known: {', '.join(COLUMNS)}"
            raise CorruptFileError(f"{table.label}: unknown column {header!r}: {hint}")
        if name in places:
            raise CorruptFileError(f"{table.label}: columns {table.header[places[name]]!r} and {header!r} are one")
        places[name] = at
    missing = [name for name in NEEDED if name not in places]
    if missing:
        raise CorruptFileError(
            f"{table.label}: it has no column {' and none '.join(map(repr, missing))}: "
            f"the first line names the columns, which are {', '.join(COLUMNS)}"
        )
    return places


def _scores(table: CellTable, places: Mapping[str, int], defaults: dict[str, str]) -> dict[int, Score]:
    """Return the scores by the numbers of their rows.

    Raises:
        CorruptFileError: A row is no score, or says the same as another one.
        UsageError: A row does not tell its source, and nothing else does.
    """
    scores: dict[int, Score] = {}
    said: dict[tuple[str, ...], int] = {}
    for row in table:
        score = _score(table, row, places, defaults)
        if score.about in said:
            raise CorruptFileError(
                f"{table.place(row.number)}: {score} is given in {table.unit} {said[score.about]} too: give it once"
            )
        said[score.about] = row.number
        scores[row.number] = score
    if not scores:
        raise CorruptFileError(f"{table.label}: there is a header and no score below it")
    return scores


def _score(table: CellTable, row: CellRow, places: Mapping[str, int], defaults: dict[str, str]) -> Score:
    cells = {name: row.cells[at] for name, at in places.items()}
    texts = defaults | {name: text for name, cell in cells.items() if (text := text_of(cell))}
    model, at, version = texts.get("model", "").partition("@")
    if at and texts.get("version"):
        raise CorruptFileError(
            f"{table.place(row.number, 'model')}: {texts['model']!r} names a version, and column version does too"
        )
    if not texts["source"]:
        raise UsageError(f"{table.place(row.number)}: the source is missing: give --source, or fill in column source")
    numbers = {name: _number(table, row, name, cells.get(name)) for name in ("value", "low", "high")}
    score = Score(
        model=model,
        name=texts.get("name", ""),
        dataset=texts["dataset"],
        value=numbers["value"],  # type: ignore[arg-type] # an empty one is refused below
        source=texts["source"],
        version=version or texts.get("version", ""),
        better=texts["direction"],
        unit=texts.get("unit", ""),
        low=numbers["low"],
        high=numbers["high"],
    )
    try:
        check_score(score)
    except UsageError as error:
        raise CorruptFileError(f"{table.place(row.number)}: {error}") from None
    return score


def _number(table: CellTable, row: CellRow, name: str, cell: Cell) -> float | None:
    if is_missing(cell) and name != "value":
        return None
    try:
        return number_of(cell)
    except ValueError as error:
        raise CorruptFileError(f"{table.place(row.number, name)}: {error}") from None


def _opened(store: Store | str | os.PathLike[str], *, make: bool) -> AbstractContextManager[Store]:
    """Open a store for writing; where there is none, one is made only for models without weights."""
    if isinstance(store, Store):
        return contextlib.nullcontext(store)
    return open_store(store) if make else open_existing_store(store)


@contextlib.contextmanager
def _told_by_row(table: CellTable, scores: Mapping[int, Score]) -> Iterator[None]:
    """Let an error of the store name the row that it speaks of.

    Raises:
        UsageError: A score cannot be stored beside others.
        NotStoredError: Models are neither stored nor reported.
    """
    try:
        yield
    except ScoreError as error:
        other = [number for number, own in scores.items() if error.other and own.about == error.other.about]
        also = f" ({table.unit} {other[0]})" if other else ""
        number = next(number for number, own in scores.items() if own.about == error.score.about)
        raise UsageError(f"{table.place(number)}{also}: {error}") from None
    except UnknownModelsError as error:
        number = next(number for number, own in scores.items() if (own.model, own.version) in error.names)
        raise NotStoredError(f"{table.place(number)}: {error}") from None
