"""The operators whose inputs are weights: what each input is, and how its axes lie."""

from __future__ import annotations

from dataclasses import replace
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
from ww_plugins.loaders.tensorflow.frozen import flow
from ww_plugins.loaders.tensorflow.frozen.lengths import UNKNOWN, Shape, broadcast
from ww_plugins.loaders.tensorflow.frozen.norms import divide, multiply, root, subtract, sum_of_norm
from ww_plugins.loaders.tensorflow.frozen.values import Signal, Value
from ww_plugins.loaders.tensorflow.kinds import is_cell

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ww_plugins.loaders.tensorflow.frozen.use import Use

# --- layers ---


def _convolution(use: Use) -> None:
    kernel = use.kernel(1)
    if kernel is None:
        return
    shape = kernel.shape
    groups = _groups(use, shape)
    if not groups and kernel.constant not in use.claims.made:
        use.claims.without_groups.append(kernel.constant)
    use.layer(kernel, convolution(shape, groups=groups or 1), shape[-1], _picture(use, shape[-1]))


def _picture(use: Use, channels: int) -> Shape:
    """Return what is known of the shape of a picture that a convolution made."""
    return UNKNOWN.of_rank(use.axes_of_picture()).with_length(use.channel_axis(), channels)


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
        channels = kernel.shape[-2]
        use.layer(kernel, convolution(kernel.shape), channels, _picture(use, channels))


def _depthwise(use: Use) -> None:
    kernel = use.kernel(1)
    if kernel is not None:
        channels = kernel.shape[-2] * kernel.shape[-1]
        use.layer(kernel, depthwise(kernel.shape), channels, _picture(use, channels))


def _product(left: str, right: str) -> Callable[[Use], None]:
    """Return what takes a factor of a product; arguments are the attributes that say whether one is transposed."""

    def product(use: Use) -> None:
        for place, is_out_first in ((1, use.flag(right)), (0, not use.flag(left))):
            factor = use.value(place)
            if factor is not None and (placed := _matrix(factor, is_out_first)):
                # Of a left factor the outputs lie along another axis than a bias.
                outputs = placed.shape(factor.shape)[-2] if place else 0
                use.layer(factor, placed, outputs, Shape((-1, outputs or -1), "Batch" not in use.node.op))
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
            use.layer(kernel, placed, placed.shape(kernel.shape)[-2], _result(equation, place, kernel.shape))
            return


def _result(equation: str, operand: int, lengths: Sequence[int]) -> Shape:
    """Return what is known of the shape of a result, where those of an operand of the equation are known."""
    operands, _, result = equation.replace(" ", "").partition("->")
    told = dict(zip(operands.split(",")[operand], lengths, strict=False))
    return Shape(tuple(told.get(letter, -1) for letter in result.rpartition(".")[2]), "." not in result)


def _gather(use: Use) -> None:
    held = use.value(0)
    at = use.integers_in(2) if len(use.node.inputs) > 2 else (0,)
    if held is not None and len(held.axes) == 2 and at in {(0,), (-2,)}:
        use.claims.weight(held, table())
        use.makes(Signal(Shape((held.shape[1],))))


def _norm(use: Use) -> None:
    scale, offset = use.value(1), use.value(2)
    if scale is not None:
        weight = use.claims.norm(scale)
        if weight is not None and offset is not None and offset.size == scale.size:
            use.claims.bias(offset, weight)
        use.makes(Signal(use.shape(0).with_length(use.channel_axis(), scale.size)))
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
                use.layer(weight, dense(kind=ww.LayerKind.RECURRENT), weight.shape[1], UNKNOWN)
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
    bias, shape = use.value(1), use.shape(0)
    use.makes(Signal(shape if bias is None else shape.with_length(use.channel_axis(), bias.size)))


def _sum(use: Use) -> None:
    if sum_of_norm(use):
        return
    shape = broadcast(use.shape(0), use.shape(1))
    one, other = use.known(0), use.known(1)
    if isinstance(one, Signal) and isinstance(other, Signal) and one.weight is not None and other.weight is not None:
        use.makes(replace(one, shape=shape))  # as in a recurrent cell: both products share a bias
        return
    for place in (0, 1):
        if isinstance(use.known(place), Signal) and isinstance(use.known(1 - place), Value):
            use.makes(use.known(place))
            use.bias(1 - place)
    flow.both_flow(use)


def _times(use: Use) -> None:
    if not multiply(use):
        flow.both_flow(use)


def _difference(use: Use) -> None:
    if not subtract(use):
        flow.both_flow(use)


def _quotient(use: Use) -> None:
    if not divide(use):
        flow.both_flow(use)


def _fused(layer: Callable[[Use], None]) -> Callable[[Use], None]:
    """Return what takes a layer that was made one with what follows it."""

    def fused(use: Use) -> None:
        layer(use)
        if use.texts("fused_ops")[:1] == ["BiasAdd"]:
            use.bias(2)

    return fused


_PASSING = (
    "Identity", "ReadVariableOp", "StopGradient", "PreventGradient", "CheckNumerics",
    "Snapshot", "Enter", "RefEnter", "Exit", "EnsureShape",
)  # fmt: skip
_ROUNDING = ("FakeQuantWithMinMaxVars", "FakeQuantWithMinMaxArgs", "FakeQuantWithMinMaxVarsPerChannel")
_ACTIVATIONS = (
    "Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Softplus", "Softsign", "Sigmoid", "Tanh", "Softmax", "Erf", "LRN",
)  # fmt: skip

OPERATORS: Mapping[str, Callable[[Use], None]] = {
    **dict.fromkeys(_PASSING, flow.same),
    "Cast": flow.cast,
    **dict.fromkeys(_ROUNDING, flow.rounded),
    **dict.fromkeys(_ACTIVATIONS, flow.activation),
    **dict.fromkeys(("MaxPool", "MaxPoolV2", "MaxPool3D", "AvgPool", "AvgPool3D"), flow.pool),
    **dict.fromkeys(("ResizeBilinear", "ResizeNearestNeighbor"), flow.resized),
    **dict.fromkeys(("Pad", "PadV2", "MirrorPad"), flow.pad),
    **dict.fromkeys(("BatchToSpaceND", "SpaceToBatchND"), flow.blocks),
    **dict.fromkeys(("Switch", "RefSwitch"), flow.both),
    **dict.fromkeys(("Placeholder", "PlaceholderWithDefault"), flow.given),
    "IdentityN": flow.each,
    "Reshape": flow.reshape,
    "Pack": flow.pack,
    "Transpose": flow.transpose,
    "ExpandDims": flow.expand,
    "Squeeze": flow.squeeze,
    "ConcatV2": flow.concatenate,
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
    **dict.fromkeys(("Maximum", "Minimum"), flow.both_flow),
    **dict.fromkeys(("Rsqrt", "Sqrt"), root),
    **dict.fromkeys(("RealDiv", "Div"), _quotient),
}
"""What an operator says of its inputs, by its name."""
