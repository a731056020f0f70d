"""How much may be read of a file, and made of it: a small one may claim to be many times as large."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ww_core.errors import CorruptFileError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ww_core.loading.mapped import MappedFile, StoredTensor

_MOST_READINGS = 16  # of each byte of a file: tensors may share storages
_MOST_MADE = 64  # bytes that may be made of each byte that is stored: sparse tensors have more than what is stored
_SMALL_FILE = 1 << 20  # bytes that may be read of any file, and made of any tensor
_SMALL_MADE = 64_000_000  # bytes that may be made of any file


def excess_over_parts(tensor: StoredTensor) -> str:
    """Return why a tensor must not be made that would be many times as large as its parts; empty where it may be."""
    most = _SMALL_FILE + _MOST_MADE * tensor.nbytes_stored
    if tensor.nbytes <= most:
        return ""
    return (
        f"it would take {tensor.nbytes:,} bytes as {tensor.dtype}, and {most:,} are the most for the "
        f"{tensor.nbytes_stored:,} that are stored of it"
    )


def refuse_excess(content: MappedFile) -> None:
    """Refuse a file of which each byte is read many times, as views of one storage make it, or that becomes huge.

    What is held in memory may be more than the file: it was limited when it was made, and may be read once besides.

    Raises:
        CorruptFileError: It is one.
    """
    read = {tensor.content_key: tensor.nbytes_stored for tensor in content.tensors}
    held = {id(own): len(own) for tensor in content.tensors for own in _held(tensor)}
    total = sum(read.values())
    # A file may say that its numbers lie in others beside it.
    files = {content.file.location: content.file, **{tensor.file.location: tensor.file for tensor in content.tensors}}
    size = sum(file.size for file in files.values())
    most = _SMALL_FILE + _MOST_READINGS * size + sum(held.values())
    if total > most:
        raise CorruptFileError(
            f"{content.file.label}: its tensors overlap: reading them takes {total:,} bytes, and {most:,} are the most "
            f"for a file of {size:,}: save copies of them"
        )
    made = sum({tensor.content_key: tensor.nbytes for tensor in content.tensors if tensor.make is not None}.values())
    most_made = _SMALL_MADE + _MOST_MADE * size
    if made > most_made:
        raise CorruptFileError(
            f"{content.file.label}: its tensors become {made:,} bytes when they are read, and {most_made:,} are the "
            f"most for a file of {size:,}: save them as they are, not sparse or quantized"
        )


def _held(tensor: StoredTensor) -> Iterator[bytes]:
    """Give what is in memory of a tensor and of its parts."""
    if tensor.content is not None:
        yield tensor.content
    for part in tensor.parts:
        yield from _held(part)
