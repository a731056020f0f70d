"""Tensors and layers of a checkpoint, as its header tells of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

from ww_core.domain.rounding import ROUNDINGS, Rounding

ITEM_SIZES = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}
"""The dtypes ww analyses, with the bytes of one number. Tensors of other dtypes are listed as skipped."""


class LayerKind(StrEnum):
    """What a layer does; it chooses the extractor and nothing else."""

    DENSE = "dense"
    CONV1D = "conv1d"
    CONV2D = "conv2d"
    CONV3D = "conv3d"
    EMBEDDING = "embedding"
    RECURRENT = "recurrent"
    NORM = "norm"
    QKV = "qkv"
    EXPERT = "expert"
    BILINEAR = "bilinear"
    OTHER = "other"

    @property
    def is_convolution(self) -> bool:
        """Whether the weight has kernel axes."""
        return self in {LayerKind.CONV1D, LayerKind.CONV2D, LayerKind.CONV3D}


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One floating-point tensor of a checkpoint.

    Attributes:
        name: Its name there.
        dtype: Its dtype.
        shape: Its canonical shape.
        rounding: How precisely its numbers were stored, where they were something else before they had this dtype, as
            int8 with a scale. It is never finer than that of the dtype, which is the default.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    rounding: Rounding = field(default_factory=Rounding)

    def __post_init__(self) -> None:
        """Add what the dtype says of the rounding."""
        if (own := ROUNDINGS.get(self.dtype)) is not None:  # what could not be read has none
            object.__setattr__(self, "rounding", own.with_at_least(self.rounding))

    @property
    def told_rounding(self) -> str:
        """Its rounding as text; empty where it is that of its dtype."""
        return "" if self.rounding == ROUNDINGS.get(self.dtype, Rounding()) else self.rounding.text

    @property
    def size(self) -> int:
        """Count of numbers."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes as stored."""
        return self.size * ITEM_SIZES[self.dtype]


OF_NO_LAYER = "a buffer, no weight of a layer"
"""Why a buffer is not analysed."""


@dataclass(frozen=True, slots=True)
class SkippedTensor:
    """A tensor that is not analysed, and why.

    Attributes:
        name: Its name there.
        dtype: Its dtype.
        shape: Its shape.
        reason: Why it is not analysed.
        tied_to: Name of the tensor whose numbers these are, or that is made of them; empty if they are its own.
        readable: Whether `Checkpoint.read_bytes` gives its content. One that is tied is the other tensor, and is not.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    reason: str
    tied_to: str = ""
    readable: bool = False

    @property
    def size(self) -> int:
        """Count of its own numbers."""
        return 0 if self.tied_to else math.prod(self.shape)


_TIED = "tied: it is the tensor "


def tied_tensor(name: str, dtype: str, shape: tuple[int, ...], tied_to: str) -> SkippedTensor:
    """Return a tensor that is another one under a second name."""
    return SkippedTensor(name, dtype, shape, f"{_TIED}{tied_to}", tied_to)


def tied_by(reason: str) -> str:
    """Return the name of the tensor that another one is, as its reason tells; empty for any other reason."""
    return reason.removeprefix(_TIED) if reason.startswith(_TIED) else ""


_BLOCKS = "rows/"


def split_into(blocks: int) -> str:
    """Return the rule by which the rows of a weight fall into equal blocks, one after another; none for one block."""
    return f"{_BLOCKS}{blocks}" if blocks > 1 else ""


@dataclass(frozen=True, slots=True)
class Layer:
    """A named place in a checkpoint.

    Attributes:
        name: The model's own dotted name, without ``.weight``.
        kind: What the layer does.
        weight: The weight tensor, in the layout (out, in / groups, *kernel).
        bias: The bias tensor, if there is one.
        groups: Count of groups of a grouped convolution. It comes from the source or the user; nothing guesses it.
        split: The rule by which a fused weight falls into several matrices; empty for none. See `split_into`.
    """

    name: str
    kind: LayerKind
    weight: TensorSpec
    bias: TensorSpec | None = None
    groups: int = 1
    split: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the weight in the canonical layout."""
        return self.weight.shape

    @property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """The weight, and the bias if there is one."""
        return (self.weight,) if self.bias is None else (self.weight, self.bias)

    @property
    def blocks(self) -> int:
        """Into how many blocks of equally many rows the weight falls."""
        count = self.split.removeprefix(_BLOCKS)
        return int(count) if count != self.split and count.isdecimal() else 1

    @property
    def size(self) -> int:
        """Count of numbers in weight and bias."""
        return self.weight.size + (self.bias.size if self.bias else 0)


@dataclass(frozen=True, slots=True)
class LayerContent:
    """A layer without its name: what the core input ``layer`` gives to a metric.

    Results belong to content: two layers of equal content share their values, so a metric cannot see the name.
    """

    kind: LayerKind
    shape: tuple[int, ...]
    dtype: str
    groups: int
    has_bias: bool

    @classmethod
    def of(cls, layer: Layer) -> LayerContent:
        """Return what is left of ``layer`` without its name."""
        return cls(layer.kind, layer.shape, layer.weight.dtype, layer.groups, layer.bias is not None)
