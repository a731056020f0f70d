"""What is known of the values in a graph before it runs: its constants, and what layers make of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import chain
from typing import TYPE_CHECKING

from ww_core.loading.channels_last import Placed
from ww_core.loading.mapped import contiguous_strides
from ww_plugins.loaders.tensorflow.frozen.lengths import UNKNOWN, Shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ww_core.loading.channels_last import Axes
    from ww_core.loading.protobuf import Field

_MOST_AXES = 64  # NumPy's limit


class Change(StrEnum):
    """What a graph makes of a weight that is read as it is stored, as it is told before the names of such weights."""

    CUT = "read as they were before a Cast turns them into whole numbers"
    ROUNDED = "read as they were before a FakeQuant operator rounds them and cuts them off"


@dataclass(slots=True, eq=False)
class Constant:
    """A tensor as its message tells of it; nothing of it is checked but its shape.

    Attributes:
        name: The name of its node.
        code: TensorFlow's number of its type.
        shape: Its shape.
        content: The field of its bytes, if it has such.
        typed: The fields of its numbers, if they stand as protobuf's own, by the number of the field.
    """

    name: str
    code: int = 0
    shape: tuple[int, ...] = ()
    content: Field | None = None
    typed: dict[int, list[Field]] = field(default_factory=dict)

    @property
    def is_float(self) -> bool:
        """Whether its numbers are of a floating-point type."""
        return self.code in {1, 2, 14, 19}


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """A constant under another shape.

    Attributes:
        constant: The constant.
        stored: The shape in which its numbers are taken, in their order: its own, or one that cuts axes of it.
        axes: Of which axes of this shape each axis consists; of none where it was added, and has length 1.
        change: What the graph makes of its numbers besides.
    """

    constant: Constant
    stored: tuple[int, ...]
    axes: Axes
    change: Change | None = None

    @classmethod
    def of(cls, constant: Constant) -> Value:
        """Return a constant as it is."""
        return cls.within(constant, constant.shape)

    @classmethod
    def within(cls, constant: Constant, shape: Sequence[int]) -> Value:
        """Return a constant in a shape of as many numbers, in their order."""
        return cls(constant, tuple(shape), tuple((axis,) for axis in range(len(shape))))

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return Placed(self.axes).shape(self.stored)

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return math.prod(self.constant.shape)

    def placed(self, placed: Placed) -> Placed:
        """Return how the constant is placed where its value is placed so."""
        return placed._replace(axes=tuple(tuple(chain(*(self.axes[at] for at in own))) for own in placed.axes))

    def permuted(self, order: Sequence[int]) -> Value | None:
        """Return it with its axes in another order; None if that is no order of its axes."""
        if sorted(order) != list(range(len(self.axes))):
            return None
        return replace(self, axes=tuple(self.axes[axis] for axis in order))

    def with_axis(self, at: int) -> Value | None:
        """Return it with one more axis of length 1."""
        at += (len(self.axes) + 1) * (at < 0)
        if not 0 <= at <= len(self.axes) < _MOST_AXES:
            return None
        return replace(self, axes=(*self.axes[:at], (), *self.axes[at:]))

    def squeezed(self, at: Sequence[int]) -> Value:
        """Return it without axes of length 1: without those, or without all."""
        count = len(self.axes)
        gone = {axis % count for axis in at} if at and count else set(range(count))
        shape = self.shape
        kept = tuple(own for axis, own in enumerate(self.axes) if axis not in gone or shape[axis] != 1)
        return replace(self, axes=kept)

    def without_added_axes(self) -> Value:
        """Return it without the axes that no axis of the constant is part of."""
        return replace(self, axes=tuple(own for own in self.axes if own))

    def reshaped(self, shape: Sequence[int]) -> Value | None:
        """Return it in another shape; None where its numbers do not lie in a row, and an axis would have to be cut."""
        lengths = self._completed(shape)
        if lengths is None:
            return None
        axes = self._axes_of(lengths)
        if axes is not None:
            return replace(self, axes=axes)
        order = [axis for own in self.axes for axis in own if self.stored[axis] != 1]
        return replace(Value.within(self.constant, lengths), change=self.change) if order == sorted(order) else None

    def _axes_of(self, lengths: Sequence[int]) -> Axes | None:
        """Return of which axes those of another shape consist; None where one would have to be cut."""
        steps = contiguous_strides(self.stored)
        left = [axis for own in self.axes for axis in own if self.stored[axis] != 1]
        made: list[tuple[int, ...]] = []
        for length in lengths:
            own: list[int] = []
            reached = 1
            while reached < length and left:
                axis = left.pop(0)
                if own and steps[own[-1]] != steps[axis] * self.stored[axis]:
                    return None
                own.append(axis)
                reached *= self.stored[axis]
            if reached != length:
                return None
            made.append(tuple(own))
        return None if left else tuple(made)

    def _completed(self, shape: Sequence[int]) -> list[int] | None:
        """Return a shape without the -1 that stands for what is left."""
        known = math.prod(length for length in shape if length > 0)
        if len(shape) > _MOST_AXES or 0 in (*shape, self.size) or min(shape, default=1) < -1 or shape.count(-1) > 1:
            return None
        lengths = [length if length > 0 else self.size // known for length in shape]
        return lengths if math.prod(lengths) == self.size else None


@dataclass(frozen=True, slots=True, eq=False)
class Signal:
    """What the graph computes when it runs: what a layer made, or what is given.

    Attributes:
        shape: So much of its shape as is sure.
        weight: The weight that may still get a bias; None if it has one, or can get none.
        length: Numbers that such a bias has.
    """

    shape: Shape = UNKNOWN
    weight: Constant | None = None
    length: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Lengths:
    """A shape that is put together from lengths; -1 is one that is not known."""

    lengths: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """A variance, to which something small was added: of numbers, or known beforehand."""

    variance: Value | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Ratio:
    """What numbers are multiplied by in a norm that is spelled out: one over their spread, and times the scale.

    Attributes:
        scale: The scale; None where none came yet.
        is_applied: Whether it was multiplied already by numbers, or by their mean.
        shape: So much of its own shape as is sure.
    """

    scale: Constant | None = None
    is_applied: bool = False
    shape: Shape = UNKNOWN


Known = Value | Signal | Lengths | Spread | Ratio
