"""Norms that a graph spells out: what is added to a variance, divided by, and multiplied by.

A batch norm is ``x * m + (beta - mean * m)`` with ``m = gamma / sqrt(variance + epsilon)``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ww_plugins.loaders.tensorflow.frozen.lengths import broadcast
from ww_plugins.loaders.tensorflow.frozen.values import Ratio, Signal, Spread, Value

if TYPE_CHECKING:
    from ww_plugins.loaders.tensorflow.frozen.use import Use


def sum_of_norm(use: Use) -> bool:
    """Take the inputs of a sum, if it is one of a norm; tell whether it is."""
    known = [use.known(0), use.known(1)]
    for one, other in (known, known[::-1]):
        if isinstance(one, Ratio):
            if one.scale is not None and isinstance(other, Value) and _is_row(other, one.scale.shape):
                use.claims.bias(other, one.scale)
            use.makes(Signal(broadcast(use.shape(0), use.shape(1))))
            return True
        if isinstance(one, Value) and one.size == 1 and (other is None or isinstance(other, Value)):
            use.makes(Spread(other))
            return True
    return False


def root(use: Use) -> None:
    """Take the variance under a root, and what is one over it."""
    known = use.known(0)
    if isinstance(known, Spread) and known.variance is not None:
        use.claims.buffer(known.variance)
    if use.node.op == "Rsqrt":
        use.makes(Ratio(shape=use.shape(0)))
    elif isinstance(known, Spread):
        use.makes(Spread())


def divide(use: Use) -> bool:
    """Tell whether what is divided by is the root of a variance."""
    if not isinstance(use.known(1), Spread):
        return False
    use.makes(Ratio(is_applied=True, shape=broadcast(use.shape(0), use.shape(1))))
    return True


def multiply(use: Use) -> bool:
    """Take the inputs of a product, if it is one of a norm; tell whether it is."""
    known = [use.known(0), use.known(1)]
    shape = broadcast(use.shape(0), use.shape(1))
    for ratio, other in (known, known[::-1]):
        if not isinstance(ratio, Ratio):
            continue
        if not isinstance(other, Value):
            use.makes(Ratio(ratio.scale, is_applied=True, shape=shape))
        elif ratio.scale is not None:  # the mean
            use.claims.buffer(other)
            use.makes(Ratio(ratio.scale, is_applied=True, shape=shape))
        else:
            scale = use.claims.norm(other) if other.size > 1 else None
            use.makes(replace(ratio, scale=scale, shape=shape))
        return True
    return False


def subtract(use: Use) -> bool:
    """Take the shift of a norm, less its mean times the ratio, if the node is that; tell whether it is."""
    shift, ratio = use.value(0), use.known(1)
    if not isinstance(ratio, Ratio):
        return False
    if ratio.scale is not None and not ratio.is_applied:
        use.claims.no_weight(ratio.scale)  # it was the mean: this norm has no scale
    elif shift is not None and ratio.scale is not None and _is_row(shift, ratio.scale.shape):
        use.claims.bias(shift, ratio.scale)
    return True


def _is_row(value: Value, shape: tuple[int, ...]) -> bool:
    return value.size == max(shape, default=0)
