"""How much the values of each series change from version to version where nothing happens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from ww_core.change_points.observations import Observations

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]

_NORMAL_MEDIAN = 0.6744897501960817  # of |x|, x standard normal
CAUTIOUS_TAIL = 0.25
"""One over the degrees of freedom that noise is taken to have before there is data about its tails."""
_CAUTION = 200  # neighbour differences that weigh as much as this
_BLOCK = 100  # differences in which a hundredth is counted
_FEW_SERIES = 8  # fewer say too little about how their scales differ
_LEAST_ERROR = 1e-150  # so that a value in units of its error does not overflow
_TRUSTED_ERRORS = 4.0  # degrees of freedom of standard errors: good to about a factor of 2


class Prior(NamedTuple):
    """What the series of a group say of the scale of one of them: a typical one, and its degrees of freedom."""

    scale: float
    freedom: float


@dataclass(frozen=True, slots=True)
class Noise:
    """Of every series, shape (series,) each, in units of ``unit``.

    Attributes:
        differences: Shape (series, observations - 1): absolute differences of neighbours, inf behind the last.
        unit: The median standard error of a series, or 1: what its scale is compared to others in.
        prior_scale: Typical scale of its group; 0 where there is none.
        prior_freedom: Degrees of freedom that this is worth.
        wander: Variance that a version adds for good, over the variance of a value between neighbours; 0 to 2.
        tail: One over the degrees of freedom of the noise: 0 is Gaussian, 1/3 is Student's t with 3.
    """

    differences: Floats
    unit: Floats
    prior_scale: Floats
    prior_freedom: Floats
    wander: Floats
    tail: Floats

    def without(self, series: Integers, start: Integers, stop: Integers) -> tuple[Floats, Floats]:
        """Scale of a value of each given series, without its differences ``start`` to ``stop``, and its freedom.

        A step must not be measured by itself. All arguments and results have shape (steps,).
        """
        rows = self.differences[series]
        places = np.arange(rows.shape[1])
        rows = np.where((places >= start[:, None]) & (places < stop[:, None]), np.inf, rows)
        counts = np.isfinite(rows).sum(axis=1)
        rows.sort(axis=1)
        own = _scale(middle(rows, counts))
        return self.moderated(own, counts, series)

    def moderated(self, own: Floats, counts: Integers, series: Integers) -> tuple[Floats, Floats]:
        """Mix scales of series with what their groups say, each by its degrees of freedom; 0 where nothing is known."""
        freedom, prior = _freedom(counts), self.prior_freedom[series]
        total = freedom + prior
        weight = np.divide(prior, total, out=np.zeros_like(total), where=total > 0)
        return np.hypot(np.sqrt(weight) * self.prior_scale[series], np.sqrt(1.0 - weight) * own), total


def measure_noise(observed: Observations, groups: Integers) -> Noise:
    """Measure scale, wander and tails from differences of neighbours.

    Args:
        observed: Series whose values and squares do not overflow.
        groups: Shape (series,), int64: series of one number are of one kind.
    """
    unit, trusted = _units(observed)
    values = observed.values / unit[:, None]
    differences = _differences(values, observed.counts, 1)
    ascending = np.sort(differences, axis=1)
    counts = np.maximum(observed.counts - 1, 0)
    own = _scale(middle(ascending, counts))
    series = len(unit)
    prior_scale, prior_freedom, wander, tail = (np.zeros(series) for _ in range(4))
    noise = Noise(differences, unit, prior_scale, prior_freedom, wander, tail)
    kinds = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    for members in kinds:
        prior = _prior(own[members], counts[members], trusted=bool(trusted[members].all()))
        prior_scale[members], prior_freedom[members] = prior
        wander[members] = _wander(values[members], observed.counts[members], own[members])
    standardized = _left_out(noise, ascending, counts)
    freedom = _freedom(np.maximum(counts - 1, 0)) + prior_freedom
    # Of few series a tail is guessed low as often as high: all series together say how low it may be.
    least = _tail(standardized, freedom) if len(kinds) > 1 else 0.0
    for members in kinds:
        tail[members] = max(least, _tail(standardized[members], freedom[members]))
    return noise


def median_variance(n: npt.ArrayLike) -> Floats:
    """Variance of the median of ``n`` independent Gaussian values of variance 1: exact for 1, and for many."""
    variance: Floats = np.pi / (2.0 * np.asarray(n, dtype=np.float64) + (np.pi - 2.0))
    return variance


def _units(observed: Observations) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """The median standard error of each series, or 1; and which have one."""
    there = observed.present & (observed.errors > 0)
    errors = np.where(there, np.maximum(observed.errors, _LEAST_ERROR), np.inf)
    counts = np.isfinite(errors).sum(axis=1)
    errors.sort(axis=1)
    trusted = counts > 0
    return np.where(trusted, middle(errors, counts), 1.0), trusted


def _differences(values: Floats, counts: Integers, lag: int) -> Floats:
    """Absolute differences of values ``lag`` apart, inf where there is none."""
    found = np.abs(values[:, lag:] - values[:, :-lag])
    return np.where(np.arange(found.shape[1]) < counts[:, None] - lag, found, np.inf)


def middle(ascending: Floats, counts: Integers) -> Floats:
    """Medians of the first ``counts`` entries of ascending rows; 0 of none."""
    if not ascending.shape[1]:
        return np.zeros(len(ascending))
    each, highest = np.arange(len(ascending)), np.maximum(counts - 1, 0)
    low, high = ascending[each, highest // 2], ascending[each, highest - highest // 2]
    return np.where(counts > 0, low / 2 + high / 2, 0.0)


def _scale(median: Floats) -> Floats:
    """Standard deviation of a value whose differences to the next have this median."""
    scale: Floats = median / (_NORMAL_MEDIAN * np.sqrt(2.0))
    return scale


def _freedom(counts: Integers) -> Floats:
    """Degrees of freedom of the scale from the median of so many differences (from its simulated distribution)."""
    return np.where(counts > 0, 0.7 + 0.3 * counts, 0.0)


def _prior(own: Floats, counts: Integers, *, trusted: bool) -> Prior:
    """How alike are the scales of a group? A scaled inverse chi-squared fitted to their logarithms, as limma does."""
    from scipy.special import polygamma

    known = own > 0
    scales, freedom = own[known], _freedom(counts[known])
    if scales.size < _FEW_SERIES:
        return Prior(1.0, _TRUSTED_ERRORS) if trusted else Prior(0.0, 0.0)
    logs = np.log(scales)
    quarter, half, three = np.quantile(logs, (0.25, 0.5, 0.75))
    spread = (2.0 * (three - quarter) / 1.349) ** 2  # variance of log(scale ** 2)
    excess = spread - float(np.median(polygamma(1, freedom / 2.0))) * 0.9
    most = float(freedom.sum()) / 2.0  # no more than all of them together know
    alike = 2.0 * _inverse_trigamma(excess) if excess > 0 else most
    return Prior(float(np.exp(half)), min(alike, most))


def _inverse_trigamma(value: float) -> float:
    """X with trigamma(x) = value, by Newton's method on 1 / trigamma, which is nearly linear."""
    from scipy.special import polygamma

    x = 0.5 + 1.0 / value
    for _ in range(20):
        trigamma = float(polygamma(1, x))
        x += trigamma * (1.0 - trigamma / value) / float(polygamma(2, x))
    return x


def _wander(values: Floats, counts: Integers, own: Floats) -> Floats:
    """Variance that each version adds for good, from differences at a longer lag.

    Noise that is new at every version makes values far apart differ no more than neighbours. A random walk makes the
    mean square of a difference grow with the lag, a drift with its square.
    """
    versions = int(counts.max(initial=0))
    lag = max(2, versions // 8)
    usable = (counts > lag + 1) & (own > 0)
    if not usable.any():
        return np.zeros(len(own))
    far = _scale(middle(np.sort(_differences(values, counts, lag), axis=1), np.maximum(counts - lag, 0)))
    usable &= far > 0
    if not usable.any():
        return np.zeros(len(own))
    logs = 2.0 * (np.log(far, out=np.zeros_like(far), where=usable) - np.log(own, out=np.zeros_like(own), where=usable))
    error = 3.0 / np.sqrt(np.maximum(counts, 1))  # of such a logarithm, simulated
    shared = float(np.median(logs[usable])) - 2.0 * float(np.median(error[usable])) / np.sqrt(np.count_nonzero(usable))
    growth = np.expm1(np.clip(np.maximum(shared, logs - 3.0 * error), 0.0, 50.0))
    wander: Floats = np.minimum(2.0, 2.0 * growth / (lag - 1))
    return wander


def _left_out(noise: Noise, ascending: Floats, counts: Integers) -> Floats:
    """Each difference in units of the scale of the others: shape (series, observations - 1), NaN where unknown."""
    rows = noise.differences
    if rows.shape[1] < 2:
        return np.full(rows.shape, np.nan)
    each = np.arange(len(rows))
    others = np.maximum(counts - 1, 1)

    def of_others(rank: Integers) -> Floats:
        """The value of this rank among the others: one further up for what stands below it."""
        here, next_one = ascending[each, rank, None], ascending[each, np.minimum(rank + 1, rows.shape[1] - 1), None]
        return np.where(rows <= here, next_one, here)

    own = _scale(of_others((others - 1) // 2) / 2 + of_others(others // 2) / 2)
    own = np.where((counts > 1)[:, None] & np.isfinite(own), own, 0.0)
    scales, _ = noise.moderated(own.T, np.maximum(counts - 1, 0), each)
    usable = np.isfinite(rows) & (scales.T > 0)
    standardized: Floats = np.divide(rows, scales.T * np.sqrt(2.0), out=np.full(rows.shape, np.nan), where=usable)
    return standardized


def _tail(standardized: Floats, freedom: Floats) -> float:
    """One over the degrees of freedom of the noise itself, from many differences in units of their scale.

    Student's t with the same tail is found first: the largest hundredth of the differences is compared with their
    median, in blocks of neighbouring versions, of which the middle one counts, since in some version most layers may
    step. What the tail owes to scales of so few degrees of ``freedom`` is then taken off.
    """
    from scipy.special import stdtrit

    width = max(1, -(-_BLOCK // max(1, len(standardized))))
    blocks = [standardized[:, at : at + width] for at in range(0, standardized.shape[1], width)]
    blocks = [block[np.isfinite(block)] for block in blocks]
    ratios = [float(np.divide(*np.quantile(block, (0.99, 0.5)))) for block in blocks if block.size >= _BLOCK]
    if not ratios:
        return CAUTIOUS_TAIL
    tails = np.linspace(0.01, 1.0, 100)
    expected = stdtrit(1.0 / tails, 0.995) / stdtrit(1.0 / tails, 0.75)
    found = float(np.interp(sorted(ratios)[(len(ratios) - 1) // 2], expected, tails))
    found = max(0.0, found - 1.0 / float(np.median(freedom)))
    size = sum(block.size for block in blocks)
    return (found * size + CAUTIOUS_TAIL * _CAUTION) / (size + _CAUTION)
