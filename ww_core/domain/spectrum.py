"""A spectrum: the singular values of one matrix and how far down they can be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import numpy.typing as npt

Resolution = Literal["standard", "full"]
"""How far down the small end is exact: ``standard`` to the noise floor, ``full`` to rounding of the SVD itself."""


Precision = Literal["float64", "float32"]
"""Of the arithmetic behind a spectrum of standard resolution; ``full`` is always in float64."""

PRECISIONS: tuple[Precision, ...] = ("float64", "float32")


@dataclass(frozen=True, slots=True)
class Randomized:
    """Which permutation of all elements a matrix has gone through.

    Attributes:
        number: From 0; each number is another permutation.
        seed: Seed of the selection.
    """

    number: int
    seed: int

    def key(self, tensor: str, index: int) -> bytes:
        """Return the 16 bytes from which ``ww_core.spectral.permutation`` draws it for a matrix.

        Args:
            tensor: Digest of the tensor.
            index: Position of the matrix among those that an extractor makes of the tensor.
        """
        from ww_core.domain.identity import random_key

        name = f"randomized_eigenvalues[{self.number}]" if self.number else "randomized_eigenvalues"
        return random_key(tensor, index, name, self.seed)


class SpectrumKind(NamedTuple):
    """Which spectrum of a matrix is meant; part of the identity. A tuple, as it is looked up for each need of a metric.

    Attributes:
        resolution: How far down it is exact.
        precision: Of the arithmetic.
        randomized: The permutation of the elements; None for the matrix itself.
    """

    resolution: Resolution = "standard"
    precision: Precision = "float64"
    randomized: Randomized | None = None

    @property
    def parameters(self) -> dict[str, str | int]:
        """What it is besides its resolution, as plain data."""
        own: dict[str, str | int] = {"precision": self.precision}
        if self.randomized is not None:
            own |= {"randomized": self.randomized.number, "seed": self.randomized.seed}
        return own

    @classmethod
    def of(cls, resolution: Resolution, parameters: Mapping[str, Any]) -> SpectrumKind:
        """Return the kind of a resolution and the rest as plain data.

        Raises:
            KeyError: Something is missing.
        """
        randomized = Randomized(parameters["randomized"], parameters["seed"]) if "randomized" in parameters else None
        return cls(resolution, parameters["precision"], randomized)


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
        randomized: The permutation of the elements before; None for the matrix itself; part of the identity.
    """

    singular_values: npt.NDArray[np.float64]
    noise_floor: float
    resolution: Resolution = "standard"
    precision: Precision = "float64"
    route: str = ""
    seconds: float = 0.0
    randomized: Randomized | None = None

    @property
    def kind(self) -> SpectrumKind:
        """Which spectrum of its matrix it is."""
        return SpectrumKind(self.resolution, self.precision, self.randomized)

    def scaled(self, scale: float, randomized: Randomized | None) -> Spectrum:
        """Return that of the matrix so many times as large, after a permutation."""
        return Spectrum(
            singular_values=self.singular_values * scale,
            noise_floor=self.noise_floor * scale,
            resolution=self.resolution,
            precision=self.precision,
            route=self.route,
            seconds=self.seconds,
            randomized=randomized,
        )

    @property
    def eigenvalues(self) -> npt.NDArray[np.float64]:
        """Squared singular values, shape (n,), descending; may overflow to inf where the squares do."""
        import numpy as np

        with np.errstate(over="ignore", under="ignore"):
            return np.square(self.singular_values)
