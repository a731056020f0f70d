"""What the corpus holds: a source that lies, or would cost or do something, and what the program may answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

READ, REFUSED = 0, 3
"""Exit codes of the program."""

CANARY = "canary"
"""A file that is made if something of a source is run."""


class Hostile(NamedTuple):
    """A source.

    Attributes:
        write: Writes it into a folder, and returns the path that is named to the program.
        codes: How the program may end: it refuses the source, or reads what is sound in it.
    """

    write: Callable[[Path], Path]
    codes: tuple[int, ...] = (REFUSED,)


def of_bytes(content: bytes | Callable[[], bytes], name: str) -> Callable[[Path], Path]:
    """Write a file that has this content."""

    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content if isinstance(content, bytes) else content())
        return folder / name

    return write
