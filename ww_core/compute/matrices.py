"""The matrices that an extractor makes of a layer, each of which is what it promised."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ww_core.compute.evaluate import Lost, fresh
from ww_core.domain.report import Failure
from ww_core.errors import NoValue
from ww_core.plugins.isolation import all_but_interrupts, sentence_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ww_core.compute.at_hand import LayerAtHand
    from ww_core.contracts.extractor import Entries, Matrix, MatrixPlan
    from ww_core.plugins.selection import ExtractorVariant


class MatrixSequence:
    """The matrices that a variant makes of a layer, in order, as far as they are asked for. It holds none of them.

    Args:
        layer: The layer.
        variant: The extractor.
        plan: What it promised.
        failures: Where exceptions are recorded.
    """

    def __init__(
        self, layer: LayerAtHand, variant: ExtractorVariant, plan: MatrixPlan, failures: list[Failure]
    ) -> None:
        self._layer = layer
        self._variant = variant
        self._plan = plan
        self._failures = failures
        self._remaining: Iterator[Matrix] | None = None
        self._next_index = 0
        self._missing: NoValue | Lost | None = None

    def __getitem__(self, index: int) -> Matrix:
        """Return the matrix of an index, each at most once and in order.

        Raises:
            NoValue: The extractor makes nothing of this weight after all.
            Lost: The tensor could not be read, or the extractor broke its promise.
        """
        if self._missing is not None:
            raise fresh(self._missing)
        while True:
            matrix = self._next(self._next_index)
            self._next_index += 1
            if matrix.index == index:
                return matrix

    def _next(self, index: int) -> Matrix:
        import numpy as np

        weight = self._layer.read(self._layer.layer.weight)
        try:
            if self._remaining is None:
                self._remaining = iter(self._variant.extractor.matrices(weight, self._layer.layer))
            matrix = next(self._remaining)
            shape = (self._plan.entries, self._plan.rows, self._plan.cols)
            if matrix.index != index or matrix.entries.shape != shape:
                raise ValueError(f"it promised {shape} at {index} and made {matrix.entries.shape} at {matrix.index}")
            if (matrix.entries.dtype.kind == "c") != self._plan.is_complex:
                raise ValueError(f"it promised is_complex={self._plan.is_complex} and made {matrix.entries.dtype}")
            if not _same_counts(self._plan.multiplicities, matrix.multiplicities):
                raise ValueError("it made other multiplicities than it promised")
        except NoValue as missing:
            self._missing = fresh(missing)
            raise
        except StopIteration:
            raise self.lost("it made fewer matrices than it promised") from None
        except all_but_interrupts() as error:
            raise self.lost(sentence_of(error, self._variant.extractor)) from None
        if isinstance(matrix.entries, np.ndarray):
            if self._plan.matrices > 1 and not np.may_share_memory(matrix.entries, weight):
                # Several are held at a time, and an extractor may fill one buffer again and again.
                return replace(matrix, entries=matrix.entries.copy(order="K"))
            return matrix
        return replace(matrix, entries=_CheckedEntries(matrix.entries, self.lost))

    def close(self) -> None:
        """Let go of the weight, which an extractor holds that could make one more matrix of it; ask for none then."""
        self._remaining = None

    def lost(self, text: str) -> Lost:
        """Record that the extractor failed, once, and return what is raised from then on."""
        if self._missing is None:
            name = self._layer.layer.name
            self._failures.append(Failure("extract", self._variant.qualified, name, text))
            self._missing = Lost(text)
        return Lost(text)


class _CheckedEntries:
    """Entries of a plugin, each piece of which is what they said it would be."""

    def __init__(self, entries: Entries, lost: Callable[[str], Lost]) -> None:
        self.shape = entries.shape
        self.dtype = entries.dtype
        self._entries = entries
        self._lost = lost

    def __getitem__(self, piece: slice, /) -> npt.NDArray[Any]:
        try:
            made = self._entries[piece]
            start, stop, _ = piece.indices(self.shape[0])
            shape = (stop - start, *self.shape[1:])
            if (type(made).__name__, made.shape, made.dtype) != ("ndarray", shape, self.dtype):
                raise TypeError(
                    f"its entries {start} to {stop} were to be an array of {self.dtype} {shape}, and are "
                    f"{type(made).__name__} of {made.dtype} {made.shape}"
                )
        except NoValue:
            raise
        except all_but_interrupts() as error:
            raise self._lost(sentence_of(error, self._entries)) from None
        return made


def _same_counts(promised: Sequence[int] | None, made: npt.NDArray[np.int64] | None) -> bool:
    import numpy as np

    return made is None if promised is None else made is not None and np.array_equal(promised, made)
