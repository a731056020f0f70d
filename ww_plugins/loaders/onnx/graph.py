"""Walks the graphs of a model once, in their order: which tensors there are, and what the nodes say of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ww_core.loading.names import fault_of_name
from ww_plugins.loaders.onnx.claims import Claims
from ww_plugins.loaders.onnx.messages import Attribute, Function, Graph, Model, Node, Tensor
from ww_plugins.loaders.onnx.operators import OPERATORS
from ww_plugins.loaders.onnx.use import Use
from ww_plugins.loaders.onnx.values import Scope, Value

if TYPE_CHECKING:
    from ww_core.loading.protobuf import Reader

_OF_A_STEP = 8  # visits of the budget for each node, each time that it is come by


@dataclass(slots=True)
class Walk:
    """A walk through a model.

    Attributes:
        claims: What nodes say of tensors.
        names: The name of each tensor, unique.
    """

    reader: Reader
    model: Model
    claims: Claims = field(default_factory=Claims)
    names: dict[Tensor, str] = field(default_factory=dict)
    _taken: set[str] = field(default_factory=set)
    _called: set[tuple[str, str, str]] = field(default_factory=set)
    _doubles: int = 0

    def go(self) -> None:
        """Walk.

        Raises:
            CorruptFileError: Graphs are nested too deeply, or two tensors of one graph share a name.
            SourceError: It takes more than the budget.
        """
        self._graph(self.model.graph, Scope(), 0)
        for key, function in self.model.functions.items():
            if key not in self._called:  # nobody calls it, but its tensors are in the file
                self._function(function, Node(), Scope(), 0)

    def _graph(self, graph: Graph, scope: Scope, depth: int) -> None:
        if depth > self.reader.budget.depth:
            self.reader.refuse(f"its functions are nested more than {self.reader.budget.depth} deep")
        for tensor in graph.tensors:
            if tensor.name in scope.known:
                self.reader.refuse("two tensors of a graph have the same name")
            scope.known[tensor.name] = self._tensor(tensor, tensor.name, scope)
        for node in graph.nodes:
            self._node(node, scope, depth)

    def _node(self, node: Node, scope: Scope, depth: int) -> None:
        self.reader.budget.take("visits", _OF_A_STEP)
        function = self.model.functions.get((node.domain, node.op, node.overload))
        if function is not None:
            self._function(function, node, scope, depth)
            return
        if node.op == "Constant" and node.domain in {"", "ai.onnx"}:
            self._constant(node, scope)
            return
        said = OPERATORS.get(node.domain, {}).get(node.op)
        if said is not None:
            said(Use(node, scope, self.claims, self.reader))
        for attribute in node.attributes.values():
            for graph in attribute.graphs:
                path = "/".join(filter(None, (scope.path, node.name or node.op, attribute.name)))
                self._graph(graph, Scope(path, scope, given=scope.given), depth + 1)
            if attribute.tensor is not None:  # of an operator that nobody knows
                self._tensor(
                    attribute.tensor, attribute.tensor.name or f"{node.name or node.op}.{attribute.name}", scope
                )

    def _function(self, function: Function, call: Node, scope: Scope, depth: int) -> None:
        self._called.add(function.key)
        given = {name: _resolved(attribute, scope) for name, attribute in call.attributes.items()}
        inner = Scope(call.name or function.key[1], given={**function.defaults, **given})
        for name, outer in zip(function.inputs, call.inputs, strict=False):
            known = scope.find(outer)
            if known is not None:
                inner.known[name] = known
        self._graph(function.body, inner, depth + 1)
        for name, outer in zip(function.outputs, call.outputs, strict=False):
            known = inner.find(name)
            if known is not None and outer:
                scope.known[outer] = known

    def _constant(self, node: Node, scope: Scope) -> None:
        for attribute in node.attributes.values():
            found = _resolved(attribute, scope)
            tensor = found.tensor or _listed(found)
            if tensor is not None:
                name = node.outputs[0] if node.outputs else ""
                value = self._tensor(tensor, name or tensor.name or node.name, scope)
                if name:
                    scope.known[name] = value

    def _tensor(self, tensor: Tensor, name: str, scope: Scope) -> Value:
        """Give a tensor a name of its own: the graphs within a graph may use one name for several."""
        if tensor not in self.names:
            if name in self._taken:
                name = f"{scope.path}/{name}" if scope.path else name
            while name in self._taken:
                self._doubles += 1
                name = f"{name[:1000]} ({self._doubles})"
            self.reader.budget.take("names", len(name))
            if fault := fault_of_name(name):
                self.reader.refuse(fault)
            self._taken.add(name)
            self.names[tensor] = name
        return Value.of(tensor)


def _resolved(attribute: Attribute, scope: Scope) -> Attribute:
    return scope.given.get(attribute.refers_to, attribute) if attribute.refers_to else attribute


def _listed(attribute: Attribute) -> Tensor | None:
    """Return the tensor that a constant tells as one or several numbers.

    Of one attribute it is always the same object, because a function may be called many times.
    """
    if attribute.name == "value_floats" and attribute.numbers:
        length = sum(place.stop - place.start for place in attribute.numbers) // 4
        attribute.tensor = Tensor(code=1, shape=(length,), typed={4: attribute.numbers})
    elif attribute.name == "value_float" and attribute.number_at is not None:
        attribute.tensor = Tensor(code=1, typed={4: [attribute.number_at]})
    return attribute.tensor
