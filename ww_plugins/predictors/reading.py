"""A network of any format as a zoo of one, as a predictor's features are made of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

import ww_core as ww
from ww_core.loading.layouts import placed
from ww_core.loading.names import legible, quoted, shown_address

if TYPE_CHECKING:
    import numpy.typing as npt

    from ww_plugins.predictors.predictor import Predictor

MOST_PARAMETERS = 2**28
"""Numbers of a network that is read whole; in double precision they take 2 GiB."""


def network_of(
    source: object,
    predictor: Predictor,
    registry: ww.Registry,
    *,
    loader: str | None = None,
    layout: str | None = None,
) -> ww.Zoo:
    """Read a network that has the layers of the zoo on which a predictor was fitted.

    Its layers are those of the zoo in their order, whatever they are called; where all names of the zoo's layers are
    there, they are found by these. Shapes are compared before any number is read.

    Args:
        source: A path, an address, or an object such as a dict of NumPy arrays.
        predictor: The predictor.
        registry: Loaded plugins.
        loader: Name of the loader, with options; default the one that recognises the source.
        layout: In which order the axes of weights are stored, of a loader that has this option.

    Returns:
        A zoo of one checkpoint, with the warnings of the loader as notes: its numbers as they are stored, float32 or,
        where one tensor is, float64, shape (1, parameters), in the layout and in the order of the predictor's zoo.

    Raises:
        UsageError: The network has other layers; the message names the first that differs, and both shapes.
        SourceError: It cannot be read, no loader recognises it, or a weight of it is not a finite number.
    """
    with ww.open_checkpoint(source, loader=loader, layout=layout, registry=registry) as checkpoint:
        named = _name(source)
        frame = _Frame(predictor, named)
        return _zoo(named, checkpoint, frame.specs(checkpoint), predictor.tensors, predictor.layout)


def any_network_of(
    source: object,
    registry: ww.Registry,
    *,
    last: str | None = None,
    loader: str | None = None,
    layout: str | None = None,
) -> ww.Zoo:
    """Read a network with the layers that it has, for features that networks of all layouts share.

    Such are ``statistics[layers=last]`` and ``global-statistics``.

    Args:
        source: A path, an address, or an object such as a dict of NumPy arrays.
        registry: Loaded plugins.
        last: Name of the layer that is the last one; default the one that stands last in the source. Formats such as
            safetensors have their own order, in which ``fc`` stands before ``layer4``.
        loader: Name of the loader, with options; default the one that recognises the source.
        layout: In which order the axes of weights are stored, of a loader that has this option.

    Returns:
        A zoo of one checkpoint, as of `network_of`, in the layout of PyTorch: of each layer the weight, then the bias.
        If ``last`` is not given, a note names the layer that was taken for it.

    Raises:
        UsageError: The network has no layer, or none of the name, or more than `MOST_PARAMETERS` parameters.
        SourceError: It cannot be read, no loader recognises it, a tensor of it is empty, or a weight no finite number.
    """
    with ww.open_checkpoint(source, loader=loader, layout=layout, registry=registry) as checkpoint:
        named = _name(source)
        tensors: list[ww.ZooTensor] = []
        specs: list[ww.TensorSpec] = []
        for layer in _ending_with(checkpoint.layers, last):
            for role, spec in _roles(layer).items():
                if spec.size == 0:
                    raise ww.SourceError(
                        f"{named}: {quoted(spec.name)} holds no number, as its shape {_shape(spec.shape)}: no feature "
                        "can be made of it"
                    )
                start = tensors[-1].stop if tensors else 0
                name = f"{layer.name}/{role}"
                role_of: Any = role
                tensors.append(ww.ZooTensor(name, layer.name, role_of, start, start + spec.size, spec.shape))
                specs.append(spec)
        if not tensors:
            raise ww.UsageError(f"{named}: it has no layer that a feature could be made of")
        if tensors[-1].stop > MOST_PARAMETERS:
            raise ww.UsageError(
                f"{named}: it has {tensors[-1].stop:,} parameters: features are made of {MOST_PARAMETERS:,} at most"
            )
        read = _zoo(named, checkpoint, specs, tuple(tensors), "pytorch")
        if last is not None:
            return read
        end = checkpoint.layers[-1]
        told = f"{quoted(end.name)}, whose weight {_shape(end.weight.shape)}, is taken for the last layer"
        return replace(read, notes=(*read.notes, told))


def _ending_with(layers: Sequence[ww.Layer], last: str | None) -> Sequence[ww.Layer]:
    if last is None:
        return layers
    if all(own.name != last for own in layers):
        raise ww.UnknownNameError("layer", last, [own.name for own in layers])
    return sorted(layers, key=lambda own: own.name == last)


class _Frame:
    """What the layers of a network must be.

    Args:
        predictor: The predictor, fitted on a zoo.
        named: The network, for messages.
    """

    def __init__(self, predictor: Predictor, named: str) -> None:
        self.predictor = predictor
        self.named = named
        self.layers: dict[str, dict[str, ww.ZooTensor]] = {}
        for tensor in predictor.tensors:
            self.layers.setdefault(tensor.layer, {})[tensor.role] = tensor

    def specs(self, checkpoint: ww.Checkpoint) -> list[ww.TensorSpec]:
        """Return the network's tensors in the order of the zoo's.

        Raises:
            UsageError: They are others.
        """
        found: dict[tuple[str, str], ww.TensorSpec] = {}
        for (name, wanted), layer in zip(self.layers.items(), self._matched(checkpoint), strict=True):
            own = _roles(layer)
            for role in ("weight", "bias"):
                shapes = [self._canonical(wanted[role]) if role in wanted else None]
                shapes.append(own[role].shape if role in own else None)
                if shapes[0] != shapes[1]:
                    self._refuse(
                        f"the {role} of layer {quoted(layer.name)} {_shape(shapes[1])}, and that of {quoted(name)} "
                        f"{_shape(shapes[0])}"
                    )
                if role in own:
                    found[name, role] = own[role]
        return [found[tensor.layer, tensor.role] for tensor in self.predictor.tensors]

    def _matched(self, checkpoint: ww.Checkpoint) -> Sequence[ww.Layer]:
        """Return the network's layers, one for each of the zoo's."""
        layers = checkpoint.layers
        by_name = {layer.name: layer for layer in layers}
        if len(layers) != len(self.layers):
            unread = [own for own in checkpoint.skipped if not own.tied_to]
            why = f" ({quoted(unread[0].name)} is none: {unread[0].reason})" if unread else ""
            self._refuse(f"it has {_counted(len(layers))}{why}, and the zoo's networks have {len(self.layers)}")
        return [by_name[name] for name in self.layers] if by_name.keys() == self.layers.keys() else layers

    def _canonical(self, tensor: ww.ZooTensor) -> tuple[int, ...]:
        if self.predictor.layout == "pytorch":
            return tensor.shape
        return placed(tensor.name, tensor.shape, self.predictor.layout).shape(tensor.shape)

    def _refuse(self, what: str) -> None:
        zoo = f"the zoo {quoted(self.predictor.zoo)} on which the predictor was fitted"
        raise ww.UsageError(
            f"{self.named}: its layers are not those of {zoo}: {what}: predict it by a predictor of its own layout, or "
            "of features that all layouts share, such as statistics[layers=last]"
        )


def _roles(layer: ww.Layer) -> dict[str, ww.TensorSpec]:
    return {"weight": layer.weight} | ({} if layer.bias is None else {"bias": layer.bias})


def _shape(shape: tuple[int, ...] | None) -> str:
    return "is not there" if shape is None else f"is {'x'.join(map(str, shape))}"


def _counted(layers: int) -> str:
    return "1 layer" if layers == 1 else f"{layers} layers"


def _zoo(
    named: str,
    checkpoint: ww.Checkpoint,
    specs: Sequence[ww.TensorSpec],
    tensors: tuple[ww.ZooTensor, ...],
    layout: Any,
) -> ww.Zoo:
    """Read the numbers of a network into a row.

    Raises:
        SourceError: One cannot be read, or is not finite.
    """
    dtype = np.float64 if any(spec.dtype == "float64" for spec in specs) else np.float32
    row = np.empty((1, tensors[-1].stop), dtype)
    for tensor, spec in zip(tensors, specs, strict=True):
        with checkpoint.read(spec) as numbers:
            own = _as_stored(np.asarray(numbers).astype(dtype), tensor, layout)
            if not np.isfinite(own).all():
                raise ww.SourceError(f"{named}: {quoted(spec.name)} holds a number that is not finite: did it diverge?")
            row[0, tensor.start : tensor.stop] = own.reshape(-1)
    one = np.zeros(1, np.int64)
    return ww.Zoo(named, tensors, layout, row, one, one, one, notes=checkpoint.warnings)


def _as_stored(numbers: npt.NDArray[Any], tensor: ww.ZooTensor, layout: str) -> npt.NDArray[Any]:
    """Return a tensor of ww's layout (out, in, *kernel) as it is stored in a zoo of another one."""
    if layout == "pytorch":
        return numbers
    order = [axis for own in placed(tensor.name, tensor.shape, layout).axes for axis in own]
    back = sorted(range(len(order)), key=order.__getitem__)
    return numbers.reshape([tensor.shape[axis] for axis in order]).transpose(back)


def _name(source: object) -> str:
    """Return what a source is called in messages."""
    if isinstance(source, str):
        return shown_address(source)
    return legible(os.fspath(source)) if isinstance(source, PurePath) else type(source).__name__
