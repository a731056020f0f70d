"""How much the values of each series change from version to version where nothing happens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ww_core.change_points.middle import middle

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from ww_core.change_points.observations import Observations
    from ww_core.change_points.trend import Detrended

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]

_NORMAL_MEDIAN = 0.6744897501960817  # of |x|, x standard normal
_CAP = 3.0  # standard deviations: a larger difference counts as this
_BEYOND = 20.0  # medians: a larger difference is no noise, and not counted
_CAUTIOUS_TAIL = 0.1
"""One over the degrees of freedom that noise is taken to have before there is data about its tails."""
_DIFFERENCE = 1.3
"""The tail of a difference of two looks so much lighter, in one over the degrees of freedom, than that of one."""
_CAUTION = 100  # differences of a group that weigh as much as what is assumed
_SMALL_CAUTION = 50  # the same where they are read as those of few are
_CHANCE = 2.6  # two standard errors of the logarithm of a ratio of such quantiles, times the root of their number
_BLOCK = 100  # differences in which a hundredth is counted
_INCIDENT = 6.0  # standard deviations by which half of a small group moves only where something happened
_ONSET = 2.0  # the first versions whose differences are so many times the usual
_FEW_SERIES = 8  # fewer say too little about how their scales differ
_MOST = 1e150  # sizes beyond count as this, so that no mean of two overflows
_LEAST_ERROR = 1e-150  # so that a value in units of its error does not overflow
_TRUSTED_ERRORS = 4.0  # degrees of freedom of standard errors: good to about a factor of 2


class Prior(NamedTuple):
    """What the series of a group say of the scale of one of them: a typical one, and its degrees of freedom."""

    scale: float
    freedom: float


@dataclass(frozen=True, slots=True)
class Noise:
    """Of every series, shape (series,) each but for the squares, in units of ``unit``.

    Attributes:
        unit: The median standard error of a series, or 1: what its scale is compared to others in.
        middle: Median of the absolute differences of neighbours.
        squares: Shape (series, observations - 1): squared differences over ``middle``, capped.
        counted: The same shape: which differences tell the noise; not those that are far beyond the others.
        onset: The same shape: how many times larger the noise of each difference is; ``squares`` are freed from that.
        bend: The same shape: how much the slopes beside each difference differ, in a series that drifts.
        counts: How many differences are counted.
        prior_scale: Typical scale of its group; 0 where there is none.
        prior_freedom: Degrees of freedom that this is worth.
        wander: Variance that a version adds for good, over the variance of a value between neighbours; 0 to 2.
        tail: One over the degrees of freedom of the noise: 0 is Gaussian, 1/3 is Student's t with 3.
    """

    unit: Floats
    middle: Floats
    squares: Floats
    counted: Flags
    onset: Floats
    bend: Floats
    counts: Integers
    prior_scale: Floats
    prior_freedom: Floats
    wander: Floats
    tail: Floats

    def without(self, series: Integers, start: Integers, stop: Integers) -> tuple[Floats, Floats]:
        """Scale of a value of each given series beside its differences ``start`` to ``stop``, and its freedom.

        A step must not be measured by itself. All arguments and results have shape (steps,).
        """
        places = np.arange(self.squares.shape[1])
        others = self.counted[series] & ((places < start[:, None]) | (places >= stop[:, None]))
        squares = np.where(others, self.squares[series], 0.0).sum(axis=1)
        scale, freedom = self.moderated(series, squares, others.sum(axis=1))
        return scale * _largest(self.onset[series], start, stop, 1.0), freedom

    def bend_of(self, series: Integers, start: Integers, stop: Integers) -> Floats:
        """The largest bend of each given series at its differences ``start`` to ``stop``."""
        return _largest(self.bend[series], start, stop, 0.0)

    def moderated(self, series: Integers, squares: Floats, counts: Integers) -> tuple[Floats, Floats]:
        """Mix scales from sums of squares with those of the groups, by degrees of freedom; 0 if nothing is known."""
        own = self.middle[series] * np.sqrt(squares / (2.0 * np.maximum(counts, 1)))
        freedom, prior = _freedom(counts), self.prior_freedom[series]
        total = freedom + prior
        weight = np.divide(prior, total, out=np.zeros_like(total), where=total > 0)
        return np.hypot(np.sqrt(weight) * self.prior_scale[series], np.sqrt(1.0 - weight) * own), total


def measure_noise(detrended: Detrended, groups: Integers) -> Noise:
    """Measure scale, wander and tails from differences of neighbours.

    Args:
        detrended: Series of values between -1 and 1, freed from their trend.
        groups: Shape (series,), int64: series of one number are of one kind.
    """
    observed = detrended.observed
    unit, trusted = _units(observed)
    values = observed.values / unit[:, None]
    differences = _differences(values, observed.counts, 1)
    onset = _onset(differences, observed)
    differences /= onset
    counts = np.maximum(observed.counts - 1, 0)
    half = middle(np.sort(differences, axis=1), counts)
    known = np.isfinite(differences) & (half > 0)[:, None]
    sizes = np.divide(differences, half[:, None], out=np.zeros_like(differences), where=known)
    counted = np.isfinite(differences) & (sizes < _BEYOND)
    counts = counted.sum(axis=1)
    squares = np.where(counted, np.minimum(sizes, _CAP / _NORMAL_MEDIAN), 0.0) ** 2
    every = np.arange(len(unit))
    prior_scale, prior_freedom, wander, tail = (np.zeros(len(unit)) for _ in range(4))
    noise = Noise(
        unit,
        half,
        squares,
        counted,
        onset,
        detrended.bend / unit[:, None],
        counts,
        prior_scale,
        prior_freedom,
        wander,
        tail,
    )
    own, freedom = noise.moderated(every, squares.sum(axis=1), counts)
    kinds = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    for members in kinds:
        prior = _prior(own[members], freedom[members], trusted=bool(trusted[members].all()))
        prior_scale[members], prior_freedom[members] = prior
    wander[:] = _wander(values, observed.counts, half, kinds)
    wander[detrended.drifts] = 2.0  # a trend is known from beside a step only: what is left of it may go anywhere
    standardized = _standardized(noise, differences)
    # Few series tell little of tails, and guess them low as often as high: the typical group's are the least.
    shared = float(np.median([_tail(standardized[members], _CAUTIOUS_TAIL) for members in kinds]))
    for members in kinds:
        tail[members] = max(shared, _tail(standardized[members], shared))
    return noise


def _largest(entries: Floats, start: Integers, stop: Integers, least: float) -> Floats:
    """The largest entry of each row from ``start`` to ``stop``, or ``least`` if it is larger."""
    places = np.arange(entries.shape[1])
    inside = (places >= start[:, None]) & (places < stop[:, None])
    largest: Floats = np.where(inside, entries, least).max(axis=1, initial=least)
    return largest


def _onset(differences: Floats, observed: Observations) -> Floats:
    """How many times larger the noise of each difference is, as the first versions of a training move more than later.

    From the first version on, as long as half of all series differ from the version before by more than twice what they
    usually do.
    """
    counts = np.maximum(observed.counts - 1, 0)
    usual = middle(np.sort(differences, axis=1), counts)
    known = np.isfinite(differences) & (usual > 0)[:, None]
    sizes = np.divide(differences, usual[:, None], out=np.zeros_like(differences), where=known)
    onset = np.ones_like(differences)
    versions = observed.first[:, 1:]
    for version in np.unique(versions[known]):
        now = known & (versions == version)
        if np.count_nonzero(now) < _FEW_SERIES:
            break
        larger = min(float(np.median(sizes[now])), _MOST)
        if larger < _ONSET:
            break
        onset[versions == version] = larger
    return onset


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


def _freedom(counts: Integers) -> Floats:
    """Degrees of freedom of the scale from so many differences, each of which shares a value with the next.

    From the simulated variance of its logarithm in Gaussian noise.
    """
    return np.where(counts > 0, 0.3 + 0.65 * counts, 0.0)


def _prior(own: Floats, freedom: Floats, *, trusted: bool) -> Prior:
    """How alike are the scales of a group? A scaled inverse chi-squared fitted to their logarithms, as limma does."""
    from scipy.special import polygamma

    known = own > 0
    scales, freedom = own[known], freedom[known]
    if scales.size < _FEW_SERIES:
        return Prior(1.0, _TRUSTED_ERRORS) if trusted else Prior(0.0, 0.0)
    logs = np.log(scales)
    quarter, half, three = np.quantile(logs, (0.25, 0.5, 0.75))
    spread = (2.0 * (three - quarter) / 1.349) ** 2  # variance of log(scale ** 2)
    excess = spread - float(np.median(polygamma(1, freedom / 2.0))) * 0.9
    most = float(freedom.sum()) / 2.0  # no more than all of them together know
    alike = 2.0 * _inverse_trigamma(excess) if excess > 0 else most
    typical = float(np.median((1.0 - 2.0 / (9.0 * freedom)) ** 1.5))  # median of a scale, by Wilson and Hilferty
    return Prior(float(np.exp(half)) / max(typical, 0.5), min(alike, most))


def _inverse_trigamma(value: float) -> float:
    """X with trigamma(x) = value, by Newton's method on 1 / trigamma, which is nearly linear."""
    from scipy.special import polygamma

    x = 0.5 + 1.0 / value
    for _ in range(20):
        trigamma = float(polygamma(1, x))
        x += trigamma * (1.0 - trigamma / value) / float(polygamma(2, x))
    return x


def _wander(values: Floats, counts: Integers, near: Floats, kinds: Sequence[Integers]) -> Floats:
    """Variance that each version adds for good, from differences at a longer lag; ``near`` is the median of those at 1.

    Noise that is new at every version makes values far apart differ no more than neighbours. A random walk makes the
    mean square of a difference grow with the lag, a drift with its square. What a group of few series cannot show,
    all of them together may.
    """
    lag = max(2, int(counts.max(initial=0)) // 8)
    far = middle(np.sort(_differences(values, counts, lag), axis=1), np.maximum(counts - lag, 0))
    usable = (counts > lag + 1) & (near > 0) & (far > 0)
    if not usable.any():
        return np.zeros(len(near))
    logs = np.zeros(len(near))
    logs[usable] = 2.0 * (np.log(far[usable]) - np.log(near[usable]))
    error = 3.0 / np.sqrt(np.maximum(counts, 1))  # of such a logarithm in Gaussian noise, simulated

    def surely(members: Integers) -> float:
        size = members.size
        return float(np.median(logs[members]) - 2.0 * np.median(error[members]) / np.sqrt(size)) if size else 0.0

    shared, every = np.zeros(len(near)), surely(np.flatnonzero(usable))
    for members in kinds:
        shown = members[usable[members]]
        shared[members] = surely(shown) if shown.size >= _FEW_SERIES else max(surely(shown), every)
    growth = np.expm1(np.clip(np.maximum(shared, np.where(usable, logs - 3.0 * error, 0.0)), 0.0, 50.0))
    wander: Floats = np.minimum(2.0, 2.0 * growth / (lag - 1))
    return wander


def _standardized(noise: Noise, differences: Floats) -> Floats:
    """Each difference in units of what the others say: shape (series, observations - 1), NaN where unknown."""
    others = noise.squares.sum(axis=1)[:, None] - noise.squares
    every = np.arange(len(differences))
    scales = noise.moderated(every, np.maximum(others, 0.0).T, (noise.counts[:, None] - noise.counted).T)[0].T
    usable = np.isfinite(differences) & (scales > 0)
    standardized = np.divide(
        differences,
        np.maximum(scales * np.sqrt(2.0), noise.bend / noise.onset),
        out=np.full(differences.shape, np.nan),
        where=usable,
    )
    limited: Floats = np.minimum(standardized, _MOST)
    return limited


def _tail(standardized: Floats, assumed: float) -> float:
    """One over the degrees of freedom of noise with such tails, from many differences in units of their scale.

    The largest hundredth of the differences is compared with their median and with the same of Student's t, in blocks
    of neighbouring versions. The middle block counts, since in some version most layers may step. Tails owe something
    to the scales, too, which few differences tell: this is not taken off, so that short histories are judged with
    more care. Few differences leave the result near what is ``assumed``.
    """
    from scipy.special import stdtrit

    if np.isfinite(standardized).sum() < 2 * _BLOCK:
        return _small_tail(standardized, assumed)
    width = max(1, -(-_BLOCK // max(1, len(standardized))))
    blocks = [standardized[:, at : at + width] for at in range(0, standardized.shape[1], width)]
    blocks = [block[np.isfinite(block)] for block in blocks]
    ratios = [float(np.divide(*np.quantile(block, (0.99, 0.5)))) for block in blocks if block.size >= _BLOCK]
    if not ratios:
        return assumed
    tails = np.linspace(0.01, 1.0, 100)
    expected = stdtrit(1.0 / tails, 0.995) / stdtrit(1.0 / tails, 0.75)
    found = _DIFFERENCE * float(np.interp(sorted(ratios)[(len(ratios) - 1) // 2], expected, tails))
    size = sum(block.size for block in blocks)
    return (found * size + assumed * _CAUTION) / (size + _CAUTION)


def _small_tail(standardized: Floats, assumed: float) -> float:
    """The same of few differences: at least ``assumed``, more only where that is no chance.

    A quarter of the versions may be incidents. So the upper quartile of the largest difference of each version is
    compared with the median of all, divided by what it may be too large by chance.
    """
    from scipy.special import stdtrit

    known = np.isfinite(standardized)
    size = int(known.sum())
    half = float(np.median(standardized[known])) if size >= _FEW_SERIES else 0.0
    if not half > 0.0:
        return assumed
    sizes = np.sort(np.where(known, standardized, np.inf), axis=0)
    counts = known.sum(axis=0)
    usual = (counts > 0) & ((counts < 2) | (middle(sizes.T, counts) < _INCIDENT))
    largest = np.where(known, standardized, 0.0)[:, usual].max(axis=0, initial=0.0)
    size, versions = int(counts[usual].sum()), int(usual.sum())
    if size < _FEW_SERIES:
        return assumed
    ratio = float(np.quantile(largest, 0.75)) / half / np.exp(_CHANCE / np.sqrt(size))
    below = 0.75 ** (versions / size)  # chance of one that is below the quartile of the largest
    tails = np.linspace(0.01, 1.0, 100)
    expected = stdtrit(1.0 / tails, (1.0 + below) / 2.0) / stdtrit(1.0 / tails, 0.75)
    found = float(np.interp(ratio, expected, tails))
    return max(assumed, (found * size + assumed * _SMALL_CAUTION) / (size + _SMALL_CAUTION))
