"""A writer of the wire format of protocol buffers, that writes what no library would."""

from __future__ import annotations

from typing import Any


def varint(value: int) -> bytes:
    value %= 2**64
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*made, value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def part(field: int, content: bytes | str) -> bytes:
    content = content.encode() if isinstance(content, str) else content
    return varint(field << 3 | 2) + varint(len(content)) + content


def message(*fields: tuple[int, Any]) -> bytes:
    """A message: whole numbers, texts and messages by the numbers of their fields."""
    return b"".join(number(field, value) if isinstance(value, int) else part(field, value) for field, value in fields)
