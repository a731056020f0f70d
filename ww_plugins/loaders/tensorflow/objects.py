"""The graph of objects in a checkpoint: which variables are the model's, and their names.

The graph begins at what was saved, and edges have the names of attributes. What only an optimizer leads to is its own.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from ww_plugins.loaders.tensorflow.messages import DamagedError, fields, message, whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ww_core.contracts.budget import Budget

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


def variables_of_model(content: bytes, budget: Budget) -> list[Variable]:
    """Return the variables that a model leads to, the nearest ones first.

    Args:
        content: The graph.
        budget: What reading it draws on.

    Raises:
        DamagedError: It is no such graph.
    """
    nodes = [_node(message(value), budget) for field, value in fields(content, budget) if field == 1]
    slots = {slot for node in nodes for slot in node.slots}
    return [
        Variable(key, name, path)
        for number, path in _walk(nodes, budget)
        if number not in slots
        for name, key in nodes[number].tensors
    ]


def _walk(nodes: Sequence[_Node], budget: Budget) -> list[tuple[int, str]]:
    """Return the objects that a model leads to, and the shortest path to each."""
    if not nodes:
        return []
    found = {0: ""}
    waiting = deque([0])
    while waiting:
        number = waiting.popleft()
        for child, name in nodes[number].children:
            if not 0 <= child < len(nodes):
                raise DamagedError(f"the graph of objects names object {child}, and has {len(nodes)}")
            path = f"{found[number]}/{name}" if found[number] else name
            if name in _NOT_THE_MODEL or child in found:
                continue
            budget.take("names", len(path))
            found[child] = path
            waiting.append(child)
    return list(found.items())


def _node(content: bytes, budget: Budget) -> _Node:
    children, tensors, slots = [], [], []
    for field, value in fields(content, budget):
        if field not in {1, 2, 3}:
            continue
        part = dict(fields(message(value), budget))
        if field == 1:
            children.append((whole(part.get(1, 0)), _text(part.get(2, b""), budget)))
        elif field == 2:
            tensors.append((_text(part.get(2, b""), budget).removesuffix(":0"), _text(part.get(3, b""), budget)))
        else:
            slots.append(whole(part.get(3, 0)))
    return _Node(children, tensors, slots)


def _text(value: object, budget: Budget) -> str:
    content = message(value)
    budget.take("names", len(content))
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise DamagedError("a name in the graph of objects is not UTF-8 text") from None
