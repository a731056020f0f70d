"""Sparse tensors: numbers with the places where they stand, of which all others are zero.

The axes are gone through in an order that the file tells, level by level, and blocks of an axis are axes of their own.
A dense level has every place; a sparse one has a list of places for each place of the levels above.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from ww_plugins.loaders.tflite.flatbuffer import Table, Vector

_MOST_LEVELS = 12
_WIDTHS = {1: "<i4", 2: "<u2", 3: "u1"}


class _Level(NamedTuple):
    """A level: dense with a length; or sparse, with the ends of its lists, and the lists one after the other."""

    length: int
    ends: npt.NDArray[Any] | None
    places: npt.NDArray[Any] | None


class Sparsity(NamedTuple):
    """Where the numbers of a tensor stand.

    Attributes:
        order: The axes in the order of the levels; those of blocks are counted after the tensor's own.
        blocks: The axes of the tensor that have blocks.
        levels: The levels.
        lists: Where the lists of the levels lie.
    """

    order: Sequence[int]
    blocks: Sequence[int]
    levels: Sequence[_Level]
    lists: Sequence[Vector]

    @classmethod
    def told(cls, table: Table | None) -> Sparsity | None:
        """Return what the file tells of a tensor; None if it is not sparse."""
        if table is None:
            return None
        order, blocks = (table.vector(field, 4, "the axes of a sparse tensor").numbers("<i4") for field in (0, 1))
        lists: list[Vector] = []
        levels = [_level(level, lists) for level in table.vector(2, 4, "the levels of a sparse tensor").tables()]
        return cls(order.tolist(), blocks.tolist(), levels, lists)

    def check(self, numbers: int, shape: Sequence[int]) -> None:
        """Compare places with so many stored numbers and the shape of the tensor, without going through the places.

        Raises:
            ValueError: They contradict each other; the message says why.
        """
        lengths, _ = self._axes(shape)
        count = 1
        for axis, level in zip(self.order, self.levels, strict=True):
            count = _count_below(count, level, lengths[axis])
            if count > math.prod(shape):
                raise ValueError(f"it is sparse, and has {count:,} places for {math.prod(shape):,} numbers")
        if count != numbers:
            raise ValueError(f"it is sparse, and has {numbers:,} numbers for {count:,} places")

    def dense(self, numbers: npt.NDArray[Any], shape: Sequence[int]) -> npt.NDArray[Any]:
        """Return all numbers of the tensor, of which ``numbers`` are those that are stored; they were checked."""
        import numpy as np

        lengths, steps = self._axes(shape)
        places = np.zeros(1, np.int64)
        for axis, level in zip(self.order, self.levels, strict=True):
            places = _below(places, level, lengths[axis], steps[axis])
        dense = np.zeros(math.prod(shape), numbers.dtype)
        dense[places] = numbers
        return dense.reshape(tuple(shape))

    def _axes(self, shape: Sequence[int]) -> tuple[list[int], list[int]]:
        """Return the length of each axis, and how far apart its places are; those of blocks come last."""
        count = len(shape) + len(self.blocks)
        if count > _MOST_LEVELS:
            raise ValueError(
                f"it is sparse along {count} axes and blocks, and {_MOST_LEVELS} are the most that are read"
            )
        if sorted(self.order) != list(range(count)) or len(self.levels) != count:
            raise ValueError("it is sparse, and its axes contradict each other")
        if len(set(self.blocks)) < len(self.blocks) or not set(self.blocks) <= set(range(len(shape))):
            raise ValueError("it is sparse, and its blocks contradict each other")
        lengths = list(shape)
        steps = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
        for number, axis in enumerate(self.blocks, len(shape)):
            size = self.levels[self.order.index(number)].length
            if size < 1 or lengths[axis] % size:
                raise ValueError(f"it is sparse, and blocks of {size} do not fill an axis of {lengths[axis]}")
            lengths[axis] //= size
            lengths.append(size)
            steps.append(steps[axis])
            steps[axis] *= size
        return lengths, steps


def _level(table: Table, lists: list[Vector]) -> _Level:
    length = table.number(1, "i")
    if table.number(0, "b") == 0:
        return _Level(length, None, None)
    return _Level(length, _numbers(table, 2, lists), _numbers(table, 4, lists))


def _numbers(table: Table, field: int, lists: list[Vector]) -> npt.NDArray[Any]:
    import numpy as np

    dtype = _WIDTHS.get(table.number(field, "B"))
    held = table.table(field + 1)
    if dtype is None or held is None:
        return np.zeros(0, np.int64)
    found = held.vector(0, int(dtype[-1]), "the places of a sparse tensor")
    lists.append(found)
    return found.numbers(dtype).astype(np.int64, copy=False)


def _count_below(count: int, level: _Level, length: int) -> int:
    """Return how many places a level has that stands below so many, if it fits them and its axis."""
    if level.ends is None or level.places is None:
        if level.length != length:
            raise ValueError(f"it is sparse, and a level of it has {level.length} places instead of {length}")
        return count * length
    if len(level.ends) != count + 1 or level.ends[0] or (level.ends[1:] < level.ends[:-1]).any():
        raise ValueError("it is sparse, and the lists of its places do not follow each other")
    if level.ends[-1] != len(level.places):
        raise ValueError("it is sparse, and the lists of its places end too early or too late")
    if len(level.places) and not 0 <= level.places.min() <= level.places.max() < length:
        raise ValueError("it is sparse, and a place of it lies outside of its axis")
    return len(level.places)


def _below(places: npt.NDArray[Any], level: _Level, length: int, step: int) -> npt.NDArray[Any]:
    """Return the places of a level, each as the number of steps from the first number of the tensor."""
    import numpy as np

    if level.ends is None or level.places is None:
        return (places[:, None] + np.arange(length) * step).reshape(-1)
    below: npt.NDArray[Any] = np.repeat(places, np.diff(level.ends)) + level.places * step
    return below
