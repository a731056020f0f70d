"""An estimator: the accuracy of a network is the mean of those of the networks that are most like it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import ww_core as ww

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt


@dataclass(frozen=True)
class Neighbours:
    """What was learned: all networks.

    Attributes:
        features: Their features, shape (n, k).
        targets: Their accuracies, shape (n,).
        scale: What a distance along each feature is divided by, shape (k,).
        count: How many neighbours are asked.
    """

    features: npt.NDArray[np.float64]
    targets: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]
    count: int

    def predict(self, features: npt.NDArray[np.float64], /) -> npt.NDArray[np.float64]:
        """Return the predictions, shape (m,), for features of shape (m, k)."""
        predictions = np.empty(len(features))
        for row, own in enumerate(features):
            distances = np.square((self.features - own) / self.scale).sum(axis=1)
            nearest = np.argsort(distances, kind="stable")[: self.count]
            predictions[row] = self.targets[nearest].mean()
        return predictions


@dataclass(frozen=True)
class ObjectName(ww.Estimator):
    """The mean of the nearest neighbours, by Euclidean distance in units of each feature's standard deviation.

    Attributes:
        neighbours: How many.
    """

    name = "object-name"
    version = "1"
    description = "mean of the nearest neighbours"
    neighbours: int = 5

    def __post_init__(self) -> None:
        if self.neighbours < 1:
            raise ww.UsageError(f"estimator {self.name}: neighbours={self.neighbours} is less than one")

    def ranges(self, columns: int) -> Mapping[str, ww.Between | ww.Among]:  # noqa: ARG002 - the same for any count
        """Return where options are searched."""
        return {"neighbours": ww.Between(1, 20)}

    def fit(self, features: npt.NDArray[np.float64], targets: npt.NDArray[np.float64], seed: int) -> ww.Fitted:  # noqa: ARG002 - nothing is random
        """Keep the networks."""
        deviation = features.std(axis=0)
        scale = np.where(deviation > 0.0, deviation, 1.0)
        return Neighbours(features.copy(), targets.copy(), scale, self.neighbours)


@ww.hookimpl
def ww_register_estimators() -> list[ww.Estimator]:
    """The estimators of this plugin."""
    return [ObjectName()]
