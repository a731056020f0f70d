"""Spectra as bytes: every bit of them, in about four fifths of the room."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from ww_core.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

SHUFFLED = "f8-shuffle-zlib"
LEVEL = 1  # higher levels save no more than 0.1 % of a spectrum
SHORT = 4096  # up to so many values
LONGEST = 1 << 24  # values of a spectrum that is kept: 128 MiB
MOST_CLAIMED = 64 << 20  # bytes that spectra may have however little they take
MOST_COMPRESSED = 16  # of more bytes, so many may be stored as one: spectra that are not constant take half or more
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


def check_lengths(stored: Iterable[tuple[bytes, int]]) -> None:
    """Refuse spectra that would take far more memory than they take in the store, before any is decoded.

    Args:
        stored: The bytes of each, and how many values it says it has.

    Raises:
        StoreError: They are not what `encode_spectrum` makes of spectra.
    """
    sizes = [(len(content), 8 * abs(count)) for content, count in stored]
    held, claimed = sum(size for size, _ in sizes), sum(size for _, size in sizes)
    if claimed > max(MOST_CLAIMED, MOST_COMPRESSED * held):
        raise StoreError(f"spectra in the store are damaged: {held} bytes cannot hold {claimed // 8} values")


def decode_spectrum(encoding: str, content: bytes, count: int) -> NDArray[np.float64]:
    """Decode what `encode_spectrum` made. Never inflates more than ``count`` values and a byte, and these are limited.

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
    if not 0 <= count <= LONGEST:
        raise StoreError(f"a spectrum in the store is damaged: it cannot have {count} values")
    size = 8 * count
    inflater = zlib.decompressobj()
    try:
        planes = inflater.decompress(content, size + 1)  # a byte too many tells of the rest
    except zlib.error as error:
        raise StoreError(f"a spectrum in the store is damaged: {error}") from error
    if len(planes) != size or not inflater.eof or inflater.unused_data:
        raise StoreError(f"a spectrum in the store is damaged: it does not hold {count} values")
    values = np.frombuffer(planes, np.uint8).reshape(8, count).T
    return np.ascontiguousarray(values).view("<f8").reshape(count).astype(np.float64)
