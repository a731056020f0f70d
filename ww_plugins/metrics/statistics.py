"""Statistics of a layer's weights and biases.

They are the features of T. Unterthiner et al., Predicting Neural Network Accuracy from Weights (arXiv 2002.11448,
2020), whose variance is the square of the standard deviation here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

import ww_core as ww
from ww_core.spectral.statistics import moments, quantiles

Stored = npt.NDArray[Any]


@dataclass(frozen=True)
class WeightMoments:
    """Columns of ``weight_moments``."""

    weight_mean: float = ww.column(unit="weight", doc="Mean of the weights")
    weight_std: float = ww.column(unit="weight", doc="Population standard deviation of the weights")
    weight_min: float = ww.column(unit="weight", doc="Smallest weight")
    weight_max: float = ww.column(unit="weight", doc="Largest weight")


@dataclass(frozen=True)
class WeightQuantiles:
    """Columns of ``weight_quantiles``."""

    weight_q25: float = ww.column(unit="weight", doc="First quartile of the weights")
    weight_q50: float = ww.column(unit="weight", doc="Median of the weights")
    weight_q75: float = ww.column(unit="weight", doc="Third quartile of the weights")


@dataclass(frozen=True)
class BiasMoments:
    """Columns of ``bias_moments``."""

    bias_mean: float = ww.column(unit="weight", doc="Mean of the biases")
    bias_std: float = ww.column(unit="weight", doc="Population standard deviation of the biases")
    bias_min: float = ww.column(unit="weight", doc="Smallest bias")
    bias_max: float = ww.column(unit="weight", doc="Largest bias")


@dataclass(frozen=True)
class BiasQuantiles:
    """Columns of ``bias_quantiles``."""

    bias_q25: float = ww.column(unit="weight", doc="First quartile of the biases")
    bias_q50: float = ww.column(unit="weight", doc="Median of the biases")
    bias_q75: float = ww.column(unit="weight", doc="Third quartile of the biases")


@ww.metric(version="1", scope="layer")
def weight_moments(stored_weight: Stored) -> WeightMoments:
    """Mean, population standard deviation, minimum and maximum of all weights of the layer, in float64.

    Raises:
        Refused: A weight is NaN or infinite.
    """
    found = moments(stored_weight)
    return WeightMoments(found.mean, found.std, found.min, found.max)


@ww.metric(version="1", scope="layer")
def weight_quantiles(stored_weight: Stored) -> WeightQuantiles:
    """Exact quartiles of all weights of the layer, interpolated linearly between neighbours.

    Raises:
        Refused: A weight is NaN or infinite.
    """
    return WeightQuantiles(*quantiles(stored_weight, (0.25, 0.5, 0.75)))


@ww.metric(version="1", scope="layer")
def bias_moments(stored_bias: Stored) -> BiasMoments:
    """Mean, population standard deviation, minimum and maximum of all biases of the layer, in float64.

    Raises:
        Refused: A bias is NaN or infinite.
    """
    found = moments(stored_bias)
    return BiasMoments(found.mean, found.std, found.min, found.max)


@ww.metric(version="1", scope="layer")
def bias_quantiles(stored_bias: Stored) -> BiasQuantiles:
    """Exact quartiles of all biases of the layer, interpolated linearly between neighbours.

    Raises:
        Refused: A bias is NaN or infinite.
    """
    return BiasQuantiles(*quantiles(stored_bias, (0.25, 0.5, 0.75)))
