"""Models of ONNX for tests, also such as the library would not write."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from protobuf_files import number, part

if TYPE_CHECKING:
    from pathlib import Path


def tensor(name="w", shape=(2, 3), code=1, raw=bytes(24), more=b"") -> bytes:
    """A TensorProto."""
    dims = b"".join(number(1, length) for length in shape)
    return dims + number(2, code) + part(8, name) + (b"" if raw is None else part(9, raw)) + more


def external(name="w", shape=(2, 3), **told: object) -> bytes:
    """A TensorProto whose bytes are said to lie elsewhere."""
    entries = b"".join(part(13, part(1, key) + part(2, str(value))) for key, value in told.items())
    return tensor(name, shape, raw=None, more=entries + number(14, 1))


def model(*tensors: bytes, graph=b"", more=b"") -> bytes:
    """A ModelProto with such initializers."""
    content = graph + b"".join(part(5, each) for each in tensors)
    return number(1, 8) + part(2, "test") + part(7, content) + part(8, number(2, 17)) + more


def saved(path: Path, nodes, arrays, functions=(), opsets=(("", 21),), graph=()) -> Path:
    """Write a model by the library; ``arrays`` are its initializers."""
    import onnx

    tensors = [
        each if isinstance(each, onnx.TensorProto) else onnx.numpy_helper.from_array(np.asarray(each), name)
        for name, each in arrays.items()
    ]
    made = onnx.helper.make_model(
        onnx.helper.make_graph(list(nodes), "net", *(graph or ([], [])), tensors),
        functions=list(functions),
        opset_imports=[onnx.helper.make_opsetid(*each) for each in opsets],
    )
    onnx.save(made, path)
    return path


def node(op, inputs, outputs="", name="", **attributes):
    """A node; inputs and outputs are names with blanks between them, ``_`` stands for none."""
    import onnx

    listed = ["" if each == "_" else each for each in inputs.split(" ")]
    return onnx.helper.make_node(op, listed, (outputs or f"{op}:{inputs}").split(" "), name=name, **attributes)
