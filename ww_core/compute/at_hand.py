"""What there is of a layer, of a matrix, or of a model, for the quantities that ask for core inputs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ww_core.compute.evaluate import Lost, fresh
from ww_core.domain.column import Scope
from ww_core.domain.identity import random_key
from ww_core.domain.read_only import read_only
from ww_core.errors import NotApplicable, NoValue, Refused

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ww_core.contracts.core_input import CoreInput
    from ww_core.contracts.extractor import Matrix, MatrixPlan
    from ww_core.domain.layer import Layer, TensorSpec
    from ww_core.domain.spectrum import Spectrum, SpectrumKind
    from ww_core.domain.subject import MatrixPlace, MatrixSubject
    from ww_core.plugins.resolver import Node


class LayerAtHand:
    """A layer.

    Args:
        layer: Its header.
        digest: Digest of its subject, from which its randomness comes.
        seed: Seed of the selection.
        read: Gives a tensor in its stored dtype, read-only; raises Lost where that cannot be.
    """

    def __init__(self, layer: Layer, digest: str, seed: int, read: Callable[[TensorSpec], npt.NDArray[Any]]) -> None:
        self.layer = layer
        self.seed = seed
        self._digest = digest
        self.read = read

    def __call__(self, own: CoreInput, node: Node) -> Any:
        """Give a core input to a node."""
        return own.of(self, node)

    def generator(self, key: str) -> np.random.Generator:
        """Return the random numbers of a quantity."""
        return generator(self._digest, 0, key, self.seed)

    def stored(self, spec: TensorSpec | None) -> npt.NDArray[Any]:
        """Return the weight or the bias in its stored dtype.

        Raises:
            NotApplicable: The layer has none, or it holds no number.
            Lost: It cannot be read.
        """
        if spec is None:
            raise NotApplicable("the layer has no bias")
        if spec.size == 0:
            raise NotApplicable(f"the tensor has shape {spec.shape}: it holds no number")
        return self.read(spec)

    def wide(self, spec: TensorSpec | None) -> npt.NDArray[Any]:
        """Return the same in double precision."""
        return _wide(self.stored(spec))


class SpectrumAtHand:
    """A spectrum as metrics see it. All of them see the same arrays, which are stored too: nobody can write to them."""

    def __init__(self, spectrum: Spectrum, subject: MatrixSubject) -> None:
        self._spectrum = spectrum
        self._subject = subject
        self.singular_values = read_only(spectrum.singular_values)
        self.noise_floor = spectrum.noise_floor
        self.precision = spectrum.precision
        self.randomized = spectrum.randomized

    @property
    def permutation_digest(self) -> str:
        """Key of the permutation before, 32 hex digits; empty for the matrix itself."""
        if self.randomized is None:
            return ""
        return self.randomized.key(self._subject.tensor, self._subject.index).hex()

    @functools.cached_property
    def eigenvalues(self) -> npt.NDArray[np.float64]:
        """Squared singular values, shape (n,), descending.

        Raises:
            Refused: Their range is not that of float64.
        """
        import numpy as np

        largest = float(self.singular_values[0]) if self.singular_values.size else 0.0
        if largest > 0 and not np.finfo(np.float64).tiny <= largest * largest < np.inf:
            raise Refused(f"the largest eigenvalue, {largest:g} squared, is outside the range of float64")
        return read_only(self._spectrum.eigenvalues)


class MatrixAtHand:
    """A matrix of a layer.

    Args:
        layer: The layer.
        plan: What the extractor promised.
        subject: The subject.
        spectra: Those of its spectra that there are.
        make: Makes the matrix; raises Lost where that cannot be.

    Attributes:
        new_spectra: Those that were made, which are stored.
        is_tried: Whether one of the matrix itself was made, or cannot be.
    """

    def __init__(
        self,
        layer: LayerAtHand,
        plan: MatrixPlan,
        subject: MatrixSubject,
        spectra: Iterable[Spectrum],
        make: Callable[[], Matrix],
    ) -> None:
        self.layer = layer
        self.plan = plan
        self.subject = subject
        self._make = make
        self._matrix: Matrix | None = None
        self._vectors: dict[bool, tuple[npt.NDArray[Any], npt.NDArray[Any]]] = {}
        self._spectra: dict[SpectrumKind, SpectrumAtHand | NoValue | Lost] = {}
        self.new_spectra: list[Spectrum] = []
        self.is_tried = False
        for spectrum in spectra:
            self.take(spectrum.kind, spectrum)

    @property
    def nbytes(self) -> int:
        """Bytes of all its entries in double precision."""
        size = self.plan.entries * self.plan.rows * self.plan.cols
        return size * (16 if self.plan.is_complex else 8)

    def __call__(self, own: CoreInput, node: Node) -> Any:
        """Give a core input of the matrix, or of its layer, to a node."""
        return own.of(self.layer if own.scope is Scope.LAYER else self, node)

    def take(self, kind: SpectrumKind, spectrum: Spectrum | NoValue | Lost) -> None:
        """Have a spectrum at hand from now on, or the reason why there is none."""
        if isinstance(spectrum, Exception):
            self._spectra[kind] = fresh(spectrum)
        else:
            self._spectra[kind] = SpectrumAtHand(spectrum, self.subject)

    def take_new(self, kind: SpectrumKind, spectrum: Spectrum | NoValue) -> None:
        """Have at hand what came of making a spectrum."""
        self.is_tried |= kind.randomized is None
        self.take(kind, spectrum)
        if not isinstance(spectrum, Exception):
            self.new_spectra.append(spectrum)

    def has(self, kind: SpectrumKind) -> bool:
        """Tell whether a spectrum is at hand, or known not to be."""
        return kind in self._spectra

    def spectrum(self, kind: SpectrumKind) -> SpectrumAtHand:
        """Return a spectrum.

        Raises:
            NoValue: There is none.
            Lost: An exception cost it, or it was not made.
        """
        spectrum = self._spectra.get(kind)
        if spectrum is None:
            raise Lost(f"the spectrum of {kind.resolution} resolution")
        if isinstance(spectrum, Exception):
            raise fresh(spectrum)
        return spectrum

    def generator(self, key: str) -> np.random.Generator:
        """Return the random numbers of a quantity."""
        return generator(self.subject.tensor, self.subject.index, key, self.layer.seed)

    def multiplicities(self) -> npt.NDArray[np.int64]:
        """Return how often each entry counts, shape (B,), read-only."""
        import numpy as np

        counts = self.plan.multiplicities
        array = np.ones(self.plan.entries, np.int64) if counts is None else np.array(counts, np.int64)
        return read_only(array)

    def made(self) -> Matrix:
        """Return what the extractor makes; it is held until ``let_go``.

        Raises:
            NoValue: It makes nothing of this weight after all.
            Lost: The tensor cannot be read, or the extractor broke its promise.
        """
        if self._matrix is None:
            self._matrix = self._make()
        return self._matrix

    def let_go(self) -> None:
        """Hold no numbers any more, short of spectra."""
        self._matrix = None
        self._vectors.clear()

    def matrix(self, batched: bool) -> npt.NDArray[Any]:
        """Return the numbers in double precision, (B, rows, cols) or, if not batched, (rows, cols).

        Raises:
            NotApplicable: Several matrices are pooled, and the quantity is of one.
            NoValue: As for ``made``.
            Lost: As for ``made``.
        """
        count = self.plan.entries
        if count != 1 and not batched:
            raise NotApplicable(
                f"{count} matrices are pooled here: a metric of one matrix needs an extractor that keeps them apart, "
                "or batched=True"
            )
        wide = _wide(self.made().entries[0:count], self.plan.scale)
        return wide if batched else wide[0]

    def singular_vectors(self, batched: bool) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Return the left and the right singular vectors as columns, (B, rows, M) and (B, cols, M), or without B.

        They stand in the order of descending singular values of each entry. Made at the first call.

        Raises:
            NotApplicable: As for ``matrix``.
            Refused: A weight is NaN or infinite.
            NoValue: As for ``made``.
            Lost: As for ``made``.
        """
        import numpy as np

        from ww_core.spectral.blocks import all_finite, non_finite

        kept = self._vectors.get(batched)
        if kept is None:
            entries = self.matrix(batched)
            if not all_finite(entries):
                raise non_finite(entries)
            left, _, right = np.linalg.svd(entries, full_matrices=False)
            kept = self._vectors[batched] = read_only(left), read_only(right.conj().mT)
        return kept


class ModelAtHand:
    """A model, of which metrics see headers and columns.

    Args:
        layers: Its layers, in order.
        matrices: Places of its matrices, in order.
        digest: Digest of its subject.
        seed: Seed of the selection.
    """

    def __init__(self, layers: tuple[Layer, ...], matrices: tuple[MatrixPlace, ...], digest: str, seed: int) -> None:
        self.layers = layers
        self.matrices = matrices
        self._digest = digest
        self._seed = seed

    def __call__(self, own: CoreInput, node: Node) -> Any:
        """Give a core input to a node."""
        return own.of(self, node)

    def generator(self, key: str) -> np.random.Generator:
        """Return the random numbers of a quantity."""
        return generator(self._digest, 0, key, self._seed)


def generator(content: str, index: int, name: str, seed: int) -> np.random.Generator:
    """Return the generator of a metric on a piece of content: the same wherever and whenever it runs."""
    import numpy as np

    key = np.frombuffer(random_key(content, index, name, seed), dtype="<u8")
    return np.random.Generator(np.random.Philox(key=key))


def _wide(array: npt.NDArray[Any], scale: float = 1.0) -> npt.NDArray[Any]:
    import numpy as np

    wide = np.array(array, dtype=np.complex128 if np.iscomplexobj(array) else np.float64)
    if scale != 1.0:
        wide *= scale
    wide.flags.writeable = False
    return wide
