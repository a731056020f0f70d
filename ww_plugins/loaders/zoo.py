"""A network of a zoo: one row of its matrix of weights, read where it lies.

A zoo has many networks, so an option says which one: ``--loader 'zoo[network=42]'``, and ``epoch`` which checkpoint of
it. The folder's table is read once for as many networks as are asked for in turn.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import ww_core as ww
from ww_core.loading.layouts import laid_out
from ww_core.loading.mapped import MappedCheckpoint, MappedFile, StoredTensor, with_strides

if TYPE_CHECKING:
    import numpy as np

LAST = -1
"""The epoch that stands for the last checkpoint of a network."""


@dataclass(frozen=True)
class ZooLoader(ww.Loader):
    """Reads one network of a zoo's folder, the Small CNN Zoo's or one that ``ww zoo train`` made.

    Attributes:
        network: Number of the network.
        epoch: Epoch of the checkpoint; -1 for the last one.
    """

    name = "zoo"
    description = "one network of a zoo's folder (weights.npy, metrics.csv, layout.csv): zoo[network=42]"
    network: int | None = None
    epoch: int = LAST

    def probe(self, source: ww.Source) -> float:
        """Look for the three files in a folder."""
        if source.is_object or not source.is_folder:
            return 0.0
        from ww_plugins.zoos.folder import is_zoo

        try:
            return 0.95 if is_zoo(source) else 0.0
        except ww.SourceError:
            return 0.0

    def open(self, source: ww.Source) -> ww.Checkpoint:
        """Find the row of a network.

        Raises:
            UsageError: No network is named, or the zoo has none of this number or epoch.
            SourceError: The folder holds no zoo, or is not on this machine.
            CorruptFileError: Its files contradict themselves or each other.
        """
        from ww_plugins.zoos.folder import WEIGHTS

        if source.path is None or not source.is_folder:
            raise ww.SourceError(f"{source.label}: a zoo is read from a folder of this machine")
        zoo = _zoo_of(source)
        row = self._row(zoo, source)
        file = source.entry(next(name for name in WEIGHTS if name in source.names()))
        stored: np.memmap = zoo.stored  # type: ignore[assignment] # of a folder it is one
        rows, columns = stored.shape
        is_fortran = not stored.flags.c_contiguous
        steps = (1, rows) if is_fortran else (columns, 1)
        tensors = []
        for tensor in zoo.tensors:
            source.budget.take("tensors")
            source.budget.take("names", len(tensor.name))
            first = StoredTensor(
                zoo.name_of(tensor),
                str(stored.dtype.newbyteorder("=")),
                tensor.shape,
                file,
                stored.offset + (row * steps[0] + tensor.start * steps[1]) * stored.dtype.itemsize,
                big_endian=stored.dtype.byteorder == ">",
            )
            tensors.append(laid_out(_apart(first, steps[1]), zoo.layout))
        return _OneNetwork("zoo", [MappedFile(file, tuple(tensors))], ordered=True)

    def _row(self, zoo: ww.Zoo, source: ww.Source) -> int:
        """Return the row of the checkpoint that was asked for.

        Raises:
            UsageError: None was, or there is none such.
        """
        if self.network is None:
            count = len(set(zoo.networks.tolist()))
            raise ww.UsageError(
                f"{source.label} is a zoo of {count} {'network' if count == 1 else 'networks'}: name one by "
                f"--loader 'zoo[network={int(zoo.networks[0])}]', or take all by `ww zoo analyze`"
            )
        is_own = zoo.networks == self.network
        if not is_own.any():
            raise ww.UsageError(f"{source.label}: this zoo has no network {self.network}{_numbered(zoo)}")
        own = zoo.chosen(is_own)
        if self.epoch != LAST and self.epoch not in own.epochs:
            there = ", ".join(map(str, sorted(own.epochs.tolist())[:12]))
            raise ww.UsageError(
                f"{source.label}: network {self.network} has no checkpoint of epoch {self.epoch}: there are {there}"
            )
        place = int(own.epochs.argmax()) if self.epoch == LAST else own.epochs.tolist().index(self.epoch)
        return int(own.rows[place])


class _OneNetwork(MappedCheckpoint):
    """One row of a zoo."""

    def locate(self, tensor: ww.TensorSpec | ww.SkippedTensor) -> None:  # noqa: ARG002 - none is told
        """Tell nothing: digests are remembered by file and name, and those of thousands of networks would be one."""
        return


def _zoo_of(source: ww.Source) -> ww.Zoo:
    """Return the zoo of a folder, read anew only if one of its files changed."""
    from ww_plugins.zoos.folder import zoo_files

    marks = tuple((name, *file.stamp()) for name, file in zoo_files(source).items())
    return _read(source.path or Path(), source.label, marks)


@functools.lru_cache(maxsize=1)
def _read(path: Path, label: str, marks: tuple[object, ...]) -> ww.Zoo:  # noqa: ARG001 - what the answer depends on
    from ww_plugins.zoos.folder import read_zoo

    return read_zoo(path)


def _numbered(zoo: ww.Zoo) -> str:
    numbers = sorted(set(zoo.networks.tolist()))
    return f": its numbers are {numbers[0]} to {numbers[-1]}, and {len(numbers)} are there" if numbers else ""


def _apart(tensor: StoredTensor, step: int) -> StoredTensor:
    """Return a tensor whose numbers lie ``step`` apart, as those of a row in Fortran's order do."""
    if step == 1:
        return tensor
    strides, along = [], step
    for length in reversed(tensor.shape):
        strides.append(along)
        along *= length
    return with_strides(tensor, tensor.shape, tuple(reversed(strides)))
