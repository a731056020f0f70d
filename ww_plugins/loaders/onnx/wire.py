"""The wire format of protobuf, read strictly: fields of messages as places in a file, without their content."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, NoReturn

import ww_core as ww

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

_WIRES = {
    "varint": (VARINT,),
    "fixed32": (FIXED32,),
    "bytes": (BYTES,),
    "messages": (BYTES,),
    "varints": (VARINT, BYTES),
    "fixed32s": (FIXED32, BYTES),
    "fixed64s": (FIXED64, BYTES),
}
"""Forms of a field, with the wire types that it may have. Those that end in "s" may stand several times."""

_LONGEST_VARINT = 10
_SMALL, _LARGE = 1 << 12, 1 << 18  # bytes read at once: after a leap, and in a row
_VISITS = 4  # of the budget for each field: so many fields take seconds, and no more
_AT_ONCE = 64  # fields for which the budget is asked together


class Field(NamedTuple):
    """A field of a message.

    Attributes:
        number: Its number.
        wire: Its wire type.
        start: Where its content begins in the file; of a varint its value.
        stop: Where its content ends.
    """

    number: int
    wire: int
    start: int
    stop: int


class Reader:
    """Reads the fields of messages from a file, a window at a time.

    Args:
        file: The file.
    """

    def __init__(self, file: ww.Source) -> None:
        self.file = file
        self._end = file.size
        self._base = 0
        self._window = b""
        self._next_size = _SMALL
        self._fields_paid = 0

    def fields(self, start: int, stop: int, forms: Mapping[int, str]) -> Iterator[Field]:
        """Give the known fields of the message that lies between two places; others are passed over.

        Args:
            start: Where the message begins.
            stop: Where it ends.
            forms: Form of each known field, by its number.

        Raises:
            CorruptFileError: It is no message, or a known field has another form than it must.
            SourceError: It takes more than the budget.
        """
        seen = set()
        at = start
        while at < stop:
            if not self._fields_paid:
                self._fields_paid = _AT_ONCE
                self.file.budget.take("visits", _VISITS * _AT_ONCE)
            self._fields_paid -= 1
            tag, at = self._varint(at, stop)
            number, wire = tag >> 3, tag & 7
            if wire == VARINT:
                value, at = self._varint(at, stop)
                field = Field(number, wire, value, at)
            else:
                first, at = self._extent(wire, at, stop)
                field = Field(number, wire, first, at)
            form = forms.get(number)
            if form is None:
                if not 0 < number < 1 << 29:
                    self.refuse("a field has a number that no field has")
                continue
            if wire not in _WIRES[form]:
                self.refuse(f"field {number} of a message has the wrong wire type")
            if form[-1] != "s" or form == "bytes":
                if number in seen:
                    self.refuse(f"field {number} of a message stands twice")
                seen.add(number)
            yield field

    def bytes_of(self, field: Field) -> bytes:
        """Return the content of a field, once the budget has it."""
        self.file.budget.take("text", field.stop - field.start)
        return self._bytes(field.start, field.stop)

    def text(self, field: Field) -> str:
        """Return the content of a field as text.

        Raises:
            CorruptFileError: It is none.
        """
        try:
            return self.bytes_of(field).decode()
        except UnicodeDecodeError:
            self.refuse("a name in it is not UTF-8 text")

    def integers(self, field: Field) -> Iterator[int]:
        """Give the signed numbers of a field of varints, packed or not."""
        if field.wire == VARINT:
            yield signed(field.start)
            return
        at = field.start
        while at < field.stop:
            self.file.budget.take("visits")
            value, at = self._varint(at, field.stop)
            yield signed(value)

    def refuse(self, what: str) -> NoReturn:
        """Say that the file is no sound model.

        Raises:
            CorruptFileError: Always.
        """
        raise ww.CorruptFileError(f"{self.file.label}: no model of ONNX, or damaged: {what}")

    def _extent(self, wire: int, at: int, stop: int) -> tuple[int, int]:
        """Return where the content of a field begins and ends that is no varint."""
        if wire == BYTES:
            length, at = self._varint(at, stop)
        elif wire in {FIXED32, FIXED64}:
            length = 4 if wire == FIXED32 else 8
        else:
            self.refuse(f"a field has the wire type {wire}")
        if length > stop - at:
            if stop == self._end:
                raise ww.CorruptFileError(
                    f"{self.file.label}: cut short: a field has {length} bytes, and {stop - at} are there"
                )
            self.refuse(f"a field of {length} bytes does not fit into its message")
        return at, at + length

    def _varint(self, at: int, stop: int) -> tuple[int, int]:
        """Return a number and where it ends."""
        place = at - self._base
        if not 0 <= place <= len(self._window) - _LONGEST_VARINT:
            place = self._move(at)
        window = self._window
        if at < stop and (byte := window[place]) < 0x80:
            return byte, at + 1
        most = min(place + _LONGEST_VARINT, place + stop - at, len(window))
        value = shift = 0
        for here in range(place, most):
            byte = window[here]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & 0xFFFF_FFFF_FFFF_FFFF, at + here + 1 - place
            shift += 7
        if most - place < _LONGEST_VARINT and stop == self._end:
            raise ww.CorruptFileError(f"{self.file.label}: cut short: it ends within a number")
        return self.refuse("a number is longer than numbers are, or than its message")

    def _move(self, at: int) -> int:
        """Move the window, and return the place in it. What is read in a row is read in ever larger pieces."""
        in_a_row = 0 <= at - self._base <= len(self._window)
        self._next_size = min(4 * self._next_size, _LARGE) if in_a_row else _SMALL
        self._window = self.file.bytes_at(at, max(0, min(self._next_size, self._end - at)))
        self._base = at
        return 0

    def _bytes(self, start: int, stop: int) -> bytes:
        place = start - self._base
        if place < 0 or stop - self._base > len(self._window):
            if stop - start > _SMALL:
                return self.file.bytes_at(start, stop - start)
            place = self._move(start)
        return self._window[place : place + stop - start]


def signed(value: int) -> int:
    """Return a number of 64 bits as the signed one that it stands for."""
    return value - (1 << 64) if value >= 1 << 63 else value
