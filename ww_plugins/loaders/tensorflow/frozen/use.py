"""A node at work: its attributes, and what is known of its inputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ww_core.loading.channels_last import CONVOLUTIONS
from ww_plugins.loaders.tensorflow.frozen import messages
from ww_plugins.loaders.tensorflow.frozen.lengths import UNKNOWN, Shape
from ww_plugins.loaders.tensorflow.frozen.tensors import few_integers
from ww_plugins.loaders.tensorflow.frozen.values import Ratio, Signal, Value
from ww_plugins.loaders.tensorflow.shapes import shape_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ww_core.loading.channels_last import Placed
    from ww_core.loading.protobuf import Reader
    from ww_plugins.loaders.tensorflow.frozen.claims import Claims
    from ww_plugins.loaders.tensorflow.frozen.messages import Node
    from ww_plugins.loaders.tensorflow.frozen.values import Known

_TELLS = frozenset({"shape", "_output_shapes"})  # attributes of nodes that tell shapes


@dataclass(slots=True)
class Scope:
    """The nodes of a graph or of a function, and what is known of their outputs.

    Attributes:
        nodes: The nodes, by name.
        path: Where a function is called, for names; empty for the graph itself.
        known: What is known, by the name of a node, and of further outputs by ``name:number``.
        told: Shapes that nodes tell of their outputs, so far as they were asked for.
    """

    nodes: Mapping[str, Node]
    path: str = ""
    known: dict[str, Known] = field(default_factory=dict)
    told: dict[tuple[str, int], Shape] = field(default_factory=dict)

    def find(self, name: str) -> Known | None:
        """Return what is known of an input: ``node``, ``node:number``, and ``node:output:number`` in functions."""
        return self.known.get(output(*parted(name)))


def parted(name: str) -> tuple[str, int]:
    """Return the node that an input names, and the number of its output."""
    node, _, rest = name.partition(":")
    number = rest.rpartition(":")[2]
    return node, int(number) if number.isdecimal() and len(number) < 6 else 0


def output(node: str, number: int) -> str:
    """Return under which name an output of a node is known."""
    return f"{node}:{number}" if number else node


@dataclass(slots=True)
class Use:
    """A node, with what is known of its inputs.

    Attributes:
        node: The node.
        scope: The graph around it.
        claims: What nodes say of constants.
        reader: Reads attributes.
    """

    node: Node
    scope: Scope
    claims: Claims
    reader: Reader

    def known(self, place: int) -> Known | None:
        """Return what is known of an input."""
        return self.scope.find(self.node.inputs[place]) if 0 <= place < len(self.node.inputs) else None

    def value(self, place: int) -> Value | None:
        """Return an input, if it is a constant."""
        known = self.known(place)
        return known if isinstance(known, Value) else None

    def kernel(self, place: int) -> Value | None:
        """Return an input, if it is the kernel of a convolution: one along an axis has another one added."""
        value = self.value(place)
        kernel = value.without_added_axes() if value is not None else None
        return kernel if kernel is not None and len(kernel.axes) in CONVOLUTIONS else None

    def integers_in(self, place: int) -> tuple[int, ...] | None:
        """Return an input, if it is a constant with a few whole numbers."""
        value = self.value(place)
        return few_integers(self.reader, value.constant) if value is not None else None

    def shape(self, place: int) -> Shape:
        """Return so much of the shape of an input as is sure: as operators tell it, or else an attribute."""
        known = self.known(place)
        if isinstance(known, Value):
            return Shape.of(known.shape)
        own = known.shape if isinstance(known, Signal | Ratio) else UNKNOWN
        if any(length > 0 for length in own.last):
            return own
        told = self._told_before(place)
        return told if told.last else own

    def _told_before(self, place: int) -> Shape:
        """Return the shape of an input that the node before it tells of itself."""
        if not 0 <= place < len(self.node.inputs):
            return UNKNOWN
        name, number = parted(self.node.inputs[place])
        node = self.scope.nodes.get(name)
        if node is None or not _TELLS & node.attributes.keys():
            return UNKNOWN
        if (name, number) not in self.scope.told:
            self.scope.told[name, number] = self.told_shape(node, number)
        return self.scope.told[name, number]

    def channels(self, place: int) -> int:
        """Return the channels of an input of a convolution; 0 if nothing tells them."""
        axis, rank = self.channel_axis(), self.axes_of_picture()
        return self.shape(place).of_rank(rank).at(axis) or self._told_before(place).of_rank(rank).at(axis)

    def axes_of_picture(self) -> int:
        """Return how many axes a picture has that the node takes."""
        return 5 if "3D" in self.node.op else 4

    def channel_axis(self) -> int:
        """Return the axis along which the channels lie."""
        return 1 if self.text("data_format").startswith("NC") else -1

    def told_shape(self, node: Node, number: int) -> Shape:
        """Return the shape that a node tells of one of its outputs; nothing if it tells none."""
        told = messages.shape_places(self.reader, node).get(number)
        lengths = shape_of(self.reader, told) if told is not None else ()
        return Shape.of(lengths) if lengths else UNKNOWN

    def flag(self, name: str) -> bool:
        """Return an attribute that is true or false."""
        return messages.flag(self.reader, self.node, name)

    def text(self, name: str) -> str:
        """Return an attribute that is a text."""
        return messages.text(self.reader, self.node, name)

    def texts(self, name: str) -> list[str]:
        """Return an attribute that is a list of texts."""
        return messages.texts(self.reader, self.node, name)

    def type_number(self, name: str) -> int:
        """Return an attribute that is a type; 0 if it is not told."""
        return messages.type_number(self.reader, self.node, name)

    def integers(self, name: str) -> tuple[int, ...]:
        """Return an attribute that is a list of whole numbers."""
        return messages.integers(self.reader, self.node, name)

    def makes(self, known: Known | None, number: int = 0) -> None:
        """Say what is known of an output."""
        name = output(self.node.name, number)
        if known is not None:
            self.scope.known[name] = known
        else:
            self.scope.known.pop(name, None)

    def layer(self, weight: Value, placed: Placed, outputs: int, shape: Shape) -> None:
        """Take a constant for the weight of a layer, which may get a bias with so many numbers next."""
        taken = self.claims.weight(weight, placed)
        self.makes(Signal(shape, taken if outputs else None, outputs))

    def bias(self, place: int) -> None:
        """Take an input for the bias of the layer that the node is, so far as it is known."""
        known, value = self.scope.known.get(self.node.name), self.value(place)
        if not isinstance(known, Signal) or known.weight is None or value is None:
            return
        if value.constant.is_float and value.size == known.length:
            self.claims.bias(value, known.weight)
