"""Medians of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]


def middle(ascending: Floats, counts: Integers) -> Floats:
    """Medians of the first ``counts`` entries of ascending rows; 0 of none."""
    if not ascending.shape[1]:
        return np.zeros(len(ascending))
    each, highest = np.arange(len(ascending)), np.maximum(counts - 1, 0)
    low, high = ascending[each, highest // 2], ascending[each, highest - highest // 2]
    return np.where(counts > 0, low / 2 + high / 2, 0.0)
