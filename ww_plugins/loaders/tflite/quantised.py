"""Whole numbers with scales, and the numbers that they stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import ww_core as ww

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from ww_plugins.loaders.tflite.flatbuffer import Table

BITS_OF_INTEGERS = {
    "int2": 2, "int4": 4, "uint4": 4, "int8": 8, "uint8": 8, "int16": 16, "uint16": 16, "int32": 32, "int64": 64,
}  # fmt: skip
"""Bits of the dtypes that may be quantised."""


class Quantisation(NamedTuple):
    """How whole numbers stand for others: ``scale * (number - zero point)``.

    Attributes:
        scales: One for the tensor, or one for each place along an axis; of float32, as bytes.
        zeros: Zero points, as many or one or none; of int64, as bytes.
        axis: The axis.
        fault: Why it is not known what the numbers stand for; empty if it is.
    """

    scales: bytes
    zeros: bytes
    axis: int
    fault: str = ""

    @classmethod
    def told(cls, table: Table | None, shape: Sequence[int]) -> Quantisation | None:
        """Return what the file tells of a tensor of this shape; None if its numbers stand for themselves."""
        if table is None:
            return None
        scales = table.vector(2, 4, "the scales of a tensor").numbers("<f4")
        zeros = table.vector(3, 8, "the zero points of a tensor").numbers("<i8")
        axis, details = table.number(6, "i"), table.number(4, "B")
        if not len(scales) and not details:
            return None
        fault = _fault(scales, len(zeros), shape[axis] if 0 <= axis < len(shape) else None, details)
        return cls(scales.tobytes(), zeros.tobytes(), axis, fault)

    def rounding(self, axes: Sequence[int]) -> ww.Rounding:
        """Return how precisely the numbers are stored of a tensor whose axes were put into this order."""
        import numpy as np

        steps = np.frombuffer(self.scales, "<f4")
        along = [-1 if len(steps) > 1 and axis == self.axis else 1 for axis in axes]
        return ww.Rounding.of_steps(steps.reshape(along))

    def numbers(self, whole: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the numbers that whole ones stand for, as float32: the very ones that TensorFlow Lite computes with.

        Args:
            whole: The whole numbers, in the shape of the tensor.
        """
        import numpy as np

        scales, zeros = np.frombuffer(self.scales, "<f4"), np.frombuffer(self.zeros, "<i8")
        numbers: npt.NDArray[Any] = np.empty(whole.shape, "<f4")
        # In float64, where the products are exact, but block by block: NumPy makes no array of them.
        with np.errstate(over="ignore"):
            if zeros.any():
                np.subtract(whole, self._along(zeros, whole.ndim), out=numbers, dtype="f8", casting="same_kind")
                whole = numbers
            np.multiply(whole, self._along(scales, whole.ndim), out=numbers, dtype="f8", casting="same_kind")
        return numbers

    def _along(self, values: npt.NDArray[Any], axes: int) -> npt.NDArray[Any]:
        return values.reshape([-1 if len(values) > 1 and axis == self.axis else 1 for axis in range(axes)])


def _fault(scales: npt.NDArray[Any], zeros: int, length: int | None, details: int) -> str:
    import numpy as np

    if details:
        return "it is quantised block by block, or in a way of its own, which is not read"
    if len(scales) > 1 and len(scales) != length:
        return f"it has {len(scales)} scales, and its axis has {length or 'no'} places"
    if zeros not in {0, 1, len(scales)}:
        return f"it has {zeros} zero points and {len(scales)} scales"
    if not (np.isfinite(scales).all() and (scales > 0).all()):
        return "one of its scales is no positive number"
    return ""


def unpacked(content: npt.NDArray[Any], dtype: str, count: int) -> npt.NDArray[Any]:
    """Return whole numbers of a few bits, of which a byte holds several: the first one in its lowest bits.

    Args:
        content: The bytes.
        dtype: Of the numbers.
        count: How many they are.
    """
    import numpy as np

    bits = BITS_OF_INTEGERS[dtype]
    numbers = np.empty((len(content), 8 // bits), np.int8 if dtype.startswith("int") else np.uint8)
    for place in range(8 // bits):
        high = (content << np.uint8(8 - bits * (place + 1))).view(numbers.dtype)
        numbers[:, place] = high >> (8 - bits)  # of signed numbers the sign is kept
    return numbers.reshape(-1)[:count]
