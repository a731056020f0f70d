"""Spectra as bytes: every bit of them, in about four fifths of the room."""

from __future__ import annotations

import sys
import zlib
from typing import TYPE_CHECKING

from ww_core.errors import StoreError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHUFFLED = "f8-shuffle-zlib"
LEVEL = 1  # higher levels save no more than 0.1 % of a spectrum
SHORT = 4096  # up to so many values
NOISE = 6  # so many low bytes of each do not get shorter, and take most of the time of a compression


def encode_spectrum(values: NDArray[np.float64]) -> tuple[str, bytes]:
    """Encode singular values without loss.

    Neighbours in a sorted spectrum share their high bytes, so the bytes are put together by significance before they
    are compressed; the low ones, which are noise, are not.

    Args:
        values: Shape (count,).

    Returns:
        The name of the encoding, and the bytes.

    Raises:
        ValueError: The array is not one-dimensional.
    """
    import numpy as np

    if values.ndim != 1:
        raise ValueError(f"a spectrum has one dimension, not {values.ndim}")
    planes = np.ascontiguousarray(values, dtype="<f8").view(np.uint8).reshape(-1, 8).T
    content, noise = planes.tobytes(), NOISE * len(values)
    if len(values) > SHORT or not any(content[: len(values)]):  # the lowest bytes of a shorter format are zero
        return SHUFFLED, zlib.compress(content, LEVEL)
    return SHUFFLED, _half_compressed(content[:noise], content[noise:])


def _half_compressed(noise: bytes, rest: bytes) -> bytes:
    """Return both as one stream of zlib's (RFC 1950, 1951): a block that is not compressed, and what is."""
    size = len(noise)
    head = b"\x78\x01\x00" + size.to_bytes(2, "little") + (size ^ 0xFFFF).to_bytes(2, "little")
    deflate = zlib.compressobj(LEVEL, zlib.DEFLATED, wbits=-12, memLevel=6)  # the usual 256 KiB take long to get
    checksum = zlib.adler32(rest, zlib.adler32(noise))
    return b"".join([head, noise, deflate.compress(rest), deflate.flush(), checksum.to_bytes(4, "big")])


def decode_spectrum(encoding: str, content: bytes, count: int) -> NDArray[np.float64]:
    """Decode what `encode_spectrum` made. Never inflates more than ``count`` values and a byte.

    Args:
        encoding: Name of the encoding.
        content: The bytes.
        count: How many values there are.

    Returns:
        Shape (count,).

    Raises:
        StoreError: The encoding is unknown, or the bytes are damaged or hold another number of values.
    """
    import numpy as np

    if encoding != SHUFFLED:
        raise StoreError(f"a spectrum in the store has the unknown encoding {encoding!r}: upgrade ww")
    size = 8 * count
    inflater = zlib.decompressobj()
    try:
        planes = inflater.decompress(content, min(max(size, 0) + 1, sys.maxsize))  # a byte too many tells of the rest
    except zlib.error as error:
        raise StoreError(f"a spectrum in the store is damaged: {error}") from error
    if len(planes) != size or not inflater.eof or inflater.unused_data:
        raise StoreError(f"a spectrum in the store is damaged: it does not hold {count} values")
    values = np.frombuffer(planes, np.uint8).reshape(8, count).T
    return np.ascontiguousarray(values).view("<f8").reshape(count).astype(np.float64)
