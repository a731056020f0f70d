"""Norms of each tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

import ww_core as ww
from ww_plugins.feature_sets.places import Layers, chosen_layers, places_of

if TYPE_CHECKING:
    import numpy.typing as npt


@dataclass(frozen=True)
class Norms(ww.FeatureSet):
    """The p-norm of the numbers of each tensor: (sum |w|^p)^(1/p), of any size that a double has.

    Unterthiner et al., arXiv:2002.11448, table 7.

    Attributes:
        p: 1 or more.
        layers: As for ``statistics``.
    """

    name = "norms"
    version = "1"
    description = "p-norm of the weight and the bias of each layer: 8 for four layers"
    p: float = 2.0
    layers: Layers = "all"

    def __post_init__(self) -> None:
        if not 1.0 <= self.p < np.inf:
            raise ww.UsageError(f"feature set norms: p={self.p:g} gives no norm: it is 1 or more")

    def names(self, zoo: ww.Zoo) -> tuple[str, ...]:
        """Return ``layer1.weight.norm2`` and so on."""
        places = places_of(chosen_layers(zoo, self.layers))
        return tuple(f"{place.name}.norm{repr(float(self.p)).removesuffix('.0')}" for place in places)

    def features(self, zoo: ww.Zoo) -> npt.NDArray[np.float64]:
        """Return them for all checkpoints."""
        tensors = [place.tensor for place in places_of(chosen_layers(zoo, self.layers))]
        found = np.empty((len(zoo), len(tensors)))
        for rows, weights in zoo.blocks():
            for at, tensor in enumerate(tensors):
                found[rows, at] = _norms(weights[:, tensor.start : tensor.stop], self.p)
        return found


def _norms(numbers: npt.NDArray[np.float64], p: float) -> npt.NDArray[np.float64]:
    """Return the p-norm of each row, NaN where a number is not finite; its powers are of the share of the largest one.

    The power of a share that is nothing beside the largest one is zero, whatever p is, and no power is too large.
    """
    sizes = np.abs(numbers)
    largest = sizes.max(axis=1)
    norms = np.where(largest == 0.0, 0.0, np.nan)
    known = np.isfinite(largest) & (largest > 0.0)
    shares = sizes[known] / largest[known, None]
    norms[known] = largest[known] * np.sum(shares**p, axis=1) ** (1.0 / p)
    return norms
