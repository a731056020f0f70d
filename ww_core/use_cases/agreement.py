"""Statistics over models, as answers tell them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ww_core.domain.statistic import Agreement, Statistic
from ww_core.domain.text import shortened

if TYPE_CHECKING:
    from ww_core.domain.model_values import ModelRow
    from ww_core.rank_statistics import Correlation, Estimate, GroupedCorrelation

FEW = 5
"""Models of which an order says little: of fewer, a perfect one is luck more often than once in sixty."""


RESAMPLES, FEWEST_RESAMPLES = 1000, 100
RESAMPLED_MODELS = 2_000_000
"""Models that all resamples hold together, at most, where nobody says how many there shall be."""


def resamples(asked: int | None, models: int) -> int:
    """Return how many resamples make the intervals: as many as were asked for, or as take less than two seconds.

    Of many models an interval needs fewer: its ends vary less from one set of resamples to another.
    """
    if asked is not None:
        return asked
    return max(FEWEST_RESAMPLES, min(RESAMPLES, RESAMPLED_MODELS // max(models, 1)))


def agreement_of(correlated: Correlation) -> Agreement:
    """Return a correlation as answers tell it."""
    return Agreement(statistic_of(correlated.tau), statistic_of(correlated.rho), correlated.chance)


def statistic_of(estimate: Estimate) -> Statistic:
    """Return an estimate as answers tell it."""
    reason = "" if estimate.reason is None else str(estimate.reason)
    return Statistic(estimate.value, estimate.low, estimate.high, estimate.n, reason)


def few_models(groups: Sequence[str], most: int) -> str:
    """Say that groups are so small that their order may be luck."""
    shown = shortened([name or "(no series)" for name in groups])
    many = f"{most} model{'' if most == 1 else 's'} with both" if len(groups) == 1 else f"{most} models or fewer"
    luck = (
        f": of {most} models the order is perfect by luck once in {math.factorial(most) // 2} times" if most > 2 else ""
    )
    return f"{shown}: {many}{luck}"


def same_weights(groups: Iterable[Sequence[ModelRow]]) -> str:
    """Say that a group has the same weights under several names, each of which is counted; empty if none has."""
    for group in groups:
        stored = [row for row in group if row.digest]
        if len({row.digest for row in stored}) == len(stored):
            continue
        names: dict[str, list[str]] = defaultdict(list)
        for row in stored:
            names[row.digest].append(row.name)
        for own in names.values():
            if len(own) > 1:
                return f"{shortened(own)} are the same weights, and each is counted: leave all but one out by --without"
    return ""


def families_disagree(correlated: GroupedCorrelation, metric: str, score: str) -> str:
    """Say that a metric orders models inside series and between them in opposite ways; empty if it does not."""
    from ww_core.rank_statistics import Disagreement, disagreement

    opposite = disagreement(correlated)
    if opposite is Disagreement.NONE:
        return ""
    sure = "" if opposite is Disagreement.CLEAR else " (so few models cannot make it sure)"
    return (
        f"inside series {metric} and {score} agree with tau {correlated.inside.tau.value:.2f}, between series with "
        f"{correlated.between.tau.value:.2f}{sure}: models of different series must not be ranked by it together "
        "(Simpson's paradox)"
    )
