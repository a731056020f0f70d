"""From the variables of a Keras layer to ww's layers: which of them are weights, and in which order their axes go.

Keras stores kernels as (in, out) and (*kernel, in, out); ww has (out, in) and (out, in, *kernel). Nothing is moved: the
same numbers are gone through in another order.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import ww_core as ww
from ww_core.loading.channels_last import (
    CONVOLUTIONS,
    Placed,
    as_stored,
    axes_in_einsum,
    convolution,
    dense,
    depthwise,
    in_a_row,
    is_table,
    matrices,
    table,
    told_by_bias,
)
from ww_core.loading.mapped import contiguous_strides
from ww_core.loading.names import quoted
from ww_core.loading.state_dict import Part
from ww_plugins.loaders.keras.classes import KERNELS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

Shape = tuple[int, ...]

_BUFFER = re.compile(
    r"moving_.*|running_.*|renorm_.*|(real|imag)_kernel|vector_u|.*_amax_history"
    r"|(kernel|embeddings|reverse_embeddings|inputs|outputs_grad|awq)_(scales?|zero)|zero_point|g_idx"
)
_BUFFER_CLASSES = frozenset({"Normalization", "Metric"})
_SEED = "seed_generator_state"
LORA: Mapping[str, str] = MappingProxyType(
    {f"lora_{weight}_{side}": weight for weight in ("kernel", "embeddings") for side in "ab"}
)
"""The variables of an update by LoRA, and the weight that it is added to, by their names."""

_LISTED = 5
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
    """Return the tensors that the variables of a layer are, in the order of the variables. States of seeds are none."""
    found: dict[str, list[View]] = {}
    for rule in (_recurrent, _gates, _separable, _kernel, _embeddings, _norm):
        earlier = set(found)
        for view in rule(layer):
            if view.variable not in earlier:
                found.setdefault(view.variable, []).append(view)
    for name, shape in layer.variables.items():
        if name not in found and not is_state_of_seed(name):
            found[name] = [_other(layer, name, shape)]
    return [view for name in layer.variables for view in found.get(name, ())]


def untold_equations(layers: Iterable[KerasLayer]) -> Iterator[str]:
    """Name layers that are an EinsumDense of which nothing tells the equation, and say what each is taken for."""
    said = []
    for layer in layers:
        shape, bias = layer.variables.get("kernel", ()), layer.variables.get("bias")
        if "recurrent_kernel" in layer.variables or len(shape) < 2 or not _is_einsum(layer, bias):
            continue
        if axes_in_einsum(layer.settings.get("equation"), len(shape)) is None:
            taken = "taken for a matrix (in, out)" if _is_told_by_bias(shape, bias) else "left as it is stored"
            said.append(f"{quoted(layer.path)} is {taken}")
    if said:
        more = f", and {len(said) - _LISTED} more" if len(said) > _LISTED else ""
        yield f"no equation tells the axes of the kernels of EinsumDense: {', '.join(said[:_LISTED])}{more}"


def is_kernel_of_untold_groups(layer: KerasLayer) -> bool:
    """Tell whether a layer is taken for a convolution in one group because nothing says in how many it is."""
    if layer.settings or "recurrent_kernel" in layer.variables or layer.class_name.endswith("Transpose"):
        return False
    parts = [view.part for view in _kernel(layer) if view.variable == "kernel"]
    return any(part.kind.is_convolution and part.groups == 1 for part in parts)


def is_state_of_seed(path: str) -> bool:
    """Tell whether a variable is the state of a generator of random numbers, which is no part of a model's weights."""
    return path.rpartition("/")[2] == _SEED


def _other(layer: KerasLayer, name: str, shape: Shape) -> View:
    quantized = layer.class_name in KERNELS and name.isdecimal()
    if _BUFFER.fullmatch(name) or layer.class_name in _BUFFER_CLASSES or quantized:
        return _view(name, shape, as_stored(shape, Part("buffer")))
    if name in LORA and len(shape) == 2:
        return _view(name, shape, dense(f"{layer.path}/{name}"))
    return _of_no_kind(name, shape, f"{layer.path}/{name}" if layer.path else name)


def _view(name: str, shape: Shape, placed: Placed) -> View:
    part = placed.part or Part("buffer")
    return View(name, name, placed.shape(shape), placed.strides(contiguous_strides(shape)), 0, part)


def _of_no_kind(name: str, shape: Shape, layer: str) -> View:
    return _view(name, shape, as_stored(shape, Part("weight", layer)))


def _bias(layer: KerasLayer, of: str) -> Iterator[View]:
    shape = layer.variables.get("bias")
    if shape is not None:
        yield _view("bias", shape, in_a_row(shape, Part("bias", of)))


def _recurrent(layer: KerasLayer) -> Iterator[View]:
    """A recurrent layer has two matrices, and so is two layers; the second row of a bias belongs to the second one."""
    shapes = layer.variables
    if not {"kernel", "recurrent_kernel"} <= shapes.keys() or len(shapes["kernel"]) != len(shapes["recurrent_kernel"]):
        return
    if len(shapes["kernel"]) < 2:
        return
    for name in ("kernel", "recurrent_kernel"):
        shape = shapes[name]
        of = f"{layer.path}/{name}"
        matrix = len(shape) == 2
        yield _view(name, shape, dense(of, ww.LayerKind.RECURRENT) if matrix else convolution(shape, of))
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
        yield _view(name, shape, dense(f"{layer.path}/{name}", ww.LayerKind.RECURRENT))
        bias = layer.variables.get(f"b_{gate}")
        if name.startswith("W_") and bias is not None:
            yield _view(f"b_{gate}", bias, in_a_row(bias, Part("bias", f"{layer.path}/{name}")))


def _separable(layer: KerasLayer) -> Iterator[View]:
    deep, pointwise = (layer.variables.get(name, ()) for name in ("depthwise_kernel", "pointwise_kernel"))
    if len(deep) not in CONVOLUTIONS:
        return
    if not pointwise:  # DepthwiseConv2D of Keras 2
        yield _view("depthwise_kernel", deep, depthwise(deep, layer.path))
        yield from _bias(layer, layer.path)
    elif len(pointwise) == len(deep):
        yield _view("depthwise_kernel", deep, depthwise(deep, f"{layer.path}/depthwise_kernel"))
        yield _view("pointwise_kernel", pointwise, convolution(pointwise, f"{layer.path}/pointwise_kernel"))
        yield from _bias(layer, f"{layer.path}/pointwise_kernel")


def _kernel(layer: KerasLayer) -> Iterator[View]:
    shape = layer.variables.get("kernel", ())
    if "recurrent_kernel" in layer.variables or len(shape) < 2:
        return
    yield _view_of_kernel(layer, shape, layer.variables.get("bias"))
    yield from _bias(layer, layer.path)


def _view_of_kernel(layer: KerasLayer, shape: Shape, bias: Shape | None) -> View:
    if layer.settings.get("dim_ordering") == "th" and len(shape) in CONVOLUTIONS:  # Keras 1 over Theano
        return _view("kernel", shape, as_stored(shape, Part("weight", layer.path, CONVOLUTIONS[len(shape)])))
    if _is_einsum(layer, bias):
        return _einsum(layer, shape, bias)
    if len(shape) == 2:
        return _view("kernel", shape, dense(layer.path))
    if len(shape) not in CONVOLUTIONS:
        return _of_no_kind("kernel", shape, layer.path)
    if layer.class_name.startswith("DepthwiseConv"):
        return _view("kernel", shape, depthwise(shape, layer.path))
    if layer.class_name not in KERNELS and bias is not None:
        return _view("kernel", shape, told_by_bias(shape, bias, layer.path).placed)
    groups = layer.settings.get("groups", 1)
    fits = type(groups) is int and 1 <= groups <= shape[-1] and shape[-1] % groups == 0
    return _view("kernel", shape, convolution(shape, layer.path, groups if fits else 1))


def _einsum(layer: KerasLayer, shape: Shape, bias: Shape | None) -> View:
    told = axes_in_einsum(layer.settings.get("equation"), len(shape))
    if told is None and _is_told_by_bias(shape, bias):
        return _view("kernel", shape, dense(layer.path))
    placed = matrices(*told, len(shape), layer.path) if told is not None else None
    return _view("kernel", shape, placed) if placed else _of_no_kind("kernel", shape, layer.path)


def _is_einsum(layer: KerasLayer, bias: Shape | None) -> bool:
    """Tell whether a layer is an EinsumDense: no other has a kernel and a bias of several axes."""
    return layer.class_name == "EinsumDense" or (bias is not None and len(bias) > 1)


def _is_told_by_bias(shape: Shape, bias: Shape | None) -> bool:
    """Tell whether a kernel has two axes, and a bias for each place along the last one, and surely not the first.

    Of more axes, some may be summed over and some stand for a matrix each, whatever the bias is.
    """
    return len(shape) == 2 and bias == shape[1:] and shape[0] != shape[1]


def _embeddings(layer: KerasLayer) -> Iterator[View]:
    for name, shape in layer.variables.items():
        if len(shape) != 2:
            continue
        if name == "reverse_embeddings":
            yield _view(name, shape, dense(f"{layer.path}/{name}"))
        elif name in {"embeddings", "weight"} and is_table(layer.path.rpartition("/")[2], name):
            yield _view(name, shape, table(layer.path))


def _norm(layer: KerasLayer) -> Iterator[View]:
    shapes = layer.variables
    scale = "gamma" if "gamma" in shapes else "scale" if layer.class_name in _NORM_CLASSES else ""
    if scale in shapes:
        part = Part("weight", layer.path, ww.LayerKind.NORM)
        yield _view(scale, shapes[scale], in_a_row(shapes[scale], part))
        if "beta" in shapes:
            yield _view("beta", shapes["beta"], in_a_row(shapes["beta"], Part("bias", layer.path)))
