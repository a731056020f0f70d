"""Keras's classes of layers: their names in files, and the names of the variables that files only number."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_FOLDERS = {
    "Dense": "dense", "EinsumDense": "einsum_dense", "Embedding": "embedding",
    "ReversibleEmbedding": "reversible_embedding",
    "Conv1D": "conv1d", "Conv2D": "conv2d", "Conv3D": "conv3d",
    "Conv1DTranspose": "conv1d_transpose", "Conv2DTranspose": "conv2d_transpose",
    "Conv3DTranspose": "conv3d_transpose",
    "DepthwiseConv1D": "depthwise_conv1d", "DepthwiseConv2D": "depthwise_conv2d",
    "SeparableConv1D": "separable_conv1d", "SeparableConv2D": "separable_conv2d",
    "BatchNormalization": "batch_normalization", "LayerNormalization": "layer_normalization",
    "GroupNormalization": "group_normalization", "RMSNormalization": "rms_normalization",
    "Normalization": "normalization", "PReLU": "p_re_lu", "SeedGenerator": "seed_generator",
    "MultiHeadAttention": "multi_head_attention", "GroupedQueryAttention": "grouped_query_attention",
    "LSTMCell": "lstm_cell", "GRUCell": "gru_cell", "SimpleRNNCell": "simple_rnn_cell",
    "ConvLSTMCell": "conv_lstm_cell", "STFTSpectrogram": "stft_spectrogram",
}  # fmt: skip
"""How files name groups of a class, by its name."""

_CLASS_OF = {folder: name for name, folder in _FOLDERS.items()}
_COUNTER = re.compile(r"_[0-9]+$")

KERNELS = frozenset(name for name in _FOLDERS if "Conv" in name or "Dense" in name) - {
    "SeparableConv1D", "SeparableConv2D", "ConvLSTMCell",
}  # fmt: skip
"""Classes whose first variable is a kernel, and the second one a bias; what follows is of a quantization."""

_CELLS = frozenset({"LSTMCell", "GRUCell", "SimpleRNNCell", "ConvLSTMCell", "LSTM", "GRU", "SimpleRNN"})
_INWARD = frozenset({"query", "key", "value"})
_OUTWARD = frozenset({"output", "attention_output"})
_PROJECTIONS = {"inward": "ab,bcd->acd", "outward": "abc,bcd->ad"}

_FIXED = {
    "Embedding": ("embeddings",),
    "ReversibleEmbedding": ("embeddings", "reverse_embeddings"),
    "SeparableConv1D": ("depthwise_kernel", "pointwise_kernel", "bias"),
    "SeparableConv2D": ("depthwise_kernel", "pointwise_kernel", "bias"),
    "RMSNormalization": ("scale",),
    "Normalization": ("mean", "variance", "count"),
    "PReLU": ("alpha",),
    "SeedGenerator": ("seed_generator_state",),
    "STFTSpectrogram": ("real_kernel", "imag_kernel"),
    **dict.fromkeys(_CELLS, ("kernel", "recurrent_kernel", "bias")),
}
_STATISTICS = ("moving_mean", "moving_variance")
_ORDER = (
    "depthwise_kernel", "pointwise_kernel", "kernel", "recurrent_kernel", "embeddings", "bias", "gamma", "beta",
    *_STATISTICS,
)  # fmt: skip


def snake_case(class_name: str) -> str:
    """Return how files name groups of a class."""
    known = _FOLDERS.get(class_name)
    return known or re.sub(r"(?<=[a-z0-9])([A-Z])|(?<=[A-Z])([A-Z])(?=[a-z])", r"_\1\2", class_name).lower()


def class_in_name(name: str) -> str:
    """Return the class that a name tells of, as ``conv2d_3`` does; empty if it tells none."""
    return _CLASS_OF.get(_COUNTER.sub("", name), "")


def counter_of(name: str) -> tuple[str, int]:
    """Take the counter from a name: ``("conv2d", 3)`` for ``conv2d_3``, and 0 where there is none."""
    found = _COUNTER.search(name)
    digits = found[0][1:] if found else ""
    return (name[: found.start()], int(digits)) if found and len(digits) < 10 else (name, 0)


def projection_of_attention(name: str) -> str:
    """Return the equation of a projection that attention makes; empty for what is none.

    Args:
        name: Its name, or that of the attribute that holds it: ``query``, ``_output_dense``.
    """
    short = name.removeprefix("_").removesuffix("_dense")
    return _PROJECTIONS["inward"] if short in _INWARD else _PROJECTIONS["outward"] if short in _OUTWARD else ""


def usual_order(name: str) -> int:
    """Return what sorts the variables of a layer by their names, as Keras makes them; others come last."""
    return _ORDER.index(name) if name in _ORDER else len(_ORDER)


def variable_names(
    class_name: str, settings: Mapping[str, Any], shapes: Sequence[tuple[int, ...]], folder: str
) -> list[str]:
    """Name the variables of a layer, in their order; by their number where nothing tells more.

    Args:
        class_name: Its class; empty if it is not known.
        settings: What its configuration says.
        shapes: Of its variables.
        folder: The name of its group.
    """
    names: Sequence[str] = ()
    if class_name in KERNELS:
        names = _of_kernel(settings, shapes)
    elif class_name == "BatchNormalization":
        names = _of_norm(settings, len(shapes) - len(_STATISTICS)) + _STATISTICS
    elif class_name in {"LayerNormalization", "GroupNormalization"}:
        names = _of_norm(settings, len(shapes))
    elif class_name in _FIXED:
        names = _FIXED[class_name]
    else:
        names = _guessed(shapes, folder)
    return [names[index] if index < len(names) else str(index) for index in range(len(shapes))]


def _of_kernel(settings: Mapping[str, Any], shapes: Sequence[tuple[int, ...]]) -> tuple[str, ...]:
    if len(shapes[0]) < 2:
        return ("bias",)  # so is the order of variables of some quantizations
    has_bias = settings.get("use_bias", True) is not False and settings.get("bias_axes", "") is not None
    return ("kernel", "bias") if has_bias else ("kernel",)


def _of_norm(settings: Mapping[str, Any], count: int) -> tuple[str, ...]:
    if count >= 2:
        return ("gamma", "beta")
    if count < 1:
        return ()
    if "scale" in settings or "center" in settings:
        return ("gamma",) if settings.get("scale", True) is not False else ("beta",)
    return ("0",)  # nothing tells which of the two it is


def _guessed(shapes: Sequence[tuple[int, ...]], folder: str) -> tuple[str, ...]:
    """Name the variables of a class that nobody knows, where their shapes are those of a usual layer."""
    first, second = (*shapes, (), ())[:2]
    if _are_of_cell(first, second) and folder.endswith("cell"):
        return ("kernel", "recurrent_kernel", "bias")
    if len(first) >= 2 and second and _fits_as_bias(first, second):
        return ("kernel", "bias")
    if len(first) == 1 and all(shape == first for shape in shapes):
        return {2: ("gamma", "beta"), 4: ("gamma", "beta", *_STATISTICS)}.get(len(shapes), ())
    return ()


def _are_of_cell(kernel: tuple[int, ...], recurrent: tuple[int, ...]) -> bool:
    if len(kernel) < 2 or len(kernel) != len(recurrent) or kernel[-1] != recurrent[-1]:
        return False
    return bool(recurrent[-2]) and recurrent[-1] % recurrent[-2] == 0


def _fits_as_bias(kernel: tuple[int, ...], bias: tuple[int, ...]) -> bool:
    depthwise = len(kernel) > 2 and bias == (math.prod(kernel[-2:]),)
    return depthwise or (len(bias) < len(kernel) and kernel[-len(bias) :] == bias)
