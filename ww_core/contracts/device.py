"""Devices: where spectra are made."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from ww_core.contracts.variant import Variant

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class Device(Variant):
    """A place where pieces of a batch of matrices are decomposed. Subclass it as a frozen dataclass of its options.

    The numbers of all devices agree to 1e-10 of the largest eigenvalue: which one made a spectrum is provenance, and
    no part of its identity. Several threads may use one device at once.

    Attributes:
        name: Its name.
        description: One line on when to use it.
        extra: The extra of ww that installs what it needs; empty if nothing is needed.
        piece_bytes: Bytes of a piece in the arithmetic asked for, as far as one entry leaves the choice.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    extra: ClassVar[str] = ""
    piece_bytes: ClassVar[int] = 64 * 2**20

    def check(self) -> None:
        """Try the device, before there is work for it.

        Raises:
            MissingExtraError: What it needs is not installed.
            UsageError: It is not there, or cannot do the arithmetic.
        """
        return

    @abstractmethod
    def by_gram(self, letter: str, piece: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return the singular values by the Gram matrix on the short side, shape (b, n), ascending.

        Args:
            letter: The arithmetic, by NumPy's letters: f float32, d float64, F complex64, D complex128.
            piece: Shape (b, rows, cols), real or complex, of any stored dtype, read-only.

        Raises:
            NotFiniteError: A number is NaN or infinite.
        """

    @abstractmethod
    def by_svd(self, piece: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return the singular values by SVD in float64, shape (b, n), in any order.

        Raises:
            NotFiniteError: A number is NaN or infinite.
        """
