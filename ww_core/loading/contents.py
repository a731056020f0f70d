"""The content of tensors that are not analysed, as bytes: their dtypes, and how one is made of several parts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager

    import numpy as np
    import numpy.typing as npt

BITS = {
    "float64": 64, "float32": 32, "float16": 16, "bfloat16": 16,
    "int64": 64, "int32": 32, "int16": 16, "int8": 8, "uint64": 64, "uint32": 32, "uint16": 16, "uint8": 8, "bool": 8,
    "complex128": 128, "complex64": 64, "complex32": 32,
    "qint8": 8, "quint8": 8, "qint32": 32, "quint4x2": 8, "quint2x4": 8,
    "float8_e4m3fn": 8, "float8_e5m2": 8, "float8_e4m3fnuz": 8, "float8_e5m2fnuz": 8, "float8_e8m0fnu": 8,
    "float6_e2m3fn": 6, "float6_e3m2fn": 6, "float4_e2m1fn": 4, "float4_e2m1fn_x2": 8,
    "int4": 4, "uint4": 4, "int2": 2, "uint2": 2,
}  # fmt: skip
"""Bits of one number, by NumPy's name of its dtype; quantized ones and pairs by PyTorch's own."""


def told_of(dtype: str, shape: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
    """Return dtype and shape as they are told: PyTorch counts float4 in pairs, everybody else each number."""
    if dtype == "float4_e2m1fn_x2" and shape:
        return "float4_e2m1fn", (*shape[:-1], 2 * shape[-1])
    return dtype, shape


def raw_dtype(name: str) -> np.dtype[Any]:
    """Return a dtype of whole bytes that holds the numbers of another, bit by bit, and can change its byte order."""
    import numpy as np

    size = BITS[name] // 8
    if name.startswith("complex"):
        return np.dtype([("real", f"u{size // 2}"), ("imaginary", f"u{size // 2}")])
    return np.dtype(f"u{size}")


def as_bytes(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """View a C-ordered array as bytes, read-only and in a row."""
    import numpy as np

    content = array.reshape(-1).view(np.uint8) if array.nbytes else np.empty(0, np.uint8)
    content.flags.writeable = False
    return content


def description_of(what: object) -> str:
    """Return JSON content as text, always the same for the same content."""
    return json.dumps(what, separators=(",", ":"), sort_keys=True)


def joined(described: str, parts: Iterable[AbstractContextManager[npt.NDArray[np.uint8]]]) -> npt.NDArray[np.uint8]:
    """Return the content of a tensor of several parts: how they belong together, then each behind its length.

    Args:
        described: What the parts are, in their order, with all that makes the tensor but their bytes.
        parts: Their bytes, one at a time.
    """
    import numpy as np

    content = bytearray(f"ww:parts\0{described}\0".encode())
    for part in parts:
        with part as numbers:
            content += len(numbers).to_bytes(8, "little")
            content += numbers.data
    array = np.frombuffer(content, np.uint8)
    array.flags.writeable = False
    return array
