"""PyTorch's modules: what the class of one says of its weight, in memory and in a pickle."""

from __future__ import annotations

import copy
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import ww_core as ww
from ww_core.loading.in_memory import HeldCheckpoint, Slot
from ww_core.loading.state_dict import Module

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_KINDS = {
    "Linear": ww.LayerKind.DENSE, "Bilinear": ww.LayerKind.BILINEAR,
    "Conv1d": ww.LayerKind.CONV1D, "ConvTranspose1d": ww.LayerKind.CONV1D,
    "Conv2d": ww.LayerKind.CONV2D, "ConvTranspose2d": ww.LayerKind.CONV2D,
    "Conv3d": ww.LayerKind.CONV3D, "ConvTranspose3d": ww.LayerKind.CONV3D,
    "Embedding": ww.LayerKind.EMBEDDING, "EmbeddingBag": ww.LayerKind.EMBEDDING,
    "RNNBase": ww.LayerKind.RECURRENT, "RNNCellBase": ww.LayerKind.RECURRENT,
    "RNN": ww.LayerKind.RECURRENT, "LSTM": ww.LayerKind.RECURRENT, "GRU": ww.LayerKind.RECURRENT,
    "RNNCell": ww.LayerKind.RECURRENT, "LSTMCell": ww.LayerKind.RECURRENT, "GRUCell": ww.LayerKind.RECURRENT,
    "LayerNorm": ww.LayerKind.NORM, "GroupNorm": ww.LayerKind.NORM, "RMSNorm": ww.LayerKind.NORM,
    "BatchNorm1d": ww.LayerKind.NORM, "BatchNorm2d": ww.LayerKind.NORM, "BatchNorm3d": ww.LayerKind.NORM,
    "SyncBatchNorm": ww.LayerKind.NORM, "InstanceNorm1d": ww.LayerKind.NORM, "InstanceNorm2d": ww.LayerKind.NORM,
    "InstanceNorm3d": ww.LayerKind.NORM,
}  # fmt: skip
_HOME = "torch.nn.modules."


class ModuleLoader(ww.Loader):
    """Reads a ``torch.nn.Module`` in memory: names as in its state dict, kinds and groups from its modules."""

    name = "torch-module"
    description = "a torch.nn.Module in memory"

    def probe(self, source: ww.Source) -> float:
        """Tell by the class, if torch is imported: else there can be no module.

        Others build their own models on it, as Keras does: who knows one of these is surer.
        """
        return 0.9 if _is_module(source.value) else 0.0

    def open(self, source: ww.Source) -> HeldCheckpoint:
        """List parameters and buffers. They stay where they are, on whatever device, and are copied one at a time.

        Raises:
            SourceError: ``source`` is no module, or a tensor is not to be had.
        """
        if not _is_module(source.value):
            raise ww.SourceError(f"an object of type {source.name} is no torch.nn.Module")
        module: Any = source.value
        slots: dict[str, Slot] = {}
        modules: dict[str, Module] = {}
        for path, inner in module.named_modules(remove_duplicate=False):
            classes = [(base.__module__, base.__name__) for base in type(inner).__mro__]
            # What is not in a state dict; a scripted module does not tell.
            transient = getattr(inner, "_non_persistent_buffers_set", ())
            parameters = dict(inner.named_parameters(recurse=False, remove_duplicate=False))
            buffers = dict(inner.named_buffers(recurse=False, remove_duplicate=False))
            modules[path] = told_by(classes, getattr(inner, "groups", 1), buffers)
            held = {key: Slot(parameters, key) for key in parameters}
            held |= {key: Slot(buffers, key) for key in buffers if key not in transient}
            held |= _acting(inner)
            slots |= {f"{path}.{key}" if path else key: slot for key, slot in held.items()}
        return HeldCheckpoint("torch-module", slots, modules)


def _acting(module: Any) -> dict[str, Slot]:
    """Return the tensors that parametrizations make which a state dict does not tell of."""
    registered = getattr(module, "parametrizations", None) or {}
    if type(registered).__module__ != "torch.nn.modules.container":
        return {}
    made = _Acting(registered)
    return {
        key: Slot(made, key, place=("parametrized", id(steps)))
        for key, steps in registered.items()
        if hasattr(steps, "original_orig") or [type(own).__name__ for own in steps] not in _TOLD
    }


_TOLD = (["_WeightNorm"], ["_SpectralNorm"])
"""Parametrizations whose tensors tell by their names how they act."""


class _Acting(Mapping[str, Any]):
    """The tensors that parametrizations make, each anew when it is asked for."""

    def __init__(self, registered: Mapping[str, Any]) -> None:
        self._registered = registered

    def __getitem__(self, name: str) -> Any:
        import torch

        try:
            # A copy, because some steps change what they hold each time that they are asked in training.
            steps = copy.deepcopy(self._registered[name]).eval()
            with torch.no_grad():
                return steps()
        except Exception as error:
            raise ww.SourceError(
                f"the tensor {name} of a module cannot be had, because what parametrizes it failed: {error}"
            ) from error

    def __iter__(self) -> Iterator[str]:
        return iter(self._registered)

    def __len__(self) -> int:
        return len(self._registered)


def _is_module(source: object) -> bool:
    torch = sys.modules.get("torch")
    module = getattr(getattr(torch, "nn", None), "Module", None)  # torch may be imported at this very moment
    return module is not None and isinstance(source, module)


def convolution_of(kernel_size: object) -> ww.LayerKind | None:
    """Return the kind of a module by the attribute that convolutions have, and what descends from them."""
    axes = len(kernel_size) if isinstance(kernel_size, (tuple, list)) else 0
    return {1: ww.LayerKind.CONV1D, 2: ww.LayerKind.CONV2D, 3: ww.LayerKind.CONV3D}.get(axes)


def told_by(
    classes: list[tuple[str, str]],
    groups: object,
    buffers: Iterable[str] = (),
    convolution: ww.LayerKind | None = None,
) -> Module:
    """Return what a module says of its tensors.

    Args:
        classes: (module, name) of its class and of those it descends from, as far as they are known, nearest first.
        groups: Its attribute ``groups``.
        buffers: Names of its own buffers.
        convolution: The kind that its attributes tell, where its class is not known.
    """
    kinds = (_KINDS.get(name) for module, name in classes if module.startswith(_HOME))
    kind = next(filter(None, kinds), convolution)
    told = groups if kind is not None and kind.is_convolution and isinstance(groups, int) else 1
    return Module(kind, int(told), frozenset(buffers))
