"""Models of TensorFlow Lite as the tests want them, also such as no program writes. Needs the package flatbuffers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import flatbuffers
import numpy as np

TYPES = {
    "float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int64": 4, "string": 5, "bool": 6, "int16": 7,
    "complex64": 8, "int8": 9, "float64": 10, "uint32": 15, "int4": 17, "bfloat16": 18, "int2": 19, "uint4": 20,
}  # fmt: skip

CODES = {
    "ADD": 0, "CONV_2D": 3, "DEPTHWISE_CONV_2D": 4, "DEQUANTIZE": 6, "EMBEDDING_LOOKUP": 7, "FULLY_CONNECTED": 9,
    "LSTM": 16, "MUL": 18, "RNN": 24, "SVDF": 27, "GATHER": 36, "UNIDIRECTIONAL_SEQUENCE_LSTM": 44,
    "BIDIRECTIONAL_SEQUENCE_LSTM": 52, "PRELU": 54, "TRANSPOSE_CONV": 67, "DENSIFY": 124, "BATCH_MATMUL": 126,
    "CONV_3D": 132, "CONV_3D_TRANSPOSE": 141,
}  # fmt: skip


@dataclass(frozen=True)
class Sparse:
    """Where numbers stand: (length,) for a dense level, (ends, places) for a sparse one."""

    order: Any
    blocks: Any
    levels: Any


@dataclass(frozen=True)
class T:
    """A tensor. ``data`` is an array, bytes, the number of a buffer that another tensor made, or None."""

    name: Any
    data: Any = None
    shape: Any = None
    dtype: Any = None
    scale: Any = ()
    zero: Any = ()
    axis: int = 0
    details: int = 0
    sparse: Sparse | None = None
    external: int = 0


@dataclass(frozen=True)
class Op:
    """An operator: names of its inputs and outputs; an option is (field, letter as in struct, value)."""

    code: str
    inputs: Any = ()
    outputs: Any = ()
    options: Any = ()


@dataclass(frozen=True)
class Graph:
    tensors: Any
    operators: Any = ()
    name: str = "main"


@dataclass
class Writer:
    """Writes a model; attributes may be set to lies before."""

    behind: bool = False  # whether the numbers lie behind the flatbuffer
    builder: flatbuffers.Builder = field(default_factory=lambda: flatbuffers.Builder(1 << 12))
    buffers: list[bytes] = field(default_factory=lambda: [b""])

    def model(self, *graphs: Graph) -> bytes:
        codes = sorted({op.code for graph in graphs for op in graph.operators})
        made = [self._graph(graph, codes) for graph in graphs]
        b = self.builder
        listed = [self._code(CODES[code]) for code in codes]
        tail, places = self._buffers()
        fields = [(1, "offset", self._offsets(listed)), (2, "offset", self._offsets(made)), (4, "offset", places)]
        root = self._table([(0, "I", 3), *fields])
        b.Finish(root, file_identifier=b"TFL3")
        content = bytearray(b.Output())
        if self.behind:
            start = len(content)
            for number, (offset, _) in enumerate(tail):
                mark = (0x1122334455660000 + number).to_bytes(8, "little")
                at = content.index(mark)
                content[at : at + 8] = (start + offset).to_bytes(8, "little")
            content += b"".join(data for _, data in tail)
        return bytes(content)

    def _buffers(self):
        tail, offset, made = [], 0, []
        for data in self.buffers:
            if self.behind and data:
                made.append(self._table([(1, "Q", 0x1122334455660000 + len(tail)), (2, "Q", len(data))]))
                tail.append((offset, data))
                offset += len(data)
            else:
                made.append(self._table([(0, "offset", self._bytes(data))] if data else []))
        return tail, self._offsets(made)

    def _graph(self, graph, codes):
        at = {tensor.name: number for number, tensor in enumerate(graph.tensors)}
        tensors = [self._tensor(tensor) for tensor in graph.tensors]
        operators = []
        for op in graph.operators:
            ends = [
                self._vector("i", [at.get(end, -1) if isinstance(end, str) else end for end in ends])
                for ends in (op.inputs, op.outputs)
            ]
            fields = [(0, "I", codes.index(op.code)), (1, "offset", ends[0]), (2, "offset", ends[1])]
            if op.options:
                fields += [(3, "B", 1), (4, "offset", self._table(op.options))]
            operators.append(self._table(fields))
        return self._table(
            [
                (0, "offset", self._offsets(tensors)),
                (3, "offset", self._offsets(operators)),
                (4, "offset", self.builder.CreateString(graph.name)),
            ]
        )

    def _tensor(self, tensor):
        data, shape, dtype = tensor.data, tensor.shape, tensor.dtype
        if isinstance(data, np.ndarray):
            shape = data.shape if shape is None else shape
            dtype = data.dtype.name if dtype is None else dtype
            data = data.tobytes()
        number = 0
        if isinstance(data, bytes):
            number = len(self.buffers)
            self.buffers.append(data)
        elif data is not None:
            number = data
        kind = TYPES[dtype or "float32"] if not isinstance(dtype, int) else dtype
        fields = [(0, "offset", self._vector("i", shape or ())), (1, "b", kind), (2, "I", number)]
        if tensor.name is not None:
            name = tensor.name.encode() if isinstance(tensor.name, str) else tensor.name
            fields.append((3, "offset", self._bytes(name)))
        if len(tensor.scale) or tensor.details:
            fields.append((4, "offset", self._table([
                (2, "offset", self._vector("f", tensor.scale)),
                (3, "offset", self._vector("q", tensor.zero)),
                (4, "B", tensor.details),
                (6, "i", tensor.axis),
            ])))  # fmt: skip
        if tensor.sparse is not None:
            fields.append((6, "offset", self._sparse(tensor.sparse)))
        return self._table([*fields, (10, "I", tensor.external)])

    def _sparse(self, sparse):
        levels = []
        for level in sparse.levels:
            if len(level) == 1:
                levels.append(self._table([(1, "i", level[0])]))
                continue
            ends, places = (self._table([(0, "offset", self._vector("H", part))]) for part in level)
            fields = [(2, "B", 2), (3, "offset", ends), (4, "B", 2), (5, "offset", places)]
            levels.append(self._table([(0, "b", 1), *fields]))
        order, blocks = (self._vector("i", axes) for axes in (sparse.order, sparse.blocks))
        return self._table([(0, "offset", order), (1, "offset", blocks), (2, "offset", self._offsets(levels))])

    def _code(self, code):
        return self._table([(0, "b", min(code, 127)), (3, "i", code)])

    def _table(self, fields):
        b = self.builder
        b.StartObject(16)
        prepend = {
            "b": b.PrependInt8Slot, "B": b.PrependUint8Slot, "?": b.PrependBoolSlot, "i": b.PrependInt32Slot,
            "I": b.PrependUint32Slot, "Q": b.PrependUint64Slot, "offset": b.PrependUOffsetTRelativeSlot,
        }  # fmt: skip
        for number, letter, value in fields:
            prepend[letter](number, value, 0)
        return b.EndObject()

    def _vector(self, letter, values):
        array = np.asarray(values, {"i": "<i4", "f": "<f4", "q": "<i8", "H": "<u2"}[letter])
        return self.builder.CreateNumpyVector(array) if array.size else self._bytes(b"")

    def _bytes(self, content):
        b = self.builder
        b.StartVector(1, len(content), 16)
        b.head -= len(content)
        b.Bytes[b.head : b.head + len(content)] = content
        return b.EndVector()

    def _offsets(self, made):
        b = self.builder
        b.StartVector(4, len(made), 4)
        for offset in reversed(made):
            b.PrependUOffsetTRelative(offset)
        return b.EndVector()


def model(*tensors: T, ops: Any = (), behind: bool = False) -> bytes:
    """A model of one subgraph."""
    return Writer(behind).model(Graph(tensors, ops))


def of_weights(weights: Any) -> bytes:
    """A model with layers of these weights, in ww's layout, and of what else is there."""
    tensors, ops = [T("x", shape=(1, 6, 6, 8))], []
    for name, weight in weights.items():
        tensors.append(T(name, weight))
        if not name.endswith(".weight"):
            continue
        bias = name.replace(".weight", ".bias")
        inputs = ("x", name, bias if bias in weights else -1)
        if weight.ndim == 4:
            tensors[-1] = replace(tensors[-1], data=np.ascontiguousarray(weight.transpose(0, 2, 3, 1)))
            ops.append(Op("CONV_2D", inputs))
        else:
            ops.append(Op({1: "MUL", 2: "FULLY_CONNECTED"}[weight.ndim], inputs))
    return model(*tensors, ops=ops)


RANDOM = np.random.Generator(np.random.Philox(5))
X = T("x", shape=(1, 6, 6, 8))
"""The input of the models."""


def normal(*shape: int, dtype: str = "f4") -> Any:
    """Draw an array."""
    return RANDOM.standard_normal(shape).astype(dtype)
