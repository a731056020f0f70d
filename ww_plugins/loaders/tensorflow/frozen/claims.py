"""What the nodes of a graph say of its constants: the first one that takes a constant tells what it is."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import ww_core as ww
from ww_core.loading.channels_last import Placed, as_stored
from ww_core.loading.state_dict import Part
from ww_plugins.loaders.tensorflow.frozen.values import Value

if TYPE_CHECKING:
    from ww_plugins.loaders.tensorflow.frozen.values import Change, Constant


class Claim(NamedTuple):
    """What a node says of a constant.

    Attributes:
        placed: How it becomes a tensor, whose layer has no name yet.
        stored: The shape in which the constant is placed.
        of: Of a bias: its weight.
    """

    placed: Placed
    stored: tuple[int, ...]
    of: Constant | None = None

    @property
    def is_weight(self) -> bool:
        """Whether it is the weight of a layer."""
        return self.placed.part is not None and self.placed.part.role == "weight"


def as_it_is(constant: Constant, part: Part) -> Claim:
    """Say what a constant is whose axes lie as they are stored."""
    return Claim(as_stored(constant.shape, part), constant.shape)


@dataclass(slots=True)
class Claims:
    """What is known of all constants, in the order in which nodes take them.

    Attributes:
        made: What is said of each.
        without_groups: Kernels whose groups nothing tells.
        changed: Weights of which the graph makes something else before it uses them.
    """

    made: dict[Constant, Claim] = field(default_factory=dict)
    without_groups: list[Constant] = field(default_factory=list)
    changed: dict[Change, dict[Constant, None]] = field(default_factory=dict)
    _biased: set[Constant] = field(default_factory=set)

    def weight(self, value: Value, placed: Placed) -> Constant | None:
        """Take a constant for the weight of a layer, if no node took it before; return it if it is a weight now."""
        claim = self.made.setdefault(value.constant, Claim(value.placed(placed), value.stored))
        if value.change is not None and claim.is_weight:
            self.changed.setdefault(value.change, {})[value.constant] = None
        return value.constant if claim.is_weight else None

    def norm(self, value: Value) -> Constant | None:
        """Take a row for the scale of a norm, whatever shape it has for it."""
        row = replace(Value.of(value.constant).squeezed(()), change=value.change)
        part = Part("weight", kind=ww.LayerKind.NORM)
        return self.weight(row, as_stored(row.shape, part)) if len(row.shape) == 1 else None

    def bias(self, value: Value, weight: Constant) -> None:
        """Take a constant for the bias of a weight, if the weight has none."""
        if weight not in self._biased and value.constant not in self.made:
            self._biased.add(weight)
            row = Placed((tuple(axis for own in value.axes for axis in own),), Part("bias"))
            self.made[value.constant] = Claim(row, value.stored, weight)

    def buffer(self, value: Value) -> None:
        """Take a constant for one of no layer."""
        self.made.setdefault(value.constant, as_it_is(value.constant, Part("buffer")))

    def no_weight(self, constant: Constant) -> None:
        """Take back that a constant is a weight."""
        self.made[constant] = as_it_is(constant, Part("buffer"))
