"""What layers and their matrices take, told from plans: bytes that are held at once, and operations."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ww_core.compute.memory import OPERATIONS_PER_BYTE
from ww_core.domain.column import Scope
from ww_core.domain.text import excess_text, size_text

if TYPE_CHECKING:
    from ww_core.compute.memory import Memory
    from ww_core.contracts.core_input import CoreInput
    from ww_core.contracts.extractor import MatrixPlan
    from ww_core.domain.layer import Layer
    from ww_core.domain.spectrum import SpectrumKind
    from ww_core.plugins.resolver import Node

MATRIX_BYTES, VALUE_BYTES = 4096, 896
"""Python objects for one matrix, from its subject to its result, and for each of its values on the way to the store."""

KEPT_BYTES, PASSING_BYTES = 16, 96
"""Of each number of a spectrum: itself and its square; and, of one spectrum at a time, the copies that metrics and the
store make."""

THREAD_BYTES = 2**24
"""Blocks that are widened, and what BLAS and the allocator keep, for each thread."""

CPU_PIECE_BYTES = 2**19
"""What the CPU decomposes at once, if one entry is not more."""

SVD_OPERATIONS, VECTOR_OPERATIONS = 8, 16
"""Operations of an SVD, and of one with vectors, for each of the usual route's."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What something takes.

    Attributes:
        kept: Bytes that are held until the layer is done.
        passing: Bytes that are held for a while, at most.
        operations: Operations, roughly.
    """

    kept: int
    passing: int
    operations: int

    def excess(self, memory: Memory) -> str:
        """Say by how much it exceeds what is allowed, and what allows it; empty if it does not."""
        nbytes = self.kept + self.passing
        if nbytes > memory.limit:
            return excess_text(f"{size_text(nbytes)} of memory", size_text(memory.limit), nbytes)
        if self.operations > memory.operations:
            needed = self.operations / OPERATIONS_PER_BYTE
            return excess_text(f"{self.operations:.2g} operations", f"{memory.operations:.2g}", needed)
        return ""


def bytes_together(costs: Sequence[Cost]) -> int:
    """Return the bytes of what is done one after the other, with all that is kept."""
    return sum(own.kept for own in costs) + max((own.passing for own in costs), default=0)


@dataclass(frozen=True, slots=True)
class CostModel:
    """Tells costs under a selection.

    Attributes:
        columns: How many columns a matrix has.
        of_matrix: Inputs that metrics want of the weights of a matrix.
        of_layer: Inputs that they want of the weights of a layer.
        kinds: Spectra that they want.
    """

    columns: int
    of_matrix: tuple[CoreInput, ...]
    of_layer: tuple[CoreInput, ...]
    kinds: tuple[SpectrumKind, ...]

    @classmethod
    def of(cls, nodes: Mapping[str, Node]) -> CostModel:
        """Return that of the nodes of a selection."""
        inputs = {need.core.name: need.core for node in nodes.values() for need in node.needs if need.core is not None}
        metrics = [node.quantity for node in nodes.values() if node.quantity.is_metric]
        return cls(
            columns=sum(len(metric.columns) for metric in metrics if metric.scope is Scope.MATRIX),
            of_matrix=tuple(own for own in inputs.values() if own.scope is Scope.MATRIX and own.copies),
            of_layer=tuple(own for own in inputs.values() if own.scope is Scope.LAYER and own.copies),
            kinds=tuple({kind: None for node in nodes.values() for kind in node.kinds.values()}),
        )

    def objects(self, matrices: int) -> int:
        """Return the bytes of the Python objects that so many matrices are."""
        return matrices * (MATRIX_BYTES + self.columns * VALUE_BYTES)

    def layer(self, layer: Layer, making: int = 0) -> Cost:
        """Return what it takes to read a layer, and to widen its tensors where metrics want that.

        Args:
            layer: The layer.
            making: Bytes that are held while one of its tensors is made.
        """
        copies = sum(own.copies for own in self.of_layer)
        return Cost(sum(spec.nbytes for spec in layer.tensors), 8 * layer.size * copies + making, layer.size)

    def at_most(self, layer: Layer, plan: MatrixPlan) -> int:
        """Return the bytes that one worker takes for a layer and all matrices of a plan, on the CPU, at most."""
        made = self.matrices(
            layer, plan, plan.matrices, self.kinds, CPU_PIECE_BYTES, 1, with_weights=bool(self.of_matrix)
        )
        return bytes_together([self.layer(layer), made])

    def matrices(
        self,
        layer: Layer,
        plan: MatrixPlan,
        count: int,
        kinds: Collection[SpectrumKind],
        piece_bytes: int,
        threads: int,
        *,
        with_weights: bool,
    ) -> Cost:
        """Return what some matrices of a plan take, besides their layer.

        Args:
            layer: Their layer.
            plan: The plan.
            count: How many of them.
            kinds: Spectra that are to be made of each.
            piece_bytes: What a device takes at once, if one entry is not more.
            threads: How many take part at most.
            with_weights: Whether metrics are evaluated that take the weights of a matrix.
        """
        inputs = self.of_matrix if with_weights else ()
        whole = plan.entries * plan.rows * plan.cols * (16 if plan.is_complex else 8)
        making = [_spectrum_bytes(layer, plan, kind, piece_bytes, threads) for kind in kinds]
        making += [own.copies * whole for own in inputs]
        weight = sum(SVD_OPERATIONS if kind.resolution == "full" else 1 for kind in kinds)
        weight += VECTOR_OPERATIONS if any(own.decomposes for own in inputs) else 0
        return Cost(
            kept=self.objects(count) + KEPT_BYTES * plan.n_eigenvalues * count * len(kinds),
            passing=plan.making_bytes + max(making, default=0) + PASSING_BYTES * plan.n_eigenvalues,
            operations=plan.making_operations
            + weight * (plan.operations - plan.making_operations) * count // plan.matrices,
        )


def _spectrum_bytes(layer: Layer, plan: MatrixPlan, kind: SpectrumKind, piece_bytes: int, threads: int) -> int:
    """Bytes that are taken while a spectrum is made: what ``spectrum_of`` says."""
    size, short = plan.rows * plan.cols, min(plan.rows, plan.cols)
    item = 16 if plan.is_complex else 8
    piece = max(size * item, piece_bytes)
    gram = max(short * short * item, piece_bytes)
    held = 4 * piece if kind.resolution == "full" else (6 if plan.is_complex else 3) * gram
    held += 2 * piece if plan.is_complex else 0  # the entries themselves, which are no views of the weight
    pieces = math.ceil(plan.entries * size * item / piece)
    permuted = 0
    if kind.randomized is not None and not plan.is_complex:
        from ww_core.spectral import permuting_bytes  # it imports NumPy

        permuted = permuting_bytes(plan.entries * size, layer.weight.nbytes // layer.weight.size)
    return permuted + min(threads, pieces) * (held + THREAD_BYTES)
