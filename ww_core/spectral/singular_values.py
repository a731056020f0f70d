"""Singular values of a matrix, and how far down they can be trusted."""

from __future__ import annotations

import math
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ww_core.domain.rounding import ROUNDINGS
from ww_core.domain.spectrum import Spectrum
from ww_core.errors import NotApplicable, Refused
from ww_core.spectral.blocks import BLOCK_BYTES, count_non_finite
from ww_core.spectral.lapack import lapack
from ww_core.spectral.scaling import SINGLES, NotFiniteError, exponents_of, unscaled, widened
from ww_core.spectral.sharing import alone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt

    from ww_core.contracts.extractor import Entries
    from ww_core.domain.rounding import Rounding
    from ww_core.domain.spectrum import Precision, Resolution
    from ww_core.spectral.sharing import Share

    Decompose = Callable[[npt.NDArray[Any]], npt.NDArray[np.float64]]
    """Makes the singular values, shape (b, n) in any order, of a piece of shape (b, rows, cols)."""

ONE_STAGE_FROM = {"f": 48, "d": 96, "F": 32, "D": 64}
"""Short side from which our call of LAPACK is faster than NumPy's, by type: OpenBLAS 0.3.31, AVX-512."""

TWO_STAGE_FROM = {"f": 1024, "d": 960, "F": 896, "D": 448}
"""Short side from which two stages are faster than one, measured likewise."""

BANDWIDTH = 32
WIDE_BANDWIDTH = 48
WIDE_FROM = 2048
"""Short side from which the wide band is faster, measured likewise."""

DEVICE_BYTES = 64 * 2**20
"""Bytes of a piece that is sent to a device: it takes many small matrices to keep one busy."""

EPS64 = ROUNDINGS["float64"].epsilon


def spectrum_of(
    entries: npt.NDArray[Any] | Entries,
    multiplicities: npt.NDArray[np.int64] | None = None,
    *,
    rounding: Rounding,
    resolution: Resolution = "standard",
    precision: Precision = "float64",
    device: str = "cpu",
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
        device: ``cpu`` for NumPy, or a device of torch's as in ``ww_core.spectral.devices``.
        share: Who else may take pieces of the batch.

    Returns:
        Singular values in float64, descending, with their noise floor: what ``rounding.noise`` says of the root mean
        square of all entries, or what can be told apart if that is more: N * eps64 * sigma_max, and
        sqrt(N * eps32) * sigma_max in float32.

    Raises:
        NotApplicable: An entry has no elements, or there is no entry.
        Refused: A weight is NaN or infinite, or a singular value is beyond float64.
        UsageError: There is no such device.
    """
    started = time.perf_counter()
    count, rows, cols = entries.shape
    if not count * rows * cols:
        raise NotApplicable(f"{count} matrices of shape {rows}x{cols} have no elements and no spectrum")
    precision = "float64" if resolution == "full" else precision
    letter = {"float32": "fF", "float64": "dD"}[precision][entries.dtype.kind == "c"]
    route, decompose = _route(letter, rounding, resolution, device)
    values = np.empty((count, min(rows, cols)))
    room = BLOCK_BYTES if device == "cpu" else DEVICE_BYTES
    per_piece = max(1, room // (np.dtype(letter).itemsize * rows * cols))
    pieces = [slice(start, start + per_piece) for start in range(0, count, per_piece)]

    def work(own: Iterator[slice]) -> None:
        for piece in own:
            values[piece] = decompose(entries[piece])

    try:
        share(work, pieces)
    except NotFiniteError:
        bad = sum(count_non_finite(entries[piece]) for piece in pieces)
        raise Refused(f"{bad} of {count * rows * cols} weights are NaN or infinite") from None
    pooled = values.reshape(-1) if multiplicities is None else np.repeat(values, multiplicities, axis=0).reshape(-1)
    pooled.sort()
    pooled = np.ascontiguousarray(pooled[::-1])
    if np.isinf(pooled[0]):
        raise Refused("the largest singular value is beyond the range of float64")
    return Spectrum(
        singular_values=pooled,
        noise_floor=_noise_floor(pooled, (rows, cols), rounding, precision),
        resolution=resolution,
        precision=precision,
        route=route,
        seconds=time.perf_counter() - started,
    )


def _route(letter: str, rounding: Rounding, resolution: Resolution, device: str) -> tuple[str, Decompose]:
    """What decomposes a piece, and its name as provenance."""
    by_gram: Decompose = partial(_by_gram, letter)
    by_svd: Decompose = _by_svd
    place = ""
    if device != "cpu":
        from ww_core.spectral.devices import torch_device

        found = torch_device(device)
        by_gram, by_svd, place = partial(found.by_gram, letter), found.by_svd, f" on {device}"
    if resolution == "full":
        return f"svd{place}", by_svd
    if letter in SINGLES:
        return f"gram+eigvalsh in float32{place}", by_gram
    return f"gram+eigvalsh{place}", partial(_by_gram_or_svd, by_gram, by_svd, rounding)


def _by_gram_or_svd(
    by_gram: Decompose, by_svd: Decompose, rounding: Rounding, piece: npt.NDArray[Any]
) -> npt.NDArray[np.float64]:
    """Singular values by the Gram matrix, but by SVD of entries in which that hides what their storage can tell."""
    values = by_gram(piece)
    sides = piece.shape[1:]
    hidden = math.sqrt(max(sides) * EPS64)
    for entry in np.flatnonzero(values[:, 0] <= hidden * values[:, -1]):
        own = values[entry]
        if not 0.0 < _storage_floor(own, piece[entry].size, sides, rounding) < hidden * own[-1]:
            continue
        # Dead units are no reason for an SVD: their vectors are zero, and so are as many singular values.
        short_axes = [axis for axis in (0, 1) if sides[axis] == min(sides)]
        zeros = max(int(np.count_nonzero(~piece[entry].any(axis=1 - axis))) for axis in short_axes)
        own[:zeros] = 0.0
        if own[zeros:].size and own[zeros] <= hidden * own[-1]:
            own[:] = by_svd(piece[entry : entry + 1])[0]
    return values


def _by_gram(letter: str, piece: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Singular values by the Gram matrix, ascending."""
    exponents = exponents_of(piece, letter)
    gram = _gram(piece, exponents, letter)
    # Any NaN or infinity in a column is in its square.
    if not math.isfinite(np.einsum("bii->", gram).real):
        raise NotFiniteError
    return unscaled(np.sqrt(np.maximum(_eigenvalues(gram), 0.0)), exponents)


def _gram(piece: npt.NDArray[Any], exponents: npt.NDArray[np.int32], letter: str) -> npt.NDArray[Any]:
    """Gram matrices of scaled entries on their short side, (b, n, n)."""
    count, rows, cols = piece.shape
    short, long = min(rows, cols), max(rows, cols)
    along = piece if rows > cols else piece.mT
    # A quarter of the Gram at least: narrower blocks of a large matrix would spend more on adding than on multiplying.
    width = max(BLOCK_BYTES // (np.dtype(letter).itemsize * count * short), short // 4, 1)
    total = _product(widened(along[:, :width], exponents, letter))
    for start in range(width, long, width):
        product = _product(widened(along[:, start : start + width], exponents, letter))
        with np.errstate(invalid="ignore", over="ignore"):
            np.add(total, product, out=total)
        del product  # else it would lie beside the next one
    return total


def _product(block: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Gram matrices of the columns of ``block``, shape (b, any, n); (b, n, n)."""
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        if not np.iscomplexobj(block):
            # The same array on both sides, so that numpy takes the symmetric product: half the work.
            real: npt.NDArray[Any] = block.mT @ block
            return real
        # Half the work of a complex product: its real part is that of the two parts stacked, its imaginary part is
        # a product less its transpose.
        parts = np.concatenate([block.real, block.imag], axis=1)
        length = block.shape[1]
        cross = parts[:, :length].mT @ parts[:, length:]
        gram = np.empty(cross.shape, block.dtype)
        gram.real = parts.mT @ parts
        gram.imag = cross - cross.mT
        return gram


def _eigenvalues(gram: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Eigenvalues of symmetric or Hermitian matrices, (b, n), ascending; the matrices may be overwritten."""
    letter, size = gram.dtype.char, gram.shape[-1]
    routines = lapack(letter) if size >= ONE_STAGE_FROM[letter] else None
    if routines is None or not _is_tame(gram):
        found = np.linalg.eigvalsh(gram)
    elif size < TWO_STAGE_FROM[letter]:
        found = routines.by_one_stage(gram)
    else:
        found = routines.by_two_stages(gram, BANDWIDTH if size < WIDE_FROM else WIDE_BANDWIDTH)
    return found.astype(np.float64, copy=False)


def _by_svd(piece: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Singular values by SVD, in float64."""
    letter = "D" if np.iscomplexobj(piece) else "d"
    exponents = exponents_of(piece, letter)
    block = widened(piece, exponents, letter)
    if not np.isfinite(block).all():
        raise NotFiniteError
    return unscaled(np.linalg.svd(block, compute_uv=False), exponents)


def _is_tame(gram: npt.NDArray[Any]) -> bool:
    """Whether nothing needs scaling on the way to eigenvalues."""
    largest = float(np.einsum("bii->bi", gram).real.max())
    limit = 2.0**30 if gram.dtype.char in SINGLES else 2.0**250
    return 1.0 / limit < largest < limit


def _noise_floor(
    pooled: npt.NDArray[np.float64], sides: tuple[int, int], rounding: Rounding, precision: Precision
) -> float:
    """Level below which a singular value says nothing; a function of the content and the precision only."""
    size = pooled.size // min(sides) * sides[0] * sides[1]
    told_apart = math.sqrt(max(sides) * ROUNDINGS["float32"].epsilon) if precision == "float32" else max(sides) * EPS64
    return max(_storage_floor(pooled, size, sides, rounding), told_apart * float(pooled.max()))


def _storage_floor(values: npt.NDArray[np.float64], size: int, sides: tuple[int, int], rounding: Rounding) -> float:
    """Expected spectral norm of the rounding of ``size`` weights that have these singular values."""
    largest = float(values.max())
    if not 0.0 < largest < math.inf:
        return 0.0
    rms = largest * math.sqrt(float(np.square(values / largest).sum()) / size)
    return rounding.noise(rms, *sides)
