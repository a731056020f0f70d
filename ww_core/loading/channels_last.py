r"""Weights with their channels last, as Flax, Keras and TensorFlow store them: how each becomes one of ww's layout.

====================================== ===================== =======================
weight                                 as it is stored       in ww's layout
====================================== ===================== =======================
dense, recurrent                       (in, out)             (out, in)
convolution                            (\*kernel, in, out)   (out, in, \*kernel)
transposed convolution                 (\*kernel, out, in)   (in, out, \*kernel)
depthwise convolution                  (\*kernel, in, n)     (in * n, 1, \*kernel)
queries, keys and values of attention  (in, heads, size)     (heads * size, in)
what comes out of attention            (heads, size, out)    (out, heads * size)
embedding                              (rows, dim)           (rows, dim)
====================================== ===================== =======================

Nothing is moved: the same numbers are gone through in another order. Names that several formats give to such weights,
and what a shape and a bias tell of a kernel, stand here too.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from ww_core.domain.layer import LayerKind
from ww_core.loading.mapped import contiguous_strides, with_strides
from ww_core.loading.state_dict import Part

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from ww_core.loading.mapped import StoredTensor

Shape = tuple[int, ...]

Axes = tuple[tuple[int, ...], ...]
"""For each axis of a result, the axes of the stored array that it is made of, which stand side by side there."""

CONVOLUTIONS = {3: LayerKind.CONV1D, 4: LayerKind.CONV2D, 5: LayerKind.CONV3D}
"""Kind of a convolution, by the axes of its kernel."""

DEPTHWISE = frozenset({"depthwise_kernel", "depthwise_weights"})
POINTWISE = frozenset({"pointwise_kernel", "pointwise_weights"})
BIASES = frozenset({"bias", "biases", "b"})
SCALES = frozenset({"gamma", "scale"})
SHIFTS = frozenset({"beta", "offset"})
STATISTICS = frozenset({"moving_mean", "moving_variance", "moving_var", "mean", "variance", "var"})

_LONGEST_EQUATION = 200
_TABLES = ("embedding", "embeddings", "embedding_table", "lookup_table")
_INTO_HEADS = frozenset({"query", "key", "value", "query_dense", "key_dense", "value_dense"})
_OUT_OF_HEADS = frozenset({"attention_output", "output_dense", "out"})


class Placed(NamedTuple):
    """How a stored array becomes a tensor of ww's layout.

    Attributes:
        axes: Of what each axis of the tensor is made.
        part: What the tensor is; None if its name tells it as in a state dict.
    """

    axes: Axes
    part: Part | None = None

    def shape(self, stored: Shape) -> Shape:
        """Return the shape of the tensor."""
        return tuple(math.prod(stored[axis] for axis in own) for own in self.axes)

    def strides(self, stored: Shape) -> Shape:
        """Return how many numbers lie from one to the next along each axis, where an array has such strides."""
        return tuple(stored[own[-1]] if own else 1 for own in self.axes)

    def of_file(self, tensor: StoredTensor) -> StoredTensor:
        """Return a tensor of a file as the tensor of ww's layout: nothing is moved."""
        if tensor.fault:
            return tensor
        steps = tensor.strides or contiguous_strides(tensor.shape)
        if any(steps[a] != steps[b] * tensor.shape[b] for own in self.axes for a, b in pairwise(own)):
            return replace(tensor, fault="two axes make one, and do not lie in C order: save it in C order")
        return replace(with_strides(tensor, self.shape(tensor.shape), self.strides(steps)), part=self.part)

    def of_array(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return an array in ww's layout: a view where that can be one."""
        order = [axis for own in self.axes for axis in own]
        return array.transpose(order).reshape(self.shape(array.shape))


# --- weights, by what they are; without a name, the layer is still to be named ---


def as_stored(shape: Shape, part: Part | None = None) -> Placed:
    """Place a tensor that is as it stands."""
    return Placed(tuple((axis,) for axis in range(len(shape))), part)


def in_a_row(shape: Shape, part: Part) -> Placed:
    """Place a bias or a scale: a row, whatever its axes are."""
    return Placed((tuple(range(len(shape))),), part)


def dense(layer: str = "", kind: LayerKind = LayerKind.DENSE) -> Placed:
    """Place a matrix (in, out)."""
    return Placed(((1,), (0,)), Part("weight", layer, kind))


def table(layer: str = "") -> Placed:
    """Place the table of an embedding."""
    return Placed(((0,), (1,)), Part("weight", layer, LayerKind.EMBEDDING))


def convolution(shape: Shape, layer: str = "", groups: int = 1) -> Placed:
    """Place a kernel (*kernel, in, out), or (*kernel, out, in) of a transposed convolution."""
    last = len(shape) - 1
    kernel = tuple((axis,) for axis in range(last - 1))
    kind = CONVOLUTIONS.get(len(shape), LayerKind.OTHER)
    return Placed(((last,), (last - 1,), *kernel), Part("weight", layer, kind, groups))


def depthwise(shape: Shape, layer: str = "") -> Placed:
    """Place a kernel (*kernel, in, multiplier): a convolution with as many groups as there are input channels."""
    last = len(shape) - 1
    kernel = tuple((axis,) for axis in range(last - 1))
    part = Part("weight", layer, CONVOLUTIONS.get(len(shape), LayerKind.OTHER), max(1, shape[-2]))
    return Placed(((last - 1, last), (), *kernel), part)


def matrices(batch: Sequence[int], inward: Sequence[int], count: int, layer: str = "") -> Placed | None:
    """Place a kernel of many axes as (out, in), or as (matrices, out, in); None if it is no such thing.

    Args:
        batch: The axes along which there is a matrix for each of what is given.
        inward: Those that are summed over.
        count: How many axes the kernel has. Those that go together must be neighbours.
        layer: The layer.
    """
    outward = [axis for axis in range(count) if axis not in {*batch, *inward}]
    sides = tuple(tuple(axes) for axes in (batch, outward, inward) if axes and axes[-1] - axes[0] == len(axes) - 1)
    if len(sides) < (3 if batch else 2):
        return None
    return Placed(sides, Part("weight", layer, LayerKind.EXPERT if batch else LayerKind.DENSE))


# --- what names, shapes and biases tell ---


def is_table(holder: str, name: str) -> bool:
    """Tell whether a matrix is a table of embeddings, by its name and that of the module that holds it."""
    return name.endswith(_TABLES) or (name == "weight" and "embedding" in holder.lower())


def is_of_heads(holder: str) -> bool:
    """Tell whether a module may make queries, keys or values, whose bias has two axes then."""
    return holder in _INTO_HEADS


def of_attention(holder: str, shape: Shape, layer: str = "") -> Placed | None:
    """Place a kernel with three axes that a module of attention holds; None if it holds none.

    A convolution may have such a name too, as ``key`` or ``out``: its first axis is the shortest. No other layer
    than attention has an ``attention_output``.
    """
    if len(shape) != 3:
        return None
    if holder in _INTO_HEADS and shape[0] > shape[1]:
        return Placed(((1, 2), (0,)), Part("weight", layer, LayerKind.DENSE))
    if holder in _OUT_OF_HEADS and (holder != "out" or shape[0] * shape[1] == shape[2]):
        return Placed(((2,), (0, 1)), Part("weight", layer, LayerKind.DENSE))
    return None


def axes_in_einsum(equation: object, count: int, operand: int = 1) -> tuple[list[int], list[int]] | None:
    """Return the axes of a kernel along which there are several matrices, and those that are summed over.

    Args:
        equation: That of a product of two arrays, as NumPy's ``einsum`` takes it.
        count: How many axes the kernel has.
        operand: Which of the two the kernel is.

    Returns:
        None if the equation does not tell.
    """
    if not isinstance(equation, str) or len(equation) > _LONGEST_EQUATION:
        return None
    found = re.fullmatch(r"([a-zA-Z.]*),([a-zA-Z.]*)->([a-zA-Z.]*)", equation.replace(" ", ""))
    if found is None:
        return None
    kernel, given, result = found[1 + operand], found[2 - operand], found[3]
    if not kernel.isalpha() or len(kernel) != count or len(set(kernel)) != count:
        return None
    batch = [axis for axis, letter in enumerate(kernel) if letter in given and letter in result]
    return batch, [axis for axis, letter in enumerate(kernel) if letter not in result]


class Told(NamedTuple):
    """A kernel as its bias tells what it is.

    Attributes:
        placed: The kernel.
        doubt: What it may be as well; empty where there is no doubt.
    """

    placed: Placed
    doubt: str = ""


def told_by_bias(shape: Shape, bias: Shape, layer: str = "") -> Told:
    """Tell what the kernel of a convolution is by the channels of its output, of which each has a bias."""
    inner, outer = shape[-2:]
    of_convolution, of_transposed, of_depthwise = (bias == (n,) for n in (outer, inner, inner * outer))
    if of_depthwise and not of_convolution:
        return Told(depthwise(shape, layer), "transposed" if of_transposed else "")
    # One input channel: a convolution of it is a depthwise one too.
    is_told = of_convolution is not of_transposed or (of_convolution and inner == 1)
    return Told(convolution(shape, layer), "" if is_told else "transposed or depthwise")
