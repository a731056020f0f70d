"""What a variable is, by the names and shapes that Keras and older programs give, and how its axes lie.

TensorFlow has the input before the output, and channels last: (in, out) and (*kernel, in, out).
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import ww_core as ww
from ww_core.loading.mapped import transposed
from ww_core.loading.names import quoted
from ww_core.loading.state_dict import Part

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from ww_core.loading.mapped import StoredTensor

_KERNELS = frozenset({"kernel", "weights", "weight", "w"})
_DEPTHWISE = frozenset({"depthwise_kernel", "depthwise_weights"})
_POINTWISE = frozenset({"pointwise_kernel", "pointwise_weights"})
_BIASES = frozenset({"bias", "biases", "b"})
_SCALES = frozenset({"gamma", "scale"})
_SHIFTS = frozenset({"beta", "offset"})
_STATISTICS = frozenset({"moving_mean", "moving_variance", "moving_var", "mean", "variance", "total", "count"})
_TABLE = re.compile(r"embeddings?$|embedding_table$|lookup_table$")
_CELL = re.compile(r"(^|[/_])(lstm|gru|rnn)", re.IGNORECASE)
_INTO_HEADS = frozenset({"query", "key", "value"})
_OUT_OF_HEADS = frozenset({"attention_output", "output_dense"})
_LISTED = 5

_CONVOLUTIONS = {3: ww.LayerKind.CONV1D, 4: ww.LayerKind.CONV2D, 5: ww.LayerKind.CONV3D}


class Meaning(NamedTuple):
    """What a variable is, if it is the weight of a layer.

    Attributes:
        shape: Its shape, with axes that belong together as one, and those of length 1 that ww's layout has.
        axes: Axis ``i`` of the layer's weight is axis ``axes[i]`` of that.
        kind: Kind of the layer.
        groups: Groups of a convolution.
        doubt: What it is only taken for; empty where names and shapes tell it.
    """

    shape: tuple[int, ...]
    axes: tuple[int, ...]
    kind: ww.LayerKind
    groups: int = 1
    doubt: str = ""


_TAKEN_FOR_CONVOLUTIONS = (
    "taken for kernels of convolutions, though nothing tells them apart from those of transposed and depthwise ones"
)
_TAKEN_FOR_MATRICES = "taken for matrices (in, out), as layers of TensorFlow have them, though no name tells it"
_TAKEN_AS_THEY_ARE = "read as they are stored, because nothing tells the order of their axes"


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
        for last, meaning in meanings.items():
            if meaning.doubt:
                doubts.setdefault(meaning.doubt, []).append(module[last].name)
    return [made[tensor.name] for tensor in tensors], [_sentence(doubt, told) for doubt, told in doubts.items()]


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
    meaning = meanings.get(last)
    if meaning is not None:
        part = Part("weight", layers[last], meaning.kind, meaning.groups)
        return transposed(replace(tensor, shape=meaning.shape, part=part), meaning.axes)
    heads = _last(path) in _INTO_HEADS and len(tensor.shape) == 2
    if len(tensor.shape) == 1 or heads:
        owner = _owner(last, layers)
        if owner:
            return replace(tensor, shape=(math.prod(tensor.shape),), part=Part("bias", layers[owner]))
    return replace(tensor, part=Part("buffer"))


def _owner(last: str, layers: Mapping[str, str]) -> str:
    """Return the weight that a bias or a shift belongs to; empty if there is none."""
    ranked = [_SCALES] if last in _SHIFTS else [_KERNELS | _POINTWISE, _DEPTHWISE] if last in _BIASES else []
    return next((own for owners in ranked for own in layers if own in owners), "")


def _meaning(path: str, last: str, module: Mapping[str, StoredTensor]) -> Meaning | None:
    """Tell what a variable is; None if it is no weight."""
    tensor = module[last]
    shape = tensor.shape
    if tensor.fault or not tensor.dtype.startswith(("float", "bfloat")) or last in _STATISTICS | _BIASES | _SHIFTS:
        return None
    if last in _SCALES:
        return Meaning(shape, (0,), ww.LayerKind.NORM) if len(shape) == 1 else None
    match len(shape):
        case 0 | 1:
            return None
        case 2:
            return _matrix(path, last, shape, module)
        case axes if axes in _CONVOLUTIONS:
            return _kernel(path, last, shape, module)
        case axes:
            return Meaning(shape, tuple(range(axes)), ww.LayerKind.OTHER, doubt=_TAKEN_AS_THEY_ARE)


def _matrix(path: str, last: str, shape: tuple[int, ...], module: Mapping[str, StoredTensor]) -> Meaning:
    if _TABLE.search(last):
        return Meaning(shape, (0, 1), ww.LayerKind.EMBEDDING)
    if last == "recurrent_kernel" or (last in _KERNELS and ("recurrent_kernel" in module or _CELL.search(path))):
        return Meaning(shape, (1, 0), ww.LayerKind.RECURRENT)
    doubt = "" if last in _KERNELS else _TAKEN_FOR_MATRICES
    return Meaning(shape, (1, 0), ww.LayerKind.DENSE, doubt=doubt)


def _kernel(path: str, last: str, shape: tuple[int, ...], module: Mapping[str, StoredTensor]) -> Meaning:
    if last in _DEPTHWISE:
        return _depthwise(shape)
    if last in _POINTWISE or last == "recurrent_kernel" or "recurrent_kernel" in module:
        return _convolution(shape)
    if last not in _KERNELS:
        return Meaning(shape, tuple(range(len(shape))), ww.LayerKind.OTHER, doubt=_TAKEN_AS_THEY_ARE)
    if len(shape) == 3 and _last(path) in _INTO_HEADS:
        return Meaning((shape[0], shape[1] * shape[2]), (1, 0), ww.LayerKind.DENSE)
    if len(shape) == 3 and _last(path) in _OUT_OF_HEADS:
        return Meaning((shape[0] * shape[1], shape[2]), (1, 0), ww.LayerKind.DENSE)
    if "depthwise" in path.lower():
        return _depthwise(shape)
    if "transpose" in path.lower():
        return _transposed(shape)
    biases = [module[name].shape for name in module if name in _BIASES]
    return _told_by_bias(shape, biases[0] if biases else ())


def _told_by_bias(shape: tuple[int, ...], bias: tuple[int, ...]) -> Meaning:
    """Tell what a kernel is by the channels of its output, of which each has a bias."""
    fits = [
        how
        for how, channels in (
            (_convolution, shape[-1]),
            (_transposed, shape[-2]),
            (_depthwise, shape[-2] * shape[-1]),
        )
        if bias == (channels,)
    ]
    if len(fits) == 1 or (fits and shape[-2:] == (1, 1)):
        return fits[0](shape)
    if fits and shape[-2] == 1:  # one input channel: a convolution of it is a depthwise one too
        return _convolution(shape)
    return _convolution(shape)._replace(doubt=_TAKEN_FOR_CONVOLUTIONS)


def _convolution(shape: tuple[int, ...]) -> Meaning:
    axes = len(shape)
    return Meaning(shape, (axes - 1, axes - 2, *range(axes - 2)), _CONVOLUTIONS[axes])


def _transposed(shape: tuple[int, ...]) -> Meaning:
    """Keras has (*kernel, out, in) of them: the order of the last two is ww's, which has the input first here."""
    return _convolution(shape)


def _depthwise(shape: tuple[int, ...]) -> Meaning:
    axes, channels = len(shape), shape[-2]
    one = (*shape[:-2], channels * shape[-1], 1)
    return Meaning(one, (axes - 2, axes - 1, *range(axes - 2)), _CONVOLUTIONS[axes], max(channels, 1))


def _last(path: str) -> str:
    return path.rpartition("/")[2]


def _sentence(doubt: str, names: Sequence[str]) -> str:
    shown = ", ".join(quoted(name) for name in names[:_LISTED])
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{doubt}: {shown}{more}"
