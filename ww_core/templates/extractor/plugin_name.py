"""An extractor: what a convolution does to a constant input."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import ww_core as ww

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt


@dataclass(frozen=True)
class ObjectName(ww.Extractor):
    """The sum of the slices of a convolution's kernel: its operator at frequency zero, one entry for each group."""

    name = "object-name"
    version = "1"

    def plan(self, layer: ww.Layer) -> ww.MatrixPlan:
        """One matrix with an entry for each group.

        Raises:
            NotApplicable: The layer is no convolution that falls into its groups, or is empty.
        """
        if not layer.kind.is_convolution or len(layer.shape) < 3:
            raise ww.NotApplicable("it takes convolutions with a kernel")
        out, cols, *kernel = layer.shape
        if 0 in layer.shape or layer.groups < 1 or out % layer.groups:
            raise ww.NotApplicable(f"a weight of shape {layer.shape} does not fall into {layer.groups} groups")
        return ww.MatrixPlan(
            matrices=1,
            entries=layer.groups,
            rows=out // layer.groups,
            cols=cols,
            gain=math.sqrt(math.prod(kernel)),  # errors of so many weights add up in each number
            making_bytes=8 * (out * cols + np.getbufsize()),  # what NumPy sums in other precision passes a buffer
            making_operations=math.prod(layer.shape),
        )

    def matrices(self, weight: npt.NDArray[Any], layer: ww.Layer) -> Iterator[ww.Matrix]:
        """Yield the one batch, in double precision."""
        out, cols = weight.shape[:2]
        slices = weight.reshape(layer.groups, out // layer.groups, cols, -1)
        yield ww.Matrix(0, slices.sum(axis=3, dtype=np.float64))


@ww.hookimpl
def ww_register_extractors() -> list[type[ww.Extractor]]:
    """The extractors of this plugin: classes, since a variant is the class with its parameters."""
    return [ObjectName]
