"""Numbers that belong to those of a tensor, as scales do: one to all, one to each place along an axis or to a block."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ww_core.loading.contents import BITS
from ww_plugins.loaders.onnx.numbers import FLOAT8, SHORT, numbers_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ww_core.loading.mapped import StoredTensor


STEPS = frozenset({*SHORT, *FLOAT8, "int8", "uint8", "int16", "uint16", "int32"})
"""Dtypes of numbers that have scales."""

SCALES = frozenset({"float32", "float16", "bfloat16", "float64"})
"""Dtypes of scales."""

ZEROS = STEPS | SCALES | {"int64"}
"""Dtypes of zero points."""

FEW = 1 << 16
"""Scales that any weight may have; else each is shared by some numbers."""

OF_A_VISIT = 64
"""Scales that are read at opening for a visit of the budget."""


class UnfitError(Exception):
    """Scales that do not fit the tensor; the message says why."""


@dataclass(frozen=True, slots=True)
class Shared:
    """A tensor whose numbers are shared by those of another.

    Attributes:
        part: The tensor.
        axis: The axis of the other one along which it changes; negative ones count from the end.
        block: Numbers along the axis that share one; 0 where there is one number or one for each place.
    """

    part: StoredTensor
    axis: int
    block: int = 0

    def along(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return its shape with the axes of the other tensor.

        Raises:
            UnfitError: They do not belong together.
        """
        own, ones = self.part.shape, (1,) * len(shape)
        if math.prod(own) == 1:
            return ones
        axis = self._axis(shape)
        if not 0 <= axis < len(shape):
            raise UnfitError("it has no axis along which its scales could lie")
        if self.block:
            if own != (*shape[:axis], -(-shape[axis] // self.block), *shape[axis + 1 :]):
                raise UnfitError("its scales are not as many as its blocks")
            return own
        if math.prod(own) != shape[axis]:
            raise UnfitError("its scales are not as many as its channels")
        return (*ones[:axis], shape[axis], *ones[axis + 1 :])

    def combine(self, operation: np.ufunc, numbers: npt.NDArray[Any]) -> None:
        """Change numbers in place by those that belong to them."""
        shape = numbers.shape
        own = numbers_of(self.part, numbers.dtype).reshape(self.along(shape))
        if not self.block or own.size == 1:
            operation(numbers, own, out=numbers)
            return
        axis = self._axis(shape)
        length, before = shape[axis], (slice(None),) * axis
        block = max(1, min(self.block, length))
        full = length // block
        blocks = numbers[*before, : full * block]
        blocks = blocks.reshape(*shape[:axis], full, block, *shape[axis + 1 :])  # a view
        shared = own[*before, :full]
        operation(blocks, shared[*before, :, None], out=blocks)
        rest = numbers[*before, full * block :]
        operation(rest, own[*before, full:], out=rest)

    def _axis(self, shape: tuple[int, ...]) -> int:
        return self.axis + len(shape) if self.axis < 0 else self.axis


@dataclass(frozen=True, slots=True)
class Quantizer:
    """What a ``QuantizeLinear`` makes of numbers: whole ones, or floating-point ones of eight bits.

    Attributes:
        scale: What they are divided by.
        zero: What is added then.
        dtype: Of what is made.
        precision: The dtype in which they are divided.
    """

    scale: Shared
    zero: Shared | None
    dtype: str
    precision: str

    def apply(self, numbers: npt.NDArray[Any]) -> None:
        """Change numbers in place, which are in float32."""
        import ml_dtypes
        import numpy as np

        self.scale.combine(np.divide, numbers)
        if self.precision in _SHORT_FLOATS:
            numbers[...] = numbers.astype(getattr(ml_dtypes, self.precision, np.float16))
        if self.dtype.startswith("float8"):
            kind = getattr(ml_dtypes, self.dtype)
            most = _MOST[self.dtype]
            np.clip(numbers, -most, most, out=numbers)
            numbers[...] = numbers.astype(kind)
            return
        np.rint(numbers, out=numbers)  # half to even
        if self.zero is not None:
            self.zero.combine(np.add, numbers)
        count = 1 << BITS[self.dtype]
        least = 0 if self.dtype.startswith("u") else -count // 2
        np.clip(numbers, least, least + count - 1, out=numbers)


_MOST = {"float8_e4m3fn": 448.0, "float8_e4m3fnuz": 240.0, "float8_e5m2": 57344.0, "float8_e5m2fnuz": 57344.0}
"""The largest number of a dtype."""

_SHORT_FLOATS = frozenset({"float16", "bfloat16"})
