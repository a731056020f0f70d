"""The groups of convolutions that a person gave, where the source does not tell them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ww_core.domain.globs import choose_layers
from ww_core.errors import UsageError

if TYPE_CHECKING:
    from ww_core.domain.layer import Layer


def with_groups(layers: Sequence[Layer], groups: Sequence[tuple[str, int]]) -> list[Layer]:
    """Return the layers with the groups a person gave: pairs of a glob and a count.

    Raises:
        UsageError: A count does not divide the layer's output channels, or the layer is no convolution.
        UnknownNameError: A glob matches no layer.
    """
    if not groups:
        return list(layers)
    given: dict[str, int] = {}
    for glob, count in groups:
        for layer in choose_layers(layers, [glob]):
            if not layer.kind.is_convolution:
                raise UsageError(f"layer {layer.name!r} is {layer.kind}: only convolutions have groups")
            if count < 1 or layer.shape[0] % count:
                raise UsageError(f"layer {layer.name!r} has {layer.shape[0]} output channels: not {count} groups")
            given[layer.name] = count
    return [replace(layer, groups=given.get(layer.name, layer.groups)) for layer in layers]
