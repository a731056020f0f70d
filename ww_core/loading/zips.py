"""The directory of a zip archive, read so that no other reader can see other entries in it.

A zip archive says most things twice, and readers differ in which of the two they believe: PyTorch's finds names without
regard to case, stops at a NUL and never looks at what the header before an entry says; others do the opposite. So an
archive that contradicts itself is refused, instead of being read in one of several ways.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from ww_core.errors import CorruptFileError, SourceError
from ww_core.loading.names import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ww_core.contracts.budget import Resource
    from ww_core.contracts.source import Source

ZIP_MAGIC = b"PK\3\4"
"""How an archive with entries begins, and the header before each."""

_END = struct.Struct("<4s4H2IH")
_END_64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR_64 = struct.Struct("<4sIQI")
_HEADER = struct.Struct("<4s6H3I5H2I")
_LOCAL = struct.Struct("<4s5H3I2H")
_END_MAGIC, _END_64_MAGIC, _LOCATOR_64_MAGIC, _HEADER_MAGIC = b"PK\5\6", b"PK\6\6", b"PK\6\7", b"PK\1\2"
_LONGEST_COMMENT = 0xFFFF
_MOST_DIRECTORY = 1 << 23  # bytes: a storage takes about eighty
_MAX_16, _MAX_32 = 0xFFFF, 0xFFFFFFFF  # the number stands in a field of zip64

_ENCRYPTED = 0x2061  # every flag that says that the bytes are not the content
_FOLLOWED = 0x8  # the local header leaves sizes and checksum to a record behind the content
_UTF8 = 0x800
_IS_FOLDER = 0x10  # among the attributes of MS-DOS
_ZIP64_FIELD = 1
_DEFLATED = 8

_ANEW = "ask its author to write it again"


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry, as the directory tells of it.

    Attributes:
        name: Its name, as its bytes.
        header: Where its local header begins.
        packed: Bytes that it takes in the archive.
        size: Bytes of its content.
        checksum: CRC-32 of its content; 0 where it was not computed.
        method: How it is compressed; 0: not at all.
        flags: What is said of it in bits.
        attributes: What a file system is to know of it.
    """

    name: bytes
    header: int
    packed: int
    size: int
    checksum: int
    method: int
    flags: int
    attributes: int


class Content(NamedTuple):
    """Where an entry lies in the archive, and the CRC-32 of its content; 0 where that was not computed."""

    offset: int
    size: int
    checksum: int


class _Fault(Exception):  # noqa: N818 - a reason, put into a sentence by who knows the file
    """In what an archive contradicts itself."""


class Directory:
    """The entries of an archive.

    Attributes:
        entries: The entries by name, in the order of the directory.
        begin: Where the directory begins, and all entries have ended.
    """

    def __init__(self, file: Source, handle: BinaryIO) -> None:
        """Read the directory.

        Args:
            file: The archive.
            handle: The same, open for reading.

        Raises:
            CorruptFileError: It is damaged, or can be read in two ways.
            SourceError: It cannot be read.
        """
        self._file, self._handle = file, handle
        self.entries: dict[bytes, Entry] = {}
        self._folded: dict[str, Entry] = {}
        try:
            count, size, self.begin = self._end()
            if size > _MOST_DIRECTORY:
                raise SourceError(
                    f"{file.label}: its directory of {count:,} entries has more than {_MOST_DIRECTORY:,} bytes: "
                    "save the weights alone, in several files if they are so many"
                )
            self._add(_headers(self._bytes(self.begin, size), count))
        except _Fault as fault:
            raise CorruptFileError(f"{file.label}: a zip archive that is cut short or damaged: {fault}") from None
        except OSError as error:
            raise SourceError(f"{file.label}: it cannot be read: {error.strerror or error}") from None

    def find(self, name: bytes) -> Entry | None:
        """Return the entry of a name; None if there is none.

        Raises:
            CorruptFileError: There is one whose name some readers take for this one.
        """
        found = self._folded.get(shown(name).casefold())
        if found is not None and found.name != name:
            raise CorruptFileError(
                f"{self._file.label}: the entry {quoted(shown(found.name))} of this zip archive is taken for "
                f"{quoted(shown(name))} by some readers: {_ANEW}"
            )
        return found

    def content(self, entry: Entry) -> Content:
        """Find the content of an entry that is stored as it is.

        Raises:
            CorruptFileError: It is compressed or encrypted, or the archive contradicts itself.
        """
        where = self._where(entry)
        if entry.method or entry.flags & _ENCRYPTED:
            raise CorruptFileError(
                f"{where} is compressed or encrypted: unpack the archive, and pack it anew without compression"
            )
        if entry.packed != entry.size:
            raise CorruptFileError(f"{where} has a size or a place that cannot be")
        return self._found(entry)

    def unpacked(self, entry: Entry, resource: Resource) -> bytes:
        """Return the content of an entry that is deflated; its size and its checksum are those that it tells.

        The size is taken from the budget, as what the content is there, before anything is unpacked.

        Raises:
            SourceError: The content takes more than the budget.
            CorruptFileError: It is compressed in another way or encrypted, or the archive contradicts itself.
        """
        where = self._where(entry)
        if entry.method != _DEFLATED or entry.flags & _ENCRYPTED:
            raise CorruptFileError(f"{where} is encrypted, or compressed in a way that is not read here")
        place = self._found(entry)
        self._file.budget.take(resource, entry.size)
        unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            content = unpacker.decompress(self._bytes(place.offset, place.size), entry.size + 1)
        except zlib.error:
            raise CorruptFileError(f"{where} is damaged: it cannot be unpacked") from None
        if len(content) != entry.size or not unpacker.eof:
            raise CorruptFileError(f"{where} is damaged: it does not unpack to the {entry.size} bytes that it claims")
        if entry.checksum != zlib.crc32(content):
            raise CorruptFileError(f"{where} is damaged: its checksum differs")
        return content

    def _where(self, entry: Entry) -> str:
        return f"{self._file.label}: entry {quoted(shown(entry.name))}"

    def _found(self, entry: Entry) -> Content:
        """Find what an entry takes in the archive, as its directory and the header in its place both tell of it."""
        where = self._where(entry)
        if entry.attributes & _IS_FOLDER:
            raise CorruptFileError(f"{where} is said to be a folder, of which some readers read no bytes: {_ANEW}")
        if entry.header >= self._file.size:
            raise CorruptFileError(f"{where} has a size or a place that cannot be")
        local = self._bytes(entry.header, _LOCAL.size)
        if len(local) < _LOCAL.size:
            raise CorruptFileError(f"{where} is cut short")
        magic, _, flags, method, _, _, checksum, packed, size, name_length, extra_length = _LOCAL.unpack(local)
        if magic != ZIP_MAGIC:
            raise CorruptFileError(f"{where} is not where the directory says")
        name = self._bytes(entry.header + _LOCAL.size, name_length)
        if name != entry.name:
            raise CorruptFileError(f"{where} has another name in its place than in the directory")
        left_out = {0} if flags & _FOLLOWED else set()
        agrees = (
            method == entry.method
            and not flags & _ENCRYPTED
            and checksum in {entry.checksum, *left_out}
            and packed in {entry.packed, _MAX_32, *left_out}
            and size in {entry.size, _MAX_32, *left_out}
        )
        if not agrees:
            raise CorruptFileError(
                f"{where} is described in one way in its place and in another in the directory: {_ANEW}"
            )
        offset = entry.header + _LOCAL.size + name_length + extra_length
        if offset + entry.packed > self.begin:
            raise CorruptFileError(f"{where} is cut short")
        return Content(offset, entry.packed, entry.checksum)

    def _bytes(self, offset: int, count: int) -> bytes:
        self._handle.seek(offset)
        return self._handle.read(count)

    def _end(self) -> tuple[int, int, int]:
        """Read the records at the end: count of entries, bytes of the directory, and where it begins."""
        whole = self._file.size
        first = max(0, whole - _END.size - _LONGEST_COMMENT)
        tail = self._bytes(first, whole - first)
        place = tail.rfind(_END_MAGIC)
        if place < 0 or len(tail) - place < _END.size:
            raise _Fault("the end of its directory is missing")
        _, disk, of_disk, here, count, size, begin, comment = _END.unpack_from(tail, place)
        if len(tail) - place - _END.size != comment:
            raise _Fault("what stands behind the end of its directory is not the comment that the end tells of")
        end = first + place
        if (found := self._end_64(end)) is not None:
            large, end = found
            small = (disk, of_disk, here, count, size, begin)
            most = (_MAX_16,) * 4 + (_MAX_32,) * 2
            if any(one not in {other, limit} for one, other, limit in zip(small, large, most, strict=True)):
                raise _Fault("the two ends of its directory differ")
            disk, of_disk, here, count, size, begin = large
        if disk or of_disk or here != count or begin + size != end:
            raise _Fault("its directory is not where it says")
        return count, size, begin

    def _end_64(self, end: int) -> tuple[tuple[int, ...], int] | None:
        """Read the records of zip64 that stand before the end, and where they begin; None if there are none."""
        if end < _LOCATOR_64.size:
            return None
        magic, disk, place, disks = _LOCATOR_64.unpack(self._bytes(end - _LOCATOR_64.size, _LOCATOR_64.size))
        if magic != _LOCATOR_64_MAGIC:
            return None
        if disk or disks > 1 or place != end - _LOCATOR_64.size - _END_64.size:
            raise _Fault("its end of zip64 is not where it says")
        magic, length, _, _, *large = _END_64.unpack(self._bytes(place, _END_64.size))
        if magic != _END_64_MAGIC or length != _END_64.size - 12:
            raise _Fault("its end of zip64 is not where it says")
        return tuple(large), place

    def _add(self, entries: Iterator[Entry]) -> None:
        """Keep entries by name, each of which every reader tells from all others."""
        for entry in entries:
            if b"\0" in entry.name:
                raise CorruptFileError(
                    f"{self._file.label}: the entry {quoted(shown(entry.name))} of this zip archive has a NUL in its "
                    f"name, where some readers end it: {_ANEW}"
                )
            same = shown(entry.name).casefold()
            if same in self._folded:
                names = f"{quoted(shown(self._folded[same].name))} and {quoted(shown(entry.name))}"
                raise CorruptFileError(
                    f"{self._file.label}: two entries of this zip archive have names that some readers take for one, "
                    f"{names}: {_ANEW}"
                )
            self._folded[same] = entry
            self.entries[entry.name] = entry


def shown(name: bytes) -> str:
    """Return a name as text, for messages; torch.save writes UTF-8."""
    return name.decode(errors="backslashreplace")


def _headers(directory: bytes, count: int) -> Iterator[Entry]:
    place = 0
    for _ in range(count):
        if len(directory) - place < _HEADER.size:
            raise _Fault("its directory has fewer entries than it says")
        magic, _, _, flags, method, _, _, *numbers = _HEADER.unpack_from(directory, place)
        checksum, packed, size, names, extras, comments, disk, _, attributes, offset = numbers
        begin = place + _HEADER.size
        place = begin + names + extras + comments
        if magic != _HEADER_MAGIC or place > len(directory) or disk:
            raise _Fault("its directory cannot be read")
        name = directory[begin : begin + names]
        if flags & _UTF8:
            try:
                name.decode()
            except UnicodeDecodeError:
                raise _Fault("a name in its directory is said to be UTF-8 and is not") from None
        extra = directory[begin + names : begin + names + extras]
        size, packed, offset = _numbers(extra, (size, packed, offset))
        yield Entry(name, offset, packed, size, checksum, method, flags, attributes)
    if place != len(directory):
        raise _Fault("its directory has more entries than it says")


def _numbers(extra: bytes, numbers: tuple[int, int, int]) -> Iterator[int]:
    """Put the numbers of an entry's zip64 field in the place of those that are too large for 32 bits."""
    large: list[int] | None = None
    place = 0
    while place < len(extra):
        if len(extra) - place < 4:
            raise _Fault("an extra field in its directory is cut short")
        kind, length = struct.unpack_from("<2H", extra, place)
        content = extra[place + 4 : place + 4 + length]
        place += 4 + length
        if len(content) < length:
            raise _Fault("an extra field in its directory is cut short")
        if kind == _ZIP64_FIELD:
            if large is not None:
                raise _Fault("an entry has two fields of zip64")
            large = [value for (value,) in struct.iter_unpack("<Q", content[: length // 8 * 8])]
    following = iter(large or ())
    for number in numbers:
        value = next(following, None) if number == _MAX_32 else number
        if value is None:
            raise _Fault("an entry lacks its field of zip64")
        yield value
