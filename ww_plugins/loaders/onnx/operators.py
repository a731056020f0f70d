"""The operators whose inputs are weights: what each input is, and how its axes lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import ww_core as ww
from ww_plugins.loaders.onnx.integers import (
    packed_product,
    product_of_integers,
    quantized_convolution,
    quantized_product,
    scaled_product,
)
from ww_plugins.loaders.onnx.recurrent import quantized_recurrent, recurrent
from ww_plugins.loaders.onnx.remarks import Remark
from ww_plugins.loaders.onnx.scales import (
    cast,
    dequantize,
    divide,
    has_scale,
    multiply,
    multiply_rows,
    quantize,
    subtract,
)
from ww_plugins.loaders.onnx.use import Use
from ww_plugins.loaders.onnx.values import Looked, Product, Ratio, ScaledBy, Spread, Value


def _identity(use: Use) -> None:
    use.makes(use.known(0))


def _transpose(use: Use) -> None:
    value = use.value(0)
    if value is not None:
        order = use.integers("perm") or tuple(reversed(range(len(value.axes))))
        use.makes(value.permuted(order))


def _expand(use: Use) -> None:
    value = use.value(0)
    use.makes(None if value is None else Spread(value))


def _convolution(use: Use) -> None:
    kernel = use.value(1)
    if kernel is not None and use.claims.convolution(kernel, use.node, use.integer("group", 1)):
        use.bias(2, kernel, kernel.shape[0])


def _transposed_convolution(use: Use) -> None:
    kernel = use.value(1)
    groups = use.integer("group", 1)
    if kernel is not None and use.claims.convolution(kernel, use.node, groups):
        use.bias(2, kernel, kernel.shape[1] * groups)


def _gemm(use: Use) -> None:
    weight = _product(use)
    if weight is not None:
        use.bias(2, weight.weight, weight.length)
        if use.known(2) is None:
            use.makes(weight)


def _matmul(use: Use) -> None:
    use.makes(_product(use))


def _product(use: Use) -> Product | None:
    """Take a factor for the weight of a layer; return what the right one makes, to which a bias may be added."""
    left, right = use.value(0), use.value(1)
    value = left if right is None else right
    if value is None:
        return None
    is_turned = use.integer("transA" if right is None else "transB", 0) != 0
    rows = int(is_turned is (right is None))
    if not use.claims.dense(value, use.node, rows, 1 - rows):
        return None
    if (alpha := use.number("alpha", 1.0)) != 1.0:
        use.claims.remarks.add(Remark.SCALED, value.tensor, f"alpha {alpha:g}")
    return None if right is None else Product(right, right.shape[rows])


def _sum(use: Use) -> None:
    for place in (0, 1):
        known, value = use.known(place), use.value(1 - place)
        if isinstance(known, Product) and value is not None and value.is_float:
            use.claims.bias(value, use.node, known.weight, known.length)


def _times(use: Use) -> None:
    known = [use.known(0), use.known(1)]
    values = [found for found in known if isinstance(found, Value)]
    others = [found for found in known if not isinstance(found, Value)]
    if not values:
        use.makes(product_of_integers(use, known) or Ratio())
    elif len(values) == 1:
        value, other = values[0], others[0]
        if isinstance(other, Product) and value.is_float:
            use.makes(scaled_product(use, other, value))
        elif isinstance(other, Ratio) and value.is_float and len(value.axes) == 1 and value.shape[0] > 1:
            if use.claims.norm(value, use.node):
                use.makes(Product(value, value.shape[0]))
        elif isinstance(other, Looked) and value.is_float:
            multiply_rows(use, other, value)
        elif other is None and value.is_float:
            use.makes(ScaledBy((value,)))
    elif has_scale(*values):
        multiply(use, *values)
    elif has_scale(*values[::-1]):
        multiply(use, *values[::-1])
    elif all(value.is_float for value in values):
        use.makes(ScaledBy(tuple(values)))


def _look_up(use: Use) -> None:
    table = use.value(0)
    if table is None or len(table.axes) != 2 or use.integer("axis", 0) not in {0, -2}:
        return
    if table.is_float:
        use.claims.dense(table, use.node, 0, 1, kind=ww.LayerKind.EMBEDDING)
    else:
        use.makes(Looked(table))


def _embeddings(use: Use) -> None:
    for place in (2, 3, 4):
        table = use.value(place)
        if table is not None:
            use.claims.dense(table, use.node, 0, 1, kind=ww.LayerKind.EMBEDDING)
    _norm(5, 6)(use)


def _attention(use: Use) -> None:
    fused = use.value(1)
    if fused is not None and use.claims.dense(fused, use.node, 1, 0, kind=ww.LayerKind.QKV):
        use.bias(2, fused, fused.shape[1])


def _norm(scale_at: int, bias_at: int, *buffers: int) -> Callable[[Use], None]:
    def norm(use: Use) -> None:
        scale = use.value(scale_at)
        if scale is not None and use.claims.norm(scale, use.node) and bias_at:
            use.bias(bias_at, scale, scale.shape[0])
        use.buffers(*buffers)

    return norm


_STANDARD: Mapping[str, Callable[[Use], None]] = {
    "Identity": _identity,
    "Cast": cast,
    "Transpose": _transpose,
    "Expand": _expand,
    "QuantizeLinear": quantize,
    "DequantizeLinear": dequantize,
    "Conv": _convolution,
    "ConvTranspose": _transposed_convolution,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Add": _sum,
    "Sub": subtract,
    "Mul": _times,
    "Div": divide,
    "Gather": _look_up,
    "LSTM": recurrent,
    "GRU": recurrent,
    "RNN": recurrent,
    "BatchNormalization": _norm(1, 2, 3, 4),
    "InstanceNormalization": _norm(1, 2),
    "LayerNormalization": _norm(1, 2),
    "GroupNormalization": _norm(1, 2),
    "RMSNormalization": _norm(1, 0),
    "SimplifiedLayerNormalization": _norm(1, 0),  # of com.microsoft, and written without a domain
    "QLinearConv": quantized_convolution(3, 4, 5, 1, 2, 6, 7),
    "ConvInteger": quantized_convolution(1, 0, 3, 2),
    "QLinearMatMul": quantized_product(3, 4, 5, 0, 1, 2, 6, 7),
    "MatMulInteger": quantized_product(1, 0, 3, 0, 2),
}

_OF_ONNX_RUNTIME: Mapping[str, Callable[[Use], None]] = {
    "FusedConv": _convolution,
    "FusedGemm": _gemm,
    "FusedMatMul": _matmul,
    "TransposeMatMul": _matmul,
    "Attention": _attention,
    "QuantizeLinear": quantize,
    "DequantizeLinear": dequantize,
    "QGemm": quantized_product(3, 4, 5, 0, 1, 2, 7, 8),
    "MatMulIntegerToFloat": quantized_product(1, 3, 5, 6, 2, 4),
    "DynamicQuantizeLSTM": quantized_recurrent,
    "DynamicQuantizeMatMul": quantized_product(1, 2, 3, 4),
    "MatMulNBits": packed_product,
    "EmbedLayerNormalization": _embeddings,
    "LayerNormalization": _norm(1, 2),
    "SkipLayerNormalization": _norm(2, 3),
    "SimplifiedLayerNormalization": _norm(1, 0),
    "SkipSimplifiedLayerNormalization": _norm(2, 0),
}

OPERATORS: Mapping[str, Mapping[str, Callable[[Use], None]]] = {
    "": _STANDARD,
    "ai.onnx": _STANDARD,
    "com.microsoft": _OF_ONNX_RUNTIME,
}
"""What an operator says of its inputs, by domain and name."""
