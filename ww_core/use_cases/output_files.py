"""Files that plugins write: whole or not there, and nothing is overwritten unless that was said."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from ww_core.store.new_files import place_of
from ww_core.use_cases.value_files import check_new_table, new_table

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator
    from pathlib import Path


def output_place(path: str | os.PathLike[str], *, replace: bool = False) -> Path:
    """Return the absolute path of a file that is to be made; it raises before anything is computed if none can be.

    Args:
        path: The file.
        replace: Whether a file that is there already gives way.

    Raises:
        UsageError: It is there already, or the path looks like an address.
        OutputError: Its folder is missing or read-only, or it is a folder itself, a pipe, a device or a database.
    """
    target = place_of(path)
    check_new_table(target, replace=replace)
    return target


@contextlib.contextmanager
def new_output(path: str | os.PathLike[str], *, replace: bool = False) -> Iterator[Path]:
    """Give the path of a file to write, which takes its place when the block has ended without an exception.

    Args:
        path: Its place.
        replace: Whether a file that is there already gives way.

    Raises:
        UsageError: It is there already, or the path looks like an address.
        OutputError: The file cannot be written.
    """
    with new_table(place_of(path), replace=replace) as file:
        yield file
