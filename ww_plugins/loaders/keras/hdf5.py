"""HDF5, read strictly: no link but hard ones is followed, no other file is opened, and every byte that is read counts.

HDF5's library follows whatever a file says: links into other files, datasets whose numbers lie in any file of the
machine. So the file is handed to it as an object that gives bytes of this one file, every link is looked at before it
is followed, and every dataset before it is read.
"""

from __future__ import annotations

import io
import itertools
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

import ww_core as ww
from ww_core.loading.names import fault_of_name, legible, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ww_core.loading.mapped import StoredTensor

MAGIC = b"\x89HDF\r\n\x1a\n"
"""How a file begins."""

_LONGEST_ATTRIBUTE = 16_000_000  # bytes: the configuration of a model


@dataclass(frozen=True, slots=True)
class Extent:
    """Where an HDF5 file lies in a file of this machine or another: alone, or in an archive."""

    file: ww.Source
    begin: int
    size: int


@dataclass(slots=True)
class Group:
    """A group of an HDF5 file.

    Attributes:
        name: Its name in the group above.
        address: Where it is described in the file: groups that were written first have the lower ones.
        path: Names from the root, with slashes.
        groups: The groups in it, by name.
        tensors: The datasets in it, by name.
        texts: Its attributes that are texts or lists of them, as far as they were asked for.
    """

    name: str
    address: int
    path: str
    groups: dict[str, Group] = field(default_factory=dict)
    tensors: dict[str, Placed] = field(default_factory=dict)
    texts: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Placed:
    """A dataset, and where it is described in the file."""

    address: int
    tensor: StoredTensor


def read_groups(extent: Extent, wanted: frozenset[str], left_out: frozenset[str]) -> Group:
    """Read what a file holds: its groups and where the numbers of its datasets lie.

    Args:
        extent: The file.
        wanted: Names of the attributes that are read, wherever they stand.
        left_out: Names of groups at the root that are not looked into.

    Raises:
        CorruptFileError: It is damaged, or leads to other files or to other places in it.
        SourceError: It takes more than the budget, or cannot be read.
        MissingExtraError: h5py is not installed.
    """
    with opened(extent, lambda nbytes: extent.file.budget.take("text", nbytes)) as root:
        return _Walk(extent, wanted, left_out).group(root, "", "", 0)


@contextmanager
def opened(extent: Extent, pay: Callable[[int], object] = lambda _: None) -> Iterator[Any]:
    """Open a file by h5py and give its root; whatever h5py raises is an error of ww's.

    Args:
        extent: The file.
        pay: Is told how many bytes are read, before they are; it may refuse by an error of ww's.
    """
    try:
        import h5py
    except ImportError:
        raise ww.MissingExtraError(
            f"{extent.file.label}: reading Keras needs h5py: pip install 'ww-core[keras]'"
        ) from None
    with extent.file.open() as handle:
        window = _Window(handle, extent, pay)
        try:
            with h5py.File(window, "r") as found:
                yield found.id
        except ww.WWError:
            raise
        except Exception as error:  # noqa: BLE001 - h5py raises errors of any class for a damaged file
            if window.refusal is not None:
                raise window.refusal from None
            said = legible(" ".join(str(error).split()))[:200] or type(error).__name__
            raise ww.CorruptFileError(
                f"{extent.file.label}: an HDF5 file that is cut short or damaged: {said}"
            ) from None


class _Window(io.RawIOBase):
    """The bytes of an HDF5 file, wherever it lies; what is read of it draws on a budget."""

    def __init__(self, handle: BinaryIO, extent: Extent, pay: Callable[[int], object]) -> None:
        super().__init__()
        self.refusal: ww.SourceError | None = None
        self._handle, self._extent, self._pay = handle, extent, pay
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._extent.size}[whence]
        self._place = base + offset
        return self._place

    def readinto(self, buffer: Any) -> int:
        wanted = len(buffer)
        if not 0 <= self._place <= self._extent.size - wanted:
            raise OSError("it names bytes behind its end")
        try:
            self._pay(wanted)
        except ww.SourceError as refusal:
            self.refusal = refusal  # HDF5 makes an error of its own of whatever is raised here
            raise
        self._handle.seek(self._extent.begin + self._place)
        content = self._handle.read(wanted)
        if len(content) < wanted:
            raise OSError("the file ends early")
        buffer[:] = content
        self._place += wanted
        return wanted


class _Walk:
    """Goes through the groups of a file, each once."""

    def __init__(self, extent: Extent, wanted: frozenset[str], left_out: frozenset[str]) -> None:
        self._extent, self._wanted, self._left_out = extent, wanted, left_out
        self._label, self._budget = extent.file.label, extent.file.budget
        self._seen: set[int] = set()

    def group(self, group_id: Any, name: str, path: str, depth: int) -> Group:
        """Read a group and all in it."""
        from h5py import h5d, h5g, h5o

        if depth > self._budget.depth:
            raise ww.CorruptFileError(f"{self._label}: groups are nested deeper than {self._budget.depth} levels")
        address = h5o.get_info(group_id).addr
        if address in self._seen:
            raise ww.CorruptFileError(f"{self._label}: the group {quoted(path)} is also in another place of the file")
        self._seen.add(address)
        found = Group(name, address, path, texts=self._texts(group_id))
        for raw, inner in self._names(group_id, path):
            if not depth and inner in self._left_out:
                continue
            inner_path = f"{path}/{inner}" if path else inner
            self._budget.take("names", len(inner_path))
            held = h5o.open(group_id, raw)
            if isinstance(held, h5g.GroupID):
                found.groups[inner] = self.group(held, inner, inner_path, depth + 1)
            elif isinstance(held, h5d.DatasetID):
                found.tensors[inner] = self._dataset(held, inner_path)
        return found

    def _names(self, group_id: Any, path: str) -> list[tuple[bytes, str]]:
        """List the names in a group. What is no hard link is refused before anything is looked up under it."""
        names: list[tuple[bytes, str]] = []
        refusals: list[ww.WWError] = []

        def keep(raw: bytes, info: Any) -> bool | None:
            try:
                names.append((raw, self._name_of_link(raw, info, path)))
            except ww.WWError as refusal:
                refusals.append(refusal)  # what is raised here would go through code in C that does not expect it
                return True
            return None

        group_id.links.iterate(keep, info=True)
        if refusals:
            raise refusals[0]
        return names

    def _name_of_link(self, raw: bytes, info: Any, path: str) -> str:
        from h5py import h5l

        self._budget.take("visits")
        self._budget.take("names", len(raw))
        name = raw.decode(errors="surrogateescape")
        if info.type != h5l.TYPE_HARD:
            raise ww.CorruptFileError(
                f"{self._label}: {quoted(name)} in group {quoted(path or '/')} is a link to another place or file, "
                "which is not followed: copy what it links to into the file"
            )
        if fault := fault_of_name(name):
            raise ww.CorruptFileError(f"{self._label}: {fault}")
        return name

    def _dataset(self, dataset: Any, path: str) -> Placed:
        from h5py import h5o

        from ww_plugins.loaders.keras.datasets import stored_tensor

        self._budget.take("tensors")
        if fault := fault_of_name(path):
            raise ww.CorruptFileError(f"{self._label}: {fault}")
        address = h5o.get_info(dataset).addr
        return Placed(address, stored_tensor(dataset, path, address, self._extent))

    def _texts(self, object_id: Any) -> dict[str, tuple[str, ...]]:
        """Read the attributes that are wanted: texts, and lists of texts of a fixed length."""
        found = {}
        for name in self._wanted:
            texts = self._listed(object_id, (name,))
            if texts is None:
                texts = self._listed(object_id, _numbered(name))
            if texts is not None:
                found[name] = tuple(texts)
        return found

    def _listed(self, object_id: Any, names: Iterable[str]) -> list[str] | None:
        """Read attributes up to the first one that is not there; None if that is the first."""
        from h5py import h5a

        found: list[str] | None = None
        for name in names:
            if not h5a.exists(object_id, name.encode()):
                break
            self._budget.take("visits")
            found = (found or []) + self._text(h5a.open(object_id, name.encode()), name)
        return found

    def _text(self, attribute: Any, name: str) -> list[str]:
        import math

        import numpy as np
        from h5py import h5s, h5t

        kind, space = attribute.get_type(), attribute.get_space()
        if not isinstance(kind, h5t.TypeStringID) or space.get_simple_extent_type() == h5s.NULL:
            return []
        shape = space.get_simple_extent_dims() or ()
        count, varies = math.prod(shape), kind.is_variable_str()
        if varies and count != 1:
            return []  # each may be as long as the file: an order that is given so is not worth that
        size = count * kind.get_size()
        if size > _LONGEST_ATTRIBUTE:
            raise ww.CorruptFileError(f"{self._label}: the attribute {quoted(name)} claims to have {size} bytes")
        self._budget.take("text", size)
        self._budget.take("visits", count)
        if varies:
            read = np.empty(shape, dtype=kind.dtype)
            attribute.read(read)
            texts = [read.reshape(-1)[0]]
        else:
            read = np.empty(shape, dtype=f"S{kind.get_size()}")
            attribute.read(read)
            texts = read.reshape(-1).tolist()
        return [text.decode(errors="replace") if isinstance(text, bytes) else str(text) for text in texts]


def _numbered(name: str) -> Iterator[str]:
    """Name the attributes that a list is stored in which is too long for one."""
    return (f"{name}{number}" for number in itertools.count())
