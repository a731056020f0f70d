"""The layers that a person chose, and the groups that a person gave them."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ww_core.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    from typing import TypeVar

    from ww_core.domain.comparison import ComparedLayer
    from ww_core.domain.layer import Layer

    Named = TypeVar("Named", Layer, ComparedLayer)


def choose_layers(layers: Sequence[Named], globs: Sequence[str]) -> list[Named]:
    """Return the layers whose names match any of the globs; all of them for no globs.

    Raises:
        UnknownNameError: A glob matches nothing.
    """
    if not globs:
        return list(layers)
    names = [layer.name for layer in layers]
    for glob in globs:
        if not any(_matches(name, glob) for name in names):
            raise UnknownNameError("layer", glob, names, "ww describe")
    return [layer for layer in layers if any(_matches(layer.name, glob) for glob in globs)]


def _matches(name: str, glob: str) -> bool:
    return name == glob or fnmatch.fnmatchcase(name, glob)  # a name with brackets means itself


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
