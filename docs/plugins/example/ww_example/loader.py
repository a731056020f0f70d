"""A loader with an option: a folder of NumPy files, one for each tensor (`fc.weight.npy`, `fc.bias.npy`)."""

import math
from dataclasses import dataclass
from itertools import accumulate
from operator import mul
from typing import Literal

import numpy as np

import ww_core as ww
from ww_core.loading.contents import BITS
from ww_core.loading.mapped import MappedCheckpoint, MappedFile, StoredTensor
from ww_core.loading.names import fault_of_name

MAGIC = b"\x93NUMPY"
READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


@dataclass(frozen=True)
class NpyFolder(ww.Loader):
    """Reads headers when it opens a folder, and numbers where they lie: on this machine they are mapped, not copied.

    Attributes:
        layout: How kernels are stored. `jax`: files `X.kernel.npy` hold (*kernel, in, out), as JAX and Keras do it.
    """

    name = "npy-folder"
    description = "a folder of .npy files, one for each tensor"
    layout: Literal["torch", "jax"] = "torch"

    def probe(self, source):
        try:
            names = [name for name in source.names() if name.endswith(".npy")] if source.is_folder else []
            return 0.8 if names and source.entry(names[0]).head(len(MAGIC)) == MAGIC else 0.0
        except ww.SourceError:
            return 0.0

    def open(self, source):
        names = [name for name in source.names() if name.endswith(".npy")]
        source.budget.take("tensors", len(names))
        source.budget.take("names", sum(map(len, names)))
        files = [MappedFile(file, (self.tensor(file),)) for file in map(source.entry, names)]
        return MappedCheckpoint("npy files", files, ordered=False)

    def tensor(self, file):
        """Read the header of one file, and check it against the file: it may come from anybody."""
        with file.open() as opened:
            try:
                shape, fortran, dtype = READERS[np.lib.format.read_magic(opened)](opened)
                offset = opened.tell()
            except (OSError, EOFError, KeyError, ValueError) as error:
                raise ww.CorruptFileError(f"{file.label}: its header cannot be read: {error}") from None
        name = file.name.removesuffix(".npy")
        if fault := fault_of_name(name):
            raise ww.CorruptFileError(f"{file.label}: {fault}")
        known = dtype.name in BITS
        if known and (min(shape, default=0) < 0 or offset + math.prod(shape) * dtype.itemsize != file.size):
            raise ww.CorruptFileError(f"{file.label}: {file.size} bytes do not hold {dtype.name} of shape {shape}")
        axes = list(range(len(shape)))
        if self.layout == "jax" and name.endswith(".kernel"):
            name = f"{name.removesuffix('.kernel')}.weight"
            axes = [*axes[:-3:-1], *axes[:-2]]  # out, in, *kernel: the layout that all loaders share
        return StoredTensor(
            name=name,
            dtype=dtype.name,
            shape=tuple(shape[axis] for axis in axes),
            file=file,
            offset=offset,
            strides=strides_of(shape, axes, fortran=fortran),
            big_endian=dtype.byteorder == ">",
            fault="" if known else f"dtype {dtype.name} is not analysed",
        )


def strides_of(shape, axes, *, fortran):
    """Return the strides along `axes`, in numbers; none where the numbers lie in C order, or where there are none."""
    outwards = shape if fortran else shape[::-1]
    steps = list(accumulate(outwards[:-1], mul, initial=1)) if shape else []
    steps = steps if fortran else steps[::-1]
    if 0 in shape or (axes == sorted(axes) and not (fortran and len(shape) > 1)):
        return ()
    return tuple(steps[axis] for axis in axes)


@ww.hookimpl
def ww_register_loaders():
    return [NpyFolder()]
