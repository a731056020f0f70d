"""A metric: how unequal the singular values of a matrix are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import ww_core as ww

if TYPE_CHECKING:
    import numpy.typing as npt


@ww.metric(version="1")
def object_name(singular_values: npt.NDArray[np.float64]) -> float:
    """Gini coefficient of the singular values: 0 where all are equal, near 1 where one is all there is.

    C. Gini, "Variabilità e mutabilità", 1912.
    """
    if singular_values.size == 0 or singular_values[0] == 0.0:
        raise ww.NotApplicable("no singular value is above zero")
    n = singular_values.size
    shares = singular_values / singular_values[0]  # of the largest one, so that no sum is too large
    ranks = np.arange(1, n + 1)  # 1 is the largest: singular values come in descending order
    return float((n + 1 - 2.0 * (ranks @ shares) / shares.sum()) / n)


@ww.hookimpl
def ww_register_metrics() -> list[ww.Quantity]:
    """The metrics of this plugin."""
    return [object_name]
