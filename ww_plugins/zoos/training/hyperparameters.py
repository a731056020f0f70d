"""What the networks of a zoo are trained with: ranges of the paper, and a draw of each for every network.

Source: T. Unterthiner et al., "Predicting Neural Network Accuracy from Weights", arXiv 2002.11448, appendix A.2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ww_plugins.zoos.training.draws import Draws

OPTIMIZERS = ("sgd", "adam", "rmsprop")
ACTIVATIONS = ("relu", "tanh")
TRAIN_FRACTIONS = (0.1, 0.25, 0.5, 1.0)
INITIALIZERS = ("he_normal", "glorot_normal", "orthogonal", "RandomNormal", "TruncatedNormal")
LEARNING_RATES = (5e-4, 5e-2)
L2_FACTORS = (1e-8, 1e-2)
DROPOUT_RATES = (0.0, 0.7)
INIT_STDS = (1e-3, 0.5)

DROPOUT_STEPS = 256
"""Dropout rates are multiples of 1 / 256: one random byte then decides about one unit."""

RANGES: dict[str, Any] = {
    "optimizer": {"one of": list(OPTIMIZERS)},
    "activation": {"one of": list(ACTIVATIONS)},
    "train_fraction": {"one of": list(TRAIN_FRACTIONS)},
    "w_init": {"one of": list(INITIALIZERS)},
    "learning_rate": {"log-uniform": list(LEARNING_RATES)},
    "l2reg": {"log-uniform": list(L2_FACTORS)},
    "dropout": {"uniform": list(DROPOUT_RATES), "multiple of": 1 / DROPOUT_STEPS},
    "init_std": {"log-uniform": list(INIT_STDS)},
}
"""The ranges, as ``zoo.json`` records them."""


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """What one network is trained with.

    Attributes:
        optimizer: ``sgd``, ``adam`` or ``rmsprop``.
        activation: ``relu`` or ``tanh``.
        train_fraction: Share of the training images that it sees.
        w_init: Distribution of the initial kernels, as Keras calls it.
        learning_rate: Constant over the training.
        l2reg: Factor of the sum of the squares of all kernels in the loss.
        dropout: Share of the units that are dropped after each hidden layer; a multiple of 1 / 256.
        init_std: Standard deviation of ``RandomNormal`` and ``TruncatedNormal``; the others do not use it.
        random_seed: Seed of its weights, its subset of the images, their order, and its dropout.
    """

    optimizer: str
    activation: str
    train_fraction: float
    w_init: str
    learning_rate: float
    l2reg: float
    dropout: float
    init_std: float
    random_seed: int

    @property
    def stratum(self) -> tuple[str, str, float]:
        """What networks that are trained side by side have in common."""
        return self.optimizer, self.activation, self.train_fraction


def drawn(seed: int, number: int, *, fresh_seed: bool) -> Hyperparameters:
    """Draw the hyperparameters of one network; they do not depend on how many networks there are.

    Args:
        seed: Seed of the zoo.
        number: Number of the network.
        fresh_seed: Whether the network has a random seed of its own, or that of the zoo.
    """
    draws = Draws(seed, "hyperparameters", number)
    u = draws.uniform(8).tolist()
    own_seed = int.from_bytes(draws.bytes(4).tobytes(), "little") >> 1
    low, high = DROPOUT_RATES
    return Hyperparameters(
        optimizer=_one_of(OPTIMIZERS, u[0]),
        activation=_one_of(ACTIVATIONS, u[1]),
        train_fraction=_one_of(TRAIN_FRACTIONS, u[2]),
        w_init=_one_of(INITIALIZERS, u[3]),
        learning_rate=_log_uniform(LEARNING_RATES, u[4]),
        l2reg=_log_uniform(L2_FACTORS, u[5]),
        dropout=round((low + u[6] * (high - low)) * DROPOUT_STEPS) / DROPOUT_STEPS,
        init_std=_log_uniform(INIT_STDS, u[7]),
        random_seed=own_seed if fresh_seed else seed,
    )


def _one_of(choices: tuple[Any, ...], u: float) -> Any:
    return choices[int(u * len(choices))]


def _log_uniform(ends: tuple[float, float], u: float) -> float:
    low, high = math.log(ends[0]), math.log(ends[1])
    return math.exp(low + u * (high - low))
