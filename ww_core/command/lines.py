"""Lines for people, broken between words where a terminal is too narrow for them."""

from __future__ import annotations

import re

INDENT = "  "
"""Before what goes on in the next line."""

NO_BREAK = "\0"
"""A blank at which no line is broken; no text that is printed has it."""

_TO_COPY = re.compile(r"`[^`]*`|pip install \S+")


def broken(text: str, room: int | None) -> str:
    """Return a line, or the lines that have room for it, each with its end; None is room for all.

    A command to copy stays whole.
    """
    if room is None or len(text) <= room:
        return text.replace(NO_BREAK, " ") + "\n"
    import textwrap

    whole = _TO_COPY.sub(lambda command: command[0].replace(" ", NO_BREAK), text)
    start = text[: len(text) - len(text.lstrip(" "))]
    lines = textwrap.wrap(
        whole,
        room,
        subsequent_indent=start + INDENT,
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
        expand_tabs=False,
    )
    return "".join(line.replace(NO_BREAK, " ") + "\n" for line in lines)
