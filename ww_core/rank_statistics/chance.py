"""How often luck alone would put models in such an order."""

from __future__ import annotations

import functools
import itertools
import math
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from ww_core.rank_statistics.sample import Sample

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]

_EXACT = 40
"""Models of a group up to which the distribution is exact. Beyond it the normal one is near."""
_EXACT_PAIRS = 4000
"""The same in pairs of all groups together."""
_ENUMERATED = 8
"""The same where x and y have ties in a group: then all orders are tried."""


def chance_of_order(difference: int, sample: Sample) -> float:
    """Chance that x and y agree, or disagree, at least as much as they do if y were in random order in each group.

    It is two-sided: that of concordant minus discordant pairs at least as far from 0 as ``difference``. A perfect order
    of n models without ties has the chance 2 / n!. It is exact where each group has at most 40 models, and at most 8 if
    both x and y have ties in it, and all groups together have at most 4000 pairs. Else the difference is taken as
    normal, with its exact variance (M. G. Kendall, Rank Correlation Methods, 1948).

    Args:
        difference: Concordant minus discordant pairs.
        sample: The models.

    Returns:
        Between 0 and 1; NaN where no order differs from another.
    """
    ties = [
        (_ties(sample.x[start : start + size]), _ties(sample.y[start : start + size]))
        for start, size in zip(sample.starts.tolist(), sample.sizes.tolist(), strict=True)
    ]
    ties = [(x, y) for x, y in ties if len(x) > 1 and len(y) > 1]
    if not ties:
        return math.nan
    pairs = sum(math.comb(sum(x), 2) for x, _ in ties)
    if pairs <= _EXACT_PAIRS and all(_has_exact(x, y) for x, y in ties):
        distribution = functools.reduce(np.convolve, (_distribution(x, y) for x, y in ties))
        far = np.abs(np.arange(len(distribution)) - len(distribution) // 2) >= abs(difference)
        return min(1.0, math.fsum(distribution[far]))
    variance = math.fsum(_variance(x, y) for x, y in ties)
    return math.erfc(abs(difference) / math.sqrt(2.0 * variance))


def _ties(values: Floats) -> tuple[int, ...]:
    """How many models share each value, from the smallest value on."""
    return tuple(np.unique(values, return_counts=True)[1].tolist())


def _has_exact(x: tuple[int, ...], y: tuple[int, ...]) -> bool:
    n = sum(x)
    return n <= _ENUMERATED or (n <= _EXACT and n in (len(x), len(y)))


@functools.lru_cache(maxsize=256)
def _distribution(x: tuple[int, ...], y: tuple[int, ...]) -> Floats:
    """Chances of each difference, from minus to plus the number of pairs, shape (2 pairs + 1,)."""
    n = sum(x)
    pairs = math.comb(n, 2)
    chances = np.zeros(2 * pairs + 1)
    if n in (len(x), len(y)):
        counts = _inversion_counts(y if n == len(x) else x)
        orders = sum(counts)
        chances[pairs - len(counts) + 1 : pairs + len(counts) : 2] = [count / orders for count in counts]
    else:
        differences = _all_differences(x, y)
        chances += np.bincount(differences + pairs, minlength=len(chances)) / len(differences)
    return chances


def _inversion_counts(ties: tuple[int, ...]) -> list[int]:
    """Number of orders of n things, some of them alike, with 0, 1, 2, ... inversions.

    These are the coefficients of a polynomial in q, the q-multinomial coefficient: with [k] = 1 + q + ... + q**(k - 1),
    the product of [1] to [n], divided by that of [1] to [t] for each t things that are alike.
    """
    counts = [1]
    for k in range(2, sum(ties) + 1):
        sums = list(itertools.accumulate(counts + [0] * (k - 1)))
        counts = [upper - lower for upper, lower in zip(sums, [0] * k + sums, strict=False)]  # times [k]
    for tied in ties:
        for k in range(2, tied + 1):
            counts = [upper - lower for upper, lower in zip(counts, [0, *counts], strict=False)]  # times 1 - q
            for i in range(k, len(counts)):  # divided by 1 - q**k
                counts[i] += counts[i - k]
            del counts[1 - k :]
    return counts


def _all_differences(x: tuple[int, ...], y: tuple[int, ...]) -> Integers:
    """Concordant minus discordant pairs of every order of y, shape (n!,)."""
    ranks_x, ranks_y = (np.repeat(np.arange(len(ties)), ties) for ties in (x, y))
    shuffled = ranks_y[np.array(list(itertools.permutations(range(len(ranks_y)))))].astype(np.int8)
    differences = np.zeros(len(shuffled), dtype=np.int64)
    for i, j in itertools.combinations(range(len(ranks_x)), 2):
        if ranks_x[i] != ranks_x[j]:
            differences += np.sign(shuffled[:, j] - shuffled[:, i])
    return differences


def _variance(x: tuple[int, ...], y: tuple[int, ...]) -> float:
    """Variance of concordant minus discordant pairs over all orders."""
    n = sum(x)
    (two_x, three_x, five_x), (two_y, three_y, five_y) = map(_sums_over_ties, (x, y))
    spread = n * (n - 1) * (2 * n + 5) - five_x - five_y
    variance = spread / 18 + two_x * two_y / (2 * n * (n - 1))
    return variance + (three_x * three_y / (9 * n * (n - 1) * (n - 2)) if n > 2 else 0.0)


def _sums_over_ties(ties: tuple[int, ...]) -> tuple[int, int, int]:
    """Return the sums over t of t (t - 1), of t (t - 1) (t - 2) and of t (t - 1) (2 t + 5); few t are different."""
    counts = Counter(ties).items()
    return (
        sum(count * t * (t - 1) for t, count in counts),
        sum(count * t * (t - 1) * (t - 2) for t, count in counts),
        sum(count * t * (t - 1) * (2 * t + 5) for t, count in counts),
    )
