"""Sources: what a person named, before anybody knows its format; and openers, which find them."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

from ww_core.contracts.budget import FILES, LIMITS, Budget
from ww_core.contracts.variant import Variant
from ww_core.errors import CorruptFileError, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt


class Source(ABC):
    """A file or a folder behind an address, or a Python object; a loader reads it and need not ask where bytes lie.

    What is asked of a source that it has not, such as bytes of a folder or of an object, is a SourceError.

    Attributes:
        label: How it is named to people: printable, without secrets.
        location: Where it lies, as the store keeps it: an absolute path without symbolic links, or a URL without
            secrets; empty for an object.
        address: What its opener opens again in another process; empty for an object.
        path: The local path, as it was named; None if there is none.
        is_object: Whether it is a Python object, and nothing behind an address.
        value: The object.
    """

    label: str
    location: str = ""
    address: str = ""
    path: Path | None = None
    is_object: bool = False
    value: object = None

    def __repr__(self) -> str:
        return f"<ww.Source {self.label}>"

    @functools.cached_property
    def budget(self) -> Budget:
        """What may be taken in reading its headers; the files of a folder have parts of the folder's."""
        return Budget(self.label)

    @property
    def name(self) -> str:
        """The last part of its address."""
        return self.location.rpartition("/")[2]

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return False

    def names(self) -> Sequence[str]:
        """List the names of what a folder holds, without those that begin with a dot, in any order."""
        raise SourceError(f"{self.label}: this is not a folder")

    def entry(self, name: str) -> Source:
        """Return the file of this name in a folder. It was found there and not named by the user.

        Raises:
            SourceError: There is no such file, it is no regular file, or it is a link that leads out of the folder.
        """
        raise SourceError(f"{self.label}: this is not a folder that could hold {name!r}")

    @property
    def folder(self) -> Source:
        """The folder that a file lies in."""
        raise SourceError(f"{self.label}: this lies in no folder")

    @property
    def size(self) -> int:
        """Bytes of a file, as it was when it was first looked at."""
        raise SourceError(f"{self.label}: this has no bytes")

    def stamp(self) -> tuple[int | str, ...]:
        """Return what changes whenever the bytes of the file do, as it is now; nothing if that cannot be told.

        Raises:
            OSError: The file is gone.
        """
        raise SourceError(f"{self.label}: this has no bytes")

    def open(self) -> BinaryIO:
        """Open a file for reading from any place in it.

        Raises:
            SourceError: It cannot be opened.
            CorruptFileError: It is not the file any more that was first looked at.
        """
        raise SourceError(f"{self.label}: this has no bytes")

    def head(self, nbytes: int) -> bytes:
        """Return the first bytes of a file, or all if there are fewer."""
        return self.bytes_at(0, min(nbytes, self.size))

    def bytes_at(self, offset: int, nbytes: int) -> bytes:
        """Return a copy of ``nbytes`` bytes from ``offset``.

        Raises:
            SourceError: They cannot be had.
            CorruptFileError: The file ends before.
        """
        with self.open() as file:
            try:
                file.seek(offset)
                content = file.read(nbytes)
            except OSError as error:
                raise SourceError(f"{self.label}: it cannot be read: {error.strerror or error}") from None
        if len(content) < nbytes:
            raise CorruptFileError(f"{self.label}: the file ends {nbytes - len(content)} bytes early")
        return content

    @contextmanager
    def array(self, offset: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Iterator[npt.NDArray[Any]]:
        """Give the numbers from ``offset`` as a read-only array in C order; leaving the context frees it.

        Raises:
            SourceError: They cannot be had.
            CorruptFileError: The file ends before.
        """
        import math

        import numpy as np

        content = self.bytes_at(offset, math.prod(shape) * dtype.itemsize)
        yield np.frombuffer(content, dtype).reshape(shape)


class ObjectSource(Source):
    """A Python object, such as a dict of arrays."""

    is_object = True

    def __init__(self, value: object) -> None:
        self.value = value
        self.label = OBJECT_LABEL.format(type(value).__name__)
        # It is somebody's own, and in memory already.
        self.budget = Budget(self.label, {what: FILES * limit for what, limit in LIMITS.items()})

    @property
    def name(self) -> str:
        """The name of its type."""
        return type(self.value).__name__


OBJECT_LABEL = "<{} object>"


class Opener(Variant):
    """Finds what the addresses of some schemes lead to. Subclass it as a frozen dataclass of its options.

    Attributes:
        name: Its name.
        description: One line on what it opens.
        schemes: What stands before ``://``; the empty text for plain paths.
        extra: The extra of ww that installs what it needs; empty if nothing is needed.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    schemes: ClassVar[tuple[str, ...]]
    extra: ClassVar[str] = ""

    @abstractmethod
    def open(self, address: str) -> Source:
        """Find what an address leads to.

        Raises:
            SourceError: There is nothing, or it cannot be looked at.
            MissingExtraError: What it needs is not installed.
        """
