"""Operators that quantize weights and give whole numbers their scale, also where that is spelled out."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import ww_core as ww
from ww_plugins.loaders.onnx.remarks import Remark
from ww_plugins.loaders.onnx.values import Looked, Product, Quantization, Ratio, Rounded, Value

if TYPE_CHECKING:
    from ww_plugins.loaders.onnx.use import Use

_STEPS = frozenset({2, 3, 4, 5, 6, 21, 22, 25, 26})
"""The format's numbers of dtypes in which weights are stored as whole numbers."""

_FLOAT8 = frozenset({17, 18, 19, 20})
_MADE = _STEPS - {6} | _FLOAT8
_UINT8 = 2
_MOST_FACTORS = 4


def cast(use: Use) -> None:
    """Pass a tensor on in another dtype."""
    known = use.known(0)
    if isinstance(known, Value):
        code = use.integer("to", 1)
        known = replace(known, cast_to=code, remark=Remark.CUT if known.is_float and code in _WHOLE else known.remark)
    use.makes(known)


_WHOLE = frozenset({2, 3, 4, 5, 6, 7, 9, 12, 13, 21, 22, 25, 26})
"""The format's numbers of dtypes that hold no fractions."""


def quantize(use: Use) -> None:
    """Note how a tensor is rounded; of what only exists while the model runs, nothing changes."""
    known = use.known(0)
    if not isinstance(known, Value) or not known.is_float:
        use.makes(known)
        return
    use.buffers(1, 2)
    rounded = _rounded(use, known)
    if rounded is not None and known.quantization is None:
        made = replace(known, rounded=rounded)
        use.claims.rounded.setdefault(known.tensor, made)
        use.makes(made)
    elif rounded is not None and _undoes(rounded, known):
        use.makes(known.without_scale)
    else:
        use.makes(replace(known, remark=Remark.ROUNDED))


def _rounded(use: Use, value: Value) -> Rounded | None:
    by = _quantization(use, value)
    if by is None:
        return None
    code = use.integer("output_dtype", 0) or _UINT8
    if by.zero is not None:
        code = by.zero.cast_to or by.zero.tensor.code
    is_known = code in _MADE and (code not in _FLOAT8 or use.integer("saturate", 1) != 0)
    return Rounded(by, code, use.integer("precision", 0) or by.scale.tensor.code) if is_known else None


def _undoes(rounded: Rounded, value: Value) -> bool:
    """Whether rounding gives the whole numbers again of which a value was made."""
    meant = value.quantization
    if not isinstance(meant, Quantization) or meant.factors:
        return False
    code = meant.rounded.code if meant.rounded is not None else value.tensor.code
    tensors = [[part and part.tensor for part in (each.scale, each.zero)] for each in (meant, rounded.by)]
    is_laid_so = meant.layout == replace(rounded.by, rounded=meant.rounded).layout
    return code == rounded.code and tensors[0] == tensors[1] and is_laid_so


def dequantize(use: Use) -> None:
    """Give whole numbers their scale."""
    known = use.known(0)
    use.buffers(1, 2)
    if isinstance(known, Product) or (isinstance(known, Value) and known.is_float):
        use.makes(known)
    elif isinstance(known, Looked):
        scale, zero = use.value(1), use.value(2)
        if scale is not None and scale.shape in {(), (1,)}:
            _look_up(use, known, Quantization(scale, zero))
    elif isinstance(known, Value) and known.quantization is None:
        meant = _quantization(use, known)
        if meant is not None and known.zero is None:
            _give(use, known, meant)
        elif known.rounded is not None:
            use.makes(replace(known, rounded=None, remark=Remark.ROUNDED))
        else:
            _list(use, known, "its scale is not known before the model runs")


def _quantization(use: Use, value: Value) -> Quantization | None:
    """Return scale and zero point of a node; None where they are not known, or lie in another way."""
    scale, zero = use.value(1), use.value(2)
    if scale is None or (zero is None and any(use.node.inputs[2:3])):
        return None
    if not all(part is None or (part.is_plain and part.is_as_stored) for part in (scale, zero)):
        return None
    axis, block = use.integer("axis", 1), max(0, use.integer("block_size", 0))
    if -len(value.axes) <= axis < len(value.axes):
        axis = value.axes[axis]
    return None if block and not value.is_as_stored else Quantization(scale, zero, axis, block)


def subtract(use: Use) -> None:
    """Note what is subtracted from whole numbers: it is their zero point if a scale follows."""
    known, other = use.value(0), use.value(1)
    if known is None or known.is_float or other is None:
        return
    zero = known.along(other) if known.zero is None and other.is_plain else None
    if zero is None:
        _list(use, known, "its zero points do not lie along one axis")
    else:
        use.makes(replace(known, zero=zero))
        use.claims.buffer(other, use.node)


def divide(use: Use) -> None:
    """Say that a scale divides whole numbers, which no program writes of weights."""
    known = use.value(0)
    if known is not None and (not known.is_float or known.quantization is not None):
        _list(use, known, "a scale divides it, which is not read")
    use.makes(Ratio())


def has_scale(value: Value, scale: Value) -> bool:
    """Whether a product of two tensors is one of whole numbers, or of what they stand for, and of a scale."""
    is_whole = value.rounded is not None or value.tensor.code in _STEPS
    return (is_whole or value.quantization is not None) and scale.is_plain and scale.is_float


def multiply(use: Use, value: Value, scale: Value) -> None:
    """Give whole numbers the scale by which they are multiplied, or one more."""
    meant = value.quantization
    along = value.along(scale)
    if along is None:
        _list(use, value, "its scales do not lie along one axis")
    elif isinstance(meant, Quantization) and len(meant.factors) < _MOST_FACTORS:
        use.claims.buffer(scale, use.node)
        _give(use, value, replace(meant, factors=(*meant.factors, along)))
    elif meant is None:
        zero = value.zero
        if zero is None or zero.value.has_one or scale.has_one or zero.axis == along.axis:
            axis = zero.axis if zero is not None and scale.has_one else along.axis
            use.claims.buffer(scale, use.node)
            _give(use, value, Quantization(scale, None if zero is None else zero.value, axis))
        else:
            _list(use, value, "its scales lie along another axis than its zero points")
    else:
        _list(use, value, "too many factors multiply it")


def multiply_rows(use: Use, rows: Looked, scale: Value) -> None:
    """Give the table of rows that were looked up the scale by which these are multiplied."""
    axis = rows.table.axes[1]
    length = rows.table.shape[1]
    if scale.has_one or (scale.shape[-1:] == (length,) and math.prod(scale.shape) == length):
        use.claims.buffer(scale, use.node)
        _look_up(use, rows, Quantization(scale, None, axis))
    else:
        _list(use, rows.table, "its scales do not lie along one axis")


def _look_up(use: Use, rows: Looked, meant: Quantization) -> None:
    use.claims.dense(rows.table.meant_by(meant), use.node, 0, 1, kind=ww.LayerKind.EMBEDDING)


def _give(use: Use, value: Value, meant: Quantization) -> None:
    made = value.meant_by(meant) if value.quantization is None else replace(value, quantization=meant)
    if isinstance(made.quantization, Quantization) and made.quantization.rounded is not None:
        use.claims.rounded[value.tensor] = made
    _list(use, value, "no operator of a layer takes what its scale makes of it")
    use.makes(made)


def _list(use: Use, value: Value, why: str) -> None:
    """Say why whole numbers are not read, if nothing reads them."""
    if value.tensor.code in _STEPS and len(value.axes) > 1:
        use.claims.unread[value.tensor] = why
