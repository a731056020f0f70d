"""Texts of strangers, such as names in files and messages of exceptions, made fit for a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return ``text`` with control characters escaped: names come from strangers' files."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
