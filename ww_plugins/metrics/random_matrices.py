"""What random-matrix theory says of a spectrum: its bulk of noise, the spikes above it, and how its levels repel."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

import ww_core as ww
from ww_plugins.metrics.scaled import Floats, ScaledSpectrum


@dataclass(frozen=True)
class MarchenkoPastur:
    """Columns of the fit of a bulk of noise."""

    bulk_sigma: float = ww.column(unit="weight", doc="Standard deviation of the entries of the noise in the matrix")
    lambda_minus: float = ww.column(unit="weight^2", doc="Lower edge of the bulk")
    lambda_plus: float = ww.column(unit="weight^2", doc="Upper edge of the bulk")
    num_spikes: int = ww.column(unit="count", doc="Eigenvalues above the upper edge and a Tracy-Widom margin")
    mp_softrank: float = ww.column(doc="Upper edge over the largest eigenvalue; about 1 or above 1 for noise alone")
    D_mp: float = ww.column(doc="Kolmogorov-Smirnov distance of the bulk from the Marchenko-Pastur law, 0 to 1")


@dataclass(frozen=True)
class LevelSpacing:
    """Columns of the statistics of neighbouring levels."""

    spacing_ratio: float = ww.column(
        standard_error="spacing_ratio_se", doc="Mean ratio of neighbouring spacings in the bulk, smaller over larger"
    )
    spacing_ratio_se: float = ww.column(doc="Standard error of spacing_ratio, its ratios taken as independent")


@ww.metric(version="1", on_request=True)
def marchenko_pastur(scaled_spectrum: ScaledSpectrum, *, level: float = 0.01) -> MarchenkoPastur:
    """Fit of the Marchenko-Pastur law to the bulk of the eigenvalues, and the spikes above it.

    lambda_plus and lambda_minus are bulk_sigma**2 (sqrt(N - k) +- sqrt(M - k))**2, with the longer and the shorter side
    of an entry and k = num_spikes / entries: what the spikes leave is noise of that many fewer rows and columns.
    bulk_sigma is the root of the mean square of the entries of what is left, with what spikes near the bulk take from
    it; there is no grid and no density estimate. A spike lies above the quantile of the largest eigenvalue of noise, so
    that noise of Gaussian entries has one in a share ``level`` of the matrices, or fewer. mp_softrank is lambda_plus /
    lambda_max; it is not cut at 1: the largest eigenvalue of noise lies below the edge more often than not.

    D_mp says whether there is such a bulk: of noise it rarely exceeds ((2 + ln(M) / 2) / sqrt(entries) + 0.2) / M.
    Kernel slices and experts that are pooled share one law, if their weights have one variance. The entries of ``fft``
    are complex, with the same law; bulk_sigma is that of the transformed entries, and spikes are told more cautiously,
    as the margin is that of real ones.

    V. A. Marchenko, L. A. Pastur, Mathematics of the USSR-Sbornik 1 (1967); I. M. Johnstone, Annals of Statistics 29
    (2001); for weights C. H. Martin, M. W. Mahoney, Journal of Machine Learning Research 22 (2021).

    Args:
        scaled_spectrum: Of the matrix, over a power of two. What is not above its noise floor is no part of the bulk,
            and makes the law that of fewer columns.
        level: Probability that Gaussian noise has a spike.

    Raises:
        NotApplicable: Fewer than ten eigenvalues are above the noise floor, or an entry has one row or column.
        Refused: However many eigenvalues are taken for spikes, up to half of them, more are above the threshold; or
            level is not above 0 and below 1.
    """
    fit = scaled_spectrum.bulk(level)
    return MarchenkoPastur(
        bulk_sigma=math.ldexp(fit.sigma, scaled_spectrum.exponent),
        lambda_minus=scaled_spectrum.restored(fit.lambda_minus),
        lambda_plus=scaled_spectrum.restored(fit.lambda_plus),
        num_spikes=fit.num_spikes,
        mp_softrank=fit.lambda_plus / float(scaled_spectrum.eigenvalues[0]),
        D_mp=fit.D,
    )


@ww.metric(version="1", on_request=True)
def sigma_mp(bulk_sigma: float, frobenius_norm: float, singular_values: Floats, n_rows: int, n_cols: int) -> float:
    """Sigma of the bulk where the mean eigenvalue is 1, bulk_sigma sqrt(n N) / frobenius_norm; WeightWatcher's name.

    n counts all singular values, N is the longer side of an entry. For noise alone it is 1. The peer's is that of a
    curve fitted to a density on a grid: spikes bias it upwards, and for square matrices it is no width.
    """
    return bulk_sigma / (frobenius_norm / math.sqrt(singular_values.size)) * math.sqrt(max(n_rows, n_cols))


@ww.metric(version="1", unit="1/weight", on_request=True)
def W_scale(frobenius_norm: float, singular_values: Floats) -> float:  # noqa: N802 - the peer's name
    """Factor that scales the weights so that the mean eigenvalue is 1, sqrt(n) / frobenius_norm; WeightWatcher's name.

    Raises:
        NotApplicable: The matrix is zero.
        Refused: The factor is beyond float64.
    """
    root_mean = frobenius_norm / math.sqrt(singular_values.size)
    if not root_mean:
        raise ww.NotApplicable("the matrix is zero")
    scale = 1.0 / root_mean
    if scale == math.inf:
        raise ww.Refused("the factor is outside the range of float64")
    return scale


@ww.metric(version="1", unit="weight^2", on_request=True)
def bulk_max(lambda_plus: float) -> float:
    """Upper edge of the bulk: WeightWatcher's name for ``lambda_plus``."""
    return lambda_plus


@ww.metric(version="1", unit="weight^2", on_request=True)
def bulk_min(lambda_minus: float) -> float:
    """Lower edge of the bulk: WeightWatcher's name for ``lambda_minus``."""
    return lambda_minus


@ww.metric(version="1", unit="1/weight", on_request=True)
def spectrum_snr(singular_values: Floats, noise_floor: float, n_rows: int, n_cols: int) -> float:
    """Spectrum's signal-to-noise ratio, sum(sigma_i > t) / sum(sigma_i <= t) / sigma_max.

    The threshold is t = s (1 + sqrt(M / N)) with the longer and shorter side of an entry, s = IQR / 1.349 and the
    interquartile range IQR of the singular values, interpolated linearly. As published it depends on the scale of the
    weights: multiplied by c they have 1 / c of it. What is not above the noise floor counts as zero.

    E. Hartford, L. Atkins, F. Fernandes Neto, D. Golchinfar, Spectrum: Targeted Training on Signal to Noise Ratio,
    arXiv 2406.06623 (2024).

    Raises:
        NotApplicable: No singular value above the noise floor is below the threshold.
        Refused: The ratio is beyond float64.
    """
    largest = float(singular_values[0]) or 1.0
    values = np.where(singular_values > noise_floor, singular_values, 0.0) / largest
    low, high = np.quantile(values, [0.25, 0.75])
    threshold = (high - low) / 1.349 * (1.0 + math.sqrt(min(n_rows, n_cols) / max(n_rows, n_cols)))
    is_signal = values > threshold
    noise = float(values[~is_signal].sum())
    if not noise:
        raise ww.NotApplicable("no singular value is below the threshold: there is no noise to compare with")
    ratio = float(values[is_signal].sum()) / noise / largest
    if ratio == math.inf:
        raise ww.Refused("the ratio is outside the range of float64")
    return ratio


@ww.metric(version="1", on_request=True)
def level_spacing(
    singular_values: Floats,
    noise_floor: float,
    epsilon: float,
    n_rows: int,
    n_cols: int,
    n_entries: int,
    num_spikes: int,
) -> LevelSpacing:
    """How the singular values of the bulk repel each other: mean of min(s_i, s_(i+1)) / max(s_i, s_(i+1)).

    s_i are the spacings of neighbouring singular values that are above the noise floor and no spikes; equal ones are
    one level. The mean is about 0.5307 for real random matrices, whatever their entries, about 0.5996 for complex ones,
    and 2 ln 2 - 1 = 0.3863 for levels that know nothing of each other. Nothing has to be unfolded.

    Y. Y. Atas, E. Bogomolny, O. Giraud, G. Roux, Physical Review Letters 110, 084101 (2013); the ratio V. Oganesyan,
    D. A. Huse, Physical Review B 75, 155111 (2007).

    Raises:
        NotApplicable: Several entries are pooled, whose levels know nothing of each other; or fewer than ten levels are
            apart.
        Refused: The bulk is no wider than the rounding of the weights.
    """
    if n_entries > 1:
        raise ww.NotApplicable(f"{n_entries} entries are pooled: levels of different matrices do not repel each other")
    largest = float(singular_values[0])
    levels, floor = singular_values[int(num_spikes) :] / largest, noise_floor / largest
    levels = levels[levels > floor]
    if levels[0] - levels[-1] <= floor:
        raise ww.Refused("the bulk is no wider than the rounding of the weights")
    apart = np.square(levels[:-1]) - np.square(levels[1:]) > max(n_rows, n_cols) * epsilon
    levels = levels[np.append(True, apart)]
    if levels.size < 10:
        raise ww.NotApplicable(f"the bulk has {levels.size} levels that are apart: their spacings need 10")
    spacings = levels[:-1] - levels[1:]
    ratios = np.minimum(spacings[:-1], spacings[1:]) / np.maximum(spacings[:-1], spacings[1:])
    return LevelSpacing(float(ratios.mean()), float(ratios.std(ddof=1)) / math.sqrt(ratios.size))
