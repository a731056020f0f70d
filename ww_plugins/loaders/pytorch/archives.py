"""Files that ``torch.save`` and ``pickle.dump`` write: one pickle, and the storages that it names.

========= ==============================================================================================================
zip       ``torch.save`` since 1.6, and TorchScript: ``NAME/data.pkl``, and each storage in ``NAME/data/KEY``, stored
legacy    ``torch.save`` before: five pickles (a magic number, a version, the system, the object, the keys of its
          storages), then the storages, each behind its count of numbers
plain     ``pickle.dump``: one pickle; a storage is the bytes of a legacy file within it
========= ==============================================================================================================
"""

from __future__ import annotations

import struct
import zipfile
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, BinaryIO

import ww_core as ww
from ww_core.loading.contents import BITS
from ww_core.loading.names import quoted
from ww_plugins.loaders.pytorch.magic import LEGACY_MAGIC, ZIP_MAGIC
from ww_plugins.loaders.pytorch.pickles import (
    LOADS_A_PICKLE,
    Call,
    Extent,
    Global,
    Persistent,
    Pickle,
    PickleFault,
    PickleReader,
)

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_PARTS = ("its magic number", "its version", "its description of a system", "its pickle", "its list of keys")
_UNREAD = f"{LOADS_A_PICKLE} with what cannot be read"
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_UTF8 = 0x800  # a zip's mark for names that are
_MOST_DIRECTORY = 1 << 23  # bytes of a zip's directory: a storage takes about eighty
_MOST_TOLD = 1 << 26

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


@dataclass(frozen=True, slots=True)
class Storage:
    """A row of numbers in a file.

    Attributes:
        dtype: NumPy's name of what it holds, as far as it says.
        offset: Where it begins in the file.
        nbytes: Its bytes, all of them in the file.
    """

    dtype: str
    offset: int
    nbytes: int


class Archive(ABC):
    """One pickle, and where the storages lie that it names.

    Attributes:
        file: The file.
        pickle: The pickle.
        big_endian: Whether the bytes of a number are.
        to_be_told: Characters that may still be told of tensors that are no row of numbers: what many of them share
            takes little room in a file, and is told of each.
    """

    big_endian = False

    def __init__(self, file: ww.Source, reader: PickleReader, pickle: Pickle) -> None:
        self.file = file
        self.pickle = pickle
        self.to_be_told = min(_MOST_TOLD, 1_000_000 + 16 * file.size)
        self._reader = reader
        self._within: dict[Extent, _Legacy | str] = {}

    def look_within(self) -> None:
        """Read the pickles within this one, for what they call. One that is damaged is a fault if a tensor needs it."""
        for call in self.pickle.within:
            try:
                self._read_within(call)
            except ww.CorruptFileError:
                self.pickle.called[_UNREAD] = None

    def storage(self, named: object) -> Storage:
        """Find a storage that the pickle names.

        Raises:
            CorruptFileError: It is none, or the file does not hold it whole.
        """
        if isinstance(named, Call):
            return self._storage_within(named)
        dtype, key, count, view = _told(named, self.file)
        found = self._find(key)
        if found is None:
            raise ww.CorruptFileError(f"{self.file.label}: storage {quoted(key)} is missing from the file")
        (begin, size), item = found, ITEM_SIZES[dtype]
        if size != count * item:
            raise ww.CorruptFileError(
                f"{self.file.label}: storage {quoted(key)} is said to have {count * item} bytes, and has {size}"
            )
        # A legacy storage may be a part of another one, under whose key the bytes are.
        first, length = view or (0, count)
        if first + length > count:
            raise ww.CorruptFileError(f"{self.file.label}: a part of storage {quoted(key)} lies outside of it")
        return Storage(dtype, begin + first * item, length * item)

    @abstractmethod
    def _find(self, key: str) -> tuple[int, int] | None:
        """Return offset and bytes of a storage; None if there is none of that key."""

    def _storage_within(self, call: Call) -> Storage:
        within = self._read_within(call)
        if isinstance(within.pickle.root, Call):
            raise ww.CorruptFileError(f"{self.file.label}: a storage is given by the bytes of something else")
        return within.storage(within.pickle.root)

    def _read_within(self, call: Call) -> _Legacy:
        """Read a pickle within this one, once for each place in the file, however many calls name it."""
        content = call.arguments[0] if call.calls(LOADS_A_PICKLE) and call.arguments else None
        if not isinstance(content, Extent):
            raise ww.CorruptFileError(f"{self.file.label}: a storage is given by what are no bytes")
        if content not in self._within:
            self._within[content] = self._read_at(content)
        within = self._within[content]
        if isinstance(within, str):
            raise ww.CorruptFileError(within)
        return within

    def _read_at(self, place: Extent) -> _Legacy | str:
        """Read a pickle within this one, and add what it calls to what this one does; the reason if it is damaged."""
        try:
            within = _Legacy.read(self.file, self._reader, place.offset, place.offset + place.length)
        except ww.CorruptFileError as error:
            return str(error)
        self.pickle.called |= within.pickle.called
        self.pickle.named |= within.pickle.named
        if within.pickle.within:  # nobody's pickles are nested deeper
            self.pickle.called[_UNREAD] = None
        return within


def open_archive(file: ww.Source, handle: BinaryIO) -> Archive:
    """Read the pickle of a file, and find out how it keeps its storages.

    Args:
        file: The file.
        handle: The same, open for reading.

    Raises:
        CorruptFileError: It is damaged, or none of these.
    """
    head = handle.read(len(LEGACY_MAGIC))
    reader = PickleReader(handle, file.budget)
    archive: Archive
    if head.startswith(ZIP_MAGIC):
        archive = _Zip.read(file, reader)
    elif head == LEGACY_MAGIC:
        archive = _Legacy.read(file, reader, 0, file.size)
    else:
        archive = _Plain(file, reader, _pickle_at(file, reader, 0, file.size))
    archive.look_within()
    return archive


def _pickle_at(file: ww.Source, reader: PickleReader, start: int, end: int, what: str = "its pickle") -> Pickle:
    try:
        reader.file.seek(start)
        return reader.read(end)
    except PickleFault as fault:
        raise ww.CorruptFileError(f"{file.label}: {what} cannot be read: {fault}") from None
    except OSError as error:
        raise ww.SourceError(f"{file.label}: it cannot be read: {error.strerror}") from None


def _told(named: object, file: ww.Source) -> tuple[str, str, int, tuple[int, int] | None]:
    """What a persistent identifier tells of a storage: dtype, key, count of numbers, and of a part its place."""
    told = named.id if isinstance(named, Persistent) else None
    if not (isinstance(told, tuple) and len(told) >= 5 and told[0] == "storage" and isinstance(told[1], Global)):
        raise ww.CorruptFileError(f"{file.label}: a tensor has no storage that could be read")
    _, kind, key, _, count, *more = told
    name = kind.name.removesuffix("Storage")
    if name not in STORAGE_TYPES:
        raise ww.CorruptFileError(f"{file.label}: a storage is of the unknown type {quoted(str(kind))}")
    if not isinstance(key, str) or not _is_length(count):
        raise ww.CorruptFileError(f"{file.label}: storage {quoted(key)} is said to hold {quoted(count)} numbers")
    view = more[0] if more else None
    if view is None:
        return STORAGE_TYPES[name], key, count, None
    if not (isinstance(view, tuple) and len(view) == 3 and _is_length(view[1]) and _is_length(view[2])):
        raise ww.CorruptFileError(f"{file.label}: a part of storage {quoted(key)} lies outside of it")
    return STORAGE_TYPES[name], key, count, (view[1], view[2])


def _is_length(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**62


class _Zip(Archive):
    """``torch.save`` since 1.6, and TorchScript."""

    @classmethod
    def read(cls, file: ww.Source, reader: PickleReader) -> _Zip:
        handle = reader.file
        entries = _directory(file, handle)
        pickles = [name for name in entries if name.rpartition("/")[2] == "data.pkl" and name.count("/") == 1]
        if len(pickles) != 1:
            what = "has several data.pkl" if pickles else "has no data.pkl, so it is no file of torch.save"
            raise ww.CorruptFileError(f"{file.label}: this zip archive {what}")
        offset, size = _extent(entries[pickles[0]], file, handle)
        archive = cls(file, reader, _pickle_at(file, reader, offset, offset + size, pickles[0]))
        archive._entries = entries
        archive._folder = pickles[0].removesuffix("data.pkl")
        order = entries.get(f"{archive._folder}byteorder")
        if order is not None:
            offset, size = _extent(order, file, handle)
            archive.big_endian = _bytes(handle, offset, min(size, 8)) == b"big"
        return archive

    _entries: dict[str, zipfile.ZipInfo]
    _folder: str

    def _find(self, key: str) -> tuple[int, int] | None:
        entry = self._entries.get(f"{self._folder}data/{key}")
        return None if entry is None else _extent(entry, self.file, self._reader.file)


def _directory(file: ww.Source, handle: BinaryIO) -> dict[str, zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(_Frugal(handle)) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error, OverflowError, EOFError) as error:
        raise ww.CorruptFileError(f"{file.label}: a zip archive that is cut short or damaged: {error}") from None
    except OSError as error:
        raise ww.CorruptFileError(f"{file.label}: a zip archive that is damaged: {error.strerror or error}") from None
    by_name = {entry.filename: entry for entry in entries}
    if len(by_name) < len(entries):
        raise ww.CorruptFileError(f"{file.label}: two entries of the archive have one name")
    return by_name


class _Frugal:
    """A file of which ``zipfile`` gets no more at once than a directory needs, whatever size the archive claims."""

    def __init__(self, handle: BinaryIO) -> None:
        self._handle = handle
        self.seek, self.tell, self.seekable = handle.seek, handle.tell, handle.seekable

    def read(self, count: int = -1) -> bytes:
        if not 0 <= count <= _MOST_DIRECTORY:
            count = _MOST_DIRECTORY + 1
        content = self._handle.read(count)
        if len(content) > _MOST_DIRECTORY:
            raise ValueError(f"its directory has more than {_MOST_DIRECTORY} bytes")
        return content


def _extent(entry: zipfile.ZipInfo, file: ww.Source, handle: BinaryIO) -> tuple[int, int]:
    """Return where the bytes of a stored entry lie, and how many they are.

    Raises:
        CorruptFileError: It is compressed or encrypted, or the archive contradicts itself.
    """
    where = f"{file.label}: entry {quoted(entry.filename)}"
    if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
        raise ww.CorruptFileError(
            f"{where} is compressed or encrypted, as torch.save never does it: unpack and save it again"
        )
    if entry.compress_size != entry.file_size or not 0 <= entry.header_offset < file.size:
        raise ww.CorruptFileError(f"{where} has a size or a place that cannot be")
    local = _bytes(handle, entry.header_offset, _LOCAL_HEADER.size)
    if len(local) < _LOCAL_HEADER.size:
        raise ww.CorruptFileError(f"{where} is cut short")
    magic, *_, name_length, extra_length = _LOCAL_HEADER.unpack(local)
    if magic != ZIP_MAGIC:
        raise ww.CorruptFileError(f"{where} is not where the directory says")
    name = _bytes(handle, entry.header_offset + len(local), name_length)
    if name != entry.orig_filename.encode("utf-8" if entry.flag_bits & _UTF8 else "cp437"):
        raise ww.CorruptFileError(f"{where} has another name in its place than in the directory")
    offset = entry.header_offset + len(local) + name_length + extra_length
    if offset + entry.file_size > file.size:
        raise ww.CorruptFileError(f"{where} is cut short")
    return offset, entry.file_size


def _bytes(handle: BinaryIO, offset: int, count: int) -> bytes:
    handle.seek(offset)
    return handle.read(count)


class _Legacy(Archive):
    """``torch.save`` before 1.6, in a file of its own or within a pickle."""

    _places: dict[str, tuple[int, int]]

    @classmethod
    def read(cls, file: ww.Source, reader: PickleReader, start: int, end: int) -> _Legacy:
        parts: list[Pickle] = []
        for what in _PARTS:
            parts.append(_pickle_at(file, reader, start, end, what))
            start = reader.file.tell()
        magic, version, _, content, keys = parts
        if magic.root != _MAGIC_NUMBER or version.root != _PROTOCOL:
            raise ww.CorruptFileError(f"{file.label}: it is written in an unknown way: {quoted(version.root)}")
        for part in parts:
            content.called |= part.called
            content.named |= part.named
        archive = cls(file, reader, content)
        reader.file.seek(start)
        archive._places = _legacy_places(file, reader.file, content, keys.root, end)
        return archive

    def _find(self, key: str) -> tuple[int, int] | None:
        return self._places.get(key)


def _legacy_places(
    file: ww.Source, handle: BinaryIO, content: Pickle, keys: Any, end: int
) -> dict[str, tuple[int, int]]:
    """Go through the storages behind the pickles: each begins with its count, and its key says of what."""
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise ww.CorruptFileError(f"{file.label}: its list of keys is none")
    told = {}
    for named in content.persistent:
        if isinstance(named.id, tuple) and named.id[:1] == ("storage",):
            dtype, key, _, _ = _told(named, file)
            told[key] = dtype
    places: dict[str, tuple[int, int]] = {}
    offset = handle.tell()
    for key in keys:
        counted = _bytes(handle, offset, 8)
        if len(counted) < 8 or key not in told or key in places:
            raise ww.CorruptFileError(f"{file.label}: storage {quoted(key)} is cut short, or of no tensor")
        size = int.from_bytes(counted, "little", signed=True) * ITEM_SIZES[told[key]]
        if not 0 <= size <= end - offset - 8:
            raise ww.CorruptFileError(
                f"{file.label}: storage {quoted(key)} is cut short: it has {size} bytes, "
                f"and {end - offset - 8} are there"
            )
        places[key] = (offset + 8, size)
        offset += 8 + size
    return places


class _Plain(Archive):
    """``pickle.dump``: whatever storages there are lie in the pickle itself."""

    def _find(self, key: str) -> None:  # noqa: ARG002 - there are none to be found
        return None
