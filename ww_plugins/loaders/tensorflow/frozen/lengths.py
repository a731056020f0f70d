"""What is known of the shape of a value that is made when a graph runs, and what operations make of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST_AXES = 8  # more than pictures have: of others it takes memory, and tells nothing


@dataclass(frozen=True, slots=True)
class Shape:
    """The last lengths of a shape, or all of them: what is not surely known is not told.

    Attributes:
        last: Lengths, the last ones; -1 for one that is not known.
        is_whole: Whether these are all.
    """

    last: tuple[int, ...] = ()
    is_whole: bool = False

    @classmethod
    def of(cls, lengths: Sequence[int]) -> Shape:
        """Return a shape whose axes are all told, though perhaps not their lengths."""
        return cls(tuple(lengths), is_whole=True) if len(lengths) <= _MOST_AXES else cls()

    def at(self, axis: int) -> int:
        """Return a length; 0 if it is not known."""
        place = self._place(axis)
        return max(0, self.last[place]) if place is not None else 0

    def _place(self, axis: int) -> int | None:
        """Return where the length of an axis stands among those that are known."""
        place = axis + len(self.last) if axis < 0 else axis
        return place if 0 <= place < len(self.last) and (axis < 0 or self.is_whole) else None

    def with_length(self, axis: int, length: int) -> Shape:
        """Return it with another length of an axis; -1 for one that is not known."""
        if axis == -1 and not self.last and not self.is_whole:
            return Shape((length,))
        place = self._place(axis)
        if place is None:
            return self if axis < 0 else UNKNOWN
        return Shape((*self.last[:place], length, *self.last[place + 1 :]), self.is_whole)

    def of_rank(self, rank: int) -> Shape:
        """Return it as one of so many axes; nothing of it if it has others."""
        if self.is_whole and len(self.last) == rank:
            return self
        if len(self.last) > rank or (self.is_whole and len(self.last) < rank):
            return UNKNOWN
        return Shape.of((*[-1] * (rank - len(self.last)), *self.last))

    def only(self, *axes: int) -> Shape:
        """Return it with no other lengths than those of some axes."""
        kept = {place for axis in axes if (place := self._place(axis)) is not None}
        return Shape(tuple(one if at in kept else -1 for at, one in enumerate(self.last)), self.is_whole)

    def permuted(self, order: Sequence[int]) -> Shape:
        """Return it with its axes in another order."""
        whole = self.of_rank(len(order))
        if sorted(order) != list(range(len(whole.last))):
            return UNKNOWN
        return Shape.of([whole.last[axis] for axis in order])

    def with_axis(self, at: int) -> Shape:
        """Return it with one more axis of length 1."""
        if self.is_whole:
            place = at + (len(self.last) + 1) * (at < 0)
            if not 0 <= place <= len(self.last):
                return UNKNOWN
            return Shape.of((*self.last[:place], 1, *self.last[place:]))
        if at >= 0:
            return self if at == 0 else UNKNOWN
        place = at + len(self.last) + 1
        return self if place < 0 else Shape((*self.last[:place], 1, *self.last[place:])[-_MOST_AXES:])

    def squeezed(self, at: Sequence[int]) -> Shape:
        """Return it without axes of length 1: without those, or without all."""
        if not at:
            sure = self.last
            while -1 in sure:
                sure = sure[sure.index(-1) + 1 :]
            return Shape(tuple(one for one in sure if one != 1), self.is_whole and -1 not in self.last)
        if not self.is_whole and max(at) >= 0:
            return UNKNOWN
        gone = {self._place(axis) for axis in at}
        if self.is_whole and None in gone:
            return UNKNOWN
        return Shape(tuple(one for place, one in enumerate(self.last) if place not in gone), self.is_whole)


UNKNOWN = Shape()


def broadcast(one: Shape, other: Shape) -> Shape:
    """Return the shape of what an operation makes of two values, number by number."""
    if one == other:
        return one
    made = []
    for axis in range(-max(len(one.last), len(other.last)), 0):
        lengths = {_length(one, axis), _length(other, axis)}
        longer = [length for length in lengths if length > 1]
        made.append(longer[0] if len(longer) == 1 else 1 if lengths == {1} else -1)
    return Shape(tuple(made), one.is_whole and other.is_whole)


def _length(shape: Shape, axis: int) -> int:
    """Return a length, of an axis that comes before all as well; -1 if it is not known."""
    return shape.last[axis] if -axis <= len(shape.last) else 1 if shape.is_whole else -1


def joined(shapes: Sequence[Shape], axis: int) -> Shape:
    """Return the shape of what values become behind each other along an axis."""
    rank = next((len(shape.last) for shape in shapes if shape.is_whole), 0)
    if rank:
        shapes = [shape.of_rank(rank) for shape in shapes]
    lengths = [shape.at(axis) for shape in shapes]
    if not shapes or (axis >= 0 and not rank):
        return UNKNOWN
    likest = max(shapes, key=lambda shape: len(shape.last))
    return likest.with_length(axis, sum(lengths) if all(lengths) else -1)
