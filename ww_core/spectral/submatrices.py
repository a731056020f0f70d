"""Random square parts of a matrix, whose spectra do not depend on the matrix's own ratio of sides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ww_core.spectral.scaling import exponents_of, widened

if TYPE_CHECKING:
    import numpy.typing as npt


def singular_values_of_parts(
    entries: npt.NDArray[Any], rng: np.random.Generator, *, side: int, samples: int
) -> tuple[npt.NDArray[np.float64], int]:
    """Decompose square parts of each entry of a batch, of rows and columns drawn without replacement.

    Every draw takes the same rows and columns of all entries.

    Args:
        entries: Shape (B, rows, cols), float64 or complex128, finite.
        rng: Draws rows and columns.
        side: Rows, and columns, of a part.
        samples: Draws.

    Returns:
        Singular values divided by two to an exponent, shape (samples, B, side), and the exponent.
    """
    letter = entries.dtype.char
    exponents = np.full(entries.shape[0], exponents_of(entries, letter).max())
    scaled = widened(entries, exponents, letter)
    values = np.empty((samples, entries.shape[0], side))
    for sample in values:
        rows = rng.choice(entries.shape[1], side, replace=False)
        cols = rng.choice(entries.shape[2], side, replace=False)
        sample[...] = np.linalg.svd(scaled[:, rows[:, np.newaxis], cols], compute_uv=False)
    return values, int(exponents[0])
