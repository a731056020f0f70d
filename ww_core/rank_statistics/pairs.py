"""Which pairs of models x and y put in the same order, in a sample and in resamples of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ww_core.rank_statistics.ranks import Levels

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from ww_core.rank_statistics.resamples import Draws
    from ww_core.rank_statistics.sample import Sample

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]


class PairCounts(NamedTuple):
    """Numbers of pairs in each of B resamples, shape (B,); a model that was drawn twice is tied with itself.

    Attributes:
        concordant: Pairs that x and y put in the same order.
        discordant: Pairs that they put in opposite orders.
        untied_x: Pairs that differ in x.
        untied_y: Pairs that differ in y.
    """

    concordant: Integers
    discordant: Integers
    untied_x: Integers
    untied_y: Integers

    @property
    def tau(self) -> Floats:
        """Kendall's tau-b, shape (B,); NaN where no pair differs in x, or none in y."""
        difference = (self.concordant - self.discordant).astype(np.float64)
        size = np.sqrt(self.untied_x.astype(np.float64) * self.untied_y)
        tau: Floats = np.divide(difference, size, out=np.full(len(size), np.nan), where=size > 0)
        return tau

    def without(self, part: PairCounts) -> PairCounts:
        """Leave out the pairs of ``part``."""
        return PairCounts(
            self.concordant - part.concordant,
            self.discordant - part.discordant,
            self.untied_x - part.untied_x,
            self.untied_y - part.untied_y,
        )


class _Merge(NamedTuple):
    """One step of a merge sort by y: each left model meets the right ones of its block with a smaller y."""

    right: Integers  # shape (r,): models, block after block, in ascending order of y
    left: Integers  # shape (l,): models that meet any
    first: Integers  # shape (l,): where in ``right`` those that it meets start
    stop: Integers  # shape (l,): where they stop


class PairCounter:
    """Counts pairs of models of the same group.

    Discordant pairs are counted by a merge sort, as W. R. Knight does (A computer method for calculating Kendall's tau
    with ungrouped data, Journal of the American Statistical Association 61, 1966). Resamples differ in nothing but how
    often each model was drawn, so the steps of the sort are those of the sample, and all resamples take them together:
    O(n log n) additions each. Counts are integers and exact.

    Args:
        sample: The models.
    """

    def __init__(self, sample: Sample) -> None:
        order = np.lexsort((sample.y, sample.x, sample.group))
        self._x, self._y = Levels(sample.x, sample.sizes), Levels(sample.y, sample.sizes)
        self._both = Levels(_numbers_of_points(sample, order), sample.sizes)
        self._merges = list(_merges(sample, order))
        self._squares = int((sample.sizes**2).sum())

    def count(self, draws: Draws) -> PairCounts:
        """Count the pairs of resamples.

        Args:
            draws: Shape (n, B): how often each model was drawn; each group has as many draws as models.
        """
        x, y, both = (_sums_of_products(*[levels.counts(draws)] * 2) for levels in (self._x, self._y, self._both))
        discordant = np.zeros(draws.shape[1], dtype=np.int64)
        for merge in self._merges:
            drawn = np.zeros((len(merge.right) + 1, draws.shape[1]), dtype=np.int32)
            np.cumsum(draws[merge.right], axis=0, out=drawn[1:])
            smaller = drawn[merge.stop]
            smaller -= drawn[merge.first]
            discordant += _sums_of_products(smaller, draws[merge.left])
        concordant = (self._squares - x - y + both) // 2 - discordant
        return PairCounts(concordant, discordant, (self._squares - x) // 2, (self._squares - y) // 2)


def _numbers_of_points(sample: Sample, order: Integers) -> Floats:
    """A number for each different (x, y) of a group, shape (n,)."""
    new = np.zeros(sample.n, dtype=np.bool_)
    for values in (sample.group[order], sample.x[order], sample.y[order]):
        new[1:] |= values[1:] != values[:-1]
    numbers = np.empty(sample.n)
    numbers[order] = np.cumsum(new)
    return numbers


def _merges(sample: Sample, order: Integers) -> Iterator[_Merge]:
    """Steps for models in ``order``: by group, in a group by x, of equal x by y."""
    place = np.arange(sample.n) - sample.starts[sample.group]
    rank = np.unique(sample.y, return_inverse=True)[1][order]
    half = 1
    while half < sample.sizes.max(initial=0):
        block, is_right = np.cumsum(place % (2 * half) == 0), place // half % 2 == 1
        merged = np.argsort((block * sample.n + rank) * 2 + is_right, kind="stable")
        right = is_right[merged]
        before = np.cumsum(right) - right
        new = np.zeros(sample.n, dtype=np.bool_)
        new[1:] = np.diff(block[merged]) != 0
        first = before[np.maximum.accumulate(np.where(new, np.arange(sample.n), 0))]
        meets = ~right & (before > first)
        if meets.any():
            yield _Merge(order[merged[right]], order[merged[meets]], first[meets], before[meets])
        half *= 2


def _sums_of_products(one: Draws, other: Draws) -> Integers:
    """Sums over the first axis, shape (B,), exact."""
    sums: Integers = np.einsum("ij,ij->j", one, other, dtype=np.int64)
    return sums
