"""Tensors that lie in files as rows of numbers: what loaders share that read tensors where they lie."""

from __future__ import annotations

import math
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ww_core.contracts.loader import Checkpoint, Checksum, FileRange
from ww_core.domain.layer import ITEM_SIZES, SkippedTensor, TensorSpec
from ww_core.domain.rounding import Rounding
from ww_core.errors import CorruptFileError, SourceError
from ww_core.loading.contents import BITS, as_bytes, description_of, joined, raw_dtype, told_of
from ww_core.loading.excess import refuse_excess
from ww_core.loading.names import natural_order, quoted
from ww_core.loading.parametrized import Parametrized, acting
from ww_core.loading.state_dict import FoundTensor, Module, Part, plain_names, sort_state_dict

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    import numpy as np
    import numpy.typing as npt

    from ww_core.contracts.source import Source


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
        make: Makes the numbers of the parts, in C order, anew each time that they are read; None where they are stored.
        rounding: How precisely its numbers were stored, where its dtype does not say it.
        checksums: What the file says of the bytes in which it lies.
        part: What the file says that it is; None if only its name and shape can tell.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Source
    offset: int = 0
    strides: tuple[int, ...] = ()
    big_endian: bool = False
    content: bytes | None = None
    fault: str = ""
    parts: tuple[StoredTensor, ...] = ()
    described: str = ""
    make: Callable[[], npt.NDArray[Any]] | None = None
    rounding: Rounding = field(default_factory=Rounding)
    checksums: tuple[Checksum, ...] = ()
    part: Part | None = None

    @property
    def place(self) -> tuple[object, ...] | None:
        """Equal for tensors that are the same numbers; None if that cannot be."""
        if self.content is not None or self.fault or 0 in self.shape:
            return None
        if self.parts:
            places = tuple(part.place for part in self.parts)
            is_known = self.make is not None and None not in places
            return (self.described, self.offset, self.shape, self.strides, places) if is_known else None
        return (self.file.location, self.offset, self.dtype, self.shape, self.strides)

    @property
    def content_key(self) -> Hashable:
        """Equal for tensors whose content is read from the same bytes in the same way."""
        parts = tuple(part.content_key for part in self.parts)
        read_as = (self.dtype, self.shape, self.strides, self.big_endian, self.described)
        return (self.file.location, self.offset, id(self.content), read_as, parts)

    @property
    def range(self) -> FileRange | None:
        """Where its bytes lie, if that is one range of the file and they are canonical."""
        if self.strides or self.big_endian or self.content is not None or self.parts or self.fault:
            return None
        return FileRange(self.file, self.offset, self.nbytes)

    @property
    def readable(self) -> bool:
        """Whether its content can be had as bytes."""
        return bool(self.parts) or not self.fault

    @property
    def nbytes_read(self) -> int:
        """Bytes that reading its content takes, with those of the numbers that are made."""
        return self.nbytes_stored + (self.nbytes if self.make is not None else 0)

    @property
    def nbytes_stored(self) -> int:
        """Bytes of files that reading its content takes."""
        if not self.readable:
            return 0
        return sum(part.nbytes_stored for part in self.parts) if self.parts else self.nbytes

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

        if self.parts and self.make is None:
            yield joined(self.described, (part.read_bytes() for part in self.parts))
        elif self.strides or self.big_endian or self.make is not None:
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
        count = math.prod(self.shape)
        if self.strides:
            count = 1 + sum((length - 1) * stride for length, stride in zip(self.shape, self.strides, strict=True))
        if self.make is not None:
            first = self.offset // dtype.itemsize
            return nullcontext(as_bytes(self.make()).view(dtype)[first : first + count])
        return self.file.array(self.offset, dtype, (count,))


def transposed(tensor: StoredTensor, axes: Sequence[int]) -> StoredTensor:
    """Return a tensor with its axes in another order, as ``numpy.transpose`` gives it: nothing is moved in the file.

    Args:
        tensor: The tensor.
        axes: Axis ``i`` of the result is axis ``axes[i]`` of the tensor.
    """
    strides = tensor.strides or contiguous_strides(tensor.shape)
    shape, steps = (tuple(own[axis] for axis in axes) for own in (tensor.shape, strides))
    return with_strides(tensor, shape, steps)


def with_strides(tensor: StoredTensor, shape: tuple[int, ...], strides: tuple[int, ...]) -> StoredTensor:
    """Return the numbers of a tensor in another shape, ``strides`` numbers apart along its axes."""
    return replace(tensor, shape=shape, strides=() if is_contiguous(shape, strides) else strides)


def is_contiguous(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Tell whether numbers lie in C order: the stride along an axis of length 1 means nothing."""
    pairs = zip(shape, strides, contiguous_strides(shape), strict=True)
    return 0 in shape or all(step == usual for length, step, usual in pairs if length != 1)


def contiguous_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return how many numbers lie from one to the next along each axis, where they lie in C order."""
    steps, step = [], 1
    for length in reversed(shape):
        steps.append(step)
        step *= length
    return tuple(reversed(steps))


@dataclass(frozen=True, slots=True)
class MappedFile:
    """What a file holds.

    Attributes:
        file: The file.
        tensors: Its tensors, in its order.
        modules: What the file says of the modules that hold them, by path.
        warnings: Sentences the user should see.
    """

    file: Source
    tensors: tuple[StoredTensor, ...]
    modules: Mapping[str, Module] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


class MappedCheckpoint(Checkpoint):
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
            CorruptFileError: Two files hold the same tensor, or the tensors of one overlap too much.
        """
        self.format = format_name
        found: dict[str, StoredTensor] = {}
        modules: dict[str, Module] = {}
        said = list(warnings)
        for content in files:
            refuse_excess(content)
            for tensor in content.tensors:
                if tensor.name in found:
                    other = found[tensor.name].file.label
                    raise CorruptFileError(f"{content.file.label}: tensor {quoted(tensor.name)} is also in {other}")
                found[tensor.name] = tensor
            modules |= content.modules
            said += content.warnings
        if not ordered:
            found = {name: found[name] for name in sorted(found, key=natural_order)}
        told = acting(found, {name: tensor.shape for name, tensor in found.items() if _is_numeric(tensor)}, _made)
        plain = plain_names(list(told.tensors))
        self._places = {plain[name]: tensor for name, tensor in told.tensors.items()}
        makes = {plain[name]: own._replace(tensor=plain[own.tensor]) for name, own in told.makes.items()}
        state = sort_state_dict(
            [_found(name, tensor)._replace(makes=makes.get(name)) for name, tensor in self._places.items()],
            {_path(plain[name]): modules[_path(name)] for name in plain if _path(name) in modules},
        )
        self.layers, self.buffers, self.skipped = state.layers, state.buffers, state.skipped
        self.warnings = (*said, *told.warnings)

    def read(self, tensor: TensorSpec) -> AbstractContextManager[npt.NDArray[Any]]:
        """Give one tensor, mapped where its file lies on this machine."""
        return self._places[tensor.name].read()

    def read_bytes(self, tensor: SkippedTensor) -> AbstractContextManager[npt.NDArray[np.uint8]]:
        """Map one tensor that is skipped, whatever its dtype; what is stored in parts is put together."""
        if not tensor.readable:
            raise SourceError(f"the content of tensor {quoted(tensor.name)} cannot be read: {tensor.reason}")
        return self._places[tensor.name].read_bytes()

    def nbytes(self, tensor: TensorSpec | SkippedTensor) -> int:
        """Return the bytes that are read of a tensor: what is stored in parts may have many more numbers."""
        return self._places[tensor.name].nbytes_read

    def checksums(self, tensor: TensorSpec | SkippedTensor) -> tuple[Checksum, ...]:
        """Return what the file says of the bytes in which a tensor lies."""
        return self._places[tensor.name].checksums

    def content_key(self, tensor: TensorSpec | SkippedTensor) -> Hashable:
        """Return what is equal for tensors whose content is read from the same bytes in the same way."""
        return self._places[tensor.name].content_key

    def locate(self, tensor: TensorSpec | SkippedTensor) -> FileRange | None:
        """Tell file, offset and length, if that is one range; the path is absolute and without symbolic links."""
        return self._places[tensor.name].range


def _is_numeric(tensor: StoredTensor) -> bool:
    return (
        tensor.part is None
        and not tensor.fault
        and (tensor.dtype in ITEM_SIZES or tensor.dtype in {"bool", "uint8", "int8"})
    )


def _made(own: Parametrized, parts: Sequence[StoredTensor]) -> StoredTensor:
    """Return the tensor that others make, each time that it is read."""

    def make() -> npt.NDArray[Any]:
        with ExitStack() as stack:
            return own.of([stack.enter_context(part.read()) for part in parts])

    base = parts[0]
    described = description_of([own.what, [[part.dtype, part.shape] for part in parts]])
    return StoredTensor(
        own.name, base.dtype, base.shape, base.file, parts=tuple(parts), described=described, make=make,
        rounding=base.rounding,
    )  # fmt: skip


def _found(name: str, tensor: StoredTensor) -> FoundTensor:
    told = told_of(tensor.dtype, tensor.shape)
    return FoundTensor(name, *told, tensor.place, tensor.fault, tensor.readable, tensor.rounding, tensor.part)


def _path(name: str) -> str:
    return name.rpartition(".")[0]


def _numpy_dtype(name: str) -> np.dtype[Any]:
    import ml_dtypes
    import numpy as np

    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)
