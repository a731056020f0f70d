"""Bundles: the index of a checkpoint, and the shards with its numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import ww_core as ww
from ww_core.loading.contents import BITS
from ww_core.loading.mapped import StoredTensor
from ww_core.loading.names import fault_of_name, quoted
from ww_plugins.loaders.tensorflow.messages import DamagedError, fields, message, signed, varint, whole
from ww_plugins.loaders.tensorflow.tables import entries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OBJECTS = "_CHECKPOINTABLE_OBJECT_GRAPH"
"""The key of the graph of objects."""

SUFFIX = ".index"
_STRING = 7
_DTYPES = {
    1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", _STRING: "string", 8: "complex64",
    9: "int64", 10: "bool", 11: "qint8", 12: "quint8", 13: "qint32", 14: "bfloat16", 17: "uint16", 18: "complex128",
    19: "float16", 22: "uint32", 23: "uint64", 24: "float8_e5m2", 25: "float8_e4m3fn",
}  # fmt: skip
_MOST_SHARDS = 100_000
_MOST_AXES = 64  # NumPy's limit
_MOST = 2**63 - 1


class Entry(NamedTuple):
    """What an index tells of a tensor."""

    dtype: str
    shape: tuple[int, ...]
    shard: int
    offset: int
    nbytes: int
    checksum: int
    is_sliced: bool


@dataclass
class Bundle:
    """A checkpoint.

    Args:
        index: Its index.

    Raises:
        CorruptFileError: The index contradicts itself.
    """

    index: ww.Source

    def __post_init__(self) -> None:
        self._shards: dict[int, ww.Source] = {}
        self._count = 1
        self._big_endian = False
        self.index.budget.take("text", self.index.size)
        content = self.index.bytes_at(0, self.index.size)
        try:
            self.entries: Mapping[str, Entry] = dict(self._entries(content))
        except DamagedError as error:
            raise self.damaged(str(error)) from None

    def damaged(self, what: str) -> ww.CorruptFileError:
        """Return the error that says what is wrong with the index."""
        return ww.CorruptFileError(f"{self.index.label}: no index of a checkpoint, or damaged: {what}")

    def tensor(self, key: str, name: str) -> StoredTensor:
        """Return the tensor of a key.

        Raises:
            SourceError: Its shard is missing.
            CorruptFileError: It does not lie within its shard, or takes other bytes than its shape.
        """
        entry = self.entries[key]
        if entry.is_sliced:
            return StoredTensor(
                name, entry.dtype, entry.shape, self.index, fault="it is stored in slices, and not read"
            )
        if entry.dtype not in BITS:
            return StoredTensor(
                name, entry.dtype, entry.shape, self.index, fault=f"its type {entry.dtype} is no type of numbers"
            )
        nbytes = math.prod(entry.shape) * BITS[entry.dtype] // 8
        if nbytes != entry.nbytes:
            raise self.damaged(
                f"tensor {quoted(key)} of shape {quoted(list(entry.shape))} takes {nbytes:,} bytes, and "
                f"{entry.nbytes:,} are told"
            )
        shard = self._within(entry, key)
        return StoredTensor(name, entry.dtype, entry.shape, shard, entry.offset, big_endian=self._big_endian)

    def text(self, key: str) -> bytes:
        """Return the content of a tensor that is one text.

        Raises:
            SourceError: It takes more than the budget.
            CorruptFileError: It is no text.
        """
        entry = self.entries[key]
        if entry.dtype != "string" or entry.shape != ():
            raise self.damaged(f"tensor {quoted(key)} is no text")
        shard = self._within(entry, key)
        self.index.budget.take("text", entry.nbytes)
        content = shard.bytes_at(entry.offset, entry.nbytes)
        try:
            length, at = varint(content, 0)
        except DamagedError as error:
            raise self.damaged(f"tensor {quoted(key)}: {error}") from None
        at += 4  # a checksum
        if length != len(content) - at:
            raise self.damaged(
                f"tensor {quoted(key)}: the text has {length:,} bytes, and {len(content) - at:,} are there"
            )
        return content[at:]

    def _within(self, entry: Entry, key: str) -> ww.Source:
        if entry.shard not in self._shards:
            if not 0 <= entry.shard < self._count:
                raise self.damaged(f"tensor {quoted(key)} lies in shard {entry.shard}, and there are {self._count}")
            stem = self.index.name.removesuffix(SUFFIX)
            self._shards[entry.shard] = self.index.folder.entry(f"{stem}.data-{entry.shard:05}-of-{self._count:05}")
        shard = self._shards[entry.shard]
        if entry.offset + entry.nbytes > shard.size:
            raise ww.CorruptFileError(
                f"{shard.label}: cut short: tensor {quoted(key)} ends at byte {entry.offset + entry.nbytes:,}, and "
                f"{shard.size:,} are there"
            )
        return shard

    def _entries(self, content: bytes) -> Sequence[tuple[str, Entry]]:
        budget = self.index.budget
        found = {}
        is_headed = False
        for key, value in entries(content, budget):
            if not key:
                self._read_header(value)
                is_headed = True
            elif not key.startswith(b"\0"):  # else it is a slice, whose tensor has a key of its own
                name = self._name(key)
                budget.take("tensors")
                if name in found:
                    raise DamagedError(f"the key {quoted(name)} stands twice")
                found[name] = self._entry(value, name)
        if not is_headed:
            raise DamagedError("it has no header")
        return list(found.items())

    def _name(self, key: bytes) -> str:
        try:
            name = key.decode()
        except UnicodeDecodeError:
            raise DamagedError(f"the key {quoted(key)} is not UTF-8 text") from None
        if fault := fault_of_name(name):
            raise DamagedError(fault)
        return name

    def _read_header(self, content: bytes) -> None:
        told = dict(fields(content, self.index.budget))
        self._count = whole(told.get(1, 0))
        if not 1 <= self._count <= _MOST_SHARDS:
            raise DamagedError(f"it tells of {self._count} shards")
        self._big_endian = whole(told.get(2, 0)) == 1

    def _entry(self, content: bytes, name: str) -> Entry:
        told = list(fields(content, self.index.budget))
        numbers = {field: signed(value) for field, value in told if isinstance(value, int)}
        shape: list[int] = []
        for field, value in told:
            if field == 2:
                shape += self._shape(message(value))
        kind, offset, nbytes = numbers.get(1, 0), numbers.get(4, 0), numbers.get(5, 0)
        if (
            len(shape) > _MOST_AXES
            or math.prod(length for length in shape if length) > _MOST
            or min(shape, default=0) < 0
        ):
            raise DamagedError(f"tensor {quoted(name)}: {quoted(shape)} is not a shape")
        if offset < 0 or nbytes < 0:
            raise DamagedError(f"tensor {quoted(name)} has {nbytes} bytes at {offset}")
        dtype = _DTYPES.get(kind, f"type {kind}")
        is_sliced = any(field == 7 for field, _ in told)
        return Entry(dtype, tuple(shape), numbers.get(3, 0), offset, nbytes, numbers.get(6, 0), is_sliced)

    def _shape(self, content: bytes) -> list[int]:
        budget = self.index.budget
        lengths = []
        for field, value in fields(content, budget):
            if field == 2:
                lengths.append(signed(whole(dict(fields(message(value), budget)).get(1, 0))))
        return lengths
