"""The layers of a checkpoint as a person asks for them: with groups, blocks and buffers that no source tells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ww_core.domain.globs import choose_layers
from ww_core.domain.layer import Layer, LayerKind, split_into
from ww_core.errors import UsageError
from ww_core.loading.state_dict import kind_of

if TYPE_CHECKING:
    from ww_core.contracts.loader import Checkpoint
    from ww_core.domain.request import Request


def asked_layers(checkpoint: Checkpoint, request: Request) -> list[Layer]:
    """Return all layers of a checkpoint as they are asked for; buffers that become layers are no buffers any more.

    Raises:
        UsageError: Groups or blocks do not fit a layer.
        UnknownNameError: A glob matches no layer.
    """
    if request.include_buffers:
        _make_layers_of_buffers(checkpoint)
    layers = _counted(checkpoint.layers, request.groups, _with_groups)
    return _counted(layers, request.splits, _with_split)


def _make_layers_of_buffers(checkpoint: Checkpoint) -> None:
    taken = {layer.name for layer in checkpoint.layers}
    names = [f"{spec.name} (buffer)" if spec.name in taken else spec.name for spec in checkpoint.buffers]
    made = (
        Layer(name, kind_of(spec.name, spec.shape), spec) for name, spec in zip(names, checkpoint.buffers, strict=True)
    )
    checkpoint.layers = (*checkpoint.layers, *made)
    checkpoint.buffers = ()


def _counted(
    layers: Sequence[Layer], counts: Sequence[tuple[str, int]], changed: Callable[[Layer, int], Layer]
) -> list[Layer]:
    """Return the layers, those changed that pairs of a glob and a count name; the last pair that names one counts."""
    given = {layer.name: count for glob, count in counts for layer in choose_layers(layers, [glob])}
    return [changed(layer, given[layer.name]) if layer.name in given else layer for layer in layers]


def _with_groups(layer: Layer, count: int) -> Layer:
    if not layer.kind.is_convolution:
        raise UsageError(f"layer {layer.name!r} is {layer.kind}: only convolutions have groups")
    if count < 1 or layer.shape[0] % count:
        raise UsageError(f"layer {layer.name!r} has {layer.shape[0]} output channels: not {count} groups")
    return replace(layer, groups=count)


_FUSED = frozenset({LayerKind.RECURRENT, LayerKind.QKV, LayerKind.DENSE})


def _with_split(layer: Layer, count: int) -> Layer:
    if layer.kind not in _FUSED or len(layer.shape) != 2:
        raise UsageError(
            f"layer {layer.name!r} is {layer.kind}: only matrices, such as recurrent ones, fall into blocks"
        )
    if count < 1 or not layer.shape[0] or layer.shape[0] % count:
        raise UsageError(f"layer {layer.name!r} has {layer.shape[0]} rows: they do not fall into {count} equal blocks")
    return replace(layer, split=split_into(count))
