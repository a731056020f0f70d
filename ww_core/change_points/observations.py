"""The values of series without their gaps and repetitions, packed to the left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]

ROUNDING = 1e-10
"""Two neighbours that differ by less, relative to their size, are one value: so far do routes of computing agree."""


@dataclass(frozen=True, slots=True)
class Observations:
    """What was observed of each series: a run of versions with one value is one observation.

    A version that left a layer as it was says nothing about noise, nor does it make a level more certain.

    Attributes:
        values: Shape (series, observations), float64; 0 behind the last one of a series.
        errors: The same shape: the standard error of each value, NaN where there is none.
        first: The same shape, int64: the first version of each run.
        last: The same shape, int64: its last version.
        counts: Shape (series,), int64: observations of each series.
    """

    values: Floats
    errors: Floats
    first: Integers
    last: Integers
    counts: Integers

    @property
    def present(self) -> Flags:
        """Shape (series, observations): which entries are observations."""
        return np.arange(self.values.shape[1]) < self.counts[:, None]

    def rows(self, chosen: Integers) -> Observations:
        """Only the given series."""
        return Observations(
            self.values[chosen], self.errors[chosen], self.first[chosen], self.last[chosen], self.counts[chosen]
        )

    def only(self, kept: Flags) -> Observations:
        """Only the observations that are marked, shape (series, observations), packed anew."""
        kept = kept & self.present
        counts = kept.sum(axis=1)
        order = np.argsort(~kept, axis=1, kind="stable")[:, : int(counts.max(initial=0))]
        filled = np.arange(order.shape[1]) < counts[:, None]
        values, errors, first, last = (
            np.where(filled, np.take_along_axis(entries, order, axis=1), 0)
            for entries in (self.values, self.errors, self.first, self.last)
        )
        return Observations(values, errors, first, last, counts)


def observe(values: Floats, errors: Floats) -> Observations:
    """Leave out what is not finite, and join runs of equal values.

    Args:
        values: Shape (series, versions), float64.
        errors: The same shape; NaN or not above 0 where there is none.
    """
    versions = np.broadcast_to(np.arange(values.shape[1]), values.shape)
    whole = Observations(values, errors, versions, versions, np.full(len(values), values.shape[1]))
    found = whole.only(np.isfinite(values))
    before, after = found.values[:, :-1], found.values[:, 1:]
    leads = np.ones(found.values.shape, dtype=np.bool_)
    leads[:, 1:] = np.abs(after - before) > ROUNDING * np.maximum(np.abs(before), np.abs(after))
    # The last version of a run stands before the next lead: read from the right, the last one that was seen.
    tails = np.ones(found.values.shape, dtype=np.bool_)
    tails[:, :-1] = leads[:, 1:]
    tails[:, :-1] |= ~found.present[:, 1:]
    runs = found.only(leads)
    return Observations(runs.values, runs.errors, runs.first, found.only(tails).last, runs.counts)
