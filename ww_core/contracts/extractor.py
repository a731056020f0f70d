"""Matrices of a layer, what an extractor promises of them, and the base class of extractors."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from ww_core.contracts.variant import Variant

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

    from ww_core.domain.layer import Layer


@dataclass(frozen=True, slots=True)
class MatrixPlan:
    """What an extractor will make of a layer, told from the header alone.

    Attributes:
        matrices: How many matrices it will yield; each is a subject with a spectrum of its own.
        entries: How many (rows, cols) arrays are pooled into each of them.
        rows: Rows of an entry.
        cols: Columns of an entry.
        multiplicities: How often each entry counts; None for once each.
        is_complex: Whether the entries are complex.
        scale: Factor between the entries and the matrix they stand for: its weights and singular values are theirs
            times this. It must follow from the extractor's parameters and what ``plan`` may look at.
        gain: Factor between the rounding errors of the weights and those of the entries, as root mean squares: sqrt(n)
            where an entry's numbers are sums of n weights times phases, 1 where they are weights.
        making_bytes: Most bytes that making the matrices takes at any time, besides the weight and the entries that
            are asked for of ``Entries``: arrays that are no views of the weight, tables, what is allocated on the way.
        making_operations: Operations that making all of them takes, roughly.
    """

    matrices: int
    entries: int
    rows: int
    cols: int
    multiplicities: tuple[int, ...] | None = None
    is_complex: bool = False
    scale: float = 1.0
    gain: float = 1.0
    making_bytes: int = 0
    making_operations: int = 0

    @property
    def n_eigenvalues(self) -> int:
        """Eigenvalues in the spectrum of one matrix, multiplicities counted."""
        entries = self.entries if self.multiplicities is None else sum(self.multiplicities)
        return entries * min(self.rows, self.cols)

    @property
    def operations(self) -> int:
        """Operations of making all matrices and their spectra, roughly: Gram matrices and symmetric eigenvalues."""
        short, long = sorted((self.rows, self.cols))
        one = short * short * long + 4 * short**3 // 3
        return self.making_operations + self.matrices * self.entries * one * (4 if self.is_complex else 1)


class Entries(Protocol):
    """A batch of shape (B, rows, cols) that is made piece by piece, because it may not fit in memory as a whole."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The three lengths (B, rows, cols)."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the numbers."""
        ...

    def __getitem__(self, piece: slice, /) -> npt.NDArray[Any]:
        """Make the entries of a slice of step 1, shape (b, rows, cols). Several threads may ask at once."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Matrix:
    """One subject: a batch of equal-shaped entries that share a spectrum.

    Attributes:
        index: Position among the matrices of the layer, from 0.
        entries: Shape (B, rows, cols): an array, a view of the stored dtype where possible, or ``Entries``.
        multiplicities: How often each entry counts, shape (B,); None for once each.
    """

    index: int
    entries: npt.NDArray[Any] | Entries
    multiplicities: npt.NDArray[np.int64] | None = None


class Extractor(Variant):
    """A way to make matrices of a layer. Subclass it as a frozen dataclass whose fields are its parameters.

        @dataclass(frozen=True)
        class Transposed(ww.Extractor):
            name = "transposed"
            version = "1"

            def plan(self, layer): ...
            def matrices(self, weight, layer): ...

    The same plan must follow from the header as from the weight: ``matrices`` yields ``plan(layer).matrices`` objects
    with indices 0, 1, ... in order.

    Results belong to content, so what is made may depend on the weight's shape and dtype, the layer's groups and its
    split alone. The kind may only be used to refuse, and the name and the bias not at all: the same weight elsewhere,
    under another name or kind, shares what is stored.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    key: ClassVar[str] = ""
    """Its first qualified name, ``plugin:name``, if it has moved to another plugin or has another name now."""

    @abstractmethod
    def plan(self, layer: Layer) -> MatrixPlan:
        """Tell what will be made of ``layer``, from its weight's shape and dtype, its groups and its split.

        Raises:
            NotApplicable: This extractor makes nothing of such a layer; the reason says why.
        """

    @abstractmethod
    def matrices(self, weight: npt.NDArray[Any], layer: Layer) -> Iterator[Matrix]:
        """Yield the matrices of ``weight``, shape (out, in / groups, *kernel), in the stored dtype, read-only.

        Of ``layer`` it may look at what ``plan`` may look at. ``Entries`` must be good also when the next matrix was
        asked for; arrays that are no views of ``weight`` are copied before.
        """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if inspect.isabstract(cls):  # a common base of several: those have names
            return
        for attribute in ("name", "version"):
            if not isinstance(getattr(cls, attribute, None), str):
                raise TypeError(f"extractor {cls.__qualname__} must set the class attribute {attribute!r} to a string")
