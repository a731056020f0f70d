"""Messages of protocol buffers, as far as a checkpoint has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ww_core.contracts.budget import Budget

_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5
_LONGEST_VARINT = 10
_VISITS = 4  # that a field counts for: reading one takes as long as going through so many entries of a list


class DamagedError(Exception):
    """What cannot be read; the message says why."""


def varint(content: bytes, at: int) -> tuple[int, int]:
    """Return the number that begins at a place, and the place behind it.

    Raises:
        DamagedError: It does not end.
    """
    number = 0
    for place in range(at, min(at + _LONGEST_VARINT, len(content))):
        byte = content[place]
        number |= (byte & 0x7F) << (7 * (place - at))
        if byte < 0x80:
            return number & 0xFFFF_FFFF_FFFF_FFFF, place + 1
    raise DamagedError("a number does not end")


def fields(content: bytes, budget: Budget) -> Iterator[tuple[int, Any]]:
    """Go through the fields of a message: their numbers, and whole numbers or bytes.

    Raises:
        DamagedError: It is no message.
    """
    at = 0
    while at < len(content):
        budget.take("visits", _VISITS)
        tag, at = varint(content, at)
        field, form = tag >> 3, tag & 7
        if form == _VARINT:
            number, at = varint(content, at)
            yield field, number
            continue
        if form == _BYTES:
            length, at = varint(content, at)
        elif form in {_EIGHT, _FOUR}:
            length = 8 if form == _EIGHT else 4
        else:
            raise DamagedError(f"a field has the unknown form {form}")
        if length > len(content) - at:
            raise DamagedError("a field ends behind its message")
        part = content[at : at + length]
        at += length
        yield field, part if form == _BYTES else int.from_bytes(part, "little")


def signed(number: int) -> int:
    """Return a whole number of 64 bits as a signed one."""
    return number - 2**64 if number >= 2**63 else number


def whole(value: Any) -> int:
    """Return a field that must be a number.

    Raises:
        DamagedError: It is none.
    """
    if not isinstance(value, int):
        raise DamagedError("a field has no number where one belongs")
    return value


def message(value: Any) -> bytes:
    """Return a field that must be a message or a text.

    Raises:
        DamagedError: It is none.
    """
    if not isinstance(value, bytes):
        raise DamagedError("a field has a number where a message belongs")
    return value
