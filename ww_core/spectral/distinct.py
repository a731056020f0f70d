"""What tails are fitted to: the distinct eigenvalues above a floor, and how many there are of each."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ww_core.errors import NotApplicable, Refused

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

BINS = 100


class Distinct(NamedTuple):
    """Ascending distinct values with their counts.

    Attributes:
        values: Shape (n,), n at least 2; the smallest value of each group of ties.
        n_tail: Values not below each, ties counted.
        counts: Values equal to each.
        largest: The largest value of the data, which may be the end of the last group.
    """

    values: Floats
    n_tail: Floats
    counts: Floats
    largest: float

    @classmethod
    def of(cls, eigenvalues: Floats, *, floor: float = 0.0, tie_tolerance: float = 0.0) -> Distinct:
        """Sort the values, leave out what is not above the floor, and join neighbours not farther apart than told.

        Raises:
            NotApplicable: There are fewer than two distinct values.
            Refused: A value is NaN or infinite.
        """
        kept = np.array(eigenvalues, dtype=np.float64)
        kept.sort()
        if kept.size and not (math.isfinite(kept[0]) and math.isfinite(kept[-1])):  # NaN are sorted to the end
            bad = kept.size - np.count_nonzero(np.isfinite(kept))
            raise Refused(f"{bad} of {kept.size} eigenvalues are NaN or infinite")
        kept = kept[kept.searchsorted(max(floor, 0.0), side="right") :]
        values, n_tail = kept, np.arange(kept.size, 0.0, -1.0)
        apart = np.greater(kept[1:] - kept[:-1], tie_tolerance)
        if np.count_nonzero(apart) < apart.size:
            leads = np.append(True, apart)
            values, n_tail = values[leads], n_tail[leads]
        if values.size < 2:
            found = "all eigenvalues above the floor are equal" if values.size else "no eigenvalue is above the floor"
            raise NotApplicable(f"{found}: a tail needs two distinct ones")
        counts = n_tail.copy()
        np.subtract(n_tail[:-1], n_tail[1:], out=counts[:-1])
        return cls(values, n_tail, counts, float(kept[-1]))

    @classmethod
    def counted(cls, values: Floats, counts: Floats) -> Distinct:
        """Of ascending values with counts, of which some may be 0; at least two must not be."""
        present = counts.nonzero()[0]
        values, counts = values[present], counts[present]
        return cls(values, counts[::-1].cumsum()[::-1], counts, float(values[-1]))

    def starts_within(self, low: float, high: float) -> tuple[int, int]:
        """Return the range (first, end) of the starts of a tail, all values but the last, in [low, high].

        Raises:
            NotApplicable: There is none.
        """
        starts = self.values[:-1]
        first, end = int(starts.searchsorted(low)), int(starts.searchsorted(high, side="right"))
        if first >= end:
            raise NotApplicable("no eigenvalue in the range given for xmin can be the start of a tail")
        return first, end

    def peak(self) -> float:
        """Return where the histogram of log10 of the values is highest: the lower edge of the fullest of 100 bins.

        Of bins that are equally full the lowest counts. Ties are counted.
        """
        with np.errstate(divide="ignore"):
            logs = np.log10(self.values)
        heights, edges = np.histogram(logs, bins=BINS, weights=self.counts)
        return float(10.0 ** edges[heights.argmax()])

    def around_peak(self) -> tuple[float, float]:
        """Return the range for xmin around the peak: from 0.95 to 1.5 times it, both in the unit of the values."""
        peak = self.peak()
        return 0.95 * peak, 1.5 * peak
