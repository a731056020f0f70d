"""Whether pooling groups hides what holds inside them (Simpson's paradox)."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ww_core.rank_statistics.correlation import GroupedCorrelation
    from ww_core.rank_statistics.estimate import Estimate


class Disagreement(StrEnum):
    """How sure it is that x orders models inside groups and between groups in opposite ways."""

    NONE = "none"
    LIKELY = "likely"
    CLEAR = "clear"


def disagreement(correlated: GroupedCorrelation) -> Disagreement:
    """Judge whether tau inside groups and tau between groups point in opposite directions.

    They disagree if their signs are opposite. Three things make it sure: the interval of the one does not hold 0, nor
    does that of the other, and luck alone would rarely give such an order inside groups (a chance of at most 1 minus
    the confidence of the intervals). It is clear if all three are so, and likely if two of them are. The chance counts
    because resamples of a perfect order are in perfect order too: the interval of three models in line has no width.
    Where tau overall is opposite to tau inside, so is tau between, which therefore is the one to look at.

    Args:
        correlated: What ``grouped_correlation`` gives.
    """
    inside, between = correlated.inside, correlated.between
    if not inside.tau.value * between.tau.value < 0.0:
        return Disagreement.NONE
    no_luck = inside.chance <= 1.0 - correlated.confidence
    sure = no_luck + _excludes_zero(inside.tau) + _excludes_zero(between.tau)
    return (Disagreement.NONE, Disagreement.NONE, Disagreement.LIKELY, Disagreement.CLEAR)[sure]


def _excludes_zero(statistic: Estimate) -> bool:
    return statistic.low > 0.0 or statistic.high < 0.0
