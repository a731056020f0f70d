"""Norms of a matrix, from its singular values sigma_i; eigenvalues are lambda_i = sigma_i**2."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

import ww_core as ww

SingularValues = npt.NDArray[np.float64]


@ww.metric(version="1", better="lower", unit="weight")
def frobenius_norm(singular_values: SingularValues) -> float:
    """Root of the sum of the squared weights, sqrt(sum sigma_i**2); not squared, in the unit of the weights.

    The sum is taken of ratios to the largest, so that it neither overflows nor underflows.
    """
    return _schatten_norm(singular_values, 2.0)


@ww.metric(version="1", better="lower", unit="weight")
def spectral_norm(singular_values: SingularValues) -> float:
    """Largest singular value, sigma_max; not squared, in the unit of the weights."""
    return float(singular_values[0])


@ww.metric(version="1", better="lower", unit="log10 weight^2")
def log_norm(frobenius_norm: float) -> float:
    """Log10 of the squared Frobenius norm, log10(sum lambda_i); -inf for a matrix of zeros.

    Name and meaning as in C. H. Martin, T. Peng, M. W. Mahoney, Nature Communications 12, 4122 (2021).
    """
    return _log10_of_square(frobenius_norm)


@ww.metric(version="1", better="lower", unit="log10 weight^2")
def log_spectral_norm(spectral_norm: float) -> float:
    """Log10 of the largest eigenvalue, log10(lambda_max) = 2 log10(sigma_max); -inf for a matrix of zeros.

    Name and meaning as in C. H. Martin, T. Peng, M. W. Mahoney, Nature Communications 12, 4122 (2021).
    """
    return _log10_of_square(spectral_norm)


@ww.metric(version="1", better="lower", unit="weight")
def alpha_norm(singular_values: SingularValues, alpha: float) -> float:
    """Schatten norm of order 2 alpha, (sum sigma_i**(2 alpha))**(1 / (2 alpha)), over all singular values.

    In the unit of the weights; alpha is the exponent of the tail fit. After C. H. Martin, T. Peng, M. W. Mahoney,
    Nature Communications 12, 4122 (2021), who take its 2 alpha-th power.
    """
    return _schatten_norm(singular_values, 2.0 * alpha)


@ww.metric(version="1", better="lower", unit="log10 weight^(2 alpha)")
def log_alpha_norm(alpha_norm: float, alpha: float) -> float:
    """Log10 of the sum of all eigenvalues to the power alpha, log10(sum lambda_i**alpha); cannot overflow.

    From C. H. Martin, T. Peng, M. W. Mahoney, Nature Communications 12, 4122 (2021).
    """
    return alpha * _log10_of_square(alpha_norm)


def _schatten_norm(singular_values: SingularValues, order: float) -> float:
    largest = float(singular_values[0])
    if largest == 0.0:
        return 0.0
    ratios = singular_values / largest
    total = ratios.dot(ratios) if order == 2.0 else (ratios**order).sum()
    return largest * math.pow(total, 1.0 / order)


def _log10_of_square(norm: float) -> float:
    return 2.0 * math.log10(norm) if norm else -math.inf
