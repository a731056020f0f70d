"""What random-matrix theory says of a spectrum: its bulk of noise, the spikes above it, and how its levels repel."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

import ww_core as ww
from ww_core.spectral import fit_marchenko_pastur
from ww_plugins.metrics.scales import in_weight2, scaled_eigenvalues, scaled_floor

SingularValues = npt.NDArray[np.float64]


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
class PeerBulk:
    """The bulk under WeightWatcher's names."""

    sigma_mp: float = ww.column(doc="bulk_sigma sqrt(N) W_scale: sigma where the mean of the eigenvalues is 1")
    bulk_max: float = ww.column(unit="weight^2", doc="WeightWatcher's name for lambda_plus")
    bulk_min: float = ww.column(unit="weight^2", doc="WeightWatcher's name for lambda_minus")
    W_scale: float = ww.column(unit="1/weight", doc="Factor that scales the weights so that the mean eigenvalue is 1")


@dataclass(frozen=True)
class LevelSpacing:
    """Columns of the statistics of neighbouring levels."""

    spacing_ratio: float = ww.column(
        standard_error="spacing_ratio_se", doc="Mean ratio of neighbouring spacings in the bulk, smaller over larger"
    )
    spacing_ratio_se: float = ww.column(doc="Standard error of spacing_ratio, its ratios taken as independent")


@ww.metric(version="1", on_request=True)
def marchenko_pastur(
    singular_values: SingularValues, noise_floor: float, n_rows: int, n_cols: int, *, level: float = 0.01
) -> MarchenkoPastur:
    """Fit of the Marchenko-Pastur law to the bulk of the eigenvalues, and the spikes above it.

    lambda_plus and lambda_minus are bulk_sigma**2 (sqrt(N - k) +- sqrt(M - k))**2, with the longer and the shorter side
    of an entry and k = num_spikes / entries: what the spikes leave is noise of that many fewer rows and columns.
    bulk_sigma is the root of the mean square of the entries of what is left, with what spikes near the bulk take from
    it; there is no grid and no density estimate. A spike lies above the quantile of the largest eigenvalue of noise, so
    that noise of Gaussian entries has one in a share ``level`` of the matrices, or fewer. mp_softrank is lambda_plus /
    lambda_max; it is not cut at 1: the largest eigenvalue of noise lies below the edge more often than not.

    D_mp says whether there is such a bulk. That of Gaussian noise rarely exceeds (2 + ln(M) / 2) / (M sqrt(entries)).
    Kernel slices and experts that are pooled share one law, if their weights have one variance. The entries of ``fft``
    are complex, with the same law; bulk_sigma is that of the transformed entries, and spikes are told more cautiously,
    as the margin is that of real ones.

    V. A. Marchenko, L. A. Pastur, Mathematics of the USSR-Sbornik 1 (1967); I. M. Johnstone, Annals of Statistics 29
    (2001); for weights C. H. Martin, M. W. Mahoney, Journal of Machine Learning Research 22 (2021).

    Args:
        singular_values: Descending; unit of the weights.
        noise_floor: Same unit. What is not above it is no part of the bulk, and makes the law that of fewer columns.
        n_rows: Rows of an entry.
        n_cols: Columns of an entry.
        level: Probability that Gaussian noise has a spike.

    Raises:
        NotApplicable: Fewer than ten eigenvalues are above the noise floor, or an entry has one row or column.
        Refused: However many eigenvalues are taken for spikes, up to half of them, more are above the threshold.
    """
    eigenvalues, exponent = scaled_eigenvalues(singular_values)
    fit = fit_marchenko_pastur(eigenvalues, n_rows, n_cols, floor=scaled_floor(noise_floor, exponent), level=level)
    return MarchenkoPastur(
        bulk_sigma=math.ldexp(fit.sigma, exponent),
        lambda_minus=in_weight2(fit.lambda_minus, exponent),
        lambda_plus=in_weight2(fit.lambda_plus, exponent),
        num_spikes=fit.num_spikes,
        mp_softrank=fit.lambda_plus / float(eigenvalues[0]),
        D_mp=fit.D,
    )


@ww.metric(version="1", on_request=True)
def weightwatcher_bulk(
    singular_values: SingularValues,
    frobenius_norm: float,
    bulk_sigma: float,
    lambda_plus: float,
    lambda_minus: float,
    n_rows: int,
    n_cols: int,
) -> PeerBulk:
    """The bulk under WeightWatcher's names: W_scale = sqrt(n) / frobenius_norm, n singular values in all.

    Where there are spikes, the peer's sigma_mp is biased, and so are its edges, as they belong to a density on a grid.
    """
    root = math.sqrt(singular_values.size)
    relative = frobenius_norm / root  # the root of the mean eigenvalue, of which W_scale is the inverse
    scale = 1.0 / relative if relative else math.inf
    return PeerBulk(
        sigma_mp=bulk_sigma / relative * math.sqrt(max(n_rows, n_cols)) if relative else math.inf,
        bulk_max=lambda_plus,
        bulk_min=lambda_minus,
        W_scale=scale if scale < math.inf else _out_of_range(),
    )


def _out_of_range() -> float:
    return ww.Refused("the factor is outside the range of float64")  # type: ignore[return-value]


@ww.metric(version="1", unit="1/weight", on_request=True)
def spectrum_snr(singular_values: SingularValues, n_rows: int, n_cols: int) -> float:
    """Spectrum's signal-to-noise ratio, sum(sigma_i > t) / sum(sigma_i <= t) / sigma_max.

    The threshold is t = s (1 + sqrt(M / N)) with the longer and shorter side of an entry, s = IQR / 1.349 and the
    interquartile range IQR of the singular values, interpolated linearly. As published it depends on the scale of the
    weights: multiplied by c they have 1 / c of it.

    E. Hartford, L. Atkins, F. Fernandes Neto, D. Golchinfar, Spectrum: Targeted Training on Signal to Noise Ratio,
    arXiv 2406.06623 (2024).

    Raises:
        NotApplicable: No positive singular value is below the threshold.
        Refused: The ratio is beyond float64.
    """
    largest = float(singular_values[0])
    ratios = singular_values / largest if largest else singular_values
    low, high = np.quantile(ratios, [0.25, 0.75])
    threshold = (high - low) / 1.349 * (1.0 + math.sqrt(min(n_rows, n_cols) / max(n_rows, n_cols)))
    is_signal = ratios > threshold
    noise = float(ratios[~is_signal].sum())
    if not noise:
        raise ww.NotApplicable("no positive singular value is below the threshold: there is no noise to compare with")
    found = float(ratios[is_signal].sum()) / noise / largest
    if found == math.inf:
        raise ww.Refused("the ratio is outside the range of float64")
    return found


@ww.metric(version="1", on_request=True)
def level_spacing(
    singular_values: SingularValues,
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
    levels = singular_values[int(num_spikes) :] / (float(singular_values[0]) or 1.0)
    floor = noise_floor / (float(singular_values[0]) or 1.0)
    levels = levels[levels > floor]
    if levels.size and levels[0] - levels[-1] <= floor:
        raise ww.Refused("the bulk is no wider than the rounding of the weights")
    apart = np.square(levels[:-1]) - np.square(levels[1:]) > max(n_rows, n_cols) * epsilon
    levels = levels[np.append(True, apart)] if levels.size else levels
    if levels.size < 10:
        raise ww.NotApplicable(f"the bulk has {levels.size} levels that are apart: their spacings need 10")
    spacings = levels[:-1] - levels[1:]
    ratios = np.minimum(spacings[:-1], spacings[1:]) / np.maximum(spacings[:-1], spacings[1:])
    return LevelSpacing(float(ratios.mean()), float(ratios.std(ddof=1)) / math.sqrt(ratios.size))
