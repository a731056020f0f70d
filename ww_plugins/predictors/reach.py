"""Reach: whether a network is like those that a predictor was made with, and which of them are nearest.

A feature is compared by its place among the training networks: the share of them that is below it. Scales and heavy
tails do not matter then. Beyond the training networks' range the place goes on, by how far beyond it is, so that a
network far away is told from one at the edge.

The distance of a network is its mean distance to its nearest training networks, over what these have to their own
nearest ones: 1 is as dense as the zoo is there. It is the idea of the local outlier factor (M. Breunig and others,
"LOF: Identifying Density-Based Local Outliers", 2000) without its smoothing. The calibration networks' distances say
what is usual: the share that is at least as far is a conformal p-value, which is below a rate at most that often for
networks of the zoo. docs/reference/predictors.md has what other definitions gave.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

import ww_core as ww

if TYPE_CHECKING:
    import numpy.typing as npt

    from ww_plugins.predictors.predictor import Predictor

NEAREST = 5
"""How many training networks a network is compared with."""

STEP_OUTSIDE = 0.25
"""What leaving the range by anything counts, in places: untrained networks leave it by little and in many features."""

NO_SPREAD = 1e-9
"""A feature whose range is below this share of its size is constant: the rest is rounding."""

LEAST_DISTANCE = 1e-12
"""Stands for the distance among copies of one network, which is 0."""

DECIMALS = 12
"""Distances are compared to so many decimals: beyond them is rounding."""

ROWS_AT_ONCE = 256

FEATURES_NAMED = 3


@dataclass(frozen=True, slots=True)
class OutOfRange:
    """A feature that is outside the range of the training networks, in the unit of the feature.

    Attributes:
        name: Name of the feature.
        value: What the network has.
        low: The smallest value of a training network.
        high: The largest one.
    """

    name: str
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Near:
    """A training network that is near.

    Attributes:
        network: Its number in the zoo.
        distance: Mean difference of places over the features: 0 is a copy.
        target: What was measured, in the unit of the target.
    """

    network: int
    distance: float
    target: float


@dataclass(frozen=True, slots=True)
class Reach:
    """Whether a network is inside the family that a predictor was made with.

    Attributes:
        outside_ranges: The features outside the training networks' range, in the order of the features. They alone do
            not make a network an outsider: of many features, some network of the zoo leaves the range of some.
        distance: How many times as far the network is from its nearest training networks as these are from theirs; inf
            if a feature is not finite, or differs where all training networks have one value.
        p_value: Share of the calibration networks, and the network itself, that are at least as far.
        nearest: The nearest training networks, nearest first.
        inside: Whether nothing speaks against it: its features are finite, and its p-value is above the rate.
        reasons: What speaks against it, one sentence each.
        note: A sentence, if there are too few calibration networks for the rate; else empty.
    """

    outside_ranges: tuple[OutOfRange, ...]
    distance: float
    p_value: float
    nearest: tuple[Near, ...]
    inside: bool
    reasons: tuple[str, ...]
    note: str = ""


def reach_of(features_row: npt.NDArray[np.float64], predictor: Predictor, rate: float = 0.01) -> Reach:
    """Return whether a network is inside the family that a predictor was made with.

    The first call for a predictor compares its networks with one another, and later ones use that again.

    Args:
        features_row: The network's features, shape (k,), in the order and units of the predictor's.
        predictor: The predictor.
        rate: Share of networks of the zoo that may be taken for outsiders, between 0 and 1, both excluded.

    Returns:
        What was found. With n calibration networks a rate below 1 / (n + 1) cannot be kept: a network is then outside
        if it is farther than all of them, and the note says how often that happens.

    Raises:
        UsageError: The rate is not between 0 and 1, or the features are not as many as the predictor's.
    """
    share = _share(rate)
    row = np.asarray(features_row, np.float64)
    if row.shape != (len(predictor.names),):
        raise ww.UsageError(f"the network has {row.size} features, the predictor {len(predictor.names)}")
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # enormous features end as infinite distances
        family = _family_of(predictor)
        distance, near, apart = family.seen(row)
    calibration = family.usual
    as_far = int((calibration >= distance).sum())
    p_value = (1 + as_far) / (len(calibration) + 1)
    ranges = family.outside(row, predictor.names)
    is_far = as_far == 0 or 1 + as_far <= (len(calibration) + 1) * share
    reasons = _not_finite(row, predictor.names)
    if not reasons and is_far:
        reasons = _not_constant(family, row, predictor.names)
    if not reasons and is_far and len(calibration):
        reasons = [_far(distance, as_far, len(calibration), ranges)]
    nearest = tuple(
        Near(int(predictor.training.networks[place]), float(far), float(predictor.training.targets[place]))
        for place, far in zip(near, apart, strict=True)
    )
    return Reach(ranges, distance, p_value, nearest, not reasons, tuple(reasons), _note(len(calibration), share))


def inside_of(features: npt.NDArray[np.float64], predictor: Predictor, rate: float = 0.01) -> npt.NDArray[np.bool_]:
    """Return which networks are inside the family, bool, shape (n,): what `reach_of` says of each, for all at once.

    Args:
        features: Features of the networks, finite, shape (n, k), in the order and units of the predictor's.
        predictor: The predictor.
        rate: As of `reach_of`.

    Raises:
        UsageError: The rate is not between 0 and 1.
    """
    share = _share(rate)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        family = _family_of(predictor)
        distances = family.distances_of(features)
    networks = len(family.usual)
    as_far = (family.usual >= distances[:, None]).sum(axis=1)
    is_far = (as_far == 0) | (1 + as_far <= int((networks + 1) * share))
    is_inside: npt.NDArray[np.bool_] = ~(is_far & (bool(networks) | family.differs(features).any(axis=1)))
    return is_inside


class _Family:
    """The training networks, by the places of their features, and what distances are usual."""

    def __init__(self, training: npt.NDArray[np.float64], calibration: npt.NDArray[np.float64]) -> None:
        self.low, self.high = training.min(axis=0), training.max(axis=0)
        self.is_constant = self.high - self.low <= NO_SPREAD * np.maximum(np.abs(self.low), np.abs(self.high))
        self.sorted = np.sort(training[:, ~self.is_constant], axis=0)
        self.middle = np.median(self.sorted, axis=0)
        self.scale = _scales(self.sorted)
        self.training = self.places(training)
        self.own = self._own_distances()
        self.usual = self.distances_of(calibration)

    def places(self, features: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the places of features that are not constant, shape (n, kept): 0 to 1 within the range."""
        values = features[:, ~self.is_constant]
        places = np.empty(values.shape)
        for column, own in enumerate(self.sorted.T):
            below = np.searchsorted(own, values[:, column], "left")
            not_above = np.searchsorted(own, values[:, column], "right")
            places[:, column] = (below + not_above) / (2 * len(own))
        for sign, end in ((1, self.sorted[-1]), (-1, self.sorted[0])):
            beyond = self._bent(sign * (values - self.middle)) - self._bent(sign * (end - self.middle))
            places += sign * np.where(beyond > 0, STEP_OUTSIDE + beyond, 0)
        return places

    def seen(self, row: npt.NDArray[np.float64]) -> tuple[float, list[int], npt.NDArray[np.float64]]:
        """Return a network's distance, the places of its nearest training networks, and how far each is."""
        is_finite = np.isfinite(row)
        kept = is_finite[~self.is_constant]
        place = self.places(np.where(is_finite, row, 0)[None])[:, kept]
        apart = _apart(place, self.training[:, kept])[0]
        near, distance = self._nearest(apart)
        if not is_finite.all() or self.differs(row).any():
            distance = np.inf
        return distance, near.tolist(), apart[near]

    def differs(self, row: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """Return of which features all training networks have one value, and a network, or each of several, another."""
        slack = NO_SPREAD * np.maximum(np.abs(self.low), np.abs(self.high))
        result: npt.NDArray[np.bool_] = self.is_constant & ((row < self.low - slack) | (row > self.high + slack))
        return result

    def outside(self, row: npt.NDArray[np.float64], names: tuple[str, ...]) -> tuple[OutOfRange, ...]:
        """Return the features outside the range."""
        is_outside = np.where(self.is_constant, self.differs(row), (row < self.low) | (row > self.high))
        return tuple(
            OutOfRange(names[at], float(row[at]), float(self.low[at]), float(self.high[at]))
            for at in np.flatnonzero(is_outside).tolist()
        )

    def distances_of(self, features: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the distances of finite networks, shape (n,), all of them placed at once."""
        distances = np.full(len(features), np.inf)
        for start in range(0, len(features), ROWS_AT_ONCE):
            rows = features[start : start + ROWS_AT_ONCE]
            for at, apart in enumerate(_apart(self.places(rows), self.training)):
                if not self.differs(rows[at]).any():
                    distances[start + at] = self._nearest(apart)[1]
        return distances

    def _nearest(self, apart: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.int64], float]:
        """Return the nearest training networks and the distance, given how far each training network is.

        Places are multiples of one fraction, so many networks are as far as others but for rounding: of those the one
        with the nearest others comes first, whatever their order.
        """
        near = np.lexsort((self.own, apart.round(DECIMALS)))[:NEAREST]
        return near, float(apart[near].mean() / max(self.own[near].mean(), LEAST_DISTANCE))

    def _bent(self, away: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return how far values are from the middle, so that ten times as far is a step and not ten times as much."""
        bent: npt.NDArray[np.float64] = np.arcsinh(away / self.scale)
        return bent

    def _own_distances(self) -> npt.NDArray[np.float64]:
        """Return each training network's mean distance to its nearest others, 0 if it is alone."""
        count = len(self.training)
        nearest = min(NEAREST, count - 1)
        own = np.zeros(count)
        for start in range(0, count if nearest else 0, ROWS_AT_ONCE):
            apart = _apart(self.training[start : start + ROWS_AT_ONCE], self.training)
            rows = np.arange(len(apart))
            apart[rows, start + rows] = np.inf
            own[start : start + len(apart)] = np.partition(apart, nearest - 1, axis=1)[:, :nearest].mean(axis=1)
        return own.round(DECIMALS)


def _share(rate: float) -> Fraction:
    """Return a rate as the decimal number that it is written as.

    Raises:
        UsageError: It is not between 0 and 1.
    """
    if not 0 < rate < 1:
        raise ww.UsageError(f"rate {rate} is not between 0 and 1: name a share such as 0.01")
    return Fraction(repr(float(rate)))


_FAMILIES: WeakKeyDictionary[Predictor, _Family] = WeakKeyDictionary()


def _family_of(predictor: Predictor) -> _Family:
    if predictor not in _FAMILIES:
        _FAMILIES[predictor] = _Family(predictor.training.features, predictor.calibration.features)
    return _FAMILIES[predictor]


def _scales(columns: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the interquartile range of each column, or where most values are equal its mean absolute deviation."""
    quarters = np.percentile(columns, [25, 75], axis=0)
    between = quarters[1] - quarters[0]
    around = np.abs(columns - columns.mean(axis=0)).mean(axis=0)
    scales: npt.NDArray[np.float64] = np.where(between > NO_SPREAD * np.ptp(columns, axis=0), between, around)
    return scales


def _apart(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the mean absolute differences of all pairs, shape (len(one), len(other))."""
    from scipy.spatial.distance import cdist

    if one.shape[1] == 0:
        return np.zeros((len(one), len(other)))
    apart: npt.NDArray[np.float64] = cdist(one, other, "cityblock") / one.shape[1]
    return apart


def _not_finite(row: npt.NDArray[np.float64], names: tuple[str, ...]) -> list[str]:
    bad = [names[at] for at in np.flatnonzero(~np.isfinite(row)).tolist()]
    return [f"{_listed(bad)} {'is' if len(bad) == 1 else 'are'} not finite."] if bad else []


def _not_constant(family: _Family, row: npt.NDArray[np.float64], names: tuple[str, ...]) -> list[str]:
    places = np.flatnonzero(family.differs(row) & np.isfinite(row)).tolist()
    if not places:
        return []
    own = _listed([f"{names[at]} ({row[at]:.4g}, there {family.low[at]:.4g})" for at in places])
    return [f"All training networks have one value where this network has another: {own}."]


def _far(distance: float, as_far: int, networks: int, ranges: tuple[OutOfRange, ...]) -> str:
    outside = f"; outside their range: {_listed([own.name for own in ranges])}" if ranges else ""
    return (
        f"It is {distance:.3g} times as far from the nearest training networks as they are from theirs; "
        f"{as_far or 'none'} of {networks} calibration networks {'is' if as_far == 1 else 'are'} as far{outside}."
    )


def _note(networks: int, share: Fraction) -> str:
    """Return what is to be said if a rate cannot be kept with so many calibration networks; else nothing."""
    least = ceil(1 / share) - 1
    if networks >= least:
        return ""
    if networks == 0:
        return "No calibration networks say which distance is usual, so it is not judged."
    return (
        f"A rate of {100 * float(share):g} % takes {least} calibration networks, and there "
        f"{'is' if networks == 1 else 'are'} {networks}: a network is outside if it is farther than all of them, as "
        f"{100 / (networks + 1):.2g} % of the zoo's networks are."
    )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - FEATURES_NAMED} more" if len(names) > FEATURES_NAMED else ""
    return ", ".join(names[:FEATURES_NAMED]) + more
