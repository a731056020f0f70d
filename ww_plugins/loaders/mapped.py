"""Tensors in regular files, read by mapping: what loaders share that read tensors where they lie.

Nothing is held open between two readings. Each opens the file anew, makes sure that it is the one whose header was
read, and maps the bytes of one tensor; so any number of threads may read, and a file that was cut short, rewritten or
replaced in the meantime is an error instead of a signal. What remains is a file that is cut short while an array is in
use: the system then ends the process when bytes are touched that are gone (SIGBUS). Views that outlive their context
stay valid, and read the file again where they are touched.
"""

from __future__ import annotations

import errno
import math
import mmap
import os
import stat
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

import ww_core as ww
from ww_plugins.loaders.contents import BITS, as_bytes, joined, raw_dtype, told_of
from ww_plugins.loaders.names import legible, natural_order, quoted
from ww_plugins.loaders.state_dict import FoundTensor, Module, plain_names, sort_state_dict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor as the header of its file tells of it; what it says was checked against the file.

    Attributes:
        name: Its name in the file.
        dtype: NumPy's name, as ``bfloat16``.
        shape: Its shape.
        file: Where it lies.
        offset: Of its first number.
        strides: From one number to the next, in numbers, along each axis; empty where they lie in C order.
        big_endian: Whether the bytes of a number are.
        content: Its bytes, where they are not in the file as they are.
        fault: Why it is no row of numbers that can be analysed; empty if it is one.
        parts: What is stored of it, where it is no row of numbers.
        described: What the parts are, with all that makes the tensor but their bytes.
        rounding: How precisely its numbers were stored, where its dtype does not say it.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: RegularFile
    offset: int = 0
    strides: tuple[int, ...] = ()
    big_endian: bool = False
    content: bytes | None = None
    fault: str = ""
    parts: tuple[StoredTensor, ...] = ()
    described: str = ""
    rounding: ww.Rounding = field(default_factory=ww.Rounding)

    @property
    def place(self) -> tuple[object, ...] | None:
        """Equal for tensors that are the same numbers; None if that cannot be."""
        if self.content is not None or self.fault or 0 in self.shape:
            return None
        return (self.file.real, self.offset, self.dtype, self.shape, self.strides)

    @property
    def range(self) -> ww.FileRange | None:
        """Where its bytes lie, if that is one range of the file and they are canonical."""
        if self.strides or self.big_endian or self.content is not None or self.fault:
            return None
        return ww.FileRange(self.file.real, self.offset, self.nbytes)

    @property
    def readable(self) -> bool:
        """Whether its content can be had as bytes."""
        return bool(self.parts) or not self.fault

    @property
    def nbytes(self) -> int:
        """Bytes of its numbers, which are of a dtype of `BITS`."""
        return -(-math.prod(self.shape) * BITS[self.dtype] // 8)

    @contextmanager
    def read(self) -> Iterator[npt.NDArray[Any]]:
        """Give the numbers, little-endian and in C order, read-only; mapped if they lie so, else a copy."""
        with self._canonical(_numpy_dtype(self.dtype)) as numbers:
            yield numbers

    @contextmanager
    def read_bytes(self) -> Iterator[npt.NDArray[np.uint8]]:
        """Give the content as bytes, read-only, whatever the dtype: mapped where it lies so, else a copy."""
        import numpy as np

        if self.parts:
            yield joined(self.described, (part.read_bytes() for part in self.parts))
        elif self.strides or self.big_endian:
            with self._canonical(raw_dtype(self.dtype)) as numbers:
                yield as_bytes(numbers)
        elif self.content is not None:
            yield np.frombuffer(self.content, np.uint8)
        else:
            with self.file.array(self.offset, np.dtype(np.uint8), (self.nbytes,)) as content:
                yield content

    @contextmanager
    def _canonical(self, dtype: np.dtype[Any]) -> Iterator[npt.NDArray[Any]]:
        import numpy as np

        dtype = dtype.newbyteorder(">" if self.big_endian else "<")
        with self._numbers(dtype) as numbers:
            if self.strides:
                steps = [stride * dtype.itemsize for stride in self.strides]
                shaped = np.lib.stride_tricks.as_strided(numbers, self.shape, steps)
            else:
                shaped = numbers.reshape(self.shape)
            if self.strides or self.big_endian:
                shaped = np.array(shaped, dtype=dtype.newbyteorder("<"), order="C")
                shaped.flags.writeable = False
            yield shaped

    def _numbers(self, dtype: np.dtype[Any]) -> AbstractContextManager[npt.NDArray[Any]]:
        """Give all numbers from the first to the last one, in a row."""
        import numpy as np

        if self.content is not None:
            return nullcontext(np.frombuffer(self.content, dtype))
        if not self.strides:
            return self.file.array(self.offset, dtype, (math.prod(self.shape),))
        span = 1 + sum((length - 1) * stride for length, stride in zip(self.shape, self.strides, strict=True))
        return self.file.array(self.offset, dtype, (span,))


@dataclass(frozen=True, slots=True)
class MappedFile:
    """What a file holds.

    Attributes:
        file: The file.
        tensors: Its tensors, in its order.
        modules: What the file says of the modules that hold them, by path.
        warnings: Sentences the user should see.
    """

    file: RegularFile
    tensors: tuple[StoredTensor, ...]
    modules: Mapping[str, Module] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


class MappedCheckpoint(ww.Checkpoint):
    """The tensors of one or several files, each read where it lies."""

    def __init__(
        self, format_name: str, files: Iterable[MappedFile], warnings: Iterable[str] = (), *, ordered: bool
    ) -> None:
        """Gather the tensors of ``files``, whose headers are sound.

        Args:
            format_name: The format, as people know it.
            files: The files.
            warnings: What to say besides what the files have to say.
            ordered: Whether the order of the tensors in a file is that of the model; if not, they get the natural
                order of their names.

        Raises:
            CorruptFileError: Two files hold the same tensor.
        """
        self.format = format_name
        found: dict[str, StoredTensor] = {}
        modules: dict[str, Module] = {}
        said = list(warnings)
        for content in files:
            for tensor in content.tensors:
                if tensor.name in found:
                    other = found[tensor.name].file.label
                    raise ww.CorruptFileError(f"{content.file.label}: tensor {quoted(tensor.name)} is also in {other}")
                found[tensor.name] = tensor
            modules |= content.modules
            said += content.warnings
        names = list(found) if ordered else sorted(found, key=natural_order)
        plain = plain_names(names)
        self._places = {plain[name]: found[name] for name in names}
        state = sort_state_dict(
            [_found(name, tensor) for name, tensor in self._places.items()],
            {_path(plain[name]): modules[_path(name)] for name in names if _path(name) in modules},
        )
        self.layers, self.buffers, self.skipped = state.layers, state.buffers, state.skipped
        self.warnings = tuple(said)

    def read(self, tensor: ww.TensorSpec) -> AbstractContextManager[npt.NDArray[Any]]:
        """Map one tensor; the page's headline says what happens when the file changes."""
        return self._places[tensor.name].read()

    def read_bytes(self, tensor: ww.SkippedTensor) -> AbstractContextManager[npt.NDArray[np.uint8]]:
        """Map one tensor that is skipped, whatever its dtype; what is stored in parts is put together."""
        if not tensor.readable:
            raise ww.SourceError(f"the content of tensor {quoted(tensor.name)} cannot be read: {tensor.reason}")
        return self._places[tensor.name].read_bytes()

    def locate(self, tensor: ww.TensorSpec | ww.SkippedTensor) -> ww.FileRange | None:
        """Tell file, offset and length, if that is one range; the path is absolute and without symbolic links."""
        return self._places[tensor.name].range


def _found(name: str, tensor: StoredTensor) -> FoundTensor:
    told = told_of(tensor.dtype, tensor.shape)
    return FoundTensor(name, *told, tensor.place, tensor.fault, tensor.readable, tensor.rounding)


def _path(name: str) -> str:
    return name.rpartition(".")[0]


def _numpy_dtype(name: str) -> np.dtype[Any]:
    import ml_dtypes
    import numpy as np

    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


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
