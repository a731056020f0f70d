"""Other distributions than a power law for the same tail, and which of them the data prefer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from ww_core.spectral.distinct import Distinct
from ww_core.spectral.quadrature import gauss_legendre
from ww_core.spectral.truncated_power_law import TruncatedPowerLawFit, truncated_power_law_on

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

DEPTH = 40.0  # what is below exp(-40) of the largest counts for nothing in an integral
FARTHEST = 1e5  # lognormals whose mean is farther below the tail, in their sigma, are power laws to 1e-10


@dataclass(frozen=True, slots=True)
class Comparison:
    """Log-likelihood ratio of the power law to another distribution, on the same tail.

    Attributes:
        R: Sum of the logarithms of the ratio; negative where the other distribution is more likely.
        p: Two-sided probability that the sign of R is chance, after Q. H. Vuong; for a family that contains the power
            law, the probability of so large a gain if the power law is true.
    """

    R: float
    p: float


@dataclass(frozen=True, slots=True)
class LognormalFit:
    """A tail density p(x) ~ exp(-(ln x - mu)**2 / (2 sigma**2)) / x on x >= xmin.

    Attributes:
        mu: Mean of ln x of the whole lognormal, which need not lie in the tail.
        sigma: Standard deviation of ln x of the whole lognormal.
    """

    mu: float
    sigma: float


@dataclass(frozen=True, slots=True)
class TailAlternatives:
    """Fits to one tail, by maximum likelihood, and their comparisons with the power law.

    Attributes:
        rate: Of the exponential, p(x) = rate * exp(-rate (x - xmin)); unit 1 / unit of the data.
        lognormal: The lognormal cut off below xmin; None where its likelihood has no maximum.
        truncated: The power law with an exponential cut-off.
        exponential_over: Comparison with the exponential.
        lognormal_over: Comparison with the lognormal.
        truncated_over: Comparison with the power law with a cut-off, which contains the power law.
    """

    rate: float
    lognormal: LognormalFit | None
    truncated: TruncatedPowerLawFit
    exponential_over: Comparison
    lognormal_over: Comparison
    truncated_over: Comparison

    def preferred(self, level: float) -> Literal["exponential", "lognormal", "truncated"] | None:
        """Return the most likely of those that are preferred to the power law at this level; None for the power law."""
        better = [
            (compared.R, name)
            for name, compared in (
                ("exponential", self.exponential_over),
                ("lognormal", self.lognormal_over),
                ("truncated", self.truncated_over),
            )
            if compared.R < 0.0 and compared.p < level
        ]
        return min(better)[1] if better else None  # type: ignore[return-value]


def compare_alternatives(tail: Floats) -> TailAlternatives:
    """Fit exponential, lognormal and truncated power law to a tail, and compare each with the power law.

    Args:
        tail: 1-D, float64, positive, any order; its smallest value is xmin.

    Raises:
        NotApplicable: There are fewer than two distinct values.
        Refused: A value is NaN or infinite, or the values span more than 150 orders of magnitude.

    Reference:
        Q. H. Vuong, Likelihood ratio tests for model selection and non-nested hypotheses, Econometrica 57 (1989);
        A. Clauset, C. R. Shalizi, M. E. J. Newman, SIAM Review 51 (2009), section 5.
    """
    data = Distinct.of(tail)
    truncated = truncated_power_law_on(data)
    values, counts = data.values, data.counts
    size, xmin = float(data.n_tail[0]), float(values[0])
    excesses = (values - xmin) / xmin
    logs = np.log1p(excesses)
    mean_excess, mean_log = float(counts.dot(excesses)) / size, float(counts.dot(logs)) / size

    # Log-likelihoods of each value, of densities of x / xmin.
    power_law = -math.log(mean_log) - (1.0 + 1.0 / mean_log) * logs
    exponential = -math.log(mean_excess) - excesses / mean_excess
    lognormal, at_lognormal = _lognormal(logs, counts, mean_log)
    gain = max(0.0, truncated.log_likelihood - float(counts.dot(power_law)))
    return TailAlternatives(
        rate=1.0 / mean_excess / xmin,
        lognormal=None if lognormal is None else LognormalFit(lognormal.mu + math.log(xmin), lognormal.sigma),
        truncated=truncated,
        exponential_over=_compared(power_law - exponential, counts),
        lognormal_over=Comparison(0.0, 1.0) if at_lognormal is None else _compared(power_law - at_lognormal, counts),
        # Twice the gain is chi-square of one degree, with probability one half 0: Lambda cannot be below 0.
        truncated_over=Comparison(-gain, math.erfc(math.sqrt(gain)) / 2.0 if gain > 0.0 else 1.0),
    )


def _compared(ratios: Floats, counts: Floats) -> Comparison:
    """Vuong's test of log-likelihood ratios of each value."""
    size = float(counts.sum())
    total = float(counts.dot(ratios))
    spread = math.sqrt(float(counts.dot((ratios - total / size) ** 2)) / size)
    if spread == 0.0:
        return Comparison(total, 1.0)
    return Comparison(total, math.erfc(abs(total) / (spread * math.sqrt(2.0 * size))))


def _lognormal(logs: Floats, counts: Floats, mean: float) -> tuple[LognormalFit | None, Floats | None]:
    """Fit a normal cut off below 0 to logarithms; None where the likelihood grows towards the exponential in them.

    With h = -mu / sigma the ratio of the mean square to the squared mean grows with h from 1 to 2, the exponential's.
    It has a maximum only if that of the data is below 2: J. del Castillo, Annals of the Institute of Statistical
    Mathematics 46 (1994).
    """
    size = float(counts.sum())
    ratio = 1.0 + float(counts.dot((logs - mean) ** 2)) / size / mean**2
    low, high = math.asinh(-2.0 / math.sqrt(ratio - 1.0) - 2.0), math.asinh(FARTHEST)
    if ratio >= _moments(FARTHEST)[2]:
        return None, None
    while high - low > 1e-15 * max(1.0, abs(low)):
        middle = (low + high) / 2.0
        if middle in (low, high):
            break
        if _moments(math.sinh(middle))[2] < ratio:
            low = middle
        else:
            high = middle
    start = math.sinh((low + high) / 2.0)
    log_total, first, _ = _moments(start)
    sigma = mean / first
    scaled = logs / sigma
    # Density of x / xmin: that of its logarithm, divided by it.
    likelihoods = -start * scaled - scaled**2 / 2.0 - log_total - math.log(sigma) - logs
    return LognormalFit(-start * sigma, sigma), likelihoods


def _moments(start: float) -> tuple[float, float, float]:
    """Of the density ~ exp(-start * y - y**2 / 2) on y >= 0: ln of its integral, mean, mean square / mean**2."""
    peak = max(0.0, -start)
    reach = math.sqrt(2.0 * DEPTH)
    # From the peak, (start + peak) y + y**2 / 2 = DEPTH, without cancellation.
    slope = start + peak
    last = peak + 2.0 * DEPTH / (slope + math.sqrt(slope**2 + 2.0 * DEPTH))
    first = max(0.0, peak - reach)
    places, weights = gauss_legendre(64)
    nodes = first + (last - first) * places
    weights = (last - first) * weights
    highest = peak * (-start - peak / 2.0)
    # -start y - y**2 / 2 less its highest value, without cancellation where start is far below 0.
    exponents = -((nodes - peak) ** 2) / 2.0 - slope * (nodes - peak)
    weights = weights * np.exp(exponents)
    total = float(weights.sum())
    mean = float(weights.dot(nodes)) / total
    # The spread from the mean, so that a narrow peak far from 0 keeps its digits.
    spread = float(weights.dot((nodes - mean) ** 2)) / total
    return math.log(total) + highest, mean, 1.0 + spread / mean**2
