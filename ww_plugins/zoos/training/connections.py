"""How the units of a layer become the inputs of the next one, for many networks at once, and the way back.

Units have the shape (networks, images, height, width, channels), inputs of a layer (networks, images * positions,
1 + inputs), where the first of each is 1, for the bias, and is never written. Everything goes into arrays that are
there already: allocating them anew in every step takes longer than the arithmetic.
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
    def forward(self, units: torch.Tensor, inputs: torch.Tensor) -> None:
        """Write the inputs of a layer.

        Args:
            units: Of the layer before, (networks, images, height, width, channels), contiguous.
            inputs: Where they go, (networks, images * positions, 1 + inputs).
        """

    @abstractmethod
    def backward(self, by_inputs: torch.Tensor, by_units: torch.Tensor) -> None:
        """Write the gradient by the units.

        Args:
            by_inputs: The gradient by the inputs without the 1, (networks, images * positions, inputs), contiguous.
            by_units: Where it goes, (networks, images, height, width, channels), contiguous.
        """


class Windows(Connection):
    """Windows of 3 x 3 at every second row and column, without padding; row, then column, then channel."""

    def __init__(self, layer: LayerForm) -> None:
        self._rows, self._columns = layer.grid

    def forward(self, units: torch.Tensor, inputs: torch.Tensor) -> None:
        """Copy the windows; a row of one lies in one piece."""
        networks, images, _, width, channels = units.shape
        rows, columns = self._rows, self._columns
        of_network, of_image, of_row, of_column, _ = units.stride()
        windows = units.as_strided(
            (networks, images, rows, columns, KERNEL, KERNEL * channels),
            (of_network, of_image, STRIDE * of_row, STRIDE * of_column, of_row, 1),
        )
        inputs[:, :, 1:].view(windows.shape).copy_(windows)

    def backward(self, by_inputs: torch.Tensor, by_units: torch.Tensor) -> None:
        """Add the windows where they overlap.

        The first two rows and columns of the windows tile the maps, so they are copied in one go. The third row and
        the third column, which lie on the next window's first, are then added.
        """
        networks, images, _, _, channels = by_units.shape
        rows, columns = self._rows, self._columns
        high, wide = STRIDE * rows, STRIDE * columns
        windows = by_inputs.view(networks, images, rows, columns, KERNEL, KERNEL, channels)
        by_units[:, :, high:].zero_()
        by_units[:, :, :high, wide:].zero_()
        tiles = by_units[:, :, :high, :wide].unflatten(3, (columns, 2)).unflatten(2, (rows, 2))
        tiles.copy_(windows[..., :2, :2, :].permute(0, 1, 2, 4, 3, 5, 6))
        third_rows = by_units[:, :, 2 : high + 1 : 2]
        third_rows[:, :, :, :wide].unflatten(3, (columns, 2)).add_(windows[..., 2, :2, :])
        third_rows[:, :, :, 2 : wide + 1 : 2].add_(windows[..., 2, 2, :])
        third_columns = by_units[:, :, :high, 2 : wide + 1 : 2]
        third_columns.unflatten(2, (rows, 2)).add_(windows[..., :2, 2, :].permute(0, 1, 2, 4, 3, 5))


class Mean(Connection):
    """The mean over all positions."""

    def forward(self, units: torch.Tensor, inputs: torch.Tensor) -> None:
        """Write the means."""
        inputs[:, :, 1:] = units.mean((2, 3))

    def backward(self, by_inputs: torch.Tensor, by_units: torch.Tensor) -> None:
        """Give every position its part."""
        positions = by_units.shape[2] * by_units.shape[3]
        by_units.copy_((by_inputs / positions)[:, :, None, None, :].expand(by_units.shape))


class Flat(Connection):
    """All units as they are, of layers that have one position."""

    def forward(self, units: torch.Tensor, inputs: torch.Tensor) -> None:
        """Copy them."""
        inputs[:, :, 1:] = units[:, :, 0, 0]

    def backward(self, by_inputs: torch.Tensor, by_units: torch.Tensor) -> None:
        """Copy them back."""
        by_units[:, :, 0, 0] = by_inputs


def connection_of(layer: LayerForm) -> Connection:
    """Return what lies before a layer that is not the first."""
    match layer.before:
        case "windows":
            return Windows(layer)
        case "mean":
            return Mean()
        case "flat":
            return Flat()
