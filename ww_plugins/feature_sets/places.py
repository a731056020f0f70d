"""Which layers of a network a feature set speaks of, and what their features are called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import ww_core as ww

if TYPE_CHECKING:
    from collections.abc import Sequence

Layers = Literal["all", "first", "last", "ends"]
"""``all`` of them, the ``first``, the ``last``, or both ``ends``, which networks of any depth have."""


class Place(NamedTuple):
    """A tensor that features speak of.

    Attributes:
        name: Where it stands in its network: ``layer2.weight``, ``last.bias``.
        tensor: The tensor.
    """

    name: str
    tensor: ww.ZooTensor


def chosen_layers(zoo: ww.Zoo, layers: Layers) -> list[tuple[str, ww.ZooLayer]]:
    """Return the layers with the names of their places, which are the same in all networks of as many layers.

    Raises:
        UsageError: The zoo has no layer.
    """
    own = zoo.layers
    if not own and zoo.stored is None:
        raise ww.UsageError(f"zoo {zoo.name}: its weights are not on this machine: name the folder that has them")
    if not own:
        raise ww.UsageError(f"zoo {zoo.name}: no tensor of it is a weight of a layer")
    ends = {"first": own[0], "last": own[-1]}
    if layers == "all":
        return [(f"layer{number}", layer) for number, layer in enumerate(own, 1)]
    return [(name, layer) for name, layer in ends.items() if layers in {name, "ends"}]


def places_of(layers: Sequence[tuple[str, ww.ZooLayer]]) -> list[Place]:
    """Return the tensors of layers, of each the weight and then the bias, if it has one."""
    tensors = ((name, role, tensor) for name, own in layers for role, tensor in _roles(own))
    return [Place(f"{name}.{role}", tensor) for name, role, tensor in tensors if tensor is not None]


def _roles(layer: ww.ZooLayer) -> tuple[tuple[str, ww.ZooTensor | None], ...]:
    return ("weight", layer.weight), ("bias", layer.bias)
