"""Singular vectors: which of them are defined, and how localised they are."""

from __future__ import annotations

import math
import sys
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ww_core.errors import NotApplicable

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Vectors = npt.NDArray[Any]


class VectorPairs(NamedTuple):
    """The singular values of each entry, over a power of two, and which of them have vectors of their own.

    Attributes:
        values: Shape (B, M).
        floor: The noise floor, in their unit.
        tolerance: Values that are no farther apart share a space.
        is_first: Whether a value is not in the space of the one before, shape (B, M).
        is_real: Whether an entry is real, shape (B,).
    """

    values: Floats
    floor: float
    tolerance: float
    is_first: Flags
    is_real: Flags

    @classmethod
    def of(cls, left: Vectors, right: Vectors, matrix: Vectors, noise_floor: float) -> VectorPairs:
        """Find the values, ``|W v|``, of all pairs of vectors.

        Raises:
            NotApplicable: The matrix is zero.
        """
        parts = np.ascontiguousarray(matrix).view(np.float64)
        exponent = math.frexp(float(np.abs(parts).max()))[1]
        scaled = np.ldexp(parts, -exponent)
        if not scaled.any():
            raise NotApplicable("the matrix is zero")
        entries = scaled.view(matrix.dtype)
        values: Floats = np.linalg.norm(entries @ right, axis=1)
        # Rounding turns a vector into a neighbour by about the rounding of one weight over the gap between them.
        floor = math.ldexp(noise_floor, -exponent)
        of_weights = 4.0 * floor / (math.sqrt(left.shape[1]) + math.sqrt(right.shape[1]))
        tolerance = max(of_weights, 16.0 * sys.float_info.epsilon * float(values.max()))
        is_first = np.ones(values.shape, np.bool_)
        is_first[:, 1:] = values[:, :-1] - values[:, 1:] > tolerance
        is_real = np.ones(len(values), np.bool_)
        if np.iscomplexobj(entries):  # those of frequencies that are their own conjugates are real
            is_real = np.abs(entries.imag).max(axis=(1, 2)) <= 1e-12 * np.abs(entries.real).max(axis=(1, 2))
        return cls(values, floor, tolerance, is_first, is_real)

    @property
    def is_alone(self) -> Flags:
        """Whether a value has a vector of its own, shape (B, M)."""
        alone = self.is_first.copy()
        alone[:, :-1] &= self.is_first[:, 1:]
        return alone

    def split(self, multiplicities: npt.NDArray[np.int64], n_tail: int, hard_rank: int) -> tuple[Floats, Floats]:
        """Weights of the pairs in the tail and in the bulk, shape (B, M) each: how often they count, or 0."""
        of_pairs = np.repeat(multiplicities, self.values.shape[1])
        order = np.argsort(-self.values, axis=None, kind="stable")
        in_order = np.empty(of_pairs.size, np.int64)
        in_order[order] = np.cumsum(of_pairs[order])
        ranks: npt.NDArray[np.int64] = in_order.reshape(self.values.shape)
        counts: Floats = of_pairs.reshape(self.values.shape).astype(np.float64)
        is_tail = ranks <= n_tail
        return np.where(is_tail, counts, 0.0), np.where(~is_tail & (ranks <= hard_rank), counts, 0.0)


class Localization(NamedTuple):
    """How localised vectors are; those of a common space all as its mean.

    Attributes:
        n: Length of the vectors.
        ipr: Inverse participation ratios, shape (B, M).
        localization: The same over those of random vectors.
        entropy: In nats.
    """

    n: int
    ipr: Floats
    localization: Floats
    entropy: Floats

    @classmethod
    def of(cls, vectors: Vectors, is_first: Flags, is_real: Flags) -> Localization:
        """Average the moments of unit vectors, shape (B, n, M), over the spaces that they span."""
        from scipy.special import digamma, xlogy

        n = vectors.shape[1]
        ipr, entropy = np.empty(is_first.shape), np.empty(is_first.shape)
        for entry, squares in enumerate(_squares(vectors)):
            starts = np.flatnonzero(is_first[entry])
            d = np.diff(starts, append=is_first.shape[1])
            projector = np.add.reduceat(squares, starts, axis=1)
            h = 0.5 if is_real[entry] else 1.0  # of |c|**2, which has a beta distribution with h and h (d - 1)
            fourth = np.square(projector).sum(axis=0) * (h + 1.0) / (d * (h * d + 1.0))
            logs = -xlogy(projector, projector).sum(axis=0) / d - digamma(h + 1.0) + digamma(h * d + 1.0)
            ipr[entry], entropy[entry] = np.repeat(fourth, d), np.repeat(logs, d)
        random = np.where(is_real, 3.0 / (n + 2.0), 2.0 / (n + 1.0))
        return cls(n, ipr, ipr / random[:, None], entropy)


def _squares(vectors: Vectors) -> Floats:
    squares: Floats = np.square(vectors.real)
    if np.iscomplexobj(vectors):
        squares += np.square(vectors.imag)
    return squares
