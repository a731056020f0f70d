"""The two networks of a zoo: which tensors they have, and how their layers follow on each other.

A layer is one matrix (1 + inputs, outputs) whose first row is the bias. In a row of weights the bias stands before the
kernel, and a kernel is stored as Keras does, (height, width, in, out) or (in, out). So this matrix is a part of the row
as it lies, and bias and kernel act in one product.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import ww_core as ww

KERNEL, STRIDE = 3, 2
FILTERS, CONVOLUTIONS = 16, 3
HIDDEN_LAYERS = 3
WIDTHS = (8, 16, 32, 64)
SMALLEST_SIDE = 15
"""Pixels: what is smaller does not survive three convolutions of stride 2 without padding."""


@dataclass(frozen=True, slots=True)
class LayerForm:
    """A layer of a network.

    Attributes:
        name: Its name, as Keras gives it.
        kernel: Shape of its kernel as it is stored.
        grid: Positions at which it is applied, (height, width); (1, 1) for dense layers.
        before: What makes its inputs from the maps of the layer before: ``windows`` of 3 x 3, their ``mean`` over all
            positions, or all units as they are (``flat``). The first layer gets its inputs ready-made.
        start: Column of its first bias in a row of weights.
    """

    name: str
    kernel: tuple[int, ...]
    grid: tuple[int, int]
    before: Literal["windows", "mean", "flat"]
    start: int

    @property
    def inputs(self) -> int:
        """Numbers that it reads at one position, without the 1 of the bias."""
        return math.prod(self.kernel[:-1])

    @property
    def outputs(self) -> int:
        """Numbers that it makes at one position."""
        return self.kernel[-1]

    @property
    def stop(self) -> int:
        """Column after its last one."""
        return self.start + (1 + self.inputs) * self.outputs

    @property
    def positions(self) -> int:
        """At how many positions it is applied."""
        return math.prod(self.grid)

    @property
    def units(self) -> int:
        """How many numbers it makes of an image."""
        return self.positions * self.outputs


@dataclass(frozen=True, slots=True)
class Network:
    """A kind of network for images of one size.

    Attributes:
        kind: ``cnn`` or ``mlp``.
        layers: Its layers, in order; the last one gives the logits, the others an activation and dropout.
    """

    kind: Literal["cnn", "mlp"]
    layers: tuple[LayerForm, ...]

    @property
    def parameters(self) -> int:
        """Numbers in a row of weights."""
        return self.layers[-1].stop

    @property
    def hidden(self) -> tuple[LayerForm, ...]:
        """All layers but the last."""
        return self.layers[:-1]

    @property
    def hidden_units(self) -> int:
        """How many units of an image dropout decides about."""
        return sum(layer.units for layer in self.hidden)

    @property
    def tensors(self) -> tuple[ww.ZooTensor, ...]:
        """Its tensors, in the order of a row, named as in the published zoo."""
        tensors = []
        for layer in self.layers:
            middle = layer.start + layer.outputs
            tensors += [
                ww.ZooTensor(f"{layer.name}/bias:0", layer.name, "bias", layer.start, middle, (layer.outputs,)),
                ww.ZooTensor(f"{layer.name}/kernel:0", layer.name, "weight", middle, layer.stop, layer.kernel),
            ]
        return tuple(tensors)


def network_of(kind: Literal["cnn", "mlp"], image: tuple[int, int], classes: int, width: int) -> Network:
    """Return the network of a kind.

    Args:
        kind: ``cnn``, the paper's: three convolutions of 16 filters of 3 x 3, stride 2, no padding, the mean over all
            positions, a dense layer. ``mlp``, that of its appendix: three hidden layers.
        image: Height and width of the images, which have one channel.
        classes: Number of classes.
        width: Units of each hidden layer of an ``mlp``.

    Raises:
        UsageError: The images are too small for a ``cnn``.
    """
    return Network("cnn", _cnn(image, classes)) if kind == "cnn" else Network("mlp", _mlp(image, classes, width))


def _cnn(image: tuple[int, int], classes: int) -> tuple[LayerForm, ...]:
    if min(image) < SMALLEST_SIDE:
        raise ww.UsageError(
            f"images of {image[0]} x {image[1]} are too small for a cnn, which needs {SMALLEST_SIDE} x "
            f"{SMALLEST_SIDE}: take --network mlp"
        )
    layers: list[LayerForm] = []
    grid, channels, start = image, 1, 0
    for number in range(CONVOLUTIONS):
        grid = ((grid[0] - KERNEL) // STRIDE + 1, (grid[1] - KERNEL) // STRIDE + 1)
        kernel = (KERNEL, KERNEL, channels, FILTERS)
        layers.append(LayerForm(f"sequential/{_numbered('conv2d', number)}", kernel, grid, "windows", start))
        channels, start = FILTERS, layers[-1].stop
    return (*layers, LayerForm("sequential/dense", (FILTERS, classes), (1, 1), "mean", start))


def _mlp(image: tuple[int, int], classes: int, width: int) -> tuple[LayerForm, ...]:
    layers: list[LayerForm] = []
    inputs, start = math.prod(image), 0
    for number, outputs in enumerate([width] * HIDDEN_LAYERS + [classes]):
        name = f"sequential/{_numbered('dense', number)}"
        layers.append(LayerForm(name, (inputs, outputs), (1, 1), "flat", start))
        inputs, start = outputs, layers[-1].stop
    return tuple(layers)


def _numbered(name: str, number: int) -> str:
    return f"{name}_{number}" if number else name
