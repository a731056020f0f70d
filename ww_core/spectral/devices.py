"""Gram matrices and their eigenvalues on a device of torch's. It needs the extra ``torch``."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from ww_core.errors import MissingExtraError, UsageError
from ww_core.spectral.scaling import NotFiniteError, exponents_of, unscaled, widened

if TYPE_CHECKING:
    import numpy.typing as npt

UPLOAD_BYTES = 256 * 2**20
"""Bytes of one block on the device: transfers are few, and the device's memory is not the tensor's size."""

LONGEST_REASON = 160
"""Characters of what torch says; of some devices it lists all that it knows."""

ON_CPU = "torch"
"""Name of torch's own routines on the CPU."""


class TorchDevice:
    """Decomposes pieces on a device, in the arithmetic that is asked for; the numbers agree with the CPU's.

    Args:
        name: ``torch`` for torch on the CPU, or what torch calls a device: ``cuda``, ``cuda:1``, ``xpu``.

    Raises:
        MissingExtraError: torch is not installed.
        UsageError: torch knows no such device, it is not there, or it has no float64.
    """

    def __init__(self, name: str) -> None:
        try:
            import torch
        except ImportError:
            raise MissingExtraError(f"device {name!r} needs torch: pip install 'ww-core[torch]', or take cpu") from None
        self._torch = torch
        try:
            self._device = torch.device("cpu" if name == ON_CPU else name)
            probe = torch.ones((2, 2), dtype=torch.float64, device=self._device)
            torch.linalg.eigvalsh(probe @ probe).cpu()
        except Exception as error:  # torch raises many kinds, and asserts
            reason = str(error).partition("\n")[0][:LONGEST_REASON]
            raise UsageError(f"device {name!r} cannot be used: {reason}; take cpu") from error

    def by_gram(self, letter: str, piece: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Singular values by the Gram matrix, shape (b, n), ascending.

        Raises:
            NotFiniteError: A weight is NaN or infinite.
        """
        torch = self._torch
        exponents = exponents_of(piece, letter)
        count, rows, cols = piece.shape
        short, long = min(rows, cols), max(rows, cols)
        along = piece if rows > cols else piece.mT
        width = max(1, UPLOAD_BYTES // (16 * count * short))
        total = 0
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
        letter = "D" if np.iscomplexobj(piece) else "d"
        exponents = exponents_of(piece, letter)
        block = self._sent(piece, exponents, letter)
        if not bool(self._torch.isfinite(block).all()):
            raise NotFiniteError
        return unscaled(np.asarray(self._torch.linalg.svdvals(block).cpu().numpy()), exponents)

    def _sent(self, part: npt.NDArray[Any], exponents: npt.NDArray[np.int32], letter: str) -> Any:
        """``part`` on the device, in the type of ``letter``; float32 travels as such, half as many bytes."""
        torch = self._torch
        wide = {"d": torch.float64, "D": torch.complex128, "f": torch.float32, "F": torch.complex64}[letter]
        if part.dtype == np.float32 and not exponents.any():
            return torch.from_numpy(np.array(part, order="C")).to(self._device).to(wide)
        return torch.from_numpy(np.ascontiguousarray(widened(part, exponents, letter))).to(self._device)


@functools.cache
def torch_device(name: str) -> TorchDevice:
    """Return the device of a name; it is tried once."""
    return TorchDevice(name)
