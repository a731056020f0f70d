"""Texts that messages are made of: those of strangers, made fit for a terminal and for files, lists, sizes."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_BODY = r"x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}"
_ESCAPE = re.compile(rf"(\\+)({_BODY})")
_BEFORE_ESCAPE = re.compile(rf"\\+(?=({_BODY})|(.))", re.DOTALL)
LONGEST_TEXT = 2000
"""Characters of a text in a cell, of a definition, of a reason, and of what a sentence repeats of a stranger's text."""


def printable(text: str) -> str:
    r"""Return a sentence or a line with what cannot be printed escaped, as ``\x1b`` or ``\u202e``.

    That is control and format characters, those that change the direction of text among them, and blanks other than
    the usual one. What has been escaped already stays as it is; `escaped` is for what must be told apart.
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else _escape(c) for c in text)


def escaped(text: str, kept: str = "") -> str:
    """Return a name or the text of a cell as `printable` does, so that `unescaped` gives the text again.

    Backslashes are doubled where an escape follows them, or what looks like one: no two texts are shown alike.

    Args:
        text: The text.
        kept: Characters that stay as they are.
    """
    if text.isprintable() and "\\" not in text:
        return text

    def doubled(match: re.Match[str]) -> str:
        body, following = match.groups()
        is_ambiguous = _letter(body) if body else not (following.isprintable() or following in kept)
        return match[0] * 2 if is_ambiguous else match[0]

    told = _BEFORE_ESCAPE.sub(doubled, text)
    return "".join(c if c.isprintable() or c in kept else _escape(c) for c in told)


def unescaped(text: str) -> str:
    r"""Return the text that `escaped` was given. What only looks like an escape, as ``\x41``, stays as it is."""

    def read(match: re.Match[str]) -> str:
        backslashes, body = match.groups()
        letter = _letter(body)
        if not letter:
            return match[0]
        return "\\" * (len(backslashes) // 2) + (letter if len(backslashes) % 2 else body)

    return _ESCAPE.sub(read, text) if "\\" in text else text


def json_escaped(text: str) -> str:
    r"""Return JSON with every character in it that cannot be printed as ``\uXXXX``: it says the same."""
    if text.isascii() and "\x7f" not in text:
        return text
    return re.sub(r"[^\x00-\x7e]", lambda match: match[0] if match[0].isprintable() else _json_escape(match[0]), text)


def _escape(character: str) -> str:
    number = ord(character)
    return f"\\x{number:02x}" if number < 2**8 else f"\\u{number:04x}" if number < 2**16 else f"\\U{number:08x}"


def _json_escape(character: str) -> str:
    import json

    return r"\u007f" if character == "\x7f" else json.dumps(character)[1:-1]  # which leaves all of ASCII as it is


def _letter(body: str) -> str:
    """Return the character that an escape stands for; empty if `escaped` writes none for it, or it is of no text."""
    number = int(body[1:], 16)
    if number == 0 or 0xD800 <= number < 0xE000 or number > 0x10FFFF or chr(number).isprintable():
        return ""
    return chr(number)


def shortened(names: Sequence[str], most: int = 5) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


def size_text(nbytes: int) -> str:
    """Return a count of bytes as people read it."""
    if nbytes < 2**20:
        return f"{nbytes:,} bytes"
    return f"{nbytes / 2**30:,.1f} GiB" if nbytes >= 2**30 else f"{nbytes / 2**20:,.1f} MiB"


def excess_text(takes: str, allowed: str, needed: float) -> str:
    """Say that something takes more than is allowed, and which option allows it.

    Args:
        takes: What it takes.
        allowed: What is allowed.
        needed: Bytes of memory that have to be allowed for it.
    """
    return f"it takes {takes}, and {allowed} are allowed: --memory {math.ceil(needed / 2**30)}GiB allows it"
