"""Whether x and y put models in the same order: in one family of models, inside several and between them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ww_core.rank_statistics.chance import chance_of_order
from ww_core.rank_statistics.estimate import Estimate, Undefined, check_confidence, estimate
from ww_core.rank_statistics.pairs import PairCounter, PairCounts
from ww_core.rank_statistics.ranks import Products, Ranking, products_of_means, products_of_ranks
from ww_core.rank_statistics.resamples import sample_and_resamples
from ww_core.rank_statistics.sample import group_indices, grouped_sample, sample_of

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    import numpy.typing as npt

    from ww_core.rank_statistics.sample import Sample


@dataclass(frozen=True, slots=True)
class Pairs:
    """Numbers of pairs of models.

    Attributes:
        compared: All that are compared.
        concordant: Those that x and y put in the same order.
        discordant: Those that they put in opposite orders; the rest has no order in x, or none in y.
        untied_x: Those that differ in x.
        untied_y: Those that differ in y.
    """

    compared: int
    concordant: int
    discordant: int
    untied_x: int
    untied_y: int


@dataclass(frozen=True, slots=True)
class Correlation:
    """How far x and y put models in the same order.

    Attributes:
        tau: Kendall's tau-b: (concordant - discordant) / sqrt(untied_x * untied_y).
        rho: Spearman's rho: Pearson's correlation of the midranks.
        pairs: What tau counts.
        chance: Chance of a tau at least so far from 0, on either side, if y were in random order (inside groups: in
            random order in each of them). NaN where tau is undefined, and between groups.
    """

    tau: Estimate
    rho: Estimate
    pairs: Pairs
    chance: float


@dataclass(frozen=True, slots=True)
class GroupedCorrelation:
    """How far x and y put models in the same order inside groups, between them, and altogether.

    Attributes:
        groups: Each group by itself, as ``correlation`` has it, in the order in which they first appear.
        inside: Over pairs of models of the same group. For rho, midranks are taken in each group, centred, and divided
            by sqrt(m (m + 1) / 12), their standard deviation in a group of m models without ties; so without ties it is
            the mean of the groups' rho with weights m - 1. n counts the models of groups of 2 or more.
        between: Over pairs of models of different groups. rho is that of the groups' mean midranks among all models,
            each group counted once, and its n is the number of groups.
        overall: Over all pairs, which are those inside and those between.
        confidence: Of all intervals.
    """

    groups: Mapping[Hashable, Correlation]
    inside: Correlation
    between: Correlation
    overall: Correlation
    confidence: float


def correlation(
    x: npt.ArrayLike, y: npt.ArrayLike, *, seed: int = 0, replicates: int = 1000, confidence: float = 0.95
) -> Correlation:
    """Compare the orders in which x and y put models.

    Intervals are percentiles of the statistic over resamples of the models (bootstrap). Resamples in which it is
    undefined are left out; if these are more than half, there is no interval. Every replicate is exact, whatever n. The
    answer does not depend on the order in which the models are given, nor on any increasing function of x or y.

    Args:
        x: Shape (n,), finite, any unit.
        y: Shape (n,), finite, any unit.
        seed: Any integer; equal seeds give equal intervals.
        replicates: Number of resamples; 0 for no intervals.
        confidence: Of the intervals, between 0 and 1.

    Raises:
        UsageError: x and y are not equally many finite numbers, or an option is out of range.
    """
    check_confidence(confidence)
    sample = sample_of(x, y)
    counter, ranking = PairCounter(sample), Ranking(sample)
    pairs, products = [], []
    for draws in sample_and_resamples(sample, seed, replicates):
        pairs.append(counter.count(draws))
        products.append(products_of_ranks(draws, *ranking.midranks(draws), sample.sizes))
    return _correlation(pairs, products, sample, math.comb(sample.n, 2), sample.n, sample.n, confidence)


def grouped_correlation(
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    groups: Sequence[Hashable],
    *,
    seed: int = 0,
    replicates: int = 1000,
    confidence: float = 0.95,
) -> GroupedCorrelation:
    """Compare the orders in which x and y put models inside groups, between groups, and altogether.

    The groups are taken as given: resamples have as many models of each as there are, drawn from that group. All else
    is as in ``correlation``; neither the order nor the labels of the groups change anything. With one group, ``inside``
    and ``overall`` are the ``correlation`` of all models.

    Args:
        x: Shape (n,), finite, any unit.
        y: Shape (n,), finite, any unit.
        groups: n labels.
        seed: Any integer; equal seeds give equal intervals.
        replicates: Number of resamples; 0 for no intervals.
        confidence: Of the intervals, between 0 and 1.

    Raises:
        UsageError: x, y and groups are not equally many, x or y is not finite, or an option is out of range.
    """
    check_confidence(confidence)
    sample = grouped_sample(x, y, groups)
    together = sample.as_one_group()
    counter, counter_inside = PairCounter(together), PairCounter(sample)
    ranking, ranking_inside = Ranking(together), Ranking(sample)
    pairs, pairs_inside, pairs_between = [], [], []
    products, products_inside, products_between = [], [], []
    for draws in sample_and_resamples(sample, seed, replicates):
        pairs.append(counter.count(draws))
        pairs_inside.append(counter_inside.count(draws))
        pairs_between.append(pairs[-1].without(pairs_inside[-1]))
        ranks = ranking.midranks(draws)
        products.append(products_of_ranks(draws, *ranks, together.sizes))
        products_inside.append(products_of_ranks(draws, *ranking_inside.midranks(draws), sample.sizes))
        products_between.append(products_of_means(draws, *ranks, sample.sizes))

    n, n_inside, n_groups = sample.n, int(sample.sizes[sample.sizes > 1].sum()), len(sample.sizes)
    compared, inside = math.comb(n, 2), sum(math.comb(size, 2) for size in sample.sizes.tolist())
    x, y = np.asarray(x), np.asarray(y)
    return GroupedCorrelation(
        groups={
            label: correlation(x[models], y[models], seed=seed, replicates=replicates, confidence=confidence)
            for label, models in group_indices(groups).items()
        },
        inside=_correlation(pairs_inside, products_inside, sample, inside, n_inside, n_inside, confidence),
        between=_correlation(pairs_between, products_between, None, compared - inside, n, n_groups, confidence),
        overall=_correlation(pairs, products, together, compared, n, n, confidence),
        confidence=confidence,
    )


def _correlation(
    counted: list[PairCounts],
    multiplied: list[Products],
    shuffled: Sample | None,
    compared: int,
    n: int,
    n_rho: int,
    confidence: float,
) -> Correlation:
    """Put together what was counted in the sample, which comes first, and in its resamples.

    Args:
        counted: Pairs.
        multiplied: Ranks.
        shuffled: The models, in the groups inside which luck could change the order; None if there is no such chance.
        compared: Number of pairs of the sample.
        n: Number of models that tau rests on.
        n_rho: Number of models or groups that rho rests on.
        confidence: Of the intervals.
    """
    pairs = PairCounts(*(np.concatenate(parts) for parts in zip(*counted, strict=True)))
    products = Products(*(np.concatenate(parts) for parts in zip(*multiplied, strict=True)))
    none = None if compared else Undefined.TOO_FEW if n < 2 else Undefined.NO_PAIR
    tau, rho = (
        estimate(values, models, none or _tied(x_differs[0], y_differs[0]), confidence)
        for values, models, x_differs, y_differs in (
            (pairs.tau, n, pairs.untied_x, pairs.untied_y),
            (products.rho, n_rho, products.xx, products.yy),
        )
    )
    concordant, discordant, untied_x, untied_y = (int(count[0]) for count in pairs)
    chance = math.nan if shuffled is None else chance_of_order(concordant - discordant, shuffled)
    return Correlation(tau, rho, Pairs(compared, concordant, discordant, untied_x, untied_y), chance)


def _tied(x_differs: float, y_differs: float) -> Undefined | None:
    return None if x_differs and y_differs else Undefined.Y_TIED if x_differs else Undefined.X_TIED
