"""Keras's models in memory: names, kinds and layouts as in their files."""

from __future__ import annotations

import itertools
import sys
from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import ww_core as ww
from ww_core.loading.in_memory import HeldCheckpoint, Slot
from ww_plugins.loaders.keras.classes import projection_of_attention
from ww_plugins.loaders.keras.layouts import KerasLayer, View, views_of
from ww_plugins.loaders.keras.weights import named_in_layer

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from ww_core.loading.state_dict import Part

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
        for path, held in variables.items():
            views = _Views(held)
            for view in views_of(_layer(path, held, owners)):
                name = f"{path}/{view.name}"
                views.views[name] = view
                slots[name], parts[name] = Slot(views, name), view.part
        return HeldCheckpoint("keras-model", slots, {}, parts=parts)


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
    """Give the variables of a model with their names, without its own where that stands before all of them.

    Layers of nested models may have one path: the later ones get a number, with all of their variables.
    """
    pairs = _with_paths(model)
    before = f"{model.name}/" if all(path.startswith(f"{model.name}/") for _, path in pairs) else ""
    metrics = {id(variable) for metric in model.metrics for variable in metric.variables}
    holders: dict[str, int] = {}
    taken: set[str] = set()
    for variable, path in pairs:
        if id(variable) in metrics:
            continue
        folder, _, last = path.removeprefix(before).rpartition("/")
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


class _Views(Mapping[str, Any]):
    """The tensors that the variables of a layer are, each made when it is asked for."""

    def __init__(self, variables: Mapping[str, Any]) -> None:
        self.views: dict[str, View] = {}
        self._variables = variables

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
