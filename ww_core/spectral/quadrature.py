"""Nodes of numerical integration."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]


@functools.cache
def gauss_legendre(count: int) -> tuple[Floats, Floats]:
    """Return the nodes and weights of Gauss and Legendre on [0, 1], read-only."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    nodes, weights = (nodes + 1.0) / 2.0, weights / 2.0
    nodes.flags.writeable = weights.flags.writeable = False
    return nodes, weights
