"""Messages: one line on stderr each, which never change data or exit codes."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from typing import TextIO

from ww_core.command.lines import broken
from ww_core.domain.text import printable
from ww_core.plugins.verbosity import is_quiet, is_verbose

COLOURS = {"warning": "\x1b[33m", "failed": "\x1b[31m", "error": "\x1b[31m"}
"""What a terminal shows the first word of a message in, by that word: yellow and red."""


def say(text: str) -> None:
    """Print a note, one line on stderr, unless ``--quiet`` was given."""
    if not is_quiet():
        warn(text)


def say_more(text: str) -> None:
    """Print one line on stderr if ``--verbose`` was given."""
    if is_verbose():
        warn(text)


def warn(text: str) -> None:
    """Print a line on stderr whatever was given: a warning, a failure, an error; a narrow terminal breaks it.

    It is printed if it can be written there: the exit code does not depend on it.
    """
    line = broken(printable(text), _stderr_width())
    word, colon, rest = line.partition(":")
    if colon and word in COLOURS and _has_colours(sys.stderr):
        line = f"{COLOURS[word]}{word}\x1b[0m:{rest}"
    with unheard():
        sys.stderr.write(line)


def _stderr_width() -> int | None:
    """Return the columns of the terminal that stderr leads to; None if it leads elsewhere or that has no size."""
    try:
        own = os.get_terminal_size(sys.stderr.fileno())
    except (OSError, ValueError):  # no terminal; or none of the system's files
        return None
    return shutil.get_terminal_size(fallback=own).columns or None


def _has_colours(stream: TextIO) -> bool:
    dumb = os.environ.get("TERM", "").lower() in {"dumb", "unknown"}
    return stream.isatty() and not dumb and not os.environ.get("NO_COLOR")


@contextlib.contextmanager
def unheard() -> Iterator[None]:
    """Let stderr lead nowhere where it cannot be written: no exit code depends on it."""
    try:
        yield
    except OSError:
        give_up(sys.stderr)


def warn_lines(text: str) -> None:
    """Print a text of several lines on stderr, as ``warn`` does."""
    for line in text.splitlines():
        warn(line)


def give_up(stream: TextIO) -> None:
    """Let a stream lead nowhere: the interpreter's own flush at exit must not complain again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
