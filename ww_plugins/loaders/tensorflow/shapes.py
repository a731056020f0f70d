"""Types and shapes, as messages of TensorFlow tell them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ww_core.loading.protobuf import signed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ww_core.loading.protobuf import Field, Reader

DTYPES: Mapping[int, str] = {
    1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 7: "string", 8: "complex64",
    9: "int64", 10: "bool", 11: "qint8", 12: "quint8", 13: "qint32", 14: "bfloat16", 17: "uint16", 18: "complex128",
    19: "float16", 22: "uint32", 23: "uint64", 24: "float8_e5m2", 25: "float8_e4m3fn",
}  # fmt: skip
"""NumPy's name of a type, by TensorFlow's number."""

_SHAPE = {2: "messages", 3: "varint"}
_AXIS = {1: "varint"}
_MOST_AXES = 64  # NumPy's limit
_MOST = 2**63 - 1


def shape_of(reader: Reader, place: Field) -> Sequence[int]:
    """Return the lengths of axes that a message tells; -1 for one that is not known.

    Raises:
        CorruptFileError: It is no such message.
    """
    lengths = []
    for part in reader.fields(place.start, place.stop, _SHAPE):
        if part.number == 2:
            told = [signed(axis.start) for axis in reader.fields(part.start, part.stop, _AXIS)]
            lengths.append(told[0] if told else 0)
    return lengths


def is_shape(lengths: Sequence[int]) -> bool:
    """Whether a tensor may have such a shape."""
    longer = math.prod(length for length in lengths[: _MOST_AXES + 1] if length)
    return len(lengths) <= _MOST_AXES and longer <= _MOST and min(lengths, default=0) >= 0
