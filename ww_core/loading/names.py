"""Names that come out of files: their order, and how they may be shown."""

from __future__ import annotations

import re
import reprlib
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ww_core.domain.address import looks_like_address

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LONGEST_NAME = 2000
"""Characters of a tensor's name."""

_SHORTENED = 1000  # of one that gets a number
_LISTED = 5  # names in a message
_NO_TEXT = re.compile(r"[\0\ud800-\udfff]")
_BRIEF = reprlib.Repr()
_BRIEF.maxlevel, _BRIEF.maxlist, _BRIEF.maxstring, _BRIEF.maxlong, _BRIEF.maxother = 1, 8, 80, 40, 80


def natural_order(name: str) -> tuple[tuple[str | int, ...], str]:
    """Return a sorting key that puts ``layer.2`` before ``layer.10``, for sources without an order of their own."""
    parts = re.split(r"([0-9]+)", name)
    # Numbers are compared as (length, digits): int() refuses runs of thousands of digits, and a file may hold some.
    key: list[str | int] = [parts[0]]
    for number, text in zip(parts[1::2], parts[2::2], strict=True):
        digits = number.lstrip("0")
        key += [len(digits), digits, text]
    return tuple(key), name


def fault_of_name(name: str) -> str:
    """Tell why a tensor must not have this name, or return an empty text.

    A name with characters that cannot be printed is a name: whoever shows it escapes them.
    """
    if not name:
        return "a tensor has an empty name"
    if len(name) > LONGEST_NAME:
        return f"the tensor name {quoted(name)} has {len(name)} characters, and {LONGEST_NAME} are the most"
    if _NO_TEXT.search(name):
        return f"the tensor name {quoted(name)} holds a NUL or half a character: such stand in no text"
    return ""


class FreeNames:
    """Gives each thing a name that no other one has."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._doubles = 0

    def first_free(self, wished: Iterable[str]) -> str:
        """Return the first name that is sound and free; where none is, the last one with a number behind it."""
        name = ""
        for name in wished:
            if name not in self._taken and not fault_of_name(name):
                break
        while name in self._taken:
            self._doubles += 1
            name = f"{name[:_SHORTENED]} ({self._doubles})"
        self._taken.add(name)
        return name


def listing(names: Sequence[str]) -> str:
    """Return names for a message: the first ones, and how many more there are."""
    shown = ", ".join(quoted(name) for name in names[:_LISTED])
    return f"{shown} and {len(names) - _LISTED} more" if len(names) > _LISTED else shown


def quoted(content: object) -> str:
    """Return what a file says for a message: quoted, escaped, and cut where it is too long to read."""
    try:
        return legible(_BRIEF.repr(content))
    except (ValueError, RecursionError):  # a number of more digits than Python writes, lists within lists
        return f"<{type(content).__name__}>"


def legible(text: str) -> str:
    """Return ``text`` for a message: as it is if it can be printed, else escaped."""
    return text if text.isprintable() else ascii(text)[1:-1]


def shown_address(address: str) -> str:
    """Return an address as it may be shown and stored: printable, without password, query and fragment.

    A signed address holds its signature in the query, and a token may stand where a user's name does. Of what is meant
    as an address and is none, only the beginning is shown.
    """
    if "://" not in address:
        return f"{legible(re.split('[:=]', address)[0])}..." if looks_like_address(address) else legible(address)
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:  # brackets that are no IPv6 address, or a password with a slash where a port would be
        return legible(address.partition("://")[0]) + "://..."
    user, _, host = parts.netloc.rpartition("@")
    kept = f"{user}@" if user and ":" not in user and parts.scheme not in {"http", "https"} else ""
    return legible(f"{parts.scheme}://{kept}{host}{parts.path}")
