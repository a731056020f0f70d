"""The wire format of protocol buffers, read strictly: fields of messages as places, without their content.

A `Reader` reads a file a window at a time, so that numbers in it stay where they lie; a `BytesReader` reads what is in
memory already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, NoReturn

from ww_core.errors import CorruptFileError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    import numpy.typing as npt

    from ww_core.contracts.budget import Budget
    from ww_core.contracts.source import Source

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
_CHUNK = 1 << 20  # bytes of varints that are decoded at once
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
        no_sound: What a damaged file is not, for messages: "no model of ONNX".
    """

    def __init__(self, file: Source, no_sound: str) -> None:
        self.file = file
        self._no_sound = no_sound
        self._end = file.size
        self._base = 0
        self._window = b""
        self._next_size = _SMALL
        self._fields_paid = 0

    @property
    def budget(self) -> Budget:
        """What reading draws on."""
        return self.file.budget

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
            tag, at = self.varint(at, stop)
            number, wire = tag >> 3, tag & 7
            if wire == VARINT:
                value, at = self.varint(at, stop)
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
            value, at = self.varint(at, field.stop)
            yield signed(value)

    def fixed(self, field: Field) -> int:
        """Return the number of a field that has a fixed width."""
        return int.from_bytes(self._bytes(field.start, field.stop), "little")

    def varint(self, at: int, stop: int) -> tuple[int, int]:
        """Return the number that begins at a place before ``stop``, and where it ends.

        Raises:
            CorruptFileError: It does not end before.
        """
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
            raise CorruptFileError(f"{self.file.label}: cut short: it ends within a number")
        return self.refuse("a number is longer than numbers are, or than its message")

    def damaged(self, what: str) -> CorruptFileError:
        """Return the error that says what is wrong with the file."""
        return CorruptFileError(f"{self.file.label}: {self._no_sound}, or damaged: {what}")

    def refuse(self, what: str) -> NoReturn:
        """Say what is wrong with the file.

        Raises:
            CorruptFileError: Always.
        """
        raise self.damaged(what)

    def _extent(self, wire: int, at: int, stop: int) -> tuple[int, int]:
        """Return where the content of a field begins and ends that is no varint."""
        if wire == BYTES:
            length, at = self.varint(at, stop)
        elif wire in {FIXED32, FIXED64}:
            length = 4 if wire == FIXED32 else 8
        else:
            self.refuse(f"a field has the wire type {wire}")
        if length > stop - at:
            if stop == self._end:
                raise CorruptFileError(
                    f"{self.file.label}: cut short: a field has {length} bytes, and {stop - at} are there"
                )
            self.refuse(f"a field of {length} bytes does not fit into its message")
        return at, at + length

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


class BytesReader(Reader):
    """Reads the fields of messages that were read from a file, and paid for.

    Args:
        content: The messages.
        file: Where they come from.
        no_sound: What a damaged file is not, for messages.
    """

    def __init__(self, content: bytes, file: Source, no_sound: str) -> None:
        super().__init__(file, no_sound)
        self.content = self._window = content
        self._end = -1  # the end of the content is not that of the file

    def bytes_of(self, field: Field) -> bytes:
        """Return the content of a field."""
        return self._window[field.start : field.stop]

    def _move(self, at: int) -> int:
        return at


def beginning(head: bytes) -> Iterator[Field]:
    """Give the fields of a message of which the first bytes are known: the last one may end behind them.

    What is no field is given with the wire type that it tells, and ends the message.
    """
    at = 0
    while at < len(head):
        tag, at = _varint_of_head(head, at)
        if at > len(head):
            return
        number, wire = tag >> 3, tag & 7
        if wire not in {VARINT, BYTES}:
            yield Field(number, wire, at, at)
            return
        value, first = _varint_of_head(head, at)
        if first > len(head):
            return
        at = first + value if wire == BYTES else first
        yield Field(number, wire, value if wire == VARINT else first, at)


def _varint_of_head(head: bytes, at: int) -> tuple[int, int]:
    """Return a number and where it ends: behind the head if it is cut off."""
    value = 0
    for shift in range(0, 7 * _LONGEST_VARINT, 7):
        if at >= len(head):
            return value, len(head) + 1
        byte, at = head[at], at + 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
    return value, at


def varints_of(file: Source, places: Sequence[Field], where: str) -> Iterator[npt.NDArray[np.uint64]]:
    """Give the numbers of fields of varints, packed or not, as arrays of unsigned ones with 64 bits.

    Args:
        file: Where they lie.
        places: The fields.
        where: What they are of, for messages.

    Raises:
        CorruptFileError: They are no numbers, or some are packed and others are not.
    """
    import numpy as np

    loose = [place.start for place in places if place.wire == VARINT]
    if loose:
        if len(loose) < len(places):
            raise CorruptFileError(f"{where}: its numbers are stored in two ways")
        yield np.array(loose, np.uint64)
        return
    for place in places:
        at = place.start
        while at < place.stop:
            content = np.frombuffer(file.bytes_at(at, min(_CHUNK, place.stop - at)), np.uint8)
            ends = np.flatnonzero(content < 0x80)
            if not len(ends):
                raise CorruptFileError(f"{where}: a number in it does not end")
            yield _values(content, ends, where)
            at += int(ends[-1]) + 1


def _values(content: npt.NDArray[np.uint8], ends: npt.NDArray[np.intp], where: str) -> npt.NDArray[np.uint64]:
    import numpy as np

    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    longest = int(lengths.max())
    if longest > _LONGEST_VARINT:
        raise CorruptFileError(f"{where}: a number in it is longer than numbers are")
    values = np.zeros(len(ends), np.uint64)
    for place in range(longest):
        has = lengths > place
        digits = content[starts[has] + place].astype(np.uint64) & np.uint64(0x7F)
        values[has] |= digits << np.uint64(7 * place)
    return values


def may_hold(places: Sequence[Field], count: int) -> bool:
    """Whether fields are long enough for so many varints: no memory is taken for what is not there."""
    return sum(1 if place.wire == VARINT else place.stop - place.start for place in places) >= count


def signed(value: int) -> int:
    """Return a number of 64 bits as the signed one that it stands for."""
    return value - (1 << 64) if value >= 1 << 63 else value
