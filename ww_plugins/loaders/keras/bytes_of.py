"""The bytes of an HDF5 file, wherever it lies: read within its bounds, and paid for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    import ww_core as ww


class Fault(Exception):  # noqa: N818 - a reason, put into a sentence by who knows the file
    """In what a file contradicts itself."""


@dataclass(frozen=True, slots=True)
class Extent:
    """Where an HDF5 file lies in a file: it is the file, or a part of an archive."""

    file: ww.Source
    begin: int
    size: int


class Reader:
    """Reads parts of an HDF5 file; all of them draw on the budget of the source.

    Attributes:
        extent: The file.
    """

    def __init__(self, extent: Extent, handle: BinaryIO) -> None:
        self.extent, self._handle = extent, handle

    def read(self, place: int, size: int) -> bytes:
        """Return some bytes.

        Raises:
            Fault: They are not all in the file.
            SourceError: They take more than the budget.
        """
        if place + size > self.extent.size:
            raise Fault("it names bytes behind its end")
        self.extent.file.budget.take("text", size)
        self._handle.seek(self.extent.begin + place)
        content = self._handle.read(size)
        if len(content) < size:
            raise Fault("it ends early")
        return content


class Parts:
    """Takes bytes apart, from the first to the last."""

    def __init__(self, content: bytes) -> None:
        self._content, self._place = content, 0

    @property
    def left(self) -> int:
        """How many bytes were not yet taken."""
        return len(self._content) - self._place

    def take(self, size: int) -> bytes:
        """Take some bytes.

        Raises:
            Fault: So many are not left.
        """
        if size > self.left:
            raise Fault("a part of it is shorter than it says")
        self._place += size
        return self._content[self._place - size : self._place]

    def number(self, size: int) -> int:
        """Take an unsigned number."""
        return int.from_bytes(self.take(size), "little")

    def padded(self, size: int) -> bytes:
        """Take some bytes, and those behind them up to a multiple of eight."""
        return self.take(-(-size // 8) * 8)[:size]
