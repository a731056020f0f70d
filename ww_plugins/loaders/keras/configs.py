"""The configuration of a model, as JSON: which class each of its layers is of."""

from __future__ import annotations

import functools
import math
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ww_core.loading.json_text import parse_json
from ww_plugins.loaders.keras.classes import snake_case

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import ww_core as ww

_BEFORE_VALUES = "[{,:"
_WRAPPERS = frozenset({"TimeDistributed", "Bidirectional", "SpectralNormalization", "Wrapper"})
_NO_SETTINGS: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class LayerConfig:
    """What a configuration says of a layer.

    Attributes:
        class_name: Its class; of a wrapper, the class of the layer in it.
        settings: The arguments of the class.
    """

    class_name: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelConfig:
    """The layers of a model.

    Attributes:
        layers: Layers by their path: the names of the layers that they are in and their own, with slashes.
        within: Class and name of the layers in a layer, by its path; in order. Those of the model are under ``""``.
    """

    layers: Mapping[str, LayerConfig] = field(default_factory=dict)
    within: Mapping[str, list[tuple[str, str]]] = field(default_factory=dict)

    def of(self, path: str) -> LayerConfig:
        """Return what is said of a layer; nothing where it is not known."""
        return self.layers.get(path, LayerConfig())

    def of_class(self, path: str, folder: str) -> Sequence[str]:
        """Return the names of the layers in a layer that are of a class, in order.

        Args:
            path: The layer.
            folder: How files name groups of the class, without a number.
        """
        return self._of_class.get((path, folder), ())

    @functools.cached_property
    def _of_class(self) -> dict[tuple[str, str], list[str]]:
        found: dict[tuple[str, str], list[str]] = defaultdict(list)
        for path, layers in self.within.items():
            for class_name, name in layers:
                found[path, snake_case(class_name)].append(name)
        return dict(found)

    def place(self, path: str) -> tuple[float, ...]:
        """Return what sorts layers as the configuration names them; those that it does not name come last."""
        found: list[float] = []
        above = ""
        for name in path.split("/"):
            found.append(self._places.get(above, {}).get(name, math.inf))
            if found[-1] == math.inf:
                break
            above = f"{above}/{name}" if above else name
        return tuple(found)

    @functools.cached_property
    def _places(self) -> dict[str, dict[str, float]]:
        return {path: {name: place for place, (_, name) in enumerate(layers)} for path, layers in self.within.items()}


def read_config(text: bytes, file: ww.Source) -> ModelConfig:
    """Read the configuration of a model.

    Raises:
        CorruptFileError: It is not JSON.
        SourceError: It takes more than the budget.
    """
    file.budget.take("values", sum(text.count(mark.encode()) for mark in _BEFORE_VALUES))
    # Python writes NaN and Infinity, and arguments of layers may be such.
    root = parse_json(text, f"{file.label}: the configuration of its model", "model of Keras", constant=float)
    layers: dict[str, LayerConfig] = {}
    within: dict[str, list[tuple[str, str]]] = defaultdict(list)
    pending = [(root.get("config") if isinstance(root, dict) else None, "", 0)]
    while pending:
        value, path, depth = pending.pop()
        if depth > file.budget.depth:
            continue
        following = []
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            told = _layer(inner)
            if told is None:
                following.append((inner, path, depth + 1))
                continue
            name, config = told
            inner_path = f"{path}/{name}" if path else name
            file.budget.take("names", len(inner_path))
            layers[inner_path] = config
            within[path].append((str(inner["class_name"]), name))
            following.append((inner["config"], inner_path, depth + 1))
        pending += reversed(following)
    return ModelConfig(layers, dict(within))


def _layer(value: Any) -> tuple[str, LayerConfig] | None:
    """Return name and class of what may be the configuration of a layer; None for everything else."""
    if not isinstance(value, dict) or not isinstance(value.get("class_name"), str):
        return None
    settings = value.get("config")
    if not isinstance(settings, dict) or not isinstance(settings.get("name"), str):
        return None
    class_name = value["class_name"]
    inner = settings.get("layer")
    if class_name in _WRAPPERS and isinstance(inner, dict) and isinstance(inner.get("class_name"), str):
        own = inner.get("config")
        return settings["name"], LayerConfig(inner["class_name"], own if isinstance(own, dict) else _NO_SETTINGS)
    return settings["name"], LayerConfig(class_name, settings)
