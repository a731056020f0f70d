"""What a predictor says of one network: a number, an interval, and whether it may say it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import ww_core as ww
from ww_plugins.predictors.intervals import interval_of
from ww_plugins.predictors.reach import reach_of
from ww_plugins.predictors.reading import network_of

if TYPE_CHECKING:
    from ww_plugins.predictors.intervals import Interval
    from ww_plugins.predictors.predictor import Predictor
    from ww_plugins.predictors.reach import Reach


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a predictor says of a network.

    Attributes:
        network: How a person named it.
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
    source: str | Path,
    *,
    confidence: float = 0.9,
    rate: float = 0.01,
    family: str = "",
    loader: str | None = None,
    registry: ww.Registry | None = None,
) -> Estimate:
    """Predict a network from its file.

    Args:
        predictor: The predictor.
        source: The file or folder of the network, in any format.
        confidence: Of the interval, between 0 and 1.
        rate: At which networks like those it learned from are taken for others.
        family: The family that the network is of; empty for all together.
        loader: Name of the loader, with options; default the one that recognises the source.
        registry: Loaded plugins, if they are loaded already.

    Raises:
        SourceError: The network cannot be read.
        UsageError: It has other layers than those the predictor learned from, or there is no such family.
    """
    registry = registry or ww.load_plugins()
    network = network_of(source, predictor, registry, loader=loader)
    found = ww.zoo_features(network, predictor.features, registry=registry)
    predictor.check_features(found)
    value = float(predictor.predict(found.values)[0])
    return Estimate(
        network=str(source),
        value=value,
        interval=interval_of(value, predictor, confidence, family),
        reach=reach_of(found.values[0], predictor, rate),
    )
