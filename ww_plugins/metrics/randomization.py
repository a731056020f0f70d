"""A spectrum beside that of the same weights in random order: what of it is correlation, and which traps are there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

import ww_core as ww
from ww_core.spectral import fit_marchenko_pastur
from ww_plugins.metrics.scaled import in_weight2, scaled_eigenvalues, scaled_floor

SingularValues = npt.NDArray[np.float64]

PERMUTATIONS = {f"order_{k}": f"randomized_singular_values[{k}]" for k in range(5)}
DIGESTS = {f"digest_{k}": f"randomized_digest[{k}]" for k in range(5)}


@dataclass(frozen=True)
class Randomization:
    """Columns of the comparison with the first permutation."""

    rand_distance: float = ww.column(
        unit="nats^(1/2)", doc="Jensen-Shannon distance of the sorted spectrum from that of the permuted weights"
    )
    ww_softrank: float = ww.column(doc="Largest eigenvalue of the permuted weights over the largest eigenvalue")
    ww_maxdist: float = ww.column(unit="weight^2", doc="Largest eigenvalue minus that of the permuted weights")
    max_rand_eval: float = ww.column(unit="weight^2", doc="Largest eigenvalue of the permuted weights")


@dataclass(frozen=True)
class RandomizationMeans:
    """Columns of the comparison with five permutations: means and their standard errors."""

    rand_distance_mean: float = ww.column(
        unit="nats^(1/2)", standard_error="rand_distance_se", doc="Mean of rand_distance over five permutations"
    )
    rand_distance_se: float = ww.column(unit="nats^(1/2)", doc="Standard error of rand_distance_mean")
    ww_softrank_mean: float = ww.column(
        standard_error="ww_softrank_se", doc="Mean of ww_softrank over five permutations"
    )
    ww_softrank_se: float = ww.column(doc="Standard error of ww_softrank_mean")
    ww_maxdist_mean: float = ww.column(
        unit="weight^2", standard_error="ww_maxdist_se", doc="Mean of ww_maxdist over five permutations"
    )
    ww_maxdist_se: float = ww.column(unit="weight^2", doc="Standard error of ww_maxdist_mean")
    max_rand_eval_mean: float = ww.column(
        unit="weight^2", standard_error="max_rand_eval_se", doc="Mean of max_rand_eval over five permutations"
    )
    max_rand_eval_se: float = ww.column(unit="weight^2", doc="Standard error of max_rand_eval_mean")


@dataclass(frozen=True)
class RandomizedBulk:
    """Columns of the Marchenko-Pastur fit of the first permutation."""

    rand_num_spikes: int = ww.column(unit="count", doc="num_spikes of the permuted weights")
    rand_sigma_mp: float = ww.column(doc="sigma_mp of the permuted weights: 1 if no weight is an outlier")
    rand_mp_softrank: float = ww.column(doc="mp_softrank of the permuted weights")
    rand_bulk_max: float = ww.column(unit="weight^2", doc="lambda_plus of the permuted weights")
    rand_bulk_min: float = ww.column(unit="weight^2", doc="lambda_minus of the permuted weights")


@dataclass(frozen=True)
class CorrelationTraps:
    """Columns of the Marchenko-Pastur fits of five permutations: means, their standard errors, the largest excess."""

    rand_sigma_mp_mean: float = ww.column(
        standard_error="rand_sigma_mp_se", doc="Mean of rand_sigma_mp over five permutations"
    )
    rand_sigma_mp_se: float = ww.column(doc="Standard error of rand_sigma_mp_mean")
    rand_mp_softrank_mean: float = ww.column(
        standard_error="rand_mp_softrank_se", doc="Mean of rand_mp_softrank over five permutations"
    )
    rand_mp_softrank_se: float = ww.column(doc="Standard error of rand_mp_softrank_mean")
    num_traps: float = ww.column(
        unit="count", standard_error="num_traps_se", doc="Mean of rand_num_spikes over five permutations"
    )
    num_traps_se: float = ww.column(unit="count", doc="Standard error of num_traps")
    trap_excess: float = ww.column(
        doc="How far the largest eigenvalue of a permutation is above its bulk, lambda_max / lambda_plus - 1, at most"
    )
    trap_permutation: int = ww.column(doc="Number of the permutation with that excess")
    trap_seed: int = ww.column(doc="Seed of the permutations")
    trap_digest: str = ww.column(doc="Key of that permutation, 32 hex digits, from which it can be made again")


@ww.metric(version="1", on_request=True, needs={"permuted": "randomized_singular_values"})
def randomization(singular_values: SingularValues, permuted: SingularValues) -> Randomization:
    """The spectrum against that of the same weights, all permuted once.

    rand_distance is sqrt((KL(p, m) + KL(q, m)) / 2) with p_i = lambda_i / sum(lambda), q_i the same of the permuted
    weights, m = (p + q) / 2, in natural logarithms, from 0 to sqrt(ln 2). It compares the i-th largest eigenvalues as
    shares of a whole, as WeightWatcher does, and not densities. The four columns speak of one permutation, which
    depends on the content and the seed.

    From C. H. Martin's WeightWatcher; the distance D. M. Endres, J. E. Schindelin, IEEE Transactions on Information
    Theory 49 (2003).

    Raises:
        NotApplicable: The matrix is zero, or its entries are made of the weights one by one, as those of ``fft`` are.
    """
    found = _Comparison.of(singular_values, permuted)
    return Randomization(
        rand_distance=found.distance,
        ww_softrank=found.largest / found.own,
        ww_maxdist=in_weight2(found.own - found.largest, found.exponent),
        max_rand_eval=in_weight2(found.largest, found.exponent),
    )


@ww.metric(version="1", on_request=True, needs=PERMUTATIONS)
def randomization_means(
    singular_values: SingularValues,
    order_0: SingularValues,
    order_1: SingularValues,
    order_2: SingularValues,
    order_3: SingularValues,
    order_4: SingularValues,
) -> RandomizationMeans:
    """The columns of ``randomization`` over five permutations: means, and standard deviations over sqrt(5).

    The first permutation is that of ``randomization``.

    Raises:
        NotApplicable: As there.
    """
    found = [_Comparison.of(singular_values, each) for each in (order_0, order_1, order_2, order_3, order_4)]
    exponent, own = found[0].exponent, found[0].own
    distance, distance_se = _mean([each.distance for each in found])
    largest, largest_se = _mean([each.largest for each in found])
    return RandomizationMeans(
        rand_distance_mean=distance,
        rand_distance_se=distance_se,
        ww_softrank_mean=largest / own,
        ww_softrank_se=largest_se / own,
        ww_maxdist_mean=in_weight2(own - largest, exponent),
        ww_maxdist_se=in_weight2(largest_se, exponent),
        max_rand_eval_mean=in_weight2(largest, exponent),
        max_rand_eval_se=in_weight2(largest_se, exponent),
    )


@ww.metric(version="1", on_request=True, needs={"permuted": "randomized_singular_values"})
def randomized_bulk(
    permuted: SingularValues, noise_floor: float, n_rows: int, n_cols: int, *, level: float = 0.01
) -> RandomizedBulk:
    """Marchenko-Pastur fit of the weights in random order, under WeightWatcher's names.

    Formulas as for ``marchenko_pastur`` and ``sigma_mp``. A spike here is a trap: no correlation between
    weights makes it, but single weights that are far too large. Heavy tails of all weights make such spikes too.

    Args:
        permuted: Singular values of the permuted weights, descending.
        noise_floor: Same unit.
        n_rows: Rows of an entry.
        n_cols: Columns of an entry.
        level: Probability that Gaussian weights have a spike.

    Raises:
        NotApplicable: As for ``marchenko_pastur``; or the entries are made of the weights one by one, as in ``fft``.
        Refused: As for ``marchenko_pastur``.
    """
    found = PermutedBulk.of(permuted, noise_floor, n_rows, n_cols, level)
    return RandomizedBulk(
        rand_num_spikes=found.num_spikes,
        rand_sigma_mp=found.sigma_mp,
        rand_mp_softrank=found.softrank,
        rand_bulk_max=in_weight2(found.lambda_plus, found.exponent),
        rand_bulk_min=in_weight2(found.lambda_minus, found.exponent),
    )


@ww.metric(version="1", on_request=True, needs={**PERMUTATIONS, **DIGESTS, "seed": "randomized_seed"})
def correlation_traps(
    order_0: SingularValues,
    order_1: SingularValues,
    order_2: SingularValues,
    order_3: SingularValues,
    order_4: SingularValues,
    noise_floor: float,
    n_rows: int,
    n_cols: int,
    seed: int,
    digest_0: str,
    digest_1: str,
    digest_2: str,
    digest_3: str,
    digest_4: str,
    *,
    level: float = 0.01,
) -> CorrelationTraps:
    """Eigenvalues above the bulk of the weights in random order, over five permutations, and the bulk itself.

    Means, and standard deviations over sqrt(5), of the columns of ``randomized_bulk``, and the largest excess of an
    eigenvalue over the edge of the bulk; what is within the margin of noise is no trap. trap_digest pins the
    permutation with that excess: it is the key from which it is drawn, a BLAKE3 digest of the content, the number and
    the seed, so that ``ww_core.spectral.permuted(entries, bytes.fromhex(trap_digest))`` makes it again.

    C. H. Martin, M. W. Mahoney, Journal of Machine Learning Research 22 (2021), and WeightWatcher.

    Raises:
        NotApplicable: As for ``randomized_bulk``, of any permutation.
        Refused: The same.
    """
    orders = (order_0, order_1, order_2, order_3, order_4)
    found = [PermutedBulk.of(each, noise_floor, n_rows, n_cols, level) for each in orders]
    sigma, sigma_se = _mean([each.sigma_mp for each in found])
    softrank, softrank_se = _mean([each.softrank for each in found])
    traps, traps_se = _mean([each.num_spikes for each in found])
    farthest = min(range(len(found)), key=lambda k: found[k].softrank)
    return CorrelationTraps(
        rand_sigma_mp_mean=sigma,
        rand_sigma_mp_se=sigma_se,
        rand_mp_softrank_mean=softrank,
        rand_mp_softrank_se=softrank_se,
        num_traps=traps,
        num_traps_se=traps_se,
        trap_excess=1.0 / found[farthest].softrank - 1.0,
        trap_permutation=farthest,
        trap_seed=int(seed),
        trap_digest=(digest_0, digest_1, digest_2, digest_3, digest_4)[farthest],
    )


@dataclass(frozen=True)
class _Comparison:
    """Eigenvalues are in units of 4**exponent."""

    distance: float
    own: float
    largest: float
    exponent: int

    @classmethod
    def of(cls, singular_values: SingularValues, permuted: SingularValues) -> _Comparison:
        own, exponent = scaled_eigenvalues(singular_values)
        other = np.ldexp(permuted, -exponent)
        other *= other
        return cls(_jensen_shannon(own, other), float(own[0]), float(other[0]), exponent)


@dataclass(frozen=True)
class PermutedBulk:
    """The Marchenko-Pastur fit of permuted weights. Eigenvalues and edges are in units of weight^2 times 4**exponent.

    Attributes:
        num_spikes: Eigenvalues above the threshold.
        sigma_mp: Sigma of the bulk where the mean eigenvalue is 1.
        softrank: Upper edge over the largest eigenvalue.
        lambda_minus: Lower edge.
        lambda_plus: Upper edge.
        threshold: Upper edge with the Tracy-Widom margin.
        eigenvalues: All of them, descending.
        exponent: Of the unit.
    """

    num_spikes: int
    sigma_mp: float
    softrank: float
    lambda_minus: float
    lambda_plus: float
    threshold: float
    eigenvalues: SingularValues
    exponent: int

    @classmethod
    def of(cls, permuted: SingularValues, noise_floor: float, n_rows: int, n_cols: int, level: float) -> PermutedBulk:
        """Fit a bulk to descending singular values of permuted weights.

        Raises:
            NotApplicable: As for ``marchenko_pastur``.
            Refused: The same.
        """
        eigenvalues, exponent = scaled_eigenvalues(permuted)
        fit = fit_marchenko_pastur(eigenvalues, n_rows, n_cols, floor=scaled_floor(noise_floor, exponent), level=level)
        sigma_mp = fit.sigma * math.sqrt(max(n_rows, n_cols) / float(eigenvalues.mean()))
        softrank = fit.lambda_plus / float(eigenvalues[0])
        return cls(
            fit.num_spikes,
            sigma_mp,
            softrank,
            fit.lambda_minus,
            fit.lambda_plus,
            fit.threshold,
            eigenvalues,
            exponent,
        )


def _jensen_shannon(one: SingularValues, other: SingularValues) -> float:
    """Distance of two arrays of the same length as shares of their sums, exact for close ones too."""
    p, q = one / one.sum(), other / other.sum()
    return math.sqrt(max(0.0, (_divergence(p, q) + _divergence(q, p)) / 2.0))


def _divergence(p: SingularValues, q: SingularValues) -> float:
    """Kullback-Leibler divergence of p from the mean of p and q, in nats."""
    p, q = p[p > 0.0], q[p > 0.0]
    both = p + q
    leaning = (p - q) / both
    is_small = leaning < -0.5
    logs = np.log1p(leaning, where=~is_small, out=np.zeros_like(p))
    logs[is_small] = np.log(p[is_small]) - np.log(0.5 * both[is_small])
    return float(p.dot(logs))


def _mean(values: Sequence[float]) -> tuple[float, float]:
    """Mean and its standard error."""
    array = np.array(values, dtype=np.float64)
    return float(array.mean()), float(array.std(ddof=1)) / math.sqrt(array.size)
