"""Files and folders of this machine, read in place.

Nothing is held open between two readings. Each opens the file anew, makes sure that it is the one that was first looked
at, and maps the bytes that are asked for; so any number of threads may read, and a file that was cut short, rewritten
or replaced in the meantime is an error instead of a signal. What remains is a file that is cut short while an array is
in use: the system then ends the process when bytes are touched that are gone (SIGBUS). Views that outlive their context
stay valid, and read the file again where they are touched.

Symbolic links that were not named by the user are followed inside their folder and, in a cache of the Hugging Face hub
(``snapshots/REVISION/FILE -> ../../blobs/HASH``), to the blobs beside it.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import math
import mmap
import os
import stat
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from ww_core.contracts.source import Source
from ww_core.errors import CorruptFileError, SourceError
from ww_core.loading.names import legible

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class FileSource(Source):
    """A file or a folder of this machine; of a file, as it was when it was first looked at.

    Args:
        path: The path, as it was named.
    """

    path: Path

    def __init__(self, path: Path) -> None:
        self.path = path
        self.label = legible(str(path))

    @functools.cached_property
    def location(self) -> str:  # type: ignore[override] # it takes a look at the folders above
        """The absolute path, without symbolic links."""
        return str(self.path.resolve())

    @property
    def address(self) -> str:  # type: ignore[override]
        """The same."""
        return str(self.path.absolute())

    @property
    def name(self) -> str:
        """The last part of the path, as it was named."""
        return self.path.name

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        try:
            return self.path.is_dir()
        except (OSError, ValueError):
            return False

    def names(self) -> list[str]:
        """List the names of what a folder holds, without hidden ones."""
        try:
            with os.scandir(self.path) as entries:
                return [entry.name for entry in entries if not entry.name.startswith(".")]
        except OSError as error:
            raise SourceError(f"{self.label}: the folder cannot be read: {error.strerror}") from None

    def entry(self, name: str) -> FileSource:
        """Return a file of the folder, once it is sure that no link leads out of it."""
        file = FileSource(self.path / name)
        real, home = file._looked_at.real, self.path.resolve()
        if real.is_relative_to(home):
            return file
        for parent in home.parents:
            if parent.name == "snapshots" and real.parent == parent.parent / "blobs":
                return file
        raise SourceError(
            f"{file.label}: this is a symbolic link that leads out of its folder, to {legible(str(real))}; "
            "if you trust it, name that file itself"
        )

    @property
    def folder(self) -> FileSource:
        """The folder that it lies in."""
        return FileSource(self.path.parent)

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._looked_at.size

    def stamp(self) -> tuple[int, ...]:
        """Return size, times of modification and change, and inode: a copied modification time does not hide a change.

        Raises:
            OSError: The file is gone.
        """
        status = os.stat(self.location)  # noqa: PTH116 - one call for all of it
        return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino

    @functools.cached_property
    def _looked_at(self) -> _Look:
        """What was found at the first look.

        Raises:
            SourceError: There is no such file, it may not be read, or it is no regular file.
        """
        try:
            real = self.path.resolve(strict=True)
            status = real.stat()
            # Before anything is opened: opening a pipe waits for its other end, and opening a device may act on it.
            if not stat.S_ISREG(status.st_mode):
                raise SourceError(f"{self.label}: this is {_what(status.st_mode)}, not a regular file")
            return _Look(real, status.st_size, _stamp(status))
        except (OSError, RuntimeError, ValueError) as error:
            cause = why_missing(self.path) if isinstance(error, FileNotFoundError) else _cause(error)
            raise SourceError(f"{self.label}: {cause}") from None

    def open(self) -> BinaryIO:
        """Open the file, once it is sure that it is the one that was looked at."""
        look = self._looked_at
        try:
            descriptor = os.open(look.real, _FLAGS)
        except OSError as error:
            raise SourceError(f"{self.label}: {_cause(error)}") from None
        file = os.fdopen(descriptor, "rb")
        if _stamp(os.fstat(descriptor)) != look.stamp:
            file.close()
            raise CorruptFileError(f"{self.label}: the file has changed since it was opened")
        return file

    @contextlib.contextmanager
    def array(self, offset: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Iterator[npt.NDArray[Any]]:
        """Give the numbers from ``offset`` as a read-only array that lies in the file; its memory is freed on leaving.

        Raises:
            SourceError: They cannot be had.
        """
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
                raise SourceError(f"{self.label}: {_cause(error)}") from None
        try:
            yield np.frombuffer(mapping, dtype, count=size, offset=start).reshape(shape)
        finally:
            # The caller's variable still holds the array here, so the mapping cannot be closed: it goes with the last
            # view of it. What counts is the memory, and the pages can be given back now.
            if hasattr(mapping, "madvise"):
                mapping.madvise(mmap.MADV_DONTNEED)


def why_missing(path: Path) -> str:
    """Tell why there is nothing at a path: nothing has the name, or a symbolic link on the way leads nowhere."""
    with contextlib.suppress(OSError, ValueError):  # no file can have such a name
        for own in (path, *path.parents):
            if own.is_symlink() and not own.exists():
                link = "this" if own == path else legible(str(own))
                return f"{link} is a symbolic link {_end_of(own)}"
    return "there is no such file or folder"


def _end_of(link: Path) -> str:
    try:
        link.stat()
    except OSError as error:
        if error.errno == errno.ELOOP:
            return "that leads back to itself"
    return f"to {legible(os.path.realpath(link))}, and nothing is there"


class _Look(NamedTuple):
    """A regular file as it was: its path without links, its bytes, and what tells it from another content."""

    real: Path
    size: int
    stamp: tuple[int, int, int, int]


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
