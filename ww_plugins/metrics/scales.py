"""Eigenvalues scaled by a power of two, which changes no digit and lets no square overflow, and back."""

from __future__ import annotations

import math
import sys

import numpy as np
import numpy.typing as npt

import ww_core as ww


def scaled_eigenvalues(singular_values: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], int]:
    """Return the squares of descending singular values over ``2**exponent``, the largest from 1/4 to 1; the exponent.

    Raises:
        NotApplicable: All are zero.
    """
    largest = float(singular_values[0])
    if not largest:
        raise ww.NotApplicable("the matrix is zero")
    exponent = math.frexp(largest)[1]
    scaled = np.ldexp(singular_values, -exponent)
    scaled *= scaled
    return scaled, exponent


def scaled_floor(noise_floor: float, exponent: int) -> float:
    """Square of the noise floor in the unit of scaled eigenvalues."""
    return math.ldexp(noise_floor, -exponent) ** 2


def in_weight2(scaled: float, exponent: int) -> float:
    """A scaled eigenvalue in the unit of squared weights; refused as a column of its own where float64 ends."""
    try:
        value = math.ldexp(scaled, 2 * exponent)
    except OverflowError:
        value = math.inf
    if scaled and not sys.float_info.min <= abs(value) <= sys.float_info.max:
        return ww.Refused("the eigenvalue is outside the range of float64")  # type: ignore[return-value]
    return value
