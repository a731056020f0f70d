"""Power-law fit of the tail of a spectrum."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from ww_core.errors import NotApplicable, Refused

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

    Returns:
        The fit. Multiplying the data, floor and tolerance by a power of two changes xmin and xmax only.

    Raises:
        NotApplicable: There are fewer than two distinct values.
        Refused: A value is NaN or infinite.

    Reference:
        A. Clauset, C. R. Shalizi, M. E. J. Newman, Power-law distributions in empirical data, SIAM Review 51 (2009).
    """
    data = np.asarray(eigenvalues, dtype=np.float64)
    finite = np.isfinite(data)
    if not finite.all():
        raise Refused(f"{data.size - np.count_nonzero(finite)} of {data.size} eigenvalues are NaN or infinite")
    kept = np.sort(data)
    kept = kept[kept.searchsorted(max(floor, 0.0), side="right") :]
    leads = np.ones(kept.size, dtype=bool)
    np.greater(kept[1:] - kept[:-1], tie_tolerance, out=leads[1:])
    starts = leads.nonzero()[0]
    if starts.size < 2:
        found = "all eigenvalues above the floor are equal" if starts.size else "no eigenvalue is above the floor"
        raise NotApplicable(f"{found}: a tail needs two distinct ones")
    distinct = kept[starts]
    n_tail = (kept.size - starts).astype(np.float64)
    counts = n_tail.copy()
    counts[:-1] -= n_tail[1:]

    two_sided, bounded = ks == "two-sided", xmax == "largest"
    largest = float(kept[-1])
    with np.errstate(over="ignore", under="ignore"):
        fits = [
            _fit_tail(distinct[start:], n_tail[start:], counts[start:], largest, two_sided=two_sided, bounded=bounded)
            for start in _Tails(distinct, n_tail, counts, two_sided=two_sided, bounded=bounded).shortlist()
        ]
    return min(fits, key=lambda fit: fit.D)  # of equal ones the first, which has the longer tail


def _fit_tail(
    distinct: Floats, n_tail: Floats, counts: Floats, largest: float, *, two_sided: bool, bounded: bool
) -> PowerLawFit:
    """Fit the tail of ascending ``distinct`` values, with the number of values not below each and equal to each."""
    size = int(n_tail[0])
    logs = _log_ratios(distinct)
    exponent = size / float(counts @ logs)
    fitted = -np.expm1(-exponent * logs)
    if bounded:
        fitted /= fitted[-1]
    misfit = fitted - (size - n_tail) / size
    distance = float(np.abs(misfit).max())
    if two_sided:
        distance = max(distance, float(np.abs(misfit - counts / size).max()))
    alpha = 1.0 + exponent
    return PowerLawFit(
        alpha=alpha,
        D=distance,
        sigma=(alpha - 1.0) / math.sqrt(size),
        xmin=float(distinct[0]),
        xmax=largest,
        n_tail=size,
    )


def _log_ratios(tail: Floats) -> Floats:
    """ln(x / x_0) of ascending positive ``tail``, exact for close neighbours too, whose ratio rounds to 1."""
    excess = (tail - tail[0]) / tail[0]
    logs: Floats = np.log(tail) - np.log(tail[0]) if excess[-1] == math.inf else np.log1p(excess)
    return logs


class _Tails:
    """All tails of a spectrum at once, in logarithms.

    With h = ln(x_max / x), n_i values in the tail from x_i on and its exponent a_i = alpha_i - 1, the fitted share
    below x_j is 1 - exp(a_i h_j - a_i h_i) and the counted one 1 - n_j / n_i. Their misfit at any one point j is a
    lower bound of D_i. Tails with neighbouring starts i misfit most at the same points, so that the two points where
    one of them misfits most, above and below, give bounds of all of them that are nearly their D.
    """

    def __init__(self, distinct: Floats, n_tail: Floats, counts: Floats, *, two_sided: bool, bounded: bool) -> None:
        heights = _log_quotients(distinct[-1], distinct)
        steps = _log_quotients(distinct[1:], distinct[:-1])
        steps *= n_tail[1:]
        self._exponents = n_tail[:-1] / steps[::-1].cumsum()[::-1]
        self._reaches = self._exponents * heights[:-1]
        self._inverses = 1.0 / n_tail
        self._norms = -np.expm1(-self._reaches) if bounded else None
        # h, 1, n, and where two-sided also the number of values above: misfits are products with these.
        self._points = np.ones((3 + two_sided, n_tail.size))
        self._points[0] = heights
        self._points[2] = n_tail
        if two_sided:
            np.subtract(n_tail, counts, out=self._points[3])
        # Twice how far D by these formulas can be from D by _fit_tail. In units of EPS / 2, to first order, functions
        # being good to 4 units in the last place: a logarithm is within 20 of itself, as two rounded ones are
        # subtracted only where the ratio overflows; a sum of m positive ones within m + 20; and so the fitted share,
        # whose exponent is t = a (h_i - h_j) <= a h_i, within 0.37 (m + 22) + 42 a h_i + 8, as t exp(-t) < 0.37. In
        # _fit_tail it is within 0.37 (m + 23) + 26 a h_i + 16. Counted shares add 8, and division by F(largest) makes
        # of 1 at most 3.2.
        self._margin = EPS * (512.0 * float(self._reaches.max()) + 4.0 * n_tail.size)

    def shortlist(self) -> list[int]:
        """Starts, ascending, among which are all whose D is the smallest: almost always one."""
        live = np.arange(self._exponents.size)
        limit = math.inf
        while True:
            width = self._inverses.size - int(live[0])
            step = 1 if live.size * width <= SMALL else max(1, live.size // BATCH)
            middles = live[step // 2 :: step]
            bounds, witnesses = self._evaluate(middles)
            limit = min(limit, float(bounds.min()) + self._margin)
            if step > 1:
                nearest = np.minimum(np.arange(live.size) // step, middles.size - 1)
                bounds = self._bounds(live, witnesses, nearest)
            kept = live[bounds <= limit]
            if step == 1 or kept.size == live.size:  # in the latter case they differ by rounding only
                starts: list[int] = kept.tolist()
                return starts
            live = kept

    def _evaluate(self, starts: Indices) -> tuple[Floats, Indices]:
        """D of the tails with these ascending ``starts``, and their witnesses, shape (2, starts).

        These are the points where the fitted share is farthest above the counted one, and farthest below.
        """
        distances = np.empty(starts.size)
        witnesses = np.empty((2, starts.size), dtype=np.intp)
        together = max(1, CHUNK // (self._inverses.size - int(starts[0])))
        for low in range(0, starts.size, together):
            part = slice(low, low + together)
            above, below = self._misfits(starts[part])
            highest, lowest = above.argmax(axis=1), below.argmin(axis=1)
            rows = np.arange(0, above.size, above.shape[1])
            np.maximum(above.take(rows + highest), -below.take(rows + lowest), out=distances[part])
            witnesses[0, part] = highest
            witnesses[1, part] = lowest
            witnesses[:, part] += starts[low]
        return distances, witnesses

    def _misfits(self, i: Indices) -> tuple[Floats, Floats]:
        """Fitted share less the counted one at all points from i[0] on, shape (starts, points); 0 before each start.

        Twice: less the share below the point, and where two-sided less the share up to and including it, else the same
        array again.
        """
        n_rows = len(self._points)
        factors = np.zeros((n_rows - 1, i.size, n_rows))
        factors[0, :, 0] = self._exponents[i]
        factors[0, :, 1] = -self._reaches[i]
        factors[1:, :, 1] = -1.0
        factors[1, :, 2] = factors[-1, :, -1] = self._inverses[i]
        terms = np.dot(factors.reshape(-1, n_rows), self._points[:, i[0] :])
        # Exponents and, with the sign changed, counted shares: both are above zero only before a tail's start.
        np.minimum(terms, 0.0, out=terms)
        terms = terms.reshape(n_rows - 1, i.size, -1)
        fitted, counted = terms[0], terms[1:]
        np.expm1(fitted, out=fitted)
        if self._norms is not None:
            fitted /= self._norms[i, None]
        counted -= fitted
        return counted[0], counted[-1]

    def _bounds(self, starts: Indices, witnesses: Indices, nearest: Indices) -> Floats:
        """Lower bounds of D: the misfits of each tail at the witnesses, a column of them, ``nearest`` to its start."""
        heights, _, *counted = self._points
        bounds = np.empty(starts.size)
        for low in range(0, starts.size, CHUNK):
            part = slice(low, low + CHUNK)
            i = starts[part]
            j = np.maximum(witnesses.take(nearest[part], axis=1), i)
            fitted = heights[j]
            fitted *= self._exponents[i]
            fitted -= self._reaches[i]
            np.expm1(fitted, out=fitted)
            if self._norms is not None:
                fitted /= self._norms[i]
            misfit = counted[0][j]
            misfit[1] = counted[-1][j[1]]
            misfit *= self._inverses[i]
            misfit -= 1.0
            misfit -= fitted
            np.maximum(misfit[0], -misfit[1], out=bounds[part])
        return bounds


def _log_quotients(high: Floats, low: Floats) -> Floats:
    """ln(high / low) of positive values, each exact for close ones too and where the ratio overflows."""
    logs: Floats = np.log1p((high - low) / low)
    if logs.max() == math.inf:
        logs = np.where(np.isinf(logs), np.log(high) - np.log(low), logs)
    return logs
