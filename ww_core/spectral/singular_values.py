"""Singular values of a matrix, and how far down they can be trusted."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from ww_core.domain.spectrum import Spectrum
from ww_core.errors import NotApplicable, Refused
from ww_core.spectral.blocks import BLOCK_BYTES, non_finite, scaling_exponents

if TYPE_CHECKING:
    import numpy.typing as npt

    from ww_core.domain.spectrum import Resolution

EPSILONS = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23, "float64": 2.0**-52}
"""Distance from 1 to the next number of each stored dtype."""

_EPS = EPSILONS["float64"]


def spectrum_of(
    entries: npt.NDArray[Any],
    multiplicities: npt.NDArray[np.int64] | None = None,
    *,
    stored_dtype: str,
    resolution: Resolution = "standard",
) -> Spectrum:
    """Compute the singular values of a batch of matrices, pooled.

    The standard route takes the eigenvalues of each entry's Gram matrix on its short side, in float64. Its error is of
    the order of eps64 * sigma_max**2 in an eigenvalue, so that singular values below about 1e-8 * sigma_max are lost in
    it; ``full`` takes an SVD and resolves them to rounding.

    Memory: with n the short side, two float64 n x n matrices (the Gram and either one partial product or the copy that
    LAPACK works on), up-cast blocks of ``BLOCK_BYTES`` or a quarter of the Gram, whichever is more, and nothing of the
    size of the tensor. ``full`` needs two float64 copies of one entry.

    Args:
        entries: Shape (B, rows, cols), real or complex, any stored dtype and layout.
        multiplicities: Shape (B,): how often each entry counts; None for once each.
        stored_dtype: Name of the dtype the weights are stored in; it sets the noise floor.
        resolution: ``standard`` or ``full``.

    Returns:
        Singular values in float64, descending, with their noise floor: eps(stored) / sqrt(12) * rms(w) *
        (sqrt(N) + sqrt(M)), where rms goes over all entries, or what the resolution can tell apart if that is more:
        sqrt(N * eps64) * sigma_max for ``standard``, N * eps64 * sigma_max for ``full``.

    Raises:
        NotApplicable: An entry has no elements, or there is no entry.
        Refused: A weight is NaN or infinite, or a singular value is beyond float64.
    """
    started = time.perf_counter()
    count, rows, cols = entries.shape
    if not entries.size:
        raise NotApplicable(f"{count} matrices of shape {rows}x{cols} have no elements and no spectrum")
    exponents = _exponents(entries)
    per_chunk = max(1, BLOCK_BYTES // (8 * rows * cols))
    values = np.empty((count, min(rows, cols)))
    for start in range(0, count, per_chunk):
        chunk = slice(start, start + per_chunk)
        route = _by_svd if resolution == "full" else _by_gram
        found = route(entries[chunk], exponents[chunk])
        if found is None:
            raise non_finite(entries)
        values[chunk] = found
    with np.errstate(over="ignore", under="ignore"):
        values = np.ldexp(values, exponents[:, np.newaxis])
    if multiplicities is not None:
        values = np.repeat(values, multiplicities, axis=0)
    pooled = np.ascontiguousarray(np.sort(values, axis=None)[::-1])
    if np.isinf(pooled[0]):
        raise Refused("the largest singular value is beyond the range of float64")
    return Spectrum(
        singular_values=pooled,
        noise_floor=_noise_floor(pooled, values.shape[0] * rows * cols, (rows, cols), stored_dtype, resolution),
        resolution=resolution,
        route="svd" if resolution == "full" else "gram+eigvalsh",
        seconds=time.perf_counter() - started,
    )


def _exponents(entries: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    """Exponent of two to divide each entry by, shape (B,); only doubles reach far enough to need one."""
    if entries.dtype not in {np.dtype(np.float64), np.dtype(np.complex128)}:
        return np.zeros(entries.shape[0], dtype=np.int32)
    parts = [entries.real, entries.imag] if np.iscomplexobj(entries) else [entries]
    with np.errstate(invalid="ignore"):
        peaks = np.max([np.maximum(part.max(axis=(1, 2)), -part.min(axis=(1, 2))) for part in parts], axis=0)
    if not np.isfinite(peaks).all():
        raise non_finite(entries)
    return scaling_exponents(peaks)


def _by_gram(entries: npt.NDArray[Any], exponents: npt.NDArray[np.int32]) -> npt.NDArray[np.float64] | None:
    """Singular values of scaled entries, shape (c, n), ascending; None if something is not finite."""
    _, rows, cols = entries.shape
    short, long = min(rows, cols), max(rows, cols)
    # A quarter of the Gram at least: narrower blocks of a large matrix would spend more on adding than on multiplying.
    width = max(BLOCK_BYTES // (8 * entries.shape[0] * short), short // 4, 1)
    along = entries if rows > cols else entries.mT
    total = _gram(along[:, :width], exponents)
    for start in range(width, long, width):
        total += _gram(along[:, start : start + width], exponents)
    if not np.isfinite(np.diagonal(total, axis1=1, axis2=2)).all():
        return None
    eigenvalues = np.linalg.eigvalsh(total)
    return np.sqrt(np.maximum(eigenvalues, 0.0))


def _gram(part: npt.NDArray[Any], exponents: npt.NDArray[np.int32]) -> npt.NDArray[Any]:
    """Gram matrices of the columns of scaled ``part``, shape (c, any, n); (c, n, n)."""
    block = _widened(part, exponents)
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        # Real blocks are the same array on both sides, so that numpy takes the symmetric product: half the work.
        product: npt.NDArray[Any] = block.conj().mT @ block
    return product


def _by_svd(entries: npt.NDArray[Any], exponents: npt.NDArray[np.int32]) -> npt.NDArray[np.float64] | None:
    """Singular values of scaled entries, shape (c, n), descending; None if something is not finite."""
    block = _widened(entries, exponents)
    return np.linalg.svd(block, compute_uv=False) if np.isfinite(block).all() else None


def _widened(part: npt.NDArray[Any], exponents: npt.NDArray[np.int32]) -> npt.NDArray[Any]:
    """Copy of ``part`` in double precision, in the order it lies in, each entry divided by two to its exponent."""
    if abs(part.strides[1]) < abs(part.strides[2]):
        return _widened(part.mT, exponents).mT
    block = part.astype(np.complex128 if np.iscomplexobj(part) else np.float64, order="C")
    if exponents.any():
        numbers = block.view(np.float64)
        with np.errstate(under="ignore"):
            np.ldexp(numbers, -exponents[:, np.newaxis, np.newaxis], out=numbers)
    return block


def _noise_floor(
    pooled: npt.NDArray[np.float64], size: int, sides: tuple[int, int], stored_dtype: str, resolution: Resolution
) -> float:
    """Level below which a singular value says nothing; a function of the content and the resolution only."""
    largest = float(pooled[0])
    if largest == 0.0:
        return 0.0
    rms = largest * math.sqrt(float(np.square(pooled / largest).sum()) / size)
    storage = EPSILONS[stored_dtype] / math.sqrt(12.0) * rms * (math.sqrt(sides[0]) + math.sqrt(sides[1]))
    relative = max(sides) * _EPS
    return max(storage, (relative if resolution == "full" else math.sqrt(relative)) * largest)
