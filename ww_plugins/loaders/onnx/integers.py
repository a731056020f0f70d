"""Operators of whole numbers: their weights have scales, as inputs of the node or in what follows it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import ww_core as ww
from ww_plugins.loaders.onnx.values import Packed, Product, Quantization, ScaledBy, Value

if TYPE_CHECKING:
    from ww_plugins.loaders.onnx.use import Use
    from ww_plugins.loaders.onnx.values import Known


def product_of_integers(use: Use, known: list[Known | None]) -> Product | None:
    """Take the scale that follows a product of whole numbers for that of its weight, and return the product."""
    for product, scale in (known, known[::-1]):
        if isinstance(product, Product) and isinstance(scale, ScaledBy):
            found = _scale_of(product.weight, scale)
            if found is not None:
                _scale(use, product, found)
            return product
    return None


def scaled_product(use: Use, product: Product, scale: Value) -> Product | None:
    """Take a tensor that follows a product of whole numbers for the scale of its weight; return the product then.

    It is not where another one has the name of that scale: then it is the scale of what the weight is multiplied by.
    """
    if math.prod(scale.shape) not in {1, product.length}:
        return None
    if _meant(use, product) is None:
        if not product.weight.is_float:
            use.claims.unread[product.weight.tensor] = "its scale follows the product, and may be that of the input"
        return None
    named = use.scope.find(_name_of_scale(product.weight))
    if not isinstance(named, Value) or named.tensor is scale.tensor:
        _scale(use, product, scale)
    return product


def _scale(use: Use, product: Product, scale: Value) -> None:
    """Say what the scale of a weight is; another one than is known of it is noted."""
    claim, meant = use.claims.made.get(product.weight.tensor), _meant(use, product)
    if claim is None or meant is None:
        return
    if meant.scale.tensor is product.weight.tensor:
        claim.value = replace(claim.value, quantization=replace(meant, scale=scale))
        use.claims.buffer(scale, use.node)
    else:
        use.claims.meant_again(claim, replace(meant, scale=scale))


def _meant(use: Use, product: Product) -> Quantization | None:
    """Return how the weight of a product of whole numbers is meant, which has no scale of its own there."""
    claim = use.claims.made.get(product.weight.tensor)
    meant = claim.value.quantization if claim is not None else None
    is_whole = product.weight.quantization is None and not product.weight.is_float
    return meant if is_whole and isinstance(meant, Quantization) else None


def _scale_of(weight: Value, product: ScaledBy) -> Value | None:
    """Return the scale of a weight out of a product of scales; where both are known, the names must tell it."""
    if len(product.scales) == 1:
        return product.scales[0]
    return next((scale for scale in product.scales if scale.tensor.name == _name_of_scale(weight)), None)


def _name_of_scale(weight: Value) -> str:
    return f"{weight.tensor.name.removesuffix('_quantized')}_scale"


def _weight_with_scale(weight_at: int, scale_at: int, zero_at: int, *buffers: int) -> Callable[[Use], Value | None]:
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
        return None if scale is None else weight.meant_by(Quantization(scale, zero, weight.axes[-1]))

    return find


def quantized_convolution(weight_at: int, scale_at: int, zero_at: int, *buffers: int) -> Callable[[Use], None]:
    """Return what takes the kernel of a convolution of whole numbers; arguments are places of inputs, 0 for none."""
    find = _weight_with_scale(weight_at, scale_at, zero_at, *buffers)

    def convolution(use: Use) -> None:
        kernel = find(use)
        if kernel is None or not isinstance(kernel.quantization, Quantization):
            return
        meant = replace(kernel.quantization, axis=kernel.axes[0])
        kernel = replace(kernel, quantization=meant)
        if use.claims.convolution(kernel, use.node, use.integer("group", 1)) and not scale_at:
            use.makes(Product(kernel.without_scale, kernel.shape[0]))

    return convolution


def quantized_product(
    weight_at: int, scale_at: int, zero_at: int, bias_at: int, *buffers: int
) -> Callable[[Use], None]:
    """Return what takes the matrix of a product of whole numbers; arguments are places of inputs, 0 for none."""
    find = _weight_with_scale(weight_at, scale_at, zero_at, *buffers)

    def product(use: Use) -> None:
        weight = find(use)
        if weight is None:
            return
        rows = 0 if use.integer("transB", 0) else 1
        if isinstance(weight.quantization, Quantization) and len(weight.axes) == 2:
            meant = replace(weight.quantization, axis=weight.axes[rows])
            weight = replace(weight, quantization=meant)
        if use.claims.dense(weight, use.node, rows, 1 - rows):
            plain = weight if scale_at else weight.without_scale
            if bias_at:
                use.bias(bias_at, weight, weight.shape[rows])
            use.makes(Product(plain, weight.shape[rows]))

    return product


def packed_product(use: Use) -> None:
    """Take the weight of a ``MatMulNBits``."""
    packed, scale, zero = use.value(1), use.value(2), use.value(3)
    use.buffers(2, 3)
    rows, cols, bits, block = (use.integer(*told) for told in (("N", 0), ("K", 0), ("bits", 4), ("block_size", 0)))
    sides = 0 < rows < 1 << 31 and 0 < cols < 1 << 31
    plausible = sides and bits in {2, 4, 8} and 0 < block < 1 << 20 and not block * bits % 8
    # Columns in another order than their scales, as input 4 tells them, are not known here.
    if packed is None or scale is None or use.known(4) or not plausible or not packed.is_as_stored:
        return
    value = replace(packed, quantization=Packed((rows, cols), bits, block, scale, zero))
    if use.claims.weight(value, use.node, ww.LayerKind.DENSE, (0, 1)):
        use.bias(5, value, rows)
        use.makes(Product(value, rows))
