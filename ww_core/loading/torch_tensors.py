"""PyTorch's tensors in memory that are no row of numbers: which there are, and of what parts each consists."""

from __future__ import annotations

from typing import Any

_WAYS = {
    "torch.sparse_coo": ("_indices", "_values"),
    "torch.sparse_csr": ("crow_indices", "col_indices", "values"),
    "torch.sparse_bsr": ("crow_indices", "col_indices", "values"),
    "torch.sparse_csc": ("ccol_indices", "row_indices", "values"),
    "torch.sparse_bsc": ("ccol_indices", "row_indices", "values"),
    "torch._mkldnn": ("to_dense",),
}
"""Methods that give the parts of a tensor, by its layout."""


def oddity(torch: Any, value: Any) -> str:
    """Say what a tensor is instead of a row of numbers; an empty text if it is one.

    Args:
        torch: PyTorch, which whoever has a tensor has imported.
        value: The tensor. A nested one has no shape, and is not told of here.
    """
    if value.device.type == "meta":
        return "of the device meta"
    if _is_of_its_own_class(torch, value):
        return f"of a class of its own, {type(value).__name__}"
    if value.is_quantized:
        return "quantized"
    return "" if value.layout is torch.strided else f"of layout {value.layout}"


def is_readable(torch: Any, value: Any) -> bool:
    """Whether the content of a tensor can be had: it has some, and if it has a class of its own, that tells of it."""
    if value.device.type == "meta" or torch.nn.parameter.is_lazy(value):
        return False
    if not _is_of_its_own_class(torch, value):
        return value.layout is torch.strided or str(value.layout) in _WAYS
    inner = _inner_tensors(torch, value)
    return bool(inner) and all(is_readable(torch, part) for part in inner.values())


def parts_of(torch: Any, value: Any) -> tuple[list[Any], list[Any]]:
    """Return what makes a readable tensor that is no row of numbers: what is told of it as JSON content, and its parts.

    Args:
        torch: PyTorch.
        value: The tensor.
    """
    if _is_of_its_own_class(torch, value):
        inner = _inner_tensors(torch, value)
        return [type(value).__name__, list(inner)], list(inner.values())
    value = value.detach()
    if value.is_nested:
        return ["nested"], list(value.unbind())
    if value.is_quantized:
        return _parts_of_quantized(torch, value)
    layout = str(value.layout)
    return [layout], [getattr(value, way)() for way in _WAYS[layout]]


def _parts_of_quantized(torch: Any, value: Any) -> tuple[list[Any], list[Any]]:
    scheme = value.qscheme()
    if scheme in {torch.per_tensor_affine, torch.per_tensor_symmetric}:
        return [str(scheme), float(value.q_scale()).hex(), int(value.q_zero_point())], [value.int_repr()]
    scales, zeros = value.q_per_channel_scales(), value.q_per_channel_zero_points()
    return [str(scheme), int(value.q_per_channel_axis())], [value.int_repr(), scales, zeros]


def _is_of_its_own_class(torch: Any, value: Any) -> bool:
    """Whether a class answers for its tensors itself, and holds others, as ``DTensor`` does."""
    return type(value).__torch_dispatch__ is not torch.Tensor.__torch_dispatch__


def _inner_tensors(torch: Any, value: Any) -> dict[str, Any]:
    """Return the tensors that one of a class of its own holds, by attribute; none if the class does not tell."""
    from torch.utils._python_dispatch import is_traceable_wrapper_subclass

    if not is_traceable_wrapper_subclass(value):
        return {}
    names, _ = value.__tensor_flatten__()
    inner = {name: getattr(value, name) for name in sorted(names)}
    return {name: part for name, part in inner.items() if isinstance(part, torch.Tensor)}
