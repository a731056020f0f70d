"""Texts of strangers, such as names in files and messages of exceptions, made fit for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST_TEXT = 2000
"""Characters of a text in a cell, of a definition, of a reason, and of what a sentence repeats of a stranger's text."""


def printable(text: str) -> str:
    """Return ``text`` with control characters escaped: names come from strangers' files."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shortened(names: Sequence[str], most: int = 5) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"
