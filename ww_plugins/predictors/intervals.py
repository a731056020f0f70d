"""Intervals around predictions: split conformal prediction, over all calibration networks or those of one family.

A new network's absolute residual is as likely to have any rank among those of the calibration networks, if it comes
from where they come from. So an interval of the right residual's width holds the measured value with the stated
probability, whatever the estimator. V. Vovk, A. Gammerman, G. Shafer, "Algorithmic Learning in a Random World" (2005);
per family it is their Mondrian predictor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

import ww_core as ww

if TYPE_CHECKING:
    import numpy.typing as npt

    from ww_plugins.predictors.predictor import Predictor

MOST_FAMILIES_NAMED = 10


@dataclass(frozen=True, slots=True)
class Interval:
    """Where the measured value of a network is to be expected.

    Attributes:
        low: Its lower end, in the unit of the target; -inf where nothing bounds it.
        high: Its upper end; inf where nothing bounds it.
        confidence: With which probability the value is inside, for networks like the calibration networks.
        networks: How many calibration networks it comes from.
        family: The family they belong to; empty for all.
        note: A sentence, if there are too few networks for this confidence and the interval is the whole possible
            range; else empty.
    """

    low: float
    high: float
    confidence: float
    networks: int
    family: str
    note: str = ""


def half_width(residuals: npt.NDArray[np.float64], confidence: float) -> float:
    """Return the half width of an interval: the ceil((n + 1) confidence)-th smallest absolute residual.

    The rank is computed from the decimal number that ``confidence`` is written as: 0.9 of 10 is 9, where the nearest
    double to 0.9 could make it 10.

    Args:
        residuals: What was measured minus what was predicted, or the other way round, of the calibration networks,
            shape (n,), in the unit of the target.
        confidence: Probability between 0 and 1, both excluded.

    Returns:
        The half width, in the unit of the target; inf if n is below `networks_needed`, or so many residuals are NaN.

    Raises:
        UsageError: The confidence is not between 0 and 1.
    """
    rank = math.ceil((len(residuals) + 1) * _exact(confidence))
    if rank > len(residuals):
        return math.inf
    smallest = np.partition(np.abs(np.asarray(residuals, np.float64)), rank - 1)
    width = float(smallest[rank - 1])
    return math.inf if math.isnan(width) else width


def networks_needed(confidence: float) -> int:
    """Return how many calibration networks a bounded interval takes: 9 at 0.9, 99 at 0.99.

    Raises:
        UsageError: The confidence is not between 0 and 1.
    """
    exact = _exact(confidence)
    return math.ceil(exact / (1 - exact))


def interval_of(prediction: float, predictor: Predictor, confidence: float = 0.9, family: str = "") -> Interval:
    """Return the interval around a prediction.

    Args:
        prediction: What the predictor says of a network, in the unit of the target.
        predictor: The predictor.
        confidence: Probability between 0 and 1, both excluded.
        family: Take the residuals of this family of calibration networks only; empty: of all of them.

    Returns:
        The interval. Accuracies are shares: theirs are cut to [0, 1]. If the networks are too few for this confidence
        it is the whole possible range, and its note says so.

    Raises:
        UsageError: The confidence is not between 0 and 1, or no calibration network is of this family.
    """
    residuals = predictor.calibration.targets - predictor.calibrated
    if family:
        residuals = residuals[_is_of(predictor, family)]
    width = half_width(residuals, confidence)
    is_share = predictor.target.endswith("accuracy")
    lowest, highest = (0.0, 1.0) if is_share else (-math.inf, math.inf)
    networks = len(residuals)
    if math.isinf(width):
        note = _too_few(networks, confidence, family)
        return Interval(lowest, highest, confidence, networks, family, note)
    low, high = (min(max(end, lowest), highest) for end in (prediction - width, prediction + width))
    return Interval(low, high, confidence, networks, family)


def families_of(predictor: Predictor) -> list[str]:
    """Return the families that calibration networks belong to, sorted; none if networks have no families."""
    return sorted({str(family) for family in predictor.calibration.families.tolist()} - {""})


def _exact(confidence: float) -> Fraction:
    if not 0 < confidence < 1:
        raise ww.UsageError(f"confidence {confidence} is not between 0 and 1: name a share such as 0.9")
    return Fraction(repr(float(confidence)))


def _is_of(predictor: Predictor, family: str) -> npt.NDArray[np.bool_]:
    is_of: npt.NDArray[np.bool_] = np.array([str(own) == family for own in predictor.calibration.families], bool)
    if is_of.any():
        return is_of
    known = families_of(predictor)
    if not known:
        raise ww.UsageError(
            f"family {family!r} is unknown: the networks of this predictor have no families, so leave it out"
        )
    more = f" and {len(known) - MOST_FAMILIES_NAMED} more" if len(known) > MOST_FAMILIES_NAMED else ""
    named = ", ".join(known[:MOST_FAMILIES_NAMED])
    by = f" ({predictor.family_by})" if predictor.family_by else ""
    raise ww.UsageError(f"family {family!r} is unknown; this predictor{by} knows {named}{more}")


def _too_few(networks: int, confidence: float, family: str) -> str:
    needed = networks_needed(confidence)
    if networks >= needed:
        return "Some calibration networks have no residual, so the interval is the whole possible range."
    of = f" of family {family}" if family else ""
    return (
        f"The interval is the whole possible range: {confidence:g} takes {needed} calibration networks{of}, and there "
        f"{'is' if networks == 1 else 'are'} {networks}."
    )
