"""The weights of a layer as numbers: the shape of their distribution, zeros, dead rows and columns, norms over rows.

All speak of the whole weight as it is stored. Where rows and columns are meant, the weight is (out, in / groups *
kernel): a row is all that one output channel weighs, a column one input channel of a group at one position of the
kernel. Experts stand below each other, (experts * out, in). A transposed convolution is (in, out / groups * kernel),
and nothing tells it from another one: its rows are inputs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

import ww_core as ww
from ww_core.spectral.blocks import BLOCK_BYTES, all_finite, float64_blocks, non_finite, stored_blocks
from ww_core.spectral.weibull import fit_weibull

Stored = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Weibull:
    """Columns of the Weibull distribution of the magnitudes."""

    weibull_shape: float = ww.column(doc="Shape of the Weibull distribution of the magnitudes that are not zero")
    weibull_scale: float = ww.column(unit="weight", doc="Scale of that distribution")
    weibull_n: int = ww.column(unit="count", doc="Weights that are not zero: those that were fitted")


@dataclass(frozen=True)
class StandardizedMoments:
    """Columns of the third and the fourth standardised moment."""

    skewness: float = ww.column(doc="Third standardised moment of the weights, 0 for a symmetric distribution")
    kurtosis: float = ww.column(doc="Fourth standardised moment of the weights, Pearson's: 3 for a Gaussian")


@dataclass(frozen=True)
class DeadUnits:
    """Columns of what is all zero."""

    dead_rows: int = ww.column(unit="count", doc="Rows of the weight, (out, in / groups * kernel), that are all zero")
    dead_cols: int = ww.column(
        unit="count", doc="Columns of the weight, (out, in / groups * kernel), that are all zero"
    )


@dataclass(frozen=True)
class RowNorms:
    """Columns of norms that are made of those of the rows."""

    norm_2_1: float = ww.column(better="lower", unit="weight", doc="Sum of the 2-norms of the rows")
    norm_1_inf: float = ww.column(
        better="lower", unit="weight", doc="Largest sum of magnitudes in a row: the operator norm from inf to inf"
    )


@ww.metric(version="1", scope="layer", on_request=True)
def weibull(stored_weight: Stored) -> Weibull:
    """Weibull distribution of the magnitudes abs(w) by maximum likelihood; zeros are left out.

    Its density is (k / s) (x / s)**(k - 1) exp(-(x / s)**k), k the shape and s the scale. k is 1 for magnitudes that
    fall exponentially, as those of Laplace's distribution, 1.2628 for Gaussian weights, 1.618 for uniform ones, and
    smaller for heavier tails. Weights count alike, whatever the groups and the kernel.

    W. Weibull, Journal of Applied Mechanics 18 (1951); A. C. Cohen, Technometrics 7 (1965). For transformers T. Ding,
    arXiv 2605.18898 (2026), who draws a line through the middle 80 % of a probability plot: 1.20 for Gaussian weights.

    Raises:
        NotApplicable: All weights are zero, or those that are not have one magnitude.
        Refused: A weight is NaN or infinite, or the magnitudes differ by no more than rounding of the stored dtype.
    """
    number = stored_weight.dtype.type
    epsilon = float(np.nextafter(number(1), number(2))) - 1.0  # numpy's finfo does not know bfloat16
    fit = fit_weibull(stored_weight, tolerance=epsilon)
    return Weibull(fit.shape, fit.scale, fit.n)


@ww.metric(version="1", scope="layer", on_request=True)
def standardized_moments(stored_weight: Stored) -> StandardizedMoments:
    """Skewness mean((w - m)**3) / s**3 and kurtosis mean((w - m)**4) / s**4, m the mean, s**2 = mean((w - m)**2).

    Population moments of all weights, zeros too; the kurtosis is Pearson's, 3 for a Gaussian and never below 1.

    Raises:
        NotApplicable: All weights are equal.
        Refused: A weight is NaN or infinite.
    """
    low, high = _extremes(stored_weight)
    if low == high:
        raise ww.NotApplicable("all weights are equal: their deviation is 0")
    exponent = math.frexp(max(abs(low), abs(high)))[1]
    first, n = math.ldexp(low, -exponent), stored_weight.size
    with np.errstate(under="ignore"):
        mean = sum(float((np.ldexp(block, -exponent) - first).sum()) for block in float64_blocks(stored_weight)) / n
        second = third = fourth = 0.0
        for block in float64_blocks(stored_weight):
            deviations = np.ldexp(block, -exponent) - first - mean
            powers = np.square(deviations)
            second += float(powers.sum())
            third += float((powers * deviations).sum())
            fourth += float(np.square(powers).sum())
    variance = second / n
    return StandardizedMoments(third / n / variance**1.5, fourth / n / variance**2)


@ww.metric(version="1", scope="layer", on_request=True)
def sparsity(stored_weight: Stored) -> float:
    """Share of the weights that are exactly zero, of either sign, from 0 to 1.

    Raises:
        Refused: A weight is NaN or infinite.
    """
    zeros = 0
    for block in stored_blocks(stored_weight):
        if not all_finite(block):
            raise non_finite(stored_weight)
        zeros += block.size - int(np.count_nonzero(block))
    return zeros / stored_weight.size


@ww.metric(version="1", scope="layer", on_request=True)
def dead_units(stored_weight: Stored, layer: ww.LayerContent) -> DeadUnits:
    """Rows and columns of the weight that are all zero, the weight taken as (out, in / groups * kernel).

    A dead row is an output channel without a weight, or an input channel of a transposed convolution. A dead column is
    one input channel at one position of the kernel to which no output gives weight; with groups it is the channel with
    that number in every group. Experts are one below the other: a dead column is dead in all of them.

    Raises:
        NotApplicable: The weight has fewer than two axes.
        Refused: A weight is NaN or infinite.
    """
    dead_rows, alive = 0, np.zeros(1, dtype=bool)
    for rows in _row_blocks(stored_weight, layer):
        nonzero = rows != 0.0
        dead_rows += int(np.count_nonzero(~nonzero.any(axis=1)))
        alive = alive | nonzero.any(axis=0)
    return DeadUnits(dead_rows, int(np.count_nonzero(~alive)))


@ww.metric(version="1", scope="layer", on_request=True)
def row_norms(stored_weight: Stored, layer: ww.LayerContent) -> RowNorms:
    """Norms (2,1) and (1,inf) of the weight W as (out, in / groups * kernel), row by row.

    norm_2_1 = sum_i sqrt(sum_j W_ij**2), which P. L. Bartlett, D. J. Foster, M. Telgarsky, NeurIPS 2017, write as the
    (2,1) norm of the transpose. norm_1_inf = max_i sum_j abs(W_ij): how much larger the largest output of a dense layer
    can be than its largest input. Of a convolution it is the same, with groups too, as long as the kernel lies inside
    the input: each output is the product of a row with a patch. The rows of an embedding are its entries, those of a
    transposed convolution its inputs: there it is no norm of an operator.

    Raises:
        NotApplicable: The weight has fewer than two axes.
        Refused: A weight is NaN or infinite; a norm alone if it is beyond float64.
    """
    low, high = _extremes(stored_weight)
    exponent = math.frexp(max(abs(low), abs(high)))[1]
    total = largest = 0.0
    for rows in _row_blocks(stored_weight, layer):
        with np.errstate(under="ignore"):
            magnitudes = np.ldexp(np.abs(rows), -exponent)
            largest = max(largest, float(magnitudes.sum(axis=1).max()))
            total += float(np.sqrt(np.square(magnitudes).sum(axis=1)).sum())
    return RowNorms(_restored(total, exponent), _restored(largest, exponent))


def _extremes(stored: Stored) -> tuple[float, float]:
    """Smallest and largest number; refused if one is NaN or infinite."""
    pairs = np.array([(block.min(), block.max()) for block in float64_blocks(stored)])
    low, high = float(pairs[:, 0].min()), float(pairs[:, 1].max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise non_finite(stored)
    return low, high


def _row_blocks(stored: Stored, layer: ww.LayerContent) -> Iterator[Floats]:
    """Yield the rows of the weight in order, some at a time, in float64: copies of little more than a block."""
    if stored.ndim < 2:
        raise ww.NotApplicable("a weight with fewer than two axes has no rows and columns")
    for part in stored if layer.kind is ww.LayerKind.EXPERT and stored.ndim > 2 else (stored,):
        rows = max(1, BLOCK_BYTES // (8 * math.prod(part.shape[1:])))
        for start in range(0, part.shape[0], rows):
            block = part[start : start + rows]
            block = block.reshape(block.shape[0], -1).astype(np.float64)
            if not all_finite(block):
                raise non_finite(stored)
            yield block


def _restored(scaled: float, exponent: int) -> float:
    """The number in the unit of the weights; refused as a column of its own where float64 ends."""
    try:
        return math.ldexp(scaled, exponent)
    except OverflowError:
        return ww.Refused("the norm is outside the range of float64")  # type: ignore[return-value]
