"""Storages: rows of numbers that a pickle names, and what it tells of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import ww_core as ww
from ww_core.loading.contents import BITS
from ww_core.loading.names import quoted
from ww_plugins.loaders.pytorch.pickles import Global, Persistent

STORAGE_TYPES = {
    "Double": "float64", "Float": "float32", "Half": "float16", "BFloat16": "bfloat16",
    "Long": "int64", "Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8", "Bool": "bool",
    "ComplexDouble": "complex128", "ComplexFloat": "complex64",
    "QInt8": "qint8", "QUInt8": "quint8", "QInt32": "qint32", "QUInt4x2": "quint4x2", "QUInt2x4": "quint2x4",
    "Untyped": "uint8",
}  # fmt: skip
"""NumPy's name of a storage's numbers by the first part of its class's name; quantized ones by PyTorch's own."""

ITEM_SIZES = {name: bits // 8 for name, bits in BITS.items() if bits % 8 == 0}
"""Bytes of one number."""

FLOATING = frozenset({"float16", "bfloat16", "float32", "float64"})
"""What weights are of that are analysed."""


@dataclass(frozen=True, slots=True)
class Storage:
    """A row of numbers in a file.

    Attributes:
        dtype: NumPy's name of what it holds, as far as it says.
        offset: Where it begins in the file.
        nbytes: Its bytes, all of them in the file.
        checksums: What the file says of the bytes.
    """

    dtype: str
    offset: int
    nbytes: int
    checksums: tuple[ww.Checksum, ...] = ()


class Told(NamedTuple):
    """What a pickle tells of a storage: how many numbers it has, and which part of them is meant, by a key."""

    dtype: str
    key: str
    numbers: int
    part_key: str
    first: int
    length: int


def told_of(named: object, file: ww.Source) -> Told:
    """Return what a persistent identifier tells of a storage.

    A legacy storage may be a part of another one, under whose key the bytes are.

    Raises:
        CorruptFileError: It is none of a storage, or tells what cannot be.
    """
    told = named.id if isinstance(named, Persistent) else None
    if not (isinstance(told, tuple) and len(told) >= 5 and told[0] == "storage" and isinstance(told[1], Global)):
        raise ww.CorruptFileError(f"{file.label}: a tensor has no storage that could be read")
    _, kind, key, _, count, *more = told
    name = kind.name.removesuffix("Storage")
    if name not in STORAGE_TYPES:
        raise ww.CorruptFileError(f"{file.label}: a storage is of the unknown type {quoted(str(kind))}")
    if not isinstance(key, str) or not _is_length(count):
        raise ww.CorruptFileError(f"{file.label}: storage {quoted(key)} is said to hold {quoted(count)} numbers")
    part_key, first, length = key, 0, count
    view = more[0] if more else None
    if view is not None:
        if not (isinstance(view, tuple) and len(view) == 3 and _is_length(view[1]) and _is_length(view[2])):
            raise ww.CorruptFileError(f"{file.label}: a part of storage {quoted(key)} lies outside of it")
        part_key, first, length = view
    if not isinstance(part_key, str):
        raise ww.CorruptFileError(f"{file.label}: a part of storage {quoted(key)} has {quoted(part_key)} as its key")
    return Told(STORAGE_TYPES[name], key, count, part_key, first, length)


def _is_length(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**62
