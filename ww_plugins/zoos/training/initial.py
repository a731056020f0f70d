"""Initial weights, by the formulas of Keras's initialisers; biases are zero."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ww_plugins.zoos.training.draws import Draws

if TYPE_CHECKING:
    import numpy.typing as npt

    from ww_plugins.zoos.training.hyperparameters import Hyperparameters
    from ww_plugins.zoos.training.networks import LayerForm, Network

TRUNCATED_STD = 0.87962566103423978
"""Standard deviation of a standard normal number, given that it lies in [-2, 2]."""


def initial_weights(network: Network, chosen: Hyperparameters) -> npt.NDArray[np.float64]:
    """Return the weights of a network before its training, shape (parameters,).

    Two networks with one seed and one ``w_init`` have the same draws, perhaps of another size.
    """
    weights = np.zeros(network.parameters)
    for number, layer in enumerate(network.layers):
        draws = Draws(chosen.random_seed, "weights", number)
        weights[layer.start + layer.outputs : layer.stop] = _kernel(layer, chosen, draws).ravel()
    return weights


def _kernel(layer: LayerForm, chosen: Hyperparameters, draws: Draws) -> npt.NDArray[np.float64]:
    """Return a kernel as a matrix (inputs, outputs), which is how it lies in memory.

    Fans are those of Keras: a position of the kernel counts on both sides.
    """
    count = layer.inputs * layer.outputs
    field = math.prod(layer.kernel[:-2])
    fan_in, fan_out = layer.inputs, layer.outputs * field
    shape = (layer.inputs, layer.outputs)
    match chosen.w_init:
        case "he_normal":
            values = draws.truncated_normal(count) * (math.sqrt(2 / fan_in) / TRUNCATED_STD)
        case "glorot_normal":
            values = draws.truncated_normal(count) * (math.sqrt(2 / (fan_in + fan_out)) / TRUNCATED_STD)
        case "RandomNormal":
            values = draws.normal(count) * chosen.init_std
        case "TruncatedNormal":  # here Keras does not make up for what is cut off
            values = draws.truncated_normal(count) * chosen.init_std
        case _:
            return _orthogonal(draws, shape)
    return values.reshape(shape)


def _orthogonal(draws: Draws, shape: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Return a matrix whose columns, or rows if they are fewer, are orthonormal; uniform among these."""
    tall = draws.normal(shape[0] * shape[1]).reshape(max(shape), min(shape))
    q, r = np.linalg.qr(tall)
    q *= np.sign(np.diag(r))
    return np.ascontiguousarray(q if shape[0] >= shape[1] else q.T)
