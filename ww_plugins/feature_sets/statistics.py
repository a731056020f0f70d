"""Seven numbers of each tensor: mean, variance, and five percentiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

import ww_core as ww
from ww_plugins.feature_sets.places import Layers, chosen_layers, places_of

if TYPE_CHECKING:
    import numpy.typing as npt

PERCENTILES = (0, 25, 50, 75, 100)

STATISTICS = ("mean", "variance", *(f"q{percent}" for percent in PERCENTILES))
"""What features of a tensor are called, in the paper's order."""


@dataclass(frozen=True)
class Statistics(ww.FeatureSet):
    """S_l(W): mean, variance and percentiles 0, 25, 50, 75, 100 of the weight and of the bias of each layer.

    The variance divides by n, and percentiles between two numbers are linear. All are as they are whatever the order of
    the units of a layer. Unterthiner et al., arXiv:2002.11448, section 4.

    Attributes:
        layers: ``all``, ``first``, ``last``, or ``ends``: the first and the last.
    """

    name = "statistics"
    version = "1"
    description = "mean, variance and percentiles of the weight and the bias of each layer: 56 for four layers"
    layers: Layers = "all"

    def names(self, zoo: ww.Zoo) -> tuple[str, ...]:
        """Return ``layer1.weight.mean`` and so on: layers in their order, weight before bias."""
        places = places_of(chosen_layers(zoo, self.layers))
        return tuple(f"{place.name}.{what}" for place in places for what in STATISTICS)

    def features(self, zoo: ww.Zoo) -> npt.NDArray[np.float64]:
        """Return them for all checkpoints."""
        tensors = [place.tensor for place in places_of(chosen_layers(zoo, self.layers))]
        found = np.empty((len(zoo), len(tensors) * len(STATISTICS)))
        for rows, weights in zoo.blocks():
            own = [statistics_of(weights[:, tensor.start : tensor.stop]) for tensor in tensors]
            found[rows] = np.concatenate(own, axis=1)
        return found


@dataclass(frozen=True)
class RelativeStatistics(ww.FeatureSet):
    """S_l(W) of weights in units of their root mean square, which scaling a layer does not change.

    The numbers of each weight are divided by their root mean square r_l, those of a bias by r_1 r_2 ... r_l. A network
    of ReLU units whose weight l is multiplied by c_l > 0, and bias l by c_1 ... c_l, computes the same up to a factor
    and has the same features. Of biases it is the inverse hyperbolic sine, which keeps small numbers as they are: where
    regularization has shrunk the weights to nothing, those would be of any size. A layer whose weight is zero has none.

    Attributes:
        layers: As for ``statistics``; the factors are those of all layers before, whichever are chosen.
    """

    name = "relative-statistics"
    version = "1"
    description = "statistics of weights in units of their root mean square: scaling a layer changes nothing"
    layers: Layers = "all"

    def names(self, zoo: ww.Zoo) -> tuple[str, ...]:
        """Return the names of ``statistics`` with ``relative.`` before them."""
        return tuple(f"relative.{name}" for name in Statistics(self.layers).names(zoo))

    def features(self, zoo: ww.Zoo) -> npt.NDArray[np.float64]:
        """Return them for all checkpoints."""
        chosen = {layer.name for _, layer in chosen_layers(zoo, self.layers)}
        parts = []
        for _, weights in zoo.blocks():
            weights[~np.isfinite(weights).all(axis=1)] = np.nan  # of infinity over infinity NumPy would warn
            logarithm = np.zeros(len(weights))
            own = []
            for layer in zoo.layers:
                weight = weights[:, layer.weight.start : layer.weight.stop]
                size = _root_mean_square(weight)
                logarithm += np.log(size)
                if layer.name not in chosen:
                    continue
                own.append(statistics_of(weight / size[:, None]))
                if layer.bias is not None:
                    bias = weights[:, layer.bias.start : layer.bias.stop]
                    own.append(statistics_of(_inverse_sinh(bias, logarithm)))
            parts.append(np.concatenate(own, axis=1))
        return np.concatenate(parts) if parts else np.empty((0, len(self.names(zoo))))


@dataclass(frozen=True)
class GlobalStatistics(ww.FeatureSet):
    """S(W): mean, variance and percentiles of all numbers of a network together.

    Unterthiner et al., arXiv:2002.11448, section 4.
    """

    name = "global-statistics"
    version = "1"
    description = "mean, variance and percentiles of all weights and biases together: 7"

    def names(self, zoo: ww.Zoo) -> tuple[str, ...]:  # noqa: ARG002 - they are the same for every zoo
        """Return ``all.mean`` and so on."""
        return tuple(f"all.{what}" for what in STATISTICS)

    def features(self, zoo: ww.Zoo) -> npt.NDArray[np.float64]:
        """Return them for all checkpoints."""
        found = np.empty((len(zoo), len(STATISTICS)))
        for rows, weights in zoo.blocks():
            found[rows] = statistics_of(weights)
        return found


_LARGE = 300.0
"""Logarithm from which on asinh(x) is ln(2 x) to the last digit."""


def statistics_of(numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return mean, variance and percentiles of each row.

    Args:
        numbers: Shape (B, n), float64.

    Returns:
        Shape (B, 7); NaN for a row of which some number is not finite.
    """
    ordered = np.sort(numbers, axis=1)
    is_finite = np.isfinite(ordered[:, 0]) & np.isfinite(ordered[:, -1])  # NaN is sorted to the end
    found = np.full((len(numbers), len(STATISTICS)), np.nan)
    kept, own = numbers[is_finite], ordered[is_finite]
    found[is_finite, 0] = kept.mean(axis=1)
    found[is_finite, 1] = kept.var(axis=1)
    for at, percent in enumerate(PERCENTILES, 2):
        place = (own.shape[1] - 1) * (percent / 100.0)
        below = int(place)
        above = min(below + 1, own.shape[1] - 1)
        share = place - below
        found[is_finite, at] = own[:, below] * (1.0 - share) + own[:, above] * share
    return found


def _inverse_sinh(numbers: npt.NDArray[np.float64], logarithm: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return asinh of each row over the exponential of its logarithm, which may be of any size."""
    with np.errstate(divide="ignore"):  # the logarithm of a bias of zero is minus infinity, and its asinh is zero
        size = np.log(np.abs(numbers)) - logarithm[:, None]
    beyond = np.maximum(size - _LARGE, 0.0)
    found: npt.NDArray[np.float64] = np.sign(numbers) * (np.arcsinh(np.exp(np.minimum(size, _LARGE))) + beyond)
    return found


def _root_mean_square(numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the root mean square of each row; NaN where all are zero, so that nothing is divided by it."""
    size = np.sqrt(np.einsum("bn,bn->b", numbers, numbers) / numbers.shape[1])
    return np.where(size > 0.0, size, np.nan)
