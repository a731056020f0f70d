"""Whether the scales of a weight that is used several times are equal: other tensors may hold the same numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ww_plugins.loaders.onnx.numbers import numbers_of
from ww_plugins.loaders.onnx.shared import FEW, OF_A_VISIT, ZEROS

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from ww_core.loading.mapped import StoredTensor
    from ww_plugins.loaders.onnx.values import Packed, Quantization, Value


def are_equal(
    one: Quantization | Packed, other: Quantization | Packed, stored: Callable[[Value], StoredTensor]
) -> bool:
    """Whether two ways in which the same whole numbers are meant have equal scales and zero points."""
    if one.layout != other.layout:
        return False
    return all(_hold_the_same(*pair, stored) for pair in zip(one.parts, other.parts, strict=True))


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
    if part.fault or part.dtype not in ZEROS or math.prod(part.shape) > FEW:
        return np.full(1, np.nan)
    part.file.budget.take("visits", math.prod(part.shape) // OF_A_VISIT)
    return numbers_of(part, "f8").reshape(-1)
