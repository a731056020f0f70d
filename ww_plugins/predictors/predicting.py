"""What a predictor says of one network: a number, an interval, and whether it may say it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import ww_core as ww
from ww_plugins.predictors.intervals import interval_of
from ww_plugins.predictors.reach import reach_of

if TYPE_CHECKING:
    from ww_plugins.predictors.intervals import Interval
    from ww_plugins.predictors.predictor import Predictor
    from ww_plugins.predictors.reach import Reach


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a predictor says of a network.

    Attributes:
        network: Its name.
        value: The number.
        interval: Where what would be measured is, with its confidence, for networks like those that were learned from.
        reach: Whether the network is like those, and the nearest of them.
    """

    network: str
    value: float
    interval: Interval
    reach: Reach


def estimated(
    predictor: Predictor,
    network: ww.Zoo,
    *,
    confidence: float = 0.9,
    rate: float = 0.01,
    family: str = "",
    registry: ww.Registry | None = None,
) -> Estimate:
    """Predict a network.

    Args:
        predictor: The predictor.
        network: The network as a zoo of one, as `network_of` and `any_network_of` read it.
        confidence: Of the interval, between 0 and 1.
        rate: At which networks like those it learned from are taken for others.
        family: The family that the network is of; empty for all together.
        registry: Loaded plugins, if they are loaded already.

    Raises:
        UsageError: Other features come of it than those the predictor learned from, or there is no such family.
        PluginError: A feature set or the estimator failed.
    """
    found = ww.zoo_features(network, predictor.features, registry=registry)
    predictor.check_features(found)
    value = float(predictor.predict(found.values)[0])
    return Estimate(
        network=network.name,
        value=value,
        interval=interval_of(value, predictor, confidence, family),
        reach=reach_of(found.values[0], predictor, rate),
    )
