"""Permutations that depend on a key and on nothing else, not even on NumPy's release."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt


def permutation(n: int, key: bytes) -> npt.NDArray[np.int64]:
    """Return a permutation of 0 .. n - 1 drawn by ``key``.

    It is the stable order of n raw 64-bit words of the counter-based generator Philox, whose bits are fixed by its
    definition; ``Generator.permutation`` may change from release to release.

    Args:
        n: Length.
        key: Any bytes; equal keys give equal permutations.
    """
    words = philox(key).random_raw(n)
    return np.argsort(words, kind="stable").astype(np.int64, copy=False)


def philox(key: bytes) -> np.random.Philox:
    """Return the counter-based generator of a key, at its first word."""
    return np.random.Philox(key=int.from_bytes(hashlib.blake2b(key, digest_size=16).digest(), "little"))


def permuted(entries: npt.NDArray[Any], key: bytes) -> npt.NDArray[Any]:
    """Return a copy of ``entries``, shape (B, rows, cols), with all elements of the batch permuted by ``key``.

    Memory: the copy in the stored dtype and about 16 bytes per element for the permutation.
    """
    return entries.reshape(-1)[permutation(entries.size, key)].reshape(entries.shape)
