"""What the nodes of a graph say of its tensors: the first one that uses a tensor tells what it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import ww_core as ww
from ww_plugins.loaders.onnx.remarks import Remark, Remarks
from ww_plugins.loaders.onnx.values import Packed, Quantization, Value

if TYPE_CHECKING:
    from collections.abc import Hashable

    from ww_plugins.loaders.onnx.messages import Node, Tensor

_CONVOLUTIONS = {3: ww.LayerKind.CONV1D, 4: ww.LayerKind.CONV2D, 5: ww.LayerKind.CONV3D}


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a tensor that is a weight or a bias of its own.

    Attributes:
        suffix: What follows the tensor's name in its own; empty where it is the only piece.
        first: Where it begins, in numbers.
        shape: Its shape.
        of: Of a bias: the tensor and the suffix of its weight.
        order: Its axes in ww's layout; empty where they are that.
    """

    suffix: str
    first: int
    shape: tuple[int, ...]
    of: tuple[Tensor, str] | None = None
    order: tuple[int, ...] = ()


@dataclass(slots=True, eq=False)
class Claim:
    """What a node says of a tensor.

    Attributes:
        value: The tensor, as the node sees it.
        node: The node, which names layers whose tensor has no name.
        kind: What the layer does; None where the tensor is a bias or of no layer.
        groups: Of a convolution.
        order: The axes of the value in ww's layout.
        of: Of a bias: its weight.
        pieces: The weights or biases that it consists of; nothing where it is one.
        letter: What the operator calls it, of one that has pieces.
    """

    value: Value
    node: Node
    kind: ww.LayerKind | None = None
    groups: int = 1
    order: tuple[int, ...] = ()
    of: Tensor | None = None
    pieces: tuple[Piece, ...] = ()
    letter: str = ""


@dataclass(slots=True)
class Claims:
    """What is known of all tensors, in the order in which nodes use them.

    Attributes:
        made: What is known of each.
        remarks: What the user should know of them besides.
        rescaled: How quantized ones are meant where they are used again.
        rounded: What becomes of those that are rounded on the way, with a scale if they get one.
        unread: Why whole numbers that have a scale are not read with it.
    """

    made: dict[Tensor, Claim] = field(default_factory=dict)
    remarks: Remarks = field(default_factory=Remarks)
    rescaled: dict[Tensor, dict[Hashable, Quantization | Packed]] = field(default_factory=dict)
    rounded: dict[Tensor, Value] = field(default_factory=dict)
    unread: dict[Tensor, str] = field(default_factory=dict)
    _biased: set[Tensor] = field(default_factory=set)
    _biased_pieces: set[tuple[Tensor, str] | None] = field(default_factory=set)

    def weight(
        self, value: Value, node: Node, kind: ww.LayerKind, order: tuple[int, ...] = (), groups: int = 1
    ) -> bool:
        """Take a tensor for the weight of a layer, if no node took it before; tell whether it is a weight now."""
        order = order or tuple(range(len(value.axes)))
        claim = self.made.setdefault(value.tensor, Claim(value, node, kind, groups, order))
        self.meant_again(claim, value.quantization)
        self._remark(value)
        return claim.kind is not None and not claim.pieces

    def meant_again(self, claim: Claim, other: Quantization | Packed | None) -> None:
        """Note how a quantized tensor is meant where a node uses it that is known already."""
        known, tensor = claim.value.quantization, claim.value.tensor
        if (known is None) != (other is None) and Value.of(tensor).is_float:
            self.remarks.add(Remark.PLAIN_TOO, tensor)
        if known is None or other is None or tensor in {known.scale.tensor, other.scale.tensor}:
            return
        key = (other.layout, *(part and part.tensor for part in other.parts))
        self.rescaled.setdefault(tensor, {}).setdefault(key, other)

    def dense(self, value: Value, node: Node, *order: int, kind: ww.LayerKind = ww.LayerKind.DENSE) -> bool:
        """Take a matrix for the weight of a layer; ``order`` names the axis of its outputs, and the other."""
        return len(value.axes) == 2 and self.weight(value, node, kind, order)

    def convolution(self, value: Value, node: Node, groups: int) -> bool:
        """Take a kernel for the weight of a convolution."""
        shape = value.shape
        if len(shape) < 3:
            return False
        fits = 1 <= groups <= max(1, shape[0]) and shape[0] % groups == 0
        if not fits:
            self.remarks.add(Remark.GROUPS, value.tensor, f"{groups} groups")
        kind = _CONVOLUTIONS.get(len(shape), ww.LayerKind.OTHER)
        return self.weight(value, node, kind, groups=groups if fits else 1)

    def norm(self, value: Value, node: Node) -> bool:
        """Take the scale of a norm for its weight."""
        return len(value.axes) == 1 and self.weight(value, node, ww.LayerKind.NORM)

    def bias(self, value: Value, node: Node, weight: Value, length: int) -> None:
        """Take a tensor for the bias of a weight, if it fits and the weight has none."""
        if value.shape != (length,) or weight.tensor in self._biased or value.tensor in self.made:
            return
        self._biased.add(weight.tensor)
        self.made[value.tensor] = Claim(value, node, of=weight.tensor)

    def buffer(self, value: Value, node: Node) -> None:
        """Take a tensor for one of no layer."""
        self.made.setdefault(value.tensor, Claim(value, node))

    def recurrent(self, value: Value, node: Node, letter: str, pieces: tuple[Piece, ...]) -> None:
        """Take a tensor for the matrices of a recurrent layer, one for each direction."""
        kind = ww.LayerKind.RECURRENT
        self._remark(value)
        self.made.setdefault(value.tensor, Claim(value, node, kind, pieces=pieces, letter=letter))

    def biases(self, value: Value, node: Node, pieces: tuple[Piece, ...]) -> None:
        """Take a tensor for the biases of a recurrent layer: each matrix has one."""
        if not any(piece.of in self._biased_pieces for piece in pieces):
            self.made.setdefault(value.tensor, Claim(value, node, pieces=pieces))
            self._biased_pieces.update(piece.of for piece in pieces)

    def _remark(self, value: Value) -> None:
        if value.rounded is not None:
            self.remarks.add(Remark.ROUNDED, value.tensor)
        elif value.remark is not None:
            self.remarks.add(value.remark, value.tensor)
