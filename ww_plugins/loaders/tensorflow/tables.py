"""Tables of keys and values in LevelDB's format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ww_plugins.loaders.tensorflow.messages import DamagedError, varint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ww_core.contracts.budget import Budget

FOOTER = 48
MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")
_BEHIND_A_BLOCK = 5  # its compression, and a checksum


def entries(content: bytes, budget: Budget) -> Iterator[tuple[bytes, bytes]]:
    """Go through the keys of a table, and their values.

    Args:
        content: The table.
        budget: What its keys draw on.

    Raises:
        DamagedError: It is no such table, or contradicts itself.
    """
    if content[-8:] != MAGIC or len(content) < FOOTER:
        raise DamagedError("no table ends where it does")
    footer = content[-FOOTER:]
    _, at = _handle(footer, 0)
    index, _ = _handle(footer, at)
    seen = 0
    for _, handle in _block(_content(content, index), budget):
        place, _ = _handle(handle, 0)
        if place[0] < seen:
            raise DamagedError("its blocks overlap")
        seen = place[0] + place[1]
        yield from _block(_content(content, place), budget)


def _handle(content: bytes, at: int) -> tuple[tuple[int, int], int]:
    offset, at = varint(content, at)
    length, at = varint(content, at)
    return (offset, length), at


def _content(content: bytes, place: tuple[int, int]) -> bytes:
    offset, length = place
    end = offset + length
    if end + _BEHIND_A_BLOCK > len(content) - FOOTER:
        raise DamagedError("a block ends behind it")
    if content[end]:
        raise DamagedError("a block of it is compressed, which TensorFlow does not do")
    return content[offset:end]


def _block(content: bytes, budget: Budget) -> Iterator[tuple[bytes, bytes]]:
    """Go through the entries of a block: a key has some bytes of the one before it."""
    restarts = int.from_bytes(content[-4:], "little")
    end = len(content) - 4 - 4 * restarts
    if len(content) < 4 or end < 0:
        raise DamagedError("a block of it ends too early")
    key, at = b"", 0
    while at < end:
        shared, at = varint(content, at)
        own, at = varint(content, at)
        length, at = varint(content, at)
        if shared > len(key) or own + length > end - at:
            raise DamagedError("an entry of it ends behind its block")
        budget.take("names", shared + own)
        key = key[:shared] + content[at : at + own]
        at += own
        yield key, content[at : at + length]
        at += length
