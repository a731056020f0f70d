"""Files that ``torch.save`` and ``pickle.dump`` write: one pickle, and the storages that it names.

========= ==============================================================================================================
zip       ``torch.save`` since 1.6, and TorchScript: ``NAME/data.pkl``, and each storage in ``NAME/data/KEY``, stored
legacy    ``torch.save`` before: five pickles (a magic number, a version, the system, the object, the keys of its
          storages), then the storages, each behind its count of numbers
plain     ``pickle.dump``: one pickle; a storage is the bytes of a legacy file within it
========= ==============================================================================================================
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from typing import Any, BinaryIO, NamedTuple

import ww_core as ww
from ww_core.loading.impostors import HEAD, impostor_in_zip, unreadable
from ww_core.loading.names import quoted
from ww_core.loading.zips import ZIP_MAGIC, Directory, Entry, shown
from ww_plugins.loaders.pytorch.magic import LEGACY_MAGIC
from ww_plugins.loaders.pytorch.pickles import (
    LOADS_A_PICKLE,
    Call,
    Extent,
    Pickle,
    PickleFault,
    PickleReader,
)
from ww_plugins.loaders.pytorch.storages import ITEM_SIZES, Storage, told_of

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_PARTS = ("its magic number", "its version", "its description of a system", "its pickle", "its list of keys")
_UNREAD = f"{LOADS_A_PICKLE} with what cannot be read"
_PICKLE, _CONSTANTS = b"data.pkl", b"constants.pkl"
_PROTO = b"\x80"  # how pickles begin since Python 2.3
_MOST_TOLD = 1 << 24


class _Place(NamedTuple):
    """Where the bytes of a storage lie, and what the file says of them."""

    offset: int
    size: int
    checksums: tuple[ww.Checksum, ...] = ()


class Archive(ABC):
    """One pickle, and where the storages lie that it names.

    Attributes:
        file: The file.
        pickle: The pickle.
        big_endian: Whether the bytes of a number are.
        is_scripted: Whether it is TorchScript, whose types are of the module ``__torch__``.
        checksums: What the file says of the bytes of the pickle.
        to_be_told: Characters that may still be told of tensors that are no row of numbers: what many of them share
            takes little room in a file, and is told of each.
        constants: What the code of TorchScript calls its constants; None if it has none.
    """

    big_endian = False
    is_scripted = False
    checksums: tuple[ww.Checksum, ...] = ()
    constants: Archive | None = None

    def __init__(self, file: ww.Source, reader: PickleReader, pickle: Pickle) -> None:
        self.file = file
        self.pickle = pickle
        self.to_be_told = min(_MOST_TOLD, 1_000_000 + file.size)
        self._reader = reader
        self._within: dict[Extent, _Legacy | str] = {}

    def code_of(self, module: str) -> str:  # noqa: ARG002 - only archives of TorchScript have some
        """Return the code of a module of TorchScript, which defines types; empty if there is none."""
        return ""

    def look_within(self) -> None:
        """Read the pickles within this one, for what they call. One that is damaged is a fault if a tensor needs it."""
        for call in self.pickle.within:
            try:
                self._read_within(call)
            except ww.CorruptFileError:
                self.pickle.called[_UNREAD] = None
        if self.constants is not None:
            self.constants.look_within()
            self.pickle.add_calls(self.constants.pickle)

    def storage(self, named: object) -> Storage:
        """Find a storage that the pickle names.

        Raises:
            CorruptFileError: It is none, or the file does not hold it whole.
        """
        if isinstance(named, Call):
            return self._storage_within(named)
        told = told_of(named, self.file)
        found, item = self._find(told.key), ITEM_SIZES[told.dtype]
        if found is None:
            raise ww.CorruptFileError(f"{self.file.label}: storage {quoted(told.key)} is missing from the file")
        if found.size != told.numbers * item:
            raise ww.CorruptFileError(
                f"{self.file.label}: storage {quoted(told.key)} is said to have {told.numbers * item} bytes, "
                f"and has {found.size}"
            )
        if told.first + told.length > told.numbers:
            raise ww.CorruptFileError(f"{self.file.label}: a part of storage {quoted(told.key)} lies outside of it")
        for key in (told.key, told.part_key):
            if key in self._contradicted:
                raise ww.CorruptFileError(
                    f"{self.file.label}: storage {quoted(key)} is told of in two ways, of which PyTorch uses the first"
                )
        return Storage(told.dtype, found.offset + told.first * item, told.length * item, found.checksums)

    @functools.cached_property
    def _contradicted(self) -> frozenset[str]:
        """Keys under which the pickle names several things."""
        first: dict[str, tuple[str, str, int, int, int]] = {}
        contradicted = set()
        for named in self.pickle.persistent:
            try:
                told = told_of(named, self.file)
            except ww.CorruptFileError:
                continue  # what needs this one will say so
            whole = (told.dtype, told.key, told.numbers, 0, told.numbers)
            part = (told.dtype, told.key, told.numbers, told.first, told.length)
            for key, what in ((told.key, whole), (told.part_key, part)):
                if first.setdefault(key, what) != what:
                    contradicted.add(key)
        return frozenset(contradicted)

    @abstractmethod
    def _find(self, key: str) -> _Place | None:
        """Return where a storage lies; None if there is none of that key."""

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
        self.pickle.add_calls(within.pickle)
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
        archive = _Plain.read(file, reader, head)
        if archive.pickle.root == _MAGIC_NUMBER:  # by torch.save, in another protocol than the usual one
            archive = _Legacy.read(file, reader, 0, file.size)
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


class _Zip(Archive):
    """``torch.save`` since 1.6, and TorchScript."""

    @classmethod
    def read(cls, file: ww.Source, reader: PickleReader) -> _Zip:
        directory = Directory(file, reader.file)
        folder = _folder_of(directory, file)
        archive = cls._read(file, reader, directory, folder, _PICKLE, b"data/")
        archive.big_endian = _is_big_endian(directory, folder, reader.file, file)
        constants = directory.find(folder + _CONSTANTS)
        archive.is_scripted = constants is not None
        if constants is not None:
            archive.constants = cls._read(file, reader, directory, folder, _CONSTANTS, b"constants/")
            archive.constants.big_endian = archive.big_endian
        return archive

    @classmethod
    def _read(
        cls, file: ww.Source, reader: PickleReader, directory: Directory, folder: bytes, pickle: bytes, storages: bytes
    ) -> _Zip:
        """Read one pickle of an archive, whose storages lie in a folder of their own."""
        offset, size, checksums = _placed(directory, directory.entries[folder + pickle], file)
        archive = cls(file, reader, _pickle_at(file, reader, offset, offset + size, shown(folder + pickle)))
        archive.checksums = checksums
        archive._directory = directory
        archive._folder = folder
        archive._storages = storages
        return archive

    _directory: Directory
    _folder: bytes
    _storages: bytes

    def code_of(self, module: str) -> str:
        """Return the code of a module of TorchScript, which defines types; empty if there is none."""
        name = self._folder + f"code/{module.replace('.', '/')}.py".encode(errors="surrogatepass")
        entry = self._directory.find(name)
        if entry is None:
            return ""
        if entry.method:
            return self._directory.unpacked(entry, "text").decode(errors="replace")
        offset, size, _ = self._directory.content(entry)
        self.file.budget.take("text", size)
        return _bytes(self._reader.file, offset, size).decode(errors="replace")

    def _find(self, key: str) -> _Place | None:
        entry = self._directory.find(self._folder + self._storages + key.encode(errors="surrogatepass"))
        return None if entry is None else _placed(self._directory, entry, self.file)


def _is_big_endian(directory: Directory, folder: bytes, handle: BinaryIO, file: ww.Source) -> bool:
    order = directory.find(folder + b"byteorder")
    if order is None:
        return False
    offset, size, _ = directory.content(order)
    told = _bytes(handle, offset, min(size, 8))
    if told not in {b"little", b"big"}:
        raise ww.CorruptFileError(f"{file.label}: its byte order is {quoted(told)}, not little or big")
    return told == b"big"


def _placed(directory: Directory, entry: Entry, file: ww.Source) -> _Place:
    offset, size, crc32 = directory.content(entry)
    checksum = ww.Checksum(ww.FileRange(file, offset, size), crc32, f"entry {quoted(shown(entry.name))}")
    return _Place(offset, size, (checksum,) if crc32 else ())


def _folder_of(directory: Directory, file: ww.Source) -> bytes:
    """Return the folder in an archive, with its slash, in which ``torch.load`` looks for everything.

    Raises:
        CorruptFileError: No pickle of ``torch.save`` is there.
    """
    pickles = [name for name in directory.entries if name.lower().endswith(b"/data.pkl") and name.count(b"/") == 1]
    if len(pickles) > 1:
        raise ww.CorruptFileError(f"{file.label}: this zip archive has several data.pkl")
    first = next(iter(directory.entries), b"")
    folder = first[: first.find(b"/") + 1]
    if not pickles:
        found = impostor_in_zip(map(shown, directory.entries))
        seems = f"; it seems to be {found}" if found else ""
        raise ww.CorruptFileError(
            f"{file.label}: this zip archive has no data.pkl, so it is no file of torch.save{seems}"
        )
    if pickles[0] != folder + _PICKLE:
        raise ww.CorruptFileError(
            f"{file.label}: PyTorch looks for data.pkl in the folder of the archive's first entry, "
            f"{quoted(shown(first))}, and it is {quoted(shown(pickles[0]))}: save the file again by torch.save"
        )
    return folder


def _bytes(handle: BinaryIO, offset: int, count: int) -> bytes:
    handle.seek(offset)
    return handle.read(count)


class _Legacy(Archive):
    """``torch.save`` before 1.6, in a file of its own or within a pickle."""

    _places: dict[str, _Place]

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
            content.add_calls(part)
        archive = cls(file, reader, content)
        reader.file.seek(start)
        archive._places = _legacy_places(file, reader.file, content, keys.root, end)
        return archive

    def _find(self, key: str) -> _Place | None:
        return self._places.get(key)


def _legacy_places(file: ww.Source, handle: BinaryIO, content: Pickle, keys: Any, end: int) -> dict[str, _Place]:
    """Go through the storages behind the pickles: each begins with its count, and its key says of what."""
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise ww.CorruptFileError(f"{file.label}: its list of keys is none")
    told = {}
    for named in content.persistent:
        if isinstance(named.id, tuple) and named.id[:1] == ("storage",):
            storage = told_of(named, file)
            told[storage.key] = storage.dtype
    places: dict[str, _Place] = {}
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
        places[key] = _Place(offset + 8, size)
        offset += 8 + size
    return places


class _Plain(Archive):
    """``pickle.dump``: whatever storages there are lie in the pickle itself."""

    @classmethod
    def read(cls, file: ww.Source, reader: PickleReader, head: bytes) -> _Plain:
        try:
            return cls(file, reader, _pickle_at(file, reader, 0, file.size))
        except ww.CorruptFileError:
            if head.startswith(_PROTO):
                raise
            # Any text may be a pickle of the oldest protocols, so only one that is none is looked at.
            seems = unreadable(file.head(HEAD))
            raise ww.CorruptFileError(f"{file.label}: it seems to be {seems}; as a pickle it cannot be read") from None

    def _find(self, key: str) -> None:  # noqa: ARG002 - there are none to be found
        return None
