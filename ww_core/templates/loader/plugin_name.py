"""A loader: a folder of NumPy's files, one for each tensor, such as `fc.weight.npy` and `fc.bias.npy`."""

from __future__ import annotations

from dataclasses import dataclass

import ww_core as ww
from ww_core.loading.mapped import MappedCheckpoint, MappedFile, StoredTensor
from ww_core.loading.names import fault_of_name
from ww_core.loading.npy import HEAD, MAGIC, dtype_of, header_of

SUFFIX = ".npy"


@dataclass(frozen=True)
class ObjectName(ww.Loader):
    """Reads headers when it opens a folder, and numbers where they lie: on this machine they are mapped."""

    name = "object-name"
    description = "a folder of .npy files, one for each tensor"

    def probe(self, source: ww.Source) -> float:
        """Look at the first bytes of the first file."""
        try:
            names = [name for name in source.names() if name.endswith(SUFFIX)]
            return 0.7 if names and source.entry(names[0]).head(len(MAGIC)) == MAGIC else 0.0
        except ww.SourceError:  # a file, or a Python object: it holds no files
            return 0.0

    def open(self, source: ww.Source) -> ww.Checkpoint:
        """Read the headers of all files."""
        names = [name for name in source.names() if name.endswith(SUFFIX)]
        source.budget.take("tensors", len(names))  # so that a small folder cannot take much memory
        source.budget.take("names", sum(map(len, names)))
        files = [MappedFile(file, (tensor_in(file),)) for file in map(source.entry, names)]
        return MappedCheckpoint("npy files", files, ordered=False)


def tensor_in(file: ww.Source) -> StoredTensor:
    """Read the header of one file, and check it against the file: it may come from anybody.

    Raises:
        CorruptFileError: The header is damaged, or the file is shorter or longer than it says.
    """
    name = file.name.removesuffix(SUFFIX)
    if fault := fault_of_name(name):
        raise ww.CorruptFileError(f"{file.label}: {fault}")
    header = header_of(file, name, file.head(HEAD))
    dtype, big_endian = dtype_of(header.descr)
    fault = "" if dtype else "its dtype is not analysed"
    if header.is_fortran and len(header.shape) > 1:
        fault = "its numbers are in Fortran order"
    tensor = StoredTensor(
        name=name,
        dtype=dtype or "unknown",
        shape=header.shape,
        file=file,
        offset=header.nbytes,
        big_endian=big_endian,
        fault=fault,
    )
    if dtype and header.nbytes + tensor.nbytes != file.size:
        raise ww.CorruptFileError(f"{file.label}: {file.size} bytes do not hold {dtype} of shape {header.shape}")
    return tensor


@ww.hookimpl
def ww_register_loaders() -> list[ww.Loader]:
    """The loaders of this plugin."""
    return [ObjectName()]
