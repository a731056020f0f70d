"""Checkpoints of TensorFlow as the tests want them, also such as no program writes. TensorFlow is not needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from protobuf_files import message, varint

if TYPE_CHECKING:
    from pathlib import Path

DTYPES = {
    "float32": 1, "float64": 2, "int32": 3, "uint8": 4, "int16": 5, "int8": 6, "string": 7, "complex64": 8,
    "int64": 9, "bool": 10, "bfloat16": 14, "float16": 19,
}  # fmt: skip
MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")
GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"


def block(entries: list[tuple[bytes, bytes]]) -> bytes:
    """A block in which keys share what they can with the one before."""
    made, last = b"", b""
    for key, value in entries:
        shared = next((n for n, (a, b) in enumerate(zip(key, last, strict=False)) if a != b), min(len(key), len(last)))
        made += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    return made + bytes(4) + (1).to_bytes(4, "little")


def table(entries: list[tuple[bytes, bytes]], each: int = 4, compression: int = 0) -> bytes:
    """A table with ``each`` entries in a block."""
    made, handles = b"", []

    def add(content):
        nonlocal made
        handle = varint(len(made)) + varint(len(content))
        made += content + bytes([compression]) + bytes(4)
        return handle

    for start in range(0, len(entries), each):
        part = entries[start : start + each]
        handles.append((part[-1][0], add(block(part))))
    footer = add(block([])) + add(block(handles))
    return made + footer.ljust(40, b"\0") + MAGIC


def shape_of(shape: Any) -> bytes:
    return message(*((2, message((1, length))) for length in shape))


@dataclass(frozen=True)
class Lie:
    """An entry that says what it is told to say."""

    dtype: int = 1
    shape: Any = (2, 3)
    shard: int = 0
    offset: int = 0
    nbytes: int = 24
    more: bytes = b""

    @property
    def entry(self) -> bytes:
        fields = (1, self.dtype), (2, shape_of(self.shape)), (3, self.shard), (4, self.offset), (5, self.nbytes)
        return message(*fields) + self.more


def string(content: bytes) -> bytes:
    """A tensor that is one text."""
    return varint(len(content)) + bytes(4) + content


def checkpoint(tensors: dict[str, Any], header: Any = ((1, 1),), big_endian: bool = False) -> tuple[bytes, bytes]:
    """An index and its shard, of arrays, texts and lies."""
    entries, data = {b"": message(*header, *([(2, 1)] if big_endian else []))}, b""
    for name, value in tensors.items():
        key = name if isinstance(name, bytes) else name.encode()
        if isinstance(value, Lie):
            entries[key] = value.entry
            continue
        if isinstance(value, bytes):
            kind, shape, content = 7, (), string(value)
        else:
            kind, shape = DTYPES[value.dtype.name], value.shape
            content = (value.astype(value.dtype.newbyteorder(">")) if big_endian else value).tobytes()
        checksum = b"\x35" + (hash(content) % 2**32).to_bytes(4, "little")
        entries[key] = Lie(kind, shape, 0, len(data), len(content), checksum).entry
        data += content
    return table(sorted(entries.items())), data


def write_checkpoint(prefix: Path, tensors: dict[str, Any], **more: Any) -> Path:
    """Write a checkpoint of one shard, and return its index."""
    index, data = checkpoint(tensors, **more)
    path = prefix.with_name(f"{prefix.name}.index")
    prefix.with_name(f"{prefix.name}.data-00000-of-00001").write_bytes(data)
    path.write_bytes(index)
    return path


def graph(*nodes: Any) -> bytes:
    """A graph of objects: of each one its children by names, and its tensors (full name, key), and slots."""
    made = b""
    for children, tensors, *slots in nodes:
        parts = [(1, message((1, child), (2, name))) for name, child in children.items()]
        parts += [(2, message((1, "VARIABLE_VALUE"), (2, name), (3, key))) for name, key in tensors]
        parts += [(3, message((1, 0), (2, "m"), (3, slot))) for slot in slots]
        made += message((1, message(*parts)))
    return made


def normal(*shape: int, seed: int = 1) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype("f4")


def turned(array):
    """A kernel with its channels before its axes."""
    return array.transpose(array.ndim - 1, array.ndim - 2, *range(array.ndim - 2))


def deep(array):
    return array.reshape(*array.shape[:2], -1).transpose(2, 0, 1)[:, None]


def in_layout_of_ww(arrays):
    """The layers of the network in ``saved_models.py``: weight, bias, kind and groups."""
    found = {
        "grouped": (turned(arrays["grouped/kernel"]), "grouped/bias", "conv2d", 1),
        "deep": (deep(arrays["deep/kernel"]), "deep/bias", "conv2d", 16),
        "apart/depthwise_kernel": (deep(arrays["apart/depthwise_kernel"]), None, "conv2d", 32),
        "apart/pointwise_kernel": (turned(arrays["apart/pointwise_kernel"]), "apart/bias", "conv2d", 1),
        "norm": (arrays["norm/gamma"], "norm/beta", "norm", 1),
        "up": (turned(arrays["up/kernel"]), "up/bias", "conv2d", 1),
        "line": (turned(arrays["line/kernel"]), "line/bias", "conv1d", 1),
        "table": (arrays["table/embeddings"], None, "embedding", 1),
        "heads/attention_output": (
            arrays["heads/attention_output/kernel"].reshape(10, 10).T, "heads/attention_output/bias", "dense", 1,
        ),
        "out": (arrays["out/kernel"].T, "out/bias", "dense", 1),
    }  # fmt: skip
    for name in ("query", "key", "value"):
        kernel = arrays[f"heads/{name}/kernel"].reshape(10, 10).T
        found[f"heads/{name}"] = (kernel, f"heads/{name}/bias", "dense", 1)
    for cell in ("both/forward_lstm/lstm_cell", "both/backward_lstm/lstm_cell", "gru/gru_cell"):
        bias = None if cell.startswith("gru") else f"{cell}/bias"
        found[f"{cell}/kernel"] = (arrays[f"{cell}/kernel"].T, bias, "recurrent", 1)
        found[f"{cell}/recurrent_kernel"] = (arrays[f"{cell}/recurrent_kernel"].T, None, "recurrent", 1)
    return found
