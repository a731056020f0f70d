"""Series that drift smoothly, freed from their trend."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ww_core.change_points.middle import middle

if TYPE_CHECKING:
    import numpy.typing as npt

    from ww_core.change_points.observations import Observations

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]

_SMOOTH = 0.5
"""A series drifts where second differences say less than this share of the noise that first ones say."""
_NEIGHBOURS = 4
"""The slope at a difference is the median of so many others, the nearest ones."""


@dataclass(frozen=True, slots=True)
class Detrended:
    """Series of which those that drift are freed from their trend.

    Attributes:
        observed: The observations; the values of a series that drifts are what is left of it.
        trend: Shape (series, observations): what was taken off; 0 of a series that does not drift.
        bend: Shape (series, observations - 1): how much the slopes beside each difference differ; 0 likewise.
        drifts: Shape (series,): which series drift.
    """

    observed: Observations
    trend: Floats
    bend: Floats
    drifts: Flags


def detrend(observed: Observations) -> Detrended:
    """Take the trend off series that drift.

    In white noise the second differences of a series have 3 times the variance of the first, in a random walk twice; in
    a smooth drift they are much smaller. The trend at a difference goes on as at the nearest others, so that neither a
    step nor an outlier bends it. An observation between two versions that are further apart had more time to drift.

    Args:
        observed: All observations.
    """
    values, counts = observed.values, observed.counts
    trend, bend = np.zeros_like(values), np.zeros((len(values), max(0, values.shape[1] - 1)))
    elapsed = _elapsed(observed)
    slopes = np.diff(values, axis=1) / elapsed
    drifts = _drifts(slopes, counts - 1)
    drifting = np.flatnonzero(drifts)
    if drifting.size:
        slope, spread = _around(slopes[drifting], counts[drifting] - 1)
        trend[drifting, 1:] = np.cumsum(slope * elapsed[drifting], axis=1)
        bend[drifting] = spread * elapsed[drifting]
    freed = np.where(observed.present, values - trend, 0.0)
    return Detrended(dataclasses.replace(observed, values=freed), trend, bend, drifts)


def _elapsed(observed: Observations) -> Floats:
    """Shape (series, observations - 1): versions from each observation to the next, of those that any series has."""
    first, last, present = observed.first, observed.last, observed.present
    seen = np.zeros(int(last.max(initial=0)) + 1, dtype=np.bool_)
    for run in (first, last):
        seen[run[present]] = True
    rank = np.cumsum(seen)
    elapsed: Floats = np.where(present[:, 1:], rank[first[:, 1:]] - rank[last[:, :-1]], 1).astype(np.float64)
    return elapsed


def _drifts(slopes: Floats, counts: Integers) -> Flags:
    """Which series drift, shape (series,)."""
    if slopes.shape[1] <= _NEIGHBOURS:
        return np.zeros(len(slopes), dtype=np.bool_)
    first, second = _median_size(slopes, counts), _median_size(np.diff(slopes, axis=1), counts - 1)
    smooth: Flags = (counts > _NEIGHBOURS) & (second < _SMOOTH * np.sqrt(3.0) * first)
    return smooth


def _median_size(values: Floats, counts: Integers) -> Floats:
    """Median of the absolute first ``counts`` entries of each row."""
    there = np.arange(values.shape[1]) < counts[:, None]
    return middle(np.sort(np.where(there, np.abs(values), np.inf), axis=1), counts)


def _around(slopes: Floats, counts: Integers) -> tuple[Floats, Floats]:
    """Median of the nearest other slopes of each, and the width of the closest three of them."""
    places = np.arange(slopes.shape[1])
    start = np.clip(places - _NEIGHBOURS // 2, 0, np.maximum(counts[:, None] - 1 - _NEIGHBOURS, 0))
    window = np.minimum(start[:, :, None] + np.arange(_NEIGHBOURS + 1), slopes.shape[1] - 1)
    near = np.take_along_axis(slopes[:, None, :], window, axis=2)
    near = np.sort(np.where(window == places[:, None], np.inf, near), axis=2)
    slope = (near[..., 1] + near[..., 2]) / 2.0
    spread = np.minimum(near[..., 2] - near[..., 0], near[..., 3] - near[..., 1])
    there = places < counts[:, None]
    return np.where(there, slope, 0.0), np.where(there, spread, 0.0)
