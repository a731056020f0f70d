"""Singular values of a matrix, and how far down they can be trusted."""

from __future__ import annotations

import math
import time
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ww_core.domain.rounding import ROUNDINGS
from ww_core.domain.spectrum import Spectrum
from ww_core.errors import NotApplicable, Refused
from ww_core.spectral.blocks import count_non_finite
from ww_core.spectral.cpu import CPU
from ww_core.spectral.scaling import SINGLES, NotFiniteError, lies_transposed
from ww_core.spectral.sharing import alone

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

    import numpy.typing as npt

    from ww_core.contracts.device import Device
    from ww_core.contracts.extractor import Entries
    from ww_core.domain.rounding import Rounding
    from ww_core.domain.spectrum import Precision, Resolution
    from ww_core.spectral.sharing import Share

    Decompose = Callable[[npt.NDArray[Any], Sequence[Rounding]], npt.NDArray[np.float64]]
    """Makes the singular values, shape (b, n) in any order, of a piece of shape (b, rows, cols), by its roundings."""

LETTERS: Mapping[tuple[Precision, bool], str] = {
    ("float32", False): "f",
    ("float32", True): "F",
    ("float64", False): "d",
    ("float64", True): "D",
}
"""The arithmetic, by its precision and whether entries are complex."""

EPS64 = ROUNDINGS["float64"].epsilon


def spectrum_of(
    entries: npt.NDArray[Any] | Entries,
    multiplicities: npt.NDArray[np.int64] | None = None,
    *,
    rounding: Rounding,
    resolution: Resolution = "standard",
    precision: Precision = "float64",
    device: Device = CPU,
    share: Share = alone,
) -> Spectrum:
    """Compute the singular values of a batch of matrices, pooled.

    The standard route takes the eigenvalues of each entry's Gram matrix on its short side. In float64 its error is of
    the order of eps64 * sigma_max**2 in an eigenvalue, so that singular values below about 1e-8 * sigma_max are lost in
    it. Entries that have such, and are stored precisely enough for them to mean something, get an SVD instead. ``full``
    takes an SVD of all.

    Memory: with n the short side, two n x n matrices (the Gram and either one partial product or the copy that LAPACK
    works on), up-cast blocks of ``BLOCK_BYTES`` or a quarter of the Gram, whichever is more, and nothing of the size of
    the tensor; for each thread that takes part. An SVD needs two float64 copies of one entry.

    Args:
        entries: Shape (B, rows, cols), real or complex, any stored dtype and layout.
        multiplicities: Shape (B,): how often each entry counts; None for once each.
        rounding: How precisely the entries were stored, ``ROUNDINGS[dtype]`` for floats; it sets the noise floor.
        resolution: ``standard`` or ``full``.
        precision: Of the standard route's arithmetic. In ``float32`` nothing below about 3e-4 * sqrt(N) * sigma_max is
            told apart.
        device: Where pieces are decomposed.
        share: Who else may take pieces of the batch.

    Returns:
        Singular values in float64, descending, with their noise floor: what ``rounding.noise`` says of the root mean
        square of all entries, or what can be told apart if that is more: N * eps64 * sigma_max, and
        sqrt(N * eps32) * sigma_max in float32.

    Raises:
        NotApplicable: An entry has no elements, or there is no entry.
        Refused: A weight is NaN or infinite, or a singular value is beyond float64.
    """
    one = Decomposable(entries, rounding, multiplicities)
    return spectra_of([one], resolution=resolution, precision=precision, device=device, share=share)[0]


class Decomposable(NamedTuple):
    """A batch of matrices, shape (B, rows, cols), whose singular values make one spectrum; see ``spectrum_of``."""

    entries: npt.NDArray[Any] | Entries
    rounding: Rounding
    multiplicities: npt.NDArray[np.int64] | None = None


def spectra_of(
    batches: Sequence[Decomposable],
    *,
    resolution: Resolution = "standard",
    precision: Precision = "float64",
    device: Device = CPU,
    share: Share = alone,
) -> list[Spectrum]:
    """Compute the spectra of several batches at once, bit for bit those that each has alone on the CPU.

    Args:
        batches: Arrays of one ``stackable`` kind; or a single batch of any.
        resolution: As in ``spectrum_of``, and so are the others.
        precision: Of the arithmetic.
        device: Where pieces are decomposed.
        share: Who else may take pieces.

    Raises:
        NotApplicable: As in ``spectrum_of``.
        Refused: Of one of them, which it may be: asked for alone, the others have a spectrum.
    """
    started = time.perf_counter()
    entries = batches[0].entries if len(batches) == 1 else _stacked(batches)
    count, rows, cols = entries.shape
    if not count * rows * cols:
        raise NotApplicable(f"{count} matrices of shape {rows}x{cols} have no elements and no spectrum")
    precision = "float64" if resolution == "full" else precision
    letter = LETTERS[precision, entries.dtype.kind == "c"]
    roundings = [own.rounding for own in batches for _ in range(own.entries.shape[0])]
    route, decompose = _route(letter, resolution, device)
    values = np.empty((count, min(rows, cols)))
    per_piece = max(1, device.piece_bytes // (np.dtype(letter).itemsize * rows * cols))
    pieces = [slice(start, start + per_piece) for start in range(0, count, per_piece)]

    def work(own: Iterator[slice]) -> None:
        for piece in own:
            values[piece] = decompose(entries[piece], roundings[piece])

    try:
        share(work, pieces)
    except NotFiniteError:
        bad = sum(count_non_finite(entries[piece]) for piece in pieces)
        raise Refused(f"{bad} of {count * rows * cols} weights are NaN or infinite") from None
    seconds = (time.perf_counter() - started) / count
    spectra, first = [], 0
    for batch in batches:
        own, first = values[first : first + batch.entries.shape[0]], first + batch.entries.shape[0]
        pooled = _repeated(own, batch.multiplicities).reshape(-1)
        pooled.sort()
        pooled = pooled[::-1].copy()
        if pooled[0] == np.inf:
            raise Refused("the largest singular value is beyond the range of float64")
        spectra.append(
            Spectrum(
                singular_values=pooled,
                noise_floor=_noise_floor(pooled, (rows, cols), batch.rounding, precision),
                resolution=resolution,
                precision=precision,
                route=route,
                seconds=seconds * len(own),
            )
        )
    return spectra


def stackable(entries: npt.NDArray[Any]) -> Hashable:
    """Return what is equal of arrays that ``spectra_of`` may be given together: no digit depends on it then."""
    return entries.shape[1:], entries.dtype, lies_transposed(entries)


def _stacked(batches: Sequence[Decomposable]) -> npt.NDArray[Any]:
    """Entries of arrays of one kind, lying in memory as theirs do: products depend on it in the last digit."""
    arrays: list[npt.NDArray[Any]] = [np.asarray(own.entries) for own in batches]
    count, (rows, cols), dtype = sum(own.shape[0] for own in arrays), arrays[0].shape[1:], arrays[0].dtype
    if lies_transposed(arrays[0]):
        return np.concatenate([own.mT for own in arrays], out=np.empty((count, cols, rows), dtype)).mT
    return np.concatenate(arrays, out=np.empty((count, rows, cols), dtype))


def _repeated(values: npt.NDArray[np.float64], multiplicities: npt.NDArray[np.int64] | None) -> npt.NDArray[np.float64]:
    return values if multiplicities is None else np.repeat(values, multiplicities, axis=0)


def _route(letter: str, resolution: Resolution, device: Device) -> tuple[str, Decompose]:
    """What decomposes a piece, and its name as provenance."""
    place = "" if device is CPU or device == CPU else f" on {device.label}"
    if resolution == "full":
        return f"svd{place}", lambda piece, _: device.by_svd(piece)
    if letter in SINGLES:
        return f"gram+eigvalsh in float32{place}", lambda piece, _: device.by_gram(letter, piece)
    return f"gram+eigvalsh{place}", partial(_by_gram_or_svd, letter, device)


def _by_gram_or_svd(
    letter: str, device: Device, piece: npt.NDArray[Any], roundings: Sequence[Rounding]
) -> npt.NDArray[np.float64]:
    """Singular values by the Gram matrix, but by SVD of entries in which that hides what their storage can tell."""
    values = device.by_gram(letter, piece)
    sides = piece.shape[1:]
    hidden = math.sqrt(max(sides) * EPS64)
    for entry in (values[:, 0] <= hidden * values[:, -1]).nonzero()[0].tolist():
        own = values[entry]
        if not 0.0 < _storage_floor(own, float(own[-1]), piece[entry].size, sides, roundings[entry]) < hidden * own[-1]:
            continue
        # Dead units are no reason for an SVD: their vectors are zero, and so are as many singular values.
        short_axes = [axis for axis in (0, 1) if sides[axis] == min(sides)]
        zeros = max(int(np.count_nonzero(~piece[entry].any(axis=1 - axis))) for axis in short_axes)
        own[:zeros] = 0.0
        if own[zeros:].size and own[zeros] <= hidden * own[-1]:
            own[:] = device.by_svd(piece[entry : entry + 1])[0]
    return values


def _noise_floor(
    pooled: npt.NDArray[np.float64], sides: tuple[int, int], rounding: Rounding, precision: Precision
) -> float:
    """Level below which none of these descending singular values says anything, by content and precision only."""
    size = pooled.size // min(sides) * sides[0] * sides[1]
    told_apart = math.sqrt(max(sides) * ROUNDINGS["float32"].epsilon) if precision == "float32" else max(sides) * EPS64
    largest = float(pooled[0])
    return max(_storage_floor(pooled, largest, size, sides, rounding), told_apart * largest)


def _storage_floor(
    values: npt.NDArray[np.float64], largest: float, size: int, sides: tuple[int, int], rounding: Rounding
) -> float:
    """Expected spectral norm of the rounding of ``size`` weights that have these singular values."""
    if not 0.0 < largest < math.inf:
        return 0.0
    rms = largest * math.sqrt(float(np.square(values / largest).sum()) / size)
    return rounding.noise(rms, *sides)
