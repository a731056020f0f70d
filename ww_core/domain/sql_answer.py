"""What a query in SQL answers: rows of plain values under the names of their columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

SqlValue = None | bool | int | float | str | bytes


@dataclass(frozen=True, slots=True)
class SqlAnswer:
    """The rows of a query.

    Attributes:
        columns: Names of the columns, each once: the second ``value`` of a query is ``value_2``.
        rows: The rows in their order, a value for each column: None, a bool, a number, a text, or bytes.
        is_cut: Whether there are more rows than were asked for; these are the first ones.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[SqlValue, ...], ...]
    is_cut: bool = False

    def __len__(self) -> int:
        return len(self.rows)

    def to_pandas(self) -> pd.DataFrame:
        """Return a data frame with a row for each row. Needs the extra ``pandas``.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        from ww_core.domain.frames import data_frame

        return data_frame({name: [row[place] for row in self.rows] for place, name in enumerate(self.columns)})

    def to_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints: bytes are hex digits, and what is not a finite number is None."""
        rows = [dict(zip(self.columns, map(_plain, row), strict=True)) for row in self.rows]
        return {"columns": list(self.columns), "rows": rows, "is_cut": self.is_cut}


def named_once(names: Sequence[str]) -> tuple[str, ...]:
    """Return names of columns of which no two are equal: a repeated one gets the next free number behind it."""
    taken = set(names)
    found: list[str] = []
    seen: set[str] = set()
    for name in names:
        free, number = name, 1
        while free in seen or (number > 1 and free in taken):
            number += 1
            free = f"{name}_{number}"
        seen.add(free)
        found.append(free)
    return tuple(found)


def _plain(value: SqlValue) -> SqlValue:
    if isinstance(value, bytes):
        return value.hex()
    return None if isinstance(value, float) and not math.isfinite(value) else value
