"""A zip archive of one JSON text and arrays of NumPy's: the same content gives the same bytes, and nothing is run.

Reading goes through ww's own readers of untrusted files: an archive that contradicts itself is refused, and so is one
that would take more memory than its bytes and the budget of a source allow.
"""

from __future__ import annotations

import contextlib
import io
import math
import zipfile
import zlib
from typing import TYPE_CHECKING, Any, BinaryIO

import ww_core as ww
from ww_core.loading.files import FileSource
from ww_core.loading.names import fault_of_name, quoted
from ww_core.loading.npy import HEAD, dtype_of, header_of
from ww_core.loading.zips import ZIP_MAGIC, Directory, Entry, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

ARRAY = ".npy"

_DATE = (1980, 1, 1, 0, 0, 0)  # the first one of a zip archive: the time of writing would change the bytes
_MOST_PACKED = 32_000_000  # bytes of all arrays; readers unpack twice as many, and map what is stored as it is
_LARGEST_TEXT = 2**24  # bytes of the JSON
_MOST_ARRAYS = 1_000
_MOST_AXES = 8
_MOST_BYTES = 2**63 - 1
_KINDS = "biuf"


def write_archive(file: Path, name: str, text: bytes, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write an archive.

    Arrays are deflated, or stored as they are where they are so large that packing them saves little for its time.

    Args:
        file: Its place; what is there is overwritten.
        name: Name of the text's entry.
        text: The text.
        arrays: Numbers or bools by their names, without ``.npy``. They come in the order of the names.

    Raises:
        OSError: The file cannot be written.
    """
    is_packed = sum(own.nbytes for own in arrays.values()) <= _MOST_PACKED
    method = zipfile.ZIP_DEFLATED if is_packed else zipfile.ZIP_STORED
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(_entry(name), text, zipfile.ZIP_DEFLATED, 6)
        for own in sorted(arrays):
            archive.writestr(_entry(own + ARRAY), _content(arrays[own]), method, 6)


def read_text(file: FileSource, name: str) -> bytes:
    """Read the text of an archive.

    Args:
        file: The archive.
        name: Name of the text's entry.

    Raises:
        SourceError: It cannot be read, is no zip archive, or lacks the text.
        CorruptFileError: It is cut short or damaged.
    """
    if file.is_folder or file.head(len(ZIP_MAGIC)) != ZIP_MAGIC:
        raise ww.SourceError(f"{file.label}: this is not a predictor file: it is not a zip archive")
    with _opened(file) as (_, directory, entries):
        if name not in entries:
            raise ww.SourceError(f"{file.label}: this is not a predictor file: it has no {name}")
        if entries[name].size > _LARGEST_TEXT:
            raise ww.CorruptFileError(f"{file.label}: {name} has more than {_LARGEST_TEXT:,} bytes")
        return directory.unpacked(entries[name], "text")


def read_arrays(file: FileSource, text: str) -> dict[str, npt.NDArray[Any]]:
    """Read the arrays of an archive.

    Args:
        file: The archive.
        text: Name of the entry that is no array.

    Returns:
        The arrays by their names, without ``.npy``: bool, whole numbers or floats, in the order of bytes of this
        machine and in C order, at most of 8 axes.

    Raises:
        SourceError: It cannot be read, or takes more than its budget.
        CorruptFileError: It is cut short or damaged, or holds what is no array of numbers.
    """
    with _opened(file) as (handle, directory, entries):
        return {
            name.removesuffix(ARRAY): _array(file, name, _bytes_of(file, handle, directory, entry))
            for name, entry in entries.items()
            if name != text
        }


@contextlib.contextmanager
def _opened(file: FileSource) -> Iterator[tuple[BinaryIO, Directory, dict[str, Entry]]]:
    """Open an archive, once its entries can be those of a predictor.

    Raises:
        SourceError: It cannot be read.
        CorruptFileError: It is damaged, or has other entries.
    """
    try:
        with file.open() as handle:
            directory = Directory(file, handle)
            entries = {shown(own): entry for own, entry in directory.entries.items()}
            _check(file, entries)
            yield handle, directory, entries
    except OSError as error:
        raise ww.SourceError(f"{file.label}: it cannot be read: {error.strerror or error}") from None


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _DATE)
    entry.create_system = 3
    entry.external_attr = 0o644 << 16
    return entry


def _content(array: npt.NDArray[Any]) -> bytes:
    import numpy as np

    content = io.BytesIO()
    kind = array.dtype.newbyteorder("<")
    np.lib.format.write_array(content, np.asarray(array, kind, order="C"), (1, 0), allow_pickle=False)
    return content.getvalue()


def _check(file: FileSource, entries: Mapping[str, Entry]) -> None:
    """Raise before anything is unpacked if the entries cannot be those of a predictor.

    Raises:
        CorruptFileError: They cannot.
    """
    if len(entries) > _MOST_ARRAYS:
        raise ww.CorruptFileError(f"{file.label}: it has {len(entries):,} entries: {_MOST_ARRAYS:,} are read at most")
    for name in entries:
        if fault := fault_of_name(name):
            raise ww.CorruptFileError(f"{file.label}: {fault}")
    if sum(entry.packed for entry in entries.values()) > file.size:  # entries that share their bytes
        raise ww.CorruptFileError(f"{file.label}: its entries overlap: they take more bytes than the file has")


def _bytes_of(file: FileSource, handle: BinaryIO, directory: Directory, entry: Entry) -> bytes:
    """Return the content of an entry, which has the checksum that the archive tells.

    Raises:
        SourceError: It takes more than the budget.
        CorruptFileError: It is damaged.
    """
    if entry.method:
        return directory.unpacked(entry, "decoded")
    place = directory.content(entry)
    handle.seek(place.offset)
    content = handle.read(place.size)
    if len(content) < place.size or zlib.crc32(content) != entry.checksum:
        raise ww.CorruptFileError(f"{file.label}: entry {quoted(shown(entry.name))} is damaged: its checksum differs")
    return content


def _array(file: FileSource, name: str, content: bytes) -> npt.NDArray[Any]:
    """Return the array that an entry holds.

    Raises:
        CorruptFileError: It is none, or none of numbers.
    """
    import numpy as np

    where = f"{file.label}: entry {quoted(name)}"
    if not name.endswith(ARRAY):
        raise ww.CorruptFileError(f"{where} is no part of a predictor")
    header = header_of(file, name, content[:HEAD])
    dtype, is_big = dtype_of(header.descr)
    kind: np.dtype[Any] = np.dtype(dtype or "O")
    if kind.kind not in _KINDS:
        raise ww.CorruptFileError(f"{where} holds {quoted(header.descr)}, and no numbers that are read here")
    if header.is_fortran and len(header.shape) > 1:
        raise ww.CorruptFileError(f"{where} lies in Fortran's order, in which no predictor is written")
    if len(header.shape) > _MOST_AXES or math.prod(own for own in header.shape if own) * kind.itemsize > _MOST_BYTES:
        raise ww.CorruptFileError(f"{where} has a shape that cannot be: {quoted(header.shape)}")
    takes, there = math.prod(header.shape) * kind.itemsize, len(content) - header.nbytes
    if takes != there:
        raise ww.CorruptFileError(f"{where} takes {takes} bytes by its header, and {there} are there")
    if kind.kind == "b" and any(content[header.nbytes :].translate(None, b"\0\1")):
        raise ww.CorruptFileError(f"{where} holds bools that are neither 0 nor 1")
    stored = np.frombuffer(content, kind.newbyteorder(">" if is_big else "<"), offset=header.nbytes)
    return stored.reshape(header.shape).astype(kind)
