"""Edges of bins that a reader can name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
"""Widths of bins, times a power of ten."""


def round_bins(values: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.float64]:
    """Return edges around values: equally wide, at round numbers, of at most about ``count`` bins.

    Args:
        values: 1-D, finite, at least one.
        count: How many bins are wanted.
    """
    low, high = float(values.min()), float(values.max())
    width = high / count - low / count  # the range itself may be too large for a float
    if not width > 1e-9 * max(abs(low), abs(high)):
        width = 0.1 * max(abs(low), abs(high)) or 1.0
    power = 10.0 ** np.floor(np.log10(width))
    if not power > 0:
        return np.linspace(low, high, count + 1)
    step = next((own * power for own in STEPS if own * power >= width), 10.0 * power)
    first, last = np.floor(low / step), np.ceil(high / step)
    most = np.finfo(np.float64).max / max(step, 1.0)  # an edge beyond the largest float is that one
    edges = np.clip(np.arange(first, max(last, first + 1) + 1), -most, most) * step
    edges[0], edges[-1] = min(edges[0], low), max(edges[-1], high)  # rounding must leave nothing out
    return np.asarray(edges)
