"""Other estimates of the tail's exponent than ``power_law``'s, side by side with it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

import ww_core as ww
from ww_core.spectral.distinct import Distinct
from ww_core.spectral.power_law import fit_power_law_to
from ww_core.spectral.submatrices import singular_values_of_parts
from ww_plugins.metrics import scaled
from ww_plugins.metrics.scaled import ScaledSpectrum


@ww.metric(version="1", better="lower", on_request=True)
def alpha_mid(scaled_spectrum: ScaledSpectrum) -> float:
    """Hill's estimate of the tail's exponent over the upper half of the eigenvalues, xmin being their median.

    1 + k / sum(ln(lambda_i / lambda_k)) over the k = ceil(n / 2) largest of the n eigenvalues above the noise floor:
    the ``alpha`` of TempBalance. Ties are those of ``power_law``. Pooled and complex entries count as their
    eigenvalues do.

    B. M. Hill, Annals of Statistics 3 (1975); Y. Zhou et al., Temperature balancing, layer-wise weight analysis, and
    neural network training, NeurIPS 2023.

    Args:
        scaled_spectrum: Of the matrix, over a power of two.

    Raises:
        NotApplicable: Fewer than two distinct eigenvalues are left, or those of the upper half are equal.
        Refused: The spectrum has no width, or its upper half is no wider than the noise floor.
    """
    distinct = scaled_spectrum.distinct
    upper = np.repeat(distinct.values, distinct.counts.astype(np.intp))[int(distinct.n_tail[0]) // 2 :]
    xmin = float(upper[0])
    total = float(np.log1p((upper - xmin) / xmin).sum())
    if total == 0.0:
        raise ww.NotApplicable("the eigenvalues of the upper half are equal")
    scaled_spectrum.refuse_narrow(xmin, distinct.largest)
    return 1.0 + upper.size / total


@dataclass(frozen=True)
class AlphaPeak:
    """Columns of the power law whose xmin is near the peak of the histogram of log10 lambda."""

    alpha_peak: float = ww.column(better="lower", doc="Exponent of the tail that starts near the histogram's peak")
    D_peak: float = ww.column(better="lower", doc="Kolmogorov-Smirnov distance of that tail from its fit, 0 to 1")
    xmin_peak: float = ww.column(unit="weight^2", doc="Smallest eigenvalue of that tail")
    n_tail_peak: int = ww.column(unit="count", doc="Eigenvalues in that tail")


@ww.metric(version="1", on_request=True)
def power_law_at_peak(scaled_spectrum: ScaledSpectrum, *, ks: Literal["lower", "two-sided"] = "lower") -> AlphaPeak:
    """Power-law fit of the tail with xmin near the highest bin of the histogram of log10 lambda.

    The histogram has 100 equal bins from the smallest to the largest eigenvalue above the noise floor, and the peak is
    the lower edge of its fullest bin. Eigenvalues from 0.95 to 1.5 times the peak are tried as xmin, and the one with
    the smallest Kolmogorov-Smirnov distance wins. WeightWatcher and TempBalance take log10(0.95 * peak) for the lower
    limit and compare it with eigenvalues, so that they have almost none: their alpha may differ.

    Args:
        scaled_spectrum: Of the matrix, over a power of two.
        ks: Which steps of the empirical distribution D looks at.

    Raises:
        NotApplicable: Fewer than two distinct eigenvalues are left, or none near the peak can be the start of a tail.
        Refused: The spectrum has no width, or the tail is no wider than the noise floor.
    """
    distinct = scaled_spectrum.distinct
    fit = fit_power_law_to(distinct, ks=ks, between=distinct.around_peak())
    scaled_spectrum.refuse_narrow(fit.xmin, fit.xmax)
    xmin = scaled_spectrum.restored(fit.xmin)
    return AlphaPeak(alpha_peak=fit.alpha, D_peak=fit.D, xmin_peak=xmin, n_tail_peak=fit.n_tail)


@dataclass(frozen=True)
class Clipped:
    """Columns of the power law without the few largest eigenvalues, where they stand apart."""

    alpha_clipped: float = ww.column(better="lower", doc="Exponent of the tail without its fingers")
    num_fingers: int = ww.column(unit="count", doc="Largest eigenvalues that were left out")


@ww.metric(version="1", on_request=True)
def clipped_power_law(
    scaled_spectrum: ScaledSpectrum,
    *,
    ks: Literal["lower", "two-sided"] = "lower",
    max_fingers: int = 10,
    threshold: float = 1.0,
) -> Clipped:
    """Power-law fit without fingers: the few largest eigenvalues that stand apart and raise alpha.

    With alpha_f the fit without the f largest eigenvalues, num_fingers is the smallest f for which alpha_f is less
    than the threshold above the smallest alpha_g, f <= g <= min(max_fingers, n // 2): leaving out still more would
    lower alpha by less than the threshold. It is 0 where nothing stands apart. WeightWatcher's ``clip_xmax`` never
    leaves out exactly one, reports one fewer than it leaves out, and stops at the first fit that is low enough. Where
    two tails fit a spectrum about equally well, leaving out one value may turn the choice: that counts as fingers too.

    Args:
        scaled_spectrum: Of the matrix, over a power of two.
        ks: Which steps of the empirical distribution the fits look at.
        max_fingers: Most eigenvalues that may be left out; n is the number above the noise floor.
        threshold: A smaller fall of alpha counts for nothing.

    Raises:
        NotApplicable: Fewer than two distinct eigenvalues are left.
        Refused: The spectrum has no width, the best tail is no wider than the noise floor, or max_fingers or threshold
            is out of range.
    """
    if not (threshold > 0.0 and max_fingers >= 0):
        raise ww.Refused(
            f"threshold is {threshold:g}, max_fingers {max_fingers}: the one is above 0, the other not below"
        )
    distinct = scaled_spectrum.distinct
    counts = distinct.counts.copy()
    fits = [scaled_spectrum.power_law(ks)]
    for _ in range(min(max_fingers, int(distinct.n_tail[0]) // 2)):
        counts[counts.nonzero()[0][-1]] -= 1.0
        if np.count_nonzero(counts) < 2:
            break
        fits.append(fit_power_law_to(Distinct.counted(distinct.values, counts), ks=ks))
    alphas = np.array([fit.alpha for fit in fits])
    lowest = np.minimum.accumulate(alphas[::-1])[::-1]
    fingers = int(np.argmax(alphas - lowest < threshold))
    fit = fits[fingers]
    scaled_spectrum.refuse_narrow(fit.xmin, fit.xmax)
    return Clipped(alpha_clipped=fit.alpha, num_fingers=fingers)


@dataclass(frozen=True)
class Farms:
    """Columns of the power law fitted to the pooled spectra of square parts of a matrix."""

    alpha_farms: float = ww.column(better="lower", doc="Exponent of the tail of the pooled spectra of square parts")
    farms_n: int = ww.column(unit="count", doc="Eigenvalues that were pooled")


@ww.metric(version="1", batched=True, on_request=True)
def farms(
    matrix: npt.NDArray[Any],
    multiplicities: npt.NDArray[np.int64],
    noise_floor: float,
    epsilon: float,
    rng: np.random.Generator,
    *,
    ks: Literal["lower", "two-sided"] = "lower",
    samples: int = 16,
    share: float = 0.5,
) -> Farms:
    """Power-law fit of the pooled eigenvalues of random square parts: the matrix's ratio of sides does not enter.

    The spectrum of a matrix, and with it alpha, depends on N / M. Each part has ceil(share * M) rows and as many
    columns, drawn without replacement and seeded by the weights; the eigenvalues of all parts above the noise floor of
    the whole are one sample, to which the tail of ``power_law`` is fitted. The paper takes windows of neighbouring rows
    and columns, whose order in a layer is arbitrary, and Hill's estimate. Of a batch every entry gives parts, so that
    there are at least ``samples`` in all; complex entries give those of complex matrices, conjugate pairs count twice.

    Y. Hu et al., Eigenspectrum analysis of neural networks without aspect ratio bias, ICML 2025, arXiv 2506.06280.

    Args:
        matrix: Shape (B, rows, cols); unit of the weights.
        multiplicities: How often each entry counts, shape (B,).
        noise_floor: Of the whole matrix; unit of the weights.
        epsilon: Of the arithmetic behind it.
        rng: Draws rows and columns.
        ks: Which steps of the empirical distribution D looks at.
        samples: Parts that are drawn, over all entries.
        share: Side of a part over the smaller side of an entry, above 0 and up to 1.

    Raises:
        NotApplicable: Fewer than two distinct eigenvalues are left.
        Refused: They have no width, the best tail is no wider than the noise floor, or share or samples is out of
            range.
    """
    if not (0.0 < share <= 1.0 and samples >= 1):
        raise ww.Refused(f"share is {share:g} and samples {samples}: they are above 0, and share is at most 1")
    count, rows, cols = matrix.shape
    side = math.ceil(share * min(rows, cols))
    parts, exponent = singular_values_of_parts(matrix, rng, side=side, samples=-(-samples // count))
    pooled = np.sort(parts.repeat(multiplicities, axis=1), axis=None)[::-1]
    floor = math.ldexp(noise_floor, -exponent)
    of_parts: ScaledSpectrum = scaled.scaled_spectrum(pooled, floor, epsilon, side, side)
    fit = of_parts.power_law(ks)
    of_parts.refuse_narrow(fit.xmin, fit.xmax)
    return Farms(alpha_farms=fit.alpha, farms_n=int(of_parts.distinct.n_tail[0]))
