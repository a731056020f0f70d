"""Fit of a power law with an exponential cut-off to the tail of a spectrum."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from ww_core.errors import Refused
from ww_core.spectral.cut_off import CHUNK, integral_nodes, largest_likelihood, log_integrals_from_1
from ww_core.spectral.distinct import Distinct
from ww_core.spectral.quadrature import gauss_legendre

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Indices = npt.NDArray[np.intp]

BATCH = 10  # tails whose D is computed in a round of the scan, before others are passed over
SLACK = 1e-10  # more than D by one way of integration can differ from D by the other
SPAN = 1e150  # squares of ratios of eigenvalues must not overflow


@dataclass(frozen=True, slots=True)
class TruncatedPowerLawFit:
    """A tail density p(x) ~ x**-alpha * exp(-Lambda * x) on x >= xmin.

    Attributes:
        alpha: Exponent.
        Lambda: Rate of the cut-off; unit 1 / unit of the data. 0 makes it a power law.
        D: Kolmogorov-Smirnov distance of the tail from the fit, in [0, 1].
        xmin: Smallest value of the tail; unit of the data.
        n_tail: Values in the tail, ties counted.
        log_likelihood: Sum over the tail of ln(p(x) * xmin), which has no unit.
    """

    alpha: float
    Lambda: float
    D: float
    xmin: float
    n_tail: int
    log_likelihood: float


def fit_truncated_power_law(
    eigenvalues: Floats,
    *,
    floor: float = 0.0,
    tie_tolerance: float = 0.0,
    ks: Literal["lower", "two-sided"] = "lower",
    min_alpha: float = 1.0,
    between: tuple[float, float] | None = None,
) -> TruncatedPowerLawFit:
    """Fit the tail of ``eigenvalues`` by maximum likelihood, scanning every start of the tail.

    Each distinct value x_i but the largest is tried as xmin, with k values x_j >= x_i. The density is
    x**-alpha * exp(-Lambda * x) / Z, Z its integral from x_i on, with alpha >= ``min_alpha`` and Lambda >= 0. It is an
    exponential family in -ln x and -x, so that the likelihood has one maximum, which Newton's method finds for all
    starts at once. Where it lies on a bound, alpha is ``min_alpha`` or Lambda is 0 exactly, 0 also where Lambda is so
    small that no digit of the likelihood tells it from 0. The start with the smallest Kolmogorov-Smirnov distance wins,
    the longer tail where two are equal; starts whose distance has a lower bound above the smallest are passed over.

    Args:
        eigenvalues: 1-D, float64, any order and scale, not negative.
        floor: Values not above it are left out, and so are zeros; unit of the data.
        tie_tolerance: Neighbours not farther apart than this are one value, the smallest of their group.
        ks: Steps of the empirical distribution that D looks at, as in ``fit_power_law``.
        min_alpha: Lower bound of alpha, at most 1. With 1, as powerlaw and WeightWatcher have it, a tail that falls as
            an exponential does gets alpha = 1.
        between: Smallest and largest value that may be xmin, both included; None for any.

    Returns:
        The fit. Multiplying the data by a power of two changes xmin and Lambda only.

    Raises:
        NotApplicable: There are fewer than two distinct values, or no start lies within ``between``.
        Refused: A value is NaN or infinite, or the values span more than 150 orders of magnitude.
        ValueError: ``min_alpha`` is above 1.
    """
    data = Distinct.of(eigenvalues, floor=floor, tie_tolerance=tie_tolerance)
    return fit_truncated_power_law_to(data, ks=ks, min_alpha=min_alpha, between=between)


def fit_truncated_power_law_to(
    data: Distinct,
    *,
    ks: Literal["lower", "two-sided"] = "lower",
    min_alpha: float = 1.0,
    between: tuple[float, float] | None = None,
) -> TruncatedPowerLawFit:
    """Fit the tail of values that are sorted and counted: what ``fit_truncated_power_law`` does after that."""
    if not min_alpha <= 1.0:
        raise ValueError(f"min_alpha is {min_alpha:g}: the bound of alpha is at most 1")
    if not data.values[-1] / SPAN < data.values[0]:
        raise Refused(f"the eigenvalues span more than {math.log10(SPAN):.0f} orders of magnitude")
    first, end = (0, data.values.size - 1) if between is None else data.starts_within(*between)
    fits = _fits(data, first, end, min_alpha)
    distances = _smallest_distances(data, fits, two_sided=ks == "two-sided")
    best = min(sorted(distances), key=distances.__getitem__)  # of equal ones the first, which has the longer tail
    start, size = first + best, float(data.n_tail[first + best])
    xmin = float(data.values[start])
    return TruncatedPowerLawFit(
        alpha=float(fits.alphas[best]),
        Lambda=float(fits.rates[best]) / xmin,
        D=distances[best],
        xmin=xmin,
        n_tail=int(size),
        log_likelihood=-size * float(fits.losses[best]),
    )


class _Fits(NamedTuple):
    """Of tails with consecutive starts, each in units of its xmin.

    Attributes:
        first: Start of the first tail.
        alphas: Exponents.
        rates: Lambda * xmin.
        logs: Mean of ln(x / xmin).
        excesses: Mean of x / xmin - 1.
        losses: Minus the mean log-likelihood.
    """

    first: int
    alphas: Floats
    rates: Floats
    logs: Floats
    excesses: Floats
    losses: Floats


def _fits(data: Distinct, first: int, end: int, min_alpha: float) -> _Fits:
    """Fit the tails whose starts are from ``first`` to before ``end``."""
    values, n_tail = data.values, data.n_tail
    # Sums over a tail as sums of positive steps, so that nothing cancels in narrow tails.
    gaps = values[1:] - values[:-1]
    excesses = (gaps * n_tail[1:])[::-1].cumsum()[::-1] / (n_tail[:-1] * values[:-1])
    logs = (np.log1p(gaps / values[:-1]) * n_tail[1:])[::-1].cumsum()[::-1] / n_tail[:-1]
    logs, excesses = logs[first:end], excesses[first:end]
    alphas, rates, losses = np.empty((3, end - first))
    for low in range(0, end - first, CHUNK):
        part = slice(low, low + CHUNK)
        alphas[part], rates[part], losses[part] = largest_likelihood(logs[part], excesses[part], min_alpha)
    return _Fits(first, alphas, rates, logs, excesses, losses)


def _smallest_distances(data: Distinct, fits: _Fits, *, two_sided: bool) -> dict[int, float]:
    """D by the number of a tail, of all tails that may have the smallest.

    The misfit at any one point is a lower bound of D, and neighbouring tails misfit most at the same points.
    """
    distances: dict[int, float] = {}
    left = np.arange(fits.alphas.size)
    limit = math.inf
    log_integrals = fits.losses - fits.alphas * fits.logs - fits.rates * fits.excesses
    while left.size:
        step = -(-left.size // BATCH)
        middles = np.minimum(np.arange(step // 2, left.size + step // 2, step), left.size - 1)
        witnesses = []
        for tail in left[middles].tolist():
            distances[tail], witness, side = _distance(data, fits, tail, two_sided=two_sided)
            witnesses.append((witness, side))
            limit = min(limit, distances[tail] + SLACK)
        points, sides = np.array(witnesses).repeat(step, axis=0)[: left.size].T
        others = np.ones(left.size, bool)
        others[middles] = False
        left, points, sides = left[others], points[others], sides[others]
        bounds = _misfits(data, fits, left, points, sides, log_integrals)
        left = left[bounds <= limit]
    return distances


def _misfits(
    data: Distinct, fits: _Fits, tails: Indices, points: Indices, sides: Indices, log_integrals: Floats
) -> Floats:
    """How far the fit of each tail is from the data at a point: below it, or with side 1 up to it."""
    starts = tails + fits.first
    beyond = points >= starts
    points = np.maximum(points, starts)
    alphas, rates = fits.alphas[tails], fits.rates[tails]
    heights = np.log(data.values[points]) - np.log(data.values[starts])
    above = (1.0 - alphas) * heights - rates * np.expm1(heights)
    cut_off = rates > 0.0
    with np.errstate(over="ignore", under="ignore"):
        lower = rates[cut_off] * np.exp(heights[cut_off])
        above[cut_off] += log_integrals_from_1(alphas[cut_off], lower) - log_integrals[tails][cut_off]
        fitted = np.exp(above)
    left = np.where(sides == 1, data.n_tail[points] - data.counts[points], data.n_tail[points]) / data.n_tail[starts]
    return np.where(beyond, np.abs(left - fitted), 0.0)


def _distance(data: Distinct, fits: _Fits, tail: int, *, two_sided: bool) -> tuple[float, int, int]:
    """D of a tail, the point where it is, and whether that is below (0) or up to the point (1)."""
    start = fits.first + tail
    n_tail, size = data.n_tail[start:], float(data.n_tail[start])
    fitted = _share_above(data.values[start:], float(fits.alphas[tail]), float(fits.rates[tail]))
    below = np.abs(n_tail / size - fitted)
    point = int(below.argmax())
    if two_sided:
        up_to = np.abs((n_tail - data.counts[start:]) / size - fitted)
        other = int(up_to.argmax())
        if up_to[other] > below[point]:
            return float(up_to[other]), start + other, 1
    return float(below[point]), start + point, 0


def _share_above(tail: Floats, alpha: float, rate: float) -> Floats:
    """Fitted probability of what is not below each of the ascending values of a tail."""
    excess = (tail - tail[0]) / tail[0]
    heights = np.log1p(excess)
    if rate == 0.0:
        share: Floats = np.exp((1.0 - alpha) * heights)
        return share
    # From the far end on, sums of integrals between neighbours, in pieces over which the integrand changes little.
    end = float(integral_nodes(np.array([alpha]), np.array([rate]))[0][0, -1])
    inside = min(int(heights.searchsorted(end)), heights.size)
    edges = np.append(heights[:inside], max(end, float(heights[inside - 1])))
    falls = abs(alpha - 1.0) * np.diff(edges) + rate * np.diff(np.expm1(edges))
    pieces = np.ceil(np.maximum(2.0 * np.diff(edges), falls)).astype(np.intp)
    np.maximum(pieces, 1, out=pieces)
    widths = np.repeat(np.diff(edges) / pieces, pieces)
    numbers = np.arange(widths.size) - np.repeat(pieces.cumsum() - pieces, pieces)
    places, weights = gauss_legendre(6)
    lefts = np.repeat(edges[:-1], pieces) + numbers * widths
    nodes = lefts[:, None] + widths[:, None] * places
    integrals = (np.exp((1.0 - alpha) * nodes - rate * np.expm1(nodes)) @ weights) * widths
    between = np.add.reduceat(integrals, pieces.cumsum() - pieces)
    above = between[::-1].cumsum()[::-1]
    shares = np.zeros(heights.size)
    shares[:inside] = above / above[0]
    return shares


def truncated_power_law_on(tail: Distinct, *, min_alpha: float = 1.0) -> TruncatedPowerLawFit:
    """Fit all of the values, the smallest being xmin: no start is looked for.

    Raises:
        NotApplicable: No start lies within the values.
        Refused: The values span more than 150 orders of magnitude.
    """
    xmin = float(tail.values[0])
    return fit_truncated_power_law_to(tail, min_alpha=min_alpha, between=(xmin, xmin))
