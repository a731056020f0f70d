"""The determinant condition: how many of the largest eigenvalues have a product of 1."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

import ww_core as ww
from ww_plugins.metrics.scaled import ScaledSpectrum


@dataclass(frozen=True)
class Determinant:
    """Columns of the determinant condition."""

    detX_num: int = ww.column(
        unit="count",
        doc="Number of largest eigenvalues, scaled to a mean of 1, at which their product first falls below 1",
    )
    detX_val: float = ww.column(unit="weight^2", doc="The smallest of them: where the product falls below 1")


@ww.metric(version="1", on_request=True)
def determinant_condition(scaled_spectrum: ScaledSpectrum) -> Determinant:
    """The ERG or detX condition: eigenvalues from the top down to that at which their product falls below 1.

    With lambda'_i = n lambda_i / sum(lambda), of mean 1 over all n, detX_num is 1 and the largest k with
    ``ln(lambda'_1) + ... + ln(lambda'_k) >= 0``, but no more than there are above the noise floor. The sum of
    logarithms neither overflows nor underflows. In a pooled spectrum the product goes over all entries.

    C. H. Martin, C. Hinrichs, SETOL: A Semi-Empirical Theory of (Deep) Learning, arXiv 2507.17912 (2025).

    Args:
        scaled_spectrum: Of the matrix, over a power of two.

    Raises:
        NotApplicable: The matrix is zero, or all its singular values are equal, but for rounding: every product is 1.
    """
    values, eigenvalues = scaled_spectrum.singular_values, scaled_spectrum.eigenvalues
    if not values[0]:
        raise ww.NotApplicable("the matrix is zero")
    rank = max(1, int(np.count_nonzero(eigenvalues > scaled_spectrum.floor)))
    if rank == values.size and values[0] - values[-1] <= scaled_spectrum.noise_floor:
        raise ww.NotApplicable("all singular values are equal up to rounding: the product is 1 for any number of them")
    logs = np.log(eigenvalues[:rank])
    logs -= math.log(float(eigenvalues.mean()))
    number = min(rank, 1 + int(np.count_nonzero(logs.cumsum() >= 0.0)))  # it rises, then falls, and so is 0 once
    return Determinant(number, scaled_spectrum.restored(float(eigenvalues[number - 1])))


@ww.metric(version="1", unit="count", on_request=True)
def ERG_gap(detX_num: int, n_tail: int) -> int:  # noqa: N802 - the peer's name
    """Eigenvalues by the determinant condition minus those in the power-law tail, detX_num - n_tail.

    By SETOL, arXiv 2507.17912, the two meet in an ideal layer, where alpha is 2.
    """
    return int(detX_num) - int(n_tail)
