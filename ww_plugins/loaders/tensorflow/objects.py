"""The graph of objects in a checkpoint: which variables are the model's, and their names.

The graph begins at what was saved, and edges have the names of attributes. What only an optimizer leads to is its own.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ww_core.loading.protobuf import BytesReader, Field

_OF_AN_OBJECT = 8  # visits of the budget for each object: it takes more memory than a field
_GRAPH = {1: "messages"}
_NODE = {1: "messages", 2: "messages", 3: "messages"}
_PARTS = {
    1: {1: "varint", 2: "bytes"},  # a child: its number and name
    2: {2: "bytes", 3: "bytes"},  # a tensor: its full name and key
    3: {3: "varint"},  # a slot: the number of the variable that it is
}

_NOT_THE_MODEL = frozenset({"optimizer", "_optimizer", "save_counter", "optimizer_state"})


class _Node(NamedTuple):
    """An object: its attributes that are objects, and the full names of its tensors by their keys."""

    children: Sequence[tuple[int, str]]
    tensors: Sequence[tuple[str, str]]
    slots: Sequence[int]


class Variable(NamedTuple):
    """A variable of a model: its key, the name that its layer gave it (``dense/kernel``), and the way to it."""

    key: str
    name: str
    path: str


def variables_of_model(reader: BytesReader) -> list[Variable]:
    """Return the variables that a model leads to, the nearest ones first.

    Args:
        reader: Reads the graph.

    Raises:
        CorruptFileError: It is no such graph.
        SourceError: It takes more than the budget.
    """
    nodes = [_node(reader, place) for place in reader.fields(0, len(reader.content), _GRAPH)]
    slots = {slot for node in nodes for slot in node.slots}
    return [
        Variable(key, name, path)
        for number, path in _walk(nodes, reader)
        if number not in slots
        for name, key in nodes[number].tensors
    ]


def _walk(nodes: Sequence[_Node], reader: BytesReader) -> list[tuple[int, str]]:
    """Return the objects that a model leads to, and the shortest path to each."""
    if not nodes:
        return []
    found = {0: ""}
    waiting = deque([0])
    while waiting:
        number = waiting.popleft()
        for child, name in nodes[number].children:
            if not 0 <= child < len(nodes):
                reader.refuse(f"the graph of objects names object {child}, and has {len(nodes)}")
            path = f"{found[number]}/{name}" if found[number] else name
            if name in _NOT_THE_MODEL or child in found:
                continue
            reader.budget.take("names", len(path))
            found[child] = path
            waiting.append(child)
    return list(found.items())


def _node(reader: BytesReader, place: Field) -> _Node:
    reader.budget.take("visits", _OF_AN_OBJECT)
    children, tensors, slots = [], [], []
    for part in reader.fields(place.start, place.stop, _NODE):
        parts = {inner.number: inner for inner in reader.fields(part.start, part.stop, _PARTS[part.number])}
        if part.number == 1:
            children.append((_number(parts.get(1)), _text(reader, parts.get(2))))
        elif part.number == 2:
            tensors.append((_text(reader, parts.get(2)).removesuffix(":0"), _text(reader, parts.get(3))))
        else:
            slots.append(_number(parts.get(3)))
    return _Node(children, tensors, slots)


def _number(field: Field | None) -> int:
    return field.start if field is not None else 0


def _text(reader: BytesReader, field: Field | None) -> str:
    if field is None:
        return ""
    reader.budget.take("names", field.stop - field.start)
    return reader.text(field)
