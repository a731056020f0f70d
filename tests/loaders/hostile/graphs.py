"""Frozen graphs of TensorFlow that lie."""

from __future__ import annotations

import numpy as np
from graph_files import constant, function, graph, node, picture, tensor
from protobuf_files import message, part
from tensorflow_files import normal

from hostile.lie import Hostile, of_bytes

ROW = np.arange(6, dtype="f4").reshape(2, 3)
HALVES = ROW.astype("f2")


def weight(*shape: int, name: str = "fc/kernel") -> bytes:
    return constant(name, normal(*shape))


def holder(name: str, size: int = 8) -> bytes:
    return function(name, ["a"], [weight(4, size, name="k"), node("m", "MatMul", "a", "k")], out="m:product:0")


HELD = graph(picture(), weight(4, 8), node("m", "MatMul", "x", "fc/kernel"))

K = node("m", "MatMul", "x", "k")
REFUSED = {
    "no constants": (graph(picture()), "name the checkpoint of its variables"),
    "a shape too large": (graph(constant("k", tensor(0, b"", (2**40, 2**40), 1)), K), "is not a shape"),
    "a negative length": (graph(constant("k", tensor(0, b"", (-2, -3), 1)), K), "is not a shape"),
    "too few bytes": (graph(constant("k", tensor(ROW, part(4, bytes(20)))), K), "takes 24 bytes, and it has 20"),
    "too many numbers": (graph(constant("k", tensor(ROW, part(5, bytes(28)))), K), "half a number, or more than"),
    "half a number": (graph(constant("k", tensor(ROW, part(5, bytes(22)))), K), "half a number, or more than"),
    "too many halves": (
        graph(constant("k", tensor(HALVES, part(13, bytes(7)))), K), "half a number, or more than",
    ),
    "an endless half": (graph(constant("k", tensor(HALVES, part(13, b"\x80"))), K), "does not end"),
    "two nodes of a name": (graph(weight(4, 8, name="k"), weight(4, 8, name="k")), "two nodes have the same name"),
    "two functions of a name": (graph(K, functions=[holder("f"), holder("f")]), "two functions have the same name"),
    "a function without a name": (graph(K, functions=[holder("")]), "a function has no name"),
    "a NUL in a name": (graph(weight(4, 8, name="a\0b"), node("m", "MatMul", "x", "a\0b")), "holds a NUL"),
    "no name": (graph(weight(4, 8, name=""), node("m", "MatMul", "x", "")), "has no name"),
    "no text": (graph(K, message((1, b"\xff\xfe"), (2, "MatMul"))), "not UTF-8"),
    "a number as a name": (graph(K, message((1, 3))), "wrong wire type"),
    "no graph": (message((1, 1), (2, message((1, b"")))), "it holds no graph"),
    "cut short": (HELD[:-3], "cut short"),
}  # fmt: skip


SOURCES = {
    "frozen graph": {name: Hostile(of_bytes(content, "bad.pb")) for name, (content, _) in REFUSED.items()},
}
