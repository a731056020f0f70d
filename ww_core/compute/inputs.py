"""Core inputs of a layer and of its matrices, read and computed on demand, one layer at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ww_core.compute.evaluate import Lost, fresh
from ww_core.domain.identity import digest_of
from ww_core.domain.layer import Layer, LayerContent, TensorSpec
from ww_core.domain.report import Failure
from ww_core.domain.rounding import ROUNDINGS
from ww_core.errors import NotApplicable, NoValue, Refused
from ww_core.plugins.isolation import RAISED, sentence_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ww_core.compute.reading import Read
    from ww_core.contracts.device import Device
    from ww_core.contracts.extractor import Entries, Matrix, MatrixPlan
    from ww_core.contracts.loader import Checkpoint
    from ww_core.domain.spectrum import Resolution, Spectrum
    from ww_core.domain.subject import MatrixSubject
    from ww_core.plugins.resolver import Node
    from ww_core.plugins.selection import ExtractorVariant

FROM_SPECTRUM = frozenset({"singular_values", "eigenvalues", "noise_floor", "epsilon"})
"""Core inputs of a matrix that its spectrum gives, be it fresh or stored."""


class LayerInputs:
    """The tensors of one layer, each read when it is first needed and held until ``close``.

    Args:
        checkpoint: Where they are read from.
        read: Reads one of them.
        layer: The layer.
        seed: Seed of the selection.
        digest: Digest of the layer subject, from which its randomness comes.
        failures: Where exceptions are recorded.
        decompose: Makes a spectrum: ``spectrum_of`` with precision, device and share fixed.
        device: The device, which is to blame where it raises.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        read: Read,
        layer: Layer,
        seed: int,
        digest: str,
        failures: list[Failure],
        decompose: Callable[..., Spectrum],
        device: Device,
    ) -> None:
        self.layer = layer
        self.decompose = decompose
        self.device = device
        self.seed = seed
        self.failures = failures
        self._digest = digest
        self._checkpoint = checkpoint
        self._read = read
        self._open = ExitStack()
        self._arrays: dict[str, npt.NDArray[Any] | Lost] = {}

    def close(self) -> None:
        """Let go of what was read."""
        self._arrays.clear()
        self._open.close()

    def stored(self, spec: TensorSpec) -> npt.NDArray[Any]:
        """Return a tensor in its stored dtype, read-only.

        Raises:
            Lost: It could not be read; the failure is recorded once.
        """
        if spec.name not in self._arrays:
            try:
                self._arrays[spec.name] = self._open.enter_context(self._read(spec))
            except RAISED as error:
                sentence = sentence_of(error, self._checkpoint)
                self.failures.append(Failure("read", self._checkpoint.format, spec.name, sentence))
                self._arrays[spec.name] = Lost(spec.name)
        array = self._arrays[spec.name]
        if isinstance(array, Lost):
            raise fresh(array)
        return array

    def __call__(self, name: str, node: Node) -> Any:
        """Give a core input of the layer."""
        if name == "rng":
            return generator(self._digest, 0, node.key, self.seed)
        if name == "layer":
            return LayerContent.of(self.layer)
        array = self.stored(tensor_behind(name, self.layer))
        return array if name.startswith("stored_") else _float64(array)


def tensor_behind(name: str, layer: Layer) -> TensorSpec:
    """Return the tensor that a core input such as ``stored_weight`` gives, from the header alone.

    Raises:
        NotApplicable: The layer has none, or it holds no number.
    """
    spec = layer.weight if name.endswith("weight") else layer.bias
    if spec is None:
        raise NotApplicable("the layer has no bias")
    if spec.size == 0:
        raise NotApplicable(f"the tensor has shape {spec.shape}: it holds no number")
    return spec


class MatrixInputs:
    """One matrix of a layer, its spectra made when they are first needed.

    Args:
        layer: The layer's inputs.
        matrices: Gives the matrix itself.
        plan: What the extractor promised.
        subject: The subject.
        spectra: Those of its spectra that are stored.
    """

    def __init__(
        self,
        layer: LayerInputs,
        matrices: MatrixSequence,
        plan: MatrixPlan,
        subject: MatrixSubject,
        spectra: Sequence[Spectrum],
    ) -> None:
        self._layer = layer
        self._matrices = matrices
        self._plan = plan
        self._subject = subject
        self._spectra: dict[Resolution, Spectrum | NoValue | Lost] = {}
        for spectrum in spectra:
            # A spectrum from the store is as read-only as a fresh one, also after a journey to another process.
            spectrum.singular_values.flags.writeable = False
            self._spectra[spectrum.resolution] = spectrum
        self.computed: list[Spectrum] = []
        self.attempted = False

    def __call__(self, name: str, node: Node) -> Any:
        """Give a core input of the matrix, or of its layer."""
        match name:
            case "n_rows":
                return self._plan.rows
            case "n_cols":
                return self._plan.cols
            case "rng":
                return generator(self._subject.tensor, self._subject.index, node.key, self._layer.seed)
            case "matrix":
                return self._matrix(batched=node.quantity.batched)
            case "singular_values":
                return self._spectrum(node.quantity.resolution).singular_values
            case "noise_floor":
                return self._spectrum(node.quantity.resolution).noise_floor
            case "epsilon":
                return ROUNDINGS[self._spectrum(node.quantity.resolution).precision].epsilon
            case "eigenvalues":
                return _eigenvalues(self._spectrum(node.quantity.resolution))
            case "randomized_eigenvalues":
                return self._randomized(node.quantity.resolution)
            case _:
                return self._layer(name, node)

    def _matrix(self, *, batched: bool) -> npt.NDArray[Any]:
        entries = self._matrices[self._subject.index].entries
        count = entries.shape[0]
        if count != 1 and not batched:
            raise NotApplicable(
                f"{count} matrices are pooled here: a metric of one matrix needs an extractor that keeps them apart, "
                "or batched=True"
            )
        wide = _float64(entries[0:count], self._plan.scale)
        return wide if batched else wide[0]

    def _spectrum(self, resolution: Resolution) -> Spectrum:
        if resolution not in self._spectra:
            matrix = self._matrices[self._subject.index]
            try:
                self._spectra[resolution] = self._decompose(matrix.entries, matrix.multiplicities, resolution)
                self.computed.append(self._spectrum(resolution))
                self.attempted = True
            except NoValue as missing:
                self._spectra[resolution] = fresh(missing)
                self.attempted = True
            except Lost:
                raise
            except RAISED as error:  # such as too little memory: said once, not tried by each metric
                lost = Lost(f"spectrum: {sentence_of(error, self._layer.device)}")
                self._layer.failures.append(Failure("input", "ww", self._layer.layer.name, str(lost)))
                self._spectra[resolution] = lost
        spectrum = self._spectra[resolution]
        if isinstance(spectrum, Exception):
            raise fresh(spectrum)
        return spectrum

    def _decompose(
        self,
        entries: npt.NDArray[Any] | Entries,
        multiplicities: npt.NDArray[np.int64] | None,
        resolution: Resolution,
    ) -> Spectrum:
        scale, rounding = self._plan.scale, self._layer.layer.weight.rounding.times(self._plan.gain)
        spectrum = self._layer.decompose(entries, multiplicities, rounding=rounding, resolution=resolution)
        if scale != 1.0:
            spectrum = replace(
                spectrum,
                singular_values=spectrum.singular_values * scale,
                noise_floor=spectrum.noise_floor * scale,
            )
            if spectrum.singular_values[0] == math.inf:
                raise Refused("the largest singular value is beyond the range of float64")
        spectrum.singular_values.flags.writeable = False  # every metric sees the same array
        return spectrum

    def _randomized(self, resolution: Resolution) -> npt.NDArray[np.float64]:
        import numpy as np

        from ww_core.spectral.permutation import permuted

        matrix = self._matrices[self._subject.index]
        if not isinstance(matrix.entries, np.ndarray):
            # The numbers of what is made piece by piece are not the weights, and permuting them would mean nothing.
            raise NotApplicable("the entries are made of the weights one by one: they cannot be permuted in place")
        key = key_of(self._subject.tensor, self._subject.index, "randomized_eigenvalues", self._layer.seed)
        return _eigenvalues(self._decompose(permuted(matrix.entries, key), matrix.multiplicities, resolution))


class MatrixSequence:
    """The matrices that a variant makes of a layer, in order, as far as they are asked for; one is held at a time."""

    def __init__(self, inputs: LayerInputs, variant: ExtractorVariant, plan: MatrixPlan) -> None:
        self._inputs = inputs
        self._variant = variant
        self._plan = plan
        self._remaining: Iterator[Matrix] | None = None
        self._current: Matrix | None = None
        self._missing: NoValue | Lost | None = None

    def __getitem__(self, index: int) -> Matrix:
        """Return the matrix of an index that is not below the last one asked for.

        Raises:
            NoValue: The extractor makes nothing of this weight after all.
            Lost: The tensor could not be read, or the extractor broke its promise.
        """
        if self._missing is not None:
            raise fresh(self._missing)
        while self._current is None or self._current.index < index:
            self._current = self._next(0 if self._current is None else self._current.index + 1)
        return self._current

    def _next(self, index: int) -> Matrix:
        import numpy as np

        weight = self._inputs.stored(self._inputs.layer.weight)
        try:
            if self._remaining is None:
                self._remaining = iter(self._variant.extractor.matrices(weight, self._inputs.layer))
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
        except RAISED as error:
            raise self.lost(sentence_of(error, self._variant.extractor)) from None
        if isinstance(matrix.entries, np.ndarray):
            return matrix
        return replace(matrix, entries=_CheckedEntries(matrix.entries, self.lost))

    def lost(self, text: str) -> Lost:
        """Record that the extractor failed, once, and return what is raised from then on."""
        if self._missing is None:
            layer = self._inputs.layer.name
            self._inputs.failures.append(Failure("extract", self._variant.qualified, layer, text))
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
        except RAISED as error:
            raise self._lost(sentence_of(error, self._entries)) from None
        return made


def _same_counts(promised: Sequence[int] | None, made: npt.NDArray[np.int64] | None) -> bool:
    import numpy as np

    return made is None if promised is None else made is not None and np.array_equal(promised, made)


def key_of(content: str, index: int, name: str, seed: int) -> bytes:
    """Return the 16-byte key of the randomness of a metric on a piece of content."""
    digest = digest_of("seed", {"content": content, "index": index, "name": name, "seed": seed})
    return bytes.fromhex(digest)[:16]


def generator(content: str, index: int, name: str, seed: int) -> np.random.Generator:
    """Return the generator of a metric on a piece of content: the same wherever and whenever it runs."""
    import numpy as np

    key = np.frombuffer(key_of(content, index, name, seed), dtype="<u8")
    return np.random.Generator(np.random.Philox(key=key))


def _eigenvalues(spectrum: Spectrum) -> npt.NDArray[np.float64]:
    import numpy as np

    largest = float(spectrum.singular_values[0]) if spectrum.singular_values.size else 0.0
    if largest > 0 and not np.finfo(np.float64).tiny <= largest * largest < np.inf:
        raise Refused(f"the largest eigenvalue, {largest:g} squared, is outside the range of float64")
    eigenvalues = spectrum.eigenvalues
    eigenvalues.flags.writeable = False
    return eigenvalues


def _float64(array: npt.NDArray[Any], scale: float = 1.0) -> npt.NDArray[Any]:
    import numpy as np

    wide = np.array(array, dtype=np.complex128 if np.iscomplexobj(array) else np.float64)
    if scale != 1.0:
        wide *= scale
    wide.flags.writeable = False
    return wide


def aligned(values: Sequence[Any], missing: Sequence[bool], kind: str) -> np.ma.MaskedArray[Any, Any]:
    """Return values in order as a masked array, masked where there is none."""
    import numpy as np

    dtype: Any = {"int": np.int64, "bool": np.bool_, "text": object}.get(kind, np.float64)
    filled = [("" if kind == "text" else 0) if lost else value for value, lost in zip(values, missing, strict=True)]
    return np.ma.MaskedArray(np.array(filled, dtype=dtype), mask=np.array(missing, dtype=bool))
