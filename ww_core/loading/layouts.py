r"""Layouts: in which order a framework stores the axes of a weight, and what it calls the weights of a layer.

ww's own is that of PyTorch: (out, in / groups, *kernel), a dense layer (out, in). The others have the channels last:

======= ======================= ============ ===========================================================================
layout  kernel                  dense        names
======= ======================= ============ ===========================================================================
pytorch (out, in, \*kernel)     (out, in)    those of a state dict
mlx     (out, \*kernel, in)     (out, in)    the same
flax    (\*kernel, in, out)     (in, out)    ``kernel``, ``embedding``, ``scale``, ``bias``, ``mean``, ``var``
keras   (\*kernel, in, out)     (in, out)    ``kernel``, ``embeddings``, ``gamma``, ``beta``, ``moving_mean``, ...
======= ======================= ============ ===========================================================================

Kernels of attention with three axes are matrices: (in, heads, size) of queries, keys and values, (heads, size, out) of
what comes out. A shape does not tell a layout: one that looks like another is a warning, and never a guess.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from ww_core.domain.layer import LayerKind
from ww_core.errors import UnknownNameError
from ww_core.loading.mapped import contiguous_strides, with_strides
from ww_core.loading.state_dict import Part, is_kernel

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy.typing as npt

    from ww_core.loading.mapped import StoredTensor

LAYOUTS = ("pytorch", "mlx", "flax", "keras")

OF_FORMATS: Mapping[str, str] = {"mlx": "mlx", "flax": "flax", "tf": "keras"}
"""Layout by what safetensors are said to have been written from."""

Axes = tuple[tuple[int, ...], ...]
"""For each axis of a result, the axes of the stored array that it is made of, which stand side by side there."""

_CONVOLUTIONS = {3: LayerKind.CONV1D, 4: LayerKind.CONV2D, 5: LayerKind.CONV3D}
_INTO_HEADS = frozenset({"query", "key", "value", "query_dense", "key_dense", "value_dense"})
_OUT_OF_HEADS = frozenset({"out", "output_dense", "attention_output"})
_STATISTICS = frozenset({"mean", "var", "moving_mean", "moving_variance"})
_SCALES, _SHIFTS = frozenset({"scale", "gamma"}), frozenset({"bias", "beta"})
_TABLES = frozenset({"embedding", "embeddings"})


class Placed(NamedTuple):
    """How a stored array becomes a tensor of ww's layout.

    Attributes:
        axes: Of what each axis of the tensor is made.
        part: What the tensor is; None if its name tells it as in a state dict.
    """

    axes: Axes
    part: Part | None = None

    def shape(self, stored: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of the tensor."""
        return tuple(math.prod(stored[axis] for axis in own) for own in self.axes)

    def of_file(self, tensor: StoredTensor) -> StoredTensor:
        """Return a tensor of a file as the tensor of ww's layout: nothing is moved."""
        if tensor.fault:
            return tensor
        steps = tensor.strides or contiguous_strides(tensor.shape)
        if any(steps[a] != steps[b] * tensor.shape[b] for own in self.axes for a, b in pairwise(own)):
            return replace(tensor, fault="two axes make one, and do not lie in C order: save it in C order")
        strides = tuple(steps[own[-1]] if own else 1 for own in self.axes)
        return replace(with_strides(tensor, self.shape(tensor.shape), strides), part=self.part)

    def of_array(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return an array in ww's layout: a view where that can be one."""
        order = [axis for own in self.axes for axis in own]
        return array.transpose(order).reshape(self.shape(array.shape))


def layout_named(name: str) -> str:
    """Return the name of a layout.

    Raises:
        UnknownNameError: There is none of this name.
    """
    if name not in LAYOUTS:
        raise UnknownNameError("layout", name, LAYOUTS)
    return name


def laid_out(tensor: StoredTensor, layout: str) -> StoredTensor:
    """Return a tensor of a file in ww's layout."""
    return tensor if layout == "pytorch" else placed(tensor.name, tensor.shape, layout).of_file(tensor)


def placed(name: str, shape: tuple[int, ...], layout: str) -> Placed:
    """Tell what a stored array is in a layout.

    Args:
        name: Its name; parts are separated by ``.`` or ``/``.
        shape: Its shape as it is stored.
        layout: One of `LAYOUTS`, but ``pytorch``, in which every array is a tensor as it stands.
    """
    as_it_is = tuple((axis,) for axis in range(len(shape)))
    if layout == "mlx":
        if not is_kernel(name, shape):
            return Placed(as_it_is)
        return Placed(((0,), (len(shape) - 1,), *as_it_is[1:-1]))
    return _channels_last(name, shape) or Placed(as_it_is)


def _channels_last(name: str, shape: tuple[int, ...]) -> Placed | None:
    """Tell what an array of Flax or Keras is; None if its name says nothing."""
    path = re.split(r"[./]", name.removesuffix(":0"))
    last, holder = path[-1], path[-2] if len(path) > 1 else ""
    layer = name.removesuffix(":0").removesuffix(last).rstrip("./") or name
    axes, first, kernel = len(shape), (len(shape) - 1,), tuple((axis,) for axis in range(len(shape) - 2))
    # A convolution may have such a name too: its first axis is the shortest.
    if last == "kernel" and axes == 3 and holder in _INTO_HEADS and shape[0] > shape[1]:
        return Placed(((1, 2), (0,)), Part("weight", layer, LayerKind.DENSE))
    if last == "kernel" and axes == 3 and holder in _OUT_OF_HEADS and shape[0] * shape[1] == shape[2]:
        return Placed(((2,), (0, 1)), Part("weight", layer, LayerKind.DENSE))
    if last == "bias" and axes == 2 and holder in _INTO_HEADS:
        return Placed(((0, 1),), Part("bias", layer))
    if last == "bias" and axes == 2:
        return Placed(((0,), (1,)), Part("buffer"))  # of a recurrent layer: one for each of its matrices
    if last == "kernel" and axes >= 2:
        kind = _CONVOLUTIONS.get(axes, LayerKind.OTHER) if kernel else LayerKind.DENSE
        return Placed((first, (axes - 2,), *kernel), Part("weight", layer, kind))
    if last == "recurrent_kernel" and axes == 2:
        return Placed(((1,), (0,)), Part("weight", name, LayerKind.RECURRENT))
    if last == "depthwise_kernel" and axes in _CONVOLUTIONS:
        part = Part("weight", layer, _CONVOLUTIONS[axes], max(1, shape[-2]))
        return Placed(((axes - 2, axes - 1), (), *kernel), part)
    if last == "pointwise_kernel" and axes in _CONVOLUTIONS:
        return Placed((first, (axes - 2,), *kernel), Part("weight", name, _CONVOLUTIONS[axes]))
    if axes == 2 and (last in _TABLES or (last == "weight" and "embedding" in holder)):
        return Placed(((0,), (1,)), Part("weight", layer, LayerKind.EMBEDDING))
    if axes == 1 and last in _STATISTICS:
        return Placed(((0,),), Part("buffer"))
    if axes == 1 and last in _SCALES:
        return Placed(((0,),), Part("weight", layer, LayerKind.NORM))
    return Placed(((0,),), Part("bias", layer)) if axes == 1 and last in _SHIFTS else None


# --- shapes that look like another layout ---

_WIDEST = 11  # of the kernels of most convolutions
_FEWEST = 16  # channels of most layers but the first one, and more than a kernel is wide


def suspicion(tensors: Iterable[tuple[str, tuple[int, ...]]], layout: str, option: str) -> list[str]:
    """Return a warning where kernels of two dimensions look as if they were of another layout.

    Args:
        tensors: Names and shapes as they are stored.
        layout: The layout that they are taken for.
        option: How a person says another one, as ``--loader 'npz[layout={}]'``.
    """
    found = [(name, shape, other) for name, shape in tensors if (other := _looks_like(shape, layout))]
    if not found:
        return []
    name, shape, other = found[0]
    more = f", as have {len(found) - 1} more" if len(found) > 1 else ""
    sizes = " x ".join(map(str, shape))
    said = f"{name} has the shape {sizes}{more}, which looks like {_FORMS[other]} and is read as {_FORMS[layout]}"
    return [f"{said}: if that is so, say {option.format(other)}"]


_CHANNELS_LAST = "(*kernel, in, out)"
_FORMS = {
    "pytorch": "(out, in, *kernel)",
    "mlx": "(out, *kernel, in)",
    "flax": _CHANNELS_LAST,
    "keras": _CHANNELS_LAST,
}


def _looks_like(shape: tuple[int, ...], layout: str) -> str:
    """Return the layout that a shape looks like, if it is another one; empty if it looks like none, or like its own."""
    if len(shape) != 4:
        return ""
    if layout != "pytorch":
        own = shape[2] == shape[3] <= _WIDEST and min(shape[:2]) > shape[2] and shape[1] >= _FEWEST
        return "pytorch" if own else ""
    if shape[3] < _FEWEST or shape[2] == shape[3]:
        return ""
    if shape[0] == shape[1] <= _WIDEST:
        return "flax"
    return "mlx" if 1 < shape[1] == shape[2] <= _WIDEST else ""
