"""How far the tail's exponent scatters when the eigenvalues are drawn again, and whether a power law is plausible."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

import ww_core as ww
from ww_core.spectral.distinct import Distinct
from ww_core.spectral.resamples import resampled_alphas, simulated_fits
from ww_plugins.metrics.scaled import ScaledSpectrum

FEWEST = 10
ONE_SIGMA = (0.158655, 0.841345)


@dataclass(frozen=True)
class AlphaSpread:
    """Columns of the scatter of alpha over resamples of the eigenvalues: a spread, and no confidence interval."""

    alpha_q16: float = ww.column(doc="15.87 % quantile of alpha over resamples of the eigenvalues")
    alpha_q84: float = ww.column(doc="84.13 % quantile of alpha over resamples of the eigenvalues")
    alpha_spread: float = ww.column(doc="Half of the range from alpha_q16 to alpha_q84")


@ww.metric(version="1", on_request=True)
def alpha_resamples(
    scaled_spectrum: ScaledSpectrum,
    rng: np.random.Generator,
    *,
    replicas: int = 200,
    ks: Literal["lower", "two-sided"] = "lower",
) -> AlphaSpread:
    """Bootstrap of alpha: eigenvalues drawn with replacement, and xmin searched for again in each replica.

    The fit is that of ``power_law``. Each replica draws as many eigenvalues as are above the noise floor, seeded by the
    weights. For independent Pareto samples the range from ``alpha_q16`` to ``alpha_q84`` holds the true alpha about as
    often as a one-sigma interval should. The eigenvalues of a matrix are not independent, and there it does not: it
    tells how much the fit depends on single eigenvalues, and is no confidence interval. Ties are those of
    ``power_law``. Pooled entries are drawn from as one sample, the two of a conjugate pair each for itself.
    ``alpha_spread`` is half of the range: alpha of a tail of two has no standard deviation.

    B. Efron, Annals of Statistics 7 (1979).

    Args:
        scaled_spectrum: Of the matrix, over a power of two.
        rng: Draws the replicas.
        replicas: How many.
        ks: Which steps of the empirical distribution the fits look at.

    Raises:
        NotApplicable: Fewer than ten eigenvalues, or two distinct ones, are left.
        Refused: The spectrum has no width, or fewer than two replicas are asked for.
    """
    if replicas < 2:
        raise ww.Refused(f"{replicas} replicas have no spread: ask for two or more")
    data = _sample(scaled_spectrum)
    alphas = resampled_alphas(data, rng, replicas=replicas, ks=ks)
    low, high = (float(quantile) for quantile in np.quantile(alphas, ONE_SIGMA))
    return AlphaSpread(alpha_q16=low, alpha_q84=high, alpha_spread=(high - low) / 2.0)


@ww.metric(version="1", on_request=True)
def power_law_p(
    scaled_spectrum: ScaledSpectrum,
    rng: np.random.Generator,
    *,
    replicas: int = 100,
    ks: Literal["lower", "two-sided"] = "lower",
) -> float:
    """Goodness of fit: share of samples from the fitted power law whose D is not below that of the eigenvalues.

    Each sample has as many values as there are eigenvalues above the noise floor. A value is in the tail with
    probability n_tail / n, and then from the fitted power law; else it is one of the eigenvalues below xmin. The fit of
    ``power_law``, with its search for xmin, is made of each. Its resolution is 1 / replicas; Clauset, Shalizi and
    Newman rule out the power law at 0.1 or below. Eigenvalues of one matrix repel each other and follow their density
    more closely than independent values do, so that p tends to be too large. Pooled and complex
    entries are one sample.

    A. Clauset, C. R. Shalizi, M. E. J. Newman, SIAM Review 51 (2009), section 4.

    Args:
        scaled_spectrum: Of the matrix, over a power of two.
        rng: Draws the samples.
        replicas: How many.
        ks: Which steps of the empirical distribution the fits look at.

    Raises:
        NotApplicable: Fewer than ten eigenvalues, or two distinct ones, are left.
        Refused: The spectrum has no width, its tail is no wider than the noise floor, or no replicas are asked for.
    """
    if replicas < 1:
        raise ww.Refused(f"{replicas} replicas have no share: ask for one or more")
    data = _sample(scaled_spectrum)
    fit = scaled_spectrum.power_law(ks)
    scaled_spectrum.refuse_narrow(fit.xmin, fit.xmax)
    simulated = simulated_fits(data, fit, rng, replicas=replicas, ks=ks)
    return sum(one.D >= fit.D for one in simulated) / replicas


def _sample(scaled_spectrum: ScaledSpectrum) -> Distinct:
    data = scaled_spectrum.distinct
    if data.n_tail[0] < FEWEST:
        raise ww.NotApplicable(f"{int(data.n_tail[0])} eigenvalues are above the floor: resampling needs {FEWEST}")
    return data
