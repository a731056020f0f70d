"""The numbers of tensors of any dtype, also of such as NumPy does not know, read from their files in pieces."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ww_core.loading.contents import BITS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

    from ww_core.loading.mapped import StoredTensor

FLOAT8 = {"float8_e4m3fn": 3, "float8_e4m3fnuz": 3, "float8_e5m2": 2, "float8_e5m2fnuz": 2}
"""Bits of the fraction of a number, by its dtype of eight bits."""

SHORT = frozenset({"int4", "uint4", "int2", "uint2"})
"""Dtypes of which a byte holds several numbers."""

_READ_AT_ONCE = 1 << 24  # bytes
_AT_ONCE = 1 << 18  # bytes that are turned into numbers together


def numbers_of(tensor: StoredTensor, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return the numbers of a tensor in another dtype, those of less than a byte too."""
    import numpy as np

    numbers = np.empty(math.prod(tensor.shape), dtype)
    filled = 0
    with np.errstate(all="ignore"):  # what is not finite is told where it is analysed
        for some in _in_pieces(tensor):
            numbers[filled : filled + len(some)] = some[: len(numbers) - filled]
            filled += len(some)
    return numbers.reshape(tensor.shape)


def largest_of(scales: StoredTensor) -> npt.NDArray[Any]:
    """Return the largest of many scales, without their sign."""
    import numpy as np

    largest = np.zeros((), "f8")
    with np.errstate(all="ignore"):
        for some in _in_pieces(scales):
            largest = np.maximum(largest, abs(some).max().astype("f8"))
    return largest


def _in_pieces(tensor: StoredTensor) -> Iterator[npt.NDArray[Any]]:
    """Give the numbers of a tensor a piece at a time, as they are stored: what was mapped would stay in memory."""
    import numpy as np

    for start in range(0, tensor.nbytes, _READ_AT_ONCE):
        nbytes = min(_READ_AT_ONCE, tensor.nbytes - start)
        if tensor.content is None:
            block = tensor.file.bytes_at(tensor.offset + start, nbytes)
        else:
            block = tensor.content[start : start + nbytes]
        content = np.frombuffer(block, np.uint8)
        for first in range(0, nbytes, _AT_ONCE):
            yield _as_stored(content[first : first + _AT_ONCE], tensor.dtype)


def _as_stored(content: npt.NDArray[np.uint8], dtype: str) -> npt.NDArray[Any]:
    """Return bytes as the numbers that they are; the last byte may hold some too many."""
    import ml_dtypes
    import numpy as np

    if dtype not in SHORT:
        is_special = dtype in FLOAT8 or dtype == "bfloat16"
        return content.view(getattr(ml_dtypes, dtype) if is_special else np.dtype(dtype).newbyteorder("<"))
    numbers = split(content, BITS[dtype])
    if dtype.startswith("u"):
        return numbers
    half = np.int8(1 << (BITS[dtype] - 1))
    return (numbers.view(np.int8) ^ half) - half


def split(packed: npt.NDArray[np.uint8], bits: int) -> npt.NDArray[np.uint8]:
    """Return the numbers of bytes, along the last axis."""
    import numpy as np

    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    parts = (packed[..., None] >> shifts) & np.uint8((1 << bits) - 1)
    return parts.reshape(*packed.shape[:-1], -1)
