"""Eigenvalues of symmetric matrices by routines of LAPACK that NumPy does not offer, from the library it has loaded.

A symmetric matrix becomes tridiagonal, and the eigenvalues are those of the tridiagonal. The first step is most of the
work, and two things make it faster than NumPy's: narrower panels, which LAPACK takes if it is given less room to work
in, and for large matrices a detour by a band, which is reached by products of matrices, where the usual way spends half
of its work on products with one vector, at the speed of memory.

A. Haidar, H. Ltaief, J. Dongarra, Parallel reduction to condensed forms for symmetric eigenvalue problems using
aggregated fine-grained and memory-aware kernels, SC 2011.
"""

from __future__ import annotations

import ctypes
import functools
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Routine = Callable[..., None]

NAMES = ("scipy_{}_64_", "scipy_{}_", "{}_64_", "{}_")
"""How builds of OpenBLAS, MKL and LAPACK decorate the name of a routine."""

ROUTINES = {
    "f": ("ssytrd", "ssytrd_sy2sb", "ssytrd_sb2st", "ssterf"),
    "d": ("dsytrd", "dsytrd_sy2sb", "dsytrd_sb2st", "dsterf"),
    "F": ("chetrd", "chetrd_he2hb", "chetrd_hb2st", "ssterf"),
    "D": ("zhetrd", "zhetrd_he2hb", "zhetrd_hb2st", "dsterf"),
}
"""By NumPy's letter of the type: to a tridiagonal, to a band, from there to a tridiagonal, to eigenvalues."""

PANEL = 16
"""Columns that are reduced together: with 32, LAPACK's own choice, a matrix of 256 takes a fifth longer."""


@dataclass(frozen=True, slots=True)
class Lapack:
    """The routines for one type. What they are given is overwritten, and nothing is scaled: squares must be finite."""

    to_tridiagonal: Routine
    to_band: Routine
    from_band: Routine
    to_eigenvalues: Routine

    def by_one_stage(self, matrices: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the eigenvalues of symmetric or Hermitian matrices, ascending, shape (b, n).

        Args:
            matrices: Shape (b, n, n), C order, of the type of this object.

        Raises:
            LinAlgError: The eigenvalues of a tridiagonal did not converge.
        """
        count, n = matrices.shape[:2]
        found = np.empty((count, n), matrices.real.dtype)
        own = _last.of(n, matrices.dtype.char)
        matrix, diagonal, info = own.matrix, own.diagonal, own.info
        start, stride, values, step = matrices.ctypes.data, matrices.strides[0], found.ctypes.data, found.strides[0]
        for index in range(count):
            matrix.value, diagonal.value = start + index * stride, values + index * step
            self.to_tridiagonal(*own.first)
            _check(info)
            self.to_eigenvalues(*own.second)
            _check(info)
        return found

    def by_two_stages(self, matrices: npt.NDArray[Any], bandwidth: int) -> npt.NDArray[Any]:
        """Return the same by way of a band: the larger ``bandwidth``, below n, the more of it in the first stage."""
        count, n = matrices.shape[:2]
        letter, real = matrices.dtype, matrices.real.dtype
        band, scales = np.empty((n, bandwidth + 1), letter), np.empty(n, letter)
        found, off_diagonal = np.empty((count, n), real), np.empty(n, real)
        size, width, leading, info = _integer(n), _integer(bandwidth), _integer(bandwidth + 1), _integer(0)
        rooms, query, ask = np.empty(1, letter), np.empty(1, letter), _integer(-1)
        for matrix, diagonal in zip(matrices, found, strict=True):
            first = (b"L", size, width, matrix, size, band, leading, scales)
            _call(self.to_band, *first, query, ask, info)
            work = np.empty(int(query[0].real), letter)
            _call(self.to_band, *first, work, _integer(work.size), info)
            _check(info)
            second = (b"Y", b"N", b"L", size, width, band, leading, diagonal, off_diagonal)
            _call(self.from_band, *second, rooms, ask, query, ask, info)
            reflectors, work = np.empty(int(rooms[0].real), letter), np.empty(int(query[0].real), letter)
            _call(self.from_band, *second, reflectors, _integer(reflectors.size), work, _integer(work.size), info)
            _check(info)
            self._finish(size, diagonal, off_diagonal, info)
        return found

    def _finish(
        self, size: ctypes.c_int64, diagonal: npt.NDArray[Any], off_diagonal: npt.NDArray[Any], info: ctypes.c_int64
    ) -> None:
        _call(self.to_eigenvalues, size, diagonal, off_diagonal, info)
        _check(info)


class _OneStage:
    """What the routines are called with for matrices of one size and type, and the room that they work in.

    Attributes:
        matrix: Address of the matrix.
        diagonal: Address of the diagonal, which becomes the eigenvalues.
        info: What a routine says of its end.
        first: Arguments to come to a tridiagonal.
        second: Arguments to come from there to eigenvalues.
    """

    def __init__(self, n: int, letter: str) -> None:
        self._scales, self._work = np.empty(n, letter), np.empty(n * PANEL, letter)
        self._off_diagonal = np.empty(n, self._scales.real.dtype)
        self.matrix, self.diagonal, self.info = ctypes.c_void_p(), ctypes.c_void_p(), _integer(0)
        size, room = _integer(n), _integer(self._work.size)
        # C order is the transposed matrix to Fortran, and that has the same eigenvalues.
        self.first = _arguments(
            b"L", size, self.matrix, size, self.diagonal, self._off_diagonal, self._scales, self._work, room, self.info
        )
        self.second = _arguments(size, self.diagonal, self._off_diagonal, self.info)


class _Last(threading.local):
    """What each thread called with last: for small matrices, making it anew takes a tenth of the work."""

    def __init__(self) -> None:
        self._key = (0, "")
        self._made: _OneStage | None = None

    def of(self, n: int, letter: str) -> _OneStage:
        """Return what is called with for matrices of this size and type."""
        if self._made is None or self._key != (n, letter):
            self._key, self._made = (n, letter), _OneStage(n, letter)
        return self._made


_last = _Last()


@functools.cache
def lapack(letter: str) -> Lapack | None:
    """Return the routines for a type of ``ROUTINES``; None where there are none, or they are not what they seem."""
    # A 64-bit integer serves both interfaces of LAPACK as long as its low half comes first.
    if sys.byteorder != "little":
        return None
    try:
        from numpy.linalg import _umath_linalg

        library = ctypes.CDLL(_umath_linalg.__file__)
    except (ImportError, OSError):
        return None
    routines = [_routine(library, name) for name in ROUTINES[letter]]
    if None in routines:
        return None
    found = Lapack(*routines)  # type: ignore[arg-type]  # None is not among them
    return found if _agrees_with_numpy(found, letter) else None


def _routine(library: ctypes.CDLL, name: str) -> Routine | None:
    for pattern in NAMES:
        routine = getattr(library, pattern.format(name), None)
        if routine is not None:
            routine.restype = None
            return routine  # type: ignore[no-any-return]  # a foreign function has no type
    return None


def _agrees_with_numpy(found: Lapack, letter: str) -> bool:
    values = np.cos(np.arange(40.0 * 60.0)).reshape(1, 40, 60).astype(letter)
    if np.iscomplexobj(values):
        values += 1j * np.sin(np.arange(40.0 * 60.0) ** 2).reshape(40, 60).astype(values.real.dtype)
    gram = values @ values.conj().mT
    expected = np.linalg.eigvalsh(gram)
    results = (found.by_one_stage(gram.copy()), found.by_two_stages(gram.copy(), 8))
    largest = max(float(np.abs(result - expected).max()) for result in results)
    return largest <= 1e3 * float(np.finfo(letter).eps) * float(expected.max())


def _check(info: ctypes.c_int64) -> None:
    if info.value:
        raise np.linalg.LinAlgError(f"LAPACK gave up on an eigenvalue problem: info = {info.value}")


def _integer(value: int) -> ctypes.c_int64:
    return ctypes.c_int64(value)


def _call(routine: Routine, *arguments: Any) -> None:
    routine(*_arguments(*arguments))


def _arguments(*arguments: Any) -> tuple[Any, ...]:
    """What a Fortran routine is called with: everything by reference, the lengths of texts at the end."""
    texts = [argument for argument in arguments if isinstance(argument, bytes)]
    return (*map(_reference, arguments), *(ctypes.c_size_t(len(text)) for text in texts))


def _address(array: npt.NDArray[Any]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def _reference(argument: Any) -> Any:
    if isinstance(argument, ctypes.c_void_p):
        return argument
    if isinstance(argument, np.ndarray):
        return _address(argument)
    return ctypes.c_char_p(argument) if isinstance(argument, bytes) else ctypes.byref(argument)
