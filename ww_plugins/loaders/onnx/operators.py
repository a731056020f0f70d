"""The operators whose inputs are weights: what each input is, and how its axes lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import ww_core as ww
from ww_plugins.loaders.onnx.claims import Claims, Piece
from ww_plugins.loaders.onnx.messages import integers_of, number_of
from ww_plugins.loaders.onnx.values import (
    Looked,
    Packed,
    Product,
    Quantization,
    Ratio,
    ScaledBy,
    Value,
)

if TYPE_CHECKING:
    from ww_plugins.loaders.onnx.messages import Attribute, Node
    from ww_plugins.loaders.onnx.values import Known, Scope
    from ww_plugins.loaders.onnx.wire import Reader


@dataclass(slots=True)
class Use:
    """A node, with what is known of its inputs.

    Attributes:
        node: The node.
        scope: The names that it sees.
        claims: What nodes say of tensors.
        reader: Reads attributes.
    """

    node: Node
    scope: Scope
    claims: Claims
    reader: Reader

    def known(self, place: int) -> Known | None:
        """Return what is known of an input."""
        inputs = self.node.inputs
        return self.scope.find(inputs[place]) if place < len(inputs) else None

    def value(self, place: int) -> Value | None:
        """Return an input, if it is a tensor of the graph."""
        known = self.known(place)
        return known if isinstance(known, Value) else None

    def attribute(self, name: str) -> Attribute | None:
        """Return an attribute; where the node stands in a function, it may be one of the call."""
        found = self.node.attributes.get(name)
        return self.scope.given.get(found.refers_to) if found is not None and found.refers_to else found

    def integer(self, name: str, default: int) -> int:
        """Return an attribute that is a whole number."""
        found = self.attribute(name)
        return default if found is None or found.integer is None else found.integer

    def number(self, name: str, default: float) -> float:
        """Return an attribute that is a number."""
        found = self.attribute(name)
        return default if found is None else number_of(self.reader, found)

    def integers(self, name: str) -> tuple[int, ...]:
        """Return an attribute that is a list of whole numbers."""
        return integers_of(self.reader, self.attribute(name))

    def makes(self, known: Known | None) -> None:
        """Say what is known of the first output."""
        if known is not None and self.node.outputs:
            self.scope.known[self.node.outputs[0]] = known

    def buffers(self, *places: int) -> None:
        """Take inputs for tensors of no layer."""
        for place in places:
            value = self.value(place)
            if value is not None:
                self.claims.buffer(value, self.node)

    def bias(self, place: int, weight: Value, length: int) -> None:
        """Take an input for the bias of a weight."""
        value = self.value(place)
        if value is not None:
            self.claims.bias(value, self.node, weight, length)


def _identity(use: Use) -> None:
    use.makes(use.known(0))


def _transpose(use: Use) -> None:
    value = use.value(0)
    if value is not None:
        order = use.integers("perm") or tuple(reversed(range(len(value.axes))))
        use.makes(value.permuted(order))


def _quantize(use: Use) -> None:
    """Pass on what is quantized while the model runs: the numbers of a tensor are in the file as they were before."""
    use.makes(use.known(0))


def _dequantize(use: Use) -> None:
    known, scale, zero = use.known(0), use.value(1), use.value(2)
    use.buffers(1, 2)
    if isinstance(known, Product) or (isinstance(known, Value) and known.is_float):
        use.makes(known)
        return
    if scale is None or any(value is not None and not value.is_as_stored for value in (scale, zero)):
        return
    if isinstance(known, Looked):
        if scale.shape in {(), (1,)}:
            table = replace(known.table, quantization=Quantization(scale, zero))
            use.claims.dense(table, use.node, 0, 1, kind=ww.LayerKind.EMBEDDING)
    elif isinstance(known, Value) and known.quantization is None:
        axis = use.integer("axis", 1)
        if -len(known.axes) <= axis < len(known.axes):
            axis = known.axes[axis]
        block = max(0, use.integer("block_size", 0))
        if not block or known.is_as_stored:
            use.makes(replace(known, quantization=Quantization(scale, zero, axis, block)))


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
    left, right = use.value(0), use.value(1)
    if right is not None:
        rows = 0 if use.integer("transB", 0) else 1
        if use.claims.dense(right, use.node, rows, 1 - rows):
            use.bias(2, right, right.shape[rows])
            if use.known(2) is None:
                use.makes(Product(right, right.shape[rows]))
    elif left is not None:
        rows = 1 if use.integer("transA", 0) else 0
        use.claims.dense(left, use.node, rows, 1 - rows)


def _product(use: Use) -> None:
    left, right = use.value(0), use.value(1)
    if right is not None:
        rows = 0 if use.integer("transB", 0) else 1
        if use.claims.dense(right, use.node, rows, 1 - rows):
            use.makes(Product(right, right.shape[rows]))
    elif left is not None:
        rows = 1 if use.integer("transA", 0) else 0
        use.claims.dense(left, use.node, rows, 1 - rows)


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
        use.makes(_product_of_integers(use, known) or Ratio())
    elif len(values) == 1:
        value, other = values[0], others[0]
        if isinstance(other, Ratio) and value.is_float and len(value.axes) == 1 and value.shape[0] > 1:
            if use.claims.norm(value, use.node):
                use.makes(Product(value, value.shape[0]))
        elif other is None and value.is_float:
            use.makes(ScaledBy((value,)))
    elif all(value.is_float for value in values):
        use.makes(ScaledBy(tuple(values)))


def _product_of_integers(use: Use, known: list[Known | None]) -> Product | None:
    """Take the scale that follows a product of whole numbers for that of its weight, and return the product."""
    for product, scale in (known, known[::-1]):
        if isinstance(product, Product) and isinstance(scale, ScaledBy):
            claim = use.claims.made.get(product.weight.tensor)
            meant = claim.value.quantization if claim is not None else None
            if claim is not None and isinstance(meant, Quantization) and meant.scale.tensor is product.weight.tensor:
                found = _scale_of(product.weight, scale)
                if found is not None:
                    claim.value = replace(claim.value, quantization=replace(meant, scale=found))
                    use.claims.buffer(found, use.node)
            return product
    return None


def _scale_of(weight: Value, product: ScaledBy) -> Value | None:
    """Return the scale of a weight out of a product of scales; where both are known, the names must tell it."""
    if len(product.scales) == 1:
        return product.scales[0]
    wanted = f"{weight.tensor.name.removesuffix('_quantized')}_scale"
    return next((scale for scale in product.scales if scale.tensor.name == wanted), None)


def _ratio(use: Use) -> None:
    use.makes(Ratio())


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


def _recurrent(gates: int) -> Callable[[Use], None]:
    def recurrent(use: Use) -> None:
        use.buffers(5, 6)  # the states that it begins with
        matrices = {}
        for place, letter in ((1, "W"), (2, "R")):
            value = use.value(place)
            if value is None or len(value.shape) != 3 or value.shape[0] not in {1, 2} or not value.is_float:
                continue
            directions, rows, cols = value.shape
            pieces = tuple(
                Piece(suffix, place * rows * cols, (rows, cols)) for place, suffix in enumerate(_DIRECTIONS[directions])
            )
            if value.is_as_stored:  # else its directions do not lie one behind the other
                use.claims.recurrent(value, use.node, letter, pieces)
                matrices[letter] = value
        bias = use.value(3)
        if bias is None or len(matrices) < 2 or not bias.is_as_stored:
            return
        directions, rows, _ = matrices["W"].shape
        if bias.shape != (directions, 2 * rows) or rows % gates:
            return
        use.claims.biases(
            bias,
            use.node,
            tuple(
                Piece(f".{letter}{suffix}", (2 * place + part) * rows, (rows,), (matrices[letter].tensor, suffix))
                for place, suffix in enumerate(_DIRECTIONS[directions])
                for part, letter in enumerate("WR")
            ),
        )

    return recurrent


_DIRECTIONS = {1: ("",), 2: (".forward", ".reverse")}


def _quantized(weight_at: int, scale_at: int, zero_at: int, *buffers: int) -> Callable[[Use], Value | None]:
    """Return what finds the weight of a node that has its scale and zero point as inputs.

    Where it has no input for the scale, which a product of whole numbers has not, the weight stands for its own until
    the scale is found behind it.
    """

    def find(use: Use) -> Value | None:
        use.buffers(*(place for place in (scale_at, zero_at, *buffers) if place))
        weight = use.value(weight_at)
        if weight is None or weight.quantization is not None or len(weight.axes) < 2:
            return None
        scale = use.value(scale_at) if scale_at else weight
        zero = use.value(zero_at) if zero_at else None
        return None if scale is None else replace(weight, quantization=Quantization(scale, zero, weight.axes[-1]))

    return find


def _quantized_convolution(weight_at: int, scale_at: int, zero_at: int, *buffers: int) -> Callable[[Use], None]:
    find = _quantized(weight_at, scale_at, zero_at, *buffers)

    def convolution(use: Use) -> None:
        kernel = find(use)
        if kernel is None or not isinstance(kernel.quantization, Quantization):
            return
        meant = replace(kernel.quantization, axis=kernel.axes[0])
        kernel = replace(kernel, quantization=meant)
        if use.claims.convolution(kernel, use.node, use.integer("group", 1)) and not scale_at:
            use.makes(Product(replace(kernel, quantization=None), kernel.shape[0]))

    return convolution


def _quantized_product(
    weight_at: int, scale_at: int, zero_at: int, bias_at: int, *buffers: int
) -> Callable[[Use], None]:
    find = _quantized(weight_at, scale_at, zero_at, *buffers)

    def product(use: Use) -> None:
        weight = find(use)
        if weight is None:
            return
        rows = 0 if use.integer("transB", 0) else 1
        if isinstance(weight.quantization, Quantization) and len(weight.axes) == 2:
            meant = replace(weight.quantization, axis=weight.axes[rows])
            weight = replace(weight, quantization=meant)
        if use.claims.dense(weight, use.node, rows, 1 - rows):
            plain = weight if scale_at else replace(weight, quantization=None)
            if bias_at:
                use.bias(bias_at, weight, weight.shape[rows])
            use.makes(Product(plain, weight.shape[rows]))

    return product


def _packed_product(use: Use) -> None:
    packed, scale, zero = use.value(1), use.value(2), use.value(3)
    use.buffers(2, 3)
    rows, cols, bits, block = (use.integer(*told) for told in (("N", 0), ("K", 0), ("bits", 4), ("block_size", 0)))
    plausible = 0 < rows < 1 << 31 and 0 < cols < 1 << 31 and bits in {2, 4, 8} and 0 < block < 1 << 20
    if packed is None or scale is None or not plausible or not packed.is_as_stored:
        return
    value = replace(packed, quantization=Packed((rows, cols), bits, block, scale, zero))
    if use.claims.weight(value, use.node, ww.LayerKind.DENSE, (0, 1)):
        use.bias(5, value, rows)
        use.makes(Product(value, rows))


_STANDARD: Mapping[str, Callable[[Use], None]] = {
    "Identity": _identity,
    "Cast": _identity,
    "Transpose": _transpose,
    "QuantizeLinear": _quantize,
    "DequantizeLinear": _dequantize,
    "Conv": _convolution,
    "ConvTranspose": _transposed_convolution,
    "Gemm": _gemm,
    "MatMul": _product,
    "Add": _sum,
    "Mul": _times,
    "Div": _ratio,
    "Gather": _look_up,
    "LSTM": _recurrent(4),
    "GRU": _recurrent(3),
    "RNN": _recurrent(1),
    "BatchNormalization": _norm(1, 2, 3, 4),
    "InstanceNormalization": _norm(1, 2),
    "LayerNormalization": _norm(1, 2),
    "GroupNormalization": _norm(1, 2),
    "RMSNormalization": _norm(1, 0),
    "SimplifiedLayerNormalization": _norm(1, 0),  # of com.microsoft, and written without a domain
    "QLinearConv": _quantized_convolution(3, 4, 5, 1, 2, 6, 7),
    "ConvInteger": _quantized_convolution(1, 0, 3, 2),
    "QLinearMatMul": _quantized_product(3, 4, 5, 0, 1, 2, 6, 7),
    "MatMulInteger": _quantized_product(1, 0, 3, 0, 2),
}

_OF_ONNX_RUNTIME: Mapping[str, Callable[[Use], None]] = {
    "FusedConv": _convolution,
    "FusedGemm": _gemm,
    "FusedMatMul": _product,
    "TransposeMatMul": _product,
    "Attention": _attention,
    "QuantizeLinear": _quantize,
    "DequantizeLinear": _dequantize,
    "QGemm": _quantized_product(3, 4, 5, 0, 1, 2, 7, 8),
    "MatMulIntegerToFloat": _quantized_product(1, 3, 5, 6, 2, 4),
    "DynamicQuantizeMatMul": _quantized_product(1, 2, 3, 4),
    "MatMulNBits": _packed_product,
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
