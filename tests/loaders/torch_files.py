"""PyTorch's files made without PyTorch, as wrong as one likes: pickles put together from instructions, and containers.

``code(thing)`` gives the instructions that push a thing; what is `Code` already stands for itself, so that calls,
tensors and nonsense go wherever a text or a list could. ``in_zip``, ``in_legacy`` and ``in_plain`` put what is pushed
into a file; ``CONTAINERS`` holds those, and the tensors that each of them can hold.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
STOP = b"."


# --- pickles ---


class Code(bytes):
    """Instructions of a pickle that push one thing."""


def code(thing: Any) -> Code:
    """Give the instructions that push ``thing``, which may hold `Code`."""
    match thing:
        case Code():
            return thing
        case None:
            return Code(b"N")
        case bool():
            return Code(b"\x88" if thing else b"\x89")
        case int() if -(2**31) <= thing < 2**31:
            return Code(b"J" + struct.pack("<i", thing))
        case int():
            digits = thing.to_bytes(thing.bit_length() // 8 + 1, "little", signed=True)
            return Code(b"\x8b" + struct.pack("<i", len(digits)) + digits)
        case float():
            return Code(b"G" + struct.pack(">d", thing))
        case str():
            content = thing.encode("utf-8", "surrogatepass")
            return Code(b"X" + struct.pack("<I", len(content)) + content)
        case bytes():
            return Code(b"B" + struct.pack("<I", len(thing)) + thing)
        case tuple():
            return Code(b"(" + b"".join(map(code, thing)) + b"t")
        case list():
            return Code(b"](" + b"".join(map(code, thing)) + b"e")
        case dict():
            return Code(b"}(" + b"".join(code(key) + code(value) for key, value in thing.items()) + b"u")
    raise TypeError(thing)


def named(dotted: str) -> Code:
    """Push something of a module: ``posix.system``."""
    module, _, name = dotted.rpartition(".")
    return Code(f"c{module}\n{name}\n".encode())


def call(function: Any, *arguments: Any) -> Code:
    """Call a function, which is given by its dotted name or as `Code`."""
    function = named(function) if isinstance(function, str) else function
    return Code(function + code(arguments) + b"R")


def built(thing: Code, state: Any) -> Code:
    """Build a thing from a state."""
    return Code(thing + code(state) + b"b")


def pickled(thing: Any, protocol: int = 2) -> bytes:
    """Make a pickle."""
    return b"\x80" + bytes([protocol]) + code(thing) + STOP


# --- tensors ---


def storage(
    key: Any = "0", count: Any = 24, kind: Any = "torch.FloatStorage", place: Any = "cpu", view: Any = ()
) -> Code:
    """Name a storage; ``view`` is what a legacy file says besides: a part of which storage it is."""
    kind = named(kind) if isinstance(kind, str) else kind
    return Code(code(("storage", kind, key, place, count, *view)) + b"Q")


def tensor(
    shape: Any = (4, 6),
    strides: Any = None,
    offset: Any = 0,
    of: Code | None = None,
    function: str = "torch._utils._rebuild_tensor_v2",
) -> Code:
    """Make a tensor of a storage, the usual one for none."""
    if strides is None:
        strides = tuple(int(np.prod(shape[axis + 1 :], dtype=object)) for axis in range(len(shape)))
    hooks = call("collections.OrderedDict")
    return call(function, of or storage(), offset, shape, strides, False, hooks)


def array(numbers: np.ndarray[Any, Any], *, kind: str = "f4", shape: Any = None, content: Any = None) -> Code:
    """Make an array, as NumPy pickles it."""
    empty = call("numpy.core.multiarray._reconstruct", named("numpy.ndarray"), (0,), b"b")
    dtype = built(call("numpy.dtype", kind, False, True), (3, "<", None, None, None, -1, -1, 0))
    shape = numbers.shape if shape is None else shape
    return built(empty, (1, shape, dtype, False, numbers.tobytes() if content is None else content))


def loaded(content: Any) -> Code:
    """Load a pickle within a pickle, as PyTorch's storages do in a plain one."""
    return call("torch.storage._load_from_bytes", content)


# --- containers ---

Storages = Mapping[str, bytes]
NUMBERS = np.arange(24, dtype="<f4").reshape(4, 6)
USUAL: Storages = {"0": NUMBERS.tobytes()}


class Entry(NamedTuple):
    """An entry of a zip archive. What is None is told as it is."""

    name: bytes
    content: bytes = b""
    method: int = 0
    flags: int = 0
    stored: bytes | None = None
    sizes: tuple[int, int] | None = None
    """Packed and unpacked, as the directory tells them."""
    offset: int | None = None
    local_name: bytes | None = None
    extra: bytes = b""


def zip_of(*entries: Entry, count: int | None = None, comment: bytes = b"", tail: bytes = b"") -> bytes:
    """Make a zip archive, stored unless its entries say otherwise."""
    body, directory = bytearray(), bytearray()
    for entry in entries:
        stored = entry.content if entry.stored is None else entry.stored
        packed, whole = entry.sizes or (len(stored), len(entry.content))
        about = struct.pack("<HHHHH", 20, entry.flags, entry.method, 0, 33)
        checked = struct.pack("<III", zlib.crc32(entry.content), packed & 0xFFFFFFFF, whole & 0xFFFFFFFF)
        offset = len(body) if entry.offset is None else entry.offset
        local = entry.name if entry.local_name is None else entry.local_name
        body += b"PK\x03\x04" + about + checked + struct.pack("<HH", len(local), 0) + local + stored
        directory += b"PK\x01\x02\x14\x00" + about + checked
        directory += struct.pack("<HHHHHII", len(entry.name), len(entry.extra), 0, 0, 0, 0, offset)
        directory += entry.name + entry.extra
    return bytes(body + ending(body, directory, len(entries) if count is None else count, comment) + tail)


def ending(body: bytes | bytearray, directory: bytes | bytearray, count: int, comment: bytes = b"") -> bytes:
    """Give the directory of an archive, and the record at its end."""
    sizes = struct.pack("<HHHHIIH", 0, 0, count & 0xFFFF, count & 0xFFFF, len(directory), len(body), len(comment))
    return bytes(directory) + b"PK\x05\x06" + sizes + comment


def zip_entries(thing: Any, storages: Storages = USUAL, **pickles: bytes) -> list[Entry]:
    """List the entries of a file of ``torch.save``."""
    return [
        Entry(b"archive/data.pkl", pickled(thing)),
        *(Entry(f"archive/{name}.pkl".encode(), content) for name, content in pickles.items()),
        *(Entry(f"archive/data/{key}".encode(), content) for key, content in storages.items()),
        Entry(b"archive/version", b"3\n"),
    ]


def in_zip(thing: Any, storages: Storages = USUAL, **pickles: bytes) -> bytes:
    """Make a file as ``torch.save`` does."""
    return zip_of(*zip_entries(thing, storages, **pickles))


def in_legacy(thing: Any, storages: Storages = USUAL, *, item: int = 4, **parts: bytes) -> bytes:
    """Make a file as ``torch.save`` did before 1.6.

    Args:
        thing: What it holds.
        storages: The bytes of its storages.
        item: Bytes of one number in them.
        parts: Pickles to be put in the place of its own: ``magic``, ``version``, ``system``, ``content``, ``keys``.
    """
    own = {
        "magic": b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.",
        "version": pickled(1001),
        "system": pickled({"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}),
        "content": pickled(thing),
        "keys": pickled(list(storages)),
    }
    counted = [struct.pack("<q", len(content) // item) + content for content in storages.values()]
    return b"".join({**own, **parts}.values()) + b"".join(counted)


def in_plain(thing: Any, storages: Storages = USUAL) -> bytes:
    """Make a plain pickle."""
    return pickled(thing, 3)


def within(thing: Any = None) -> Code:
    """Make a tensor whose storage is a file within the pickle, whose pickle holds ``thing`` in the storage's place."""
    return tensor(of=loaded(in_legacy(storage(view=(None,)) if thing is None else thing)))


class Container(NamedTuple):
    """A way to put things into a file, and what a sound tensor of `NUMBERS` is there."""

    wrap: Callable[..., bytes]
    tensor: Code


CONTAINERS = {
    "zip": Container(in_zip, tensor()),
    "legacy": Container(in_legacy, tensor(of=storage(view=(None,)))),
    "plain": Container(in_plain, array(NUMBERS)),
    "nested": Container(in_plain, within()),
}


def sound(container: str, **beside: Any) -> bytes:
    """Make a file with one sound layer, ``fc.weight``, and whatever is to stand beside it."""
    return CONTAINERS[container].wrap({"state_dict": {"fc.weight": CONTAINERS[container].tensor}, **beside})
