"""The fields of an untrusted folder: what each must be, by the column it is of, before any database sees it."""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Float, Integer, LargeBinary, String, Table

from ww_core.store.exchange.layout import target_of
from ww_core.store.rows import clean

Check = Callable[[Any], Any]
"""Gives a field as it is stored, and raises ValueError with the end of a sentence if it cannot be."""


def check_of(table: Table, column: Column[Any], there: Mapping[str, Collection[int]]) -> Check:
    """Return what checks the fields of a column.

    Args:
        table: Its table.
        column: The column.
        there: The rows of the tables that were read already, as other rows point at them.
    """
    check = _check_of_type(table, column, there)
    return partial(_unless_none, check) if column.nullable else check


def _unless_none(check: Check, field: Any) -> Any:
    return None if field is None else check(field)


def _check_of_type(table: Table, column: Column[Any], there: Mapping[str, Collection[int]]) -> Check:
    kind, target = column.type, target_of(column)
    if target is not None:
        return partial(_pointer, there[target.name], target.name)
    if (table.name, column.name) in RANGES:
        return partial(_whole, *RANGES[table.name, column.name])
    if isinstance(kind, Boolean):
        return _boolean
    if isinstance(kind, Float):
        return _number
    if isinstance(kind, BigInteger):
        return partial(_whole, -(2**63), 2**63)
    if isinstance(kind, Integer):
        return partial(_whole, -(2**31), 2**31)
    if isinstance(kind, LargeBinary):
        return _binary
    if not isinstance(kind, String):
        raise TypeError(f"{table.name}.{column.name} has a type that no folder holds: {kind!r}")
    if column.name == "digest":
        return _digest
    form = JSON_TEXTS.get((table.name, column.name))
    return partial(_json_text, form) if form else partial(_text, kind.length or math.inf)


RANGES: Mapping[tuple[str, str], tuple[int, int]] = {
    ("run", "id"): (1, 2**53),
    ("origin", "run"): (0, 2**53),
    ("label", "position"): (1, 2**30),  # others are counted on from it
    ("coverage", "matrices"): (0, 2**20),  # a report makes room for each
    ("spectrum", "length"): (0, 2**25),  # and so does what unpacks it
}
"""Where numbers begin and end, by table and column, that could be held and would cost too much."""


def _pointer(there: Collection[int], target: str, field: Any) -> int:
    if type(field) is not int:
        raise ValueError(f"is {_kind(field)}, and must be the line of a row of {target}")
    if field not in there:
        raise ValueError(f"points at a row of {target} that is not in the folder")
    return field


def _text(longest: float, field: Any) -> str:
    if type(field) is not str:
        raise ValueError(f"is {_kind(field)}, and must be a text")
    if not (field.isascii() and "\0" not in field) and clean(field) != field:
        raise ValueError("holds a letter that no text has")
    if len(field) > longest:
        raise ValueError(f"has {len(field):,} letters, and {longest} are allowed")
    return field


def _whole(least: int, limit: int, field: Any) -> int:
    if type(field) is not int:
        raise ValueError(f"is {_kind(field)}, and must be a whole number")
    if not least <= field < limit:
        raise ValueError("is out of range")
    return field


def _number(field: Any) -> float:
    if type(field) is not float and type(field) is not int:
        raise ValueError(f"is {_kind(field)}, and must be a number")
    try:
        number = float(field)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError("is not a finite number")
    return number


def _boolean(field: Any) -> bool:
    if type(field) is not bool:
        raise ValueError(f"is {_kind(field)}, and must be true or false")
    return field


def _binary(field: Any) -> bytes:
    if type(field) is not str:
        raise ValueError(f"is {_kind(field)}, and must be a text in base64")
    try:
        return base64.b64decode(field, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("is no text in base64") from None


def _digest(field: Any) -> str:
    if type(field) is not str or not _DIGEST.fullmatch(field):
        raise ValueError("is no digest")
    return field


_DIGEST = re.compile(r"[0-9a-f]{64}")


def _json_text(form: type, field: Any) -> str:
    told = _text(math.inf, field)
    if told == "" and form is str:  # it may be empty
        return told
    try:
        content = json.loads(told, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise ValueError("is not JSON") from None
    if form is not str and type(content) is not form:
        raise ValueError(f"is {_kind(content)} in JSON")
    return told


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)


JSON_TEXTS: Mapping[tuple[str, str], type] = {
    ("tensor", "shape"): list,
    ("layer", "shape"): list,
    ("layer", "rounding"): str,
    ("skipped_tensor", "shape"): list,
    ("derivation", "parameters"): dict,
    ("label", "options"): dict,
    ("identity", "parameters"): dict,
    ("identity", "needs"): dict,
    ("matrix_subject", "rounding"): str,
    ("layer_subject", "rounding"): str,
    ("origin", "through"): list,
    ("variant", "extractors"): dict,
    ("selection", "extractors"): dict,
    ("selection", "layers"): list,
    ("run", "request"): dict,
    ("run", "warnings"): list,
}
"""What texts that are JSON hold, by table and column; of ``str`` anything, or nothing."""


def _kind(field: Any) -> str:
    kinds = {
        dict: "an object",
        list: "a list",
        str: "a text",
        bool: "true or false",
        int: "a number",
        float: "a number",
    }
    return kinds.get(type(field), "nothing")
