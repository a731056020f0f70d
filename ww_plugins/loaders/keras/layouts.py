"""From the variables of a Keras layer to ww's layers: which of them are weights, and in which order their axes go.

Keras stores kernels as (in, out) and (*kernel, in, out); ww has (out, in) and (out, in, *kernel). Nothing is moved: the
same numbers are gone through in another order.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import ww_core as ww
from ww_core.loading.mapped import contiguous_strides
from ww_core.loading.state_dict import Part
from ww_plugins.loaders.keras.classes import KERNELS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Shape = tuple[int, ...]

_CONVOLUTIONS = {3: ww.LayerKind.CONV1D, 4: ww.LayerKind.CONV2D, 5: ww.LayerKind.CONV3D}
_BUFFER = re.compile(
    r"moving_.*|running_.*|renorm_.*|seed_generator_state|(real|imag)_kernel|vector_u|.*_amax_history"
    r"|(kernel|embeddings|reverse_embeddings|inputs|outputs_grad|awq)_(scales?|zero)|zero_point|g_idx"
)
_BUFFER_CLASSES = frozenset({"Normalization", "SeedGenerator", "Metric"})
_NORM_CLASSES = frozenset({"BatchNormalization", "LayerNormalization", "GroupNormalization", "RMSNormalization"})


@dataclass(frozen=True, slots=True)
class KerasLayer:
    """A layer, and nothing of the layers in it.

    Attributes:
        path: Its name, behind those of the layers that it is in.
        variables: The shapes of its variables, by name.
        class_name: Its class; empty if it is not known.
        settings: What its configuration says.
    """

    path: str
    variables: Mapping[str, Shape]
    class_name: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class View:
    """A tensor of ww's, as numbers of a variable.

    Attributes:
        variable: Name of the variable.
        name: Name of the tensor, in its layer.
        shape: Its shape.
        strides: From one number to the next along each axis, in numbers.
        offset: Of its first number, in numbers.
        part: What it is.
    """

    variable: str
    name: str
    shape: Shape
    strides: Shape
    offset: int
    part: Part


def views_of(layer: KerasLayer) -> list[View]:
    """Return the tensors that the variables of a layer are, in the order of the variables."""
    found: dict[str, list[View]] = {}
    for rule in (_recurrent, _gates, _separable, _kernel, _embeddings, _norm):
        earlier = set(found)
        for view in rule(layer):
            if view.variable not in earlier:
                found.setdefault(view.variable, []).append(view)
    for name, shape in layer.variables.items():
        if name not in found:
            found[name] = [_other(layer, name, shape)]
    return [view for name in layer.variables for view in found[name]]


def is_kernel_of_untold_groups(layer: KerasLayer) -> bool:
    """Tell whether a layer is taken for a convolution in one group because nothing says in how many it is."""
    if layer.settings or "recurrent_kernel" in layer.variables or layer.class_name.endswith("Transpose"):
        return False
    parts = [view.part for view in _kernel(layer) if view.variable == "kernel"]
    return any(part.kind.is_convolution and part.groups == 1 for part in parts)


def _other(layer: KerasLayer, name: str, shape: Shape) -> View:
    quantized = layer.class_name in KERNELS and name.isdecimal()
    if _BUFFER.fullmatch(name) or layer.class_name in _BUFFER_CLASSES or quantized:
        return _as_stored(name, shape, Part("buffer"))
    if name in {"lora_kernel_a", "lora_kernel_b"} and len(shape) == 2:
        return _turned(name, shape, (1, 0), _weight(f"{layer.path}/{name}", ww.LayerKind.DENSE))
    return _as_stored(name, shape, _weight(f"{layer.path}/{name}" if layer.path else name, ww.LayerKind.OTHER))


def _weight(name: str, kind: ww.LayerKind, groups: int = 1) -> Part:
    return Part("weight", name, kind, groups)


def _as_stored(name: str, shape: Shape, part: Part) -> View:
    return View(name, name, shape, contiguous_strides(shape), 0, part)


def _turned(name: str, shape: Shape, axes: Sequence[int], part: Part) -> View:
    strides = contiguous_strides(shape)
    return View(name, name, tuple(shape[axis] for axis in axes), tuple(strides[axis] for axis in axes), 0, part)


def _row(name: str, shape: Shape, part: Part) -> View:
    return View(name, name, (math.prod(shape),), (1,), 0, part)


def _bias(layer: KerasLayer, of: str) -> Iterator[View]:
    shape = layer.variables.get("bias")
    if shape is not None:
        yield _row("bias", shape, Part("bias", of))


def _recurrent(layer: KerasLayer) -> Iterator[View]:
    """A recurrent layer has two matrices, and so is two layers; the second row of a bias belongs to the second one."""
    shapes = layer.variables
    if not {"kernel", "recurrent_kernel"} <= shapes.keys() or len(shapes["kernel"]) != len(shapes["recurrent_kernel"]):
        return
    if len(shapes["kernel"]) < 2:
        return
    for name in ("kernel", "recurrent_kernel"):
        shape = shapes[name]
        if len(shape) == 2:
            yield _turned(name, shape, (1, 0), _weight(f"{layer.path}/{name}", ww.LayerKind.RECURRENT))
        else:
            yield _convolution(name, shape, f"{layer.path}/{name}", 1)
    bias = shapes.get("bias")
    if bias is not None and len(bias) == 2 and bias[0] == 2:
        for row, (name, of) in enumerate((("bias", "kernel"), ("recurrent_bias", "recurrent_kernel"))):
            yield View("bias", name, bias[1:], (1,), row * bias[1], Part("bias", f"{layer.path}/{of}"))
    else:
        yield from _bias(layer, f"{layer.path}/kernel")


def _gates(layer: KerasLayer) -> Iterator[View]:
    """Keras 1 has a matrix for each gate: ``W_i`` with the bias ``b_i``, and ``U_i``."""
    for name, shape in layer.variables.items():
        gate = name[2:]
        if name[:2] not in {"W_", "U_"} or len(shape) != 2:
            continue
        yield _turned(name, shape, (1, 0), _weight(f"{layer.path}/{name}", ww.LayerKind.RECURRENT))
        bias = layer.variables.get(f"b_{gate}")
        if name.startswith("W_") and bias is not None:
            yield _row(f"b_{gate}", bias, Part("bias", f"{layer.path}/{name}"))


def _separable(layer: KerasLayer) -> Iterator[View]:
    depthwise, pointwise = (layer.variables.get(name, ()) for name in ("depthwise_kernel", "pointwise_kernel"))
    if len(depthwise) not in _CONVOLUTIONS:
        return
    if not pointwise:  # DepthwiseConv2D of Keras 2
        yield _depthwise("depthwise_kernel", depthwise, layer.path)
        yield from _bias(layer, layer.path)
    elif len(pointwise) == len(depthwise):
        yield _depthwise("depthwise_kernel", depthwise, f"{layer.path}/depthwise_kernel")
        yield _convolution("pointwise_kernel", pointwise, f"{layer.path}/pointwise_kernel", 1)
        yield from _bias(layer, f"{layer.path}/pointwise_kernel")


def _kernel(layer: KerasLayer) -> Iterator[View]:
    shape = layer.variables.get("kernel", ())
    if "recurrent_kernel" in layer.variables or len(shape) < 2:
        return
    yield _view_of_kernel(layer, shape, layer.variables.get("bias"))
    yield from _bias(layer, layer.path)


def _view_of_kernel(layer: KerasLayer, shape: Shape, bias: Shape | None) -> View:
    if layer.settings.get("dim_ordering") == "th" and len(shape) in _CONVOLUTIONS:  # Keras 1 over Theano
        return _as_stored("kernel", shape, _weight(layer.path, _CONVOLUTIONS[len(shape)]))
    if layer.class_name == "EinsumDense" or (bias is not None and len(bias) > 1):
        return _einsum(layer, shape, bias)
    if len(shape) == 2:
        return _turned("kernel", shape, (1, 0), _weight(layer.path, ww.LayerKind.DENSE))
    if len(shape) not in _CONVOLUTIONS:
        return _as_stored("kernel", shape, _weight(layer.path, ww.LayerKind.OTHER))
    depthwise = math.prod(shape[-2:])
    if layer.class_name.startswith("DepthwiseConv") or (
        layer.class_name not in KERNELS and bias == (depthwise,) and bias != shape[-1:]
    ):
        return _depthwise("kernel", shape, layer.path)
    groups = layer.settings.get("groups", 1)
    fits = type(groups) is int and 1 <= groups <= shape[-1] and shape[-1] % groups == 0
    return _convolution("kernel", shape, layer.path, groups if fits else 1)


def _convolution(name: str, shape: Shape, layer: str, groups: int) -> View:
    """(*kernel, in, out) becomes (out, in, *kernel), and (*kernel, out, in) of a transposed one (in, out, *kernel)."""
    last = len(shape) - 1
    kind = _CONVOLUTIONS.get(len(shape), ww.LayerKind.OTHER)
    return _turned(name, shape, (last, last - 1, *range(last - 1)), _weight(layer, kind, groups))


def _depthwise(name: str, shape: Shape, layer: str) -> View:
    """(*kernel, in, multiplier) becomes (in * multiplier, 1, *kernel), a convolution with ``in`` groups."""
    *kernel, channels, multiplier = shape
    strides = (1, 1, *contiguous_strides(shape)[:-2])
    part = _weight(layer, _CONVOLUTIONS[len(shape)], max(1, channels))
    return View(name, name, (channels * multiplier, 1, *kernel), strides, 0, part)


def _einsum(layer: KerasLayer, shape: Shape, bias: Shape | None) -> View:
    """A kernel of many axes becomes (out, in), or (matrices, out, in), where those that go together are neighbours."""
    batch, inward = _axes_of(layer.settings.get("equation"), shape, bias)
    outward = [axis for axis in range(len(shape)) if axis not in {*batch, *inward}]
    strides = contiguous_strides(shape)
    sides = [
        (math.prod(shape[axis] for axis in axes), strides[axes[-1]])
        for axes in (batch, outward, inward)
        if axes and axes[-1] - axes[0] == len(axes) - 1
    ]
    if len(sides) < (3 if batch else 2):
        return _as_stored("kernel", shape, _weight(layer.path, ww.LayerKind.OTHER))
    kind = ww.LayerKind.EXPERT if batch else ww.LayerKind.DENSE
    lengths, steps = zip(*sides, strict=True)
    return View("kernel", "kernel", lengths, steps, 0, _weight(layer.path, kind))


def _axes_of(equation: Any, shape: Shape, bias: Shape | None) -> tuple[list[int], list[int]]:
    """Return the axes along which there is a matrix for each of what is given, and those that are summed over.

    Where the equation does not tell, the last axes are those of the bias, and the others are summed over.
    """
    letters = _parted(equation, len(shape))
    if letters is not None:
        given, kernel, result = letters
        batch = [axis for axis, letter in enumerate(kernel) if letter in given and letter in result]
        return batch, [axis for axis, letter in enumerate(kernel) if letter not in result]
    known = bias is not None and shape[len(shape) - len(bias) :] == bias
    count = len(bias or ()) if known else 1 if len(shape) == 2 else 0
    return [], list(range(len(shape) - count)) if count else []


def _parted(equation: Any, axes: int) -> tuple[str, str, str] | None:
    """Return the letters of what is given, of a kernel with so many axes, and of the result; None if it tells none."""
    if not isinstance(equation, str) or len(equation) > 200:
        return None
    found = re.fullmatch(r"([a-zA-Z.]*),([a-zA-Z]*)->([a-zA-Z.]*)", equation.replace(" ", ""))
    if found is None or len(found[2]) != axes or len(set(found[2])) != axes:
        return None
    return found[1], found[2], found[3]


def _embeddings(layer: KerasLayer) -> Iterator[View]:
    for name, shape in layer.variables.items():
        last = layer.path.rpartition("/")[2]
        named = name == "embeddings" or (name == "weight" and "embedding" in last.lower())
        if named and len(shape) == 2:
            yield _as_stored(name, shape, _weight(layer.path, ww.LayerKind.EMBEDDING))
        elif name == "reverse_embeddings" and len(shape) == 2:
            yield _turned(name, shape, (1, 0), _weight(f"{layer.path}/{name}", ww.LayerKind.DENSE))


def _norm(layer: KerasLayer) -> Iterator[View]:
    shapes = layer.variables
    scale = "gamma" if "gamma" in shapes else "scale" if layer.class_name in _NORM_CLASSES else ""
    if scale in shapes:
        yield _row(scale, shapes[scale], _weight(layer.path, ww.LayerKind.NORM))
    if "beta" in shapes and (scale in shapes or layer.class_name in _NORM_CLASSES or "moving_mean" in shapes):
        yield _row("beta", shapes["beta"], Part("bias", layer.path, ww.LayerKind.NORM))
