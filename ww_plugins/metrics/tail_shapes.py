"""Other shapes of the tail of a spectrum than a power law, and which of them the eigenvalues prefer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import ww_core as ww
from ww_core.spectral.alternatives import TailAlternatives as Fitted
from ww_core.spectral.alternatives import compare_alternatives
from ww_core.spectral.truncated_power_law import fit_truncated_power_law_to
from ww_plugins.metrics.scaled import ScaledSpectrum

NAMES = {
    None: "power_law",
    "exponential": "exponential",
    "lognormal": "lognormal",
    "truncated": "truncated_power_law",
}
"""What ``preferred_tail`` says."""


@dataclass(frozen=True)
class TruncatedPowerLaw:
    """Columns of the tail fit p(lambda) ~ lambda**-tpl_alpha * exp(-tpl_Lambda * lambda) on lambda >= tpl_xmin."""

    tpl_alpha: float = ww.column(doc="Exponent of the power law with an exponential cut-off")
    tpl_Lambda: float = ww.column(
        unit="1/weight^2", doc="Rate of the cut-off; 0 where the tail is a power law without one"
    )
    tpl_D: float = ww.column(better="lower", doc="Kolmogorov-Smirnov distance of the tail from this fit, 0 to 1")
    tpl_xmin: float = ww.column(unit="weight^2", doc="Smallest eigenvalue of the tail of this fit")
    tpl_n_tail: int = ww.column(unit="count", doc="Eigenvalues in the tail of this fit")


@ww.metric(version="1", on_request=True)
def truncated_power_law(
    scaled_spectrum: ScaledSpectrum,
    *,
    ks: Literal["lower", "two-sided"] = "lower",
    xmin: Literal["scan", "peak"] = "scan",
    min_alpha: float = 1.0,
) -> TruncatedPowerLaw:
    """Fit of a power law with an exponential cut-off to the eigenvalues' tail, each eigenvalue tried as its start.

    p(lambda) ~ lambda**-alpha * exp(-Lambda * lambda) on lambda >= xmin, by maximum likelihood with alpha >= 1 and
    Lambda >= 0, as powerlaw 1.5 and WeightWatcher have it: a tail that falls as fast as an exponential gets alpha = 1.
    The start with the smallest Kolmogorov-Smirnov distance wins. What is cut, and what is a tie, is as in
    ``power_law``. Pooled and complex entries count as their eigenvalues do: all in one tail.

    A. Clauset, C. R. Shalizi, M. E. J. Newman, SIAM Review 51 (2009); for weights C. H. Martin, M. W. Mahoney, Journal
    of Machine Learning Research 22 (2021).

    Args:
        scaled_spectrum: Of the matrix, over a power of two.
        ks: Which steps of the empirical distribution D looks at.
        xmin: ``peak`` tries only eigenvalues from 0.95 to 1.5 times the peak of the histogram of log10 lambda, as in
            ``alpha_peak``: WeightWatcher's extended truncated power law, with a lower limit that is one.
        min_alpha: Lower bound of alpha, at most 1; 0 is that of powerlaw 2.

    Raises:
        NotApplicable: Fewer than two distinct eigenvalues are left, or none of the starts is in the range.
        Refused: The spectrum has no width, the best tail is no wider than the noise floor, or min_alpha is above 1.
    """
    if not min_alpha <= 1.0:
        raise ww.Refused(f"min_alpha is {min_alpha:g}: the bound of alpha is at most 1")
    distinct = scaled_spectrum.distinct
    between = distinct.around_peak() if xmin == "peak" else None
    fit = fit_truncated_power_law_to(distinct, ks=ks, min_alpha=min_alpha, between=between)
    scaled_spectrum.refuse_narrow(fit.xmin, distinct.largest)
    return TruncatedPowerLaw(
        tpl_alpha=fit.alpha,
        tpl_Lambda=scaled_spectrum.restored(fit.Lambda, power=-2),
        tpl_D=fit.D,
        tpl_xmin=scaled_spectrum.restored(fit.xmin),
        tpl_n_tail=fit.n_tail,
    )


@dataclass(frozen=True)
class TailAlternatives:
    """Columns of the fits of other distributions to the tail of ``power_law``, and of their comparisons with it."""

    exponential_Lambda: float = ww.column(unit="1/weight^2", doc="Rate of the exponential fitted to the tail")
    exponential_R: float = ww.column(doc="Log-likelihood of the power law less that of the exponential")
    exponential_p: float = ww.column(doc="Vuong's p-value of the sign of exponential_R")
    lognormal_mu: float = ww.column(unit="ln weight^2", doc="Mean of ln lambda of the lognormal fitted to the tail")
    lognormal_sigma: float = ww.column(doc="Standard deviation of ln lambda of that lognormal")
    lognormal_R: float = ww.column(doc="Log-likelihood of the power law less that of the lognormal")
    lognormal_p: float = ww.column(doc="Vuong's p-value of the sign of lognormal_R")
    cut_off_alpha: float = ww.column(doc="Exponent of the power law with a cut-off, fitted to the power law's tail")
    cut_off_Lambda: float = ww.column(unit="1/weight^2", doc="Rate of that cut-off; 0 for none")
    cut_off_R: float = ww.column(doc="Log-likelihood of the power law less that of the one with a cut-off; at most 0")
    cut_off_p: float = ww.column(doc="p-value of cut_off_R if there is no cut-off")
    preferred_tail: str = ww.column(doc="The distribution that the tail prefers to the power law, else power_law")


@ww.metric(version="1", on_request=True)
def tail_alternatives(scaled_spectrum: ScaledSpectrum, n_tail: int, *, level: float = 0.1) -> TailAlternatives:
    """Exponential, lognormal and power law with a cut-off, fitted to the tail of ``power_law`` and compared with it.

    All by maximum likelihood on lambda >= xmin, the same eigenvalues for all. R is the sum over the tail of
    ln p_power_law(lambda) - ln p_other(lambda), natural logarithms: negative where the other is more likely. p is that
    of Q. H. Vuong, two-sided: erfc(abs(R) / (sqrt(2 n) s)), s the standard deviation of the terms. The power law with a
    cut-off contains the power law, at the bound Lambda = 0: there p = erfc(sqrt(-R)) / 2, half of the chi-square
    probability that powerlaw gives. Eigenvalues of one matrix are not independent, which these tests take them to be.

    Q. H. Vuong, Econometrica 57 (1989); A. Clauset, C. R. Shalizi, M. E. J. Newman, SIAM Review 51 (2009).

    Args:
        scaled_spectrum: Of the matrix, over a power of two.
        n_tail: Eigenvalues in the tail of ``power_law``.
        level: ``preferred_tail`` is the most likely of the distributions with R < 0 and p below this.

    Raises:
        NotApplicable: The eigenvalues of the tail are all equal.
        Refused: They span more than 150 orders of magnitude.
    """
    found = compare_alternatives(scaled_spectrum.eigenvalues[:n_tail])
    cut_off = found.truncated
    return TailAlternatives(
        exponential_Lambda=scaled_spectrum.restored(found.rate, power=-2),
        exponential_R=found.exponential_over.R,
        exponential_p=found.exponential_over.p,
        lognormal_mu=_lognormal_mu(found, 2 * scaled_spectrum.exponent),
        lognormal_sigma=_no_lognormal() if found.lognormal is None else found.lognormal.sigma,
        lognormal_R=found.lognormal_over.R,
        lognormal_p=found.lognormal_over.p,
        cut_off_alpha=cut_off.alpha,
        cut_off_Lambda=scaled_spectrum.restored(cut_off.Lambda, power=-2),
        cut_off_R=found.truncated_over.R,
        cut_off_p=found.truncated_over.p,
        preferred_tail=NAMES[found.preferred(level)],
    )


def _lognormal_mu(found: Fitted, exponent: int) -> float:
    return _no_lognormal() if found.lognormal is None else found.lognormal.mu + exponent * math.log(2.0)


def _no_lognormal() -> float:
    reason = "the likelihood has no maximum: it grows as the lognormal comes near a power law"
    return ww.NotApplicable(reason)  # type: ignore[return-value]
