"""How the units of a layer become the inputs of the next one, for many networks at once, and the way back.

Units have the shape (networks, images, height, width, channels), inputs of a layer (networks, images * positions,
1 + inputs), where the first of each is 1, for the bias, and is never written. A passage stands between arrays that
are there already, and cuts them into its parts once: allocating and cutting in every step takes longer than the
arithmetic.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from ww_plugins.zoos.training.networks import KERNEL, STRIDE

if TYPE_CHECKING:
    import torch

    from ww_plugins.zoos.training.networks import LayerForm


class Passage(ABC):
    """What lies between two layers."""

    @abstractmethod
    def forward(self) -> None:
        """Write the inputs of the layer from the units of the layer before."""

    @abstractmethod
    def backward(self) -> None:
        """Write the gradient by the units from the gradient by the inputs."""


class Windows(Passage):
    """Windows of 3 x 3 at every second row and column, without padding; row, then column, then channel.

    Args:
        layer: The layer that reads the windows.
        units: Of the layer before, contiguous.
        inputs: Of the layer.
        by_inputs: The gradient by the inputs without the 1, (networks, images * positions, inputs), contiguous.
        by_units: The gradient by the units, contiguous.
    """

    def __init__(
        self,
        layer: LayerForm,
        units: torch.Tensor,
        inputs: torch.Tensor,
        by_inputs: torch.Tensor,
        by_units: torch.Tensor,
    ) -> None:
        networks, images, _, _, channels = units.shape
        rows, columns = layer.grid
        of_network, of_image, of_row, of_column, _ = units.stride()
        self._windows = units.as_strided(  # a row of a window lies in one piece
            (networks, images, rows, columns, KERNEL, KERNEL * channels),
            (of_network, of_image, STRIDE * of_row, STRIDE * of_column, of_row, 1),
        )
        self._inputs = inputs[:, :, 1:].view(self._windows.shape)

        self._by_units = by_units
        of_window = by_inputs.view(networks, images, rows, columns, KERNEL, KERNEL * channels)
        self._overlaps = []
        for one in range(2):  # every second window of a row: these do not overlap
            for high in (slice(0, STRIDE), slice(STRIDE, KERNEL)):  # nor do these rows of them
                part = of_window[:, :, :, one::2, high]
                strides = (of_network, of_image, STRIDE * of_row, 2 * STRIDE * of_column, of_row, 1)
                place = by_units[0, 0, high.start, STRIDE * one].storage_offset() if part.numel() else 0
                self._overlaps.append((by_units.as_strided(part.shape, strides, place), part))
        self._is_whole = by_units.shape[2:4] == (KERNEL, KERNEL)  # one window, which is the map
        self._by_inputs = by_inputs.view(by_units.shape) if self._is_whole else by_inputs

    def forward(self) -> None:
        """Copy the windows."""
        self._inputs.copy_(self._windows)

    def backward(self) -> None:
        """Add the windows, which overlap, a row of each in one piece."""
        if self._is_whole:
            self._by_units.copy_(self._by_inputs)
            return
        self._by_units.zero_()
        for to, of in self._overlaps:
            to.add_(of)


class Mean(Passage):
    """The mean over all positions. Arguments as for ``Windows``."""

    def __init__(
        self, units: torch.Tensor, inputs: torch.Tensor, by_inputs: torch.Tensor, by_units: torch.Tensor
    ) -> None:
        self._positions = units.shape[2] * units.shape[3]
        self._units, self._inputs = units.flatten(2, 3), inputs[:, :, 1:]
        self._by_inputs, self._by_units = by_inputs[:, :, None], by_units.flatten(2, 3)

    def forward(self) -> None:
        """Write the means."""
        if self._positions == 1:
            self._inputs.copy_(self._units[:, :, 0])
        else:
            self._inputs.copy_(self._units.mean(2))

    def backward(self) -> None:
        """Give every position its part."""
        self._by_units.copy_(self._by_inputs / self._positions)


class Flat(Passage):
    """All units as they are, of layers that have one position. Arguments as for ``Windows``."""

    def __init__(
        self, units: torch.Tensor, inputs: torch.Tensor, by_inputs: torch.Tensor, by_units: torch.Tensor
    ) -> None:
        self._units, self._inputs = units[:, :, 0, 0], inputs[:, :, 1:]
        self._by_inputs, self._by_units = by_inputs, by_units[:, :, 0, 0]

    def forward(self) -> None:
        """Copy them."""
        self._inputs.copy_(self._units)

    def backward(self) -> None:
        """Copy them back."""
        self._by_units.copy_(self._by_inputs)


def passage_of(
    layer: LayerForm, units: torch.Tensor, inputs: torch.Tensor, by_inputs: torch.Tensor, by_units: torch.Tensor
) -> Passage:
    """Return what lies before a layer that is not the first. Arguments as for ``Windows``."""
    match layer.before:
        case "windows":
            return Windows(layer, units, inputs, by_inputs, by_units)
        case "mean":
            return Mean(units, inputs, by_inputs, by_units)
        case "flat":
            return Flat(units, inputs, by_inputs, by_units)
