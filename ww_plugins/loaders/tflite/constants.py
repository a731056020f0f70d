"""The constants of a model: which tensors have numbers, what operators take them for, and how they are read.

A constant that several operators or subgraphs share is one, under the name that it has where it is used first. They
stand in the order in which operators use them; those that no operator uses come last.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import ww_core as ww
from ww_core.loading.contents import BITS, description_of, raw_dtype
from ww_core.loading.excess import excess_over_parts
from ww_core.loading.folded import names_batch_norm, sentences_of_folded
from ww_core.loading.mapped import MappedFile, StoredTensor, transposed
from ww_core.loading.names import fault_of_name, quoted
from ww_core.loading.state_dict import Part
from ww_plugins.loaders.tflite.model import Place
from ww_plugins.loaders.tflite.operators import DENSIFY, DEQUANTIZE, Meaning, meanings
from ww_plugins.loaders.tflite.quantised import BITS_OF_INTEGERS, Quantisation, unpacked
from ww_plugins.loaders.tflite.sparse import Sparsity

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    import numpy as np
    import numpy.typing as npt

    from ww_plugins.loaders.tflite.model import Model, Operator, Subgraph, Tensor

_ELSEWHERE = "its numbers lie in another file, and they are not read from there"
_MAY_HOLD_NORMS = frozenset({ww.LayerKind.CONV2D, ww.LayerKind.CONV3D, ww.LayerKind.DENSE})
_MOST_AXES = 64  # NumPy's limit


@dataclass(slots=True)
class Constant:
    """A tensor whose numbers the file holds.

    Attributes:
        name: Its name; unique.
        tensor: The tensor.
        quantisation: How it is quantised; None if it is not.
        sparsity: Where its numbers stand; None if it has all of them.
        meaning: What an operator takes it for; None if that is nothing with a name.
        layer: The layer whose bias it is; empty if it is none.
        is_folded: Whether names suggest that it holds a batch norm.
    """

    name: str
    tensor: Tensor
    quantisation: Quantisation | None
    sparsity: Sparsity | None
    meaning: Meaning | None = None
    layer: str = ""
    is_folded: bool = False

    @property
    def part(self) -> Part:
        """What it is in the model."""
        if self.meaning is not None:
            return Part("weight", self.name, self.meaning.kind, self.meaning.groups)
        if self.layer:
            return Part("bias", self.layer)
        if sum(length > 1 for length in self.tensor.shape) >= 2:
            return Part("weight", self.name, ww.LayerKind.OTHER)
        return Part("buffer")


def read_constants(model: Model) -> MappedFile:
    """Find the constants of a model; those that are quantised or sparse are made when they are read.

    Raises:
        CorruptFileError: One contradicts the file or itself.
        SourceError: They take more than the budget allows.
    """
    gathering = _Gathering(model)
    for graph in model.subgraphs():
        gathering.add(graph)
    file, constants = model.content.file, gathering.constants
    said = sentences_of_folded([], [constant.name for constant in constants if constant.is_folded])
    warnings = tuple(f"{file.label}: {sentence}" for sentence in said)
    return MappedFile(file, tuple(_stored(model, constant) for constant in constants), warnings=warnings)


class _Gathering:
    """The constants of subgraphs, as they are met.

    Args:
        model: The model.
    """

    def __init__(self, model: Model) -> None:
        self._file = model.content.file
        self._found: dict[Hashable, Constant] = {}
        self._counts: dict[str, int] = {}
        self._names: set[str] = set()
        self._biased: set[str] = set()

    @property
    def constants(self) -> list[Constant]:
        """Those that were met so far, in their order."""
        return list(self._found.values())

    def add(self, graph: Subgraph) -> None:
        """Gather the constants of a subgraph, and tell what its operators take them for."""
        origins = _origins(graph.operators)
        tensors = [graph.tensors[origins.get(index, index)] for index in range(len(graph.tensors))]
        held: dict[int, Constant] = {}
        for operator in graph.operators:
            if operator.code in {DEQUANTIZE, DENSIFY}:
                continue
            for index in operator.inputs:
                if index >= 0:
                    self._hold(held, tensors, origins.get(index, index))
            for meaning in meanings(operator, tensors):
                self._tell(held, meaning, origins)
                self._note_norm(
                    held, meaning, origins, [tensors[index] for index in operator.outputs[:1] if index >= 0]
                )
        for index in range(len(graph.tensors)):
            self._hold(held, graph.tensors, index)

    def _hold(self, held: dict[int, Constant], tensors: Sequence[Tensor], index: int) -> None:
        tensor = tensors[index]
        if index in held or (tensor.place is None and not tensor.is_elsewhere):
            return
        quantisation = Quantisation.told(tensor.quantisation, tensor.shape)
        if tensor.dtype not in BITS_OF_INTEGERS:
            quantisation = None
        key = (tensor.buffer, tensor.place, tensor.dtype, tensor.shape, quantisation)
        if key not in self._found:
            name = self._name(tensor, index)
            self._found[key] = Constant(name, tensor, quantisation, Sparsity.told(tensor.sparsity))
        held[index] = self._found[key]

    def _tell(self, held: Mapping[int, Constant], meaning: Meaning, origins: Mapping[int, int]) -> None:
        constant = held.get(origins.get(meaning.weight, meaning.weight))
        if constant is None:
            return
        if constant.meaning is None and not constant.layer:
            constant.meaning = meaning
        bias = held.get(origins.get(meaning.bias, meaning.bias))
        if bias is None or constant.meaning is None or constant.name in self._biased:
            return
        if bias.meaning is None and not bias.layer and len(bias.tensor.shape) == 1:
            bias.layer = constant.name
            self._biased.add(constant.name)

    def _note_norm(
        self, held: Mapping[int, Constant], meaning: Meaning, origins: Mapping[int, int], made: Sequence[Tensor]
    ) -> None:
        """Note a kernel if it, its bias or what the operator makes of it is named after a batch norm."""
        kernel = held.get(origins.get(meaning.weight, meaning.weight))
        if kernel is None or kernel.meaning is None or meaning.kind not in _MAY_HOLD_NORMS or kernel.is_folded:
            return
        bias = held.get(origins.get(meaning.bias, meaning.bias))
        told = [kernel.name, *([bias.name] if bias else [])]
        kernel.is_folded = any(map(names_batch_norm, told)) or any(names_batch_norm(tensor.name) for tensor in made)

    def _name(self, tensor: Tensor, index: int) -> str:
        self._file.budget.take("tensors")
        told = tensor.name or f"tensor_{index}"
        if fault := fault_of_name(told):
            raise ww.CorruptFileError(f"{self._file.label}: {fault}")
        name = told
        while name in self._names:
            self._counts[told] = self._counts.get(told, 1) + 1
            name = f"{told}#{self._counts[told]}"
        self._names.add(name)
        return name


def _origins(operators: Sequence[Operator]) -> dict[int, int]:
    """Return which tensor each one is made of that operators only make dense or dequantise."""
    made = {
        operator.outputs[0]: operator.inputs[0]
        for operator in operators
        if operator.code in {DEQUANTIZE, DENSIFY} and min(*operator.inputs[:1], *operator.outputs[:1], 0) >= 0
        if operator.inputs and operator.outputs
    }
    # A sparse one may be made dense first, and dequantised then.
    return {target: made.get(origin, origin) for target, origin in made.items()}


def _stored(model: Model, constant: Constant) -> StoredTensor:
    tensor, file = constant.tensor, model.content.file
    where = f"{file.label}: tensor {quoted(constant.name)}"
    if len(tensor.shape) > _MOST_AXES or min(tensor.shape, default=0) < 0:
        raise ww.CorruptFileError(f"{where}: {quoted(list(tensor.shape))} is not a shape")
    found = StoredTensor(constant.name, tensor.dtype, tensor.shape, file, part=constant.part)
    if tensor.place is None:
        return replace(found, fault=_ELSEWHERE)
    axes = constant.meaning.axes if constant.meaning else tuple(range(len(tensor.shape)))
    return transposed(_filled(found, constant, tensor.place, axes, where), axes)


def _filled(found: StoredTensor, constant: Constant, place: Place, axes: Sequence[int], where: str) -> StoredTensor:
    """Return a constant with its numbers, or with the reason for which they cannot be told."""
    tensor, quantisation = constant.tensor, constant.quantisation
    bits = BITS.get(tensor.dtype) or BITS_OF_INTEGERS.get(tensor.dtype, 0)
    fault = constant.meaning.fault if constant.meaning else ""
    if not bits:
        return _listed(found, constant, place, fault or f"its type {tensor.dtype} is no type of numbers")
    count = math.prod(tensor.shape)
    nbytes = -(-count * bits // 8)
    if place.nbytes > nbytes or (place.nbytes < nbytes and constant.sparsity is None) or place.nbytes * 8 % bits:
        raise ww.CorruptFileError(
            f"{where}: shape {quoted(list(tensor.shape))} of {tensor.dtype} takes {nbytes:,} bytes, and its buffer has "
            f"{place.nbytes:,}"
        )
    fault = fault or (quantisation.fault if quantisation else "")
    if fault:
        return _listed(found, constant, place, fault)
    if constant.sparsity is not None or quantisation is not None:
        return _decoded(found, constant, place, axes)
    if tensor.dtype in BITS:
        return replace(found, offset=place.offset)
    return _listed(found, constant, place, f"its {tensor.dtype} numbers have no scale")


def _listed(found: StoredTensor, constant: Constant, place: Place, fault: str) -> StoredTensor:
    """Return a constant that is listed with the reason, and is a part of the digest as it is stored."""
    quantisation = constant.quantisation
    told = [quantisation.scales.hex(), quantisation.zeros.hex(), quantisation.axis] if quantisation else []
    described = description_of({"dtype": found.dtype, "shape": found.shape, "quantisation": told})
    return replace(found, fault=fault, parts=(_bytes_of(found, place),), described=described)


def _bytes_of(found: StoredTensor, place: Place) -> StoredTensor:
    return StoredTensor(found.name, "uint8", (place.nbytes,), found.file, place.offset)


def _decoded(found: StoredTensor, constant: Constant, place: Place, axes: Sequence[int]) -> StoredTensor:
    """Return a constant as the numbers that it stands for, which are made each time that they are read."""
    quantisation, sparsity = constant.quantisation, constant.sparsity
    bits = BITS_OF_INTEGERS.get(found.dtype, 8)
    if quantisation is None and bits < 8:
        return _listed(found, constant, place, f"its {found.dtype} numbers have no scale")
    held = _bytes_of(found, place)
    parts = [held]
    if sparsity is not None:
        try:
            sparsity.check(place.nbytes * 8 // (BITS.get(found.dtype) or bits), found.shape)
        except ValueError as error:
            return _listed(found, constant, place, str(error))
        parts += [_bytes_of(found, Place(each.offset, each.nbytes)) for each in sparsity.lists]

    def numbers() -> npt.NDArray[Any]:
        with held.read_bytes() as content:
            whole = _whole(content, found, sparsity)
            return whole if quantisation is None else quantisation.numbers(whole)

    told = f"made as {quoted(found.name)}"  # names are unique
    made = replace(found, parts=tuple(parts), described=told, make=numbers)
    if quantisation is not None:
        made = replace(made, dtype="float32", rounding=quantisation.rounding(axes))
    why = excess_over_parts(made)
    return _listed(found, constant, place, why) if why else made


def _whole(content: npt.NDArray[np.uint8], found: StoredTensor, sparsity: Sparsity | None) -> npt.NDArray[Any]:
    """Return the numbers of a constant as they are stored, in its shape."""
    import numpy as np

    bits = BITS_OF_INTEGERS.get(found.dtype, 8)
    if bits < 8:
        count = math.prod(found.shape) if sparsity is None else len(content) * 8 // bits
        numbers: npt.NDArray[Any] = unpacked(content, found.dtype, count)
    elif found.dtype in BITS_OF_INTEGERS:
        numbers = content.view(np.dtype(found.dtype).newbyteorder("<"))
    else:
        numbers = content.view(raw_dtype(found.dtype))
    return numbers.reshape(found.shape) if sparsity is None else sparsity.dense(numbers, found.shape)
