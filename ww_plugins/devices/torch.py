"""Devices of torch's: its own routines on the CPU, and graphics cards. They need the extra ``torch``."""

from __future__ import annotations

import functools
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import ww_core as ww
from ww_core.spectral import NotFiniteError, exponents_of, unscaled, widened

if TYPE_CHECKING:
    import numpy.typing as npt


UPLOAD_BYTES = 256 * 2**20
"""Bytes of one block on the device: transfers are few, and the device's memory is not the tensor's size."""

LONGEST_REASON = 160
"""Characters of what torch says; of some devices it lists all that it knows."""


@dataclass(frozen=True)
class TorchDevice(ww.Device):
    """Decomposes pieces on a device of torch's, in the arithmetic that is asked for."""

    extra = "torch"

    @property
    @abstractmethod
    def address(self) -> str:
        """What torch calls the device."""

    def check(self) -> None:
        """Try the device once.

        Raises:
            MissingExtraError: torch is not installed.
            UsageError: torch knows no such device, it is not there, or it has no float64.
        """
        _tried(self.address, self.label)

    def by_gram(self, letter: str, piece: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Singular values by the Gram matrix, shape (b, n), ascending.

        Raises:
            NotFiniteError: A weight is NaN or infinite.
        """
        import torch

        exponents = exponents_of(piece, letter)
        count, rows, cols = piece.shape
        short, long = min(rows, cols), max(rows, cols)
        along = piece if rows > cols else piece.mT
        width = max(1, UPLOAD_BYTES // (16 * count * short))
        total: Any = 0
        for start in range(0, long, width):
            block = self._sent(along[:, start : start + width], exponents, letter)
            total = total + block.mH @ block
        if not bool(torch.isfinite(torch.diagonal(total, dim1=-2, dim2=-1)).all()):
            raise NotFiniteError
        eigenvalues = torch.linalg.eigvalsh(total).clamp_(min=0.0).double().sqrt_()
        return unscaled(np.asarray(eigenvalues.cpu().numpy()), exponents)

    def by_svd(self, piece: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Singular values by SVD, in float64, shape (b, n), descending.

        Raises:
            NotFiniteError: A weight is NaN or infinite.
        """
        import torch

        letter = "D" if np.iscomplexobj(piece) else "d"
        exponents = exponents_of(piece, letter)
        block = self._sent(piece, exponents, letter)
        if not bool(torch.isfinite(block).all()):
            raise NotFiniteError
        return unscaled(np.asarray(torch.linalg.svdvals(block).cpu().numpy()), exponents)

    def _sent(self, part: npt.NDArray[Any], exponents: npt.NDArray[np.int32], letter: str) -> Any:
        """``part`` on the device, in the type of ``letter``; float32 travels as such, half as many bytes."""
        import torch

        wide = {"d": torch.float64, "D": torch.complex128, "f": torch.float32, "F": torch.complex64}[letter]
        if part.dtype == np.float32 and not exponents.any():
            return torch.from_numpy(np.array(part, order="C")).to(self.address).to(wide)
        return torch.from_numpy(np.ascontiguousarray(widened(part, exponents, letter))).to(self.address)


@dataclass(frozen=True)
class Torch(TorchDevice):
    """torch's own routines, on the processor or on whatever device torch knows.

    Attributes:
        on: What torch calls the device.
    """

    name = "torch"
    description = "torch's own routines: on the processor, or torch[on=DEVICE] on any device of torch's."
    on: str = "cpu"

    @property
    def address(self) -> str:
        """What torch calls the device."""
        return self.on


@dataclass(frozen=True)
class Card(TorchDevice):
    """One of several cards of a kind.

    Attributes:
        index: Which of them.
    """

    index: int = 0

    @property
    def address(self) -> str:
        """What torch calls the card."""
        return f"{self.name}:{self.index}"


@dataclass(frozen=True)
class Cuda(Card):
    """Cards of NVIDIA's, and of AMD's where torch is built for ROCm."""

    name = "cuda"
    description = "A graphics card of NVIDIA's, or of AMD's under ROCm: cuda, cuda:1."


@dataclass(frozen=True)
class Xpu(Card):
    """Cards of Intel's."""

    name = "xpu"
    description = "A graphics card of Intel's: xpu, xpu:1."


@functools.cache
def _tried(address: str, label: str) -> None:
    try:
        import torch
    except ImportError:
        raise ww.MissingExtraError(f"device {label!r} needs torch: pip install 'ww-core[torch]', or take cpu") from None
    try:
        matrix = torch.ones((2, 2), dtype=torch.float64, device=torch.device(address))
        torch.linalg.eigvalsh(matrix @ matrix).cpu()
    except Exception as error:  # torch raises many kinds, and asserts
        reason = str(error).partition("\n")[0][:LONGEST_REASON]
        raise ww.UsageError(f"device {label!r} cannot be used: {reason}; take cpu") from error
