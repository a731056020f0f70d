"""The test that every step must pass, wherever it was found."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from ww_core.change_points.middle import middle
from ww_core.change_points.noise import median_variance

if TYPE_CHECKING:
    import numpy.typing as npt

    from ww_core.change_points.noise import Noise
    from ww_core.change_points.observations import Observations

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]

_REMAINS = 0.5
"""More than this share of a change must be left when the trend beside it is taken off."""
_LINE = 4
"""So many values of a level, or more, show a trend by themselves."""
_LEANS = 3.0
"""Lines that explain more of a change than this, in standard errors of the levels, are no chance: half as much is."""
_LINE_ERROR = 5.0**0.5
"""Error of a line at the step, continued from two medians of half a level each, in errors of the level."""
_COMMON = 1.5
"""An error of more than so many times the spread is common to neighbouring versions, which do not show it."""
_ROUGHER = 1.5
"""Noise beside a step that is more than so many times that of the series is no chance."""
_TWO = 2
"""Values of one difference, which says too little about noise by itself."""
_GATHERED_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Tested:
    """Steps and their tests; all of shape (steps,), in the unit of the observations.

    Attributes:
        row: Row of the observations that count.
        place: Which of them is the first after the step.
        before: Level before.
        after: Level after.
        uncertainty: Standard error of their difference.
        freedom: Degrees of freedom of the t-distribution that the evidence is compared with.
        p: Chance of such evidence in one test; 1 where a trend explains the change.
        n_before: How many observations lie between the step before and this one.
        n_after: The same of this one and the step after.
    """

    row: Integers
    place: Integers
    before: Floats
    after: Floats
    uncertainty: Floats
    freedom: Floats
    p: Floats
    n_before: Integers
    n_after: Integers


@dataclass(frozen=True, slots=True)
class _Side:
    """What lies on one side of each step, shape (steps,): level, noise, error of a value, line, next change."""

    level: Floats
    rough: Floats  # scale of a value by the differences on this side alone; 0 of fewer than two
    error: Floats
    at_step: Floats  # the level, or where there are enough values the line through them, continued to the step
    onward: Floats  # how much the value at the step differs from the next one away from it; 0 where a line is used


class Evidence:
    """Tests steps of given series.

    Args:
        kept: The observations that count; row i is of series ``series[i]``.
        series: Shape (rows,): which series of ``every`` and ``noise``.
        every: All observations, also those set aside.
        noise: Noise of every series.
    """

    def __init__(self, kept: Observations, series: Integers, every: Observations, noise: Noise) -> None:
        self._kept, self._series, self._every, self._noise = kept, series, every, noise
        self._widths = _widths(noise.wander, kept.values.shape[1])

    @property
    def counts(self) -> Integers:
        """Shape (rows,): how many observations each row has."""
        return self._kept.counts

    def test(self, starts: Flags, row: Integers, place: Integers) -> Tested:
        """Test the steps ``(row, place)``, each between the segments that ``starts`` marks beside it."""
        begins, ends = segments(starts, self._kept.counts)
        width = self._widths[self._series[row]]
        n_before = place - begins[row, place - 1]
        n_after = ends[row, place] - place
        steps = max(1, _GATHERED_BYTES // (64 * max(1, starts.shape[1])))
        parts = [
            self._test(row[chunk], place[chunk], width[chunk], n_before[chunk], n_after[chunk])
            for chunk in (slice(at, at + steps) for at in range(0, max(1, len(row)), steps))
        ]
        return Tested(*(np.concatenate([getattr(part, own.name) for part in parts]) for own in fields(Tested)))

    def _test(
        self, row: Integers, place: Integers, width: Integers, all_before: Integers, all_after: Integers
    ) -> Tested:
        from scipy.special import stdtr

        n_before, n_after = np.minimum(all_before, width), np.minimum(all_after, width)

        noise, series = self._noise, self._series[row]
        unit, wander = noise.unit[series], noise.wander[series]
        scale, freedom, bend = self._scales(row, place)
        before = self._side(row, place - 1, -1, n_before)
        after = self._side(row, place, 1, n_after)
        # Noise may grow with the level, as that of a norm does: what lies beside the step counts if it is rougher.
        rough = np.maximum(before.rough, after.rough) / unit
        scale = np.where(rough > _ROUGHER * scale, rough, scale)

        deviation = scale * np.sqrt(wander * _walk(n_before, n_after))
        for side, n in ((before, n_before), (after, n_after)):
            error = side.error / unit
            spread = scale * np.maximum(error, 1.0)
            deviation = np.hypot(deviation, spread * np.sqrt((1.0 - wander / 2.0) * median_variance(n)))
            deviation = np.hypot(deviation, np.where(error > _COMMON * spread, error, 0.0))
        change = after.level - before.level
        size, sign = np.abs(change), np.sign(change)
        remains = sign * (after.at_step - before.at_step)
        leans = size - remains > _LEANS * deviation * unit
        for side, direction in ((before, 1.0), (after, -1.0)):
            remains -= np.maximum(0.0, direction * sign * side.onward)
        # What the trend beside it explains of a change makes it so much less certain.
        share = np.clip(np.divide(remains, size, out=np.ones_like(size), where=size > 0), _REMAINS, 1.0)
        deviation = np.maximum(np.where(leans, _LINE_ERROR * deviation, deviation), bend)
        uncertainty = deviation * unit / share
        evidence = np.divide(size, uncertainty, out=np.zeros_like(size), where=uncertainty > 0)

        # The median of n values has a tail that is (n + 1) / 2 times as steep as that of one.
        steeper = (np.minimum(n_before, n_after) + 1) // 2
        freedom = freedom / (1.0 + freedom * noise.tail[series] / steeper)
        p = np.ones_like(change)
        testable = (freedom > 0) & (share > _REMAINS)
        p[testable] = 2.0 * stdtr(freedom[testable], -evidence[testable])
        return Tested(row, place, before.level, after.level, uncertainty, freedom, p, all_before, all_after)

    def _scales(self, row: Integers, place: Integers) -> tuple[Floats, Floats, Floats]:
        """Scale of a value beside each step, which does not count itself, its degrees of freedom, bend of the trend."""
        every, series = self._every, self._series[row]
        previous, at = self._kept.last[row, place - 1], self._kept.first[row, place]
        start = ((every.last[series] < previous[:, None]) & every.present[series]).sum(axis=1)
        stop = ((every.first[series] < at[:, None]) & every.present[series]).sum(axis=1)
        return *self._noise.without(series, start, stop), self._noise.bend_of(series, start, stop)

    def _side(self, row: Integers, edge: Integers, direction: int, n: Integers) -> _Side:
        """Look at ``n`` observations from ``edge`` on."""
        kept = self._kept
        away = np.arange(int(n.max(initial=1)))
        places = np.clip(edge[:, None] + direction * away, 0, kept.values.shape[1] - 1)
        values, errors = kept.values[row[:, None], places], kept.errors[row[:, None], places]
        level = _median(values, away < n[:, None])
        error = _median(errors, (away < n[:, None]) & (errors > 0))

        inside = np.where(away[1:] < n[:, None], np.diff(values, axis=1), 0.0)
        rough = np.sqrt((inside**2).sum(axis=1) / (2.0 * np.maximum(n - 1, 1)))

        half = n // 2
        near, far = (
            _median(values, away < half[:, None]),
            _median(values, (away >= (n - half)[:, None]) & (away < n[:, None])),
        )
        line = near + (near - far) * (half / 2.0) / np.maximum(n - half, 1)
        following = edge + direction
        there = (following >= 0) & (following < kept.counts[row])
        onward = kept.values[row, edge] - kept.values[row, np.clip(following, 0, kept.values.shape[1] - 1)]
        long = n >= _LINE
        return _Side(
            level,
            np.where(n > _TWO, rough, 0.0),
            error,
            np.where(long, line, level),
            np.where(there & ~long, onward, 0.0),
        )


def _median(values: Floats, counted: Flags) -> Floats:
    """Medians of what is counted in each row; 0 of nothing."""
    return middle(np.sort(np.where(counted, values, np.inf), axis=1), counted.sum(axis=1))


def segments(starts: Flags, counts: Integers) -> tuple[Integers, Integers]:
    """Of each observation: where its segment begins, and where it ends (exclusive)."""
    places = np.arange(starts.shape[1])
    begins = np.maximum.accumulate(np.where(starts, places, 0), axis=1)
    ends = np.empty_like(begins)
    ends[:, -1] = counts
    ends[:, :-1] = np.where(starts, places, counts[:, None])[:, 1:]
    return begins, np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]


def _widths(wander: Floats, most: int) -> Integers:
    """Of how many values on each side the levels differ with the least variance, where noise wanders."""
    n = np.arange(1, most + 1)
    white, walk = median_variance(n), _walk(n, n)
    best = [np.argmin((2.0 - own) * white + own * walk) + 1 for own in wander]
    return np.array(best, dtype=np.int64)


def _walk(n_before: Integers, n_after: Integers) -> Floats:
    """Variance of the difference of two neighbouring means in a random walk whose increments have variance 1."""
    return (n_before + 1) * (2 * n_before + 1) / (6.0 * n_before) + (n_after - 1) * (2 * n_after - 1) / (6.0 * n_after)
