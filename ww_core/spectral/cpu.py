"""The CPU as a device: Gram matrices by BLAS, their eigenvalues by LAPACK."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ww_core.contracts.device import Device
from ww_core.spectral.blocks import BLOCK_BYTES
from ww_core.spectral.lapack import Lapack, lapack
from ww_core.spectral.room import Room
from ww_core.spectral.scaling import SINGLES, NotFiniteError, exponents_of, unscaled, widened

if TYPE_CHECKING:
    import numpy.typing as npt

    from ww_core.spectral.room import Make

PIECE_BYTES = 2**19
"""A piece and its Gram matrices stay in a core's own cache."""

BLOCKS, GRAMS = Room(PIECE_BYTES), Room(PIECE_BYTES)

ONE_STAGE_FROM = {"f": 16, "d": 40, "F": 16, "D": 32}
"""Short side from which our call of LAPACK is faster than NumPy's, by type: OpenBLAS 0.3.31, AVX-512."""

TWO_STAGE_FROM = {"f": 1024, "d": 960, "F": 896, "D": 448}
"""Short side from which two stages are faster than one, measured likewise."""

BANDWIDTH = 32
WIDE_BANDWIDTH = 48
WIDE_FROM = 2048
"""Short side from which the wide band is faster, measured likewise."""


@dataclass(frozen=True)
class Cpu(Device):
    """NumPy's and SciPy's routines on the processor."""

    name = "cpu"
    description = "The processor, by BLAS and LAPACK; the default."
    piece_bytes: ClassVar[int] = PIECE_BYTES

    def by_gram(self, letter: str, piece: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return the singular values by the Gram matrix, ascending."""
        exponents = exponents_of(piece, letter)
        gram = _gram(piece, exponents, letter)
        largest = np.einsum("bii->bi", gram).real.max(axis=1)
        # Any NaN or infinity in a column is in its square, and of numbers with a NaN that is the largest.
        if not math.isfinite(largest.max()):
            raise NotFiniteError
        eigenvalues = _eigenvalues(gram, largest)
        np.maximum(eigenvalues, 0.0, out=eigenvalues)
        return unscaled(np.sqrt(eigenvalues, out=eigenvalues), exponents)

    def by_svd(self, piece: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return the singular values by SVD, descending."""
        letter = "D" if np.iscomplexobj(piece) else "d"
        exponents = exponents_of(piece, letter)
        block = widened(piece, exponents, letter)
        if not np.isfinite(block).all():
            raise NotFiniteError
        return unscaled(np.linalg.svd(block, compute_uv=False), exponents)


CPU = Cpu()


def _gram(piece: npt.NDArray[Any], exponents: npt.NDArray[np.int32], letter: str) -> npt.NDArray[Any]:
    """Gram matrices of scaled entries on their short side, (b, n, n)."""
    count, rows, cols = piece.shape
    short, long = min(rows, cols), max(rows, cols)
    along = piece if rows > cols else piece.mT
    # A quarter of the Gram at least: narrower blocks of a large matrix would spend more on adding than on multiplying.
    width = max(BLOCK_BYTES // (np.dtype(letter).itemsize * count * short), short // 4, 1)
    total = _product(widened(along[:, :width], exponents, letter, BLOCKS.take), GRAMS.take)
    for start in range(width, long, width):
        product = _product(widened(along[:, start : start + width], exponents, letter))
        with np.errstate(invalid="ignore", over="ignore"):
            np.add(total, product, out=total)
        del product  # else it would lie beside the next one
    return total


def _product(block: npt.NDArray[Any], make: Make = np.empty) -> npt.NDArray[Any]:
    """Gram matrices of the columns of ``block``, shape (b, any, n); (b, n, n)."""
    gram = make((block.shape[0], block.shape[2], block.shape[2]), block.dtype.char)
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        if not np.iscomplexobj(block):
            # The same array on both sides, so that numpy takes the symmetric product: half the work.
            np.matmul(block.mT, block, out=gram)
            return gram
        # Half the work of a complex product: its real part is that of the two parts stacked, its imaginary part is
        # a product less its transpose.
        parts = np.concatenate([block.real, block.imag], axis=1)
        length = block.shape[1]
        cross = parts[:, :length].mT @ parts[:, length:]
        gram.real = parts.mT @ parts
        gram.imag = cross - cross.mT
        return gram


def _eigenvalues(gram: npt.NDArray[Any], largest: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Eigenvalues of symmetric or Hermitian matrices, (b, n), ascending; the matrices may be overwritten.

    Each is treated as if it were alone, so that no digit depends on what it is stacked with.

    Args:
        gram: The matrices.
        largest: The largest number on the diagonal of each, shape (b,).
    """
    letter, size = gram.dtype.char, gram.shape[-1]
    routines = lapack(letter) if size >= ONE_STAGE_FROM[letter] else None
    if routines is None:
        return np.linalg.eigvalsh(gram).astype(np.float64, copy=False)
    tame = _are_tame(largest, letter)
    if not tame.all():
        found = np.empty(gram.shape[:2])
        found[tame], found[~tame] = _by_ours(routines, gram[tame]), np.linalg.eigvalsh(gram[~tame])
        return found
    return _by_ours(routines, gram)


def _by_ours(routines: Lapack, gram: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    letter, size = gram.dtype.char, gram.shape[-1]
    if size < TWO_STAGE_FROM[letter]:
        found = routines.by_one_stage(gram)
    else:
        found = routines.by_two_stages(gram, BANDWIDTH if size < WIDE_FROM else WIDE_BANDWIDTH)
    return found.astype(np.float64, copy=False)


def _are_tame(largest: npt.NDArray[Any], letter: str) -> npt.NDArray[np.bool_]:
    """Which matrices need no scaling on the way to eigenvalues, shape (b,), by the largest number on their diagonal."""
    limit = 2.0**30 if letter in SINGLES else 2.0**250
    tame: npt.NDArray[np.bool_] = (largest > 1.0 / limit) & (largest < limit)
    return tame
