"""Many networks of one layout at once: their logits, and the gradients of their losses by a backward pass of our own.

The weights of all networks are one matrix, a row each. Networks get their images as windows beside a 1, so that every
layer is one batched product, and what makes the windows of a layer is a copy. Eight to sixteen networks with a batch of
32 keep what is in use in the cache of a core.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ww_plugins.zoos.training.networks import KERNEL, STRIDE
from ww_plugins.zoos.training.passages import passage_of

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch

    from ww_plugins.zoos.training.networks import Network


def first_inputs(network: Network, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return what the first layer reads of images: a 1, then the pixels of a window or of the whole image.

    Args:
        network: The network.
        images: Shape (n, height, width).

    Returns:
        Shape (n, positions, 1 + inputs), float32.
    """
    layer = network.layers[0]
    count = len(images)
    inputs = np.ones((count, layer.positions, 1 + layer.inputs), np.float32)
    if layer.before == "flat":
        inputs[:, 0, 1:] = images.reshape(count, -1)
    else:
        windows = np.lib.stride_tricks.sliding_window_view(images, (KERNEL, KERNEL), axis=(1, 2))
        inputs[:, :, 1:] = windows[:, ::STRIDE, ::STRIDE].reshape(count, layer.positions, layer.inputs)
    return inputs


class Layers:
    """The layers of all networks where they lie in the rows of their weights, or of gradients; cut once for many steps.

    Args:
        network: The layout.
        rows: (count, parameters).

    Attributes:
        matrices: Each layer, (count, 1 + inputs, outputs).
        kernels_back: The same without biases, transposed: (count, outputs, inputs).
    """

    def __init__(self, network: Network, rows: torch.Tensor) -> None:
        self.matrices = [
            rows[:, layer.start : layer.stop].view(len(rows), 1 + layer.inputs, layer.outputs)
            for layer in network.layers
        ]
        self.kernels_back = [matrix[:, 1:].transpose(1, 2) for matrix in self.matrices]


class Engine:
    """Computes with some networks of one layout side by side.

    Args:
        network: The layout.
        activation: ``relu`` or ``tanh``, of all of them.
        count: How many networks.
        device: Where it computes, as torch calls it.
        dtype: Of all numbers; float32 unless said.
    """

    def __init__(
        self,
        network: Network,
        activation: str,
        count: int,
        *,
        device: str = "cpu",
        dtype: torch.dtype | None = None,
    ) -> None:
        import torch

        self.network, self.count = network, count
        self.device, self.dtype = torch.device(device), dtype or torch.float32
        self._positions = network.layers[0].positions
        self._activate, self._activate_back = _ACTIVATIONS[activation]
        self._arrays: dict[int, _Arrays] = {}

    def logits(self, weights: Layers, inputs: torch.Tensor, keep: list[torch.Tensor] | None = None) -> torch.Tensor:
        """Compute the logits of a batch.

        Args:
            weights: Of all networks. With dropout, kernels behind it must be scaled: ``scales``.
            inputs: As ``first_inputs`` gives them, with images and positions as one axis:
                (count, images * positions, 1 + inputs), or (1, ...) if all networks see the same images.
            keep: For each hidden layer what dropout keeps (1) and drops (0), (count, images * units); None: no dropout.

        Returns:
            Shape (count, images, classes). The next call with as many images overwrites it.
        """
        import torch

        arrays = self._arrays_of(inputs.shape[1] // self._positions)
        reads, last = inputs.expand(self.count, -1, -1), len(weights.matrices) - 1
        for number, matrix in enumerate(weights.matrices):
            if number:
                arrays.passages[number].forward()
                reads = arrays.inputs[number]
            made = arrays.outputs[number]
            torch.bmm(reads, matrix, out=made)
            if number < last:
                self._activate(made)
                if keep is not None:
                    arrays.flat_outputs[number].mul_(keep[number])
        return arrays.outputs[-1]

    def gradients(
        self,
        weights: Layers,
        inputs: torch.Tensor,
        labels: torch.Tensor,
        keep: list[torch.Tensor] | None,
        out: Layers,
    ) -> None:
        """Compute the gradient of each network's mean cross entropy over a batch.

        Args:
            weights: As in ``logits``; the gradient is by these.
            inputs: As in ``logits``.
            labels: int64, (count, images), or (1, images).
            keep: As in ``logits``.
            out: Where it goes.
        """
        import torch

        logits = self.logits(weights, inputs, keep)
        images = logits.shape[1]
        arrays = self._arrays_of(images)
        by_outputs = torch.softmax(logits.transpose(1, 2), 1).transpose(1, 2)  # along the last axis torch is slower
        places = labels.expand(self.count, -1)[:, :, None]
        by_outputs.scatter_add_(2, places, by_outputs.new_full((1, 1, 1), -1.0).expand(places.shape))
        by_outputs.div_(images)
        for number in range(len(weights.matrices) - 1, -1, -1):
            columns = arrays.input_columns[number] if number else inputs.expand(self.count, -1, -1).transpose(1, 2)
            matrix = arrays.by_matrices[number]  # in one piece: into parts of rows torch would multiply one by one
            torch.bmm(columns, by_outputs, out=matrix)
            out.matrices[number].copy_(matrix)
            if not number:
                return
            torch.bmm(by_outputs, weights.kernels_back[number], out=arrays.by_inputs[number])
            arrays.passages[number].backward()
            by_outputs = arrays.by_outputs[number - 1]
            self._activate_back(by_outputs, arrays.outputs[number - 1], keep and keep[number - 1])

    def kept(self, field: torch.Tensor, thresholds: torch.Tensor, images: int) -> list[torch.Tensor]:
        """Decide which units dropout keeps.

        Args:
            field: A random number from 0 to 255 for every unit of a batch, (count, images * hidden units), or (1, ...);
                layers one after the other.
            thresholds: What a unit's number must reach, (count, 1).
            images: Images of a batch.

        Returns:
            For each hidden layer 1 or 0, (count, images * units). The next call overwrites it.
        """
        import torch

        start = 0
        kept = self._arrays_of(images).kept
        for own in kept:
            stop = start + own.shape[1]
            torch.ge(field[:, start:stop], thresholds, out=own)
            start = stop
        return kept

    def _arrays_of(self, images: int) -> _Arrays:
        if images not in self._arrays:
            self._arrays[images] = _Arrays(self, images)
        return self._arrays[images]


def scales(network: Network, dropout: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return by what weights are multiplied in the place of the units that dropout keeps, (count, parameters).

    A kept unit counts 1 / (1 - rate) times. That is the same as if the kernels which read it did, and these are fewer
    numbers. The gradient by the weights themselves has the same factors again.

    Args:
        network: The layout.
        dropout: Rate of each network, (count,).
    """
    factors = np.ones((len(dropout), network.parameters))
    for layer in network.layers[1:]:
        factors[:, layer.start + layer.outputs : layer.stop] = 1 / (1 - dropout[:, None])
    return factors


class _Arrays:
    """The arrays that a batch of some size needs, by number of the layer; what is never touched takes no memory.

    Attributes:
        outputs: What each layer makes, (count, images * positions, outputs).
        flat_outputs: The same as rows, (count, images * units).
        inputs: What it reads, (count, images * positions, 1 + inputs); empty for the first layer, which gets its own.
        input_columns: The same, transposed.
        by_outputs: The gradient by its outputs; empty for the last layer.
        by_inputs: The gradient by its inputs without the 1; empty for the first layer.
        by_matrices: The gradient by the layer itself, (count, 1 + inputs, outputs).
        kept: For each hidden layer what dropout keeps, (count, images * units).
        passages: What lies before it; None for the first layer.
    """

    def __init__(self, engine: Engine, images: int) -> None:
        import torch

        def new(*shape: int) -> torch.Tensor:
            return torch.empty((engine.count, *shape), dtype=engine.dtype, device=engine.device)

        layers, hidden = engine.network.layers, engine.network.hidden
        rows = [images * layer.positions for layer in layers]
        self.outputs = [new(count, layer.outputs) for count, layer in zip(rows, layers, strict=True)]
        self.inputs = [new(0, 0)] + [new(rows[at], 1 + layers[at].inputs) for at in range(1, len(layers))]
        for own in self.inputs[1:]:
            own[:, :, 0] = 1
        self.flat_outputs = [own.view(engine.count, -1) for own in self.outputs]
        self.input_columns = [own.transpose(1, 2) for own in self.inputs]
        self.by_outputs = [new(count, layer.outputs) for count, layer in zip(rows, hidden, strict=False)]
        self.by_inputs = [new(0)] + [new(rows[at], layers[at].inputs) for at in range(1, len(layers))]
        self.by_matrices = [new(1 + layer.inputs, layer.outputs) for layer in layers]
        self.kept = [new(images * layer.units) for layer in hidden]

        def as_maps(number: int, values: torch.Tensor) -> torch.Tensor:
            return values.view(engine.count, images, *layers[number].grid, layers[number].outputs)

        self.passages: list[Any] = [None]
        for at in range(1, len(layers)):
            units, by_units = (as_maps(at - 1, values[at - 1]) for values in (self.outputs, self.by_outputs))
            self.passages.append(passage_of(layers[at], units, self.inputs[at], self.by_inputs[at], by_units))


def _relu(values: torch.Tensor) -> None:
    values.relu_()


def _relu_back(gradient: torch.Tensor, outputs: torch.Tensor, keep: torch.Tensor | None) -> None:  # noqa: ARG001
    """Dropped units are 0 as those are that the activation made 0, so they need no second look."""
    import torch

    torch.ops.aten.threshold_backward.grad_input(gradient, outputs, 0, grad_input=gradient)


def _tanh(values: torch.Tensor) -> None:
    if values.device.type == "cpu":  # NumPy's takes a seventh of the time of torch's
        array = values.numpy()
        np.tanh(array, out=array)
    else:
        values.tanh_()


def _tanh_back(gradient: torch.Tensor, outputs: torch.Tensor, keep: torch.Tensor | None) -> None:
    import torch

    torch.ops.aten.tanh_backward.grad_input(gradient, outputs, grad_input=gradient)
    if keep is not None:
        gradient.view(len(gradient), -1).mul_(keep)


_ACTIVATIONS: dict[str, Any] = {"relu": (_relu, _relu_back), "tanh": (_tanh, _tanh_back)}
