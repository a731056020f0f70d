"""From the groups of an HDF5 file to the layers of a Keras model, as Keras 3 and as Keras 1 and 2 store them.

Keras 3 numbers the variables of a layer, in a group ``vars``, and names groups by class, or by the attribute that
holds a layer; the name of the layer is an attribute of ``vars``. Keras 1 and 2 name everything, and keep the order of
layers and variables in attributes.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import ww_core as ww
from ww_core.loading.names import fault_of_name, natural_order
from ww_plugins.loaders.keras.classes import (
    class_in_name,
    counter_of,
    projection_of_attention,
    usual_order,
    variable_names,
)
from ww_plugins.loaders.keras.layouts import KerasLayer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ww_core.loading.mapped import StoredTensor
    from ww_plugins.loaders.keras.configs import ModelConfig
    from ww_plugins.loaders.keras.hdf5 import Group, Placed
    from ww_plugins.loaders.keras.layouts import Shape

VARIABLES = "vars"
LAYER_NAMES, WEIGHT_NAMES, MODEL_CONFIG = "layer_names", "weight_names", "model_config"
ATTRIBUTES = frozenset({"name", LAYER_NAMES, WEIGHT_NAMES, MODEL_CONFIG})
OPTIMIZERS = frozenset({"optimizer", "_optimizer", "optimizer_weights"})

_LISTED = re.compile(r"(^|/)(layers|_layer_checkpoint_dependencies)/[^/]+$")  # the layers of a model
_MODEL_WEIGHTS = "model_weights"
_WRAPPED, _SHARED = "layer", "kernel"
_KERAS_1 = {"W": "kernel", "b": "bias"}


@dataclass(frozen=True, slots=True)
class HeldLayer:
    """A layer and the tensors of its variables, by their names."""

    layer: KerasLayer
    tensors: Mapping[str, StoredTensor]


def is_numbered(root: Group) -> bool:
    """Whether a file is one of Keras 3, which numbers variables."""
    return VARIABLES in root.groups or any(is_numbered(inner) for inner in root.groups.values())


def is_named(root: Group) -> bool:
    """Whether a file is one of Keras 1 or 2, which names them."""
    groups = [root, *root.groups.values()]
    return _MODEL_WEIGHTS in root.groups or any({LAYER_NAMES, WEIGHT_NAMES} & group.texts.keys() for group in groups)


def numbered_layers(root: Group, config: ModelConfig, file: ww.Source) -> list[HeldLayer]:
    """Return the layers of a file of Keras 3, in the order of the configuration, else of their place in the file.

    Raises:
        CorruptFileError: A layer has a name that is none.
        SourceError: The names take more than the budget.
    """
    found: list[_Numbered] = []
    _gather(root, "", found, config, file)
    found.sort(key=lambda layer: (config.place(layer.path), _first(layer.variables.values())))
    counts = Counter(layer.path for layer in found)
    return [layer.held(layer.path if counts[layer.path] == 1 else layer.group.path, config) for layer in found]


def _first(variables: Iterable[Placed]) -> tuple[str, int]:
    """Return where the first variable of a layer lies: whoever writes files writes the layers in their order."""
    return min((placed.tensor.file.name, placed.tensor.offset or placed.address) for placed in variables)


@dataclass(frozen=True, slots=True)
class _Numbered:
    """A group with variables."""

    path: str
    group: Group
    variables: Mapping[str, Placed] = field(default_factory=dict)

    def held(self, path: str, config: ModelConfig) -> HeldLayer:
        own = sorted(self.variables, key=natural_order)
        tensors = [self.variables[name].tensor for name in own]
        told = config.of(self.path)
        folder, last = self.group.name, self.path.rpartition("/")[2]
        class_name, settings = told.class_name, told.settings
        if not class_name:
            class_name = class_in_name(folder) or class_in_name(last)
        if not class_name and (equation := projection_of_attention(folder)):
            class_name, settings = "EinsumDense", {"equation": equation}
        if len(tensors) == 2 and not any(tensor.shape for tensor in tensors):
            class_name = "Metric"
        if all(name.isdecimal() for name in own):
            names = variable_names(class_name, settings, [tensor.shape for tensor in tensors], folder)
        else:  # a class that saves its variables itself may name them
            names = own
        shapes = {name: tensor.shape for name, tensor in zip(names, tensors, strict=True)}
        if _is_spectral_norm(self.group, list(shapes.values())):
            names = [_SHARED, "vector_u"]
            shapes = {"vector_u": tensors[1].shape}  # the kernel is that of the layer within
        layer = KerasLayer(path, shapes, class_name, settings)
        return HeldLayer(layer, dict(zip(names, tensors, strict=True)))


def _is_spectral_norm(group: Group, shapes: Sequence[Shape]) -> bool:
    """Tell whether a group is a SpectralNormalization: it has a kernel that the layer in it has too, and a vector."""
    inner = group.groups.get(_WRAPPED)
    variables = inner.groups.get(VARIABLES) if inner is not None else None
    if variables is None or len(shapes) != 2 or not variables.tensors:
        return False
    kernel = variables.tensors[min(variables.tensors, key=natural_order)].tensor.shape
    return len(kernel) > 1 and list(shapes) == [kernel, (1, kernel[-1])]


def _gather(group: Group, above: str, found: list[_Numbered], config: ModelConfig, file: ww.Source) -> None:
    variables = group.groups.get(VARIABLES)
    path = above
    if group.path:
        name = _name_of(group, above, config)
        path = f"{above}/{name}" if above and name else above or name
        file.budget.take("names", len(path))
        if path and (fault := fault_of_name(path)):
            raise ww.CorruptFileError(f"{file.label}: {fault}")
    if variables is not None and variables.tensors:
        own = path or next(iter(variables.texts.get("name", ())), "") or VARIABLES
        found.append(_Numbered(own, group, variables.tensors))
    for name, inner in group.groups.items():
        if name != VARIABLES:
            _gather(inner, path, found, config, file)


def _name_of(group: Group, above: str, config: ModelConfig) -> str:
    """Return the name of the layer that a group is; empty for one that only holds some."""
    variables = group.groups.get(VARIABLES)
    if variables is None and not _LISTED.search(group.path):
        return ""
    if variables is not None and (told := next(iter(variables.texts.get("name", ())), "")):
        return told
    kind, number = counter_of(group.name)  # the first files of Keras 3 name none
    names = config.of_class(above, kind)
    return names[number] if number < len(names) else group.name


def named_layers(root: Group, config: ModelConfig) -> list[HeldLayer]:
    """Return the layers of a file of Keras 1 or 2, in the order of the model."""
    weights = root.groups.get(_MODEL_WEIGHTS, root)
    found: list[HeldLayer] = []
    told_layers = {name: place for place, name in enumerate(weights.texts.get(LAYER_NAMES, ()))}
    held = [(group, dict(_beneath(group, ""))) for group in weights.groups.values()]
    held = [(group, placed) for group, placed in held if placed]
    above = _model_above([(group.name, path) for group, placed in held for path in placed])
    held.sort(key=lambda of: (told_layers.get(of[0].name, math.inf), config.place(of[0].name), _first(of[1].values())))
    for group, placed in held:
        variables: dict[str, dict[str, StoredTensor]] = defaultdict(dict)
        told = {name: place for place, name in enumerate(group.texts.get(WEIGHT_NAMES, ()))}
        for path in sorted(placed, key=lambda path: (told.get(path, math.inf), _first([placed[path]]))):
            layer, name = named_in_layer(group.name, _without_model(path, group.name, above))
            names = variables[layer]
            names[name if name not in names else path] = placed[path].tensor
        found += [_held_by_name(path, tensors, config) for path, tensors in variables.items()]
    return found


def _model_above(paths: Sequence[tuple[str, str]]) -> str:
    """Return the model whose name stands before that of layers: Keras 3 has ``net/head/kernel`` in ``head``.

    Args:
        paths: The outermost layer of each variable, and its name in there.
    """
    layers = {layer for layer, _ in paths}
    above = {
        model for layer, path in paths if (model := path.partition("/")[0]) and path.startswith(f"{model}/{layer}/")
    }
    above -= layers
    return above.pop() if len(above) == 1 else ""


def _without_model(path: str, layer: str, model: str) -> str:
    return path.removeprefix(f"{model}/") if path.startswith(f"{model}/{layer}/") else path


def _beneath(group: Group, path: str) -> Iterator[tuple[str, Placed]]:
    """Give the datasets in a group and in all groups in it."""
    for name, placed in group.tensors.items():
        yield f"{path}{name}", placed
    for name, inner in group.groups.items():
        yield from _beneath(inner, f"{path}{name}/")


def named_in_layer(layer: str, path: str) -> tuple[str, str]:
    """Return the layer that a variable belongs to, and its name in it.

    Args:
        layer: The group that it lies in: the outermost layer.
        path: Its name in this group: ``conv/kernel:0``, and ``conv_W`` in files of Keras 1.
    """
    plain = path.removesuffix(":0")
    inner, slash, name = plain.rpartition("/")
    if not slash:
        name = plain.removeprefix(f"{layer}_")
        return layer, name
    if inner != layer and not inner.startswith(f"{layer}/"):
        inner = f"{layer}/{inner}"
    return inner, name


def _held_by_name(path: str, tensors: Mapping[str, StoredTensor], config: ModelConfig) -> HeldLayer:
    told = config.of(path)
    class_name, settings = told.class_name, told.settings
    last = path.rpartition("/")[2]
    if not class_name:
        class_name = class_in_name(last)
    if not class_name and (equation := projection_of_attention(last)):
        class_name, settings = "EinsumDense", {"equation": equation}
    usual = {**_KERAS_1, "W": "embeddings"} if class_name == "Embedding" else _KERAS_1
    named = {usual.get(name, name): tensor for name, tensor in tensors.items()}
    if len(named) < len(tensors):
        named = dict(tensors)
    named = {name: named[name] for name in sorted(named, key=usual_order)}
    shapes = {name: tensor.shape for name, tensor in named.items()}
    return HeldLayer(KerasLayer(path, shapes, class_name, settings), named)
