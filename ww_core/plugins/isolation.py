"""What the code of a plugin raises, told in one sentence with the plugin's own file and line."""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import contextmanager
from pathlib import PurePath
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING

from ww_core.domain.text import LONGEST_TEXT, printable
from ww_core.errors import WWError
from ww_core.plugins.verbosity import is_verbose

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ww_core.errors import NoValue

DEBUG_VARIABLE = "WW_DEBUG"
"""Environment variable: set, what a plugin raises is shown with its traceback, and so are errors of ww itself."""


def all_but_interrupts() -> type[BaseException]:
    """Return what ``except`` catches of what a plugin raises: everything, only Ctrl-C and SIGTERM end the program.

    Python evaluates the expression of an ``except`` clause when something was raised, and so this sees what it was.
    """
    return Exception if issubclass(type(sys.exception()), KeyboardInterrupt) else BaseException


@contextmanager
def forgiven() -> Iterator[None]:
    """Let what a plugin raises pass without a word, where nothing depends on it any more."""
    try:
        yield
    except all_but_interrupts():
        pass


def sentence_of(error: BaseException, culprit: object = None) -> str:
    """Say in one line what was raised, and in which file and line of the plugin; show more where that is asked for.

    An error of ww's own tree speaks for itself. After ``--verbose``, or with ``WW_DEBUG``, the traceback is printed on
    stderr, from the first frame of the plugin on.

    Args:
        error: What was raised. It may be of an untrusted class: whatever is asked of it may raise.
        culprit: The plugin's function, class, instance or module that ww called, or the name of the module; None where
            ww called no plugin, so that no file is to blame.
    """
    try:
        return _sentence_of(error, _home_of(culprit))
    except all_but_interrupts():
        return f"{kind_of(error)}: no message"


def text_of(thing: object) -> str:
    """Return in one line what a stranger's object says of itself, cut if it is long; empty if it says nothing."""
    try:
        text = str.__getitem__(str(thing), slice(LONGEST_TEXT + 1))  # which is plain, whatever class of text it was
    except all_but_interrupts():
        return ""
    return " ".join((text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}...").split())


def reason_of(missing: NoValue) -> str:
    """Return why there is no value, in one line; a class that keeps its reason to itself says it as its text."""
    try:
        return text_of(missing.reason)
    except all_but_interrupts():
        return text_of(missing)


def kind_of(thing: object) -> str:
    """Return the name of the class of a stranger's object, which the class itself may not be willing to tell."""
    name: str = type.__dict__["__name__"].__get__(type(thing))
    return name


def _sentence_of(error: BaseException, home: str) -> str:
    frames = list(_frames_of(error, home)) if home else []
    if frames and (is_verbose() or os.environ.get(DEBUG_VARIABLE)):
        sys.stderr.write(_shown(error, frames[0]))
    if isinstance(error, WWError):
        return text_of(error)
    place = _place_in_source(error) or (_place(frames[-1]) if frames else "")
    text = text_of(error.msg if place and isinstance(error, SyntaxError) else error) or "no message"
    return f"{kind_of(error)}: {text}{f' ({place})' if place else ''}"


def picture_of(error: BaseException) -> str:
    """Return the source line of a syntax error with its caret, as Python shows it; empty for any other error."""
    if not _place_in_source(error):
        return ""
    try:
        return "".join(traceback.format_exception_only(error)).rstrip("\n")
    except all_but_interrupts():
        return ""


def _home_of(culprit: object) -> str:
    """Return the name of the package or module that a plugin's thing belongs to; empty if it is ww's own."""
    name: object = culprit
    try:
        if not isinstance(culprit, str):
            name = getattr(culprit, "__name__" if isinstance(culprit, ModuleType) else "__module__", "")
    except all_but_interrupts():
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
    try:
        if not isinstance(error, SyntaxError):
            return ""
        known = isinstance(error.filename, str) and error.filename.endswith(".py") and isinstance(error.lineno, int)
        return f"{_file_name(error.filename or '')}:{error.lineno}" if known else ""
    except all_but_interrupts():
        return ""


def _file_name(path: str) -> str:
    """Return the name of a file; of a package's first file with the package, since all are called the same."""
    pure = PurePath(path)
    return f"{pure.parent.name}/{pure.name}" if pure.name == "__init__.py" else pure.name


def _shown(error: BaseException, first: TracebackType) -> str:
    try:
        lines = "".join(traceback.format_exception(type(error), error, first)).splitlines()
    except all_but_interrupts():  # an exception of an untrusted class may not even let itself be shown
        lines = [*"".join(traceback.format_tb(first)).splitlines(), kind_of(error)]
    return "".join(f"{printable(line)}\n" for line in lines)
