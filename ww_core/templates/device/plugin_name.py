"""A device: spectra by NumPy's own routines, to compare others with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import ww_core as ww
from ww_core.spectral import NotFiniteError, exponents_of, unscaled, widened

if TYPE_CHECKING:
    import numpy.typing as npt


@dataclass(frozen=True)
class ObjectName(ww.Device):
    """The processor, by NumPy. What is scaled by powers of two has no square that is too large or too small."""

    name = "object-name"
    description = "NumPy's own routines, to compare others with."

    def by_gram(self, letter: str, piece: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return the roots of the eigenvalues of the Gram matrix on the short side."""
        exponents = exponents_of(piece, letter)
        block = widened(piece, exponents, letter)
        wide = block if block.shape[1] <= block.shape[2] else block.mT
        with np.errstate(invalid="ignore", over="ignore"):
            gram = wide @ wide.conj().mT
        if not np.isfinite(gram).all():
            raise NotFiniteError
        eigenvalues = np.linalg.eigvalsh(gram).astype(np.float64)
        return unscaled(np.sqrt(np.maximum(eigenvalues, 0.0)), exponents)

    def by_svd(self, piece: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return the singular values by SVD in double precision."""
        letter = "D" if np.iscomplexobj(piece) else "d"
        exponents = exponents_of(piece, letter)
        block = widened(piece, exponents, letter)
        if not np.isfinite(block).all():
            raise NotFiniteError
        return unscaled(np.linalg.svd(block, compute_uv=False), exponents)


@ww.hookimpl
def ww_register_devices() -> list[ww.Device]:
    """The devices of this plugin."""
    return [ObjectName()]
