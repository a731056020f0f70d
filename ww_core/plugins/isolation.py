"""What the code of a plugin raises, told in one sentence with the plugin's own file and line."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import PurePath
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING

from ww_core.domain.text import printable
from ww_core.errors import WWError

if TYPE_CHECKING:
    from collections.abc import Iterator

RAISED = (Exception, SystemExit)
"""What the code of a plugin may raise, and what stays a problem of that plugin."""

LONGEST_TEXT = 2000
"""Characters of what was raised that a sentence repeats."""

DEBUG_VARIABLE = "WW_DEBUG"
"""Environment variable: set, what a plugin raises is shown with its traceback, and so are errors of ww itself."""


def sentence_of(error: BaseException, culprit: object = None) -> str:
    """Say in one line what was raised, and in which file and line of the plugin; where WW_DEBUG is set, show more.

    An error of ww's own tree speaks for itself. With ``WW_DEBUG``, the traceback is printed on stderr, from the first
    frame of the plugin on.

    Args:
        error: What was raised. It may be an untrusted class: even asking for its text may raise.
        culprit: The plugin's function, class, instance or module that ww called, or the name of the module; None where
            ww called no plugin, so that no file is to blame.
    """
    home = _home_of(culprit)
    frames = list(_frames_of(error, home)) if home else []
    if frames and os.environ.get(DEBUG_VARIABLE):
        sys.stderr.write(_shown(error, frames[0]))
    if isinstance(error, WWError):
        return _text_of(error)
    place = _place_in_source(error) or (_place(frames[-1]) if frames else "")
    text = _text_of(error.msg if place and isinstance(error, SyntaxError) else error) or "no message"
    return f"{type(error).__name__}: {text}{f' ({place})' if place else ''}"


def picture_of(error: BaseException) -> str:
    """Return the source line of a syntax error with its caret, as Python shows it; empty for any other error."""
    if not _place_in_source(error):
        return ""
    return "".join(traceback.format_exception_only(error)).rstrip("\n")


def _text_of(thing: object) -> str:
    try:
        text = " ".join(str(thing).split())
    except RAISED:
        return ""
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}..."


def _home_of(culprit: object) -> str:
    """Return the name of the package or module that a plugin's thing belongs to; empty if it is ww's own."""
    name: object = culprit
    try:
        if not isinstance(culprit, str):
            name = getattr(culprit, "__name__" if isinstance(culprit, ModuleType) else "__module__", "")
    except RAISED:
        name = type(culprit).__module__
    home = name.partition(".")[0] if isinstance(name, str) else ""
    return "" if home in {"builtins", "ww_core"} else home


def _frames_of(error: BaseException, home: str) -> Iterator[TracebackType]:
    """Yield the steps of a traceback that run code of a package, as far as it stands in a file."""
    trace = error.__traceback__
    while trace is not None:
        code, module = trace.tb_frame.f_code, trace.tb_frame.f_globals.get("__name__")
        if isinstance(module, str) and module.partition(".")[0] == home and not code.co_filename.startswith("<"):
            yield trace
        trace = trace.tb_next


def _place(frame: TracebackType) -> str:
    return f"{_file_name(frame.tb_frame.f_code.co_filename)}:{frame.tb_lineno}"


def _place_in_source(error: BaseException) -> str:
    """Return the place that a syntax error of a Python file names itself: no frame has run there."""
    if not isinstance(error, SyntaxError):
        return ""
    try:
        known = isinstance(error.filename, str) and error.filename.endswith(".py") and isinstance(error.lineno, int)
        return f"{_file_name(error.filename or '')}:{error.lineno}" if known else ""
    except RAISED:
        return ""


def _file_name(path: str) -> str:
    """Return the name of a file; of a package's first file with the package, since all are called the same."""
    pure = PurePath(path)
    return f"{pure.parent.name}/{pure.name}" if pure.name == "__init__.py" else pure.name


def _shown(error: BaseException, first: TracebackType) -> str:
    try:
        lines = "".join(traceback.format_exception(type(error), error, first)).splitlines()
    except RAISED:  # an exception of an untrusted class may not even let itself be shown
        lines = [*"".join(traceback.format_tb(first)).splitlines(), type(error).__name__]
    return "".join(f"{printable(line)}\n" for line in lines)
