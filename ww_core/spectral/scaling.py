"""Entries in the precision of the arithmetic, scaled so that their squares neither overflow nor underflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ww_core.spectral.blocks import SAFE_EXPONENT, scaling_exponents

if TYPE_CHECKING:
    import numpy.typing as npt

    from ww_core.spectral.room import Make

SAFE_SINGLE_EXPONENT = 30
"""The same as ``SAFE_EXPONENT`` for float32."""

DOUBLES = frozenset("dD")
"""NumPy's letters of double precision, real and complex."""

SINGLES = frozenset("fF")
"""The same of single precision."""


class NotFiniteError(ArithmeticError):
    """Something in a piece of entries is NaN or infinite."""


def exponents_of(piece: npt.NDArray[Any], letter: str) -> npt.NDArray[np.int32]:
    """Exponent of two to divide each entry by, shape (b,), before it is squared in the type of ``letter``.

    Raises:
        NotFiniteError: An entry is not finite, if that was looked at.
    """
    if letter in DOUBLES and piece.dtype.char not in DOUBLES:  # no other type reaches far enough
        return np.zeros(piece.shape[0], dtype=np.int32)
    parts = [piece.real, piece.imag] if np.iscomplexobj(piece) else [piece]
    with np.errstate(invalid="ignore"):
        peaks = np.max([np.maximum(part.max(axis=(1, 2)), -part.min(axis=(1, 2))) for part in parts], axis=0)
    peaks = peaks.astype(np.float64, copy=False)
    if not np.isfinite(peaks).all():
        raise NotFiniteError
    return scaling_exponents(peaks, SAFE_SINGLE_EXPONENT if letter in SINGLES else SAFE_EXPONENT)


def lies_transposed(part: npt.NDArray[Any]) -> bool:
    """Whether the matrices of ``part``, shape (b, rows, cols), lie in memory column by column."""
    return abs(part.strides[1]) < abs(part.strides[2])


def widened(
    part: npt.NDArray[Any], exponents: npt.NDArray[np.int32], letter: str, make: Make = np.empty
) -> npt.NDArray[Any]:
    """Copy of ``part`` in the type of ``letter``, in the order it lies in, entries divided by two to their exponent."""
    if lies_transposed(part):
        return widened(part.mT, exponents, letter, make).mT
    if letter in SINGLES and exponents.any():  # scaled before it is rounded, as it may not fit
        return widened(part, exponents, letter.replace("f", "d").replace("F", "D")).astype(letter)
    block = make(part.shape, letter)
    block[...] = part
    if exponents.any():
        numbers = block.view(block.real.dtype)
        with np.errstate(under="ignore"):
            np.ldexp(numbers, -exponents[:, np.newaxis, np.newaxis], out=numbers)
    return block


def unscaled(values: npt.NDArray[np.float64], exponents: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
    """Singular values of entries from those of scaled ones, shape (b, n); infinite where they are beyond float64."""
    if not exponents.any():
        return values
    with np.errstate(over="ignore", under="ignore"):
        return np.ldexp(values, exponents[:, np.newaxis])
