"""The messages of a graph, as far as they tell of weights: nodes, functions and constants."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ww_core.loading.protobuf import BYTES, VARINT, Field, Reader, beginning

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SAVED_MODEL = {1: "varint", 2: "messages"}
_META_GRAPH = {2: "bytes"}
_GRAPH = {1: "messages", 2: "bytes"}
_LIBRARY = {1: "messages"}
_FUNCTION = {1: "bytes", 3: "messages", 4: "messages"}
_SIGNATURE = {1: "bytes", 2: "messages", 3: "messages"}
_ARGUMENT = {1: "bytes"}
_NODE = {1: "bytes", 2: "bytes", 3: "messages", 5: "messages"}
_ENTRY = {1: "bytes", 2: "bytes"}
_VALUE = {1: "bytes", 2: "bytes", 3: "varint", 5: "varint", 6: "varint", 7: "bytes", 8: "bytes", 10: "bytes"}
_LIST = {2: "messages", 3: "varints", 7: "messages", 9: "messages"}
_FUNC = {1: "bytes"}

_TOLD = frozenset({
    "value", "transpose_a", "transpose_b", "adj_x", "adj_y", "data_format", "equation", "squeeze_dims", "fused_ops",
    "f", "body", "cond", "then_branch", "else_branch", "branches", "shape", "_output_shapes",
    "DstT", "ksize",
})  # fmt: skip
"""Attributes that tell something of weights."""

_OF_A_NODE = 6  # visits of the budget for each node: it takes more memory than a field
_MOST_INTEGERS = 1 << 8  # of an attribute


@dataclass(slots=True, eq=False)
class Node:
    """A node: its inputs without those that only order it, and the places of attributes that tell something."""

    name: str = ""
    op: str = ""
    inputs: list[str] = field(default_factory=list)
    attributes: dict[str, Field] = field(default_factory=dict)


@dataclass(slots=True)
class Function:
    """A function of a library; ``results`` are names within it."""

    name: str = ""
    arguments: list[str] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    results: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Graph:
    """A graph, and the functions that its nodes call.

    Attributes:
        nodes: Its nodes, in any order.
        functions: The functions, by name.
        more: How many other graphs the file holds, which are not read.
    """

    nodes: list[Node] = field(default_factory=list)
    functions: dict[str, Function] = field(default_factory=dict)
    more: int = 0


def is_saved_model(head: bytes) -> bool:
    """Tell whether a file that begins so may be a SavedModel: it tells its version, and then graphs."""
    fields = beginning(head)
    first, second = next(fields, None), next(fields, None)
    if first is None or second is None or first[:3] != (1, VARINT, 1) or second[:2] != (2, BYTES):
        return False
    inner = next(beginning(head[second.start :]), None)
    return inner is not None and inner.number in {1, 2} and inner.wire == BYTES and inner.stop <= second.stop


def is_graph(head: bytes) -> bool:
    """Tell whether a file that begins so may be a graph: it begins with a node, which has a name and an operation."""
    first = next(beginning(head), None)
    if first is None or first[:2] != (1, BYTES):
        return False
    fields = beginning(head[first.start : first.stop])
    parts = [head[first.start :][part.start : part.stop] for part in (next(fields, None), next(fields, None)) if part]
    named = [part for part in parts if part.isascii() and part.decode().isprintable()]
    return len(parts) == len(named) == 2 and parts[1].replace(b">", b"").replace(b"_", b"").isalnum()


def read_graph(reader: Reader) -> Graph:
    """Read the graph of a file: of a SavedModel its first one.

    Raises:
        CorruptFileError: It holds no sound graph.
        SourceError: It takes more than the budget.
    """
    size = reader.file.size
    if not is_saved_model(reader.file.head(64)):
        return _graph(reader, Field(0, BYTES, 0, size))
    graphs = [
        inner
        for part in reader.fields(0, size, _SAVED_MODEL)
        if part.number == 2
        for inner in reader.fields(part.start, part.stop, _META_GRAPH)
    ]
    if not graphs:
        reader.refuse("it holds no graph")
    graph = _graph(reader, graphs[0])
    graph.more = len(graphs) - 1
    return graph


def _graph(reader: Reader, place: Field) -> Graph:
    graph = Graph()
    for part in reader.fields(place.start, place.stop, _GRAPH):
        if part.number == 1:
            graph.nodes.append(_node(reader, part))
            continue
        for inner in reader.fields(part.start, part.stop, _LIBRARY):
            function = _function(reader, inner)
            if not function.name:
                reader.refuse("a function has no name")
            if function.name in graph.functions:
                reader.refuse("two functions have the same name")
            graph.functions[function.name] = function
    return graph


def _function(reader: Reader, place: Field) -> Function:
    function = Function()
    told: list[str] = []
    results: dict[str, str] = {}
    for part in reader.fields(place.start, place.stop, _FUNCTION):
        if part.number == 1:
            for inner in reader.fields(part.start, part.stop, _SIGNATURE):
                if inner.number == 1:
                    function.name = reader.text(inner)
                else:
                    (function.arguments if inner.number == 2 else told).append(_argument(reader, inner))
        elif part.number == 3:
            function.nodes.append(_node(reader, part))
        else:
            key, value = _entry(reader, part)
            results[key] = reader.text(value) if value else ""
    function.results = [results.get(name, "") for name in told]
    return function


def _argument(reader: Reader, place: Field) -> str:
    for part in reader.fields(place.start, place.stop, _ARGUMENT):
        return reader.text(part)
    return ""


def _node(reader: Reader, place: Field) -> Node:
    reader.budget.take("visits", _OF_A_NODE)
    node = Node()
    for part in reader.fields(place.start, place.stop, _NODE):
        match part.number:
            case 1:
                node.name = reader.text(part)
            case 2:
                node.op = reader.text(part)
            case 3:
                name = reader.text(part)
                if not name.startswith("^"):
                    node.inputs.append(name)
            case 5:
                key, value = _entry(reader, part)
                if key in _TOLD and value is not None:
                    node.attributes[key] = value
    return node


def _entry(reader: Reader, place: Field) -> tuple[str, Field | None]:
    key, value = "", None
    for part in reader.fields(place.start, place.stop, _ENTRY):
        if part.number == 1:
            key = reader.text(part)
        else:
            value = part
    return key, value


# --- attributes ---


def _value(reader: Reader, node: Node, name: str, number: int) -> Field | None:
    place = node.attributes.get(name)
    if place is None:
        return None
    found = (part for part in reader.fields(place.start, place.stop, _VALUE) if part.number == number)
    return next(found, None)


def flag(reader: Reader, node: Node, name: str) -> bool:
    """Return an attribute that is true or false."""
    found = _value(reader, node, name, 5)
    return found is not None and found.start == 1


def type_number(reader: Reader, node: Node, name: str) -> int:
    """Return an attribute that is a type, by TensorFlow's number; 0 if there is none."""
    found = _value(reader, node, name, 6)
    return found.start if found is not None else 0


def text(reader: Reader, node: Node, name: str) -> str:
    """Return an attribute that is a text."""
    found = _value(reader, node, name, 2)
    return reader.text(found) if found is not None else ""


def constant_of(reader: Reader, node: Node) -> Field | None:
    """Return the place of the tensor that a constant is."""
    return _value(reader, node, "value", 8)


def integers(reader: Reader, node: Node, name: str) -> tuple[int, ...]:
    """Return an attribute that is a short list of whole numbers."""
    found: list[int] = []
    for part in _listed(reader, node, name, 3):
        if part.stop - part.start > _MOST_INTEGERS and part.wire == BYTES:
            return ()
        found += reader.integers(part)
    return tuple(found)


def texts(reader: Reader, node: Node, name: str) -> list[str]:
    """Return an attribute that is a list of texts."""
    return [reader.text(part) for part in _listed(reader, node, name, 2)]


def shape_places(reader: Reader, node: Node) -> Mapping[int, Field]:
    """Return where the shapes of a node's outputs stand, by their numbers."""
    own = _value(reader, node, "shape", 7)
    if own is not None:
        return {0: own}
    return dict(enumerate(_listed(reader, node, "_output_shapes", 7)))


def called(reader: Reader, node: Node) -> Mapping[str, Sequence[str]]:
    """Return the functions that a node calls, by the names of attributes."""
    found = {}
    for name in ("f", "body", "cond", "then_branch", "else_branch", "branches"):
        one = _value(reader, node, name, 10)
        places = [one] if one is not None else _listed(reader, node, name, 9)
        names = [reader.text(part) for place in places for part in reader.fields(place.start, place.stop, _FUNC)]
        if names:
            found[name] = names
    return found


def _listed(reader: Reader, node: Node, name: str, number: int) -> list[Field]:
    held = _value(reader, node, name, 1)
    if held is None:
        return []
    return [part for part in reader.fields(held.start, held.stop, _LIST) if part.number == number]
