"""The Weibull distribution of magnitudes, by maximum likelihood, walking a tensor of any size in blocks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ww_core.errors import NotApplicable, Refused
from ww_core.spectral.blocks import BLOCK_BYTES, all_finite, float64_blocks, non_finite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy.typing as npt

    Logs = npt.NDArray[np.float64]

_STEPS = 200


@dataclass(frozen=True, slots=True)
class WeibullFit:
    """The density ``(k / s) (x / s)**(k - 1) exp(-(x / s)**k)`` of magnitudes x > 0.

    Attributes:
        shape: k.
        scale: s, in the unit of the data.
        n: Count of the magnitudes that were fitted.
    """

    shape: float
    scale: float
    n: int


@dataclass(frozen=True, slots=True)
class _Sums:
    """Of y = ln(x / max(x)) over all magnitudes x > 0."""

    n: int
    mean: float
    std: float
    lowest: float


def fit_weibull(array: npt.NDArray[Any], *, tolerance: float = 0.0) -> WeibullFit:
    """Fit a Weibull distribution to the magnitudes of the numbers of ``array``; zeros are left out.

    With y = ln(x / max(x)), the shape k is the one root of ``sum(y exp(k y)) / sum(exp(k y)) - 1 / k - mean(y)``, which
    grows with k. Newton's steps are taken in ln k, inside a bracket. The scale is
    ``max(x) * mean(exp(k y))**(1 / k)``. Nothing overflows, whatever the unit, and a power of two in it changes no
    digit of k, but for subnormal numbers.

    A. C. Cohen, Technometrics 7 (1965).

    Args:
        array: Any shape and layout, real, any stored dtype.
        tolerance: Magnitudes whose logarithms differ by no more than this are one: their shape would be that of
            rounding.

    Raises:
        NotApplicable: There is no number but zero, or all magnitudes are equal.
        Refused: A number is NaN or infinite, or all magnitudes are equal within ``tolerance``.
    """
    peak = _peak(array)
    logs = _logs_of(array, peak)
    sums = _sums(logs())
    if sums.lowest == 0.0:
        raise NotApplicable(f"all {sums.n} weights that are not zero have one magnitude: the shape is infinite")
    if -sums.lowest <= tolerance:
        raise Refused("the magnitudes of the weights differ by no more than rounding")
    shape, mean_power = _root(logs, sums)
    return WeibullFit(shape, peak * mean_power ** (1.0 / shape), sums.n)


def _peak(array: npt.NDArray[Any]) -> float:
    peak = 0.0
    for block in float64_blocks(array):
        if not all_finite(block):
            raise non_finite(array)
        peak = max(peak, float(block.max()), -float(block.min()))
    if not peak:
        raise NotApplicable("no weight but zero has a magnitude")
    return peak


def _logs_of(array: npt.NDArray[Any], peak: float) -> Callable[[], Iterable[Logs]]:
    """Return what gives the logarithms: kept for a tensor of a few blocks, else made anew for each pass."""

    def made() -> Iterator[Logs]:
        mantissa, exponent = math.frexp(peak)
        for block in float64_blocks(array):
            mantissas, exponents = np.frexp(np.abs(block[block != 0.0]))
            # Mantissas first: a ratio of the numbers themselves could underflow, a difference of logs loses digits.
            yield np.log(mantissas / mantissa) + (exponents - exponent) * math.log(2.0)

    if 8 * array.size > 4 * BLOCK_BYTES:
        return made
    kept = list(made())
    return lambda: kept


def _sums(logs: Iterable[Logs]) -> _Sums:
    n, total, squares, lowest = 0, 0.0, 0.0, 0.0
    for y in logs:
        n += y.size
        total += float(y.sum())
        squares += float(np.square(y).sum())
        lowest = min(lowest, float(y.min(initial=0.0)))
    mean = total / n
    return _Sums(n, mean, math.sqrt(max(squares / n - mean * mean, 0.0)), lowest)


def _root(logs: Callable[[], Iterable[Logs]], sums: _Sums) -> tuple[float, float]:
    """Return k and the mean of exp(k y)."""
    k = math.pi / (math.sqrt(6.0) * (sums.std or -sums.lowest))  # the logs of a Weibull variable have such a deviation
    low, high = 0.0, math.inf
    for _ in range(_STEPS):
        zeroth, first, second = _weighted(logs(), k)
        mean = first / zeroth
        value = mean - 1.0 / k - sums.mean
        slope = k * max(second / zeroth - mean * mean, 0.0) + 1.0 / k
        low, high = (k, high) if value < 0.0 else (low, k)
        step = min(max(-value / slope, -2.0), 2.0)
        following = k * math.exp(step)
        if abs(step) <= 1e-9:  # it converges quadratically: what is left is rounding
            return following, _weighted(logs(), following)[0] / sums.n
        k = following if low < following < high else math.sqrt(low * high)
    raise Refused(f"the shape was not found in {_STEPS} steps")


def _weighted(logs: Iterable[Logs], k: float) -> tuple[float, float, float]:
    """Return the sums of exp(k y), y exp(k y) and y**2 exp(k y)."""
    zeroth = first = second = 0.0
    for y in logs:
        with np.errstate(under="ignore"):
            power = np.exp(k * y)
            zeroth += float(power.sum())
            power *= y
            first += float(power.sum())
            power *= y
            second += float(power.sum())
    return zeroth, first, second
