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
from ww_plugins.loaders.onnx.numbers import FLOAT8, largest_of, numbers_of, split
from ww_plugins.loaders.onnx.shared import FEW, OF_A_VISIT, SCALES, STEPS, ZEROS, Quantizer, Shared, UnfitError
from ww_plugins.loaders.onnx.tensors import DTYPES
from ww_plugins.loaders.onnx.values import Packed, Quantization, Value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    from ww_core.loading.mapped import StoredTensor
    from ww_plugins.loaders.onnx.messages import Tensor

_PADDING = 1 << 20  # bytes: blocks are filled up
_AT_ONCE = 1 << 18  # numbers that are made together
_MOST_STEPS = 1 << 20  # scales of which each one tells the rounding: of more, the largest one does
_OF_A_GLANCE = 256  # scales that are read at opening for a visit of the budget, where only the largest one counts


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
    others = {part.tensor: stored(part) for part in meant.parts if part is not None}
    parts = (replace(found, part=None), *(replace(others[part.tensor], part=None) for part in meant.parts if part))
    whole = _blocks(found, meant, others) if isinstance(meant, Packed) else _scaled(found, meant, others)
    made = replace(
        found, dtype="float32", shape=whole.shape, offset=0, content=None, parts=parts,
        described=_description(value, parts), make=whole.numbers,
    )  # fmt: skip
    try:
        whole.check()
    except UnfitError as error:
        return _refused(found, made, str(error))
    if why := excess_over_parts(made):
        return _refused(found, made, why)
    return replace(made, rounding=_rounding(whole, axes))


def listed(value: Value, found: StoredTensor, why: str) -> StoredTensor:
    """Return whole numbers that have a scale with which they are not read."""
    return _refused(found, replace(found, parts=(found,), described=_description(value, (found,))), why)


def _description(value: Value, parts: tuple[StoredTensor, ...]) -> str:
    meant = value.quantization
    how: Any = {"layout": "onnx-quantized", "parts": [[part.dtype, part.shape] for part in parts], "axes": value.axes}
    if isinstance(meant, Packed):
        how |= {"shape": meant.shape, "bits": meant.bits, "block": meant.block}
    elif meant is not None:
        how |= {"axis": meant.axis, "block": meant.block}
        if meant.factors:
            how |= {"factors": [factor.axis for factor in meant.factors]}
        if meant.rounded is not None:
            by = meant.rounded.by
            how |= {"rounded": [meant.rounded.code, meant.rounded.precision, by.axis, by.block]}
    return description_of(how)


def _refused(found: StoredTensor, made: StoredTensor, why: str) -> StoredTensor:
    """Return a tensor that is not made, but digested by its parts."""
    readable = not any(part.fault for part in made.parts)
    parts, described = (made.parts, made.described) if readable else ((), "")
    return replace(found, fault=f"it is quantized: {why}", parts=parts, described=described)


def _rounding(whole: _Whole, axes: tuple[int, ...]) -> ww.Rounding:
    import numpy as np

    fraction = FLOAT8.get(whole.dtype)
    if fraction is not None:
        return ww.Rounding(2.0**-fraction)
    counts, budget = [math.prod(part.shape) for part in whole.scales], whole.found.file.budget
    if math.prod(counts) <= _MOST_STEPS:
        budget.take("visits", math.prod(counts) // OF_A_VISIT)
        steps = whole.steps()
    else:
        budget.take("visits", sum(counts) // _OF_A_GLANCE)
        with np.errstate(all="ignore"):
            steps = np.prod([largest_of(part) for part in whole.scales], axis=0)
    try:
        return ww.Rounding.of_steps(steps.transpose(axes) if steps.ndim == len(axes) else steps)
    except ValueError:  # nor are the numbers finite, and so they are refused where they are analysed
        return ww.Rounding()


def _scaled(found: StoredTensor, meant: Quantization, others: Mapping[Tensor, StoredTensor]) -> _Scaled:
    def shared(value: Value | None, axis: int, block: int = 0) -> Shared | None:
        return None if value is None else Shared(others[value.tensor], axis, block)

    rounding = None
    if meant.rounded is not None:
        by, dtypes = meant.rounded.by, (DTYPES.get(code, "") for code in (meant.rounded.code, meant.rounded.precision))
        own = Shared(others[by.scale.tensor], by.axis, by.block)
        rounding = Quantizer(own, shared(by.zero, by.axis, by.block), *dtypes)
    scale = Shared(others[meant.scale.tensor], meant.axis, meant.block)
    factors = (Shared(others[factor.value.tensor], factor.axis) for factor in meant.factors)
    return _Scaled(found, (scale, *factors), shared(meant.zero, meant.axis, meant.block), rounding)


@dataclass(frozen=True, slots=True)
class _Scaled:
    """Whole numbers of one scale; of one for each place along an axis, or for each block along it; and of factors."""

    found: StoredTensor
    factors: tuple[Shared, ...]
    zero_point: Shared | None
    rounding: Quantizer | None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.found.shape

    @property
    def dtype(self) -> str:
        """That of the whole numbers."""
        return self.found.dtype if self.rounding is None else self.rounding.dtype

    @property
    def scales(self) -> tuple[StoredTensor, ...]:
        return tuple(factor.part for factor in self.factors)

    @property
    def zero(self) -> StoredTensor | None:
        return None if self.zero_point is None else self.zero_point.part

    def check(self) -> None:
        """Compare dtypes and counts.

        Raises:
            UnfitError: They do not belong together.
        """
        _check_parts(self, self.scales, [self.zero])
        _check_counts(self.factors[0], self.zero_point, self.shape)
        for factor in self.factors[1:]:
            factor.along(self.shape)
        if self.rounding is not None:
            own, zero = self.rounding.scale, self.rounding.zero
            _check_parts(self, [own.part], [None if zero is None else zero.part])
            _check_counts(own, zero, self.shape)
            if self.found.dtype not in SCALES:
                raise UnfitError(f"numbers of dtype {self.found.dtype} are not rounded")

    def steps(self) -> npt.NDArray[Any]:
        scale, *factors = self.factors
        steps = abs(numbers_of(scale.part, "f8").reshape(scale.along(self.shape)))
        for factor in factors:
            own = abs(numbers_of(factor.part, "f8").reshape(factor.along(self.shape)))
            # Blocks of different factors within get the largest of these.
            fits = all(1 in pair or len(set(pair)) == 1 for pair in zip(own.shape, steps.shape, strict=True))
            steps = steps * (own if fits else own.max(initial=0.0))
        return steps

    def numbers(self) -> npt.NDArray[Any]:
        import numpy as np

        is_long = self.rounding is None and BITS[self.found.dtype] > 16
        exact = "<f8" if is_long else "<f4"  # that holds each whole number
        with np.errstate(all="ignore"):
            numbers = numbers_of(self.found, exact)
            if self.rounding is not None:
                self.rounding.apply(numbers)
            if self.zero_point is not None:
                self.zero_point.combine(np.subtract, numbers)
            for factor in self.factors:
                factor.combine(np.multiply, numbers)
            return numbers.astype("<f4", copy=False)


def _blocks(found: StoredTensor, meant: Packed, others: Mapping[Tensor, StoredTensor]) -> _Blocks:
    return _Blocks(found, others[meant.scale.tensor], None if meant.zero is None else others[meant.zero.tensor], meant)


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

    @property
    def dtype(self) -> str:
        return self.found.dtype

    @property
    def scales(self) -> tuple[StoredTensor, ...]:
        return (self.scale,)

    def check(self) -> None:
        """Compare dtypes and counts.

        Raises:
            UnfitError: They do not belong together.
        """
        _check_parts(self, [self.scale], [self.zero])
        rows, blocks, bits = self.shape[0], self._blocks, self.meant.bits
        if self.found.dtype != "uint8" or math.prod(self.found.shape) != rows * blocks * (self.meant.block * bits // 8):
            raise UnfitError("it has not as many bytes as its numbers take")
        if math.prod(self.scale.shape) != rows * blocks:
            raise UnfitError("its scales are not as many as its blocks")
        if self.zero is not None:
            each = -(-blocks * bits // 8) if self.zero.dtype == "uint8" else blocks
            if math.prod(self.zero.shape) != rows * each:
                raise UnfitError("its zero points are not as many as its blocks")

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


def _check_counts(scale: Shared, zero: Shared | None, shape: tuple[int, ...]) -> None:
    """Compare scales and zero points with the tensor, and with each other."""
    scales = scale.along(shape)
    zeros = scales if zero is None else zero.along(shape)
    if math.prod(zeros) > 1 and zeros != scales and math.prod(scales) > 1:
        raise UnfitError("it has another count of zero points than of scales")


def _check_parts(whole: _Whole, scales: Sequence[StoredTensor], zeros: Sequence[StoredTensor | None]) -> None:
    """Compare what both kinds have in common."""
    numbers, known = math.prod(whole.shape), [zero for zero in zeros if zero is not None]
    if any(scale.dtype not in SCALES or scale.fault for scale in scales) or any(zero.fault for zero in known):
        raise UnfitError("its scales are no floating-point numbers")
    if whole.dtype not in STEPS:
        raise UnfitError(f"numbers of dtype {whole.dtype} with scales are not read")
    for zero in known:
        if zero.dtype not in ZEROS:
            raise UnfitError(f"numbers of dtype {zero.dtype} with scales are not read")
    if whole.found.nbytes > 16 * numbers + _PADDING:
        raise UnfitError("it has more bytes than its numbers take")
    if any(math.prod(part.shape) > FEW + numbers // 8 for part in (*scales, *known)):
        raise UnfitError("it has too many scales for its numbers")
