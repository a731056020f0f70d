"""Keras's models in memory: names, kinds and layouts as in their files."""

from __future__ import annotations

import itertools
import sys
from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import ww_core as ww
from ww_core.loading.in_memory import HeldCheckpoint, Slot
from ww_core.loading.state_dict import Makes, Part
from ww_plugins.loaders.keras.classes import projection_of_attention
from ww_plugins.loaders.keras.layouts import LORA, KerasLayer, View, is_state_of_seed, untold_equations, views_of
from ww_plugins.loaders.keras.weights import named_in_layer

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt


_PACKAGES = ("keras", "tf_keras")
_HOMES = tuple(f"{package}." for package in _PACKAGES)
_SETTINGS = ("groups", "equation")


class KerasModelLoader(ww.Loader):
    """Reads a ``keras.Model``: names are the paths of its variables, kinds and groups come from its layers."""

    name = "keras-model"
    description = "a keras.Model in memory, of Keras 3 or of the older tf_keras"

    def probe(self, source: ww.Source) -> float:
        """Tell by the class, if Keras is imported: else there can be no model."""
        return 1.0 if _is_model(source.value) else 0.0

    def open(self, source: ww.Source) -> HeldCheckpoint:
        """List the variables. They stay where they are, on whatever device, and are read one at a time.

        Raises:
            SourceError: ``source`` is no model, or has not been built.
        """
        if not _is_model(source.value):
            raise ww.SourceError(f"an object of type {source.name} is no keras.Model")
        model: Any = source.value
        try:
            owners = _owners(model)
        except ValueError as error:  # so tf_keras says it; Keras 3 has no variables then
            raise ww.SourceError(
                f"a model of type {source.name} has no weights yet: call it once, or build it"
            ) from error
        variables: dict[str, dict[str, Any]] = defaultdict(dict)
        for variable, name in _named(model, owners):
            layer, _, own = name.rpartition("/")
            variables[layer or model.name][own] = variable
        slots: dict[str, Slot] = {}
        parts: dict[str, Part] = {}
        makes: dict[str, Makes] = {}
        layers = []
        for path, held in variables.items():
            views = _Views(_with_updates(held, owners))
            layers.append(_layer(path, held, owners))
            for view in views_of(layers[-1]):
                name = f"{path}/{view.name}"
                views.views[name] = view
                slots[name], parts[name] = Slot(views, name), view.part
            makes |= {
                f"{path}/{name}": Makes(f"{path}/{made}", "LoRA", stands=True) for name, made in views.makes.items()
            }
        return HeldCheckpoint("keras-model", slots, {}, untold_equations(layers), parts, makes)


def _is_model(source: object) -> bool:
    # A package may be imported at this very moment.
    models = (getattr(sys.modules.get(package), "Model", None) for package in _PACKAGES)
    is_one = any(isinstance(model, type) and isinstance(source, model) for model in models)
    return is_one and hasattr(source, "_flatten_layers")


def _owners(model: Any) -> dict[int, Any]:
    """Return the innermost layer that holds each variable, by the variable's identity."""
    # A layer comes before those in it, so that the innermost one stays.
    return {id(variable): layer for layer in model._flatten_layers() for variable in layer.variables}  # noqa: SLF001


def _named(model: Any, owners: Mapping[int, Any]) -> Iterator[tuple[Any, str]]:
    """Give the variables of a model with their names, without its own where that stands before its layers or all.

    Layers of nested models may have one path: the later ones get a number, with all of their variables.
    """
    metrics = {id(variable) for metric in model.metrics for variable in metric.variables}
    pairs = [(own, path) for own, path in _with_paths(model) if id(own) not in metrics and not is_state_of_seed(path)]
    before = f"{model.name}/"
    layers = {layer.name for layer in model.layers}
    is_before_all = all(path.startswith(before) for _, path in pairs)
    holders: dict[str, int] = {}
    taken: set[str] = set()
    for variable, path in pairs:
        inner = path.removeprefix(before)
        is_before = is_before_all or (inner.partition("/")[0] in layers and model.name not in layers)
        folder, _, last = (inner if is_before else path).rpartition("/")
        holder = id(owners.get(id(variable)))
        own = next(each for each in _numbered(folder) if holders.setdefault(each, holder) == holder)
        name = next(each for each in _numbered(f"{own}/{last}" if own else last) if each not in taken)
        taken.add(name)
        yield variable, name


def _with_paths(model: Any) -> list[tuple[Any, str]]:
    """Return the variables of a model with their paths, which are those of its files.

    In tf_keras a variable knows its name in its own layer only: ``conv/kernel:0``.
    """
    if all(hasattr(variable, "path") for variable in model.variables):
        return [(variable, str(variable.path)) for variable in model.variables]
    above = f"{model.name}/"
    held = [(variable, layer.name) for layer in model.layers for variable in layer.variables]
    paths: dict[int, tuple[Any, str]] = {}
    for variable, layer in held:
        folder, name = named_in_layer(layer, str(variable.name).removeprefix(above))
        paths.setdefault(id(variable), (variable, f"{folder}/{name}"))
    for variable in model.variables:
        paths.setdefault(id(variable), (variable, str(variable.name).removeprefix(above).removesuffix(":0")))
    return list(paths.values())


def _numbered(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}_{number}" for number in itertools.count(2))


def _layer(path: str, variables: Mapping[str, Any], owners: Mapping[int, Any]) -> KerasLayer:
    owner = next((owners[id(variable)] for variable in variables.values() if id(variable) in owners), None)
    class_name = next((base.__name__ for base in type(owner).__mro__ if base.__module__.startswith(_HOMES)), "")
    settings = {name: getattr(owner, name) for name in _SETTINGS if hasattr(owner, name)}
    if not class_name and (equation := projection_of_attention(path.rpartition("/")[2])):
        class_name, settings = "EinsumDense", {"equation": equation}
    shapes = {name: tuple(int(length) for length in variable.shape) for name, variable in variables.items()}
    return KerasLayer(path, shapes, class_name, settings)


def _with_updates(variables: Mapping[str, Any], owners: Mapping[int, Any]) -> dict[str, Any]:
    """Return the variables of a layer, with the weights that act for those that LoRA updates.

    Keras adds no update to integers before it makes a file.
    """
    updated = {}
    for made in {LORA[name] for name in LORA.keys() & variables.keys()} & variables.keys():
        layer = owners.get(id(variables[made]))
        if getattr(layer, "lora_enabled", False) is True and "float" in str(variables[made].dtype):
            updated[made] = _Updated(variables[made], layer, made)
    return {**variables, **updated}


class _Updated:
    """A weight with its update by LoRA, put together by its layer each time that it is read."""

    def __init__(self, variable: Any, layer: Any, name: str) -> None:
        self.shape = variable.shape
        self.dtype = layer.compute_dtype
        self._layer = layer
        self._name = name

    def numpy(self) -> npt.NDArray[Any]:
        numbers: npt.NDArray[Any] = sys.modules["keras"].ops.convert_to_numpy(getattr(self._layer, self._name))
        return numbers


class _Views(Mapping[str, Any]):
    """The tensors that the variables of a layer are, each made when it is asked for."""

    def __init__(self, variables: Mapping[str, Any]) -> None:
        self.views: dict[str, View] = {}
        self._variables = variables

    @property
    def makes(self) -> dict[str, str]:
        """The variables that are in the weight that acts, and this one."""
        updated = {name for name, variable in self._variables.items() if isinstance(variable, _Updated)}
        return {name: made for name, made in LORA.items() if name in self._variables and made in updated}

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        import numpy as np

        view = self.views[name]
        numbers = _numbers(self._variables[view.variable])[view.offset :]
        steps = [stride * numbers.itemsize for stride in view.strides]
        return np.lib.stride_tricks.as_strided(numbers, view.shape, steps, writeable=False)

    def __iter__(self) -> Iterator[str]:
        return iter(self.views)

    def __len__(self) -> int:
        return len(self.views)


def _numbers(variable: Any) -> npt.NDArray[Any]:
    """Return the numbers of a variable in a row, in the dtype that it has."""
    import ml_dtypes
    import numpy as np

    array: npt.NDArray[Any] = np.ascontiguousarray(variable.numpy()).reshape(-1)
    if variable.dtype == "bfloat16" and array.dtype != ml_dtypes.bfloat16:
        array = array.astype(ml_dtypes.bfloat16)  # some backends give float32 for it, which holds each of its numbers
    return array
