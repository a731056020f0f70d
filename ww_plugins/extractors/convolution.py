"""Three ways to see a convolution's kernel, shape (out, in / groups, *kernel), as matrices."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ww_core as ww
from ww_plugins.extractors.adjustable import Adjustable

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

KERNEL_AXES = {"conv1d": 1, "conv2d": 2, "conv3d": 3}


@dataclass(frozen=True)
class Pool(Adjustable):
    """One spectrum of all kernel slices: the (out / groups, in / groups) matrices of all groups and positions."""

    name = "pool"
    version = "1"

    def plan(self, layer: ww.Layer) -> ww.MatrixPlan:
        """One matrix with an entry for each group and kernel position.

        Raises:
            NotApplicable: The layer is no convolution that falls into its groups, is empty, or is beyond a limit.
        """
        groups, positions, rows, cols = slices_of(self.name, layer)
        copied = layer.weight.nbytes if groups > 1 else 0
        plan = ww.MatrixPlan(matrices=1, entries=groups * positions, rows=rows, cols=cols, making_bytes=copied)
        return self.adjusted(plan, positions)

    def matrices(self, weight: npt.NDArray[Any], layer: ww.Layer) -> Iterator[ww.Matrix]:
        """Yield the one batch: group outer, kernel position inner. A view, or a copy if there are groups."""
        slices = _by_position(weight, layer.groups)
        yield ww.Matrix(0, slices.reshape(-1, *slices.shape[2:]))


@dataclass(frozen=True)
class Slice(Adjustable):
    """One spectrum for each kernel slice: group outer, kernel position in C order inner."""

    name = "slice"
    version = "1"

    def plan(self, layer: ww.Layer) -> ww.MatrixPlan:
        """A matrix for each group and kernel position.

        Raises:
            NotApplicable: The layer is no convolution that falls into its groups, is empty, or is beyond a limit.
        """
        groups, positions, rows, cols = slices_of(self.name, layer)
        plan = ww.MatrixPlan(matrices=groups * positions, entries=1, rows=rows, cols=cols)
        return self.adjusted(plan, positions)

    def matrices(self, weight: npt.NDArray[Any], layer: ww.Layer) -> Iterator[ww.Matrix]:
        """Yield views of ``weight``."""
        slices = _by_position(weight, layer.groups)
        groups, positions = slices.shape[:2]
        for index in range(groups * positions):
            group, position = divmod(index, positions)
            yield ww.Matrix(index, slices[group, position : position + 1])


@dataclass(frozen=True)
class Stack(Adjustable):
    """One spectrum of the kernel slices stacked on each other: a (positions * out / groups, in / groups) matrix.

    Groups are entries of one batch: the operator is block-diagonal, and its spectrum is the union of the blocks'.
    """

    name = "stack"
    version = "1"

    def plan(self, layer: ww.Layer) -> ww.MatrixPlan:
        """One matrix with an entry for each group.

        Raises:
            NotApplicable: The layer is no convolution that falls into its groups, is empty, or is beyond a limit.
        """
        groups, positions, rows, cols = slices_of(self.name, layer)
        copied = layer.weight.nbytes if positions > 1 else 0
        plan = ww.MatrixPlan(matrices=1, entries=groups, rows=positions * rows, cols=cols, making_bytes=copied)
        return self.adjusted(plan, positions)

    def matrices(self, weight: npt.NDArray[Any], layer: ww.Layer) -> Iterator[ww.Matrix]:
        """Yield the one batch, a copy in the stored dtype unless the kernel has one position."""
        slices = _by_position(weight, layer.groups)
        groups, positions, rows, cols = slices.shape
        yield ww.Matrix(0, slices.reshape(groups, positions * rows, cols))


def slices_of(extractor: str, layer: ww.Layer) -> tuple[int, int, int, int]:
    """Return groups, kernel positions, rows and columns of the kernel slices of ``layer``.

    Raises:
        NotApplicable: The layer is no convolution that falls into its groups, or is empty.
    """
    if not layer.kind.is_convolution:
        raise ww.NotApplicable(f"{extractor} takes convolutions; layer is {layer.kind}")
    axes = 2 + KERNEL_AXES[layer.kind]
    if len(layer.shape) != axes:
        raise ww.NotApplicable(f"a {layer.kind} weight has {axes} axes; this one has {len(layer.shape)}")
    out, cols, *kernel = layer.shape
    if 0 in layer.shape:
        raise ww.NotApplicable(f"a weight of shape {'x'.join(map(str, layer.shape))} is empty")
    if layer.groups < 1 or out % layer.groups:
        raise ww.NotApplicable(f"{out} output channels do not fall into {layer.groups} groups")
    return layer.groups, math.prod(kernel), out // layer.groups, cols


def _by_position(weight: npt.NDArray[Any], groups: int) -> npt.NDArray[Any]:
    """View of ``weight`` as (groups, kernel positions, out / groups, in / groups)."""
    out, cols = weight.shape[:2]
    return weight.reshape(groups, out // groups, cols, -1).transpose(0, 3, 1, 2)
