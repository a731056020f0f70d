"""What is known of the values in a graph before it runs: its constants, and what layers make of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from ww_core.loading.channels_last import Placed
from ww_core.loading.mapped import contiguous_strides

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ww_core.loading.channels_last import Axes
    from ww_core.loading.protobuf import Field

_MOST_AXES = 64  # NumPy's limit


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
        axes: Of which axes of the constant each axis consists; of none where it was added, and has length 1.
    """

    constant: Constant
    axes: Axes

    @classmethod
    def of(cls, constant: Constant) -> Value:
        """Return a constant as it is."""
        return cls(constant, tuple((axis,) for axis in range(len(constant.shape))))

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return Placed(self.axes).shape(self.constant.shape)

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
        return Value(self.constant, tuple(self.axes[axis] for axis in order))

    def with_axis(self, at: int) -> Value | None:
        """Return it with one more axis of length 1."""
        at += (len(self.axes) + 1) * (at < 0)
        if not 0 <= at <= len(self.axes) < _MOST_AXES:
            return None
        return Value(self.constant, (*self.axes[:at], (), *self.axes[at:]))

    def squeezed(self, at: Sequence[int]) -> Value:
        """Return it without axes of length 1: without those, or without all."""
        count = len(self.axes)
        gone = {axis % count for axis in at} if at and count else set(range(count))
        shape = self.shape
        kept = tuple(own for axis, own in enumerate(self.axes) if axis not in gone or shape[axis] != 1)
        return Value(self.constant, kept)

    def without_added_axes(self) -> Value:
        """Return it without the axes that no axis of the constant is part of."""
        return Value(self.constant, tuple(own for own in self.axes if own))

    def reshaped(self, shape: Sequence[int]) -> Value | None:
        """Return it in another shape; None where an axis would have to be cut, or numbers do not lie in a row."""
        lengths = self._completed(shape)
        if lengths is None:
            return None
        steps = contiguous_strides(self.constant.shape)
        left = [axis for own in self.axes for axis in own if self.constant.shape[axis] != 1]
        made: list[tuple[int, ...]] = []
        for length in lengths:
            own: list[int] = []
            reached = 1
            while reached < length and left:
                axis = left.pop(0)
                if own and steps[own[-1]] != steps[axis] * self.constant.shape[axis]:
                    return None
                own.append(axis)
                reached *= self.constant.shape[axis]
            if reached != length:
                return None
            made.append(tuple(own))
        return None if left else Value(self.constant, tuple(made))

    def _completed(self, shape: Sequence[int]) -> list[int] | None:
        """Return a shape without the -1 that stands for what is left."""
        known = math.prod(length for length in shape if length > 0)
        if len(shape) > _MOST_AXES or 0 in (*shape, self.size) or min(shape, default=1) < -1 or shape.count(-1) > 1:
            return None
        lengths = [length if length > 0 else self.size // known for length in shape]
        return lengths if math.prod(lengths) == self.size else None


@dataclass(frozen=True, slots=True, eq=False)
class Signal:
    """What a layer made.

    Attributes:
        channels: Of a picture or a row; 0 where that is not known.
        weight: The weight that may still get a bias; None if it has one, or can get none.
        length: Numbers that such a bias has.
    """

    channels: int
    weight: Constant | None = None
    length: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """What no layer made, but has a shape that is told: -1 is the length of an axis that is not known."""

    shape: tuple[int, ...]


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
        channels: Of these numbers; 0 where that is not known.
    """

    scale: Constant | None = None
    is_applied: bool = False
    channels: int = 0


Known = Value | Signal | Given | Lengths | Spread | Ratio


def flowing(known: Known | None) -> Signal | Given | None:
    """Return what is known of numbers once an operation changed each of them alone: no bias can follow it."""
    if isinstance(known, Signal):
        return Signal(known.channels)
    return known if isinstance(known, Given) else None
