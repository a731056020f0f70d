"""How localised singular vectors are: whether a few units make them, or all alike."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

import ww_core as ww

Floats = npt.NDArray[np.float64]
Vectors = npt.NDArray[Any]

VECTORS = {"left": "left_singular_vectors", "right": "right_singular_vectors"}


@dataclass(frozen=True)
class TopVector:
    """Columns of the pair of singular vectors with the largest singular value."""

    top_ipr_left: float = ww.column(doc="Inverse participation ratio of the first left vector, 1 / n_rows to 1")
    top_ipr_right: float = ww.column(doc="Inverse participation ratio of the first right vector, 1 / n_cols to 1")
    top_localization_left: float = ww.column(doc="top_ipr_left over the mean of random unit vectors; 1 for noise")
    top_localization_right: float = ww.column(doc="top_ipr_right over the mean of random unit vectors; 1 for noise")
    top_vector_entropy_left: float = ww.column(doc="Entropy of the squares of the first left vector over ln(n_rows)")
    top_vector_entropy_right: float = ww.column(doc="Entropy of the squares of the first right vector over ln(n_cols)")
    top_gap: float = ww.column(doc="Distance of the largest singular value from the next one, over the largest")


@dataclass(frozen=True)
class TailVectors:
    """Columns of the means over the vectors of the power-law tail, and over those of the bulk below it."""

    tail_localization_left: float = ww.column(doc="Mean over the tail of the localization of left vectors")
    tail_localization_right: float = ww.column(doc="Mean over the tail of the localization of right vectors")
    bulk_localization_left: float = ww.column(doc="Mean over the bulk of the localization of left vectors")
    bulk_localization_right: float = ww.column(doc="Mean over the bulk of the localization of right vectors")
    tail_vector_entropy_left: float = ww.column(doc="Mean over the tail of the entropy of left vectors, 0 to 1")
    tail_vector_entropy_right: float = ww.column(doc="Mean over the tail of the entropy of right vectors, 0 to 1")
    bulk_vector_entropy_left: float = ww.column(doc="Mean over the bulk of the entropy of left vectors, 0 to 1")
    bulk_vector_entropy_right: float = ww.column(doc="Mean over the bulk of the entropy of right vectors, 0 to 1")


@dataclass(frozen=True)
class VectorRatios:
    """Columns under WeightWatcher's names, of the vectors of the shorter side."""

    tail_mean_loc_ratio: float = ww.column(doc="Mean over the tail of |v|_1 / |v|_inf, 1 to n")
    tail_var_loc_ratio: float = ww.column(doc="Variance over the tail of |v|_1 / |v|_inf")
    bulk_mean_loc_ratio: float = ww.column(doc="Mean over the bulk of |v|_1 / |v|_inf, 1 to n")
    bulk_var_loc_ratio: float = ww.column(doc="Variance over the bulk of |v|_1 / |v|_inf")
    tail_mean_part_ratio: float = ww.column(doc="Mean over the tail of |v|_2 / |v|_4, 1 to n^(1/4)")
    tail_var_part_ratio: float = ww.column(doc="Variance over the tail of |v|_2 / |v|_4")
    bulk_mean_part_ratio: float = ww.column(doc="Mean over the bulk of |v|_2 / |v|_4, 1 to n^(1/4)")
    bulk_var_part_ratio: float = ww.column(doc="Variance over the bulk of |v|_2 / |v|_4")


@ww.metric(version="1", batched=True, on_request=True, needs=VECTORS)
def top_vector(left: Vectors, right: Vectors, matrix: Vectors, noise_floor: float) -> TopVector:
    """How many units make the first singular vector: inverse participation ratio and entropy, left and right.

    The inverse participation ratio of a unit vector is IPR = sum(|v_i|**4): 1 for a single unit, 1 / n if all are
    alike. Its mean over random unit vectors is 3 / (n + 2), over complex ones 2 / (n + 1); top_localization is IPR over
    that mean. The entropy is -sum(p_i ln p_i) / ln(n) with p_i = |v_i|**2, from 0 for a single unit to 1. Left vectors
    are over the rows, which are the outputs of a layer; right ones over the columns. Of several entries, as kernel
    slices and frequencies, it is the one with the largest singular value.

    R. J. Bell, P. Dean, Discussions of the Faraday Society 50 (1970); F. Wegner, Zeitschrift fuer Physik B 36 (1980);
    the law of random vectors C. E. Porter, R. G. Thomas, Physical Review 104 (1956); for weights C. H. Martin,
    M. W. Mahoney, Journal of Machine Learning Research 22 (2021).

    Args:
        left: Columns, shape (B, rows, M).
        right: Columns, shape (B, cols, M).
        matrix: Shape (B, rows, cols).
        noise_floor: Of the singular values; unit of the weights.

    Raises:
        NotApplicable: The matrix is zero.
        Refused: The largest singular value is not above the noise floor, or not apart from the next one, of whatever
            entry: rounding turns the vectors by an angle of about e / gap, with e the size of the rounding of a weight,
            and a gap of 4 e or less leaves them undefined.
    """
    pairs = _Pairs.of(left, right, matrix, noise_floor)
    values = np.sort(pairs.values.ravel())[::-1]
    gap = float(values[0] - values[1]) if values.size > 1 else float(values[0])
    if values[0] <= pairs.floor:
        raise ww.Refused("the largest singular value is not above the noise floor")
    if gap <= pairs.tolerance:
        raise ww.Refused(
            "the two largest singular values are equal but for rounding: they have no vectors of their own"
        )
    entry, column = np.unravel_index(int(pairs.values.argmax()), pairs.values.shape)
    is_real = pairs.is_real[entry : entry + 1]
    first = np.ones((1, 1), np.bool_)
    one, other = (_Shape.of(side[entry : entry + 1, :, column : column + 1], first, is_real) for side in (left, right))
    return TopVector(
        top_ipr_left=float(one.ipr[0, 0]),
        top_ipr_right=float(other.ipr[0, 0]),
        top_localization_left=float(one.localization[0, 0]),
        top_localization_right=float(other.localization[0, 0]),
        top_vector_entropy_left=one.mean_entropy(np.ones((1, 1))),
        top_vector_entropy_right=other.mean_entropy(np.ones((1, 1))),
        top_gap=gap / float(values[0]),
    )


@ww.metric(version="1", batched=True, on_request=True, needs=VECTORS)
def tail_vectors(
    left: Vectors,
    right: Vectors,
    matrix: Vectors,
    multiplicities: npt.NDArray[np.int64],
    noise_floor: float,
    n_tail: int,
    hard_rank: int,
) -> TailVectors:
    """Localization and entropy of singular vectors, means over the power-law tail and over the bulk below it.

    Formulas as for ``top_vector``. The tail are the n_tail largest singular values, those from xmin on, the bulk the
    others above the noise floor; of several entries all are pooled, and a pair of conjugate frequencies counts twice.
    Singular values that are equal but for rounding have no vectors of their own, only a space of d dimensions: each of
    the d counts with the mean over all unit vectors of that space. With P its projector that is an IPR of
    3 sum(P_ii**2) / (d (d + 2)), complex 2 sum(P_ii**2) / (d (d + 1)), and an entropy of
    -sum(P_ii ln P_ii) / d - psi(3/2) + psi(d/2 + 1), complex - psi(2) + psi(d + 1), before it is over ln(n).


    Args:
        left: Columns, shape (B, rows, M).
        right: Columns, shape (B, cols, M).
        matrix: Shape (B, rows, cols).
        multiplicities: How often each entry counts, shape (B,).
        noise_floor: Of the singular values; unit of the weights.
        n_tail: Eigenvalues in the tail.
        hard_rank: Singular values above the noise floor.

    Raises:
        NotApplicable: The matrix is zero. Of a bulk: there is no value between the noise floor and xmin.
    """
    pairs = _Pairs.of(left, right, matrix, noise_floor)
    tail, bulk = pairs.split(multiplicities, int(n_tail), int(hard_rank))
    one, other = (_Shape.of(side, pairs.is_first, pairs.is_real) for side in (left, right))
    return TailVectors(
        tail_localization_left=_mean(one.localization, tail),
        tail_localization_right=_mean(other.localization, tail),
        bulk_localization_left=_mean(one.localization, bulk),
        bulk_localization_right=_mean(other.localization, bulk),
        tail_vector_entropy_left=one.mean_entropy(tail),
        tail_vector_entropy_right=other.mean_entropy(tail),
        bulk_vector_entropy_left=one.mean_entropy(bulk),
        bulk_vector_entropy_right=other.mean_entropy(bulk),
    )


@ww.metric(version="1", batched=True, on_request=True, needs=VECTORS)
def vector_ratios(
    left: Vectors,
    right: Vectors,
    matrix: Vectors,
    multiplicities: npt.NDArray[np.int64],
    noise_floor: float,
    n_tail: int,
    hard_rank: int,
) -> VectorRatios:
    """WeightWatcher's localization ratio |v|_1 / |v|_inf and participation ratio |v|_2 / |v|_4, in tail and bulk.

    Means and variances (over n) over the vectors of the shorter side of an entry, of the rows if both are alike;
    |v|_2 / |v|_4 is IPR**(-1/4). Both are small for localised vectors. Tail and bulk are those of ``tail_vectors``.
    Singular values that are equal but for rounding have no vectors of their own, and are left out.

    From C. H. Martin's WeightWatcher; C. H. Martin, M. W. Mahoney, Journal of Machine Learning Research 22 (2021).

    Raises:
        NotApplicable: As for ``tail_vectors``.
        Refused: Of a tail or a bulk: none of its singular values is apart from all others.
    """
    pairs = _Pairs.of(left, right, matrix, noise_floor)
    parts = pairs.split(multiplicities, int(n_tail), int(hard_rank))
    sizes = np.abs(left if left.shape[1] <= right.shape[1] else right)
    localization = sizes.sum(axis=1) / sizes.max(axis=1)
    sizes *= sizes
    participation = np.sqrt(sizes.sum(axis=1)) / np.power(np.square(sizes).sum(axis=1), 0.25)
    tail, bulk = (_moments(part, pairs.is_alone, localization, participation) for part in parts)
    return VectorRatios(
        tail_mean_loc_ratio=tail[0],
        tail_var_loc_ratio=tail[1],
        bulk_mean_loc_ratio=bulk[0],
        bulk_var_loc_ratio=bulk[1],
        tail_mean_part_ratio=tail[2],
        tail_var_part_ratio=tail[3],
        bulk_mean_part_ratio=bulk[2],
        bulk_var_part_ratio=bulk[3],
    )


class _Pairs(NamedTuple):
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
    is_first: npt.NDArray[np.bool_]
    is_real: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, left: Vectors, right: Vectors, matrix: Vectors, noise_floor: float) -> _Pairs:
        """Find the values, ``|W v|``, of all pairs of vectors.

        Raises:
            NotApplicable: The matrix is zero.
        """
        parts = np.ascontiguousarray(matrix).view(np.float64)
        exponent = math.frexp(float(np.abs(parts).max()))[1]
        scaled = np.ldexp(parts, -exponent)
        if not scaled.any():
            raise ww.NotApplicable("the matrix is zero")
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
    def is_alone(self) -> npt.NDArray[np.bool_]:
        """Whether a value has a vector of its own, shape (B, M)."""
        alone = self.is_first.copy()
        alone[:, :-1] &= self.is_first[:, 1:]
        return alone

    def split(self, multiplicities: npt.NDArray[np.int64], n_tail: int, hard_rank: int) -> tuple[Floats, Floats]:
        """Weights of the pairs in the tail and in the bulk, shape (B, M) each: how often they count, or 0."""
        counts = np.repeat(multiplicities, self.values.shape[1])
        order = np.argsort(-self.values, axis=None, kind="stable")
        ranks = np.empty(counts.size, np.int64)
        ranks[order] = np.cumsum(counts[order])
        ranks = ranks.reshape(self.values.shape)
        counts = counts.reshape(self.values.shape)
        is_tail = ranks <= n_tail
        return counts * is_tail.astype(np.float64), counts * (~is_tail & (ranks <= hard_rank)).astype(np.float64)


class _Shape(NamedTuple):
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
    def of(cls, vectors: Vectors, is_first: npt.NDArray[np.bool_], is_real: npt.NDArray[np.bool_]) -> _Shape:
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

    def mean_entropy(self, weights: Floats) -> float:
        """Mean of the entropy over ln(n)."""
        if self.n < 2:
            return ww.NotApplicable("a vector of one number has no entropy")  # type: ignore[return-value]
        mean = _mean(self.entropy, weights)
        return mean if isinstance(mean, ww.NoValue) else max(0.0, mean) / math.log(self.n)


def _squares(vectors: Vectors) -> Floats:
    squares: Floats = np.square(vectors.real)
    if np.iscomplexobj(vectors):
        squares += np.square(vectors.imag)
    return squares


def _mean(values: Floats, weights: Floats) -> float:
    total = float(weights.sum())
    if not total:
        return ww.NotApplicable("no eigenvalue is between the noise floor and xmin")  # type: ignore[return-value]
    return float((values * weights).sum()) / total


def _moments(weights: Floats, is_alone: npt.NDArray[np.bool_], *ratios: Floats) -> list[float]:
    """Mean and variance of each ratio over the vectors that are defined."""
    defined = weights * is_alone
    if weights.any() and not defined.any():
        shared = ww.Refused("all its singular values are equal but for rounding: they have no vectors of their own")
        return [shared] * (2 * len(ratios))  # type: ignore[list-item]
    found = []
    for ratio in ratios:
        mean = _mean(ratio, defined)
        found += [mean, mean if isinstance(mean, ww.NoValue) else _mean(np.square(ratio - mean), defined)]
    return found
