"""Eigenvalues scaled by a power of two, which changes no digit and lets no square overflow, and back."""

from __future__ import annotations

import math
import sys
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

import ww_core as ww
from ww_core.spectral.distinct import Distinct

Floats = npt.NDArray[np.float64]

MIN_SPAN = 1.02


class ScaledEigenvalues(NamedTuple):
    """What tails are fitted to: squares of singular values over a power of two, and what rounding leaves of them.

    Attributes:
        values: Descending, the largest from 1/4 to below 1; weight^2 / 2**exponent.
        exponent: Of the scale.
        floor: Square of the noise floor, in the same unit.
        rounding: Eigenvalues that differ by no more than this are ties; in the same unit.
    """

    values: Floats
    exponent: int
    floor: float
    rounding: float

    @classmethod
    def of(
        cls, singular_values: Floats, noise_floor: float, epsilon: float, n_rows: int, n_cols: int
    ) -> ScaledEigenvalues:
        """Square descending singular values of a spectrum with this noise floor and this arithmetic behind it."""
        exponent = math.frexp(float(singular_values[0]))[1]
        values = np.ldexp(singular_values, -exponent)
        values *= values
        # In single precision the bound would join what is apart: the error measured there is below 10 units.
        units = max(n_rows, n_cols) if epsilon == sys.float_info.epsilon else 16
        return cls(values, 2 * exponent, scaled_floor(noise_floor, exponent), units * epsilon * float(values[0]))

    def distinct(self) -> Distinct:
        """Return the distinct ones above the noise floor.

        Raises:
            NotApplicable: There are fewer than two.
            Refused: The largest is less than 1.02 times the smallest: a spectrum without width.
        """
        distinct = Distinct.of(self.values, floor=self.floor, tie_tolerance=self.rounding)
        if distinct.largest < MIN_SPAN * float(distinct.values[0]):
            raise without_width(MIN_SPAN)
        return distinct

    def refuse_narrow(self, xmin: float, xmax: float) -> None:
        """Refuse a tail that rounding of the weights alone could have made.

        Raises:
            Refused: It is no wider than the noise floor.
        """
        if math.sqrt(xmax) - math.sqrt(xmin) <= math.sqrt(self.floor):
            raise ww.Refused("the tail is no wider than the rounding of the weights")

    def scaled(self, number: float) -> float:
        """Return a number in weight^2 in the unit of the values; infinite where it is beyond float64."""
        try:
            return math.ldexp(number, -self.exponent)
        except OverflowError:
            return math.copysign(math.inf, number)

    def restored(self, number: float, *, power: int = 1) -> float:
        """Return a positive number in the unit of the values, to a power, in that power of weight^2.

        A number outside the range of float64 becomes ``Refused``: a column of its own state, as what has no unit is
        sound all the same.
        """
        try:
            value = math.ldexp(number, power * self.exponent)
        except OverflowError:
            value = math.inf
        if not sys.float_info.min <= value <= sys.float_info.max:
            what = "the eigenvalue" if power == 1 else "the number"
            return ww.Refused(f"{what} is outside the range of float64")  # type: ignore[return-value]
        return value


def without_width(min_span: float) -> ww.Refused:
    """Return the refusal of a spectrum whose largest eigenvalue is not so many times the smallest one."""
    return ww.Refused(
        f"the largest eigenvalue is less than {min_span:g} times the smallest one above the floor: "
        "a spectrum without width has no tail"
    )


def scaled_eigenvalues(singular_values: Floats) -> tuple[Floats, int]:
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
