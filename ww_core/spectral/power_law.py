"""Power-law fit of the tail of a spectrum."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from ww_core.spectral.distinct import Distinct

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Indices = npt.NDArray[np.intp]

EPS = float(np.finfo(np.float64).eps)

# What was fastest, from 64 to a million values; no result depends on these.
BATCH = 12  # tails evaluated in a round of the scan: with more, rounds are fewer but longer
SMALL = 8192  # misfits that are evaluated sooner than pruned
CHUNK = 16384  # points in a temporary array, unless one tail has more: they stay in the cache


@dataclass(frozen=True, slots=True)
class PowerLawFit:
    """A tail density p(x) ~ x**-alpha on x >= xmin.

    Attributes:
        alpha: Exponent of the density.
        D: Kolmogorov-Smirnov distance of the tail from the fit, in [0, 1].
        sigma: Standard error of alpha, (alpha - 1) / sqrt(n_tail).
        xmin: Smallest value of the tail; unit of the data.
        xmax: Largest value of the data; unit of the data.
        n_tail: Values in the tail, ties counted.
    """

    alpha: float
    D: float
    sigma: float
    xmin: float
    xmax: float
    n_tail: int


def fit_power_law(
    eigenvalues: npt.NDArray[np.float64],
    *,
    floor: float = 0.0,
    tie_tolerance: float = 0.0,
    ks: Literal["lower", "two-sided"] = "lower",
    xmax: Literal["none", "largest"] = "none",
    between: tuple[float, float] | None = None,
) -> PowerLawFit:
    """Fit the tail of ``eigenvalues`` by maximum likelihood, scanning every start of the tail.

    Each distinct value x_i but the largest is tried as xmin, with k values x_j >= x_i:
    alpha_i = 1 + k / sum(ln(x_j / x_i)), F_i(x) = 1 - (x / x_i)**(1 - alpha_i), and D_i is the largest distance between
    F_i and the empirical distribution. The smallest D_i wins, the longer tail where two are equal. Starts whose D_i has
    a lower bound above the smallest are passed over, which makes the scan fast and changes no digit of the fit.

    Args:
        eigenvalues: 1-D, float64, any order and scale, not negative.
        floor: Values not above it are left out, and so are zeros; unit of the data.
        tie_tolerance: Neighbours not farther apart than this are one value, the smallest of their group.
        ks: ``lower`` compares F with the share of the tail below each distinct value, as Clauset's code and powerlaw
            do; ``two-sided`` also with the share up to and including it: the Kolmogorov-Smirnov distance proper.
        xmax: ``largest`` compares with F(x) / F(largest value) instead, the fit cut off at the largest value, as
            powerlaw 1.5 does when told its xmax. Only D and with it the choice of xmin are different: alpha_i stays the
            estimate for the unbounded tail. F(largest value) is at least 1 - 1/e, as no logarithm is above the largest.
        between: Smallest and largest value that may be xmin, both included; None for any.

    Returns:
        The fit. Multiplying the data, floor and tolerance by a power of two changes xmin and xmax only.

    Raises:
        NotApplicable: There are fewer than two distinct values, or no start lies within ``between``.
        Refused: A value is NaN or infinite.

    Reference:
        A. Clauset, C. R. Shalizi, M. E. J. Newman, Power-law distributions in empirical data, SIAM Review 51 (2009).
    """
    data = Distinct.of(eigenvalues, floor=floor, tie_tolerance=tie_tolerance)
    return fit_power_law_to(data, ks=ks, xmax=xmax, between=between)


def fit_power_law_to(
    data: Distinct,
    *,
    ks: Literal["lower", "two-sided"] = "lower",
    xmax: Literal["none", "largest"] = "none",
    between: tuple[float, float] | None = None,
) -> PowerLawFit:
    """Fit the tail of values that are sorted and counted: what ``fit_power_law`` does after that.

    Raises:
        NotApplicable: No start lies within ``between``.
    """
    distinct, n_tail, counts, largest = data
    starts = (0, distinct.size - 1) if between is None else data.starts_within(*between)
    two_sided, bounded = ks == "two-sided", xmax == "largest"
    with np.errstate(over="ignore", under="ignore"):
        fits = [
            _fit_tail(distinct[start:], n_tail[start:], counts[start:], largest, two_sided=two_sided, bounded=bounded)
            for start in _Tails(distinct, n_tail, counts, two_sided=two_sided, bounded=bounded).shortlist(*starts)
        ]
    return min(fits, key=lambda fit: fit.D)  # of equal ones the first, which has the longer tail


def fits_by_start(eigenvalues: Floats, *, floor: float = 0.0, most: int = 0) -> list[PowerLawFit]:
    """Return the fits of tails by their starts, as `fit_power_law` makes them, in ascending order of xmin.

    Args:
        eigenvalues: 1-D, float64, any order and scale, not negative.
        floor: Values not above it are left out, and so are zeros; unit of the data.
        most: How many starts to take, spread evenly over the distinct values; 0 for all.

    Raises:
        NotApplicable: There are fewer than two distinct values.
        Refused: A value is NaN or infinite.
    """
    distinct, n_tail, counts, largest = Distinct.of(eigenvalues, floor=floor)
    starts = np.arange(distinct.size - 1)
    if most and starts.size > most:
        starts = np.unique(np.linspace(0, starts[-1], most).round().astype(np.intp))
    with np.errstate(over="ignore", under="ignore"):
        return [
            _fit_tail(distinct[start:], n_tail[start:], counts[start:], largest, two_sided=False, bounded=False)
            for start in starts.tolist()
        ]


def _fit_tail(
    distinct: Floats, n_tail: Floats, counts: Floats, largest: float, *, two_sided: bool, bounded: bool
) -> PowerLawFit:
    """Fit the tail of ascending ``distinct`` values, with the number of values not below each and equal to each."""
    xmin, size = float(distinct[0]), float(n_tail[0])
    logs = _log_ratios(distinct, xmin)
    exponent = size / float(counts.dot(logs))
    logs *= -exponent
    fitted = np.expm1(logs, out=logs)  # with the sign changed, as is the misfit
    if bounded:
        fitted /= -fitted[-1]
    misfit = size - n_tail
    misfit /= size
    misfit += fitted
    distance = _largest_size(misfit)
    if two_sided:
        misfit += counts / size
        distance = max(distance, _largest_size(misfit))
    alpha = 1.0 + exponent
    return PowerLawFit(
        alpha=alpha,
        D=distance,
        sigma=(alpha - 1.0) / math.sqrt(size),
        xmin=xmin,
        xmax=largest,
        n_tail=int(size),
    )


def _largest_size(numbers: Floats) -> float:
    sizes = np.abs(numbers)
    return float(sizes[sizes.argmax()])  # argmax takes a quarter of the time of max


def _log_ratios(tail: Floats, xmin: float) -> Floats:
    """ln(x / xmin) of ascending positive ``tail``, exact for close neighbours too, whose ratio rounds to 1."""
    excess = tail - xmin
    excess /= xmin
    logs: Floats = np.log(tail) - np.log(xmin) if excess[-1] == math.inf else np.log1p(excess, out=excess)
    return logs


class _Tails:
    """All tails of a spectrum at once, in logarithms.

    With h = ln(x_max / x), n_i values in the tail from x_i on and its exponent a_i = alpha_i - 1, the fitted share of
    the tail from x_j on is exp(a_i h_j - a_i h_i) and the counted one n_j / n_i. Their misfit at any one point j is a
    lower bound of D_i. Tails with neighbouring starts i misfit most at the same points, so that the one where one of
    them misfits most gives bounds of all of them that are nearly their D.
    """

    def __init__(self, distinct: Floats, n_tail: Floats, counts: Floats, *, two_sided: bool, bounded: bool) -> None:
        heights = _log_quotients(distinct[-1], distinct)
        # Of each point -1, h, the number of values from it on, and where two-sided also of those above it.
        self._points = points = np.empty((4 if two_sided else 3, n_tail.size))
        points[0] = -1.0
        points[1] = heights
        points[2] = n_tail
        if two_sided:
            np.subtract(n_tail, counts, out=points[3])
        self._least = counts / n_tail if two_sided else None  # the misfit at a tail's start, where the fit is 0
        # Of each tail a h, a, 1 / n, and where bounded also the fitted share from the largest value on.
        self._tails = tails = np.empty((4 if bounded else 3, n_tail.size - 1))
        reaches, exponents = tails[0], tails[1]
        steps = _log_quotients(distinct[1:], distinct[:-1])
        steps *= n_tail[1:]
        np.divide(n_tail[:-1], steps[::-1].cumsum()[::-1], out=exponents)
        np.multiply(exponents, heights[:-1], out=reaches)
        np.divide(1.0, n_tail[:-1], out=tails[2])
        if bounded:
            np.exp(-reaches, out=tails[3])
        # Twice how far D by these formulas can be from D by _fit_tail. In units of EPS / 2, to first order, functions
        # being good to 4 units in the last place: a logarithm is within 20 of itself, as two rounded ones are
        # subtracted only where the ratio overflows; a sum of m positive ones within m + 20; and so the fitted share,
        # whose exponent is t = a (h_i - h_j) <= a h_i, within 0.37 (m + 22) + 42 a h_i + 8, as t exp(-t) < 0.37. In
        # _fit_tail it is within 0.37 (m + 23) + 26 a h_i + 16. Counted shares add 8, and division by F(largest) makes
        # of 1 at most 3.2. D of a tail in the middle is taken from its bound, whose point another order of operations
        # found: twice what they differ by, 13 a h_i + 38. As the largest a h_i is at least 1, all this is covered.
        self._margin = EPS * (512.0 * float(reaches[reaches.argmax()]) + 4.0 * n_tail.size)

    def shortlist(self, first: int, end: int) -> list[int]:
        """Starts from ``first`` to before ``end``, ascending, with all whose D is the smallest: almost always one."""
        tails = self._tails[:, first:end]
        starts = np.arange(first, end)
        limit = math.inf
        while True:
            step = -(-starts.size // BATCH)
            if starts.size * (self._points.shape[1] - int(starts[0])) <= SMALL:
                step = 1
                bounds = distances = self._distances(tails, starts)
            else:
                middles = np.minimum(np.arange(step // 2, starts.size + step // 2, step), starts.size - 1)
                bounds = _bounds(tails, self._witnesses(tails.take(middles, axis=1), starts[middles]), step)
                if self._least is not None:
                    np.maximum(bounds, self._least[starts], out=bounds)
                distances = bounds[middles]
            limit = min(limit, float(distances[distances.argmin()]) + self._margin)
            kept = (bounds <= limit).nonzero()[0]
            if step == 1 or kept.size in (1, starts.size):  # if all, they differ by rounding only
                found: list[int] = starts[kept].tolist()
                return found
            tails, starts = tails.take(kept, axis=1), starts[kept]

    def _distances(self, tails: Floats, starts: Indices) -> Floats:
        """D of these tails with these ascending starts."""
        misfits = _misfits(tails, self._points[:, starts[0] :])
        largest = np.arange(0, misfits.size, misfits.shape[1])
        largest += misfits.argmax(axis=1)
        return misfits.take(largest)

    def _witnesses(self, tails: Floats, starts: Indices) -> Floats:
        """Points where these tails with these ascending starts misfit most, a column each, without the first row."""
        together = max(1, CHUNK // (self._points.shape[1] - int(starts[0])))
        found = []
        for low in range(0, starts.size, together):
            points = self._points[:, starts[low] :]
            misfits = _misfits(tails[:, low : low + together], points)
            found.append(points[1:].take(misfits.argmax(axis=1), axis=1))
        return found[0] if len(found) == 1 else np.concatenate(found, axis=1)


def _misfits(tails: Floats, points: Floats) -> Floats:
    """How far the fitted share is from the counted ones, shape (tails, points); 0 before the start of a tail."""
    exponents = np.dot(tails[:2].T, points[:2])
    shares = [np.dot(tails[2:3].T, numbers) for numbers in points[2:, None]]
    return _farthest(exponents, shares, tails[3][:, None] if len(tails) > 3 else None)


def _bounds(tails: Floats, witnesses: Floats, step: int) -> Floats:
    """Lower bounds of D: the misfits of each tail at a witness, one for ``step`` tails."""
    exponents, *shares = witnesses.repeat(step, axis=1)[:, : tails.shape[1]]
    exponents *= tails[1]
    exponents -= tails[0]
    for counted in shares:
        counted *= tails[2]
    return _farthest(exponents, shares, tails[3] if len(tails) > 3 else None)


def _farthest(exponents: Floats, shares: list[Floats], ends: Floats | None) -> Floats:
    """How far exp(exponents) is from the farthest of the counted shares; the arrays are used up."""
    # Both are above 1 only before a tail's start.
    fitted = np.exp(np.minimum(exponents, 0.0, out=exponents), out=exponents)
    if ends is not None:
        fitted -= ends
        fitted /= 1.0 - ends
    for counted in shares:
        np.minimum(counted, 1.0, out=counted)
        counted -= fitted
        np.abs(counted, out=counted)
    return shares[0] if len(shares) == 1 else np.maximum(shares[0], shares[1])


def _log_quotients(high: Floats, low: Floats) -> Floats:
    """ln(high / low) of positive values, each exact for close ones too and where the ratio overflows."""
    logs: Floats = high - low
    logs /= low
    np.log1p(logs, out=logs)
    if logs[logs.argmax()] == math.inf:
        logs = np.where(np.isinf(logs), np.log(high) - np.log(low), logs)
    return logs
