"""Public: what a command that draws a picture needs. Drawing takes the extra ``plot``."""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from typing import TYPE_CHECKING

from ww_core.errors import MissingExtraError, OutputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from matplotlib.figure import Figure

FORMATS = (".png", ".svg", ".pdf")


def check_plot(file: Path, option: str = "--plot") -> None:
    """Raise before anything is computed if no picture can be drawn there.

    Args:
        file: The picture.
        option: How a person named it, for messages.

    Raises:
        UsageError: The name does not end as a picture's does.
        OutputError: Its folder is missing, or it cannot be written.
        MissingExtraError: matplotlib is not installed.
    """
    if file.suffix.lower() not in FORMATS:
        raise UsageError(f"{option} {file}: a picture's name ends in {', '.join(FORMATS)}")
    try:
        if not file.parent.is_dir():
            raise OutputError(f"{option} {file}: there is no folder {file.parent}")
        if file.is_dir() or not os.access(file if file.exists() else file.parent, os.W_OK):
            raise OutputError(f"{option} {file} cannot be written: it is a folder, or read-only for this user")
    except OSError as error:  # such as a name that is too long
        raise OutputError(f"{option} {file} cannot be written: {error.strerror or error}") from error
    try:
        import matplotlib.figure  # noqa: F401 - whether it is there
    except ImportError:
        raise MissingExtraError("matplotlib is not installed: pip install 'ww-core[plot]'") from None


@contextlib.contextmanager
def _silence_on_letters() -> Iterator[None]:
    """Let matplotlib say nothing of letters that its font has not: it warns of some, and logs others."""
    log = logging.getLogger("matplotlib.mathtext")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def save_plot(figure: Figure, file: Path, option: str = "--plot") -> None:
    """Write a picture.

    Raises:
        OutputError: The file cannot be written.
    """
    with _silence_on_letters():
        try:
            figure.savefig(file, dpi=130)
        except OSError as error:
            raise OutputError(f"{option} {file} cannot be written: {error.strerror or error}") from error
