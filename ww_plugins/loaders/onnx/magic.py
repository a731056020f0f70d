"""How a model of ONNX begins: it has no magic number, but fields that follow each other."""

from __future__ import annotations

from ww_core.loading.protobuf import BYTES, VARINT, beginning

_VARINTS, _TEXTS, _GRAPH, _OPSET = (1, 5), (2, 3, 4, 6), 7, 8
_NEWEST = 64  # version of the format: there are 13
_OF_GRAPHS = frozenset({0x0A, 0x12, 0x2A, 0x52, 0x5A, 0x62, 0x6A, 0x72, 0x7A, 0x82})
"""First bytes of the fields of a graph."""


def begins_as_model(head: bytes, size: int) -> float:
    """Tell how sure it is that a file that begins so is a model: 1 if its graph is seen, and fits into the file."""
    seen = set[int]()
    for number, wire, start, stop in beginning(head):
        is_varint = number in _VARINTS
        if wire != (VARINT if is_varint else BYTES) or not 1 <= number <= _OPSET:
            return 0.0
        if number == 1 and not 1 <= start <= _NEWEST:
            return 0.0
        if number == _GRAPH:
            if stop > size or 1 not in seen:
                return 0.0 if 1 not in seen else 0.5
            return 1.0 if start == len(head) or head[start] in _OF_GRAPHS else 0.0
        if number in _TEXTS and b"\0" in head[start:stop]:
            return 0.0
        seen.add(number)
    return 0.3 if {1, 2} <= seen else 0.0
