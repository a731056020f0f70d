"""From the tensors of a graph to rows of numbers in files: each is checked against the file in which it lies."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

import ww_core as ww
from ww_core.loading.contents import BITS, description_of
from ww_core.loading.mapped import StoredTensor
from ww_core.loading.names import legible, quoted
from ww_core.loading.protobuf import Field, Reader, may_hold, varints_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ww_plugins.loaders.onnx.messages import Tensor

DTYPES: Mapping[int, str] = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool", 10: "float16",
    11: "float64", 12: "uint32", 13: "uint64", 14: "complex64", 15: "complex128", 16: "bfloat16",
    17: "float8_e4m3fn", 18: "float8_e4m3fnuz", 19: "float8_e5m2", 20: "float8_e5m2fnuz", 21: "uint4", 22: "int4",
    23: "float4_e2m1fn", 24: "float8_e8m0fnu", 25: "uint2", 26: "int2",
}  # fmt: skip
"""NumPy's name of a dtype, by the format's number."""

_STRING = 8

_AS_THEY_LIE = {1: 4, 14: 4, 11: 10, 15: 10}
"""The field of numbers that protobuf writes as they are, by the dtype."""

_AS_VARINTS = {7: 7, 12: 11, 13: 11}
"""The field of numbers that protobuf writes as varints, by the dtype; those of every other one are in field 5."""

_MAX_SIZE = 2**63 - 1


class Tensors:
    """Finds the numbers of the tensors of a file.

    Args:
        reader: Reads the file.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._file = reader.file
        self._beside: dict[str, ww.Source] = {}

    def stored(self, tensor: Tensor, name: str) -> StoredTensor:
        """Return a tensor as its file holds it, with the axes that it has there.

        Raises:
            CorruptFileError: What is told of it contradicts the file.
            SourceError: A file beside the model is missing, or it takes more than the budget.
        """
        if tensor.indices is not None:
            return self._sparse(tensor, name)
        where = f"{self._file.label}: tensor {quoted(name)}"
        if tensor.code == _STRING:
            return StoredTensor(name, "string", tensor.shape, self._file, fault="it holds texts")
        if tensor.code not in DTYPES:
            raise ww.CorruptFileError(f"{where}: unknown dtype {quoted(tensor.code)}")
        dtype = DTYPES[tensor.code]
        bits = BITS[dtype]
        if math.prod(length for length in tensor.shape if length) * max(1, bits // 8) > _MAX_SIZE:
            raise ww.CorruptFileError(f"{where}: no memory could hold shape {quoted(tensor.shape)}")
        found = StoredTensor(name, dtype, tensor.shape, self._file)
        if tensor.external is not None:
            return self._external(tensor.external, found, where)
        if tensor.raw is not None:
            _check_length(found, tensor.raw.stop - tensor.raw.start, where)
            return replace(found, offset=tensor.raw.start)
        return self._typed(tensor, found, where)

    def _sparse(self, tensor: Tensor, name: str) -> StoredTensor:
        indices, values = tensor.indices, replace(tensor, indices=None, dense_shape=())
        parts = tuple(self.stored(part, name) for part in (values, indices) if part is not None)
        if any(part.fault for part in parts):
            return StoredTensor(name, "string", tensor.dense_shape, self._file, fault="it is sparse, and holds texts")
        told = [[part.dtype, part.shape] for part in parts]
        described = description_of({"layout": "onnx-sparse", "shape": tensor.dense_shape, "parts": told})
        shape = tensor.dense_shape
        return StoredTensor(
            name, parts[0].dtype, shape, self._file, fault="it is sparse", parts=parts, described=described
        )

    def _external(self, told: Mapping[str, str], found: StoredTensor, where: str) -> StoredTensor:
        location = told.get("location", "")
        if not _is_inside(location):
            raise ww.CorruptFileError(
                f"{where}: its data are said to be in {quoted(location)}, which is no path inside of the model's folder"
            )
        offset, length = (_number(told.get(key), key, where) for key in ("offset", "length"))
        beside = self._file_beside(location, where)
        begin = offset or 0
        if length is None:
            length = max(0, beside.size - begin)
        if begin + length > beside.size:
            raise ww.CorruptFileError(
                f"{where}: {beside.label} is cut short: it should have {length} bytes from {begin} on, "
                f"and has {beside.size} in all"
            )
        _check_length(found, length, where)
        return replace(found, file=beside, offset=begin)

    def _file_beside(self, location: str, where: str) -> ww.Source:
        if location not in self._beside:
            # One that is missing is told of with the tensor: people copy the model and forget its data.
            try:
                file = self._file.folder.entry(location)
                _ = file.size
            except ww.CorruptFileError:
                raise
            except ww.SourceError as error:
                raise ww.SourceError(f"{where}: its data cannot be had: {error}") from None
            self._beside[location] = file
        return self._beside[location]

    def _typed(self, tensor: Tensor, found: StoredTensor, where: str) -> StoredTensor:
        at = _AS_THEY_LIE.get(tensor.code)
        expected = at or _AS_VARINTS.get(tensor.code, 5)
        if set(tensor.typed) - {expected}:
            raise ww.CorruptFileError(f"{where}: its numbers are of another dtype than {found.dtype}")
        pieces = tensor.typed.get(expected, [])
        if at is None:
            return self._decoded(pieces, found, where)
        _check_length(found, sum(piece.stop - piece.start for piece in pieces), where)
        if len(pieces) == 1:
            return replace(found, offset=pieces[0].start)
        self._file.budget.take("decoded", 2 * found.nbytes)
        return replace(found, content=b"".join(self._file.bytes_at(p.start, p.stop - p.start) for p in pieces))

    def _decoded(self, pieces: Sequence[Field], found: StoredTensor, where: str) -> StoredTensor:
        """Return a tensor whose numbers, or bits, stand as varints."""
        import numpy as np

        count = math.prod(found.shape) if BITS[found.dtype] >= 8 else found.nbytes
        self._file.budget.take("decoded", found.nbytes)
        item = np.dtype(f"u{max(1, BITS[found.dtype] // 8)}")
        content = np.empty(count, item) if may_hold(pieces, count) else np.empty(0, item)
        filled = 0
        for numbers in varints_of(self._file, pieces, where):
            if filled + len(numbers) > len(content):
                raise ww.CorruptFileError(f"{where}: its numbers do not fit its shape {quoted(found.shape)}")
            content[filled : filled + len(numbers)] = numbers.astype(item)
            filled += len(numbers)
        if filled != count:
            raise ww.CorruptFileError(
                f"{where}: it has {filled} numbers, and shape {quoted(found.shape)} of {found.dtype} takes {count}"
            )
        return replace(found, content=content.tobytes())


def _check_length(found: StoredTensor, nbytes: int, where: str) -> None:
    if nbytes != found.nbytes:
        raise ww.CorruptFileError(
            f"{where}: shape {quoted(found.shape)} of {found.dtype} takes {found.nbytes} bytes, and it has {nbytes}"
        )


def _is_inside(location: str) -> bool:
    """Whether a path stays in the folder where it begins, on every system."""
    parts = location.split("/")
    return (
        0 < len(location) <= 1000
        and location.isprintable()
        and not {"", ".."} & set(parts)
        and "\\" not in location
        and ":" not in location
        and not PurePosixPath(location).is_absolute()
        and not PureWindowsPath(location).is_absolute()
    )


def _number(text: str | None, key: str, where: str) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise ww.CorruptFileError(f"{where}: {legible(key)} of its data is {quoted(text)}, which is no number of bytes")
    return int(text)


def slice_of(tensor: StoredTensor, first: int, shape: tuple[int, ...]) -> StoredTensor:
    """Return a part of a tensor that lies in C order: the numbers from ``first`` on, in a shape of their own."""
    size = BITS[tensor.dtype] // 8
    if tensor.content is None:
        return replace(tensor, shape=shape, offset=tensor.offset + first * size)
    part = tensor.content[first * size : (first + math.prod(shape)) * size]
    return replace(tensor, shape=shape, content=part)
