"""Eigenvalues scaled by a power of two, which changes no digit and lets no square overflow, and back."""

from __future__ import annotations

import functools
import math
import sys
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

import ww_core as ww
from ww_core.spectral import MarchenkoPasturFit, fit_marchenko_pastur
from ww_core.spectral.distinct import Distinct
from ww_core.spectral.power_law import PowerLawFit, fit_power_law_to

Floats = npt.NDArray[np.float64]

MIN_SPAN = 1.02


@dataclass(frozen=True, eq=False)
class ScaledSpectrum:
    """A spectrum over a power of two, and what several metrics make of it: each part is made when first asked for.

    Attributes:
        singular_values: Descending, the largest from 1/2 to below 1, or all zero; weight / 2**exponent.
        eigenvalues: Their squares.
        exponent: Of the scale.
        noise_floor: In the unit of the singular values.
        floor: Its square, in the unit of the eigenvalues.
        rounding: Eigenvalues that differ by no more than this are ties; in their unit.
        n_rows: Rows of an entry.
        n_cols: Columns of an entry.
    """

    singular_values: Floats
    eigenvalues: Floats
    exponent: int
    noise_floor: float
    floor: float
    rounding: float
    n_rows: int
    n_cols: int
    _tails: dict[str, PowerLawFit] = field(default_factory=dict, init=False, repr=False)
    _bulks: dict[float, MarchenkoPasturFit] = field(default_factory=dict, init=False, repr=False)

    @functools.cached_property
    def distinct(self) -> Distinct:
        """The distinct eigenvalues above the noise floor.

        Raises:
            NotApplicable: There are fewer than two.
            Refused: The largest is less than 1.02 times the smallest: a spectrum without width.
        """
        distinct = Distinct.of(self.eigenvalues, floor=self.floor, tie_tolerance=self.rounding)
        if distinct.largest < MIN_SPAN * float(distinct.values[0]):
            raise without_width(MIN_SPAN)
        for shared in (distinct.values, distinct.n_tail, distinct.counts):
            shared.flags.writeable = False
        return distinct

    def power_law(self, ks: Literal["lower", "two-sided"]) -> PowerLawFit:
        """Return the power-law fit of the tail, however narrow that is.

        Raises:
            NotApplicable: There are fewer than two distinct eigenvalues above the noise floor.
            Refused: The spectrum has no width.
        """
        if ks not in self._tails:
            self._tails[ks] = fit_power_law_to(self.distinct, ks=ks)
        return self._tails[ks]

    def bulk(self, level: float) -> MarchenkoPasturFit:
        """Return the fit of a bulk of noise, where noise has a spike with probability ``level``.

        Raises:
            NotApplicable: The matrix is zero, or has too few eigenvalues, or an entry has one row or column.
            Refused: However many eigenvalues are taken for spikes, there are more.
        """
        if not self.eigenvalues[0]:
            raise ww.NotApplicable("the matrix is zero")
        if level not in self._bulks:
            self._bulks[level] = fit_marchenko_pastur(
                self.eigenvalues, self.n_rows, self.n_cols, floor=self.floor, level=level
            )
        return self._bulks[level]

    def refuse_narrow(self, xmin: float, xmax: float) -> None:
        """Refuse a tail that rounding of the weights alone could have made.

        Raises:
            Refused: It is no wider than the noise floor.
        """
        if math.sqrt(xmax) - math.sqrt(xmin) <= self.noise_floor:
            raise ww.Refused("the tail is no wider than the rounding of the weights")

    def scaled(self, number: float) -> float:
        """Return a number in weight^2 in the unit of the eigenvalues; infinite where it is beyond float64."""
        return _times_power_of_two(number, -2 * self.exponent)

    def restored(self, number: float, *, power: int = 2) -> float:
        """Return a number in the unit of the singular values, to a power, in that power of the weights.

        Beyond the range of float64 it becomes ``Refused``: a column of its own state, as what has no unit is sound all
        the same.
        """
        return _within_float64(number, power * self.exponent, "the eigenvalue" if power == 2 else "the number")


@ww.quantity(version="1")
def scaled_spectrum(
    singular_values: Floats, noise_floor: float, epsilon: float, n_rows: int, n_cols: int
) -> ScaledSpectrum:
    """Spectrum over a power of two, its distinct eigenvalues above the noise floor, and the fits that metrics share.

    Eigenvalues are ties that differ by no more than max(n_rows, n_cols) * epsilon * lambda_max, the rounding of the
    spectrum itself; in single precision by 16 * epsilon * lambda_max.

    Args:
        singular_values: Descending; unit of the weights.
        noise_floor: Same unit.
        epsilon: Of the arithmetic behind them, the distance from 1 to the next number.
        n_rows: Rows of an entry.
        n_cols: Columns of an entry.
    """
    exponent = math.frexp(float(singular_values[0]))[1]
    scaled = np.ldexp(singular_values, -exponent)
    eigenvalues = scaled * scaled
    for shared in (scaled, eigenvalues):
        shared.flags.writeable = False
    # In single precision the bound would join what is apart: the error measured there is below 10 units.
    units = max(n_rows, n_cols) if epsilon == sys.float_info.epsilon else 16
    return ScaledSpectrum(
        singular_values=scaled,
        eigenvalues=eigenvalues,
        exponent=exponent,
        noise_floor=math.ldexp(noise_floor, -exponent),
        floor=scaled_floor(noise_floor, exponent),
        rounding=units * epsilon * float(eigenvalues[0]),
        n_rows=n_rows,
        n_cols=n_cols,
    )


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
    return _within_float64(scaled, 2 * exponent, "the eigenvalue")


def _within_float64(number: float, exponent: int, what: str) -> float:
    value = _times_power_of_two(number, exponent)
    if number and not sys.float_info.min <= abs(value) <= sys.float_info.max:
        return ww.Refused(f"{what} is outside the range of float64")  # type: ignore[return-value]
    return value


def _times_power_of_two(number: float, exponent: int) -> float:
    try:
        return math.ldexp(number, exponent)
    except OverflowError:
        return math.copysign(math.inf, number)
