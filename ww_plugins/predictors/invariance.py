"""How much a prediction changes when weights are permuted or scaled (arXiv:2002.11448, section 4.4 and table 9).

None of the changes but one leaves the network as it was. Weights and biases scaled by c in the first layer, and biases
by c^2 in the second, c^3 in the third, keep all decisions of a network with ReLU; so a predictor should not mind it.
Weights and biases scaled by the same c, which the paper says to be harmless, change what the network decides wherever
a bias is not zero.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

import ww_core as ww
from ww_plugins.predictors.evaluating import unseen_features

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy.typing as npt

    from ww_plugins.predictors.predictor import Predictor

    Change = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]

SCALES = (0.001, 0.1, 0.5, 0.9, 1.1, 2.0, 10.0, 100.0)
"""By what weights are multiplied."""


@dataclass(frozen=True, slots=True)
class Deviation:
    """How much predictions change.

    Attributes:
        change: What was done to the weights.
        mad: Mean absolute deviation of the predictions from those of the weights as they were.
        greatest: The greatest of them.
        networks: How many networks.
    """

    change: str
    mad: float
    greatest: float
    networks: int


def deviations(
    predictor: Predictor,
    zoo: ww.Zoo,
    *,
    most: int = 1000,
    seed: int = 0,
    registry: ww.Registry | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Deviation]:
    """Change the weights of networks that a predictor has not seen, and see how much its predictions change.

    Args:
        predictor: The predictor.
        zoo: A zoo with its weights here; networks that the predictor was made with are left out.
        most: How many networks are taken, at random, at most.
        seed: Random seed.
        registry: Loaded plugins, if they are loaded already.
        progress: Is told how many changes are done, of how many.

    Raises:
        UsageError: The weights are not here, the layers are others, or no network is left.
    """
    if metrics := [label for label, _ in predictor.feature_versions if ":" not in label]:
        raise ww.UsageError(
            f"{', '.join(metrics)}: what a store has of the weights as they are is unknown of changed ones: take a "
            "predictor of feature sets, such as statistics"
        )
    rng = np.random.default_rng(seed)
    unseen = unseen_features(predictor, zoo, registry=registry).zoo
    taken = unseen.chosen(np.sort(rng.permutation(len(unseen))[:most]))
    weights = taken.weights().astype(np.float64)
    before = _predicted(predictor, taken, weights, registry)
    changes = list(_changes(taken, rng))
    told: list[Deviation] = []
    for name, change in changes:
        moved = np.abs(_predicted(predictor, taken, change(weights), registry) - before)
        told.append(Deviation(name, float(moved.mean()), float(moved.max()), len(taken)))
        if progress is not None:
            progress(len(told), len(changes))
    return told


def _predicted(
    predictor: Predictor, zoo: ww.Zoo, weights: npt.NDArray[np.float64], registry: ww.Registry | None
) -> npt.NDArray[np.float64]:
    own = replace(zoo, stored=weights, rows=np.arange(len(zoo)))
    found = ww.zoo_features(own, predictor.features, registry=registry)
    predictor.check_features(found)
    return predictor.predict(found.values)


def _changes(zoo: ww.Zoo, rng: np.random.Generator) -> Iterator[tuple[str, Change]]:
    """Name each change, and give what makes it of weights of shape (n, parameters)."""
    layers = zoo.layers
    wide = [own for own in layers if len(own.weight.shape) > 2]
    dense = [own for own in layers if len(own.weight.shape) == 2]
    every = [own for layer in layers for own in _columns(layer)]
    yield "all weights permuted, with biases", _permuted([np.concatenate(every)], rng)
    yield (
        "all weights permuted, biases apart",
        _permuted(
            [
                np.concatenate([np.arange(0), *(own[place] for own in map(_columns, layers) if place < len(own))])
                for place in (0, 1)
            ],
            rng,
        ),
    )
    for what, chosen in (("each layer", layers), ("the convolutions", wide), ("the dense layers", dense)):
        if chosen:
            yield (
                f"permuted within {what}, with biases",
                _permuted([np.concatenate(_columns(own)) for own in chosen], rng),
            )
            yield (
                f"permuted within {what}, biases apart",
                _permuted([part for own in chosen for part in _columns(own)], rng),
            )
    for scale in SCALES:
        yield f"all times {scale:g}", _scaled(np.full(zoo.parameters, scale))
        factors = np.full(zoo.parameters, scale)
        for depth, own in enumerate(layers):
            if own.bias is not None:
                factors[own.bias.start : own.bias.stop] = scale ** (depth + 1)
        yield f"all times {scale:g}, biases by depth", _scaled(factors)


def _columns(layer: ww.ZooLayer) -> list[npt.NDArray[np.int64]]:
    """Return which columns hold the weight of a layer, and which its bias."""
    return [np.arange(own.start, own.stop) for own in (layer.weight, layer.bias) if own is not None]


def _permuted(parts: Sequence[npt.NDArray[np.int64]], rng: np.random.Generator) -> Change:
    """Permute each part of every network on its own; each network in another way."""

    def change(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        moved = weights.copy()
        for columns in parts:
            if len(columns):
                moved[:, columns] = rng.permuted(weights[:, columns], axis=1)
        return moved

    return change


def _scaled(factors: npt.NDArray[Any]) -> Change:
    return lambda weights: weights * factors
