"""What a variable is, by the names and shapes that Keras and older programs give, and how its axes lie.

TensorFlow has the input before the output, and channels last: (in, out) and (*kernel, in, out).
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import ww_core as ww
from ww_core.loading.channels_last import (
    BIASES,
    CONVOLUTIONS,
    DEPTHWISE,
    POINTWISE,
    SCALES,
    SHIFTS,
    STATISTICS,
    Placed,
    as_stored,
    convolution,
    dense,
    depthwise,
    in_a_row,
    is_of_heads,
    is_table,
    of_attention,
    table,
    told_by_bias,
)
from ww_core.loading.names import listing
from ww_core.loading.state_dict import Part

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from ww_core.loading.mapped import StoredTensor

KERNELS = frozenset({"kernel", "weights", "weight", "w"})
_MEASURED = frozenset({"total", "count"})  # by metrics
_CELL = re.compile(r"(^|[/_])(lstm|gru|rnn)", re.IGNORECASE)


class Meaning(NamedTuple):
    """What a variable is, if it is the weight of a layer.

    Attributes:
        placed: How it becomes the weight of a layer, which has no name yet.
        doubt: What it is only taken for; empty where names and shapes tell it.
    """

    placed: Placed
    doubt: str = ""


_TAKEN_FOR_CONVOLUTIONS = (
    "taken for kernels of convolutions, though nothing tells them apart from those of transposed and depthwise ones"
)
_TAKEN_FOR_LINES = (
    "taken for kernels of convolutions along one axis, though nothing tells them apart from those of an EinsumDense"
)
_TAKEN_FOR_DEPTHWISE = (
    "taken for kernels of depthwise convolutions, though nothing tells them apart from those of transposed ones"
)
_TAKEN_FOR_MATRICES = "taken for matrices (in, out), as layers of TensorFlow have them, though no name tells it"
_TAKEN_FOR_STATISTICS = "not analysed, because they have names of statistics and scales, though they are matrices"
_OF_AN_EINSUM = "read as they are stored, because their module is called an einsum, and nothing tells its equation"
_TAKEN_AS_THEY_ARE = "read as they are stored, because nothing tells the order of their axes"

_DOUBTS = {"": "", "transposed or depthwise": _TAKEN_FOR_CONVOLUTIONS, "transposed": _TAKEN_FOR_DEPTHWISE}


def with_parts(tensors: Sequence[StoredTensor]) -> tuple[list[StoredTensor], list[str]]:
    """Tell what variables are, and bring their axes into ww's order.

    Returns:
        The tensors in their order, and sentences on what was not told.
    """
    modules: dict[str, dict[str, StoredTensor]] = {}
    for tensor in tensors:
        path, _, last = tensor.name.rpartition("/")
        modules.setdefault(path, {})[last] = tensor
    names = {tensor.name for tensor in tensors}
    made: dict[str, StoredTensor] = {}
    doubts: dict[str, list[str]] = {}
    for path, module in modules.items():
        meanings = {last: meaning for last in module if (meaning := _meaning(path, last, module)) is not None}
        layers = _layers(path, meanings, module, names)
        for last, tensor in module.items():
            made[tensor.name] = _made(tensor, path, last, meanings, layers)
        for last, tensor in module.items():
            doubt = meanings[last].doubt if last in meanings else _doubt_of_buffer(last, tensor)
            if doubt:
                doubts.setdefault(doubt, []).append(tensor.name)
    return [made[tensor.name] for tensor in tensors], [f"{doubt}: {listing(told)}" for doubt, told in doubts.items()]


def _doubt_of_buffer(last: str, tensor: StoredTensor) -> str:
    """Tell whether a variable has the name of a row, though it has two axes or more: it may be a weight."""
    axes = sum(length > 1 for length in tensor.shape)
    named = last in STATISTICS | _MEASURED | SCALES | SHIFTS
    return _TAKEN_FOR_STATISTICS if named and axes > 1 and _is_float(tensor) else ""


def _layers(
    path: str, meanings: Mapping[str, Meaning], module: Mapping[str, StoredTensor], names: Collection[str]
) -> dict[str, str]:
    """Return the layer of each weight: the module, if it has one weight."""
    if len(meanings) == 1 and path and path not in names:
        return dict.fromkeys(meanings, path)
    return {last: module[last].name for last in meanings}


def _made(
    tensor: StoredTensor, path: str, last: str, meanings: Mapping[str, Meaning], layers: Mapping[str, str]
) -> StoredTensor:
    if last in meanings:
        made = meanings[last].placed.of_file(tensor)
        return replace(made, part=made.part and made.part._replace(layer=layers[last]))
    axes = len(tensor.shape)
    if axes == 1 or (axes == 2 and is_of_heads(_last(path))):
        owner = _owner(last, layers)
        if owner:
            return in_a_row(tensor.shape, Part("bias", layers[owner])).of_file(tensor)
    return replace(tensor, part=Part("buffer"))


def _owner(last: str, layers: Mapping[str, str]) -> str:
    """Return the weight that a bias or a shift belongs to; empty if there is none."""
    ranked = [SCALES] if last in SHIFTS else [KERNELS | POINTWISE, DEPTHWISE] if last in BIASES else []
    return next((own for owners in ranked for own in layers if own in owners), "")


def _meaning(path: str, last: str, module: Mapping[str, StoredTensor]) -> Meaning | None:
    """Tell what a variable is; None if it is no weight."""
    tensor = module[last]
    shape = tensor.shape
    if tensor.fault or not _is_float(tensor) or last in STATISTICS | _MEASURED | BIASES | SHIFTS:
        return None
    if last in SCALES:
        norm = Part("weight", kind=ww.LayerKind.NORM)
        return Meaning(as_stored(shape, norm)) if len(shape) == 1 else None
    match len(shape):
        case 0 | 1:
            return None
        case 2:
            return _matrix(path, last, module)
        case axes if axes in CONVOLUTIONS:
            return _kernel(path, last, shape, module)
    return _of_no_kind(shape, _TAKEN_AS_THEY_ARE)


def _is_float(tensor: StoredTensor) -> bool:
    return tensor.dtype.startswith(("float", "bfloat"))


def _of_no_kind(shape: tuple[int, ...], doubt: str) -> Meaning:
    return Meaning(as_stored(shape, Part("weight")), doubt)


def _matrix(path: str, last: str, module: Mapping[str, StoredTensor]) -> Meaning:
    if is_table(_last(path), last):
        return Meaning(table())
    if last == "recurrent_kernel" or (last in KERNELS and ("recurrent_kernel" in module or is_cell(path))):
        return Meaning(dense(kind=ww.LayerKind.RECURRENT))
    return Meaning(dense(), "" if last in KERNELS else _TAKEN_FOR_MATRICES)


def _kernel(path: str, last: str, shape: tuple[int, ...], module: Mapping[str, StoredTensor]) -> Meaning:
    if last in DEPTHWISE:
        return Meaning(depthwise(shape))
    if last in POINTWISE or last == "recurrent_kernel" or "recurrent_kernel" in module:
        return Meaning(convolution(shape))
    if last not in KERNELS:
        return _of_no_kind(shape, _TAKEN_AS_THEY_ARE)
    if matrix := of_attention(_last(path), shape):
        return Meaning(matrix)
    named = _last(path).lower()
    if "einsum" in path.lower() and "conv" not in named:
        return _of_no_kind(shape, _OF_AN_EINSUM)
    if "depthwise" in path.lower():
        return Meaning(depthwise(shape))
    if "transpose" in path.lower():
        return Meaning(convolution(shape))
    biases = [module[name].shape for name in module if name in BIASES]
    placed, doubt = told_by_bias(shape, biases[0] if biases else ())
    is_line = not doubt and len(shape) == 3 and "conv" not in named
    return Meaning(placed, _TAKEN_FOR_LINES if is_line else _DOUBTS[doubt])


def is_cell(path: str) -> bool:
    """Tell whether a path names a recurrent layer."""
    return _CELL.search(path) is not None


def _last(path: str) -> str:
    return path.rpartition("/")[2]
