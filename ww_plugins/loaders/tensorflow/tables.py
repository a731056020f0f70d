"""Tables of keys and values in LevelDB's format."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ww_core.loading.protobuf import BytesReader

FOOTER = 48
MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")
_BEHIND_A_BLOCK = 5  # its compression, and a checksum


def entries(reader: BytesReader) -> Iterator[tuple[bytes, int, int]]:
    """Go through the keys of a table: each with the places where its value begins and ends.

    Raises:
        CorruptFileError: It is no such table, or contradicts itself.
    """
    content = reader.content
    if content[-8:] != MAGIC or len(content) < FOOTER:
        reader.refuse("no table ends where it does")
    footer = len(content) - FOOTER
    _, at = _handle(reader, footer, len(content))
    index, _ = _handle(reader, at, len(content))
    seen = 0
    for _, start, stop in _block(reader, *_checked(reader, index)):
        place, _ = _handle(reader, start, stop)
        if place[0] < seen:
            reader.refuse("its blocks overlap")
        seen = place[0] + place[1]
        yield from _block(reader, *_checked(reader, place))


def _handle(reader: BytesReader, at: int, stop: int) -> tuple[tuple[int, int], int]:
    offset, at = reader.varint(at, stop)
    length, at = reader.varint(at, stop)
    return (offset, length), at


def _checked(reader: BytesReader, place: tuple[int, int]) -> tuple[int, int]:
    """Return where a block begins and ends."""
    offset, length = place
    end = offset + length
    if end + _BEHIND_A_BLOCK > len(reader.content) - FOOTER:
        reader.refuse("a block ends behind it")
    if reader.content[end]:
        reader.refuse("a block of it is compressed, which TensorFlow does not do")
    return offset, end


def _block(reader: BytesReader, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Go through the entries of a block: a key has some bytes of the one before it."""
    content, key = reader.content, b""
    restarts = int.from_bytes(content[end - 4 : end], "little")
    stop = end - 4 - 4 * restarts
    if end - at < 4 or stop < at:
        reader.refuse("a block of it ends too early")
    while at < stop:
        shared, at = reader.varint(at, stop)
        own, at = reader.varint(at, stop)
        length, at = reader.varint(at, stop)
        if shared > len(key) or own + length > stop - at:
            reader.refuse("an entry of it ends behind its block")
        reader.budget.take("names", shared + own)
        key = key[:shared] + content[at : at + own]
        at += own + length
        yield key, at - length, at
