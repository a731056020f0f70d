"""The operators whose inputs are weights: what each input is, and how its axes lie."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ww_core as ww
from ww_core.loading.channels_last import (
    Placed,
    axes_in_einsum,
    convolution,
    dense,
    depthwise,
    matrices,
    table,
)
from ww_core.loading.state_dict import Part
from ww_plugins.loaders.tensorflow.frozen.norms import divide, multiply, root, subtract, sum_of_norm
from ww_plugins.loaders.tensorflow.frozen.values import Given, Lengths, Signal, Value, flowing
from ww_plugins.loaders.tensorflow.kinds import is_cell

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ww_plugins.loaders.tensorflow.frozen.use import Use


# --- what only passes values on ---


def _same(use: Use) -> None:
    use.makes(use.known(0))


def _each(use: Use) -> None:
    for place in range(len(use.node.inputs)):
        use.makes(use.known(place), place)


def _both(use: Use) -> None:
    for output in (0, 1):
        use.makes(use.known(0), output)


def _given(use: Use) -> None:
    shape = use.told_shape(use.node, 0)
    use.makes(Given(shape) if shape else None)


def _activation(use: Use) -> None:
    use.makes(flowing(use.known(0)))


def _reshape(use: Use) -> None:
    known, shape, told = use.known(0), use.integers_in(1), use.known(1)
    if isinstance(known, Value):
        use.makes(known.reshaped(shape) if shape is not None else None)
    elif isinstance(known, Signal) and known.weight is not None:
        use.makes(Signal(0, known.weight, known.length))
    elif shape is not None or isinstance(told, Lengths):
        use.makes(Given(told.lengths if isinstance(told, Lengths) else shape or ()))


def _pack(use: Use) -> None:
    lengths = [use.integers_in(place) or () for place in range(len(use.node.inputs))]
    use.makes(Lengths(tuple(one[0] if len(one) == 1 else -1 for one in lengths)))


def _transpose(use: Use) -> None:
    known, order = use.known(0), use.integers_in(1)
    if isinstance(known, Signal):
        use.makes(Signal(known.channels))
    elif isinstance(known, Value) and order is not None:
        use.makes(known.permuted(order))


def _expand(use: Use) -> None:
    known, at = use.known(0), use.integers_in(1)
    if isinstance(known, Signal):
        use.makes(known)
    elif isinstance(known, Value) and at is not None and len(at) == 1:
        use.makes(known.with_axis(at[0]))


def _squeeze(use: Use) -> None:
    known = use.known(0)
    use.makes(known.squeezed(use.integers("squeeze_dims")) if isinstance(known, Value) else known)


def _concatenate(use: Use) -> None:
    axis = len(use.node.inputs) - 1
    known = [use.known(place) for place in range(axis)]
    channels = [part.channels for part in known if isinstance(part, Signal) and part.channels]
    if len(channels) == len(known) and use.integers_in(axis) in {(3,), (-1,)}:
        use.makes(Signal(sum(channels)))


# --- layers ---


def _convolution(use: Use) -> None:
    kernel = use.kernel(1)
    if kernel is None:
        return
    shape = kernel.shape
    groups = _groups(use, shape)
    if not groups and kernel.constant not in use.claims.made:
        use.claims.without_groups.append(kernel.constant)
    use.layer(kernel, convolution(shape, groups=groups or 1), shape[-1])


def _groups(use: Use, shape: tuple[int, ...]) -> int:
    """Return the groups of a convolution, as the channels that come in tell them; 0 if they do not."""
    channels, of_kernel, out = use.channels(0), shape[-2], shape[-1]
    if not channels or not of_kernel or channels % of_kernel:
        return 0
    groups = channels // of_kernel
    return groups if out and out % groups == 0 else 0


def _transposed_convolution(use: Use) -> None:
    kernel = use.kernel(1)
    if kernel is not None:
        use.layer(kernel, convolution(kernel.shape), kernel.shape[-2])


def _depthwise(use: Use) -> None:
    kernel = use.kernel(1)
    if kernel is not None:
        use.layer(kernel, depthwise(kernel.shape), kernel.shape[-2] * kernel.shape[-1])


def _product(left: str, right: str) -> Callable[[Use], None]:
    """Return what takes a factor of a product; arguments are the attributes that say whether one is transposed."""

    def product(use: Use) -> None:
        for place, is_out_first in ((1, use.flag(right)), (0, not use.flag(left))):
            factor = use.value(place)
            if factor is not None and (placed := _matrix(factor, is_out_first)):
                # Of a left factor the outputs lie along another axis than a bias.
                outputs = placed.shape(factor.shape)[-2]
                use.layer(factor, placed, outputs if place else 0)
                return

    return product


def _matrix(factor: Value, is_out_first: bool) -> Placed | None:
    """Place a factor as (out, in), or (matrices, out, in) if there are several."""
    if len(factor.axes) < 2:
        return None
    *outer, rows, cols = range(len(factor.axes))
    several = [axis for axis in outer if factor.shape[axis] != 1]
    if len(several) > 1:
        return None
    kind = ww.LayerKind.EXPERT if several else ww.LayerKind.DENSE
    if is_cell(factor.constant.name) and not several:
        kind = ww.LayerKind.RECURRENT
    sides = (rows, cols) if is_out_first else (cols, rows)
    return Placed(tuple((axis,) for axis in (*several, *sides)), Part("weight", kind=kind))


def _einsum(use: Use) -> None:
    equation = use.text("equation")
    for place in (1, 0):
        kernel = use.value(place)
        axes = axes_in_einsum(equation, len(kernel.axes), place) if kernel is not None else None
        if kernel is not None and axes is not None and (placed := matrices(*axes, len(kernel.axes))):
            use.layer(kernel, placed, placed.shape(kernel.shape)[-2])
            return


def _gather(use: Use) -> None:
    held = use.value(0)
    at = use.integers_in(2) if len(use.node.inputs) > 2 else (0,)
    if held is not None and len(held.axes) == 2 and at in {(0,), (-2,)}:
        use.claims.weight(held, table())
        use.makes(Signal(held.shape[1]))


def _norm(use: Use) -> None:
    scale, offset = use.value(1), use.value(2)
    if scale is not None:
        weight = use.claims.norm(scale)
        if weight is not None and offset is not None and offset.size == scale.size:
            use.claims.bias(offset, weight)
        use.makes(Signal(scale.size))
    for place in (3, 4):
        statistic = use.value(place)
        if statistic is not None:
            use.claims.buffer(statistic)


def _recurrent(*places: tuple[int, int]) -> Callable[[Use], None]:
    """Return what takes the matrices of a recurrent layer, each with its bias; arguments are places of inputs."""

    def recurrent(use: Use) -> None:
        for matrix, bias in places:
            weight = use.value(matrix)
            if weight is not None and len(weight.axes) == 2:
                use.layer(weight, dense(kind=ww.LayerKind.RECURRENT), weight.shape[1])
                use.bias(bias)
                use.makes(None)

    return recurrent


def _rows(place: int) -> Callable[[Use], None]:
    """Return what takes a constant that is cut into rows: the biases of a recurrent layer, if it is of one."""

    def rows(use: Use) -> None:
        held = use.value(place)
        if held is not None and len(held.axes) == 2 and held.shape[0] == 2 and is_cell(held.constant.name):
            use.claims.buffer(held)

    return rows


# --- biases, and norms that are spelled out ---


def _bias(use: Use) -> None:
    use.makes(use.known(0))
    use.bias(1)
    known, bias = use.known(0), use.value(1)
    channels = bias.size if bias is not None else known.channels if isinstance(known, Signal) else 0
    use.makes(Signal(channels))


def _sum(use: Use) -> None:
    if sum_of_norm(use):
        return
    for place in (0, 1):
        known, other = use.known(place), use.known(1 - place)
        if not isinstance(known, Signal):
            continue
        if isinstance(other, Value):
            use.makes(known)
            use.bias(1 - place)
            use.makes(Signal(known.channels))
        elif isinstance(other, Signal) and known.weight is not None and other.weight is not None:
            use.makes(known)  # as in a recurrent cell: both products share a bias
        else:
            use.makes(Signal(known.channels))
        return
    use.makes(flowing(use.known(0)) or flowing(use.known(1)))


def _times(use: Use) -> None:
    if not multiply(use):
        use.makes(flowing(use.known(0)) or flowing(use.known(1)))


def _difference(use: Use) -> None:
    if not subtract(use):
        use.makes(flowing(use.known(0)) or flowing(use.known(1)))


def _fused(layer: Callable[[Use], None]) -> Callable[[Use], None]:
    """Return what takes a layer that was made one with what follows it."""

    def fused(use: Use) -> None:
        layer(use)
        if use.texts("fused_ops")[:1] == ["BiasAdd"]:
            use.bias(2)

    return fused


_PASSING = (
    "Identity", "ReadVariableOp", "StopGradient", "PreventGradient", "CheckNumerics", "PlaceholderWithDefault",
    "Snapshot", "Enter", "RefEnter", "Exit", "Cast", "FakeQuantWithMinMaxVars", "FakeQuantWithMinMaxArgs",
    "FakeQuantWithMinMaxVarsPerChannel", "BatchToSpaceND", "SpaceToBatchND", "EnsureShape",
)  # fmt: skip
_ACTIVATIONS = (
    "Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Softplus", "Softsign", "Sigmoid", "Tanh", "Softmax", "Erf",
    "MaxPool", "MaxPoolV2", "MaxPool3D", "AvgPool", "AvgPool3D", "Pad", "PadV2", "MirrorPad", "LRN", "ResizeBilinear",
    "ResizeNearestNeighbor", "Maximum", "Minimum",
)  # fmt: skip

OPERATORS: Mapping[str, Callable[[Use], None]] = {
    **dict.fromkeys(_PASSING, _same),
    **dict.fromkeys(_ACTIVATIONS, _activation),
    **dict.fromkeys(("Switch", "RefSwitch"), _both),
    "Placeholder": _given,
    "IdentityN": _each,
    "Reshape": _reshape,
    "Pack": _pack,
    "Transpose": _transpose,
    "ExpandDims": _expand,
    "Squeeze": _squeeze,
    "ConcatV2": _concatenate,
    **dict.fromkeys(("Conv2D", "Conv3D"), _convolution),
    **dict.fromkeys(("Conv2DBackpropInput", "Conv3DBackpropInput", "Conv3DBackpropInputV2"), _transposed_convolution),
    "DepthwiseConv2dNative": _depthwise,
    "MatMul": _product("transpose_a", "transpose_b"),
    **dict.fromkeys(("BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"), _product("adj_x", "adj_y")),
    "_FusedConv2D": _fused(_convolution),
    "_FusedDepthwiseConv2dNative": _fused(_depthwise),
    "_FusedMatMul": _fused(_product("transpose_a", "transpose_b")),
    "Einsum": _einsum,
    **dict.fromkeys(("Gather", "GatherV2", "ResourceGather"), _gather),
    **dict.fromkeys(("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3", "_FusedBatchNormEx"), _norm),
    "LSTMBlockCell": _recurrent((3, 7)),
    **dict.fromkeys(("BlockLSTM", "BlockLSTMV2"), _recurrent((4, 8))),
    "GRUBlockCell": _recurrent((2, 4), (3, 5)),
    "Split": _rows(1),
    "Unpack": _rows(0),
    **dict.fromkeys(("BiasAdd", "BiasAddV1"), _bias),
    **dict.fromkeys(("Add", "AddV2"), _sum),
    "Mul": _times,
    "Sub": _difference,
    **dict.fromkeys(("Rsqrt", "Sqrt"), root),
    **dict.fromkeys(("RealDiv", "Div"), divide),
}
"""What an operator says of its inputs, by its name."""
