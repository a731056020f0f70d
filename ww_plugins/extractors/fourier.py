"""The operator of a convolution, as its matrices at all frequencies."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import ww_core as ww
from ww_core.spectral.blocks import BLOCK_BYTES, float64_blocks, non_finite
from ww_plugins.extractors.convolution import slices_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt


MOST_POINTS = 2**22
"""Points of a grid that are taken: 2048 x 2048. The spectrum of a layer with 64 channels has then 2**28 values."""

MOST_ENTRIES = 2**24
"""Entries of a matrix that are taken, over all groups."""

FEW_POSITIONS = 64
"""Positions of a kernel up to which sums over them are faster than a fast Fourier transform."""

LOOKUP_OPERATIONS = 64
"""Operations that are done in the time of looking up one number of a table of frequencies and positions."""

TRANSFORM_BYTES = 2**29
"""Most bytes of a fast Fourier transform, which is held as a whole; what would be larger is summed up."""


@dataclass(frozen=True)
class Fft(ww.Extractor):
    """One spectrum of the convolution itself, as the linear operator on an n x n grid of inputs.

    With circular padding, stride 1 and dilation 1 the Fourier transform makes the operator block-diagonal: an
    (out / groups, in / groups) matrix for each group and frequency, and their spectra together are the operator's.

    H. Sedghi, V. Gupta, P. M. Long, The singular values of convolutional layers, ICLR 2019.

    Attributes:
        n: Length of the grid along each axis of the kernel; 0 for the largest length of the kernel.
    """

    name = "fft"
    version = "1"

    n: int = 0

    def __post_init__(self) -> None:
        """Refuse what no length can be."""
        if self.n < 0:
            raise ValueError(f"n is a length: it cannot be {self.n}")

    def plan(self, layer: ww.Layer) -> ww.MatrixPlan:
        """One matrix with an entry for each group and each distinct frequency.

        The matrices at u and at -u mod n are conjugates, with the same singular values, so one counts for both.

        Raises:
            NotApplicable: The layer is no convolution that falls into its groups, is empty, or is larger than the grid;
                or the grid is too large to be held.
        """
        groups, positions, rows, cols = slices_of(self.name, layer)
        n, axes = self._length(layer), len(layer.shape) - 2
        if n**axes > MOST_POINTS or groups * n**axes > 2 * MOST_ENTRIES:
            grid = " x ".join([str(n)] * axes)
            raise ww.NotApplicable(f"a grid of {grid} points for {groups} groups is too large: take a smaller n")
        frequencies, multiplicities = _frequencies(n, axes)
        entries = groups * len(frequencies)
        making_bytes, making_operations = _cost(positions, (entries, rows, cols), n**axes)
        return ww.MatrixPlan(
            matrices=1,
            entries=entries,
            rows=rows,
            cols=cols,
            multiplicities=groups * tuple(multiplicities.tolist()),
            is_complex=True,
            gain=math.sqrt(positions),
            making_bytes=making_bytes,
            making_operations=making_operations,
        )

    def matrices(self, weight: npt.NDArray[Any], layer: ww.Layer) -> Iterator[ww.Matrix]:
        """Yield the one batch, which makes its entries when they are asked for: group outer, frequency inner.

        Raises:
            Refused: A weight is NaN or infinite, or so large that sums over the kernel may be.
        """
        groups, positions, rows, _ = slices_of(self.name, layer)
        _check_magnitude(weight, positions)
        n = self._length(layer)
        frequencies, multiplicities = _frequencies(n, len(layer.shape) - 2)
        entries = AtFrequencies(weight.reshape(groups, rows, *weight.shape[1:]), frequencies, n)
        yield ww.Matrix(0, entries, np.tile(multiplicities, groups))

    def _length(self, layer: ww.Layer) -> int:
        kernel = layer.shape[2:]
        n = self.n or max(kernel)
        if n < max(kernel):
            raise ww.NotApplicable(f"a kernel of {'x'.join(map(str, kernel))} does not fit into a grid of n = {n}")
        return n


class AtFrequencies:
    """Matrices of a circular convolution at frequencies, made piece by piece: ``ww.Entries``.

    That of group g at frequency u, in units of 1 / n, is the sum over the positions p of the kernel of
    weight[g, ..., p] * exp(-2 pi i u.p / n): what ``numpy.fft.fftn`` makes of the kernel padded to the grid. Libraries
    correlate rather than convolve, which makes it the conjugate, with the same singular values.

    Args:
        kernels: Shape (groups, rows, cols, *kernel), finite, any stored dtype and layout.
        frequencies: Shape (F,), places in the grid in C order, none in its second half.
        n: Length of the grid along each axis.
    """

    def __init__(self, kernels: npt.NDArray[Any], frequencies: npt.NDArray[np.int64], n: int) -> None:
        groups, rows, cols, *kernel = kernels.shape
        self.shape = (groups * len(frequencies), rows, cols)
        self.dtype = np.dtype(np.complex128)
        self._width = len(frequencies)
        is_fast = is_transformed(math.prod(kernel), self.shape)
        self._values = (_Transform if is_fast else _Sums)(kernels, frequencies, n)

    def __getitem__(self, piece: slice, /) -> npt.NDArray[np.complex128]:
        """Make the entries of a slice of step 1, group outer, frequency inner; all arithmetic is in float64."""
        start, stop, step = piece.indices(self.shape[0])
        if step != 1:
            raise ValueError(f"entries are made in order: a slice has step 1, not {step}")
        made = np.empty((max(0, stop - start), *self.shape[1:]), dtype=np.complex128)
        done = 0
        for groups, frequencies in _rectangles(start, stop, self._width):
            sides = (groups.stop - groups.start, frequencies.stop - frequencies.start)
            part = made[done : done + math.prod(sides)]
            self._values.fill(part.reshape(*sides, *self.shape[1:]), groups, frequencies)
            done += len(part)
        return made


def is_transformed(positions: int, shape: tuple[int, ...]) -> bool:
    """Whether entries of a shape (B, rows, cols) are made by a fast Fourier transform of so many kernel positions."""
    return positions > FEW_POSITIONS and 16 * math.prod(shape) <= TRANSFORM_BYTES


def _cost(positions: int, shape: tuple[int, ...], points: int) -> tuple[int, int]:
    """Bytes and operations of making entries of a shape (B, rows, cols) of so many kernel positions and grid points."""
    entries, rows, cols = shape
    # The grid and its opposite places; of each entry its place, and its count as it is promised and as it is made.
    grid = 24 * points + 32 * entries
    if is_transformed(positions, shape):
        return grid + 16 * math.prod(shape) + 5 * max(BLOCK_BYTES, 16 * points), 64 * math.prod(shape)
    block = max(BLOCK_BYTES, 8 * cols * positions)
    table = max(BLOCK_BYTES, 24 * positions)
    return grid + 4 * block + 2 * table, entries * positions * (LOOKUP_OPERATIONS + 4 * rows * cols)


class _Sums:
    """Sums over the positions of the kernel, of the frequencies that are asked for."""

    def __init__(self, kernels: npt.NDArray[Any], frequencies: npt.NDArray[np.int64], n: int) -> None:
        kernel = kernels.shape[3:]
        self._kernels = kernels
        self._frequencies = frequencies
        self._grid = (n,) * len(kernel)
        self._positions = np.indices(kernel).reshape(len(kernel), -1)
        self._cosines, self._sines = _unit_circle(n)

    def fill(self, made: npt.NDArray[np.complex128], groups: slice, frequencies: slice) -> None:
        """Fill ``made``, shape (groups, frequencies, rows, cols).

        Besides it half as much is held, one block of the kernel, and one of a table of frequencies and positions.
        """
        positions = self._positions.shape[1]
        width = max(1, BLOCK_BYTES // (24 * positions))
        for first in range(frequencies.start, frequencies.stop, width):
            last = min(first + width, frequencies.stop)
            places = np.unravel_index(self._frequencies[first:last], self._grid)
            # Whole turns are taken away while they are integers, so that no digit of an angle is lost.
            turns = -(np.stack(places, axis=1) @ self._positions) % len(self._cosines)
            start = first - frequencies.start
            self._sum(made[:, start : start + last - first], self._kernels[groups], turns)

    def _sum(self, made: npt.NDArray[np.complex128], kernels: npt.NDArray[Any], turns: npt.NDArray[np.int64]) -> None:
        """Fill ``made``, shape (groups, frequencies, rows, cols), with sums over positions turned by parts of n."""
        groups, rows, cols = kernels.shape[:3]
        cosines, sines = self._cosines[turns], self._sines[turns]
        height = max(1, BLOCK_BYTES // (8 * groups * cols * turns.shape[1]))
        for first in range(0, rows, height):
            stored = kernels[:, first : first + height]
            block = np.array(stored, dtype=np.float64, order="C").reshape(groups, -1, turns.shape[1]).mT
            target = made[:, :, first : first + height]
            target.real = (cosines @ block).reshape(target.shape)
            target.imag = (sines @ block).reshape(target.shape)


class _Transform:
    """A fast Fourier transform of all kernels, made at once: a large kernel has many frequencies and positions."""

    def __init__(self, kernels: npt.NDArray[Any], frequencies: npt.NDArray[np.int64], n: int) -> None:
        groups, rows, cols, *kernel = kernels.shape
        pairs = kernels.reshape(-1, *kernel)  # of an output and an input
        found = np.empty((len(pairs), len(frequencies)), dtype=np.complex128)
        axes = range(len(kernel), 0, -1)  # of the first axis of the kernel, numpy makes one half only
        width = max(1, BLOCK_BYTES // (16 * n ** len(kernel)))
        for first in range(0, len(pairs), width):
            block = pairs[first : first + width].astype(np.float64)
            transform = np.fft.rfftn(block, s=(n,) * len(kernel), axes=axes)
            found[first : first + width] = transform.reshape(len(block), -1)[:, frequencies]
        self._by_frequency = np.moveaxis(found.reshape(groups, rows, cols, -1), 3, 1)

    def fill(self, made: npt.NDArray[np.complex128], groups: slice, frequencies: slice) -> None:
        """Fill ``made``, shape (groups, frequencies, rows, cols)."""
        made[...] = self._by_frequency[groups, frequencies]


def _frequencies(n: int, axes: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The first of each pair u, -u mod n, as places in C order, shape (F,), and how many the pair has, shape (F,)."""
    opposite = conjugate = -np.arange(n) % n
    for _ in range(axes - 1):
        conjugate = np.add.outer(n * conjugate, opposite)
    conjugate = conjugate.ravel()
    first = np.flatnonzero(np.arange(n**axes) <= conjugate)
    return first, np.where(first == conjugate[first], 1, 2)


def _unit_circle(n: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Cosines and sines of 2 pi k / n for k = 0 .. n - 1, exact at quarter turns."""
    k = np.arange(n)
    quarters = (8 * k + n) // (2 * n)
    rest = np.pi / 2 * (4 * k - quarters * n) / n
    cosine, sine = np.cos(rest), np.sin(rest)
    return (
        np.choose(quarters % 4, [cosine, -sine, -cosine, sine]),
        np.choose(quarters % 4, [sine, cosine, -sine, -cosine]),
    )


def _rectangles(start: int, stop: int, width: int) -> Iterator[tuple[slice, slice]]:
    """Cut places start .. stop - 1 of a table of that width, in C order, into parts of a row and whole rows."""
    while start < stop:
        row, first = divmod(start, width)
        rows = max(1, (stop - start) // width) if first == 0 else 1
        last = min(width, first + stop - start)
        yield slice(row, row + rows), slice(first, last)
        start += rows * (last - first)


def _check_magnitude(weight: npt.NDArray[Any], positions: int) -> None:
    largest = float(np.max([np.abs(block).max() for block in float64_blocks(weight)]))
    if not math.isfinite(largest):
        raise non_finite(weight)
    if largest > np.finfo(np.float64).max / positions:
        raise ww.Refused(f"sums of {positions} weights as large as {largest:g} may be beyond the range of float64")
