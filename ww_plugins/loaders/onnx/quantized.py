"""Weights that are stored as whole numbers with scales: their numbers, and how precisely they were stored."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import ww_core as ww
from ww_core.loading.contents import BITS, description_of
from ww_plugins.loaders.onnx.values import Packed, Quantization, Value

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from ww_core.loading.mapped import StoredTensor

_MOST = 48_000_000
"""Bytes of all weights of a file that are made of whole numbers: they are held in memory, and leave room for others."""

_FEW = 1 << 16  # scales that any weight may have; else each is shared by some numbers
_PADDING = 1 << 20  # bytes: blocks are filled up

_BITS = {"int4": 4, "uint4": 4, "int2": 2, "uint2": 2}
_FLOAT8 = {"float8_e4m3fn": 3, "float8_e4m3fnuz": 3, "float8_e5m2": 2, "float8_e5m2fnuz": 2}
"""Bits of the fraction of a number."""

_STEPS = frozenset({*_BITS, *_FLOAT8, "int8", "uint8", "int16", "uint16", "int32"})
_SCALES = frozenset({"float32", "float16", "bfloat16", "float64"})


class Dequantizer:
    """Makes the numbers of quantized weights, within the budget.

    Args:
        file: The file.
        stored: Finds the numbers of a tensor.
    """

    def __init__(self, file: ww.Source, stored: Callable[[Value], StoredTensor]) -> None:
        self._file = file
        self._stored = stored
        self._left = _MOST

    def plain(self, value: Value, axes: tuple[int, ...]) -> StoredTensor:
        """Return the tensor that is meant, with the axes of the stored one; or the stored one, with its fault.

        Args:
            value: The tensor, and how its numbers are meant.
            axes: Which of its axes is which in ww's layout: roundings are told by that.
        """
        import numpy as np

        meant = value.quantization
        found = self._stored(value)
        if meant is None or found.fault:
            return found
        scale = self._stored(meant.scale)
        zero = None if meant.zero is None else self._stored(meant.zero)
        kept = [part for part in (found, scale, zero) if part is not None]
        if scale.dtype not in _SCALES or any(part.fault for part in kept):
            return self._refused(found, kept, value, "its scales are no floating-point numbers")
        for part in (found, zero):
            if part is not None and part.dtype not in _STEPS and (part is found or part.dtype not in _SCALES):
                return self._refused(found, kept, value, f"numbers of dtype {part.dtype} with scales are not read")
        shape = meant.shape if isinstance(meant, Packed) else found.shape
        wanted = 4 * math.prod(shape)
        if found.nbytes > 4 * wanted + _PADDING:
            return self._refused(found, kept, value, "it has more bytes than its numbers take")
        if any(math.prod(part.shape) > _FEW + math.prod(shape) // 8 for part in (scale, zero) if part is not None):
            return self._refused(found, kept, value, "it has too many scales for its numbers")
        if wanted > self._left:
            said = f"of quantized weights, {_MOST:,} bytes are made of a file, and those before it took them"
            return self._refused(found, kept, value, said)
        self._left -= wanted
        self._file.budget.take("decoded", wanted)
        try:
            with np.errstate(all="ignore"):  # numbers that are not finite are told where they are analysed
                if isinstance(meant, Packed):
                    numbers, steps, epsilon = _unpacked(found, scale, zero, meant)
                else:
                    numbers, steps, epsilon = _scaled(found, scale, zero, meant)
        except _UnfitError as error:
            return self._refused(found, kept, value, str(error))
        try:
            rounding = ww.Rounding(epsilon) if epsilon else ww.Rounding.of_steps(_transposed(steps, axes))
        except ValueError:  # nor are the numbers finite, and so they are refused later
            rounding = ww.Rounding()
        return replace(
            found, dtype="float32", shape=shape, offset=0, content=numbers.astype("<f4").tobytes(), rounding=rounding
        )

    def _refused(self, found: StoredTensor, kept: list[StoredTensor], value: Value, why: str) -> StoredTensor:
        """Return a tensor that is not made, but digested by its parts."""
        meant = value.quantization
        how: Any = {"parts": [[part.dtype, part.shape] for part in kept], "axes": value.axes}
        if isinstance(meant, Packed):
            how |= {"shape": meant.shape, "bits": meant.bits, "block": meant.block}
        elif meant is not None:
            how |= {"axis": meant.axis, "block": meant.block}
        parts = tuple(replace(part, part=None) for part in kept)
        readable = not any(part.fault for part in parts)
        described = description_of({"layout": "onnx-quantized", **how}) if readable else ""
        return replace(found, fault=f"it is quantized: {why}", parts=parts if readable else (), described=described)


class _UnfitError(Exception):
    """Scales that do not fit the tensor; the message says why."""


def _transposed(steps: npt.NDArray[Any], axes: tuple[int, ...]) -> npt.NDArray[Any]:
    return steps.transpose(axes) if steps.ndim == len(axes) else steps


def _scaled(
    found: StoredTensor, scale: StoredTensor, zero: StoredTensor | None, meant: Quantization
) -> tuple[npt.NDArray[Any], npt.NDArray[Any], float]:
    """Return numbers, steps with the axes of the numbers, and the relative step where there is one."""
    scales = _along(_numbers(scale), found.shape, meant)
    steps = abs(scales.astype("f8"))
    exact = "f8" if BITS[found.dtype] > 16 else "f4"  # that holds each whole number
    numbers = _numbers(found).astype(exact)
    if zero is not None:
        zeros = _along(_numbers(zero), found.shape, meant)
        if zeros.size > 1 and zeros.shape != scales.shape:
            raise _UnfitError("it has another count of zero points than of scales")
        numbers -= _repeated(zeros, found.shape, meant).astype(exact)
    numbers *= _repeated(scales, found.shape, meant).astype(exact)
    fraction = _FLOAT8.get(found.dtype)
    return numbers, steps, 0.0 if fraction is None else 2.0**-fraction


def _along(scales: npt.NDArray[Any], shape: tuple[int, ...], meant: Quantization) -> npt.NDArray[Any]:
    """Return scales with the axes of the tensor: one, one for each place along an axis, or one for each block."""
    ones = (1,) * len(shape)
    if scales.size == 1:
        return scales.reshape(ones)
    axis = meant.axis + len(shape) if meant.axis < 0 else meant.axis
    if not 0 <= axis < len(shape):
        raise _UnfitError("it has no axis along which its scales could lie")
    if meant.block:
        blocks = list(shape)
        blocks[axis] = -(-shape[axis] // meant.block)
        if scales.shape != tuple(blocks):
            raise _UnfitError("its scales are not as many as its blocks")
        return scales
    if scales.size != shape[axis]:
        raise _UnfitError("its scales are not as many as its channels")
    return scales.reshape(*ones[:axis], -1, *ones[axis + 1 :])


def _repeated(scales: npt.NDArray[Any], shape: tuple[int, ...], meant: Quantization) -> npt.NDArray[Any]:
    if not meant.block or scales.size == 1:
        return scales
    axis = meant.axis + len(shape) if meant.axis < 0 else meant.axis
    block = min(meant.block, shape[axis])
    whole = scales.repeat(block, axis)
    return whole[tuple(slice(length) for length in shape)]


def _unpacked(
    found: StoredTensor, scale: StoredTensor, zero: StoredTensor | None, meant: Packed
) -> tuple[npt.NDArray[Any], npt.NDArray[Any], float]:
    """The same of what a ``MatMulNBits`` holds: rows of blocks, the lower bits of a byte first."""
    import numpy as np

    rows, cols = meant.shape
    blocks = -(-cols // meant.block)
    if found.dtype != "uint8" or math.prod(found.shape) != rows * blocks * (meant.block * meant.bits // 8):
        raise _UnfitError("it has not as many bytes as its numbers take")
    scales = _numbers(scale)
    if scales.size != rows * blocks:
        raise _UnfitError("its scales are not as many as its blocks")
    scales = scales.reshape(rows, blocks)
    numbers = _split(_numbers(found).reshape(rows, -1), meant.bits).reshape(rows, blocks, meant.block)
    zeros = np.full((rows, blocks), float(1 << (meant.bits - 1)), np.float32)
    if zero is not None:
        given = _numbers(zero)
        if zero.dtype == "uint8":
            if given.size != rows * -(-blocks * meant.bits // 8):
                raise _UnfitError("its zero points are not as many as its blocks")
            given = _split(given.reshape(rows, -1), meant.bits)[:, :blocks]
        elif given.size != rows * blocks:
            raise _UnfitError("its zero points are not as many as its blocks")
        zeros = given.reshape(rows, blocks).astype(np.float32)
    made = numbers.astype(np.float32)
    made -= zeros[:, :, None]
    made *= scales.astype(np.float32)[:, :, None]
    return made.reshape(rows, -1)[:, :cols], abs(scales.astype(np.float64)), 0.0


def _split(packed: npt.NDArray[Any], bits: int) -> npt.NDArray[Any]:
    """Return the numbers of bytes, along the last axis."""
    import numpy as np

    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    parts = (packed[..., None] >> shifts) & np.uint8((1 << bits) - 1)
    return parts.reshape(*packed.shape[:-1], -1)


def _numbers(tensor: StoredTensor) -> npt.NDArray[Any]:
    """Return the numbers of a tensor, those of less than a byte too."""
    import ml_dtypes
    import numpy as np

    if tensor.dtype in _BITS:
        bits = _BITS[tensor.dtype]
        with tensor.read_bytes() as content:
            parts = _split(np.array(content), bits)[: math.prod(tensor.shape)].reshape(tensor.shape)
        if tensor.dtype.startswith("u"):
            return parts
        half = np.int8(1 << (bits - 1))
        return (parts.astype(np.int8) ^ half) - half
    kind = getattr(ml_dtypes, tensor.dtype) if tensor.dtype in {*_FLOAT8, "bfloat16"} else np.dtype(tensor.dtype)
    with tensor.read_bytes() as content:
        numbers = np.array(content).view(kind).reshape(tensor.shape)
    return numbers.astype(np.float32) if tensor.dtype in {*_FLOAT8, "bfloat16"} else numbers
