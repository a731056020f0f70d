"""How much is said on stderr: less after ``--quiet``, more after ``--verbose``."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

VERBOSITY_VARIABLE = "WW_VERBOSITY"
"""Environment variable: ``quiet`` or ``verbose``, as the options say; worker processes read it too."""


def is_quiet() -> bool:
    """Tell whether notes and progress are left out; warnings, failures and errors never are."""
    return os.environ.get(VERBOSITY_VARIABLE) == "quiet"


def is_verbose() -> bool:
    """Tell whether tracebacks of plugins, what is read and how long it takes are said too."""
    return os.environ.get(VERBOSITY_VARIABLE) == "verbose"


@contextlib.contextmanager
def verbosity_kept() -> Iterator[None]:
    """Let what options say inside the block end with it."""
    before = os.environ.get(VERBOSITY_VARIABLE)
    try:
        yield
    finally:
        os.environ.pop(VERBOSITY_VARIABLE, None)
        if before is not None:
            os.environ[VERBOSITY_VARIABLE] = before
