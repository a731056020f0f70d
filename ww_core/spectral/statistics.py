"""Moments and quantiles of a tensor of any size, in a few megabytes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ww_core.errors import NotApplicable
from ww_core.spectral.blocks import (
    BLOCK_BYTES,
    all_finite,
    float64_blocks,
    non_finite,
    scaling_exponents,
    stored_blocks,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

_DIGIT_BITS = 16
_DIGITS = 1 << _DIGIT_BITS


@dataclass(frozen=True, slots=True)
class Moments:
    """Mean, population standard deviation, smallest and largest number; unit of the data."""

    mean: float
    std: float
    min: float
    max: float


def moments(array: npt.NDArray[Any]) -> Moments:
    """Compute the moments of all numbers of ``array`` in two passes over blocks.

    Numbers are taken relative to the first one, so that a mean much larger than the spread costs no digits; the blocks'
    means and squared deviations are merged as Chan, Golub and LeVeque (1983) do. Numbers near the limits of float64 do
    not overflow.

    Args:
        array: Any shape and layout, real, any stored dtype.

    Raises:
        NotApplicable: The array is empty.
        Refused: A number is NaN or infinite.
    """
    _require_numbers(array)
    extremes = np.array([(block.min(), block.max()) for block in float64_blocks(array)])
    low, high = float(extremes[:, 0].min()), float(extremes[:, 1].max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise non_finite(array)
    if low == high:
        return Moments(mean=low, std=0.0, min=low, max=high)
    exponent = int(scaling_exponents(max(abs(low), abs(high))))
    first = math.ldexp(float(array[(0,) * array.ndim]), -exponent)
    count, mean, squares = 0, 0.0, 0.0  # of the numbers so far, less the first
    for block in float64_blocks(array):
        with np.errstate(under="ignore"):
            relative = (np.ldexp(block, -exponent) if exponent else block) - first
            block_mean = float(relative.mean())
            block_squares = float(np.square(relative - block_mean).sum())
        total = count + block.size
        shift = block_mean - mean
        mean += shift * (block.size / total)
        squares += block_squares + shift * shift * (count * block.size / total)
        count = total
    return Moments(
        mean=math.ldexp(first + mean, exponent),
        std=math.ldexp(math.sqrt(squares / count), exponent),
        min=low,
        max=high,
    )


def quantiles(array: npt.NDArray[Any], q: Sequence[float] = (0.25, 0.5, 0.75)) -> tuple[float, ...]:
    """Compute exact quantiles of all numbers of ``array``, interpolated linearly as ``numpy.quantile`` does.

    Order statistics of more than a block are found by counting 16-bit digits of the bit patterns, from the highest on:
    one pass over 16-bit dtypes, two over float32, four over float64. Memory does not depend on the size of ``array``.

    Args:
        array: Any shape and layout, real, any stored dtype.
        q: Probabilities in [0, 1].

    Raises:
        NotApplicable: The array is empty.
        Refused: A number is NaN or infinite.
    """
    _require_numbers(array)
    if not all(all_finite(block) for block in stored_blocks(array)):
        raise non_finite(array)
    positions = [(array.size - 1) * probability for probability in q]
    neighbours = sorted({rank for at in positions for rank in (math.floor(at), math.ceil(at))})
    value_at = dict(zip(neighbours, _order_statistics(array, neighbours), strict=True))
    return tuple(_between(value_at[math.floor(at)], value_at[math.ceil(at)], at - math.floor(at)) for at in positions)


def _require_numbers(array: npt.NDArray[Any]) -> None:
    if not array.size:
        raise NotApplicable("a tensor without numbers has no statistics")


def _between(low: float, high: float, share: float) -> float:
    """Point between two neighbours, by numpy's own rule; halved first where their distance would overflow."""
    halving = 0.5 if math.isinf(high - low) else 1.0
    low, high = low * halving, high * halving
    between = low + (high - low) * share if share < 0.5 else high - (high - low) * (1.0 - share)
    return between / halving


def _order_statistics(array: npt.NDArray[Any], ranks: Sequence[int]) -> list[float]:
    """Numbers at the given positions, from 0, of ``array`` in ascending order."""
    if 8 * array.size <= BLOCK_BYTES:
        ascending = np.partition(array.astype(np.float64).reshape(-1), ranks)
        return [float(ascending[rank]) for rank in ranks]
    return _by_digits(array, ranks)


def _by_digits(array: npt.NDArray[Any], ranks: Sequence[int]) -> list[float]:
    """The same in one pass for each 16 bits."""
    patterns = np.dtype(f"u{array.dtype.itemsize}")
    found = [0] * len(ranks)  # the leading bits of each number, as far as they are known
    left = list(ranks)  # its position among the numbers that share them
    for known in range(0, 8 * patterns.itemsize, _DIGIT_BITS):
        counts = _digit_counts(array, patterns, known, set(found))
        for index, leading in enumerate(found):
            order = _ASCENDING[bool(leading >> (known - 1)) if known else None]
            reached = np.cumsum(counts[leading][order])
            place = int(np.searchsorted(reached, left[index], side="right"))
            left[index] -= int(reached[place - 1]) if place else 0
            found[index] = leading << _DIGIT_BITS | int(order[place])
    return [float(value) for value in np.array(found, dtype=patterns).view(array.dtype)]


_ASCENDING = {
    None: np.concatenate([np.arange(_DIGITS - 1, _DIGITS // 2 - 1, -1), np.arange(_DIGITS // 2)]),
    False: np.arange(_DIGITS),
    True: np.arange(_DIGITS - 1, -1, -1),
}
"""Digits in the order of the numbers they belong to: floats are sign and magnitude, so below zero it is reversed; the
first digit holds the sign itself."""


def _digit_counts(
    array: npt.NDArray[Any], patterns: np.dtype[Any], known: int, leading: set[int]
) -> dict[int, npt.NDArray[np.int64]]:
    """How often each digit follows the ``known`` first bits, among the numbers that start with each of ``leading``."""
    shift = 8 * patterns.itemsize - known - _DIGIT_BITS
    counts = {bits: np.zeros(_DIGITS, dtype=np.int64) for bits in leading}
    for block in stored_blocks(array):
        numbers = block.view(patterns)
        digits = (numbers >> shift).astype(np.uint16)  # keeps the low 16 bits
        starts = numbers >> (shift + _DIGIT_BITS)  # 0 for the first digit
        for bits, count in counts.items():
            count += np.bincount(digits[starts == bits], minlength=_DIGITS)
    return counts
