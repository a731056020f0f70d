"""The Marchenko-Pastur law of noise, and its fit to the bulk of a spectrum."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ww_core.errors import NotApplicable, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

FEWEST = 10
"""Eigenvalues in a bulk: with fewer, its shape says nothing."""

ROUNDS = 100
"""Rounds in which a corrected variance converges: a few, unless many spikes meet the bulk on the way."""

TINY = 1e-200
"""What counts as zero where something is divided by its root."""

TAIL = np.array([0.5, 0.4, 0.3, 0.2, 0.15, 0.1, 0.05, 0.02, 0.01, 0.005, 0.001, *(10.0**-k for k in range(4, 13))])
QUANTILES = np.array(
    [
        -1.26857462, -0.94633005, -0.59228719, -0.16531343, 0.10383803, 0.45014329, 0.97931605, 1.59775568, 2.02344928,
        2.42232659, 3.27219606, 4.35942034, 5.34429595, 6.25635443, 7.11292907, 7.92525972, 8.70114642, 9.44627560,
        10.16495118, 10.86052827,
    ]
)  # fmt: skip
"""Upper quantiles of the Tracy-Widom law of real matrices at ``TAIL``, from its Fredholm determinant."""


@dataclass(frozen=True, slots=True)
class MarchenkoPasturFit:
    """A bulk of noise, and what stands out above it.

    Attributes:
        sigma: Standard deviation of the entries of the noise; root of the eigenvalues' unit.
        lambda_minus: Lower edge of the bulk, ``sigma**2 * (sqrt(N) - sqrt(M))**2``; unit of the eigenvalues.
        lambda_plus: Upper edge, ``sigma**2 * (sqrt(N) + sqrt(M))**2``; the same unit.
        threshold: lambda_plus and the Tracy-Widom margin; the same unit.
        num_spikes: Eigenvalues above the threshold.
        n_bulk: Eigenvalues in the bulk: not above the threshold, and above the floor.
        D: Kolmogorov-Smirnov distance of the bulk from the law, in [0, 1].
    """

    sigma: float
    lambda_minus: float
    lambda_plus: float
    threshold: float
    num_spikes: int
    n_bulk: int
    D: float


def fit_marchenko_pastur(
    eigenvalues: Floats, n_rows: int, n_cols: int, *, floor: float = 0.0, level: float = 0.01
) -> MarchenkoPasturFit:
    """Split a spectrum into a Marchenko-Pastur bulk and spikes above it.

    What a noisy matrix of N rows and M columns leaves when its k spikes are taken away is noise of N - k rows and
    M - k columns. For each k the variance of its entries is therefore::

        sigma**2 = sum of all but the k largest / ((N - k) (M - k)) + sigma**4 * sum of 1 / theta_i**2

    where theta_i, from ``lambda_i = (theta_i**2 + N sigma**2) (theta_i**2 + M sigma**2) / theta_i**2``, is the singular
    value of a spike without the noise, and the second term what spikes near the bulk take from it. The variance gives
    the edge, and with a Tracy-Widom margin the threshold. A split is consistent if k eigenvalues are above the
    threshold that k gives. The consistent k with the fewest spikes is taken if its bulk has the shape of noise, else
    that k whose bulk is the nearest to the law. So many spikes of one size do not hide each other, and noise has none.
    There is no grid, no density estimate and no start value.

    Args:
        eigenvalues: Squared singular values, 1-D, any order and scale, not divided by N; of one matrix or of several
            pooled ones of the same shape: a whole multiple of min(n_rows, n_cols) of them.
        n_rows: Rows of a matrix.
        n_cols: Columns of a matrix.
        floor: Eigenvalues not above it are no part of the bulk, and shorten the shorter side of the law by as many, as
            dead rows or columns do; unit of the eigenvalues. Those that die on the longer side leave no trace in their
            number: they show in D.
        level: Probability that a spectrum of Gaussian noise has a spike, above 0 and below 1.

    Returns:
        The fit. With pooled matrices, k is the mean over them. Edges are those of the bulk that the spikes leave.

    Raises:
        NotApplicable: Fewer than ten eigenvalues are above the floor, or a matrix has one row or one column only.
        Refused: Not even half of the eigenvalues above the floor are a bulk: however many are taken for spikes, more
            are above the threshold. An eigenvalue is NaN or infinite, they are not those of whole matrices, or the
            level is out of range.

    Reference:
        V. A. Marchenko, L. A. Pastur, Mathematics of the USSR-Sbornik 1 (1967); the margin I. M. Johnstone, Annals of
        Statistics 29 (2001), centred as by Z. Ma, Bernoulli 18 (2012); far out S. N. Majumdar, M. Vergassola, Physical
        Review Letters 102, 060601 (2009); theta_i F. Benaych-Georges, R. R. Nadakuditi,
        Journal of Multivariate Analysis 111 (2012); a count of spikes by tests and a corrected variance S. Kritchman,
        B. Nadler, IEEE Transactions on Signal Processing 57 (2009).
    """
    N, M = max(n_rows, n_cols), min(n_rows, n_cols)
    if not 0.0 < level < 1.0:
        raise Refused(f"level is {level:g}: a probability is above 0 and below 1")
    if M < 2:
        raise NotApplicable("a matrix with one row or one column has no bulk")
    kept = np.sort(np.asarray(eigenvalues, dtype=np.float64))[::-1]
    if not np.isfinite(kept).all():
        raise Refused(f"{np.count_nonzero(~np.isfinite(kept))} of {kept.size} eigenvalues are NaN or infinite")
    if kept.size % M:
        raise Refused(f"{kept.size} eigenvalues are not those of whole matrices, each with {M}")
    n_matrices = kept.size / M
    above = kept[: np.count_nonzero(kept > max(floor, 0.0))]
    if above.size < FEWEST:
        raise NotApplicable(f"of {kept.size} eigenvalues {above.size} are above the floor: a bulk needs {FEWEST}")
    splits = _Splits(above, N, M - (kept.size - above.size) / n_matrices, n_matrices, level)
    noise = distance_of_noise(M, n_matrices)
    best: MarchenkoPasturFit | None = None
    for k, variance in splits.corrected():
        fit = splits.fit(k, variance)
        if fit.num_spikes == k and (best is None or fit.D < best.D):
            best = fit
            if noise >= fit.D:
                break
    if best is None:
        raise Refused("the spectrum has no bulk of noise: half of it and more would be spikes")
    return best


class _Splits:
    """All splits of a spectrum into k spikes and a bulk.

    Args:
        above: Eigenvalues above the floor, descending.
        N: Longer side of a matrix.
        M: Shorter side, without what is below the floor.
        n_matrices: Matrices that are pooled.
        level: Probability of a spike in noise.
    """

    def __init__(self, above: Floats, N: float, M: float, n_matrices: float, level: float) -> None:
        self._above, self._ascending, self._n_matrices = above, above[::-1], n_matrices
        spikes = np.arange(min(above.size // 2, above.size - FEWEST) + 1)
        self._N, self._M = N - spikes / n_matrices, M - spikes / n_matrices
        sums = self._ascending.cumsum()[::-1]
        self._variances = sums[: spikes.size] / (n_matrices * self._N * self._M)
        quantile = tracy_widom_quantile(-math.expm1(math.log1p(-level) / n_matrices))
        self._largest = _largest_of_noise(self._N, self._M, quantile)

    def consistent(self) -> list[int]:
        """Each k with as many eigenvalues above its threshold, ascending, before variances are corrected."""
        counts = self._above.size - self._ascending.searchsorted(self._variances * self._largest, side="right")
        found: list[int] = (counts == np.arange(counts.size)).nonzero()[0].tolist()
        return found

    def corrected(self) -> Iterator[tuple[int, float]]:
        """From each consistent k down the split that is so with its corrected, larger variance; that variance."""
        seen: set[int] = set()
        for start in self.consistent():
            k = start
            while k not in seen:  # else it would go the same way once more
                seen.add(k)
                variance = self._corrected_variance(k)
                counted = self._count(variance * float(self._largest[k]))
                if counted >= k:
                    yield k, variance
                    break
                k = counted

    def _corrected_variance(self, k: int) -> float:
        """The smallest variance above the raw one that is what the formula makes of it: Newton's steps from below.

        What a spike takes is a convex function of the variance up to where the spike meets the bulk, and a line from
        there on. So no step goes too far that does not pass the next such point.
        """
        N, M, raw = float(self._N[k]), float(self._M[k]), float(self._variances[k])
        centre, root = N + M, math.sqrt(N * M)
        variance, above = raw, self._above[:k]
        for _ in range(ROUNDS):
            edge = variance * (centre + 2.0 * root)
            spikes = above[: above.size - int(above[::-1].searchsorted(edge, side="right"))]
            ratios = spikes / variance
            centred = ratios - centre
            products = (centred - 2.0 * root) * (centred + 2.0 * root)
            roots = np.sqrt(np.maximum(products, TINY, out=products))
            inverse = 2.0 / (centred + roots)  # sigma**2 / theta_i**2
            taken = float(np.add.reduce(inverse)) + (k - spikes.size) / root
            lost = variance * taken / self._n_matrices + raw - variance
            if lost <= 1e-12 * variance:
                return variance + lost
            # By how much the formula rises with the variance.
            slope = (taken + float((ratios / roots).dot(inverse))) / self._n_matrices
            newton = lost / (1.0 - slope) if slope < 1.0 else math.inf
            meeting = float(spikes[-1]) / (centre + 2.0 * root) if spikes.size else math.inf
            variance = max(min(variance + newton, meeting), variance + lost)
        return variance

    def _count(self, threshold: float) -> int:
        return self._above.size - int(self._ascending.searchsorted(threshold, side="right"))

    def fit(self, k: int, variance: float) -> MarchenkoPasturFit:
        """The fit with k spikes in the law; its count of spikes is that of its threshold."""
        N, M, sigma = float(self._N[k]), float(self._M[k]), math.sqrt(variance)
        lambda_minus, lambda_plus = marchenko_pastur_edges(N, M, sigma)
        threshold = variance * float(self._largest[k])
        return MarchenkoPasturFit(
            sigma=sigma,
            lambda_minus=lambda_minus,
            lambda_plus=lambda_plus,
            threshold=threshold,
            num_spikes=self._count(threshold),
            n_bulk=self._above.size - k,
            D=_distance(self._above[k:], N, M, sigma),
        )


def marchenko_pastur_edges(N: float, M: float, sigma: float = 1.0) -> tuple[float, float]:
    """Return lambda_minus and lambda_plus, ``sigma**2 * (sqrt(N) -+ sqrt(M))**2``, of eigenvalues not divided by N."""
    low, high = sigma * (math.sqrt(N) - math.sqrt(M)), sigma * (math.sqrt(N) + math.sqrt(M))
    return low * low, high * high


def marchenko_pastur_cdf(eigenvalues: Floats, N: float, M: float, sigma: float = 1.0) -> Floats:
    """Share of the eigenvalues of noise that are not above each of these; not divided by N.

    With r = sqrt(M / N) and the angle phi in [0, pi] of ``lambda = sigma**2 * (N + M - 2 sqrt(N M) cos(phi))`` it is
    ``(phi + sin(phi) / r - (1 / r**2 - 1) * arctan(r sin(phi) / (1 - r cos(phi)))) / pi``; for M = N the law of the
    quarter circle, ``(phi + sin(phi)) / pi``.

    Args:
        eigenvalues: Squared singular values; any shape.
        N: Longer side of the matrix.
        M: Shorter side, from just above 0 to N.
        sigma: Standard deviation of the entries; root of the eigenvalues' unit.
    """
    r = math.sqrt(M / N)
    cosines = np.clip((1.0 + r * r - eigenvalues / (sigma * sigma * N)) / (2.0 * r), -1.0, 1.0)
    angles: Floats = np.arccos(cosines)
    sines: Floats = np.sin(angles)
    shares: Floats = angles + sines / r
    if r < 1.0:
        turned: Floats = np.arctan(r * sines / (1.0 - r * cosines))
        shares -= (1.0 / (r * r) - 1.0) * turned
    clipped: Floats = np.clip(shares / math.pi, 0.0, 1.0)
    return clipped


def tracy_widom_quantile(tail: float) -> float:
    """Return the number that the Tracy-Widom variable of real matrices exceeds with this probability, 1e-12 to 0.5.

    Interpolated in the power 2/3 of -ln(tail), in which it is nearly a straight line; within 0.004. Probabilities
    outside the range count as its ends. Complex matrices exceed the number less often.

    Reference:
        C. A. Tracy, H. Widom, Communications in Mathematical Physics 177 (1996); the numbers are computed
        as by F. Bornemann, Mathematics of Computation 79 (2010), from the determinant of P. L. Ferrari, H. Spohn,
        Journal of Physics A 38 (2005).
    """
    return float(np.interp((-math.log(tail)) ** (2 / 3), (-np.log(TAIL)) ** (2 / 3), QUANTILES))


def _largest_of_noise(N: Floats, M: Floats, quantile: float) -> Floats:
    """The quantile of the largest eigenvalue of noise of unit variance, by sides of the matrix, which may be broken.

    Near the edge it is ``edge + quantile * scale``. Far out, where few rows and columns and many matrices lead, an
    eigenvalue is held by the force ``sqrt((x - lambda_minus) (x - lambda_plus)) / (2 x)``, and less so than the law of
    Tracy and Widom says: the quantile is where the work against it is that law's 2/3 quantile**(3/2).
    """
    roots_N, roots_M = np.sqrt(N - 0.5), np.sqrt(np.maximum(M - 0.5, 0.25))
    edge: Floats = np.square(roots_N + roots_M)
    excess: Floats = quantile * np.sqrt(edge) * np.cbrt(1.0 / roots_N + 1.0 / roots_M)
    if quantile < 0.01:
        edge += excess
        return edge
    # With x = N + M + 2 sqrt(N M) cosh(t) the work has a closed form; Newton's steps solve for t.
    r, work = roots_M / roots_N, 4.0 / 3.0 * quantile**1.5 / np.square(roots_N)
    t: Floats = np.arccosh(1.0 + excess / (2.0 * roots_N * roots_M))
    for _ in range(8):
        inner = np.arctanh((1.0 - r) / (1.0 + r) * np.tanh(0.5 * t))
        done = 2.0 * r * np.sinh(t) - (1.0 + r * r) * t + 2.0 * (1.0 - r * r) * inner
        t -= (done - work) * (1.0 + r * r + 2.0 * r * np.cosh(t)) / np.square(2.0 * r * np.sinh(t))
    largest: Floats = edge + 2.0 * roots_N * roots_M * (np.cosh(t) - 1.0)
    return largest


def _distance(bulk: Floats, N: float, M: float, sigma: float) -> float:
    """Kolmogorov-Smirnov distance of a descending bulk from the law."""
    shares = marchenko_pastur_cdf(bulk, N, M, sigma)
    shares *= bulk.size
    steps = np.arange(bulk.size, 0.0, -1.0)
    return max(float((steps - shares).max()), float((shares - steps).max()) + 1.0) / bulk.size


def distance_of_noise(M: int, n_matrices: float) -> float:
    """What the distance D of Gaussian noise rarely exceeds, as measured: eigenvalues are more regular than a sample.

    Args:
        M: Shorter side of a matrix.
        n_matrices: Matrices that are pooled.
    """
    return ((2.0 + 0.5 * math.log(M)) / math.sqrt(n_matrices) + 0.2) / M
