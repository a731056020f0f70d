"""Names of layers: the tensor's own where the exporter kept it, else the module's that the node or the bias tells."""

from __future__ import annotations

import re

_MADE_UP = re.compile(
    r"[0-9]*|onnx::\w+|_?val_[0-9]+|(.*/)?_?Constant(_[0-9]+)?_output_[0-9]+|(.*/)?\w+_output_[0-9]+", re.DOTALL
)
"""Names that exporters make up for tensors that no module holds as they are."""

_OF_CONVOLUTION = re.compile(r"(onnx::Conv_)?[0-9]+")

_SUFFIXES = ("_quantized", "_Q4", "_Q8", "_Transposed", ".weight")
"""What follows the name of a module in that of its weight; programs that quantize models add theirs."""

_SCOPE = re.compile("'([^']*)'")
_LONGEST_SCOPES = 4000
_OF_BIAS = re.compile(r"(.+)([._])bias(_quantized)?", re.DOTALL)


def is_made_up(name: str) -> bool:
    """Whether the name of a tensor is an exporter's own."""
    return _MADE_UP.fullmatch(name) is not None


def tells_folding(kernel: str) -> bool:
    """Whether the name of a kernel is one that ONNX Runtime and tf2onnx give it when they fold a batch norm into it."""
    return kernel.startswith("ConvBnFusion_W_") or "_weights_fused_bn" in kernel


def suggests_folding(kernel: str, bias: str) -> bool:
    """Whether both names are such as PyTorch's exporter makes up when it folds a batch norm into a convolution."""
    return all(_OF_CONVOLUTION.fullmatch(name) is not None for name in (kernel, bias))


def layer_of(tensor: str) -> str:
    """Return the name of the layer that a tensor names."""
    short = tensor
    for suffix in _SUFFIXES:
        short = short.removesuffix(suffix)
    return short or tensor


def layer_of_bias(tensor: str) -> str:
    """Return the layer that the name of a bias tells; nothing where it tells none.

    ``proj.bias`` is that of ``proj``, and ``in_proj_bias`` that of ``in_proj_weight``.
    """
    found = _OF_BIAS.fullmatch(tensor)
    if found is None or is_made_up(tensor):
        return ""
    return found[1] if found[2] == "." else f"{found[1]}_weight"


def module_of_node(node: str) -> str:
    """Return the module in whose scope a node stands, by the path that is its name; nothing where it has none.

    A path names a module within a list by both: ``/layer1/layer1.0/conv1/Conv`` is in ``layer1.0.conv1``.
    """
    parts = [part for part in node.split("/") if part][:-1]
    kept: list[str] = []
    for part in parts:
        if kept and part.startswith(f"{kept[-1]}."):
            kept.pop()
        kept.append(part)
    return ".".join(kept)


def module_of_scopes(scopes: str) -> str:
    """Return the innermost module of scopes that PyTorch's exporter told, as ``['', 'layers.0', 'linear_4']``.

    The last of them is the operator.
    """
    told = _SCOPE.findall(scopes[:_LONGEST_SCOPES])
    return told[-2] if len(told) > 1 else ""
