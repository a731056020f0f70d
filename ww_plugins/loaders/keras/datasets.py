"""Datasets of HDF5: where their numbers lie, and how those are had that lie in chunks."""

from __future__ import annotations

import itertools
import math
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import ww_core as ww
from ww_core.loading.contents import BITS
from ww_core.loading.mapped import StoredTensor
from ww_core.loading.names import quoted
from ww_plugins.loaders.keras.bytes_of import Extent, Fault, Parts, Reader
from ww_plugins.loaders.keras.types import UNKNOWN, NumberType, read_filters, read_shape, read_type

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    import numpy.typing as npt

    from ww_plugins.loaders.keras.attributes import Texts
    from ww_plugins.loaders.keras.hdf5 import Message

_MAX_SIZE = 2**63 - 1
_UNDEFINED = 0xFFFFFFFFFFFFFFFF
_SPACE, _TYPE, _LAYOUT, _FILTERS, _ATTRIBUTE = 0x01, 0x03, 0x08, 0x0B, 0x0C
_COMPACT, _CONTIGUOUS, _CHUNKED, _VIRTUAL = range(4)
_ALWAYS_READ = 1 << 20  # bytes that a compressed dataset or one of its chunks may have, however small it is stored
_MOST_EXPANSION = 16
_DEFLATE, _SHUFFLE, _FLETCHER = 1, 2, 3
_MOST_LEVELS = 64
_NOT_STORED = "not all of its numbers are stored in the file"


def stored_tensor(reader: Reader, messages: Sequence[Message], path: str, address: int, dtypes: Texts) -> StoredTensor:
    """Tell where the numbers of a dataset lie.

    Args:
        reader: Reads the file.
        messages: What describes the dataset.
        path: Its name, from the root.
        address: Where it is described in the file.
        dtypes: Reads the attribute in which Keras keeps a dtype that HDF5 has no name for.

    Raises:
        CorruptFileError: Its numbers are said to lie in another file or outside of this one.
        Fault: It is damaged.
    """
    extent, file = reader.extent, reader.extent.file
    where = f"{file.label}: dataset {quoted(path)}"
    parts = {message.kind: message.content for message in messages}
    kinds = [message.kind for message in messages if message.kind in {_SPACE, _TYPE, _LAYOUT, _FILTERS}]
    if len(set(kinds)) < len(kinds):  # HDF5's library would believe another one
        raise Fault(f"dataset {quoted(path)} is described twice")
    layout = Parts(parts[_LAYOUT])
    version, form = layout.number(1), layout.number(1)
    if form == _VIRTUAL and version >= 3:
        raise ww.CorruptFileError(
            f"{where} has its numbers in other files, which are not read: copy them into the file"
        )
    told_type = read_type(parts.get(_TYPE, b""))
    if told_type.opaque and dtypes.read(messages).get("dtype") == ("bfloat16",):
        told_type = NumberType("bfloat16")
    kind = told_type.name
    shape = read_shape(parts[_SPACE]) if parts.get(_SPACE) else None
    if shape is None:
        return StoredTensor(path, kind, (), file, fault="the dataset holds nothing")
    told = StoredTensor(path, kind, shape, file, big_endian=told_type.big_endian)
    if kind == UNKNOWN:
        return replace(told, fault="the dataset holds no numbers of a type that ww reads")
    item = BITS[kind] // 8
    if math.prod(length for length in shape if length) * item > _MAX_SIZE:
        raise ww.CorruptFileError(f"{where}: no memory could hold shape {quoted(shape)}")
    nbytes = math.prod(shape) * item
    if not nbytes:
        return replace(told, content=b"")
    if version not in {3, 4} or (form == _CHUNKED and version == 4):
        return replace(told, fault="its numbers lie in a form of HDF5 that ww does not read")
    if form == _COMPACT:
        file.budget.take("decoded", nbytes)
        content = layout.take(layout.number(2))
        if len(content) != nbytes:
            raise Fault(f"dataset {quoted(path)} has {len(content)} bytes, and its shape takes {nbytes}")
        return replace(told, content=content)
    if form == _CONTIGUOUS:
        place, size = layout.number(8), layout.number(8)
        if place == _UNDEFINED:
            return replace(told, fault=_NOT_STORED)
        if place + nbytes > extent.size or size != nbytes:
            raise Fault(f"dataset {quoted(path)} takes {nbytes} bytes, which are not all where it says")
        return replace(told, offset=extent.begin + place)
    if form != _CHUNKED:
        raise Fault(f"dataset {quoted(path)} lies in an unknown form")
    filters = read_filters(parts[_FILTERS]) if parts.get(_FILTERS) else ()
    return _in_chunks(reader, told, layout, filters, address)


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Where a chunk lies in the file, and which of the filters it did not go through, in bits."""

    place: int
    size: int
    mask: int


def _in_chunks(
    reader: Reader, told: StoredTensor, layout: Parts, filters: tuple[int, ...], address: int
) -> StoredTensor:
    axes = layout.number(1) - 1
    tree = layout.number(8)
    sides = tuple(layout.number(4) for _ in range(axes))
    item = BITS[told.dtype] // 8
    if axes != len(told.shape) or layout.number(4) != item or 0 in sides:
        raise Fault(f"dataset {quoted(told.name)} lies in chunks that do not fit its shape")
    if unknown := [code for code in filters if code not in {_DEFLATE, _SHUFFLE, _FLETCHER}]:
        return replace(told, fault=f"it is compressed in a way that ww does not read (filter {unknown[0]} of HDF5)")
    if tree == _UNDEFINED:
        return replace(told, fault=_NOT_STORED)
    count = math.prod(-(-length // side) for length, side in zip(told.shape, sides, strict=True))
    chunks = _chunks(reader, tree, sides, min(count, reader.extent.size))
    stored = sum(chunk.size for chunk in chunks.values())
    nbytes, nbytes_of_chunk = told.nbytes, math.prod(sides) * item
    most = _ALWAYS_READ + _MOST_EXPANSION * min(stored, reader.extent.size)
    if len(chunks) != count:
        return replace(told, fault=_NOT_STORED)
    if max(nbytes, nbytes_of_chunk) > most:
        claimed = max(nbytes, nbytes_of_chunk)
        return replace(told, fault=f"it claims {claimed:,} bytes, of which the file stores {stored:,}")
    decoder = _Decoder(reader.extent, told, sides, filters, chunks)
    # Told apart from others by where it is described: its numbers lie in no one place.
    return replace(told, file=DecodedSource(decoder, address), offset=address)


def _chunks(reader: Reader, tree: int, sides: tuple[int, ...], most: int) -> dict[tuple[int, ...], _Chunk]:
    """Find the chunks of a dataset, by the place of their first number."""
    from ww_plugins.loaders.keras.hdf5 import tree_node

    found: dict[tuple[int, ...], _Chunk] = {}
    pending, seen = [(tree, _MOST_LEVELS)], set()
    while pending:
        address, below = pending.pop()
        level, children = tree_node(reader, address, 1, 16 + 8 * len(sides))
        if level >= below or address in seen:
            raise Fault("a tree of its is deeper than it says, or goes in a circle")
        seen.add(address)
        reader.extent.file.budget.take("visits", 1 + len(children))
        if level:
            pending += [(place, level) for _, place in children]
            continue
        for key, place in children:
            parts = Parts(key)
            size, mask = parts.number(4), parts.number(4)
            first = tuple(parts.number(8) for _ in sides)
            if place + size > reader.extent.size or any(at % side for at, side in zip(first, sides, strict=True)):
                raise Fault("a chunk is not where it says")
            found[first] = _Chunk(place, size, mask)
            if len(found) > most:
                raise Fault("a dataset has more chunks than its shape")
    return found


@dataclass(frozen=True, slots=True)
class _Decoder:
    """What it takes to decode a dataset.

    Attributes:
        extent: The file.
        tensor: The dataset.
        sides: The shape of a chunk.
        filters: What each chunk went through.
        chunks: The chunks, by the place of their first number.
    """

    extent: Extent
    tensor: StoredTensor
    sides: tuple[int, ...]
    filters: tuple[int, ...]
    chunks: dict[tuple[int, ...], _Chunk]

    def decode(self) -> bytes:
        """Return the numbers, in C order.

        Raises:
            CorruptFileError: A chunk is damaged.
        """
        import numpy as np

        item = BITS[self.tensor.dtype] // 8
        numbers = np.zeros(self.tensor.shape, dtype=f"V{item}")
        size = math.prod(self.sides) * item
        for first in itertools.product(
            *(range(0, length, side) for length, side in zip(self.tensor.shape, self.sides, strict=True))
        ):
            chunk = self.chunks.get(first)
            content = self._content(chunk, size, item) if chunk is not None else b""
            if len(content) != size:
                raise ww.CorruptFileError(
                    f"{self.extent.file.label}: dataset {quoted(self.tensor.name)}: a chunk of its numbers is damaged"
                )
            part = np.frombuffer(content, f"V{item}").reshape(self.sides)
            there = tuple(slice(at, at + side) for at, side in zip(first, self.sides, strict=True))
            kept = tuple(slice(0, length) for length in numbers[there].shape)
            numbers[there] = part[kept]
        return numbers.tobytes()

    def _content(self, chunk: _Chunk, size: int, item: int) -> bytes:
        """Undo the filters of a chunk; what is damaged has another size, or none."""
        import numpy as np

        content = self.extent.file.bytes_at(self.extent.begin + chunk.place, chunk.size)
        for number, code in reversed(list(enumerate(self.filters))):
            if chunk.mask >> number & 1:
                continue
            if code == _FLETCHER:
                content = content[:-4]
            elif code == _DEFLATE:
                try:
                    content = zlib.decompressobj().decompress(content, size + 4)
                except zlib.error:
                    return b""
            elif len(content) == size:
                content = np.frombuffer(content, np.uint8).reshape(item, -1).T.tobytes()
        return content


class DecodedSource(ww.Source):
    """The numbers of a dataset that lie in chunks, compressed or not: they are decoded whenever they are read."""

    def __init__(self, decoder: _Decoder, address: int) -> None:
        """Name a dataset.

        Args:
            decoder: Decodes it.
            address: Where it is described, which is where its numbers are said to begin.
        """
        self._decoder, self._address = decoder, address
        file = decoder.extent.file
        self.label = file.label
        self.location = f"{file.location}!{address}"

    @property
    def size(self) -> int:
        """Bytes up to the end of the numbers, counted from where they are said to begin."""
        return self._address + self._decoder.tensor.nbytes

    def stamp(self) -> tuple[int | str, ...]:
        """Return the stamp of the file."""
        return self._decoder.extent.file.stamp()

    def bytes_at(self, offset: int, nbytes: int) -> bytes:
        """Decode the dataset, and return a part of it.

        Raises:
            CorruptFileError: A chunk is damaged.
        """
        begin = offset - self._address
        return self._decoder.decode()[begin : begin + nbytes]

    @contextmanager
    def array(self, offset: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Iterator[npt.NDArray[Any]]:
        """Give numbers of the dataset, read-only."""
        import numpy as np

        yield np.frombuffer(self.bytes_at(offset, math.prod(shape) * dtype.itemsize), dtype).reshape(shape)
