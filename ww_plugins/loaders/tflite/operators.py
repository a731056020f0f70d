"""What the constants of an operator are: weights and biases of layers, and how their axes lie."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import ww_core as ww

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ww_plugins.loaders.tflite.model import Operator, Tensor

CONV_2D, DEPTHWISE_CONV_2D, DEQUANTIZE, EMBEDDING_LOOKUP, FULLY_CONNECTED = 3, 4, 6, 7, 9
LSTM, MUL, RNN, SVDF, EMBEDDING_LOOKUP_SPARSE, UNIDIRECTIONAL_RNN, GATHER = 16, 18, 24, 27, 33, 35, 36
UNIDIRECTIONAL_LSTM, BIDIRECTIONAL_RNN, BIDIRECTIONAL_LSTM, TRANSPOSE_CONV = 44, 46, 52, 67
DENSIFY, BATCH_MATMUL, CONV_3D, CONV_3D_TRANSPOSE = 124, 126, 132, 141

# Gates of one direction: of the input, then of the state, then where the first of four biases and a projection stand.
_GATES = {
    LSTM: [(1, 5, 12, 16)],
    UNIDIRECTIONAL_LSTM: [(1, 5, 12, 16)],
    BIDIRECTIONAL_LSTM: [(1, 5, 12, 16), (18, 22, 29, 33)],
}
_JOINED = 5  # inputs of an LSTM with one matrix
_AUXILIARY_GATES = {BIDIRECTIONAL_LSTM: (40, 44)}  # of a second input, by direction

# Weights of the input, of the state, and the bias.
_SIMPLE = {
    RNN: [(1, 2, 3)],
    UNIDIRECTIONAL_RNN: [(1, 2, 3)],
    BIDIRECTIONAL_RNN: [(1, 2, 3), (5, 6, 7)],
}
_AUXILIARY_SIMPLE = {BIDIRECTIONAL_RNN: (10, 11)}

_TABLES = {EMBEDDING_LOOKUP: 1, EMBEDDING_LOOKUP_SPARSE: 4, GATHER: 0}


class Meaning(NamedTuple):
    """What a constant is to an operator.

    Attributes:
        weight: Its number among the tensors of the subgraph.
        axes: Axis ``i`` of the layer's weight is axis ``axes[i]`` of the tensor, whose other axes have length 1.
        kind: Kind of the layer.
        groups: Groups of a convolution.
        bias: Number of the tensor that is the layer's bias; negative if it has none.
        fault: Why the numbers cannot be told from the file; empty if they can.
    """

    weight: int
    axes: tuple[int, ...]
    kind: ww.LayerKind
    groups: int = 1
    bias: int = -1
    fault: str = ""


def meanings(operator: Operator, tensors: Sequence[Tensor]) -> Iterator[Meaning]:
    """Tell what an operator takes for the weights of layers; nothing of an operator that is not known.

    Args:
        operator: The operator.
        tensors: All tensors of its subgraph, where one that an operator dequantises is what it is made of.
    """
    inputs = _Inputs(operator, tensors)
    match operator.code:
        case op if op == FULLY_CONNECTED:
            yield from _dense(inputs)
        case op if op in _CONVOLUTIONS:
            yield from _convolution(inputs)
        case op if op == BATCH_MATMUL:
            yield from _products(inputs)
        case op if op == MUL:
            yield from _scales(inputs)
        case op if op in _TABLES:
            yield from _table(inputs)
        case op if op in _GATES or op in _SIMPLE or op == SVDF:
            yield from _recurrent(inputs)


class _Inputs:
    """The inputs of an operator, of which any may be left out."""

    def __init__(self, operator: Operator, tensors: Sequence[Tensor]) -> None:
        self.operator = operator
        self._tensors = tensors

    def index(self, place: int) -> int:
        """Return the number of the tensor at a place; -1 if there is none."""
        return self.operator.inputs[place] if 0 <= place < len(self.operator.inputs) else -1

    def shape(self, place: int) -> tuple[int, ...]:
        """Return the shape of the tensor at a place; nothing if there is none."""
        index = self.index(place)
        return self._tensors[index].shape if index >= 0 else ()

    def option(self, field: int, letter: str) -> int:
        """Return an option of the operator; 0 where it has none."""
        options = self.operator.options
        return 0 if options is None else options.number(field, letter)


def _dense(inputs: _Inputs) -> Iterator[Meaning]:
    fault = "its numbers are shuffled for a kind of processor" if inputs.option(1, "b") else ""
    if len(inputs.shape(1)) == 2:
        yield Meaning(inputs.index(1), (0, 1), ww.LayerKind.DENSE, bias=inputs.index(2), fault=fault)


class _Convolution(NamedTuple):
    """How a convolution takes its kernel.

    Attributes:
        weight: Place of the kernel among the inputs.
        source: Place of what is convolved.
        bias: Place of the bias.
        axes: Of the kernel, in ww's layout.
        kind: Kind of the layer.
        channels: Axis of the kernel along which its input channels lie; negative where no groups are possible.
    """

    weight: int
    source: int
    bias: int
    axes: tuple[int, ...]
    kind: ww.LayerKind
    channels: int = -1


_CONVOLUTIONS = {
    CONV_2D: _Convolution(1, 0, 2, (0, 3, 1, 2), ww.LayerKind.CONV2D, 3),
    DEPTHWISE_CONV_2D: _Convolution(1, 0, 2, (3, 0, 1, 2), ww.LayerKind.CONV2D),
    TRANSPOSE_CONV: _Convolution(1, 2, 3, (3, 0, 1, 2), ww.LayerKind.CONV2D),
    CONV_3D: _Convolution(1, 0, 2, (4, 3, 0, 1, 2), ww.LayerKind.CONV3D, 3),
    CONV_3D_TRANSPOSE: _Convolution(1, 2, 3, (4, 3, 0, 1, 2), ww.LayerKind.CONV3D),
}


def _convolution(inputs: _Inputs) -> Iterator[Meaning]:
    how = _CONVOLUTIONS[inputs.operator.code]
    shape = inputs.shape(how.weight)
    if len(shape) != len(how.axes) or (inputs.operator.code == DEPTHWISE_CONV_2D and shape[0] != 1):
        return
    channels = (inputs.shape(how.source) or (0,))[-1]
    out = shape[how.axes[0]]
    if inputs.operator.code == DEPTHWISE_CONV_2D:
        groups = _depthwise_groups(out, channels, inputs.option(3, "i"))
    else:
        groups = _groups(out, channels, shape[how.channels]) if how.channels >= 0 else 1
    yield Meaning(inputs.index(how.weight), how.axes, how.kind, groups, inputs.index(how.bias))


def _groups(out: int, channels: int, of_kernel: int) -> int:
    """Return the groups, as the channels of the input tell them beside those of the kernel."""
    if channels <= 0 or of_kernel <= 0 or channels % of_kernel:
        return 1
    groups = channels // of_kernel
    return groups if out % groups == 0 else 1


def _depthwise_groups(out: int, channels: int, multiplier: int) -> int:
    """Return the channels that are convolved, each alone: the output has a multiple of them."""
    if channels > 0 and out % channels == 0 and multiplier in {0, out // channels}:
        return channels
    return out // multiplier if multiplier > 0 and out % multiplier == 0 else max(out, 1)


def _products(inputs: _Inputs) -> Iterator[Meaning]:
    """Tell of both factors: the right one is (in, out) unless it is taken transposed, the left one (out, in)."""
    kinds = {2: ww.LayerKind.DENSE, 3: ww.LayerKind.EXPERT}
    for place, is_out_first in ((1, bool(inputs.option(1, "?"))), (0, not inputs.option(0, "?"))):
        shape = inputs.shape(place)
        if len(shape) < 2:
            continue
        matrices = tuple(axis for axis in range(len(shape) - 2) if shape[axis] != 1)
        rows, cols = len(shape) - 2, len(shape) - 1
        if kind := kinds.get(len(matrices) + 2):
            axes = (*matrices, rows, cols) if is_out_first else (*matrices, cols, rows)
            yield Meaning(inputs.index(place), axes, kind)


def _scales(inputs: _Inputs) -> Iterator[Meaning]:
    """Tell of a factor for each channel: what is left of a norm."""
    for place in (0, 1):
        long = tuple(axis for axis, length in enumerate(inputs.shape(place)) if length != 1)
        if len(long) == 1:
            yield Meaning(inputs.index(place), long, ww.LayerKind.NORM)


def _table(inputs: _Inputs) -> Iterator[Meaning]:
    place = _TABLES[inputs.operator.code]
    axis = inputs.option(0, "i") if inputs.operator.code == GATHER else 0
    if len(inputs.shape(place)) == 2 and axis in {0, -2}:
        yield Meaning(inputs.index(place), (0, 1), ww.LayerKind.EMBEDDING)


def _recurrent(inputs: _Inputs) -> Iterator[Meaning]:
    for weight, bias in [(2, 3)] if _is_joined(inputs.operator) else _matrices(inputs.operator.code):
        if len(inputs.shape(weight)) == 2:
            yield Meaning(inputs.index(weight), (0, 1), ww.LayerKind.RECURRENT, bias=inputs.index(bias))


def _is_joined(operator: Operator) -> bool:
    """Whether one matrix does all that an LSTM does, as in the oldest models."""
    return operator.code == LSTM and len(operator.inputs) == _JOINED


def _matrices(code: int) -> Iterator[tuple[int, int]]:
    """Go through the places of matrices and their biases; the bias of a gate is that of its first matrix."""
    for from_input, from_state, biases, projection in _GATES.get(code, ()):
        yield from ((from_input + gate, biases + gate) for gate in range(4))
        yield from ((from_state + gate, -1) for gate in range(4))
        yield projection, projection + 1
    for first in _AUXILIARY_GATES.get(code, ()):
        yield from ((first + gate, -1) for gate in range(4))
    for from_input, from_state, bias in _SIMPLE.get(code, ()):
        yield from_input, bias
        yield from_state, -1
    for place in _AUXILIARY_SIMPLE.get(code, ()):
        yield place, -1
    if code == SVDF:
        yield from ((1, -1), (2, -1))
