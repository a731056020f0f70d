"""Weights that are matrices already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ww_core as ww
from ww_plugins.extractors.adjustable import Adjustable

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt


@dataclass(frozen=True)
class MatrixExtractor(Adjustable):
    """The weight itself where it has two axes, or its blocks of rows where it is split; one matrix per expert.

    Experts are stacked along a third axis, before the others.
    """

    name = "matrix"
    version = "1"

    def plan(self, layer: ww.Layer) -> ww.MatrixPlan:
        """One matrix of the weight's shape, as many as it has blocks, or (experts, out, in) as that many.

        Raises:
            NotApplicable: The weight is a number, a vector, a kernel, empty, or beyond a limit.
        """
        match layer.shape:
            case (0,):
                raise ww.NotApplicable(
                    "a weight of shape (0,) holds no numbers: it may stand for a parameter whose parts are in other "
                    "files, as DeepSpeed ZeRO-3 writes it, to be joined by its zero_to_fp32.py"
                )
            case () | (_,):
                raise ww.NotApplicable(f"a {'vector' if layer.shape else 'number'} has no spectrum")
            case (rows, cols):
                matrices, rows = layer.blocks, rows // layer.blocks
            case (matrices, rows, cols) if layer.kind in {ww.LayerKind.EXPERT, ww.LayerKind.BILINEAR}:
                pass
            case _:
                raise ww.NotApplicable(
                    f"matrix takes weights with two axes; this {layer.kind} weight has {len(layer.shape)}"
                )
        if 0 in layer.shape:
            raise ww.NotApplicable(f"a weight of shape {'x'.join(map(str, layer.shape))} is empty")
        return self.adjusted(ww.MatrixPlan(matrices=matrices, entries=1, rows=rows, cols=cols))

    def matrices(self, weight: npt.NDArray[Any], layer: ww.Layer) -> Iterator[ww.Matrix]:
        """Yield views of ``weight``."""
        by_matrix = weight.reshape(-1, weight.shape[-2] // layer.blocks, weight.shape[-1])
        for index in range(by_matrix.shape[0]):
            yield ww.Matrix(index, by_matrix[index : index + 1])
