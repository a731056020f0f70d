"""The operators that take no weights: what is known of their inputs, they pass on, as far as it holds behind them.

The shape of a signal is told only where it is sure: groups of a convolution follow from it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ww_plugins.loaders.tensorflow.frozen.lengths import UNKNOWN, Shape, broadcast, joined
from ww_plugins.loaders.tensorflow.frozen.values import Change, Lengths, Ratio, Signal, Value
from ww_plugins.loaders.tensorflow.shapes import DTYPES

if TYPE_CHECKING:
    from ww_plugins.loaders.tensorflow.frozen.use import Use
    from ww_plugins.loaders.tensorflow.frozen.values import Known

_WHOLE = ("int", "uint", "bool", "qint", "quint")  # how the names of their types begin


# --- what only passes values on ---


def same(use: Use) -> None:
    """Pass on what is known of the first input."""
    use.makes(use.known(0))


def each(use: Use) -> None:
    """Pass on what is known of each input."""
    for place in range(len(use.node.inputs)):
        use.makes(use.known(place), place)


def both(use: Use) -> None:
    """Pass the first input on by two outputs, of which one gets it."""
    for output in (0, 1):
        use.makes(use.known(0), output)


def _changed(use: Use, change: Change) -> None:
    known = use.known(0)
    if isinstance(known, Value) and known.constant.is_float:
        known = replace(known, change=known.change or change)
    use.makes(known)


def cast(use: Use) -> None:
    """Pass on a value in another type."""
    if DTYPES.get(use.type_number("DstT"), "").startswith(_WHOLE):
        _changed(use, Change.CUT)
    else:
        same(use)


def rounded(use: Use) -> None:
    """Pass on a value that is rounded as if it were quantized."""
    _changed(use, Change.ROUNDED)


def given(use: Use) -> None:
    """Take what is given to the graph, or a constant that stands for it."""
    known, shape = use.known(0), use.told_shape(use.node, 0)
    use.makes(known if isinstance(known, Value) else Signal(shape) if shape.last else None)


# --- what computes with signals; what is not sure of their shape afterwards is not told ---


def _flows(use: Use, shape: Shape) -> None:
    """Say what is known of numbers that an operation changed: no bias can follow it."""
    use.makes(Signal(shape) if isinstance(use.known(0), Signal) else None)


def activation(use: Use) -> None:
    """Say what is known of numbers of which each was changed alone."""
    _flows(use, use.shape(0))


def both_flow(use: Use) -> None:
    """Say what is known of what is made of two values, number by number."""
    flows = any(isinstance(use.known(place), Signal) for place in (0, 1))
    use.makes(Signal(broadcast(use.shape(0), use.shape(1))) if flows else None)


def pool(use: Use) -> None:
    """Say what is known of a picture that is pooled: its channels stay, if the window holds one of them."""
    axis, rank = use.channel_axis(), use.axes_of_picture()
    window = use.integers("ksize") or use.integers_in(1) or ()
    kept = (0, axis) if len(window) == rank and window[axis] == 1 else (0,)
    _flows(use, use.shape(0).of_rank(rank).only(*kept))


def resized(use: Use) -> None:
    """Say what is known of a picture that gets another height and width."""
    _flows(use, use.shape(0).of_rank(4).only(0, -1))


def pad(use: Use) -> None:
    """Say what is known of numbers around which others are put."""
    widths = use.integers_in(1)
    if widths is None or len(widths) % 2:
        _flows(use, UNKNOWN)
        return
    lengths = use.shape(0).of_rank(len(widths) // 2).last
    added = [before + after for before, after in zip(widths[::2], widths[1::2], strict=True)]
    made = [one + more if one > 0 else -1 for one, more in zip(lengths, added, strict=False)]
    _flows(use, Shape.of(made) if made else UNKNOWN)


def blocks(use: Use) -> None:
    """Pass a picture on that is cut into blocks, as for a dilated convolution: axes behind them stay."""
    known, block, shape = use.known(0), use.integers_in(1), use.shape(0)
    if not isinstance(known, Signal):
        use.makes(None)
        return
    kept = range(1 + len(block), len(shape.last)) if block is not None and shape.is_whole else ()
    use.makes(replace(known, shape=shape.only(*kept)))


# --- what moves axes ---


def _moved(known: Known | None, shape: Shape) -> Known | None:
    """Return what is known of something that is no constant, in another shape."""
    return replace(known, shape=shape) if isinstance(known, Signal | Ratio) else known


def reshape(use: Use) -> None:
    """Say what is known of a value in another shape."""
    known, shape, told = use.known(0), use.integers_in(1), use.known(1)
    if isinstance(known, Value):
        use.makes(known.reshaped(shape) if shape is not None else None)
        return
    if isinstance(told, Lengths):
        shape = told.lengths
    made = Shape.of(shape) if shape is not None else UNKNOWN
    if isinstance(known, Signal):
        use.makes(replace(known, shape=made))
    elif shape is not None:
        use.makes(Signal(made))


def pack(use: Use) -> None:
    """Take lengths that are put together to a shape."""
    lengths = [use.integers_in(place) or () for place in range(len(use.node.inputs))]
    use.makes(Lengths(tuple(one[0] if len(one) == 1 else -1 for one in lengths)))


def transpose(use: Use) -> None:
    """Say what is known of a value with its axes in another order."""
    known, order = use.known(0), use.integers_in(1)
    if isinstance(known, Signal):
        use.makes(Signal(use.shape(0).permuted(order) if order is not None else UNKNOWN))
    elif isinstance(known, Value) and order is not None:
        use.makes(known.permuted(order))


def expand(use: Use) -> None:
    """Say what is known of a value with one more axis."""
    known, at = use.known(0), use.integers_in(1)
    is_told = at is not None and len(at) == 1
    if isinstance(known, Value):
        use.makes(known.with_axis(at[0]) if at is not None and is_told else None)
    elif isinstance(known, Signal):
        use.makes(_moved(known, use.shape(0).with_axis(at[0]) if at is not None and is_told else UNKNOWN))


def squeeze(use: Use) -> None:
    """Say what is known of a value without axes of length 1."""
    known, at = use.known(0), use.integers("squeeze_dims")
    use.makes(known.squeezed(at) if isinstance(known, Value) else _moved(known, use.shape(0).squeezed(at)))


def concatenate(use: Use) -> None:
    """Say what is known of values that are put behind each other."""
    count = len(use.node.inputs) - 1
    axis = use.integers_in(count)
    if axis is not None and len(axis) == 1 and any(isinstance(use.known(place), Signal) for place in range(count)):
        use.makes(Signal(joined([use.shape(place) for place in range(count)], axis[0])))
