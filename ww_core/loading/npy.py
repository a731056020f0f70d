"""Public: what stands before the numbers of an array of NumPy's, read without running or believing any of it."""

from __future__ import annotations

import ast
import re
import struct
from typing import TYPE_CHECKING, NamedTuple

from ww_core.errors import CorruptFileError
from ww_core.loading.names import quoted

if TYPE_CHECKING:
    from ww_core.contracts.source import Source

MAGIC = b"\x93NUMPY"
"""How an array begins."""

_LONGEST_HEADER = 10_000  # bytes: NumPy's own limit
_HEAD_LENGTHS = 12  # bytes before the header itself

HEAD = _HEAD_LENGTHS + _LONGEST_HEADER
"""Bytes that hold any header."""

_MAX_AXES = 64
_DTYPE = re.compile(r"([<>|=]?)([fiubc])([0-9]{1,2})")
_KINDS = {"f": "float", "i": "int", "u": "uint", "b": "bool", "c": "complex"}
_SIZES = {"f": (2, 4, 8), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "b": (1,), "c": (8, 16)}


class NpyHeader(NamedTuple):
    """What stands before the numbers of an array: its length, and their dtype, shape and order."""

    nbytes: int
    descr: object
    shape: tuple[int, ...]
    is_fortran: bool


def header_of(file: Source, name: str, head: bytes) -> NpyHeader:
    """Read the header with which an array begins.

    Raises:
        CorruptFileError: It is damaged.
    """
    where = f"{file.label}: array {quoted(name)}"
    if not head.startswith(MAGIC) or len(head) < _HEAD_LENGTHS:
        raise CorruptFileError(f"{where} does not begin as NumPy's arrays do")
    version = head[6]
    if version not in {1, 2, 3}:
        raise CorruptFileError(f"{where} is of version {version} of NumPy's format: 1 to 3 are known")
    begin, form = (10, "<H") if version == 1 else (12, "<I")
    (length,) = struct.unpack_from(form, head, 8)
    if length > _LONGEST_HEADER:
        raise CorruptFileError(f"{where} has a header of {length} bytes: the limit is {_LONGEST_HEADER}")
    text = head[begin : begin + length]
    if len(text) < length:
        raise CorruptFileError(f"{where} is cut short")
    try:
        told = ast.literal_eval(text.decode("utf-8" if version == 3 else "latin1").strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        told = None
    if not (isinstance(told, dict) and told.keys() == {"descr", "fortran_order", "shape"}):
        raise CorruptFileError(f"{where} has a header that cannot be read")
    shape, is_fortran = told["shape"], told["fortran_order"]
    are_lengths = isinstance(shape, tuple) and all(type(length) is int and 0 <= length < 2**62 for length in shape)
    if not are_lengths or len(shape) > _MAX_AXES or type(is_fortran) is not bool:
        raise CorruptFileError(f"{where} has a header that cannot be: shape {quoted(shape)}")
    return NpyHeader(begin + length, told["descr"], shape, is_fortran)


def dtype_of(descr: object) -> tuple[str, bool]:
    """Return NumPy's name of a dtype, and whether the bytes of a number are big-endian; no name if it has none here."""
    found = _DTYPE.fullmatch(descr) if isinstance(descr, str) else None
    if found is None or int(found[3]) not in _SIZES[found[2]]:
        return "", False
    order, kind, size = found[1], found[2], int(found[3])
    return "bool" if kind == "b" else f"{_KINDS[kind]}{8 * size}", order == ">"
