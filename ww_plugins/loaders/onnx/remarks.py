"""What a graph does to weights that are read as they are stored: a sentence for each kind of it, with names."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from ww_core.loading.names import quoted

if TYPE_CHECKING:
    from collections.abc import Callable

    from ww_plugins.loaders.onnx.messages import Tensor

_LISTED = 3


class Remark(StrEnum):
    """What is said of weights, before their names."""

    SCALED = "a node multiplies a weight by its alpha; the weight is read as it is stored, without the factor"
    CUT = "a Cast turns a floating-point weight into whole numbers; the weight is read as it was before"
    GROUPS = "a convolution has groups that do not fit its kernel; the kernel is read as one group"
    ROUNDED = "a QuantizeLinear rounds a weight in a way that is not known; the weight is read as it was before"
    PLAIN_TOO = "a weight is used as it is stored, and rounded by a QuantizeLinear; it is read as in its first use"
    RESCALED = "a quantized weight is used with different scales; it is read with those of its first use"


@dataclass(slots=True)
class Remarks:
    """Remarks, each with the tensors of which it is made."""

    _made: dict[Remark, dict[Tensor, str]] = field(default_factory=dict)

    def add(self, remark: Remark, tensor: Tensor, detail: str = "") -> None:
        """Make a remark on a tensor; of several on one, the first is told."""
        self._made.setdefault(remark, {}).setdefault(tensor, detail)

    def sentences(self, name_of: Callable[[Tensor], str]) -> tuple[str, ...]:
        """Return what the user should see."""
        return tuple(f"{remark}: {_listed(tensors, name_of)}" for remark, tensors in self._made.items())


def _listed(tensors: dict[Tensor, str], name_of: Callable[[Tensor], str]) -> str:
    first = list(tensors.items())[:_LISTED]
    told = [f"{quoted(name_of(tensor))}{f' ({detail})' if detail else ''}" for tensor, detail in first]
    more = len(tensors) - len(told)
    return ", ".join(told) + (f", and {more} more" if more else "")
