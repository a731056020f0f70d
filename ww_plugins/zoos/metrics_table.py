"""The table of a zoo's folder: of each row of weights its network, its epoch, how it was trained, how well it does."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import ww_core as ww
from ww_core.loading.names import quoted
from ww_core.loading.tables import is_missing, number_of, whole_number_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from ww_core.loading.tables import Cell, CellTable

CONFIG = "config."
"""What the columns begin with that say how a network was trained."""

RESULTS = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")
"""Columns of what was measured."""

MOST = 2**53
"""What a place or a count is below: such numbers are exact in every format."""

_BLOCK = 1000  # rows of the table that are held as rows
_NUMBER = re.compile("[0-9]{1,15}")


@dataclass(frozen=True, slots=True, eq=False)
class ZooMetrics:
    """What the table says of each row. Arrays have the shape (rows,).

    Attributes:
        networks: Number of the network, int64.
        epochs: Epochs trained, int64.
        hyperparameters: What it was trained with, by name: float64, or texts.
        results: What was measured, by name, float64; NaN for nothing.
    """

    networks: npt.NDArray[np.int64]
    epochs: npt.NDArray[np.int64]
    hyperparameters: Mapping[str, npt.NDArray[Any]]
    results: Mapping[str, npt.NDArray[np.float64]]

    @classmethod
    def of(cls, table: CellTable, *, is_ours: bool) -> ZooMetrics:
        """Read the table, column by column.

        Args:
            table: The table.
            is_ours: Whether ``modeldir`` must be numbers, as in a folder with ``zoo.json``.

        Raises:
            CorruptFileError: It contradicts itself; the message names the row.
        """
        places = column_places(table, ("step",))
        columns, numbers = _columns_of(table)
        if not numbers:
            raise ww.CorruptFileError(f"{table.label}: it has no row")
        epochs = _whole_numbers(columns[table.header[places["step"]]], table, numbers)
        networks = _networks(columns.get("modeldir"), epochs, table, numbers, is_ours=is_ours)
        _refuse_twice(networks, epochs, table, numbers)
        told = {name.removeprefix(CONFIG): own for name, own in columns.items() if name.startswith(CONFIG)}
        if "" in told:
            raise ww.CorruptFileError(f"{table.label}: column {CONFIG} does not say of what")
        return cls(
            networks=networks,
            epochs=epochs,
            hyperparameters={name: column_of(own) for name, own in told.items()},
            results={name: measured_of(columns[name], table, numbers, name) for name in RESULTS if name in columns},
        )


def _columns_of(table: CellTable) -> tuple[dict[str, list[Cell]], list[int]]:
    """Return the cells of each column, and the numbers of the rows.

    Rows are let go of in blocks: a million tuples at once would keep the garbage collector busy.
    """
    columns: dict[str, list[Cell]] = {name: [] for name in table.header}
    numbers: list[int] = []
    rows = iter(table)
    while block := list(itertools.islice(rows, _BLOCK)):
        numbers.extend(row.number for row in block)
        for column, cells in zip(columns.values(), zip(*(row.cells for row in block), strict=True), strict=True):
            column.extend(cells)
    return columns, numbers


def _networks(
    folders: Sequence[Cell] | None,
    epochs: npt.NDArray[np.int64],
    table: CellTable,
    numbers: Sequence[int],
    *,
    is_ours: bool,
) -> npt.NDArray[np.int64]:
    """Return the number of the network of each row: what stands in ``modeldir``, if that is numbers; else its place."""
    if folders is None:
        return np.cumsum(np.append(False, np.diff(epochs) <= 0))
    different = dict.fromkeys(folders)
    if is_ours or all(isinstance(folder, str) and _NUMBER.fullmatch(folder) for folder in different):
        return _whole_numbers(folders, table, numbers)
    order = {folder: number for number, folder in enumerate(different)}
    return np.array([order[folder] for folder in folders], np.int64)


def _refuse_twice(
    networks: npt.NDArray[np.int64], epochs: npt.NDArray[np.int64], table: CellTable, numbers: Sequence[int]
) -> None:
    order = np.lexsort((epochs, networks))
    same = (np.diff(networks[order]) == 0) & (np.diff(epochs[order]) == 0)
    if same.any():
        one, other = (int(order[int(np.argmax(same)) + further]) for further in (0, 1))
        raise ww.CorruptFileError(
            f"{table.place(numbers[max(one, other)])}: epoch {epochs[one]} of this network stands in {table.unit} "
            f"{numbers[min(one, other)]} too"
        )


def _whole_numbers(cells: Sequence[Cell], table: CellTable, numbers: Sequence[int]) -> npt.NDArray[np.int64]:
    known: dict[Cell, int] = {}
    for cell, number in zip(cells, numbers, strict=True):
        if cell not in known:
            known[cell] = whole_of(cell, table.place(number))
    return np.array([known[cell] for cell in cells], np.int64)


def column_of(cells: Sequence[Cell]) -> npt.NDArray[Any]:
    """Return a column of hyperparameters: float64, if all that is there are numbers, NaN for nothing; else texts."""
    known: dict[Cell, float] = {}  # of what a network was trained with there is a number for each checkpoint
    try:
        for cell in set(cells):
            known[cell] = math.nan if is_missing(cell) else number_of(cell)
    except ValueError:
        return np.array(["" if cell is None else str(cell).strip() for cell in cells], dtype=object)
    return np.array([known[cell] for cell in cells], np.float64)


def measured_of(cells: Sequence[Cell], table: CellTable, numbers: Sequence[int], name: str) -> npt.NDArray[np.float64]:
    """Return a column of results, NaN for nothing.

    Args:
        cells: Its cells.
        table: The table.
        numbers: Numbers of the rows in its file.
        name: Name of the column.

    Raises:
        CorruptFileError: One is no number, or an accuracy no share from 0 to 1.
    """
    found = _numbers(cells, table, numbers, name)
    is_off = np.isfinite(found) & ((found < 0) | (found > 1)) if name.endswith("_accuracy") else np.zeros(0, bool)
    if is_off.any():
        at = int(is_off.argmax())
        percents = ": divide percents by 100" if 1 < found[at] <= 100 else ""
        raise ww.CorruptFileError(
            f"{table.place(numbers[at], name)}: {quoted(cells[at])} is no accuracy, a share from 0 to 1{percents}"
        )
    return found


def _numbers(cells: Sequence[Cell], table: CellTable, numbers: Sequence[int], name: str) -> npt.NDArray[np.float64]:
    if _are_plain(cells):
        try:
            return np.array(cells, np.float64)
        except ValueError:
            pass  # something is missing
    found = np.empty(len(cells))
    for at, cell in enumerate(cells):
        try:
            found[at] = math.nan if is_missing(cell) else number_of(cell)
        except ValueError as error:
            raise ww.CorruptFileError(f"{table.place(numbers[at], name)}: {error}") from None
    return found


def _are_plain(cells: Sequence[Cell]) -> bool:
    """Whether cells are texts that NumPy reads as numbers only if they are: it takes ``1_0`` for 10."""
    try:
        text = "".join(cells)  # type: ignore[arg-type]
    except TypeError:
        return False
    return text.isascii() and "_" not in text


def column_places(table: CellTable, needed: Sequence[str]) -> dict[str, int]:
    """Return the places of columns by their names.

    Raises:
        CorruptFileError: One is missing.
    """
    missing = [name for name in needed if name not in table.header]
    if missing:
        raise ww.CorruptFileError(f"{table.label}: it has no column {missing[0]}")
    return {name: table.header.index(name) for name in needed}


def whole_of(cell: Cell, where: str) -> int:
    """Return a count or a place.

    Raises:
        CorruptFileError: It is none.
    """
    try:
        number = whole_number_of(cell)
    except ValueError as error:
        raise ww.CorruptFileError(f"{where}: {error}") from None
    if not 0 <= number < MOST:
        raise ww.CorruptFileError(f"{where}: {quoted(cell)} is no place or count")
    return int(number)
