"""Walks a graph once, each node after its inputs: which constants there are, and what the nodes say of them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ww_plugins.loaders.tensorflow.frozen.claims import Claims
from ww_plugins.loaders.tensorflow.frozen.messages import called, constant_of
from ww_plugins.loaders.tensorflow.frozen.operators import OPERATORS
from ww_plugins.loaders.tensorflow.frozen.tensors import read_constant
from ww_plugins.loaders.tensorflow.frozen.use import Scope, Use
from ww_plugins.loaders.tensorflow.frozen.values import Value

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence

    from ww_core.loading.protobuf import Reader
    from ww_plugins.loaders.tensorflow.frozen.messages import Function, Graph, Node
    from ww_plugins.loaders.tensorflow.frozen.values import Constant, Known

_OF_A_STEP = 24  # visits of the budget for each node, each time that it is come by
_CONDITIONAL = frozenset({"then_branch", "else_branch", "branches"})  # called without the first input
_LOOPED = frozenset({"body", "cond"})
_TRACE = re.compile(r"_[0-9]+$")


@dataclass(slots=True)
class Walk:
    """A walk through a graph and the functions that its nodes call.

    Attributes:
        claims: What nodes say of constants.
        paths: All constants, each with the function that it lies in, for names.
    """

    reader: Reader
    graph: Graph
    claims: Claims = field(default_factory=Claims)
    paths: dict[Constant, str] = field(default_factory=dict)
    _functions: dict[Constant, str] = field(default_factory=dict)
    _latest: list[Constant] = field(default_factory=list)
    _values: dict[Node, Value] = field(default_factory=dict)
    _orders: dict[str, tuple[dict[str, Node], Sequence[Node]]] = field(default_factory=dict)
    _calls: dict[Node, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    _results: dict[tuple[object, ...], Sequence[Known | None]] = field(default_factory=dict)

    def go(self) -> None:
        """Walk.

        Raises:
            CorruptFileError: Functions are nested too deeply, or two nodes have one name.
            SourceError: It takes more than the budget.
        """
        self._nodes("", self.graph.nodes, {}, "", 0)
        known = {self._likeness(constant) for constant in self.paths}
        for function in self._not_called():
            self._latest = []
            self._function(function, [None] * len(function.arguments), function.name, 1)
            self._drop_copies(known)
            known.update(self._likeness(constant) for constant in self._latest)

    def _not_called(self) -> Iterable[Function]:
        """Give the functions that nothing walked called: first those that no other one calls."""
        functions = self.graph.functions
        inner = {
            name
            for function in functions.values()
            for node in function.nodes
            for names in called(self.reader, node).values()
            for name in names
        }
        for name in [*(name for name in functions if name not in inner), *functions]:
            if name not in self._orders:
                yield functions[name]

    def _drop_copies(self, known: Container[tuple[object, ...]]) -> None:
        """Forget constants of a function that nothing calls, where another trace of the same code has them."""
        for constant in self._latest:
            if self._likeness(constant) in known:
                del self.paths[constant]
                self.claims.made.pop(constant, None)

    def _likeness(self, constant: Constant) -> tuple[object, ...]:
        return _TRACE.sub("", self._functions[constant]), constant.name, constant.code, constant.shape

    def _nodes(self, name: str, nodes: Sequence[Node], known: dict[str, Known], path: str, depth: int) -> Scope:
        if name not in self._orders:
            by_name = {node.name: node for node in nodes}
            if len(by_name) < len(nodes):
                self.reader.refuse("two nodes have the same name")
            self._orders[name] = by_name, self._ordered(by_name)
        by_name, ordered = self._orders[name]
        scope = Scope(by_name, path, known)
        for node in ordered:
            self.reader.budget.take("visits", _OF_A_STEP)
            if node.op == "Const":
                self._constant(node, name, scope)
            elif node.op in self.graph.functions or (self.graph.functions and _CALLS & node.attributes.keys()):
                self._call(node, scope, depth)
            elif node.op in OPERATORS:
                OPERATORS[node.op](Use(node, scope, self.claims, self.reader))
        return scope

    def _ordered(self, nodes: Mapping[str, Node]) -> Sequence[Node]:
        """Return nodes, each behind its inputs; only loops lead back."""
        done: dict[str, Node] = {}
        seen: set[str] = set()
        for name in nodes:
            waiting = [name]
            while waiting:
                last = waiting[-1]
                inputs = self._inputs(nodes[last]) if last not in seen else ()
                seen.add(last)
                before = [own for own in inputs if own in nodes and own not in seen]
                if before:
                    waiting += reversed(before)
                else:
                    waiting.pop()
                    done.setdefault(last, nodes[last])
        return list(done.values())

    def _inputs(self, node: Node) -> Sequence[str]:
        self.reader.budget.take("visits", 1 + len(node.inputs))
        return () if node.op == "NextIteration" else [name.partition(":")[0] for name in node.inputs]

    def _constant(self, node: Node, function: str, scope: Scope) -> None:
        if node not in self._values:
            place = constant_of(self.reader, node)
            if place is None:
                return
            constant = read_constant(self.reader, place, node.name)
            self._values[node] = Value.of(constant)
            self.paths[constant], self._functions[constant] = scope.path, function
            self._latest.append(constant)
        scope.known[node.name] = self._values[node]

    def _call(self, node: Node, scope: Scope, depth: int) -> None:
        inputs = [scope.find(name) for name in node.inputs]
        if node not in self._calls:
            self._calls[node] = {"f": [node.op]} if node.op in self.graph.functions else called(self.reader, node)
        calls = self._calls[node]
        for attribute, names in calls.items():
            for name in names:
                if name not in self.graph.functions:
                    continue
                given = inputs[1:] if attribute in _CONDITIONAL else inputs
                results = self._function(self.graph.functions[name], given, node.name, depth + 1)
                if attribute not in _LOOPED:
                    use = Use(node, scope, self.claims, self.reader)
                    for number, known in enumerate(results):
                        use.makes(known, number)

    def _function(
        self, function: Function, given: Sequence[Known | None], path: str, depth: int
    ) -> Sequence[Known | None]:
        """Walk a function, once for all calls that know the same of its arguments, and return what its results are."""
        if depth > self.reader.budget.depth:
            self.reader.refuse(f"its functions are nested more than {self.reader.budget.depth} deep")
        key = (function.name, *given)
        if key not in self._results:
            self._results[key] = ()
            pairs = zip(function.arguments, given, strict=False)
            known = {name: known for name, known in pairs if known is not None}
            scope = self._nodes(function.name, function.nodes, known, path, depth)
            self._results[key] = [scope.find(name) for name in function.results]
        return self._results[key]


_CALLS = frozenset({"f", *_CONDITIONAL, *_LOOPED})
