"""How a model of ONNX begins: it has no magic number, but fields that follow each other."""

from __future__ import annotations

_VARINTS, _TEXTS, _GRAPH, _OPSET = (1, 5), (2, 3, 4, 6), 7, 8
_NEWEST = 64  # version of the format: there are 13
_OF_GRAPHS = frozenset({0x0A, 0x12, 0x2A, 0x52, 0x5A, 0x62, 0x6A, 0x72, 0x7A, 0x82})
"""First bytes of the fields of a graph."""


def begins_as_model(head: bytes, size: int) -> float:
    """Tell how sure it is that a file that begins so is a model: 1 if its graph is seen, and fits into the file."""
    at, seen = 0, set[int]()
    while at < len(head):
        tag, at = head[at], at + 1
        number, wire = tag >> 3, tag & 7
        if wire not in {0, 2} or (wire == 0) is not (number in _VARINTS) or not 1 <= number <= _OPSET:
            return 0.0
        value, at = _varint(head, at)
        if at > len(head):
            break
        if wire == 0:
            if number == 1 and not 1 <= value <= _NEWEST:
                return 0.0
        elif number == _GRAPH:
            if at + value > size or 1 not in seen:
                return 0.0 if 1 not in seen else 0.5
            return 1.0 if at == len(head) or head[at] in _OF_GRAPHS else 0.0
        elif number in _TEXTS and b"\0" in head[at : at + value]:
            return 0.0
        else:
            at += value
        seen.add(number)
    return 0.3 if {1, 2} <= seen else 0.0


def _varint(head: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(head):
            return value, at + 1
        byte, at = head[at], at + 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
    return value, at
