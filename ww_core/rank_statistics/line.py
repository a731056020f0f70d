"""The least-squares line of y on x."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ww_core.errors import UsageError
from ww_core.rank_statistics.correlation import Correlation, correlation
from ww_core.rank_statistics.estimate import Estimate, Undefined, check_confidence, estimate
from ww_core.rank_statistics.ranks import Levels
from ww_core.rank_statistics.resamples import sample_and_resamples
from ww_core.rank_statistics.sample import sample_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from ww_core.rank_statistics.resamples import Draws
    from ww_core.rank_statistics.sample import Sample

    Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Coefficient(Estimate):
    """A coefficient of the line; ``low`` and ``high`` are its bootstrap interval.

    Attributes:
        standard_error: Its standard error, by SSE / (n - 2) as the variance of noise; NaN of fewer than 3 models.
        t_low: Lower end of its t interval, of n - 2 degrees of freedom, which is right if noise is independent, normal
            and of one variance; NaN of fewer than 3 models.
        t_high: Upper end of it.
    """

    standard_error: float
    t_low: float
    t_high: float


@dataclass(frozen=True, slots=True)
class Line:
    """y = slope * x + intercept, by ordinary least squares. SSE is the sum of the squared residuals.

    Attributes:
        slope: Unit of y per unit of x.
        intercept: y at x = 0; unit of y.
        rmse: sqrt(SSE / (n - ddof)); unit of y.
        mse: SSE / (n - ddof).
        r2: 1 - SSE / SST, with SST the sum of squared deviations of y from its mean; undefined where y is constant.
        correlation: tau-b and rho of the same models, by the same resamples.
        n: Number of models.
        ddof: What is taken off n in ``rmse`` and ``mse``.
    """

    slope: Coefficient
    intercept: Coefficient
    rmse: Estimate
    mse: Estimate
    r2: Estimate
    correlation: Correlation
    n: int
    ddof: int


def fit_line(
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    ddof: int = 0,
    seed: int = 0,
    replicates: int = 1000,
    confidence: float = 0.95,
) -> Line:
    """Fit y = slope * x + intercept by ordinary least squares.

    Every statistic has an interval: percentiles over resamples of the models, as in ``correlation``. x and y are scaled
    by powers of two and centred first: neither large nor tiny numbers overflow, and an offset costs no digits.

    Args:
        x: Shape (n,), finite.
        y: Shape (n,), finite.
        ddof: Taken off n in ``rmse`` and ``mse``; 0 or more.
        seed: Any integer; equal seeds give equal intervals.
        replicates: Number of resamples; 0 for no intervals.
        confidence: Of all intervals, between 0 and 1.

    Raises:
        UsageError: x and y are not equally many finite numbers, or an option is out of range.
    """
    check_confidence(confidence)
    if ddof < 0:
        raise UsageError(f"ddof is {ddof}: 0 or more is needed")
    sample = sample_of(x, y)
    points, n = _Points(sample), sample.n
    fits = [points.fit(draws, ddof) for draws in sample_and_resamples(sample, seed, replicates)]
    fit = _Fits(*(np.concatenate(parts) for parts in zip(*fits, strict=True)))
    none = Undefined.TOO_FEW if n < 2 else Undefined.X_TIED if _is_constant(sample.x) else None
    no_error = none or (None if n > ddof else Undefined.NO_FREEDOM)
    no_share = none or (Undefined.Y_TIED if _is_constant(sample.y) else None)
    return Line(
        slope=_coefficient(estimate(fit.slope, n, none, confidence), fit.slope_error[0], confidence),
        intercept=_coefficient(estimate(fit.intercept, n, none, confidence), fit.intercept_error[0], confidence),
        rmse=estimate(fit.rmse, n, no_error, confidence),
        mse=estimate(fit.mse, n, no_error, confidence),
        r2=estimate(fit.r2, n, no_share, confidence),
        correlation=correlation(x, y, seed=seed, replicates=replicates, confidence=confidence),
        n=n,
        ddof=ddof,
    )


class _Fits(NamedTuple):
    """Lines of B resamples, shape (B,) each, in the units of x and y; NaN where undefined."""

    slope: Floats
    intercept: Floats
    rmse: Floats
    mse: Floats
    r2: Floats
    slope_error: Floats
    intercept_error: Floats


class _Points:
    """Models as points, centred, in a unit in which no sum overflows.

    Args:
        sample: The models.
    """

    def __init__(self, sample: Sample) -> None:
        self._n = sample.n
        self._x, self._middle_x, self._exponent_x = _centred(sample.x)
        self._y, self._middle_y, self._exponent_y = _centred(sample.y)
        self._levels_x, self._levels_y = Levels(sample.x, sample.sizes), Levels(sample.y, sample.sizes)

    def fit(self, draws: Draws, ddof: int) -> _Fits:
        """Fit a line to each resample.

        Args:
            draws: Shape (n, B): how often each model was drawn.
            ddof: Taken off n in rmse and mse.
        """
        n = np.float64(self._n)
        weights = draws.astype(np.float64)
        x_differs, y_differs = ((levels.counts(draws) < n).all(axis=0) for levels in (self._levels_x, self._levels_y))
        with np.errstate(all="ignore"):  # what is undefined becomes NaN, what is too large infinite
            mean_x, mean_y = (np.einsum("i,ij->j", values, weights) / n for values in (self._x, self._y))
            from_x, from_y = self._x[:, None] - mean_x, self._y[:, None] - mean_y
            weighted_x = weights * from_x
            sxx = np.where(x_differs, (weighted_x * from_x).sum(axis=0), np.nan)
            slope = (weighted_x * from_y).sum(axis=0) / sxx
            intercept = self._middle_y + mean_y - slope * (self._middle_x + mean_x)
            sse = (weights * (from_y - slope * from_x) ** 2).sum(axis=0)
            sst = np.where(y_differs, (weights * from_y**2).sum(axis=0), np.nan)

            mse = sse / (n - ddof if n > ddof else np.nan)
            noise = sse / (n - 2.0 if n > 2.0 else np.nan)
            slope_error = np.sqrt(noise / sxx)
            intercept_error = np.sqrt(noise * (1.0 / n + (self._middle_x + mean_x) ** 2 / sxx))
            x, y = self._exponent_x, self._exponent_y
            return _Fits(
                np.ldexp(slope, y - x),
                np.ldexp(intercept, y),
                np.ldexp(np.sqrt(mse), y),
                np.ldexp(mse, 2 * y),
                np.maximum(0.0, 1.0 - sse / sst),
                np.ldexp(slope_error, y - x),
                np.ldexp(intercept_error, y),
            )


def _centred(values: Floats) -> tuple[Floats, float, int]:
    """Deviations from the mean, the mean, both in units of a power of two, and its exponent."""
    exponent = math.frexp(float(np.abs(values).max(initial=0.0)))[1]
    scaled = np.ldexp(values, -exponent)
    if _is_constant(values):
        return np.zeros_like(scaled), float(scaled[0]) if len(scaled) else 0.0, exponent
    middle = float(scaled.mean())
    return scaled - middle, middle, exponent


def _is_constant(values: Floats) -> bool:
    return bool((values == values[:1]).all())


def _coefficient(fitted: Estimate, standard_error: float, confidence: float) -> Coefficient:
    """Add the standard error and the t interval, where there are any."""
    from scipy.special import stdtrit

    error = float(standard_error)
    half = float(stdtrit(fitted.n - 2, (1.0 + confidence) / 2.0)) * error if fitted.n > 2 else math.nan
    error, t_low, t_high = (
        number if math.isfinite(number) else math.nan for number in (error, fitted.value - half, fitted.value + half)
    )
    return Coefficient(fitted.value, fitted.low, fitted.high, fitted.n, fitted.reason, error, t_low, t_high)
