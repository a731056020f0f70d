"""Ranks of a matrix, hard and soft, and how evenly its spectrum is spread."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

import ww_core as ww

SingularValues = npt.NDArray[np.float64]


@ww.metric(version="1", better="lower")
def stable_rank(frobenius_norm: float, spectral_norm: float) -> float:
    """Squared Frobenius norm over squared spectral norm, sum lambda_i / lambda_max; at least 1.

    From M. Rudelson, R. Vershynin, Sampling from large matrices, Journal of the ACM 54 (2007).

    Raises:
        NotApplicable: The matrix is zero.
    """
    if not spectral_norm:
        raise ww.NotApplicable("the matrix is zero")
    return (frobenius_norm / spectral_norm) ** 2


@ww.metric(version="1")
def hard_rank(singular_values: SingularValues, noise_floor: float) -> int:
    """Count of singular values above the noise floor: above what rounding to the stored precision makes by itself."""
    return int(np.count_nonzero(singular_values > noise_floor))


@ww.metric(version="1")
def entropy(singular_values: SingularValues, hard_rank: int) -> float:
    """Entropy of the spectrum over its largest, -sum p_i ln p_i / ln(rank), p_i = lambda_i / sum lambda; in [0, 1].

    Natural logarithm on both sides, so that no base is left. Sum and rank go over the ``hard_rank`` singular values
    above the noise floor. After C. H. Martin, M. W. Mahoney, Journal of Machine Learning Research 22 (2021).

    Raises:
        NotApplicable: The rank is below 2.
    """
    rank = int(hard_rank)
    if rank < 2:
        raise ww.NotApplicable(f"the rank is {rank}: the entropy is normalised by ln(rank)")
    p = singular_values[:rank] / float(singular_values[0])
    p *= p
    p /= float(p.sum())
    logs = np.log(p)
    logs *= p
    return -float(logs.sum()) / math.log(rank)


@ww.metric(version="1", unit="nats", on_request=True)
def spectral_entropy(singular_values: SingularValues, hard_rank: int) -> float:
    """Entropy of the singular values, -sum p_i ln p_i, p_i = sigma_i / sum sigma; in nats, from 0 to ln(rank).

    It is of shares of singular values, not of eigenvalues as ``entropy``, and not normalised. The sum goes over the
    ``hard_rank`` singular values above the noise floor.

    O. Roy, M. Vetterli, The effective rank: a measure of effective dimensionality, EUSIPCO 2007.

    Raises:
        NotApplicable: The rank is 0.
    """
    rank = int(hard_rank)
    if rank < 1:
        raise ww.NotApplicable("the rank is 0: there are no shares")
    p = singular_values[:rank] / float(singular_values[0])
    p /= float(p.sum())
    logs = np.log(p)
    logs *= p
    return abs(float(logs.sum()))


@ww.metric(version="1", on_request=True)
def effective_rank(spectral_entropy: float) -> float:
    """Exponential of the entropy of the singular values, exp(spectral_entropy), from 1 to the rank.

    O. Roy, M. Vetterli, The effective rank: a measure of effective dimensionality, EUSIPCO 2007.
    """
    return math.exp(spectral_entropy)


@ww.metric(version="1", unit="weight", resolution="full")
def smallest_singular_value(singular_values: SingularValues) -> float:
    """Smallest singular value, sigma_min, in the unit of the weights; exact at the small end, so it takes an SVD."""
    return float(singular_values[-1])
