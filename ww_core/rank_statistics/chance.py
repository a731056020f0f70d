"""How often luck alone would put models in such an order."""

from __future__ import annotations

import functools
import itertools
import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from ww_core.rank_statistics.sample import Sample

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]

_EXACT = 40
"""Groups of more models are taken as normal: their exact distribution would no longer differ visibly."""
_EXACT_PAIRS = 4000
"""The same for all groups together, counted in pairs."""
_ENUMERATED = 8
"""Where both x and y have ties all orders are tried, of no more than so many models."""


def chance_of_order(difference: int, sample: Sample) -> float:
    """Chance that random orders agree or disagree at least as much as this one.

    The y of each group are shuffled among its models; all orders are equally likely. It is two-sided: the chance that
    concordant minus discordant pairs inside groups is ``difference`` or more, in absolute value. It is exact for groups
    of up to 40 models (4000 pairs together) where x or y has no ties in a group or the group has up to 8 models. Else
    the difference is taken as normal, with its exact variance (M. G. Kendall, Rank Correlation Methods, 1948). A perfect
    order of n models without ties has the chance 2 / n!.

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

    It is the q-multinomial coefficient: with [k] = 1 + q + ... + q**(k - 1), the product of [1] to [n], divided by that of
    [1] to [t] for each t that are alike.
    """
    counts = [1]
    for k in range(2, sum(ties) + 1):
        sums = list(itertools.accumulate(counts + [0] * (k - 1)))
        counts = [upper - lower for upper, lower in zip(sums, [0] * k + sums, strict=False)]
    for tied in ties:
        for k in range(2, tied + 1):
            quotient = [upper - lower for upper, lower in zip(counts, [0, *counts], strict=False)][
                : len(counts) - k + 1
            ]
            for i in range(k, len(quotient)):
                quotient[i] += quotient[i - k]
            counts = quotient
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
    spread = n * (n - 1) * (2 * n + 5) - sum(t * (t - 1) * (2 * t + 5) for t in (*x, *y))
    two_x, two_y = (sum(t * (t - 1) for t in ties) for ties in (x, y))
    three_x, three_y = (sum(t * (t - 1) * (t - 2) for t in ties) for ties in (x, y))
    variance = spread / 18 + two_x * two_y / (2 * n * (n - 1))
    return variance + (three_x * three_y / (9 * n * (n - 1) * (n - 2)) if n > 2 else 0.0)  # noqa: PLR2004
