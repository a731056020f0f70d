"""Recurrent layers: one tensor holds a matrix for each direction, and another one the biases of all of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ww_plugins.loaders.onnx.claims import Piece
from ww_plugins.loaders.onnx.values import Quantization, Value

if TYPE_CHECKING:
    from ww_plugins.loaders.onnx.use import Use

_DIRECTIONS = {1: ("",), 2: (".forward", ".reverse")}
_BIAS_AT, _STATES_AT = 3, (5, 6)


def recurrent(use: Use) -> None:
    """Take ``W`` and ``R``, of shape (directions, gates * units, in), and the biases."""
    use.buffers(*_STATES_AT)
    found = {letter: use.value(place) for place, letter in ((1, "W"), (2, "R"))}
    matrices = {letter: value for letter, value in found.items() if value is not None and _fits(value)}
    for letter, value in matrices.items():
        directions, rows, cols = value.shape
        _take(use, letter, value, [(place * rows * cols, (rows, cols), ()) for place in range(directions)])
    _take_biases(use, matrices, 1)


def quantized_recurrent(use: Use) -> None:
    """Take those of ``DynamicQuantizeLSTM``, of shape (directions, in, gates * units), with their scales."""
    use.buffers(*_STATES_AT, 8, 9, 10, 11)
    matrices = {}
    for letter, place, scale_at in (("W", 1, 8), ("R", 2, 10)):
        value, scale, zero = use.value(place), use.value(scale_at), use.value(scale_at + 1)
        if value is None or scale is None or value.quantization is not None or len(value.shape) != 3:
            continue
        axis = 0 if scale.shape == value.shape[:1] else 2
        value = replace(value, quantization=Quantization(scale, zero, axis))
        if _fits(value):
            directions, cols, rows = value.shape
            _take(use, letter, value, [(place * rows * cols, (cols, rows), (1, 0)) for place in range(directions)])
            matrices[letter] = value
    _take_biases(use, matrices, 2)


def _fits(value: Value) -> bool:
    # Where its axes are turned, its directions do not lie one behind the other.
    return len(value.shape) == 3 and value.shape[0] in _DIRECTIONS and value.is_float and value.is_as_stored


def _take(use: Use, letter: str, value: Value, places: list[tuple[int, tuple[int, ...], tuple[int, ...]]]) -> None:
    suffixes = _DIRECTIONS[value.shape[0]]
    pieces = [
        Piece(suffix, first, shape, order=order) for suffix, (first, shape, order) in zip(suffixes, places, strict=True)
    ]
    use.claims.recurrent(value, use.node, letter, tuple(pieces))


def _take_biases(use: Use, matrices: dict[str, Value], axis: int) -> None:
    """Take the biases of ``W`` and then of ``R``, for each direction."""
    bias = use.value(_BIAS_AT)
    if bias is None or len(matrices) < 2 or not bias.is_as_stored:
        return
    directions, rows = matrices["W"].shape[0], matrices["W"].shape[axis]
    if bias.shape == (directions, 2 * rows):
        pieces = [
            Piece(f".{letter}{suffix}", (2 * place + part) * rows, (rows,), (matrices[letter].tensor, suffix))
            for place, suffix in enumerate(_DIRECTIONS[directions])
            for part, letter in enumerate("WR")
        ]
        use.claims.biases(bias, use.node, tuple(pieces))
