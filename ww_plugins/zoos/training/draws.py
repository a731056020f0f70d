"""Random numbers that depend on a seed and a purpose alone: not on how many networks or processes work together.

They are made from raw bits of Philox, so that no release of NumPy changes them.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

TRUNCATED_AT = 2.0
"""Standard deviations beyond which a truncated normal has nothing, as Keras defines it."""


class Draws:
    """A stream of random bits.

    Args:
        seed: The seed.
        purpose: What they are for, such as ``order``; streams for two purposes have nothing in common.
        numbers: What else tells a stream from others, such as the epoch.
    """

    def __init__(self, seed: int, purpose: str, *numbers: int) -> None:
        text = "/".join(map(str, (seed, purpose, *numbers)))
        key = hashlib.blake2b(text.encode(), digest_size=16).digest()
        self._bits = np.random.Philox(key=int.from_bytes(key, "little"))

    def bytes(self, count: int) -> npt.NDArray[np.uint8]:
        """Return that many bytes, each value equally likely, shape (count,)."""
        words = self._raw(-(-count // 8)).astype("<u8")  # little-endian, so that the bytes are those of any machine
        return words.view(np.uint8)[:count]

    def uniform(self, count: int) -> npt.NDArray[np.float64]:
        """Return numbers from the interval (0, 1), shape (count,): odd multiples of 2**-54."""
        return np.asarray(((self._raw(count) >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53)

    def normal(self, count: int) -> npt.NDArray[np.float64]:
        """Return standard normal numbers, shape (count,), by the inverse of the distribution function."""
        from scipy.special import ndtri

        return np.asarray(ndtri(self.uniform(count)))

    def truncated_normal(self, count: int) -> npt.NDArray[np.float64]:
        """Return standard normal numbers, given that they lie in [-2, 2], shape (count,)."""
        from scipy.special import ndtr, ndtri

        outside = ndtr(-TRUNCATED_AT)
        return np.asarray(ndtri(outside + self.uniform(count) * (1 - 2 * outside)))

    def permutation(self, count: int) -> npt.NDArray[np.int64]:
        """Return the numbers from 0 to count - 1 in random order."""
        return np.argsort(self._raw(count), kind="stable").astype(np.int64)

    def _raw(self, count: int) -> npt.NDArray[np.uint64]:
        raw: Any = self._bits.random_raw(count)
        return np.asarray(raw, dtype=np.uint64)
