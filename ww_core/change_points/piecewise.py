"""The exact piecewise-constant fit of many series at once, in least absolute deviations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

_CHUNK_BYTES = 4 << 20  # of the table of a chunk; more no longer stays in a core's cache


def piecewise_constant(values: Floats, penalty: Floats, counts: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Fit each series by levels that are constant between steps, in the L1 Potts functional.

    The fit has the smallest sum of absolute deviations plus ``penalty`` for each step. A level that is best for a
    segment, its median, is always one of the values. So the best fit of the first j values that ends on level v costs

        B(j, v) = min(B(j - 1, v), min over u of B(j - 1, u) + penalty) + |y_j - v|,

    and the table of B over all values v of the series finds the exact optimum in O(versions ** 2). Of fits of equal
    cost, the one that goes on without a step is taken. Sums must not overflow: scale the values first.

    Args:
        values: Shape (series, versions), float64. Each row starts with its values; what follows them is ignored.
        penalty: Shape (series,), above 0; unit of the values.
        counts: Shape (series,), int64: how many values each row has, at least one.

    Returns:
        Shape (series, versions), bool: True where a new segment starts, never at the first version.

    Reference:
        F. Friedrich, A. Kempe, V. Liebscher, G. Winkler, Complexity penalized M-estimation: fast computation, Journal
        of Computational and Graphical Statistics 17 (2008). A. Weinmann, M. Storath, L. Demaret, The L1-Potts
        functional for robust jump-sparse reconstruction, SIAM Journal on Numerical Analysis 53 (2015).
    """
    starts = np.zeros(values.shape, dtype=np.bool_)
    rows = max(1, _CHUNK_BYTES // max(1, values.shape[1] ** 2))
    for first in range(0, len(values), rows):
        chunk = slice(first, first + rows)
        starts[chunk] = _fit(values[chunk], penalty[chunk], counts[chunk])
    return starts


def _fit(values: Floats, penalty: Floats, counts: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    series, versions = values.shape
    present = np.arange(versions) < counts[:, None]
    levels = np.where(present, values, values[:, :1])  # a value twice among the levels changes nothing
    each = np.arange(series)
    costs = np.zeros((series, versions))
    stepped = np.zeros((versions, series, versions), dtype=np.bool_)  # did the best fit that ends here step here?
    cheapest = np.zeros((versions, series), dtype=np.intp)  # the level that it then came from
    for at in range(versions):
        if at:
            cheapest[at] = costs.argmin(axis=1)
            after_step = costs[each, cheapest[at]] + penalty
            np.less(after_step[:, None], costs, out=stepped[at])
            np.minimum(costs, after_step[:, None], out=costs)
        deviations = np.abs(levels[:, at, None] - levels)
        deviations *= present[:, at, None]
        costs += deviations
    starts = np.zeros((series, versions), dtype=np.bool_)
    level = costs.argmin(axis=1)
    for at in range(versions - 1, 0, -1):
        starts[:, at] = stepped[at, each, level]
        level = np.where(starts[:, at], cheapest[at], level)
    return starts
