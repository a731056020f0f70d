"""Walking a tensor in small float64 blocks, so that no float64 copy of it ever exists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ww_core.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

BLOCK_BYTES = 4 * 2**20
"""Bytes of one float64 block: small enough for a core's share of cache, large enough that Python's part is nothing."""

SAFE_EXPONENT = 300
"""Numbers whose largest lies between 2**-300 and 2**300 are squared and summed without harm."""


def stored_blocks(array: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    """Yield the numbers of ``array`` in C order as contiguous 1-D blocks of the stored dtype.

    Whatever the layout of ``array``, at most one block of it is copied. A block is valid until the next is asked for.
    """
    with np.nditer(  # type: ignore[call-overload] # numpy's stubs misspell "contig"
        array,
        flags=["external_loop", "buffered", "zerosize_ok"],
        op_flags=[["readonly", "contig"]],
        order="C",
        buffersize=BLOCK_BYTES // 8,
    ) as blocks:
        if array.size:
            yield from blocks


def float64_blocks(array: npt.NDArray[Any]) -> Iterator[npt.NDArray[np.float64]]:
    """Yield the numbers of ``array`` in C order as 1-D float64 blocks of at most ``BLOCK_BYTES``.

    Args:
        array: Any shape and layout, real, any stored dtype.

    Yields:
        Blocks to read, not to keep: one is valid until the next is asked for.
    """
    for block in stored_blocks(array):
        yield block.astype(np.float64, copy=False)


def all_finite(block: npt.NDArray[Any]) -> bool:
    """Whether no number of ``block``, of any stored dtype, is NaN or infinite."""
    with np.errstate(invalid="ignore"):  # some NaNs of bfloat16 are signalling ones
        return bool(np.isfinite(block).all())


def count_non_finite(array: npt.NDArray[Any]) -> int:
    """Count the numbers of ``array``, real or complex, that are NaN or infinite."""
    with np.errstate(invalid="ignore"):  # some NaNs of bfloat16 are signalling ones
        return sum(block.size - int(np.count_nonzero(np.isfinite(block))) for block in stored_blocks(array))


def non_finite(array: npt.NDArray[Any]) -> Refused:
    """Return the refusal of an ``array``, real or complex, that is not all finite: it says how much of it is not."""
    return Refused(f"{count_non_finite(array)} of {array.size} weights are NaN or infinite")


def scaling_exponents(peaks: npt.ArrayLike, safe: int = SAFE_EXPONENT) -> npt.NDArray[np.int32]:
    """Return the exponents e by which numbers are to be divided by 2**e before they are squared.

    Args:
        peaks: Largest magnitudes, finite, any shape.
        safe: Exponents up to this one do no harm.

    Returns:
        Same shape; 0 where no scaling is needed. Scaling by a power of two changes no digit.
    """
    exponents: npt.NDArray[np.int32] = np.frexp(peaks)[1]
    return np.where(np.abs(exponents) > safe, exponents, np.int32(0))
