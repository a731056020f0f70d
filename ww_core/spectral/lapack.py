"""Two-stage tridiagonalisation: what LAPACK has and NumPy does not offer, from the library that NumPy has loaded.

A symmetric matrix becomes a band, and the band a tridiagonal. The first step is made of matrix products, where the
usual reduction spends half of its work on products with one vector, at the speed of memory.

A. Haidar, H. Ltaief, J. Dongarra, Parallel reduction to condensed forms for symmetric eigenvalue problems using
aggregated fine-grained and memory-aware kernels, SC 2011.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

NAMES = ("scipy_{}_64_", "scipy_{}_", "{}_64_", "{}_")
"""How builds of OpenBLAS, MKL and LAPACK decorate the name of a routine."""

STAGES = {
    "f": ("ssytrd_sy2sb", "ssytrd_sb2st", "ssterf"),
    "d": ("dsytrd_sy2sb", "dsytrd_sb2st", "dsterf"),
    "F": ("chetrd_he2hb", "chetrd_hb2st", "ssterf"),
    "D": ("zhetrd_he2hb", "zhetrd_hb2st", "dsterf"),
}
"""To a band, to a tridiagonal, to eigenvalues; by NumPy's letter of the type."""


@dataclass(frozen=True, slots=True)
class TwoStage:
    """Eigenvalues of one type of matrix in two stages."""

    to_band: Callable[..., None]
    to_tridiagonal: Callable[..., None]
    to_eigenvalues: Callable[..., None]

    def eigenvalues(self, matrix: npt.NDArray[Any], bandwidth: int) -> npt.NDArray[Any]:
        """Return the eigenvalues of a symmetric or Hermitian ``matrix``, ascending.

        Args:
            matrix: Shape (n, n), C order, of the type of this object; it is overwritten. Its numbers' squares must
                be finite and above zero, as nothing is scaled.
            bandwidth: Of the intermediate band, below n; more shifts work from the second stage to the first.

        Raises:
            LinAlgError: The eigenvalues of the tridiagonal did not converge.
        """
        n, letter = matrix.shape[0], matrix.dtype
        # C order is the transposed matrix to Fortran, and that has the same eigenvalues.
        band, scales = np.empty((n, bandwidth + 1), letter), np.empty(n, letter)
        diagonal, off_diagonal = np.empty(n, matrix.real.dtype), np.empty(n, matrix.real.dtype)
        size, width, leading, info = _integer(n), _integer(bandwidth), _integer(bandwidth + 1), _integer(0)

        first = (b"L", size, width, matrix, size, band, leading, scales)
        query = np.empty(1, letter)
        _call(self.to_band, *first, query, _integer(-1), info)
        work = np.empty(int(query[0].real), letter)
        _call(self.to_band, *first, work, _integer(work.size), info)

        second = (b"Y", b"N", b"L", size, width, band, leading, diagonal, off_diagonal)
        reflectors = np.empty(1, letter)
        _call(self.to_tridiagonal, *second, reflectors, _integer(-1), query, _integer(-1), info)
        reflectors, work = np.empty(int(reflectors[0].real), letter), np.empty(int(query[0].real), letter)
        _call(
            self.to_tridiagonal,
            *second,
            reflectors,
            _integer(reflectors.size),
            work,
            _integer(work.size),
            info,
        )
        _call(self.to_eigenvalues, size, diagonal, off_diagonal, info)
        if info.value:
            raise np.linalg.LinAlgError("eigenvalues did not converge")
        return diagonal


@functools.cache
def two_stage(letter: str) -> TwoStage | None:
    """Return the routines for a type of ``STAGES``; None where the library has none, or they are not what they seem."""
    # A 64-bit integer serves both interfaces of LAPACK as long as its low half comes first.
    if sys.byteorder != "little":
        return None
    try:
        from numpy.linalg import _umath_linalg

        library = ctypes.CDLL(_umath_linalg.__file__)
    except (ImportError, OSError):
        return None
    routines = [_routine(library, name) for name in STAGES[letter]]
    if None in routines:
        return None
    found = TwoStage(*routines)  # type: ignore[arg-type]  # None is not among them
    return found if _agrees_with_numpy(found, letter) else None


def _routine(library: ctypes.CDLL, name: str) -> Callable[..., None] | None:
    for pattern in NAMES:
        routine = getattr(library, pattern.format(name), None)
        if routine is not None:
            routine.restype = None
            return routine  # type: ignore[no-any-return]  # a foreign function has no type
    return None


def _agrees_with_numpy(found: TwoStage, letter: str) -> bool:
    values = np.cos(np.arange(40.0 * 60.0)).reshape(40, 60).astype(letter)
    if np.iscomplexobj(values):
        values += 1j * np.sin(np.arange(40.0 * 60.0) ** 2).reshape(40, 60).astype(values.real.dtype)
    gram = values @ values.conj().T
    expected = np.linalg.eigvalsh(gram)
    return bool(np.abs(found.eigenvalues(gram, 8) - expected).max() <= 1e3 * np.finfo(letter).eps * expected[-1])


def _integer(value: int) -> ctypes.c_int64:
    return ctypes.c_int64(value)


def _call(routine: Callable[..., None], *arguments: Any) -> None:
    """Call a Fortran routine: everything by reference, the lengths of texts at the end."""
    texts = [argument for argument in arguments if isinstance(argument, bytes)]
    routine(*map(_reference, arguments), *(ctypes.c_size_t(len(text)) for text in texts))


def _reference(argument: Any) -> Any:
    if isinstance(argument, np.ndarray):
        return argument.ctypes.data_as(ctypes.c_void_p)
    return ctypes.c_char_p(argument) if isinstance(argument, bytes) else ctypes.byref(argument)
