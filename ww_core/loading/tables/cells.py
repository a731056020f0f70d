"""From cells to values: what is a number, what is nothing, and what neither."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Literal

from ww_core.domain.name import check_name
from ww_core.domain.outcome import Outcome, State
from ww_core.domain.text import LONGEST_TEXT
from ww_core.errors import UsageError
from ww_core.loading.names import quoted

if TYPE_CHECKING:
    from ww_core.loading.tables.table import Cell

MISSING = frozenset({"", "none", "null", "na", "n/a", "<na>"})
"""Texts that say that there is no value, letter case ignored."""

LARGEST_INTEGER = 2**63 - 1

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_NOT_FINITE = {
    "nan": math.nan,
    **dict.fromkeys(("inf", "+inf", "infinity", "+infinity"), math.inf),
    **dict.fromkeys(("-inf", "-infinity"), -math.inf),
}
_TRUTH = {"true": True, "yes": True, "1": True, "1.0": True, "false": False, "no": False, "0": False, "0.0": False}


def is_missing(cell: Cell) -> bool:
    """Whether a cell says that there is no value: empty, ``None``, ``null``, ``NA``."""
    return cell is None or (isinstance(cell, str) and cell.strip().casefold() in MISSING)


def number_of(cell: Cell) -> float:
    """Return the number that a cell holds, NaN and infinities too; blanks around it do not count.

    Raises:
        ValueError: It holds none; the message says what it holds instead.
    """
    if isinstance(cell, (int, float)) and not isinstance(cell, bool):
        try:
            return float(cell)
        except OverflowError:
            raise ValueError("the number is too large for 64 bits") from None
    text = cell.strip() if isinstance(cell, str) else ""
    if text.casefold() in _NOT_FINITE:
        return _NOT_FINITE[text.casefold()]
    if not _NUMBER.fullmatch(text):
        if re.fullmatch(r"[+-]?[0-9]+,[0-9]+", text):
            raise ValueError(f"{quoted(text)} is not a number: write a point before the decimals")
        raise ValueError(f"{quoted(cell)} is no number")
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{quoted(text)} is too large for a number of 64 bits")
    return number


def whole_number_of(cell: Cell) -> float:
    """Return the whole number that a cell holds, or what is not finite: ``766`` and ``766.0`` are one.

    Raises:
        ValueError: It holds none.
    """
    number = number_of(cell)
    if math.isfinite(number) and (number != math.floor(number) or abs(number) > LARGEST_INTEGER):
        raise ValueError(f"{quoted(cell)} is not a whole number")
    return number


def outcome_of(cell: Cell, kind: Literal["float", "int", "bool", "text"]) -> Outcome:
    """Return the value that a cell holds for a column of this type, or the state that says why there is none.

    Raises:
        ValueError: It holds something else; the message says what.
    """
    if kind == "float" and isinstance(cell, str) and _NUMBER.fullmatch(cell):  # nearly all cells are such
        number = float(cell)
        if math.isfinite(number):
            return Outcome(State.OK, number)
    if is_missing(cell):
        return EMPTY
    if kind == "text":
        return _text(cell)
    if kind == "bool":
        return Outcome(State.OK, number=_truth(cell)) if not _is_nan(cell) else EMPTY
    number = number_of(cell) if kind == "float" else whole_number_of(cell)
    if kind == "int" and math.isfinite(number):
        return Outcome(State.OK, number=int(number))
    outcome = Outcome.of(number)
    return outcome if outcome.is_ok else Outcome(outcome.state, reason=f"the table says {outcome.state}")


EMPTY = Outcome(State.NOT_APPLICABLE, reason="the table has no value here")


def _is_nan(cell: Cell) -> bool:
    return (isinstance(cell, float) and math.isnan(cell)) or (
        isinstance(cell, str) and cell.strip().casefold() == "nan"
    )


def _text(cell: Cell) -> Outcome:
    if isinstance(cell, float) and math.isnan(cell):  # how a data frame writes that there is no text
        return EMPTY
    text = str(cell).strip()
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"the text has {len(text):,} characters: {LONGEST_TEXT:,} are allowed")
    if not text.isprintable():
        raise ValueError(f"{quoted(text)} has control characters")
    return Outcome(State.OK, text=text)


def _truth(cell: Cell) -> bool:
    if isinstance(cell, bool):
        return cell
    text = str(cell).strip().casefold()
    if text not in _TRUTH:
        raise ValueError(f"{quoted(cell)} is neither true nor false")
    return _TRUTH[text]


def text_of(cell: Cell) -> str:
    """Return a cell as a text without blanks around it; empty for nothing."""
    if cell is None:
        return ""
    return ("true" if cell else "false") if isinstance(cell, bool) else str(cell).strip()


def name_of(cell: Cell, what: str) -> str:
    """Return the name of a model, a version, a layer or a series that a cell holds.

    Raises:
        ValueError: It cannot be such a name; the message begins with ``what``.
    """
    name = text_of(cell)
    try:
        check_name(what, name)
    except UsageError as error:
        raise ValueError(str(error)) from None
    return name
