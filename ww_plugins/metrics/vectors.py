"""How localised singular vectors are: whether a few units make them, or all alike."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

import ww_core as ww
from ww_core.spectral.singular_vectors import Localization, VectorPairs

Floats = npt.NDArray[np.float64]
Vectors = npt.NDArray[Any]

Number = Any
"""A float, or the reason why there is none."""

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
    pairs = VectorPairs.of(left, right, matrix, noise_floor)
    values = np.sort(pairs.values.ravel())[::-1]
    gap = float(values[0] - values[1]) if values.size > 1 else float(values[0])
    if values[0] <= pairs.floor:
        raise ww.Refused("the largest singular value is not above the noise floor")
    if gap <= pairs.tolerance:
        raise ww.Refused("the two largest singular values are equal up to rounding: their vectors are not unique")
    entry, column = np.unravel_index(int(pairs.values.argmax()), pairs.values.shape)
    is_real = pairs.is_real[entry : entry + 1]
    first = np.ones((1, 1), np.bool_)
    one, other = (
        Localization.of(side[entry : entry + 1, :, column : column + 1], first, is_real) for side in (left, right)
    )
    return TopVector(
        top_ipr_left=float(one.ipr[0, 0]),
        top_ipr_right=float(other.ipr[0, 0]),
        top_localization_left=float(one.localization[0, 0]),
        top_localization_right=float(other.localization[0, 0]),
        top_vector_entropy_left=_mean_entropy(one, np.ones((1, 1))),
        top_vector_entropy_right=_mean_entropy(other, np.ones((1, 1))),
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
    pairs = VectorPairs.of(left, right, matrix, noise_floor)
    tail, bulk = pairs.split(multiplicities, int(n_tail), int(hard_rank))
    one, other = (Localization.of(side, pairs.is_first, pairs.is_real) for side in (left, right))
    return TailVectors(
        tail_localization_left=_mean(one.localization, tail),
        tail_localization_right=_mean(other.localization, tail),
        bulk_localization_left=_mean(one.localization, bulk),
        bulk_localization_right=_mean(other.localization, bulk),
        tail_vector_entropy_left=_mean_entropy(one, tail),
        tail_vector_entropy_right=_mean_entropy(other, tail),
        bulk_vector_entropy_left=_mean_entropy(one, bulk),
        bulk_vector_entropy_right=_mean_entropy(other, bulk),
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
    pairs = VectorPairs.of(left, right, matrix, noise_floor)
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


def _mean(values: Floats, weights: Floats) -> Number:
    total = float(weights.sum())
    if not total:
        return ww.NotApplicable("no eigenvalue is between the noise floor and xmin")
    return float((values * weights).sum()) / total


def _mean_entropy(vectors: Localization, weights: Floats) -> Number:
    """Mean of the entropy over ln(n)."""
    if vectors.n < 2:
        return ww.NotApplicable("a vector of one number has no entropy")
    mean = _mean(vectors.entropy, weights)
    return mean if isinstance(mean, ww.NoValue) else max(0.0, mean) / math.log(vectors.n)


def _moments(weights: Floats, is_alone: npt.NDArray[np.bool_], *ratios: Floats) -> list[Number]:
    """Mean and variance of each ratio over the vectors that are defined."""
    defined = weights * is_alone
    if weights.any() and not defined.any():
        shared = ww.Refused("all its singular values are equal up to rounding: their vectors are not unique")
        return [shared] * (2 * len(ratios))
    found: list[Number] = []
    for ratio in ratios:
        mean = _mean(ratio, defined)
        found += [mean, mean if isinstance(mean, ww.NoValue) else _mean(np.square(ratio - mean), defined)]
    return found
