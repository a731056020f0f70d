"""HDF5, read without its library: the groups of a file, where its datasets lie, and attributes that are texts.

HDF5's library follows whatever a file says: links into other files, datasets whose numbers lie in any file of the
machine; and a damaged heap keeps it busy for ever. Here only what Keras writes is read, each structure once, and every
byte that is read draws on the budget of the source. What is not understood is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import ww_core as ww
from ww_core.loading.names import fault_of_name, quoted
from ww_plugins.loaders.keras.attributes import DENSE, Texts
from ww_plugins.loaders.keras.bytes_of import Extent, Fault, Parts, Reader
from ww_plugins.loaders.keras.datasets import stored_tensor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ww_core.loading.mapped import StoredTensor

MAGIC = b"\x89HDF\r\n\x1a\n"
"""How a file begins."""

_UNDEFINED = 0xFFFFFFFFFFFFFFFF
_MOST_LEVELS = 64  # of a tree: HDF5's own have a few

_LINK_INFO, _LINK, _EXTERNAL_FILES, _LAYOUT, _CONTINUED, _SYMBOLS = 0x02, 0x06, 0x07, 0x08, 0x10, 0x11


@dataclass(slots=True)
class Group:
    """A group of an HDF5 file.

    Attributes:
        name: Its name in the group above.
        path: Names from the root, with slashes.
        groups: The groups in it, by name.
        tensors: The datasets in it, by name.
        texts: Its attributes that are texts or lists of them, as far as they were asked for.
    """

    name: str
    path: str
    groups: dict[str, Group] = field(default_factory=dict)
    tensors: dict[str, Placed] = field(default_factory=dict)
    texts: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def all_tensors(self) -> Iterator[StoredTensor]:
        """Give the datasets in it and in all groups in it."""
        for placed in self.tensors.values():
            yield placed.tensor
        for group in self.groups.values():
            yield from group.all_tensors()


@dataclass(frozen=True, slots=True)
class Placed:
    """A dataset, and where it is described in the file."""

    address: int
    tensor: StoredTensor


class Message(NamedTuple):
    """A part of what describes an object: what it tells of, and its bytes; empty if they lie elsewhere."""

    kind: int
    content: bytes


def read_groups(extent: Extent, wanted: frozenset[str], left_out: frozenset[str]) -> Group:
    """Read what a file holds: its groups and where the numbers of its datasets lie.

    Args:
        extent: The file.
        wanted: Names of the attributes that are read, wherever they stand.
        left_out: Names of groups at the root that are not looked into.

    Raises:
        CorruptFileError: It is damaged, or leads to other files or to other places in it.
        SourceError: It takes more than the budget, or cannot be read.
    """
    file = extent.file
    with file.open() as handle:
        try:
            reader = Reader(extent, handle)
            return _Walk(reader, wanted, left_out).group(_root(reader), "", "", 0)
        except Fault as fault:
            raise ww.CorruptFileError(f"{file.label}: an HDF5 file that is cut short or damaged: {fault}") from None
        except OSError as error:
            raise ww.SourceError(f"{file.label}: it cannot be read: {error.strerror or error}") from None


def _root(reader: Reader) -> int:
    """Read the superblock, and return where the root is described."""
    head = Parts(reader.read(0, 16))
    head.take(8)
    version = head.number(1)
    if version <= 1:
        head.take(4)
        sizes = head.number(1), head.number(1)
        place = 24 + 4 * version
        rest = Parts(reader.read(place, 48))
        base, _, end, driver, _, root = (rest.number(8) for _ in range(6))
    elif version <= 3:
        sizes, driver = (head.number(1), head.number(1)), _UNDEFINED
        rest = Parts(reader.read(12, 32))
        base, _, end, root = (rest.number(8) for _ in range(4))
    else:
        raise Fault(f"its version is {version}")
    if sizes != (8, 8) or base or driver != _UNDEFINED:
        raise Fault("it is not of the usual form, in which addresses have 8 bytes and count from its beginning")
    if end > reader.extent.size:
        raise Fault(f"it should have {end} bytes, and {reader.extent.size} are there")
    return root


class _Walk:
    """Goes through the groups of a file, each once."""

    def __init__(self, reader: Reader, wanted: frozenset[str], left_out: frozenset[str]) -> None:
        self._reader, self._left_out = reader, left_out
        self._file = reader.extent.file
        self._texts, self._dtypes = Texts(reader, wanted), Texts(reader, frozenset({"dtype"}))
        self._seen: set[int] = set()

    def group(self, address: int, name: str, path: str, depth: int) -> Group:
        """Read a group and all in it."""
        messages = self._messages(address)
        if all(message.kind not in {_LINK_INFO, _LINK, _SYMBOLS} for message in messages):
            raise Fault("its root is no group")
        return self._group(address, messages, name, path, depth)

    def _group(self, address: int, messages: list[Message], name: str, path: str, depth: int) -> Group:
        budget = self._file.budget
        if depth > budget.depth:
            raise ww.CorruptFileError(f"{self._file.label}: groups are nested deeper than {budget.depth} levels")
        self._once(address, f"the group {quoted(path)}")
        found = Group(name, path, texts=self._texts.read(messages))
        for inner, place in self._links(messages, path):
            if not depth and inner in self._left_out:
                continue
            inner_path = f"{path}/{inner}" if path else inner
            budget.take("names", len(inner_path))
            held = self._messages(place)
            kinds = {message.kind for message in held}
            if _LAYOUT in kinds:
                budget.take("tensors")
                if fault := fault_of_name(inner_path):
                    raise ww.CorruptFileError(f"{self._file.label}: {fault}")
                if _EXTERNAL_FILES in kinds:
                    raise ww.CorruptFileError(
                        f"{self._file.label}: dataset {quoted(inner_path)} has its numbers in other files, which are "
                        "not read: copy them into the file"
                    )
                tensor = stored_tensor(self._reader, held, inner_path, place, self._dtypes)
                found.tensors[inner] = Placed(place, tensor)
            elif kinds & {_LINK_INFO, _LINK, _SYMBOLS}:
                found.groups[inner] = self._group(place, held, inner, inner_path, depth + 1)
        return found

    def _once(self, address: int, what: str) -> None:
        if address in self._seen:
            raise ww.CorruptFileError(f"{self._file.label}: {what} is also in another place of the file")
        self._seen.add(address)

    def _messages(self, address: int) -> list[Message]:
        """Read what describes an object."""
        head = self._reader.read(address, 16)
        if head[:4] == b"OHDR":
            return self._messages_2(address)
        parts = Parts(head)
        if parts.number(1) != 1:
            raise Fault("what should describe an object does not")
        parts.take(7)
        found: list[Message] = []
        blocks = [(address + 16, parts.number(4))]
        for place, size in blocks:  # it grows while it is gone through
            if len(blocks) > _MOST_LEVELS:
                raise Fault("what describes an object is scattered over too many places")
            block = Parts(self._reader.read(place, size))
            while block.left >= 8:
                kind, length, flags = block.number(2), block.number(2), block.number(1)
                block.take(3)
                self._add(kind, flags, block.take(length), found, blocks)
        return found

    def _messages_2(self, address: int) -> list[Message]:
        """Read what describes an object in the newer form."""
        parts = Parts(self._reader.read(address, 6))
        parts.take(5)
        flags = parts.number(1)
        place = address + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        width = 1 << (flags & 3)
        size = int.from_bytes(self._reader.read(place, width), "little")
        found: list[Message] = []
        blocks = [(place + width, size)]
        first = True
        for begin, length in blocks:  # it grows while it is gone through
            if len(blocks) > _MOST_LEVELS:
                raise Fault("what describes an object is scattered over too many places")
            content = self._reader.read(begin, length)
            if not first and content[:4] != b"OCHK":
                raise Fault("what describes an object does not go on where it should")
            block = Parts(content if first else content[4:-4])
            first = False
            while block.left >= (6 if flags & 4 else 4):
                kind, count, own = block.number(1), block.number(2), block.number(1)
                block.take(2 if flags & 4 else 0)
                self._add(kind, own, block.take(count), found, blocks)
        return found

    def _add(self, kind: int, flags: int, content: bytes, found: list[Message], blocks: list[tuple[int, int]]) -> None:
        self._file.budget.take("visits")
        if kind == _CONTINUED:
            parts = Parts(content)
            blocks.append((parts.number(8), parts.number(8)))
        else:
            found.append(Message(kind, b"" if flags & 2 else content))  # 2: it is shared, and lies elsewhere

    def _links(self, messages: list[Message], path: str) -> Iterator[tuple[str, int]]:
        """Give name and place of all that is in a group. Only hard links lead to somewhere."""
        if sum(message.kind == _SYMBOLS for message in messages) + any(m.kind == _LINK_INFO for m in messages) > 1:
            raise Fault("a group is described twice")
        names: set[str] = set()
        for message in messages:
            parts = Parts(message.content)
            if message.kind == _SYMBOLS:
                links = self._symbols(parts.number(8), parts.number(8))
            elif message.kind == _LINK:
                links = iter([_link(parts)])
            else:
                if message.kind == _LINK_INFO:
                    parts.take(1)
                    parts.take(8 if parts.number(1) & 1 else 0)
                    if parts.number(8) != _UNDEFINED:
                        raise ww.CorruptFileError(f"{self._file.label}: {DENSE}")
                continue
            for raw, place in links:
                name = self._name(raw, place, path)
                if name in names:
                    raise Fault(f"the name {quoted(name)} stands twice in a group")
                names.add(name)
                yield name, place

    def _name(self, raw: bytes, place: int, path: str) -> str:
        self._file.budget.take("visits")
        self._file.budget.take("names", len(raw))
        name = raw.decode(errors="surrogateescape")
        if place == _UNDEFINED:
            raise ww.CorruptFileError(
                f"{self._file.label}: {quoted(name)} in group {quoted(path or '/')} is a link to another place or "
                "file, which is not followed: copy what it links to into the file"
            )
        if fault := fault_of_name(name):
            raise ww.CorruptFileError(f"{self._file.label}: {fault}")
        return name

    def _symbols(self, tree: int, heap: int) -> Iterator[tuple[bytes, int]]:
        """Give the links of a group in the older form: a tree of places, and a heap with the names."""
        self._once(heap, "the list of names of a group")
        head = Parts(self._reader.read(heap, 32))
        if head.take(8)[:4] != b"HEAP":
            raise Fault("the names of a group are not where it says")
        size, _, place = head.number(8), head.number(8), head.number(8)
        names = self._reader.read(place, size)
        for node in self._leaves(tree):
            head = Parts(self._reader.read(node, 8))
            if head.take(6)[:4] != b"SNOD":
                raise Fault("a list of a group is not where it says")
            entries = Parts(self._reader.read(node + 8, 40 * head.number(2)))
            while entries.left:
                begin, address, cache = entries.number(8), entries.number(8), entries.number(4)
                entries.take(20)
                end = names.find(b"\0", begin)
                if not 0 <= begin <= end:
                    raise Fault("a name of a group is not where it says")
                yield names[begin:end], _UNDEFINED if cache == 2 else address  # 2: a soft link

    def _leaves(self, tree: int) -> Iterator[int]:
        """Give where the leaves of a tree lie, in their order."""
        pending = [(tree, _MOST_LEVELS)]
        while pending:
            address, below = pending.pop()
            self._once(address, "a part of a group")
            level, children = tree_node(self._reader, address, 0, 8)
            if level >= below:
                raise Fault("a tree of its is deeper than it says")
            places = [place for _, place in children]
            if level:
                pending += [(place, level) for place in reversed(places)]
            else:
                yield from places


def tree_node(reader: Reader, address: int, kind: int, key: int) -> tuple[int, list[tuple[bytes, int]]]:
    """Read a node of a tree: its level, and its keys with the places that they lead to.

    Args:
        reader: Reads the file.
        address: Where it lies.
        kind: 0 for groups, 1 for chunks.
        key: Bytes of a key.
    """
    head = Parts(reader.read(address, 24))
    if head.take(4) != b"TREE" or head.number(1) != kind:
        raise Fault("a tree of its is not where it says")
    level, count = head.number(1), head.number(2)
    parts = Parts(reader.read(address + 24, count * (key + 8)))
    return level, [(parts.take(key), parts.number(8)) for _ in range(count)]


def _link(parts: Parts) -> tuple[bytes, int]:
    """Return name and place of a link in the newer form; no place for what is no hard link."""
    parts.take(1)
    flags = parts.number(1)
    kind = parts.number(1) if flags & 8 else 0
    parts.take((8 if flags & 4 else 0) + (1 if flags & 16 else 0))
    name = parts.take(parts.number(1 << (flags & 3)))
    return name, parts.number(8) if kind == 0 else _UNDEFINED
