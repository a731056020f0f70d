"""Regular files, read by mapping: what loaders share that read tensors where they lie.

Nothing is held open between two readings. Each opens the file anew, makes sure that it is the one whose header was
read, and maps the bytes of one tensor; so any number of threads may read, and a file that was cut short, rewritten or
replaced in the meantime is an error instead of a signal. What remains is a file that is cut short while an array is in
use: the system then ends the process when bytes are touched that are gone (SIGBUS). Views that outlive their context
stay valid, and read the file again where they are touched.
"""

from __future__ import annotations

import errno
import mmap
import os
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import ww_core as ww
from ww_plugins.loaders.names import legible

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


@dataclass(frozen=True, slots=True)
class RegularFile:
    """A file as it was when it was first looked at.

    Attributes:
        label: As it was named, for messages.
        real: Absolute and without symbolic links; what is opened.
        size: Its bytes.
        stamp: Device, inode, size and time of modification: another stamp is another content.
    """

    label: str
    real: Path
    size: int
    stamp: tuple[int, int, int, int]

    @classmethod
    def at(cls, path: Path) -> RegularFile:
        """Look at ``path``.

        Raises:
            SourceError: There is no such file, it may not be read, or it is no regular file.
        """
        label = legible(str(path))
        try:
            real = path.resolve(strict=True)
            status = real.stat()
            # Before anything is opened: opening a pipe waits for its other end, and opening a device may act on it.
            if not stat.S_ISREG(status.st_mode):
                raise ww.SourceError(f"{label}: this is {_what(status.st_mode)}, not a regular file")
            return cls(label, real, status.st_size, _stamp(status))
        except (OSError, RuntimeError, ValueError) as error:
            raise ww.SourceError(f"{label}: {_cause(error)}") from None

    def open(self) -> BinaryIO:
        """Open the file for reading.

        Raises:
            CorruptFileError: It is not the file any more that was looked at.
            SourceError: It cannot be opened.
        """
        try:
            descriptor = os.open(self.real, _FLAGS)
        except OSError as error:
            raise ww.SourceError(f"{self.label}: {_cause(error)}") from None
        file = os.fdopen(descriptor, "rb")
        if _stamp(os.fstat(descriptor)) != self.stamp:
            file.close()
            raise ww.CorruptFileError(f"{self.label}: the file has changed since it was opened")
        return file

    def head(self, nbytes: int) -> bytes:
        """Return the first bytes, or all if there are fewer.

        Raises:
            SourceError: They cannot be had.
        """
        return self.bytes_at(0, min(nbytes, self.size))

    def bytes_at(self, offset: int, nbytes: int) -> bytes:
        """Return a copy of ``nbytes`` bytes from ``offset``.

        Raises:
            SourceError: They cannot be had.
        """
        with self.open() as file:
            try:
                file.seek(offset)
                content = file.read(nbytes)
            except OSError as error:
                raise ww.SourceError(f"{self.label}: {_cause(error)}") from None
        if len(content) < nbytes:
            raise ww.CorruptFileError(f"{self.label}: the file ends {nbytes - len(content)} bytes early")
        return content

    @contextmanager
    def array(self, offset: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Iterator[npt.NDArray[Any]]:
        """Give the numbers from ``offset`` as a read-only array that lies in the file; its memory is freed on leaving.

        Raises:
            SourceError: They cannot be had.
        """
        import math

        import numpy as np

        size = math.prod(shape)
        if size == 0:
            empty = np.empty(shape, dtype)
            empty.flags.writeable = False
            yield empty
            return
        start = offset % mmap.ALLOCATIONGRANULARITY
        with self.open() as file:
            try:
                mapping = mmap.mmap(
                    file.fileno(), start + size * dtype.itemsize, access=mmap.ACCESS_READ, offset=offset - start
                )
            except (OSError, ValueError, OverflowError) as error:
                raise ww.SourceError(f"{self.label}: {_cause(error)}") from None
        try:
            yield np.frombuffer(mapping, dtype, count=size, offset=start).reshape(shape)
        finally:
            # The caller's variable still holds the array here, so the mapping cannot be closed: it goes with the last
            # view of it. What counts is the memory, and the pages can be given back now.
            if hasattr(mapping, "madvise"):
                mapping.madvise(mmap.MADV_DONTNEED)


def _stamp(status: os.stat_result) -> tuple[int, int, int, int]:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def _what(mode: int) -> str:
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return kinds.get(stat.S_IFMT(mode), "a special file")


def _cause(error: Exception) -> str:
    if isinstance(error, RuntimeError) or (isinstance(error, OSError) and error.errno == errno.ELOOP):
        return "the symbolic link leads back to itself"
    if isinstance(error, OSError) and error.strerror:
        return f"it cannot be read: {error.strerror}"
    return f"it cannot be read: {error}"
