"""Keys of the dicts in a pickle, as names: every key is told, whatever it is.

A text is its own name, and a number its digits. Any other key is told as Python writes it: ``None``, ``0.5``,
``b'fc'``, ``('a', 1)``, ``frozenset({1, 2})``; an object by the call that would have made it, as ``Color(1)``; and
one that is too long to be told by its place in the dict, as ``<key 3>``.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from ww_plugins.loaders.pytorch.pickles import Call, Extent, Global, NumberKey, OddKey

_LONGEST = 200  # characters
_DEEPEST = 8
_MOST_BITS = 1024
_SCALARS = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
_FLOATS = {"f2": "e", "f4": "f", "f8": "d"}


class EqualKeys(Exception):  # noqa: N818 - a reason, put into a sentence by who knows the file
    """Two keys of a dict are one for Python, which keeps the last value only; the message names them."""


class _Told(NamedTuple):
    """A key as text, and another text that is the same for keys that are equal for Python."""

    text: str
    same: str


class _Untold(Exception):  # noqa: N818 - it is told in another way
    """A key is too long or too deep to be told."""


def names_of(keys: list[Any]) -> list[str]:
    """Return a name for every key of a dict.

    Raises:
        EqualKeys: Python would take two of them for one.
    """
    if not any(isinstance(key, OddKey) for key in keys):
        return [str(key) for key in keys]
    names: list[str] = []
    known: dict[str, str] = {}
    for place, key in enumerate(keys):
        if isinstance(key, OddKey):
            name, same = key.told = key.told or _told_of(key.content, place)
        else:
            name, same = str(key), repr(key)
        if same in known:
            raise EqualKeys(f"{known[same]} and {name}")
        known[same] = name
        names.append(name)
    return names


def _told_of(key: Any, place: int) -> _Told:
    try:
        return _told(key, _DEEPEST)
    except _Untold:
        return _Told(f"<key {place}>", f"<key {place}>")


def _told(key: Any, deep: int) -> _Told:
    told = _constant(key) or (_composed(key, deep) if deep else None)
    if told is None or len(told.text) > _LONGEST:
        raise _Untold
    return told


def _constant(key: Any) -> _Told | None:
    match key:
        case str():
            return _Told(repr(key), repr(key)) if len(key) <= _LONGEST else None
        case None:
            return _Told("None", "None")
        case bool() | NumberKey() | int() | float():
            return _number(key)
        case Extent(content=bytes(content)):
            return _Told(repr(content), repr(content)) if len(content) <= _LONGEST else None
        case Global():
            return _Told(str(key), str(key))
    return None


def _number(number: float) -> _Told:
    """Tell a number; ``1``, ``1.0`` and ``True`` are equal."""
    if isinstance(number, int) and number.bit_length() > _MOST_BITS:
        raise _Untold
    text = str(number)
    whole = isinstance(number, int) or number.is_integer()
    return _Told(text, str(int(number)) if whole else text)


def _composed(key: Any, deep: int) -> _Told | None:
    match key:
        case tuple():
            inner = _several(key, deep)
            end = ",)" if len(key) == 1 else ")"
            return _Told(f"({', '.join(own.text for own in inner)}{end}", f"({', '.join(own.same for own in inner)})")
        case list():  # the only list that may be a key is a frozen set
            return _frozen_set(key, deep)
        case Call(state=None, items=None, elements=None):
            return _called(key, deep)
    return None


def _several(things: tuple[Any, ...] | list[Any], deep: int) -> list[_Told]:
    if len(things) > _LONGEST:
        raise _Untold
    return [_told(thing, deep - 1) for thing in things]


def _frozen_set(things: list[Any], deep: int) -> _Told:
    inner = sorted(_several(things, deep))
    same = ", ".join(sorted({own.same for own in inner}))
    return _Told(f"frozenset({{{', '.join(own.text for own in inner)}}})", f"{{{same}}}")


def _called(call: Call, deep: int) -> _Told | None:
    arguments = call.arguments
    if call.calls("_codecs.encode") and arguments and isinstance(arguments[0], str) and len(arguments[0]) <= _LONGEST:
        content = arguments[0].encode("latin-1", "backslashreplace")  # how the oldest protocols write bytes
        return _Told(repr(content), repr(content))
    if call.calls("builtins.frozenset", "__builtin__.frozenset") and arguments and isinstance(arguments[0], list):
        return _frozen_set(arguments[0], deep)
    if call.calls(*_SCALARS) and (number := _scalar(arguments)) is not None:
        return _number(number)
    if not isinstance(call.function, Global):
        return None
    inner = _several(arguments, deep)
    name = call.function.name
    return _Told(
        f"{name}({', '.join(own.text for own in inner)})",
        f"{call.function}({', '.join(own.same for own in inner)})",
    )


def _scalar(arguments: tuple[Any, ...]) -> float | None:
    """Return the number that a scalar of NumPy's is; None if it is none."""
    match arguments:
        case (Call(arguments=(str(code), *_), state=tuple((_, order, *_))), held):
            pass
        case _:
            return None
    content = held.arguments[0].encode("latin-1", "replace") if _is_text_of_bytes(held) else None
    if isinstance(held, Extent):
        content = held.content
    if content is None or not code[1:].isdecimal() or len(code) > 3 or len(content) != int(code[1:]):
        return None
    if code[0] in "iu":
        return int.from_bytes(content, "big" if order == ">" else "little", signed=code[0] == "i")
    if code in _FLOATS:
        (number,) = struct.unpack((">" if order == ">" else "<") + _FLOATS[code], content)
        return float(number)
    return bool(content[0]) if code == "b1" else None


def _is_text_of_bytes(held: Any) -> bool:
    return (
        isinstance(held, Call)
        and held.calls("_codecs.encode")
        and bool(held.arguments)
        and isinstance(held.arguments[0], str)
    )
