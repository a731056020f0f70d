"""The power-law tail of a spectrum and what is read from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import ww_core as ww
from ww_core.spectral.power_law import fit_power_law
from ww_plugins.metrics.scaled import Floats, ScaledSpectrum, scaled_spectrum, without_width


@dataclass(frozen=True)
class PowerLaw:
    """Columns of the tail fit p(lambda) ~ lambda**-alpha on lambda >= xmin."""

    alpha: float = ww.column(
        better="lower",
        doc="Exponent of the density of eigenvalues in the tail",
        standard_error="sigma",
        caveat=(
            "the mean of alpha over layers does not rank models of one architecture that differ in depth: "
            "Martin, Peng and Mahoney (2021) weight alpha by log10 lambda_max, as alpha_weighted does, and "
            'Martin and Mahoney (2021, "Post-mortem on a deep learning contest") find a Simpson\'s paradox'
        ),
    )
    D: float = ww.column(better="lower", doc="Kolmogorov-Smirnov distance of the tail from the fit, 0 to 1")
    sigma: float = ww.column(doc="Standard error of alpha, (alpha - 1) / sqrt(n_tail)")
    xmin: float = ww.column(unit="weight^2", doc="Smallest eigenvalue of the tail")
    xmax: float = ww.column(unit="weight^2", doc="Largest eigenvalue")
    n_tail: int = ww.column(unit="count", doc="Eigenvalues in the tail")


@ww.metric(version="1")
def power_law(
    singular_values: Floats,
    noise_floor: float,
    epsilon: float,
    n_rows: int,
    n_cols: int,
    *,
    ks: Literal["lower", "two-sided"] = "lower",
    xmax: Literal["none", "largest"] = "none",
    cut: float | None = None,
    ties: Literal["rounding", "exact"] = "rounding",
    drop_smallest: int = 0,
    min_span: float = 1.02,
) -> PowerLaw:
    """Power-law fit of the eigenvalues' tail: every distinct eigenvalue but the largest is tried as its start.

    alpha = 1 + n_tail / sum(ln(lambda_i / xmin)); the start with the smallest Kolmogorov-Smirnov distance D wins, the
    longer tail where two are equal. Eigenvalues below the noise floor are cut; those that differ by no more than
    max(n_rows, n_cols) * epsilon * lambda_max, the rounding of the spectrum itself, are ties and become one; in single
    precision it is 16 * epsilon * lambda_max.

    A. Clauset, C. R. Shalizi, M. E. J. Newman, SIAM Review 51 (2009); for weights C. H. Martin, M. W. Mahoney, Journal
    of Machine Learning Research 22 (2021).

    Args:
        singular_values: Descending; unit of the weights.
        noise_floor: Same unit.
        epsilon: Of the arithmetic behind them, the distance from 1 to the next number.
        n_rows: Rows of an entry.
        n_cols: Columns of an entry.
        ks: Which steps of the empirical distribution D looks at.
        xmax: Whether the largest eigenvalue also ends the fitted distribution.
        cut: Eigenvalues that are not above it are cut, instead of those below the noise floor; weight^2.
        ties: Whether eigenvalues are ties that differ by rounding only, or those that are equal.
        drop_smallest: How many of the smallest eigenvalues are left out beforehand, wherever they lie.
        min_span: Smallest ratio of the largest eigenvalue to the smallest one that is not cut; 1 for any.

    Raises:
        NotApplicable: Fewer than two distinct eigenvalues are left.
        Refused: The spectrum has no width, as that of an orthogonal matrix that was rounded or moved a little; or the
            best tail is no wider than the noise floor.
    """
    scaled: ScaledSpectrum = scaled_spectrum(singular_values, noise_floor, epsilon, n_rows, n_cols)
    floor = scaled.floor if cut is None else scaled.scaled(cut)
    eigenvalues = scaled.eigenvalues[: max(0, scaled.eigenvalues.size - drop_smallest)]
    fit = fit_power_law(
        eigenvalues,
        floor=floor,
        tie_tolerance=scaled.rounding if ties == "rounding" else 0.0,
        ks=ks,
        xmax=xmax,
    )
    # The smallest above the floor is looked for only if the tail alone is too narrow.
    if fit.xmax < min_span * fit.xmin and fit.xmax < min_span * float(eigenvalues[eigenvalues > max(floor, 0.0)][-1]):
        raise without_width(min_span)
    if cut is None:
        scaled.refuse_narrow(fit.xmin, fit.xmax)
    return PowerLaw(
        alpha=fit.alpha,
        D=fit.D,
        sigma=fit.sigma,
        xmin=scaled.restored(fit.xmin),
        xmax=scaled.restored(fit.xmax),
        n_tail=fit.n_tail,
    )


@ww.metric(version="1", better="lower", unit="log10 weight^(2 alpha)")
def alpha_weighted(alpha: float, log_spectral_norm: float) -> float:
    """Exponent of the tail times log10 of the largest eigenvalue, alpha * log10(lambda_max).

    From C. H. Martin, T. Peng, M. W. Mahoney, Nature Communications 12, 4122 (2021).
    """
    return alpha * log_spectral_norm


@ww.metric(version="1", unit="count", on_request=True)
def num_pl_spikes(n_tail: int) -> int:
    """Eigenvalues not below xmin: WeightWatcher's name for ``n_tail``."""
    return n_tail


@ww.metric(version="2")
def warning(
    alpha: float, sigma: float, *, over_trained: float = 2.0, under_trained: float = 6.0, sigmas: float = 2.0
) -> str:
    """``over-trained`` if alpha + 2 sigma is below 2, ``under-trained`` if alpha - 2 sigma is above 6, empty otherwise.

    The thresholds are WeightWatcher's, which takes alpha as it is; C. H. Martin, M. W. Mahoney, Journal of Machine
    Learning Research 22 (2021).

    Args:
        alpha: Exponent of the tail.
        sigma: Its standard error.
        over_trained: Below this threshold a layer is over-trained.
        under_trained: Above this one it is under-trained.
        sigmas: How many standard errors alpha must lie beyond a threshold; 0 takes alpha as it is.
    """
    if alpha + sigmas * sigma < over_trained:
        return "over-trained"
    return "under-trained" if alpha - sigmas * sigma > under_trained else ""


@ww.metric(version="1", doubts="alpha,alpha_weighted,log_alpha_norm")
def short_tail(n_tail: int, *, below: int = 10) -> bool:
    """Whether the tail has fewer than 10 eigenvalues, too few for alpha to say much."""
    return n_tail < below
