"""Bundles: the index of a checkpoint, and the shards with its numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import ww_core as ww
from ww_core.loading.contents import BITS
from ww_core.loading.mapped import StoredTensor
from ww_core.loading.names import fault_of_name, quoted
from ww_core.loading.protobuf import BytesReader, signed
from ww_plugins.loaders.tensorflow.shapes import DTYPES, is_shape, shape_of
from ww_plugins.loaders.tensorflow.tables import entries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OBJECTS = "_CHECKPOINTABLE_OBJECT_GRAPH"
"""The key of the graph of objects."""

SUFFIX = ".index"
_NO_INDEX = "no index of a checkpoint"
_HEADER = {1: "varint", 2: "varint"}
_ENTRY = {1: "varint", 2: "bytes", 3: "varint", 4: "varint", 5: "varint", 6: "fixed32", 7: "messages"}
_MOST_SHARDS = 100_000


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
        self._reader = BytesReader(content, self.index, _NO_INDEX)
        self.damaged = self._reader.damaged
        self.entries: Mapping[str, Entry] = self._entries()

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

    def message(self, key: str) -> BytesReader:
        """Return what reads a message that is the text of a tensor.

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
        length, at = BytesReader(content, self.index, _NO_INDEX).varint(0, len(content))
        at += 4  # a checksum
        if length != len(content) - at:
            raise self.damaged(
                f"tensor {quoted(key)}: the text has {length:,} bytes, and {len(content) - at:,} are there"
            )
        return BytesReader(content[at:], self.index, _NO_INDEX)

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

    def _entries(self) -> Mapping[str, Entry]:
        found: dict[str, Entry] = {}
        is_headed = False
        for key, start, stop in entries(self._reader):
            if not key:
                self._read_header(start, stop)
                is_headed = True
            elif not key.startswith(b"\0"):  # else it is a slice, whose tensor has a key of its own
                name = self._name(key)
                self.index.budget.take("tensors")
                if name in found:
                    raise self.damaged(f"the key {quoted(name)} stands twice")
                found[name] = self._entry(start, stop, name)
        if not is_headed:
            raise self.damaged("it has no header")
        return found

    def _name(self, key: bytes) -> str:
        try:
            name = key.decode()
        except UnicodeDecodeError:
            raise self.damaged(f"the key {quoted(key)} is not UTF-8 text") from None
        if fault := fault_of_name(name):
            raise self.damaged(fault)
        return name

    def _read_header(self, start: int, stop: int) -> None:
        told = {field.number: field.start for field in self._reader.fields(start, stop, _HEADER)}
        self._count = told.get(1, 0)
        if not 1 <= self._count <= _MOST_SHARDS:
            raise self.damaged(f"it tells of {self._count} shards")
        self._big_endian = told.get(2, 0) == 1

    def _entry(self, start: int, stop: int, name: str) -> Entry:
        told: dict[int, int] = {}
        shape: Sequence[int] = ()
        for field in self._reader.fields(start, stop, _ENTRY):
            told[field.number] = self._reader.fixed(field) if field.number == 6 else signed(field.start)
            if field.number == 2:
                shape = shape_of(self._reader, field)
        kind, offset, nbytes = told.get(1, 0), told.get(4, 0), told.get(5, 0)
        if not is_shape(shape):
            raise self.damaged(f"tensor {quoted(name)}: {quoted(list(shape))} is not a shape")
        if offset < 0 or nbytes < 0:
            raise self.damaged(f"tensor {quoted(name)} has {nbytes} bytes at {offset}")
        dtype = DTYPES.get(kind, f"type {kind}")
        return Entry(dtype, tuple(shape), told.get(3, 0), offset, nbytes, told.get(6, 0), 7 in told)
