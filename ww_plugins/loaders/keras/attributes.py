"""Attributes of HDF5 that are texts, or lists of texts."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import ww_core as ww
from ww_core.loading.names import quoted
from ww_plugins.loaders.keras.bytes_of import Fault, Parts
from ww_plugins.loaders.keras.types import read_shape

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ww_plugins.loaders.keras.bytes_of import Reader
    from ww_plugins.loaders.keras.hdf5 import Message

_ATTRIBUTE, _ATTRIBUTE_INFO = 0x0C, 0x15
_UNDEFINED = 0xFFFFFFFFFFFFFFFF
_TEXT, _VARIABLE = 3, 9

DENSE = "it keeps many links or attributes in a form of HDF5 that ww does not read: save it by Keras again"
"""Why a file is refused that Keras never writes so."""


class Texts:
    """Reads the attributes of some names; texts of variable length lie in heaps, each of which is read once."""

    def __init__(self, reader: Reader, wanted: frozenset[str]) -> None:
        self._reader, self._wanted = reader, wanted
        self._heaps: dict[int, Mapping[int, bytes]] = {}

    def read(self, messages: Iterable[Message]) -> dict[str, tuple[str, ...]]:
        """Read the attributes of an object. One that is no text is told without one."""
        found: dict[str, tuple[str, ...]] = {}
        for message in messages:
            if message.kind == _ATTRIBUTE_INFO:
                self._refuse_dense(Parts(message.content))
            if message.kind == _ATTRIBUTE and message.content:
                name, texts = self._attribute(Parts(message.content))
                if texts is not None and found.setdefault(name, texts) != texts:
                    raise Fault(f"the attribute {quoted(name)} stands twice")
        for name in self._wanted - found.keys():
            # A long list is stored in several attributes, with a number behind the name.
            parts = itertools.takewhile(lambda part: part in found, (f"{name}{n}" for n in itertools.count()))
            if joined := list(parts):
                found[name] = tuple(text for part in joined for text in found[part])
        return found

    def _refuse_dense(self, parts: Parts) -> None:
        parts.take(1)
        parts.take(2 if parts.number(1) & 1 else 0)
        if parts.number(8) != _UNDEFINED:
            raise ww.CorruptFileError(f"{self._reader.extent.file.label}: {DENSE}")

    def _attribute(self, parts: Parts) -> tuple[str, tuple[str, ...] | None]:
        version, flags = parts.number(1), parts.number(1)
        sizes = [parts.number(2) for _ in range(3)]
        if not 1 <= version <= 3:
            raise Fault("an attribute is of an unknown version")
        parts.take(1 if version == 3 else 0)
        name, kind, space = (parts.padded(size) if version == 1 else parts.take(size) for size in sizes)
        told = name.partition(b"\0")[0].decode(errors="replace")
        if told.rstrip("0123456789") not in self._wanted:
            return told, None
        if version > 1 and flags & 3:
            return told, ()
        return told, self._texts(Parts(kind), space, parts)

    def _texts(self, kind: Parts, space: bytes, content: Parts) -> tuple[str, ...]:
        what = kind.number(1) & 15
        bits, size = kind.number(3), kind.number(4)
        shape = read_shape(space)
        if shape is None or what not in {_TEXT, _VARIABLE} or (what == _VARIABLE and bits & 15 != 1) or not size:
            return ()
        count = math.prod(shape)
        if count * size > content.left:
            raise Fault("an attribute is shorter than it says")
        self._reader.extent.file.budget.take("visits", count)
        if what == _TEXT:
            return tuple(_text(content.take(size)) for _ in range(count))
        return tuple(self._variable(Parts(content.take(size))) for _ in range(count))

    def _variable(self, parts: Parts) -> str:
        length, heap, index = parts.number(4), parts.number(8), parts.number(4)
        if not length:
            return ""
        if heap not in self._heaps:
            self._heaps[heap] = self._heap(heap)
        content = self._heaps[heap].get(index, b"")
        if length > len(content):
            raise Fault("a text is not where it says")
        self._reader.extent.file.budget.take("text", length)  # many may be the same one
        return _text(content[:length])

    def _heap(self, address: int) -> Mapping[int, bytes]:
        """Read a heap: its contents by their numbers."""
        head = Parts(self._reader.read(address, 16))
        if head.take(8)[:4] != b"GCOL":
            raise Fault("a heap with texts is not where it says")
        size = head.number(8)
        if size < 16:
            raise Fault("a heap with texts is shorter than it says")
        parts = Parts(self._reader.read(address + 16, size - 16))
        found = {}
        while parts.left >= 16:
            index = parts.number(2)
            parts.take(6)
            length = parts.number(8)
            if not index:
                break
            self._reader.extent.file.budget.take("visits")
            found[index] = parts.padded(length)
        return found


def _text(content: bytes) -> str:
    return content.partition(b"\0")[0].decode(errors="replace")
