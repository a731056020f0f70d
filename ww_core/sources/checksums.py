"""Checksums that containers keep of their bytes, compared while the bytes are read for a digest."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ww_core.contracts.loader import Checksum, FileRange

BLOCK = 1 << 24
"""Bytes that are looked at at a time."""


class Checks:
    """The checksums of one checkpoint. Each is compared once, however many tensors lie in its bytes.

    Attributes:
        damaged: Checksums that do not match, with the names of the tensors that lie in their bytes.
        damaged_tensors: All of these names.
    """

    def __init__(self) -> None:
        self.damaged: dict[Checksum, list[str]] = {}
        self.damaged_tensors: set[str] = set()
        self._matches: dict[Checksum, bool] = {}

    def begin(self, checksums: Sequence[Checksum], where: FileRange | None) -> Running:
        """Begin to read a tensor.

        Args:
            checksums: What is said of the bytes that it lies in.
            where: The bytes that will be read, where they are one range of a file.
        """
        return Running(where if any(own.range == where and own not in self._matches for own in checksums) else None)

    def end(self, name: str, checksums: Sequence[Checksum], running: Running) -> None:
        """Compare what is said of a tensor's bytes, which have been read; of what they are a part of, read it all.

        Raises:
            SourceError: It cannot be read.
        """
        for checksum in checksums:
            if checksum not in self._matches:
                crc32 = running.crc32 if checksum.range == running.where else _crc32(checksum.range)
                self._matches[checksum] = crc32 == checksum.crc32
            if not self._matches[checksum]:
                self.damaged.setdefault(checksum, []).append(name)
                self.damaged_tensors.add(name)


class Running:
    """The CRC-32 of bytes that come block by block.

    Attributes:
        where: Where they lie; None where nobody asks for it, and it is not computed.
        crc32: That of the bytes so far.
    """

    def __init__(self, where: FileRange | None) -> None:
        self.where = where
        self.crc32 = 0

    def update(self, block: memoryview) -> None:
        """Add a block."""
        if self.where is not None:
            self.crc32 = zlib.crc32(block, self.crc32)


def _crc32(where: FileRange) -> int:
    import numpy as np

    crc32 = 0
    for begin in range(0, where.nbytes, BLOCK):
        length = min(BLOCK, where.nbytes - begin)
        with where.source.array(where.offset + begin, np.dtype(np.uint8), (length,)) as content:
            crc32 = zlib.crc32(content.data, crc32)
    return crc32
