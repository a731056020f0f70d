"""A node at work: its attributes, and what is known of its inputs."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ww_plugins.loaders.onnx.claims import Claims
from ww_plugins.loaders.onnx.messages import integers_of
from ww_plugins.loaders.onnx.values import Spread, Value

if TYPE_CHECKING:
    from ww_core.loading.protobuf import Reader
    from ww_plugins.loaders.onnx.messages import Attribute, Node
    from ww_plugins.loaders.onnx.values import Known, Scope


@dataclass(slots=True)
class Use:
    """A node, with what is known of its inputs.

    Attributes:
        node: The node.
        scope: The names that it sees.
        claims: What nodes say of tensors.
        reader: Reads attributes.
    """

    node: Node
    scope: Scope
    claims: Claims
    reader: Reader

    def known(self, place: int) -> Known | None:
        """Return what is known of an input."""
        inputs = self.node.inputs
        return self.scope.find(inputs[place]) if place < len(inputs) else None

    def value(self, place: int) -> Value | None:
        """Return an input, if it is a tensor of the graph."""
        known = self.known(place)
        return known if isinstance(known, Value) else None

    def attribute(self, name: str) -> Attribute | None:
        """Return an attribute; where the node stands in a function, it may be one of the call."""
        found = self.node.attributes.get(name)
        return self.scope.given.get(found.refers_to) if found is not None and found.refers_to else found

    def integer(self, name: str, default: int) -> int:
        """Return an attribute that is a whole number."""
        found = self.attribute(name)
        return default if found is None or found.integer is None else found.integer

    def integers(self, name: str) -> tuple[int, ...]:
        """Return an attribute that is a list of whole numbers."""
        return integers_of(self.reader, self.attribute(name))

    def number(self, name: str, default: float) -> float:
        """Return an attribute that is a floating-point number."""
        found = self.attribute(name)
        if found is None or found.number_at is None:
            return default
        return float(struct.unpack("<f", self.reader.bytes_of(found.number_at))[0])

    def makes(self, known: Known | None) -> None:
        """Say what is known of the first output."""
        if known is not None and self.node.outputs:
            self.scope.known[self.node.outputs[0]] = known

    def buffers(self, *places: int) -> None:
        """Take inputs for tensors of no layer."""
        for place in places:
            known = self.known(place)
            value = known.value if isinstance(known, Spread) else known
            if isinstance(value, Value):
                self.claims.buffer(value, self.node)

    def bias(self, place: int, weight: Value, length: int) -> None:
        """Take an input for the bias of a weight."""
        value = self.value(place)
        if value is not None:
            self.claims.bias(value, self.node, weight, length)
