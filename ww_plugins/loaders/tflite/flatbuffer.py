"""Flatbuffers: tables, vectors and texts, each checked against the file before it is read.

A flatbuffer is a tree of tables that point at each other by offsets. Tables may share what they point at, so whatever
is read draws on the budget each time that it is.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ww_core as ww

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

_MOST_FIELDS = 16  # of a table that are looked at: the schema's tables that are read have fewer
_VISITS = 20  # that a table counts for: reading one takes as long as going through so many numbers
_PAGE = 4096
_AHEAD = 16  # pages that are read at once where pages are read one after the other

_UINT16, _INT32, _UINT32 = struct.Struct("<H"), struct.Struct("<i"), struct.Struct("<I")
_NUMBERS = {letter: struct.Struct(f"<{letter}") for letter in "bBhHiIqQ?"}


class Flatbuffer:
    """The bytes of a file, had page by page: the numbers of tensors lie between its tables, and are not read.

    Args:
        file: The file.
    """

    def __init__(self, file: ww.Source) -> None:
        self.file = file
        self.size = file.size
        self._pages: dict[int, bytes] = {}

    @property
    def root(self) -> Table:
        """The outermost table."""
        return Table(self, self.follow(0, "the outermost table"))

    def bytes_at(self, offset: int, nbytes: int, what: str) -> bytes:
        """Return bytes of the file.

        Raises:
            CorruptFileError: They are not in it.
            SourceError: They are more than the budget allows.
        """
        if offset < 0 or nbytes > self.size - offset:
            raise self.damaged(f"{what} lies beyond its end")
        if nbytes > _PAGE:
            self.file.budget.take("text", nbytes)
            return self.file.bytes_at(offset, nbytes)
        first, last = offset // _PAGE, (offset + max(nbytes, 1) - 1) // _PAGE
        if first == last:
            start = offset - first * _PAGE
            return self._page(first)[start : start + nbytes]
        content = b"".join(self._page(number) for number in range(first, last + 1))
        return content[offset - first * _PAGE :][:nbytes]

    def follow(self, offset: int, what: str) -> int:
        """Return the place that an offset in the file points at."""
        (distance,) = _UINT32.unpack(self.bytes_at(offset, 4, what))
        return offset + int(distance)

    def vector(self, place: int, width: int, what: str) -> Vector:
        """Return the vector at a place, whose entries take ``width`` bytes each."""
        (count,) = _UINT32.unpack(self.bytes_at(place, 4, what))
        if count * width > self.size - place - 4:
            raise self.damaged(f"{what} claims {count:,} entries of {width} bytes, and the file ends before")
        return Vector(self, place + 4, int(count), width, what)

    def damaged(self, what: str) -> ww.CorruptFileError:
        """Return the error that says what is wrong with the file."""
        return ww.CorruptFileError(f"{self.file.label}: cut short or damaged: {what}")

    def _page(self, number: int) -> bytes:
        if number not in self._pages:
            count = _AHEAD if number - 1 in self._pages else 1
            start = number * _PAGE
            nbytes = min(count * _PAGE, self.size - start)
            self.file.budget.take("text", nbytes)
            content = self.file.bytes_at(start, nbytes)
            for place in range(0, nbytes, _PAGE):
                self._pages.setdefault(number + place // _PAGE, content[place : place + _PAGE])
        return self._pages[number]


@dataclass(frozen=True, slots=True)
class Vector:
    """Entries of equal width, one after the other, all of them in the file.

    Attributes:
        buffer: The file.
        offset: Of the first entry.
        count: Of the entries.
        width: Bytes of an entry.
        what: How messages name it.
    """

    buffer: Flatbuffer
    offset: int
    count: int
    width: int
    what: str

    @property
    def nbytes(self) -> int:
        """Bytes of all entries."""
        return self.count * self.width

    def numbers(self, dtype: str) -> npt.NDArray[Any]:
        """Return the entries as numbers."""
        import numpy as np

        self.buffer.file.budget.take("visits", self.count)
        return np.frombuffer(self.buffer.bytes_at(self.offset, self.nbytes, self.what), dtype)

    def table(self, index: int) -> Table:
        """Return the table that an entry points at."""
        return Table(self.buffer, self.buffer.follow(self.offset + 4 * index, f"an entry of {self.what}"))

    def tables(self) -> Iterator[Table]:
        """Go through the tables that the entries point at."""
        return (self.table(index) for index in range(self.count))


class Table:
    """A table: fields by their numbers in the schema, each of which may be missing.

    Args:
        buffer: The file.
        place: Where it lies.

    Raises:
        CorruptFileError: It lies beyond the end of the file, or the list of its fields does.
    """

    __slots__ = ("_fields", "_own", "_place", "buffer")

    def __init__(self, buffer: Flatbuffer, place: int) -> None:
        buffer.file.budget.take("visits", _VISITS)
        self.buffer = buffer
        self._place = place
        (distance,) = _INT32.unpack(buffer.bytes_at(place, 4, "a table"))
        fields = place - distance
        (nbytes,) = _UINT16.unpack(buffer.bytes_at(fields, 2, "the fields of a table"))
        if nbytes < 4 or nbytes % 2:
            raise buffer.damaged(f"the fields of a table take {nbytes} bytes")
        if nbytes > buffer.size - fields:
            raise buffer.damaged("the fields of a table lie beyond its end")
        read = min(nbytes // 2 - 1, 1 + _MOST_FIELDS)
        self._own, *self._fields = struct.unpack(
            f"<{read}H", buffer.bytes_at(fields + 2, 2 * read, "the fields of a table")
        )
        if self._own > buffer.size - place:
            raise buffer.damaged("a table lies beyond its end")

    def number(self, field: int, letter: str, default: int = 0) -> int:
        """Return a number, whose form ``struct`` calls by a letter."""
        form = _NUMBERS[letter]
        place = self._at(field, form.size)
        return default if place is None else int(form.unpack(self.buffer.bytes_at(place, form.size, "a number"))[0])

    def table(self, field: int) -> Table | None:
        """Return the table that a field points at."""
        place = self._at(field, 4)
        return None if place is None else Table(self.buffer, self.buffer.follow(place, "a table"))

    def vector(self, field: int, width: int, what: str) -> Vector:
        """Return the vector that a field points at; one without entries where it is missing."""
        place = self._at(field, 4)
        if place is None:
            return Vector(self.buffer, 0, 0, width, what)
        return self.buffer.vector(self.buffer.follow(place, what), width, what)

    def text(self, field: int, what: str) -> str:
        """Return a text; an empty one where it is missing.

        Raises:
            CorruptFileError: It is not UTF-8.
        """
        content = self.vector(field, 1, what)
        self.buffer.file.budget.take("names", content.count)
        try:
            return self.buffer.bytes_at(content.offset, content.nbytes, what).decode()
        except UnicodeDecodeError:
            raise self.buffer.damaged(f"{what} is not UTF-8 text") from None

    def _at(self, field: int, nbytes: int) -> int | None:
        offset = self._fields[field] if field < len(self._fields) else 0
        if not offset:
            return None
        if offset < 4 or offset + nbytes > self._own:
            raise self.buffer.damaged("a field lies outside of its table")
        return self._place + int(offset)
