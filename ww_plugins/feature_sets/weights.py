"""The weights themselves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

import ww_core as ww

if TYPE_CHECKING:
    import numpy.typing as npt


@dataclass(frozen=True)
class Weights(ww.FeatureSet):
    """W: all weights and biases of a network, in the order in which they are stored; or W_l, those of one layer.

    Unterthiner et al., arXiv:2002.11448, section 4.

    Attributes:
        layer: Number of the layer, from 1; 0 for all.
    """

    name = "weights"
    version = "1"
    description = "all weights and biases as they are stored, or those of one layer"
    layer: int = 0

    def names(self, zoo: ww.Zoo) -> tuple[str, ...]:
        """Return ``sequential/conv2d/bias:0[3]`` and so on.

        Raises:
            UsageError: There is no layer of this number.
        """
        return tuple(f"{own.name}[{at}]" for own in self._tensors(zoo) for at in range(own.stop - own.start))

    def features(self, zoo: ww.Zoo) -> npt.NDArray[np.float64]:
        """Return them for all checkpoints."""
        columns = np.concatenate([np.arange(own.start, own.stop) for own in self._tensors(zoo)])
        found = np.empty((len(zoo), len(columns)))
        for rows, weights in zoo.blocks():
            found[rows] = weights[:, columns]
        return found

    def _tensors(self, zoo: ww.Zoo) -> list[ww.ZooTensor]:
        if not zoo.tensors:
            zoo.stored_rows()  # says that the weights are not here
        if self.layer == 0:
            return list(zoo.tensors)
        if not 0 < self.layer <= len(zoo.layers):
            raise ww.UsageError(f"zoo {zoo.name}: there is no layer {self.layer}: it has {len(zoo.layers)}")
        name = zoo.layers[self.layer - 1].name
        return [own for own in zoo.tensors if own.layer == name]


@dataclass(frozen=True)
class SortedWeights(ww.FeatureSet):
    """W with the units of each layer but the last in the order of their biases, and the inputs of the next one alike.

    The network that they make computes the same. Two networks that differ in the order of their units alone have the
    same features, as long as no two biases of a layer are equal; units of equal biases are in the order of the means
    of their weights.

    Of networks whose layers follow one another: the inputs of each are the outputs of the one before, or several
    positions of each of these, output by output as flattening a picture of channels last makes them. A norm, whose
    weight has one axis, is sorted as the layer before it.
    """

    name = "sorted-weights"
    version = "1"
    description = "all weights and biases, the units of each layer sorted by their biases"

    def names(self, zoo: ww.Zoo) -> tuple[str, ...]:
        """Return the names of ``weights`` with ``sorted.`` before them."""
        return tuple(f"sorted.{name}" for name in Weights().names(zoo))

    def features(self, zoo: ww.Zoo) -> npt.NDArray[np.float64]:
        """Return them for all checkpoints.

        Raises:
            UsageError: The layers do not follow one another.
        """
        layers = _chain(zoo)
        for before, after in pairwise(layers):
            norms = [(norm.name, norm.weight.shape[0]) for norm in before.norms]
            for name, inputs in (*norms, (after.layer.name, after.inputs)):
                if inputs % before.outputs:
                    raise ww.UsageError(
                        f"zoo {zoo.name}: layer {name} has {inputs} inputs, and the one before "
                        f"{before.outputs} outputs: units are sorted where layers follow one another"
                    )
        found = np.empty((len(zoo), zoo.parameters))
        for rows, weights in zoo.blocks():
            for before, after in pairwise(layers):
                before.sort(weights, after)
            found[rows] = weights
        return found


def _chain(zoo: ww.Zoo) -> list[_Chained]:
    """Return the layers that have units, each with the norms that follow it; a norm before them all has no units."""
    chain: list[_Chained] = []
    for layer in zoo.layers:
        if len(layer.weight.shape) > 1:
            chain.append(_Chained.of(zoo, layer))
        elif chain:
            chain[-1].norms.append(layer)
    return chain


@dataclass(frozen=True, slots=True)
class _Chained:
    """A layer as a row of units.

    Attributes:
        layer: The layer.
        norms: The norms between it and the next one.
        outputs: Its units.
        inputs: What each of them takes, at each position of a kernel.
        is_last: Whether the axes of inputs and outputs are the last ones of the weight, as Keras has them.
    """

    layer: ww.ZooLayer
    norms: list[ww.ZooLayer]
    outputs: int
    inputs: int
    is_last: bool

    @classmethod
    def of(cls, zoo: ww.Zoo, layer: ww.ZooLayer) -> _Chained:
        is_last = zoo.layout == "keras"
        shape = layer.weight.shape
        outputs, inputs = (shape[-1], shape[-2]) if is_last else (shape[0], shape[1])
        return cls(layer, [], outputs, inputs, is_last)

    def sort(self, weights: npt.NDArray[np.float64], after: _Chained) -> None:
        """Sort the units of every row, and what norms and the next layer do with them alike, in place."""
        own = self._by_output(weights)
        means = own.mean(axis=2)
        if self.layer.bias is None:
            order = np.argsort(means, axis=1, kind="stable")
        else:
            columns = slice(self.layer.bias.start, self.layer.bias.stop)
            order = np.lexsort((means, weights[:, columns]), axis=1)
            weights[:, columns] = np.take_along_axis(weights[:, columns], order, axis=1)
        self._put_by_output(weights, np.take_along_axis(own, order[:, :, None], axis=1))
        for tensor in (tensor for norm in self.norms for tensor in (norm.weight, norm.bias) if tensor is not None):
            own = weights[:, tensor.start : tensor.stop]
            own[:] = np.take_along_axis(own, self._places(order, own.shape[1]), axis=1)
        after.take_inputs(weights, self._places(order, after.inputs))

    def _places(self, order: npt.NDArray[np.int64], inputs: int) -> npt.NDArray[np.int64]:
        """Return which of so many inputs of what follows comes to each place, if units come in an order."""
        positions = np.arange(inputs // self.outputs)
        if self.is_last:
            places = positions[:, None] * self.outputs + order[:, None, :]
        else:
            places = order[:, :, None] * len(positions) + positions
        return places.reshape(len(order), -1)

    def _by_output(self, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the weight of every row as (B, outputs, rest)."""
        flat = weights[:, self.layer.weight.start : self.layer.weight.stop]
        if self.is_last:
            return flat.reshape(len(flat), -1, self.outputs).transpose(0, 2, 1)
        return flat.reshape(len(flat), self.outputs, -1)

    def _put_by_output(self, weights: npt.NDArray[np.float64], own: npt.NDArray[np.float64]) -> None:
        stored = own.transpose(0, 2, 1) if self.is_last else own
        weights[:, self.layer.weight.start : self.layer.weight.stop] = stored.reshape(len(own), -1)

    def take_inputs(self, weights: npt.NDArray[np.float64], places: npt.NDArray[np.int64]) -> None:
        """Put the inputs of every row in another order, in place.

        Args:
            weights: Shape (B, parameters).
            places: For each row, which input comes to each place, shape (B, inputs).
        """
        columns = slice(self.layer.weight.start, self.layer.weight.stop)
        shape = self.layer.weight.shape
        kernel = math.prod(shape) // (self.inputs * self.outputs)
        flat = weights[:, columns]
        if self.is_last:
            own = flat.reshape(len(flat), kernel, self.inputs, self.outputs)
            moved = np.take_along_axis(own, places[:, None, :, None], axis=2)
        else:
            own = flat.reshape(len(flat), self.outputs, self.inputs, kernel)
            moved = np.take_along_axis(own, places[:, None, :, None], axis=2)
        weights[:, columns] = moved.reshape(len(flat), -1)
