"""The functions of PyTorch that the code of TorchScript calls: at which place of a call which tensor stands."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import ww_core as ww

if TYPE_CHECKING:
    from collections.abc import Mapping

NUMBERED = re.compile(r"\.___torch_mangle_[0-9]+")
"""What PyTorch puts into the names of types and functions that would else have one name."""


class Use(NamedTuple):
    """What a tensor is the weight of.

    Attributes:
        kind: What the call does.
        groups: Of a convolution; the name of the attribute that holds their number; 0 if neither is told.
        turned: Whether its two axes are (in, out) as it is stored.
    """

    kind: ww.LayerKind
    groups: int | str = 1
    turned: bool = False


class Place(NamedTuple):
    """Where a call has a weight and its bias, and the kind that this tells, as `kind_of` reads it."""

    weight: int
    bias: int
    kind: str


_F = "__torch__.torch.nn.functional"
_NONE = 1_000_000  # a place that no call has
_MANY_HEADS = (
    Place(3, 4, "qkv"), Place(5, 6, "dense"), Place(10, 11, "norm"), Place(12, 13, "norm"),
    Place(14, 15, "dense"), Place(16, 17, "dense"),
)  # fmt: skip

CALLS: Mapping[str, tuple[Place, ...]] = {
    **{f"torch.conv{axes}d": (Place(1, 2, f"conv{axes}d"),) for axes in (1, 2, 3)},
    **{f"torch.conv_transpose{axes}d": (Place(1, 2, f"conv{axes}d"),) for axes in (1, 2, 3)},
    **dict.fromkeys(("torch._convolution", "torch.convolution", "torch._convolution_mode"), (Place(1, 2, "conv"),)),
    "torch.linear": (Place(1, 2, "dense"),), f"{_F}.linear": (Place(1, 2, "dense"),),
    "torch.bilinear": (Place(2, 3, "bilinear"),), f"{_F}.bilinear": (Place(2, 3, "bilinear"),),
    "torch.embedding": (Place(0, _NONE, "embedding"),), f"{_F}.embedding": (Place(1, _NONE, "embedding"),),
    "torch.embedding_bag": (Place(0, _NONE, "embedding"),), f"{_F}.embedding_bag": (Place(1, _NONE, "embedding"),),
    "torch.batch_norm": (Place(1, 2, "norm"),), f"{_F}.batch_norm": (Place(3, 4, "norm"),),
    "torch.instance_norm": (Place(1, 2, "norm"),), f"{_F}.instance_norm": (Place(3, 4, "norm"),),
    "torch.layer_norm": (Place(2, 3, "norm"),), f"{_F}.layer_norm": (Place(2, 3, "norm"),),
    "torch.native_layer_norm": (Place(2, 3, "norm"),),
    "torch.group_norm": (Place(2, 3, "norm"),), f"{_F}.group_norm": (Place(2, 3, "norm"),),
    "torch.rms_norm": (Place(2, _NONE, "norm"),), f"{_F}.rms_norm": (Place(2, _NONE, "norm"),),
    **{f"torch.{name}_cell": (Place(2, 4, "recurrent"), Place(3, 5, "recurrent"))
       for name in ("lstm", "gru", "rnn_tanh", "rnn_relu")},
    "torch._native_multi_head_attention": (Place(5, 6, "qkv"), Place(7, 8, "dense")),
    "torch._transformer_encoder_layer_fwd": _MANY_HEADS,
    f"{_F}.multi_head_attention_forward": (Place(5, 6, "qkv"), Place(11, 12, "dense")),
}  # fmt: skip
"""The weights of each call."""

GROUPS: Mapping[str, int] = {
    **{f"torch.conv{axes}d": 6 for axes in (1, 2, 3)},
    **{f"torch.conv_transpose{axes}d": 6 for axes in (1, 2, 3)},
    "torch._convolution": 8, "torch.convolution": 8, "torch._convolution_mode": 6,
}  # fmt: skip
"""Where a call has the groups of a convolution; they are 1 if it ends before."""

WITH_STATISTICS: Mapping[str, tuple[int, int]] = {
    "torch.batch_norm": (3, 4), "torch.instance_norm": (3, 4),
    f"{_F}.batch_norm": (1, 2), f"{_F}.instance_norm": (1, 2),
}  # fmt: skip
"""Where a norm has its running mean and variance."""

RECURRENT = frozenset({"torch.lstm", "torch.gru", "torch.rnn_tanh", "torch.rnn_relu"})
"""What gets its tensors in one list."""

KEPT: Mapping[str, int] = {
    "torch.contiguous": 0, "torch.detach": 0, "torch.alias": 0, "torch.to": 0, "unchecked_cast": 1,
    "ops.prim.unchecked_cast": 1,
}  # fmt: skip
"""What gives a tensor as it was, and where it is in the call."""

TRANSPOSES = frozenset({"torch.t", "torch.numpy_T", "torch.transpose", "torch.permute", "torch.adjoint"})
"""What exchanges the axes of a matrix, whatever else is said in the call: a matrix has no others."""

NOT_STORED = frozenset({"ops.prim.ConstantMKLDNNTensor"})
"""Tensors in a layout of MKLDNN, which PyTorch does not write."""

_CONVOLUTIONS = {1: ww.LayerKind.CONV1D, 2: ww.LayerKind.CONV2D, 3: ww.LayerKind.CONV3D}


def kind_of(named: str, strides: object = None) -> ww.LayerKind | None:
    """Return a kind by its name in a `Place`; that of ``conv`` by the axes of its strides, None if they are untold."""
    if named == "conv":
        return _CONVOLUTIONS.get(len(strides)) if isinstance(strides, list) else None
    return ww.LayerKind(named)
