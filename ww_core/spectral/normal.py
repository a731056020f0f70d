"""Normal deviates that depend on a key and on their count, and on no release of NumPy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ww_core.spectral.permutation import philox

if TYPE_CHECKING:
    import numpy.typing as npt

BLOCK = 2**18
"""Deviates that are made at once."""


def normal_blocks(n: int, key: bytes, block: int = BLOCK) -> Iterator[npt.NDArray[np.float64]]:
    """Yield n standard normal deviates drawn by ``key``, one block after another.

    Each is the inverse of the normal distribution function at (k + 1/2) / 2**52, where k is the upper 52 bits of the
    next raw word of the counter-based generator Philox, whose bits are fixed by its definition:
    ``Generator.standard_normal`` may change from release to release. Both 0 and 1 are out of reach, so that every
    deviate is finite: the largest is about 8.2.

    Args:
        n: How many.
        key: Any bytes; equal keys give equal deviates.
        block: How many at once; no deviate depends on it.

    Yields:
        Arrays of ``block`` deviates, the last one of the rest.
    """
    from scipy.special import ndtri

    words = philox(key)
    for start in range(0, n, block):
        drawn = words.random_raw(min(block, n - start)) >> np.uint64(12)
        uniform = drawn.astype(np.float64)
        uniform += 0.5
        uniform *= 2.0**-52
        yield ndtri(uniform, out=uniform)
