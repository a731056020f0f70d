"""NumPy's ``.npz`` and ``.npy``: arrays under names, read where they lie; nothing is unpickled.

An archive is read like PyTorch's, each entry once and from one place. What is stored lies in the file as a row of
numbers; what `numpy.savez_compressed` packed is unpacked into memory, within the budget.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO

import ww_core as ww
from ww_core.loading.contents import BITS, description_of
from ww_core.loading.impostors import refuse_impostor
from ww_core.loading.layouts import laid_out, layout_named, suspicion
from ww_core.loading.mapped import MappedCheckpoint, MappedFile, StoredTensor, contiguous_strides, with_strides
from ww_core.loading.names import fault_of_name, quoted
from ww_core.loading.npy import HEAD, MAGIC, NpyHeader, dtype_of, header_of
from ww_core.loading.zips import ZIP_MAGIC, Directory, Entry, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

_SUFFIX = b".npy"
_MAX_BYTES = 2**63 - 1


@dataclass(frozen=True)
class NpzLoader(ww.Loader):
    """Reads what ``numpy.savez`` and ``numpy.savez_compressed`` wrote, and a single array of ``numpy.save``.

    Attributes:
        layout: In which order the axes of weights are stored: ``pytorch``, ``mlx``, ``flax`` or ``keras``.
    """

    name = "npz"
    description = "NumPy's .npz and .npy, compressed or not: arrays under names as in a state dict"
    layout: str = "pytorch"

    def probe(self, source: ww.Source) -> float:
        """Judge a file by its first bytes, an archive by the names in its directory."""
        if source.is_object:
            return 0.0
        named = 0.1 if source.name.endswith((".npz", ".npy")) else 0.0
        try:
            if source.is_folder:
                return 0.0
            head = source.head(len(MAGIC))
            if head.startswith(MAGIC):
                return 0.9
            if not head.startswith(ZIP_MAGIC):
                return named
            with source.open() as handle:
                names = list(Directory(source, handle).entries)
        except ww.SourceError:
            return named
        return 0.9 if names and all(name.endswith(_SUFFIX) for name in names) else named

    def open(self, source: ww.Source) -> MappedCheckpoint:
        """Read the header of every array.

        Raises:
            UsageError: There is no layout of this name.
            SourceError: What was named is no file that can be read, or holds no array.
            CorruptFileError: An archive or a header contradicts itself or the file.
        """
        layout = layout_named(self.layout)
        if source.is_object or source.is_folder:
            raise ww.SourceError(f"{source.label}: NumPy's arrays are read from a file")
        head = source.head(len(MAGIC))
        if not head.startswith((MAGIC, ZIP_MAGIC)):
            refuse_impostor(source)
        with source.open() as handle:
            stored = [_array(source)] if head == MAGIC else list(_arrays(source, handle))
        if not stored:
            raise ww.SourceError(f"{source.label}: no array is in it")
        told = [(tensor.name, tensor.shape) for tensor in stored]
        warnings = suspicion(told, layout, "--loader 'npz[layout={}]'") if layout == "pytorch" else []
        tensors = [laid_out(tensor, layout) for tensor in stored]
        return MappedCheckpoint("npz", [MappedFile(source, tuple(tensors), warnings=tuple(warnings))], ordered=True)


def _arrays(file: ww.Source, handle: BinaryIO) -> Iterator[StoredTensor]:
    directory = Directory(file, handle)
    for name, entry in directory.entries.items():
        if not name.endswith(_SUFFIX):
            raise ww.CorruptFileError(f"{file.label}: the entry {quoted(shown(name))} is no array of NumPy's")
        file.budget.take("tensors")
        file.budget.take("names", len(name))
        text = shown(name.removesuffix(_SUFFIX))
        if fault := fault_of_name(text):
            raise ww.CorruptFileError(f"{file.label}: {fault}")
        yield _entry(file, handle, directory, entry, text)


def _entry(file: ww.Source, handle: BinaryIO, directory: Directory, entry: Entry, name: str) -> StoredTensor:
    if entry.method:
        content = directory.unpacked(entry, "decoded")
        header = header_of(file, name, content[:HEAD])
        return _tensor(file, name, header, StoredTensor(name, "", (), file, content=content[header.nbytes :]))
    place = directory.content(entry)
    handle.seek(place.offset)
    header = header_of(file, name, handle.read(min(place.size, HEAD)))
    told = ww.Checksum(
        ww.FileRange(file, place.offset, place.size), place.checksum, f"entry {quoted(shown(entry.name))}"
    )
    checksums = (told,) if place.checksum else ()
    begin = StoredTensor(name, "", (), file, place.offset + header.nbytes, checksums=checksums)
    return _tensor(file, name, header, begin, place.size - header.nbytes)


def _array(file: ww.Source) -> StoredTensor:
    """Read an array that has a file of its own, whose name is its own."""
    name = file.name.removesuffix(_SUFFIX.decode()) or "array"
    file.budget.take("tensors")
    if fault := fault_of_name(name):
        raise ww.CorruptFileError(f"{file.label}: {fault}")
    header = header_of(file, name, file.head(HEAD))
    return _tensor(file, name, header, StoredTensor(name, "", (), file, header.nbytes), file.size - header.nbytes)


def _tensor(
    file: ww.Source, name: str, header: NpyHeader, place: StoredTensor, available: int | None = None
) -> StoredTensor:
    """Return an array that is ``place`` but for what its header says.

    Args:
        file: The file.
        name: Its name.
        header: Its header.
        place: Where its numbers lie.
        available: How many bytes they may take in the file; None: as many as there are in memory.

    Raises:
        CorruptFileError: They take another number of bytes.
    """
    where = f"{file.label}: array {quoted(name)}"
    there = len(place.content or b"") if available is None else available
    dtype, big_endian = dtype_of(header.descr)
    if not dtype:
        what = "objects of Python, pickled" if header.descr == "|O" else f"of the dtype {quoted(header.descr)}"
        told = replace(place, dtype="unknown", shape=header.shape, content=None, fault=f"what it holds is {what}")
        described = description_of(["npy", repr(header.descr), header.shape, header.is_fortran])
        return replace(told, parts=(replace(place, dtype="uint8", shape=(max(0, there),)),), described=described)
    count, item = math.prod(header.shape), BITS[dtype] // 8
    if math.prod(length for length in header.shape if length) * item > _MAX_BYTES:
        raise ww.CorruptFileError(f"{where}: no memory could hold shape {quoted(list(header.shape))}")
    if count * item != there:
        raise ww.CorruptFileError(f"{where} takes {count * item} bytes by its header, and {there} are there")
    tensor = replace(place, dtype=dtype, shape=header.shape, big_endian=big_endian and item > 1)
    if not header.is_fortran:
        return tensor
    strides = contiguous_strides(header.shape[::-1])[::-1]
    return with_strides(tensor, header.shape, strides)
