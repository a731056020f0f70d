"""A feature set: how heavy the tails of each layer's weights are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import ww_core as ww

if TYPE_CHECKING:
    import numpy.typing as npt


@dataclass(frozen=True)
class ObjectName(ww.FeatureSet):
    """Kurtosis of the weights of each layer: 3 for a normal distribution, whatever their mean and scale."""

    name = "object-name"
    version = "1"
    description = "kurtosis of the weights of each layer"

    def names(self, zoo: ww.Zoo) -> tuple[str, ...]:
        """Return `conv2d.kurtosis` and so on."""
        return tuple(f"{layer.name}.kurtosis" for layer in zoo.layers)

    def features(self, zoo: ww.Zoo) -> npt.NDArray[np.float64]:
        """Return them for all checkpoints; NaN where all weights of a layer are equal."""
        found = np.full((len(zoo), len(zoo.layers)), np.nan)
        for rows, weights in zoo.blocks():
            for place, layer in enumerate(zoo.layers):
                found[rows, place] = kurtosis(weights[:, layer.weight.start : layer.weight.stop])
        return found


def kurtosis(numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the kurtosis of each row of an array of shape (n, k); NaN where a row is constant."""
    centred = numbers - numbers.mean(axis=1, keepdims=True)
    variance = np.square(centred).mean(axis=1)
    found = np.full(len(numbers), np.nan)
    np.divide(np.square(np.square(centred)).mean(axis=1), np.square(variance), out=found, where=variance > 0.0)
    return found


@ww.hookimpl
def ww_register_feature_sets() -> list[ww.FeatureSet]:
    """The feature sets of this plugin."""
    return [ObjectName()]
