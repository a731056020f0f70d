"""A statistic, its interval, and why either is missing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from ww_core.errors import UsageError

if TYPE_CHECKING:
    import numpy.typing as npt

_FEWEST_TO_RESAMPLE = 3
"""Two models make one pair, and every resample of them holds this pair or none."""


class Undefined(StrEnum):
    """Why a statistic or its interval is NaN. Each member is a phrase for people; compare with the member."""

    TOO_FEW = "fewer than 2 models"
    NO_PAIR = "no two models are compared"
    X_TIED = "x is the same for all models that are compared"
    Y_TIED = "y is the same for all models that are compared"
    NO_FREEDOM = "no more models than ddof"
    TOO_LARGE = "too large for a float64"
    NO_RESAMPLES = "no interval was asked for"
    TOO_FEW_TO_RESAMPLE = "fewer than 3 to resample: no interval"
    UNDEFINED_IN_RESAMPLES = "undefined in most resamples: no interval"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A statistic with its bootstrap percentile interval.

    Attributes:
        value: The statistic; NaN where it is undefined.
        low: Lower end of the interval; NaN where there is none.
        high: Upper end.
        n: Number of models it rests on; of groups, where it says so.
        reason: Why ``value`` or the interval is NaN; None where nothing is missing.
    """

    value: float
    low: float
    high: float
    n: int
    reason: Undefined | None


def estimate(values: npt.NDArray[np.float64], n: int, reason: Undefined | None, confidence: float) -> Estimate:
    """Make an interval of a statistic's replicates.

    Its ends are two of the B replicates that are defined, never a mean of two: with k the integer part of
    (B - 1) (1 - confidence) / 2, those with k smaller and with k larger ones. Of 1000 replicates and 95 % they are the
    25th smallest and the 25th largest.

    Args:
        values: Shape (1 + replicates,): the statistic of the sample and of each resample, NaN where it is undefined.
        n: Number of models or groups that it rests on.
        reason: Why it is undefined in the sample, if it is.
        confidence: Between 0 and 1.
    """
    value, replicates = float(values[0]), values[1:]
    if reason is None and not math.isfinite(value):
        reason = Undefined.TOO_LARGE
    if reason is not None:
        return Estimate(math.nan, math.nan, math.nan, n, reason)
    defined = np.sort(replicates[~np.isnan(replicates)])
    if n < _FEWEST_TO_RESAMPLE:
        reason = Undefined.TOO_FEW_TO_RESAMPLE
    elif not replicates.size:
        reason = Undefined.NO_RESAMPLES
    elif 2 * defined.size < replicates.size:
        reason = Undefined.UNDEFINED_IN_RESAMPLES
    else:
        outside = int((defined.size - 1) * (1.0 - confidence) / 2.0)
        low, high = float(defined[outside]), float(defined[-1 - outside])
        if math.isfinite(low) and math.isfinite(high):
            return Estimate(value, low, high, n, None)
        reason = Undefined.TOO_LARGE
    return Estimate(value, math.nan, math.nan, n, reason)


def check_confidence(confidence: float) -> None:
    """Refuse what is no confidence.

    Raises:
        UsageError: It is not between 0 and 1.
    """
    if not 0.0 < confidence < 1.0:
        raise UsageError(f"confidence is {confidence}: a number between 0 and 1 is needed")
