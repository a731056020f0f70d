"""From the constants of a graph to rows of numbers: each is checked against the file in which it lies."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import ww_core as ww
from ww_core.loading.contents import BITS
from ww_core.loading.mapped import StoredTensor
from ww_core.loading.names import quoted
from ww_core.loading.protobuf import BYTES, varints_of
from ww_plugins.loaders.tensorflow.frozen.values import Constant
from ww_plugins.loaders.tensorflow.shapes import DTYPES, is_shape, shape_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import numpy.typing as npt

    from ww_core.loading.protobuf import Field, Reader

_TENSOR = {
    1: "varint", 2: "bytes", 4: "bytes", 5: "fixed32s", 6: "fixed64s", 7: "varints", 9: "fixed32s", 10: "varints",
    11: "varints", 12: "fixed64s", 13: "varints", 16: "varints", 17: "varints",
}  # fmt: skip
_AS_THEY_LIE: Mapping[str, int] = {"float32": 5, "float64": 6, "complex64": 9, "complex128": 12}
"""The field of numbers that stand as they are, by the type."""

_AS_VARINTS: Mapping[str, int] = {
    "float16": 13, "bfloat16": 13, "int64": 10, "bool": 11, "uint32": 16, "uint64": 17,
    "int32": 7, "int16": 7, "int8": 7, "uint8": 7, "uint16": 7,
}  # fmt: skip
"""The field of numbers, or of their bits, that stand as varints, by the type."""

_OF_A_LOOSE_NUMBER = 60  # visits of the budget: all programs write numbers in a row
_FEW = 64


def read_constant(reader: Reader, place: Field, name: str) -> Constant:
    """Read the message of a tensor.

    Raises:
        CorruptFileError: It is none, or its shape is none.
    """
    constant = Constant(name)
    for part in reader.fields(place.start, place.stop, _TENSOR):
        match part.number:
            case 1:
                constant.code = part.start
            case 2:
                shape = shape_of(reader, part)
                if not is_shape(shape):
                    reader.refuse(f"tensor {quoted(name)}: {quoted(list(shape))} is not a shape")
                constant.shape = tuple(shape)
            case 4:
                constant.content = part
            case number:
                if part.wire != BYTES:
                    reader.budget.take("visits", _OF_A_LOOSE_NUMBER)
                constant.typed.setdefault(number, []).append(part)
    return constant


def few_integers(reader: Reader, constant: Constant) -> tuple[int, ...] | None:
    """Return the numbers of a constant that is a few whole numbers, such as a shape; None of any other."""
    if DTYPES.get(constant.code) not in {"int32", "int64"} or math.prod(constant.shape) > _FEW:
        return None
    tensor = stored(reader, constant, constant.name)
    with tensor.read() as numbers:
        return tuple(int(number) for number in numbers.reshape(-1))


def stored(reader: Reader, constant: Constant, name: str) -> StoredTensor:
    """Return a constant as its file holds it.

    Raises:
        CorruptFileError: What is told of it contradicts the file.
        SourceError: It takes more than the budget.
    """
    dtype = DTYPES.get(constant.code, f"type {constant.code}")
    file = reader.file
    found = StoredTensor(name, dtype, constant.shape, file)
    if dtype not in BITS:
        return replace(found, fault=f"its type {dtype} is no type of numbers")
    where = f"{file.label}: tensor {quoted(name)}"
    if constant.content is not None:
        nbytes = constant.content.stop - constant.content.start
        if nbytes != found.nbytes:
            raise ww.CorruptFileError(
                f"{where}: shape {quoted(found.shape)} of {dtype} takes {found.nbytes} bytes, and it has {nbytes}"
            )
        return replace(found, offset=constant.content.start)
    at = _AS_THEY_LIE.get(dtype) or _AS_VARINTS.get(dtype)
    if at is None:
        return replace(found, fault=f"numbers of type {dtype} are only read where they stand as bytes")
    places = constant.typed.get(at, [])
    nbytes = sum(place.stop - place.start for place in places)
    if dtype in _AS_THEY_LIE and len(places) == 1 and nbytes == found.nbytes:
        return replace(found, offset=places[0].start)
    return replace(found, content=_filled(reader, found, places, where))


def _filled(reader: Reader, found: StoredTensor, places: list[Field], where: str) -> bytes:
    """Return the bytes of a tensor whose first numbers stand in the file: the last of them stands for the rest."""
    import numpy as np

    count = math.prod(found.shape)
    reader.budget.take("decoded", 2 * found.nbytes)
    size = BITS[found.dtype] // 8
    if found.dtype in _AS_THEY_LIE:
        numbers = _as_they_lie(reader, places, size, count)
    else:
        numbers = _as_varints(reader, places, size, count, where)
    if numbers is None:
        raise ww.CorruptFileError(f"{where}: it has half a number, or more than its shape {quoted(found.shape)}")
    content = np.zeros((count, size), np.uint8)
    content[: len(numbers)] = numbers
    content[len(numbers) :] = numbers[-1] if len(numbers) else 0
    return content.tobytes()


def _as_they_lie(reader: Reader, places: list[Field], size: int, count: int) -> npt.NDArray[np.uint8] | None:
    import numpy as np

    nbytes = sum(place.stop - place.start for place in places)
    if nbytes % size or nbytes > count * size:
        return None
    content = b"".join(reader.file.bytes_at(place.start, place.stop - place.start) for place in places)
    return np.frombuffer(content, np.uint8).reshape(-1, size)


def _as_varints(reader: Reader, places: list[Field], size: int, count: int, where: str) -> npt.NDArray[np.uint8] | None:
    import numpy as np

    made = []
    left = count
    for numbers in varints_of(reader.file, places, where):
        left -= len(numbers)
        if left < 0:
            return None
        made.append(numbers.astype(f"<u{size}"))
    row = np.concatenate(made) if made else np.empty(0, f"<u{size}")
    return row.view(np.uint8).reshape(-1, size)
