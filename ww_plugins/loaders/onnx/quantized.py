"""Weights that are stored as whole numbers with scales: what they stand for is made each time that they are read.

At opening only shapes, dtypes and counts are compared, and the scales are read once, which tell the rounding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import ww_core as ww
from ww_core.loading.contents import BITS, description_of
from ww_core.loading.excess import excess_over_parts
from ww_plugins.loaders.onnx.numbers import FLOAT8, SHORT, largest_of, numbers_of, split
from ww_plugins.loaders.onnx.values import Packed, Quantization, Value

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt

    from ww_core.loading.mapped import StoredTensor

_FEW = 1 << 16  # scales that any weight may have; else each is shared by some numbers
_PADDING = 1 << 20  # bytes: blocks are filled up
_AT_ONCE = 1 << 18  # numbers that are made together
_MOST_STEPS = 1 << 20  # scales of which each one tells the rounding: of more, the largest one does
_OF_A_VISIT, _OF_A_GLANCE = 64, 256  # scales that are read at opening for a visit of the budget: each, and the largest

_STEPS = frozenset({*SHORT, *FLOAT8, "int8", "uint8", "int16", "uint16", "int32"})
_SCALES = frozenset({"float32", "float16", "bfloat16", "float64"})


def dequantized(value: Value, axes: tuple[int, ...], stored: Callable[[Value], StoredTensor]) -> StoredTensor:
    """Return the tensor that is meant, with the axes of the stored one; or the stored one, with its fault.

    Args:
        value: The tensor, and how its numbers are meant.
        axes: Which of its axes is which in ww's layout: roundings are told by that.
        stored: Finds the numbers of a tensor.
    """
    meant = value.quantization
    found = stored(value)
    if meant is None or found.fault:
        return found
    scale, zero = stored(meant.scale), None if meant.zero is None else stored(meant.zero)
    parts = tuple(replace(part, part=None) for part in (found, scale, zero) if part is not None)
    whole: _Whole = (
        _Blocks(found, scale, zero, meant) if isinstance(meant, Packed) else _Scaled(found, scale, zero, meant)
    )
    made = replace(
        found, dtype="float32", shape=whole.shape, offset=0, content=None, parts=parts,
        described=_description(value, parts), make=whole.numbers,
    )  # fmt: skip
    try:
        whole.check()
    except _UnfitError as error:
        return _refused(found, made, str(error))
    if why := excess_over_parts(made):
        return _refused(found, made, why)
    return replace(made, rounding=_rounding(whole, axes))


def are_equal(
    one: Quantization | Packed, other: Quantization | Packed, stored: Callable[[Value], StoredTensor]
) -> bool:
    """Whether two ways in which the same whole numbers are meant have equal scales and zero points."""
    pairs = ((one.scale, other.scale), (one.zero, other.zero))
    return one.layout == other.layout and all(_hold_the_same(*pair, stored) for pair in pairs)


def _hold_the_same(one: Value | None, other: Value | None, stored: Callable[[Value], StoredTensor]) -> bool:
    """Whether two tensors have the same numbers, if those are few; one that is not there has none but zeros."""
    if one is None or other is None:
        return not any(_few(part, stored).any() for part in (one, other) if part is not None)
    if one.tensor is other.tensor:
        return True
    left, right = _few(one, stored), _few(other, stored)
    return len(left) == len(right) and bool((left == right).all())


def _few(value: Value, stored: Callable[[Value], StoredTensor]) -> npt.NDArray[Any]:
    """Return the numbers of a tensor in a row; NaN, which equals nothing, where they are many or no numbers."""
    import numpy as np

    part = stored(value)
    if part.fault or part.dtype not in _STEPS | _SCALES or math.prod(part.shape) > _FEW:
        return np.full(1, np.nan)
    part.file.budget.take("visits", math.prod(part.shape) // _OF_A_VISIT)
    return numbers_of(part, "f8").reshape(-1)


class _UnfitError(Exception):
    """Scales that do not fit the tensor; the message says why."""


def _description(value: Value, parts: tuple[StoredTensor, ...]) -> str:
    meant = value.quantization
    how: Any = {"layout": "onnx-quantized", "parts": [[part.dtype, part.shape] for part in parts], "axes": value.axes}
    if isinstance(meant, Packed):
        how |= {"shape": meant.shape, "bits": meant.bits, "block": meant.block}
    elif meant is not None:
        how |= {"axis": meant.axis, "block": meant.block}
    return description_of(how)


def _refused(found: StoredTensor, made: StoredTensor, why: str) -> StoredTensor:
    """Return a tensor that is not made, but digested by its parts."""
    readable = not any(part.fault for part in made.parts)
    parts, described = (made.parts, made.described) if readable else ((), "")
    return replace(found, fault=f"it is quantized: {why}", parts=parts, described=described)


def _rounding(whole: _Whole, axes: tuple[int, ...]) -> ww.Rounding:
    fraction = FLOAT8.get(whole.found.dtype)
    if fraction is not None:
        return ww.Rounding(2.0**-fraction)
    count, budget = math.prod(whole.scale.shape), whole.found.file.budget
    if count <= _MOST_STEPS:
        budget.take("visits", count // _OF_A_VISIT)
        steps = whole.steps()
    else:
        budget.take("visits", count // _OF_A_GLANCE)
        steps = largest_of(whole.scale)
    try:
        return ww.Rounding.of_steps(steps.transpose(axes) if steps.ndim == len(axes) else steps)
    except ValueError:  # nor are the numbers finite, and so they are refused where they are analysed
        return ww.Rounding()


@dataclass(frozen=True, slots=True)
class _Scaled:
    """Whole numbers of one scale; of one for each place along an axis, or for each block along it."""

    found: StoredTensor
    scale: StoredTensor
    zero: StoredTensor | None
    meant: Quantization

    @property
    def shape(self) -> tuple[int, ...]:
        return self.found.shape

    def check(self) -> None:
        """Compare dtypes and counts.

        Raises:
            _UnfitError: They do not belong together.
        """
        _check_parts(self)
        scales = self._along(self.scale.shape)
        zeros = scales if self.zero is None else self._along(self.zero.shape)
        if math.prod(zeros) > 1 and zeros != scales:
            raise _UnfitError("it has another count of zero points than of scales")

    def steps(self) -> npt.NDArray[Any]:
        return abs(numbers_of(self.scale, "f8").reshape(self._along(self.scale.shape)))

    def numbers(self) -> npt.NDArray[Any]:
        import numpy as np

        exact = "<f8" if BITS[self.found.dtype] > 16 else "<f4"  # that holds each whole number
        with np.errstate(all="ignore"):
            numbers = numbers_of(self.found, exact)
            if self.zero is not None:
                self._combine(np.subtract, numbers, self.zero)
            self._combine(np.multiply, numbers, self.scale)
            return numbers.astype("<f4", copy=False)

    def _combine(self, operation: np.ufunc, numbers: npt.NDArray[Any], part: StoredTensor) -> None:
        """Change numbers in place by the zero points or scales that belong to them."""
        own = numbers_of(part, numbers.dtype).reshape(self._along(part.shape))
        if not self.meant.block or own.size == 1:
            operation(numbers, own, out=numbers)
            return
        axis = self._axis
        length, before = numbers.shape[axis], (slice(None),) * axis
        block = max(1, min(self.meant.block, length))
        full = length // block
        blocks = numbers[*before, : full * block]
        blocks = blocks.reshape(*blocks.shape[:axis], full, block, *blocks.shape[axis + 1 :])  # a view
        shared = own[*before, :full]
        operation(blocks, shared[*before, :, None], out=blocks)
        rest = numbers[*before, full * block :]
        operation(rest, own[*before, full:], out=rest)

    @property
    def _axis(self) -> int:
        return self.meant.axis + len(self.shape) if self.meant.axis < 0 else self.meant.axis

    def _along(self, own: tuple[int, ...]) -> tuple[int, ...]:
        """Return a shape of scales with the axes of the tensor."""
        ones = (1,) * len(self.shape)
        if math.prod(own) == 1:
            return ones
        axis = self._axis
        if not 0 <= axis < len(self.shape):
            raise _UnfitError("it has no axis along which its scales could lie")
        if self.meant.block:
            if own != (*self.shape[:axis], -(-self.shape[axis] // self.meant.block), *self.shape[axis + 1 :]):
                raise _UnfitError("its scales are not as many as its blocks")
            return own
        if math.prod(own) != self.shape[axis]:
            raise _UnfitError("its scales are not as many as its channels")
        return (*ones[:axis], self.shape[axis], *ones[axis + 1 :])


@dataclass(frozen=True, slots=True)
class _Blocks:
    """What a ``MatMulNBits`` holds: rows of blocks, the lower bits of a byte first."""

    found: StoredTensor
    scale: StoredTensor
    zero: StoredTensor | None
    meant: Packed

    @property
    def shape(self) -> tuple[int, ...]:
        return self.meant.shape

    def check(self) -> None:
        """Compare dtypes and counts.

        Raises:
            _UnfitError: They do not belong together.
        """
        _check_parts(self)
        rows, blocks, bits = self.shape[0], self._blocks, self.meant.bits
        if self.found.dtype != "uint8" or math.prod(self.found.shape) != rows * blocks * (self.meant.block * bits // 8):
            raise _UnfitError("it has not as many bytes as its numbers take")
        if math.prod(self.scale.shape) != rows * blocks:
            raise _UnfitError("its scales are not as many as its blocks")
        if self.zero is not None:
            each = -(-blocks * bits // 8) if self.zero.dtype == "uint8" else blocks
            if math.prod(self.zero.shape) != rows * each:
                raise _UnfitError("its zero points are not as many as its blocks")

    def steps(self) -> npt.NDArray[Any]:
        return abs(numbers_of(self.scale, "f8").reshape(self.shape[0], -1))

    def numbers(self) -> npt.NDArray[Any]:
        import numpy as np

        (rows, cols), block = self.shape, self.meant.block
        made = np.empty(self.shape, "<f4")
        scales, zeros = numbers_of(self.scale, "f4").reshape(rows, -1, 1), self._zeros()
        at_once = max(1, _AT_ONCE // (self._blocks * block))
        with self.found.read_bytes() as content, np.errstate(all="ignore"):
            packed = content.reshape(rows, -1)
            for first in range(0, rows, at_once):
                these = slice(first, first + at_once)
                numbers = split(packed[these], self.meant.bits).reshape(-1, self._blocks, block).astype("f4")
                numbers -= zeros[these]
                numbers *= scales[these]
                made[these] = numbers.reshape(len(numbers), -1)[:, :cols]
        return made

    @property
    def _blocks(self) -> int:
        return -(-self.shape[1] // self.meant.block)

    def _zeros(self) -> npt.NDArray[Any]:
        import numpy as np

        rows, blocks, bits = self.shape[0], self._blocks, self.meant.bits
        if self.zero is None:
            return np.full((rows, 1, 1), 1 << (bits - 1), "f4")
        if self.zero.dtype != "uint8":
            return numbers_of(self.zero, "f4").reshape(rows, blocks, 1)
        with self.zero.read_bytes() as content:
            return split(content.reshape(rows, -1), bits)[:, :blocks, None].astype("f4")


_Whole = _Scaled | _Blocks


def _check_parts(whole: _Whole) -> None:
    """Compare what both kinds have in common."""
    found, scale, zero = whole.found, whole.scale, whole.zero
    numbers = math.prod(whole.shape)
    if scale.dtype not in _SCALES or scale.fault or (zero is not None and zero.fault):
        raise _UnfitError("its scales are no floating-point numbers")
    if found.dtype not in _STEPS:
        raise _UnfitError(f"numbers of dtype {found.dtype} with scales are not read")
    if zero is not None and zero.dtype not in _STEPS | _SCALES:
        raise _UnfitError(f"numbers of dtype {zero.dtype} with scales are not read")
    if found.nbytes > 16 * numbers + _PADDING:
        raise _UnfitError("it has more bytes than its numbers take")
    if any(math.prod(part.shape) > _FEW + numbers // 8 for part in (scale, zero) if part is not None):
        raise _UnfitError("it has too many scales for its numbers")
