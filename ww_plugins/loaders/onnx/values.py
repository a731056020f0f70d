"""Values of a graph that are known before it runs: its tensors, seen through the nodes that only pass them on."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from ww_plugins.loaders.onnx.messages import Attribute, Tensor
    from ww_plugins.loaders.onnx.remarks import Remark


@dataclass(frozen=True, slots=True, eq=False)
class Along:
    """Numbers for each place along an axis of a tensor, or one for all of it.

    Attributes:
        value: The numbers.
        axis: The axis, of the tensor as it is stored.
    """

    value: Value
    axis: int

    @property
    def layout(self) -> int:
        """How they lie on the tensor."""
        return 0 if self.value.has_one else self.axis


@dataclass(frozen=True, slots=True, eq=False)
class Quantization:
    """How whole numbers stand for others: ``(q - zero) * scale``.

    Attributes:
        scale: Of the tensor, of each place along an axis, or of blocks along it.
        zero: The number that stands for 0; None for 0 itself.
        axis: The axis along which the scale changes, of the tensor as it is stored.
        block: Numbers along the axis that share a scale; 0 where the scale has one number or one for each place.
        factors: What multiplies the result.
        rounded: How the whole numbers are made of those that are stored; None where they are stored themselves.
    """

    scale: Value
    zero: Value | None = None
    axis: int = 1
    block: int = 0
    factors: tuple[Along, ...] = ()
    rounded: Rounded | None = None

    @property
    def layout(self) -> Hashable:
        """How scales lie on the tensor."""
        is_one = self.scale.has_one and (self.zero is None or self.zero.has_one)
        of_factors = tuple(factor.layout for factor in self.factors)
        return (0 if is_one else self.axis, self.block, of_factors, self.rounded and self.rounded.layout)

    @property
    def parts(self) -> tuple[Value | None, ...]:
        """The tensors that belong to the numbers, in an order that their layout tells."""
        of_rounded = self.rounded.by.parts if self.rounded else ()
        return (self.scale, self.zero, *(factor.value for factor in self.factors), *of_rounded)


@dataclass(frozen=True, slots=True, eq=False)
class Rounded:
    """How a ``QuantizeLinear`` makes whole numbers of others: ``q / scale + zero``, rounded and clipped.

    Attributes:
        by: The scale and the zero point.
        code: The dtype of what it makes, as the format's number.
        precision: That in which it divides.
    """

    by: Quantization
    code: int
    precision: int

    @property
    def layout(self) -> Hashable:
        """How scales lie on the tensor, and what is made."""
        return (self.by.layout, self.code, self.precision)


@dataclass(frozen=True, slots=True, eq=False)
class Packed:
    """How the weights of a ``MatMulNBits`` are packed.

    Attributes:
        shape: Of the weight: (out, in).
        bits: Of a number.
        block: Numbers of a row that share a scale.
        scale: Of each block.
        zero: Of each block, packed too; None for the middle.
    """

    shape: tuple[int, int]
    bits: int
    block: int
    scale: Value
    zero: Value | None

    @property
    def layout(self) -> Hashable:
        """How numbers and scales lie."""
        return (self.shape, self.bits, self.block)

    @property
    def parts(self) -> tuple[Value | None, ...]:
        """The tensors that belong to the numbers."""
        return (self.scale, self.zero)


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """A tensor under the name of a value.

    Attributes:
        tensor: The tensor.
        axes: Axis ``i`` of the value is axis ``axes[i]`` of the tensor.
        quantization: How its numbers are meant, if they are not meant as they are.
        rounded: How they became whole ones on the way, which have no scale yet.
        zero: What was subtracted from whole numbers on the way, which have no scale yet.
        remark: What the user should know where it is a weight.
        cast_to: The dtype that it got last, as the format's number; 0 for that in which it is stored.
    """

    tensor: Tensor
    axes: tuple[int, ...]
    quantization: Quantization | Packed | None = None
    rounded: Rounded | None = None
    zero: Along | None = None
    remark: Remark | None = None
    cast_to: int = 0

    @classmethod
    def of(cls, tensor: Tensor) -> Value:
        """Return a tensor as it is."""
        return cls(tensor, tuple(range(len(tensor.shape))))

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return tuple(self.tensor.shape[axis] for axis in self.axes)

    @property
    def has_one(self) -> bool:
        """Whether it is one number."""
        return math.prod(self.shape) == 1

    @property
    def is_plain(self) -> bool:
        """Whether its numbers are those that are stored."""
        return all(done is None for done in (self.quantization, self.rounded, self.zero, self.remark))

    @property
    def is_as_stored(self) -> bool:
        """Whether its axes are those of the tensor."""
        return self.axes == tuple(range(len(self.axes)))

    @property
    def is_float(self) -> bool:
        """Whether it is a row of floating-point numbers, or stands for one."""
        return self.quantization is not None or (self.rounded is None and self.tensor.code in {1, 10, 11, 16})

    def permuted(self, order: Sequence[int]) -> Value | None:
        """Return it with its axes in another order; None if that is no order of its axes."""
        if sorted(order) != list(range(len(self.axes))):
            return None
        return replace(self, axes=tuple(self.axes[axis] for axis in order))

    def along(self, other: Value) -> Along | None:
        """Return another one as it is broadcast to this one; None where it changes along several axes or does not fit.

        Where it lies in memory does not matter: a row of numbers is the same with its axes in another order.
        """
        if len(other.axes) > len(self.axes):
            return None
        offset = len(self.axes) - len(other.axes)
        places = [offset + place for place, length in enumerate(other.shape) if length != 1]
        if not places:
            return Along(other, 0)
        (place, *more) = places
        fits = not more and other.shape[place - offset] == self.shape[place]
        return Along(other, self.axes[place]) if fits else None

    def meant_by(self, quantization: Quantization) -> Value:
        """Return it with a scale."""
        return replace(self, quantization=replace(quantization, rounded=self.rounded), rounded=None, zero=None)

    @property
    def without_scale(self) -> Value:
        """It before it got its scale."""
        known = self.quantization
        return replace(self, quantization=None, rounded=known.rounded if isinstance(known, Quantization) else None)


@dataclass(frozen=True, slots=True, eq=False)
class Product:
    """What a layer made of a weight, and to which a bias may be added.

    Attributes:
        weight: The weight.
        length: Its outputs.
    """

    weight: Value
    length: int


@dataclass(frozen=True, slots=True, eq=False)
class ScaledBy:
    """The product of two scales, of numbers and of a weight: those that are known."""

    scales: tuple[Value, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """A tensor that is repeated along its axes, as the state is with which a recurrent layer begins."""

    value: Value


@dataclass(frozen=True, slots=True, eq=False)
class Looked:
    """Rows that were looked up in a table of whole numbers, before they get their scale."""

    table: Value


@dataclass(frozen=True, slots=True, eq=False)
class Ratio:
    """What a division or a product made: where a norm is spelled out, its scale is what comes next."""


Known = Value | Product | ScaledBy | Spread | Looked | Ratio


@dataclass(slots=True)
class Scope:
    """The names that the nodes of a graph see.

    Attributes:
        path: Where the graph lies, for names; empty for the model's own.
        outer: The scope around it; None for the model's graph and for a function.
        known: What is known of values, by name.
        given: The attributes that the call of a function gave it.
    """

    path: str = ""
    outer: Scope | None = None
    known: dict[str, Known] = field(default_factory=dict)
    given: Mapping[str, Attribute] = field(default_factory=dict)

    def find(self, name: str) -> Known | None:
        """Return what is known of a value; None for nothing."""
        scope: Scope | None = self
        while scope is not None and name:
            if name in scope.known:
                return scope.known[name]
            scope = scope.outer
        return None
