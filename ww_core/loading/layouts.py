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

import re
from typing import TYPE_CHECKING

from ww_core.domain.layer import LayerKind
from ww_core.errors import UnknownNameError
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
)
from ww_core.loading.state_dict import Part, is_kernel

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ww_core.loading.mapped import StoredTensor

_OF_ITS_MODULE = frozenset({"embedding", "embeddings", "weight"})
"""Names of tables of which a module has one."""

LAYOUTS = ("pytorch", "mlx", "flax", "keras")

OF_FORMATS: Mapping[str, str] = {"mlx": "mlx", "flax": "flax", "tf": "keras"}
"""Layout by what safetensors are said to have been written from."""


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
    as_it_is = as_stored(shape)
    if layout != "mlx":
        return _channels_last(name, shape) or as_it_is
    if not is_kernel(name, shape):
        return as_it_is
    return Placed(((0,), (len(shape) - 1,), *as_it_is.axes[1:-1]))


def _channels_last(name: str, shape: tuple[int, ...]) -> Placed | None:
    """Tell what an array of Flax or Keras is; None if its name says nothing."""
    path = re.split(r"[./]", name.removesuffix(":0"))
    last, holder = path[-1], path[-2] if len(path) > 1 else ""
    layer = name.removesuffix(":0").removesuffix(last).rstrip("./") or name
    match len(shape):
        case 1:
            return _row(last, shape, layer)
        case 2 if last == "bias":
            # Of a recurrent layer there is one for each of its matrices.
            of_heads = is_of_heads(holder)
            return in_a_row(shape, Part("bias", layer)) if of_heads else as_stored(shape, Part("buffer"))
        case 2 if last == "recurrent_kernel":
            return dense(name, LayerKind.RECURRENT)
        case 2 if is_table(holder, last):
            return table(layer if last in _OF_ITS_MODULE else name)
        case axes if last == "kernel" and axes >= 2:
            return dense(layer) if axes == 2 else of_attention(holder, shape, layer) or convolution(shape, layer)
        case axes if last in DEPTHWISE and axes in CONVOLUTIONS:
            return depthwise(shape, layer)
        case axes if last in POINTWISE and axes in CONVOLUTIONS:
            return convolution(shape, name)
    return None


def _row(last: str, shape: tuple[int, ...], layer: str) -> Placed | None:
    if last in STATISTICS:
        return as_stored(shape, Part("buffer"))
    if last in SCALES:
        return as_stored(shape, Part("weight", layer, LayerKind.NORM))
    return as_stored(shape, Part("bias", layer)) if last in BIASES | SHIFTS else None


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
