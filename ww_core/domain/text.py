"""Texts that messages are made of: names and messages of strangers made fit for a terminal, lists, sizes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def printable(text: str) -> str:
    """Return ``text`` with control characters escaped: names come from strangers' files."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shortened(names: Sequence[str], most: int = 5) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


def size_text(nbytes: int) -> str:
    """Return a count of bytes as people read it."""
    return f"{nbytes / 2**30:,.1f} GiB" if nbytes >= 2**30 else f"{nbytes / 2**20:,.1f} MiB"


def excess_text(takes: str, allowed: str, needed: float) -> str:
    """Say that something takes more than is allowed, and which option allows it.

    Args:
        takes: What it takes.
        allowed: What is allowed.
        needed: Bytes of memory that have to be allowed for it.
    """
    return f"it takes {takes}, and {allowed} are allowed: --memory {math.ceil(needed / 2**30)}GiB allows it"
