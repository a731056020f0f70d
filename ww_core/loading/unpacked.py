"""Files that may be compressed by gzip, read from their beginning with a limit on what comes out."""

from __future__ import annotations

import gzip
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, cast

from ww_core.errors import CorruptFileError, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ww_core.contracts.source import Source

GZIP = b"\x1f\x8b"


@contextmanager
def unpacked(source: Source) -> Iterator[BinaryIO]:
    """Open a file for reading from its beginning to its end; what gzip compressed is unpacked on the way.

    Raises:
        SourceError: It cannot be read; inside the ``with`` statement too.
        CorruptFileError: What gzip compressed is damaged or cut short.
    """
    with source.open() as file:
        try:
            compressed = file.read(len(GZIP)) == GZIP
            file.seek(0)
            if not compressed:
                yield file
                return
            with gzip.GzipFile(fileobj=file, mode="rb") as content:
                yield cast("BinaryIO", content)
        except EOFError:
            raise CorruptFileError(
                f"{source.label}: the file compressed by gzip is cut short: download it again"
            ) from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise CorruptFileError(f"{source.label}: the file compressed by gzip is damaged: {error}") from None
        except OSError as error:
            raise SourceError(f"{source.label}: it cannot be read: {error.strerror or error}") from None


def unpacked_head(source: Source, nbytes: int) -> bytes:
    """Return the first bytes of a file's content, fewer if there are no more.

    Raises:
        SourceError: They cannot be had.
    """
    with unpacked(source) as file:
        return file.read(nbytes)


def unpacked_content(source: Source, limit: int, what: str) -> bytes:
    """Return a file's whole content.

    Args:
        source: The file.
        limit: The most bytes that it may have, once it is unpacked.
        what: What it should be, for the message that it is too long.

    Raises:
        SourceError: It cannot be read.
        CorruptFileError: It has more bytes, or is damaged.
    """
    with unpacked(source) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise CorruptFileError(f"{source.label}: it has more than {limit:,} bytes, the limit for a {what}")
    return content
