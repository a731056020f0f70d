"""A spectrum: the singular values of one matrix and how far down they can be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Resolution = Literal["standard", "full"]
"""How far down the small end is exact: ``standard`` to the noise floor, ``full`` to rounding of the SVD itself."""


Precision = Literal["float64", "float32"]
"""Of the arithmetic behind a spectrum of standard resolution; ``full`` is always in float64."""

PRECISIONS: tuple[Precision, ...] = ("float64", "float32")


@dataclass(frozen=True, slots=True, eq=False)
class Spectrum:
    """Singular values of a matrix.

    Attributes:
        singular_values: Shape (n,), float64, descending, multiplicities expanded. Never divided by N.
        noise_floor: Below this a singular value says nothing: the expected spectral norm of the rounding noise of the
            stored precision, or what the resolution can tell apart if that is more. Same unit as the weights.
        resolution: How it was asked for; part of the identity.
        precision: Of the arithmetic; part of the identity.
        route: How it was computed; provenance only.
        seconds: How long that took; provenance only.
    """

    singular_values: npt.NDArray[np.float64]
    noise_floor: float
    resolution: Resolution = "standard"
    precision: Precision = "float64"
    route: str = ""
    seconds: float = 0.0

    @property
    def eigenvalues(self) -> npt.NDArray[np.float64]:
        """Squared singular values, shape (n,), descending; may overflow to inf where the squares do."""
        import numpy as np

        with np.errstate(over="ignore", under="ignore"):
            return np.square(self.singular_values)
