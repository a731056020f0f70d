"""Graphs of TensorFlow as the tests want them, also such as no program writes. TensorFlow is not needed."""

from __future__ import annotations

from typing import Any

import numpy as np
from protobuf_files import message, number, part
from tensorflow_files import DTYPES, shape_of


def tensor(array: Any, content: bytes | None = None, shape: Any = None, dtype: Any = None) -> bytes:
    """A TensorProto: the bytes of an array, or what is told instead of them."""
    array = np.asarray(array)
    code = DTYPES[dtype or array.dtype.name] if not isinstance(dtype, int) else dtype
    told = part(4, array.tobytes()) if content is None else content
    return message((1, code), (2, shape_of(array.shape if shape is None else shape))) + told


def attribute(value: Any) -> bytes:
    """An AttrValue: a truth, a text, whole numbers, a function's name in a list of one, or the bytes of one."""
    match value:
        case bytes():
            return value
        case bool():
            return number(5, int(value))
        case str():
            return part(2, value)
        case {"function": name}:
            return part(10, part(1, name))
        case {"shape": lengths}:
            return part(7, shape_of(lengths))
        case {"texts": texts}:
            return part(1, b"".join(part(2, text) for text in texts))
    return part(1, b"".join(number(3, one) for one in value))


def node(name: str, op: str, *inputs: str, **attributes: Any) -> bytes:
    held = b"".join(part(5, part(1, key) + part(2, attribute(value))) for key, value in attributes.items())
    return message((1, name), (2, op), *((3, each) for each in inputs)) + held


def constant(name: str, array: Any, **more: Any) -> bytes:
    """A node that is a constant: of an array, or of the bytes of a TensorProto."""
    content = array if isinstance(array, bytes) else tensor(array, **more)
    return node(name, "Const", value=part(8, content))


def function(name: str, arguments: Any, nodes: Any, **results: str) -> bytes:
    """A function: results are names of outputs within it, by their own."""
    signature = message((1, name), *((2, message((1, own))) for own in arguments))
    signature += message(*((3, message((1, own))) for own in results))
    told = [(4, message((1, own), (2, inner))) for own, inner in results.items()]
    return message((1, signature), *((3, own) for own in nodes), *told)


def graph(*nodes: bytes, functions: Any = ()) -> bytes:
    library = [(2, message(*((1, own) for own in functions)))] if functions else []
    return message(*((1, own) for own in nodes), *library)


def saved_model(*graphs: bytes) -> bytes:
    return message((1, 1), *((2, message((1, message((1, "v"))), (2, own))) for own in graphs))


def picture(name: str = "x", *shape: int) -> bytes:
    return node(name, "Placeholder", shape={"shape": shape or (-1, 8, 8, 4)})


def of_weights(weights: Any) -> bytes:
    """A graph with layers of these variables, as they are stored, and of what else is there."""
    nodes = [picture()]
    for name, weight in weights.items():
        nodes.append(constant(name, weight))
        path, _, last = name.rpartition("/")
        bias = [own for own in (f"{path}/bias",) if own in weights]
        if last == "gamma":
            nodes.append(node(f"{path}/op", "FusedBatchNormV3", "x", name, *bias))
        elif last == "kernel":
            nodes.append(node(f"{path}/op", {2: "MatMul", 4: "Conv2D"}[weight.ndim], "x", name))
            nodes += [node(f"{path}/add", "BiasAdd", f"{path}/op", own) for own in bias]
    return graph(*nodes)
