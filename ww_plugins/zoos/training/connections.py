"""How the units of a layer become the inputs of the next one, for many networks at once, and the way back.

Units have the shape (networks, images, height, width, channels), inputs of a layer (networks, images * positions,
1 + inputs), where the first of each is 1, for the bias, and is never written. A connection stands between arrays that
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


class Connection(ABC):
    """What lies between two layers."""

    @abstractmethod
    def forward(self) -> None:
        """Write the inputs of the layer from the units of the layer before."""

    @abstractmethod
    def backward(self) -> None:
        """Write the gradient by the units from the gradient by the inputs."""


class Windows(Connection):
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

        high, wide = STRIDE * rows, STRIDE * columns
        windows = by_inputs.view(networks, images, rows, columns, KERNEL, KERNEL, channels)
        self._borders = [by_units[:, :, high:], by_units[:, :, :high, wide:]]
        tiles = by_units[:, :, :high, :wide].view(networks, images, rows, 2, columns, 2, channels)
        self._tiles = (tiles, windows[..., :2, :2, :].permute(0, 1, 2, 4, 3, 5, 6))
        third_rows = by_units[:, :, 2 : high + 1 : 2]
        third_columns = by_units[:, :, :high, 2 : wide + 1 : 2].view(networks, images, rows, 2, columns, channels)
        self._overlaps = [
            (third_rows[:, :, :, :wide].view(networks, images, rows, columns, 2, channels), windows[..., 2, :2, :]),
            (third_rows[:, :, :, 2 : wide + 1 : 2], windows[..., 2, 2, :]),
            (third_columns, windows[..., :2, 2, :].permute(0, 1, 2, 4, 3, 5)),
        ]
        if by_units.shape[2:4] == (KERNEL, KERNEL):  # one window, which is the map
            self._borders, self._overlaps = [], []
            self._tiles = (by_units.view(by_inputs.shape), by_inputs)

    def forward(self) -> None:
        """Copy the windows."""
        self._inputs.copy_(self._windows)

    def backward(self) -> None:
        """Add the windows where they overlap.

        The first two rows and columns of the windows tile the maps, so they are copied in one go. The third row and
        the third column, which lie on the next window's first, are then added.
        """
        for border in self._borders:
            border.zero_()
        to, of = self._tiles
        to.copy_(of)
        for to, of in self._overlaps:
            to.add_(of)


class Mean(Connection):
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


class Flat(Connection):
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


def connection_of(
    layer: LayerForm, units: torch.Tensor, inputs: torch.Tensor, by_inputs: torch.Tensor, by_units: torch.Tensor
) -> Connection:
    """Return what lies before a layer that is not the first. Arguments as for ``Windows``."""
    match layer.before:
        case "windows":
            return Windows(layer, units, inputs, by_inputs, by_units)
        case "mean":
            return Mean(units, inputs, by_inputs, by_units)
        case "flat":
            return Flat(units, inputs, by_inputs, by_units)
