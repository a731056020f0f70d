"""Midranks, tied values and rank correlations, in a sample and in resamples of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from ww_core.rank_statistics.resamples import Draws
    from ww_core.rank_statistics.sample import Sample

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]


class Levels:
    """The different values that models have in each group.

    Args:
        values: Shape (n,), group after group.
        sizes: Shape (groups,): models of each group.
    """

    def __init__(self, values: Floats, sizes: Integers) -> None:
        group = np.repeat(np.arange(len(sizes)), sizes)
        self._order = np.lexsort((values, group))
        values, group = values[self._order], group[self._order]
        last = np.ones(len(values), dtype=np.bool_)
        last[:-1] = (values[1:] != values[:-1]) | (group[1:] != group[:-1])
        self._last = np.flatnonzero(last)
        self._tied = len(self._last) < len(values)
        self._level = np.empty(len(values), dtype=np.int64)
        self._level[self._order] = np.cumsum(last) - last
        self._twice_middle = (2 * np.cumsum(sizes) - sizes)[group[self._last]].astype(np.int32)

    def counts(self, draws: Draws) -> Draws:
        """How many draws each level has, shape (levels, B), in ascending order in each group."""
        return np.diff(self._up_to(draws), axis=0, prepend=np.int32(0)) if self._tied else draws[self._order]

    def midranks(self, draws: Draws) -> Draws:
        """Midranks r of the models in their groups of size m, doubled and centred: 2 r - m - 1, shape (n, B)."""
        up_to = self._up_to(draws)
        ranks = 2 * up_to - self._twice_middle[:, None]
        ranks -= np.diff(up_to, axis=0, prepend=np.int32(0))
        return ranks[self._level]

    def _up_to(self, draws: Draws) -> Draws:
        """How many draws each level and all before it have, shape (levels, B)."""
        drawn = np.cumsum(draws[self._order], axis=0, dtype=np.int32)
        return drawn[self._last] if self._tied else drawn


class Ranking:
    """Midranks of x and y in their groups.

    Args:
        sample: The models.
    """

    def __init__(self, sample: Sample) -> None:
        self._x, self._y = Levels(sample.x, sample.sizes), Levels(sample.y, sample.sizes)

    def midranks(self, draws: Draws) -> tuple[Draws, Draws]:
        """Midranks of x and of y, doubled and centred, shape (n, B) each."""
        return self._x.midranks(draws), self._y.midranks(draws)


class Products(NamedTuple):
    """Sums of products of centred ranks in each of B resamples, shape (B,)."""

    xy: Floats
    xx: Floats
    yy: Floats

    @property
    def rho(self) -> Floats:
        """Spearman's rho, shape (B,); NaN where all ranks of x, or all of y, are the same."""
        size = np.sqrt(self.xx * self.yy)
        rho: Floats = np.divide(self.xy, size, out=np.full(len(size), np.nan), where=size > 0)
        return rho


def products_of_ranks(draws: Draws, x: Draws, y: Draws, sizes: Integers) -> Products:
    """Products of ranks in groups, divided by the variance that they have in a group of that size without ties.

    Args:
        draws: Shape (n, B): how often each model was drawn.
        x: Shape (n, B): its midrank in its group, doubled and centred.
        y: The same of y.
        sizes: Shape (groups,): models of each group, ascending.
    """
    size, groups = np.unique(sizes, return_counts=True)
    weights = 1.0 / (size * (size + 1.0))
    weights = (weights / weights.max(initial=0.0))[:, None]  # one size needs no weight: all stays exact

    def pooled(products: Floats) -> Floats:
        sums: Floats = (weights * _sums(products, size * groups)).sum(axis=0)
        return sums

    drawn_x, drawn_y = (np.multiply(draws, ranks, dtype=np.float64) for ranks in (x, y))
    return Products(pooled(drawn_x * y), pooled(drawn_x * x), pooled(drawn_y * y))


def products_of_means(draws: Draws, x: Draws, y: Draws, sizes: Integers) -> Products:
    """Products of the midranks of the groups' mean ranks, each group counted once.

    Args:
        draws: Shape (n, B): how often each model was drawn.
        x: Shape (n, B): its midrank among all models, doubled and centred.
        y: The same of y.
        sizes: Shape (groups,): models of each group.
    """
    of_x, of_y = (
        _column_midranks(_sums(np.multiply(draws, ranks, dtype=np.float64), sizes) / sizes[:, None]) for ranks in (x, y)
    )
    return Products((of_x * of_y).sum(axis=0), (of_x * of_x).sum(axis=0), (of_y * of_y).sum(axis=0))


def _sums(values: Floats, lengths: Integers) -> Floats:
    """Sums of the first ``lengths[0]`` rows, of the next ``lengths[1]``, ...; integers below 2**53 stay exact."""
    sums: Floats = np.add.reduceat(values, np.cumsum(lengths) - lengths, axis=0)
    return sums


def _column_midranks(values: Floats) -> Floats:
    """Midranks r in each column of ``values``, shape (n, B), doubled and centred: 2 r - n - 1."""
    order = np.argsort(values, axis=0, kind="stable")
    ascending = np.take_along_axis(values, order, axis=0)
    differs = ascending[1:] != ascending[:-1]
    first, last = (np.repeat(np.arange(len(values))[:, None], values.shape[1], axis=1) for _ in range(2))
    first[1:][~differs] = 0
    last[:-1][~differs] = len(values)
    first = np.maximum.accumulate(first, axis=0)
    last = np.minimum.accumulate(last[::-1], axis=0)[::-1]
    ranks = np.empty(values.shape)
    np.put_along_axis(ranks, order, first + last - (len(values) - 1.0), axis=0)
    return ranks
