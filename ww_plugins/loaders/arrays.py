"""Arrays from Python: a mapping of tensor names to arrays, or of names to such mappings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import ww_core as ww
from ww_core.loading.in_memory import HeldCheckpoint, Slot, offers_array, shape_of
from ww_core.loading.layouts import layout_named, placed, suspicion
from ww_core.loading.names import quoted
from ww_core.loading.state_dict import Part
from ww_core.loading.trees import Tree, find_weights

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class ArraysLoader(ww.Loader):
    """Reads a mapping of names to arrays, named and laid out as in a state dict, (out, in, *kernel), or as is told.

    NumPy arrays, those of ml_dtypes too, are read where they lie. What offers ``__array__`` or DLPack, such as a tensor
    of PyTorch, is read through it. In a mapping of mappings, such as a checkpoint of a training, the weights are found.

    Attributes:
        weights: Key under which the weights lie, where there are several sets of them, such as ``ema``.
        layout: In which order the axes of weights are stored: ``pytorch``, ``mlx``, ``flax`` or ``keras``.
    """

    name = "arrays"
    description = "a Python mapping of tensor names to arrays"
    weights: str = ""
    layout: str = "pytorch"

    def probe(self, source: ww.Source) -> float:
        """Judge by the first value, if there is one: an array or something that offers itself as one."""
        given = source.value
        if not isinstance(given, Mapping):
            return 0.0
        try:
            first = next(iter(given), None)
            return 0.9 if first is not None and offers_array(given[first]) else 0.3
        except Exception:  # noqa: BLE001 - somebody's mapping; what is wrong with it is said when it is opened
            return 0.3

    def open(self, source: ww.Source) -> HeldCheckpoint:
        """Look at every value.

        Raises:
            UsageError: There is no layout of this name, or no weights lie under the key.
            SourceError: ``source`` is no mapping, a key is not fit to name a tensor, or a value is not to be had.
        """
        if not isinstance(source.value, Mapping):
            raise ww.SourceError(f"an object of type {source.name} is no mapping of names to arrays")
        label, layout = "the mapping", layout_named(self.layout)
        weights = find_weights(source.value, _MappingTree(source.budget), label, self.weights)
        slots: dict[str, Slot] = dict(weights.tensors)
        parts: dict[str, Part] = {}
        for name, slot in list(slots.items()) if layout != "pytorch" else ():
            own = placed(name, shape_of(name, slot), layout)
            slots[name] = replace(slot, placed=own)
            parts |= {name: own.part} if own.part else {}
        checkpoint = HeldCheckpoint("arrays", slots, weights.modules, weights.warnings(label), parts)
        if layout == "pytorch":
            told = ((layer.weight.name, layer.shape) for layer in checkpoint.layers)
            checkpoint.warnings += tuple(suspicion(told, layout, "loader='arrays[layout={}]'"))
        return checkpoint


class _MappingTree(Tree):
    """Mappings within mappings. What is no mapping is a tensor, if it may be one: a number or a text is none."""

    def is_tensor(self, node: Any) -> bool:
        return isinstance(node, Slot)

    def is_dict(self, node: Any) -> bool:
        return isinstance(node, Mapping)

    def entries(self, node: Any) -> Iterator[tuple[str, Any]]:
        for key in node:
            try:
                value = node[key]
            except Exception as error:
                sentence = f"array {quoted(key)} cannot be read: {type(error).__name__}: {error}"
                raise ww.SourceError(sentence) from error
            if not (isinstance(value, (Mapping, list, tuple)) or offers_array(value)):
                continue
            if type(key) not in {str, int}:
                raise ww.SourceError(
                    f"the key {quoted(key)} of the mapping is of type {type(key).__name__}, not a text"
                )
            yield str(key), value if isinstance(value, Mapping) else Slot(node, key)
