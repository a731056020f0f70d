"""safetensors: one file, or the shards of a model under an index.

Nothing of a file is believed before it was checked against the file: the header's length before it is read, then its
text, every name, dtype, shape and offset, once by our own reading and once by the library's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeGuard

import ww_core as ww
from ww_core.loading.contents import BITS
from ww_core.loading.impostors import refuse_impostor
from ww_core.loading.layouts import OF_FORMATS, laid_out, layout_named, suspicion
from ww_core.loading.mapped import MappedCheckpoint, MappedFile, StoredTensor
from ww_core.loading.names import fault_of_name, legible, quoted
from ww_core.loading.shards import FileFormat, read_json

_MAX_HEADER = 100_000_000  # the format's own limit
_HEAD = 4096  # enough to recognise a format
_MAX_AXES = 64  # NumPy's limit
_MAX_SIZE = 2**63 - 1

_DTYPES = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "U16": "uint16", "I16": "int16", "U32": "uint32", "I32": "int32",
    "U64": "uint64", "I64": "int64", "F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64",
    "C64": "complex64", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "F8_E8M0": "float8_e8m0fnu",
    "F8_E4M3FNUZ": "float8_e4m3fnuz", "F8_E5M2FNUZ": "float8_e5m2fnuz", "F6_E2M3": "float6_e2m3fn",
    "F6_E3M2": "float6_e3m2fn", "F4": "float4_e2m1fn",
}  # fmt: skip
"""NumPy's name of a dtype, by the format's."""


@dataclass(frozen=True)
class SafetensorsLoader(ww.Loader):
    """Reads a ``.safetensors`` file, a folder with one, a folder of shards, or the index of such a folder.

    Attributes:
        layout: In which order the axes of weights are stored: ``pytorch``, ``mlx``, ``flax`` or ``keras``; empty for
            what the file says it was written from.
    """

    name = "safetensors"
    description = "safetensors files, sharded or not, and folders that hold them"
    layout: str = ""

    def probe(self, source: ww.Source) -> float:
        """Judge a file by its first bytes. For its suffix a damaged one is claimed too: open can say what is wrong."""
        if source.is_object:
            return 0.0
        named = 0.1 if _FORMAT.claims(source.name) else 0.0
        try:
            if source.is_folder:
                return _FORMAT.sureness(source, 0.9) or named
            head = source.head(_HEAD)
        except ww.SourceError:
            return named
        return 1.0 if _starts_as_header(head, source.size) or _FORMAT.is_index(head) else named

    def open(self, source: ww.Source) -> MappedCheckpoint:
        """Read and check the headers.

        Raises:
            UsageError: There is no layout of this name.
            SourceError: What was named is no file or folder that can be read, or does not say which file is meant.
            CorruptFileError: A header or an index contradicts itself or the files.
        """
        if source.is_object:
            raise ww.SourceError(f"safetensors are read from a path, not from an object of type {source.name}")
        return (_format(layout_named(self.layout)) if self.layout else _FORMAT).open(source, _HEAD)


def _starts_as_header(head: bytes, size: int) -> bool:
    length = int.from_bytes(head[:8], "little")
    return len(head) > 8 and 2 <= length <= min(_MAX_HEADER, size - 8) and head[8:9] == b"{"


def _read_header(file: ww.Source, layout: str) -> MappedFile:
    refuse_impostor(file)
    if file.size < 8:
        raise ww.CorruptFileError(f"{file.label}: cut short: {file.size} bytes, and the length of the header takes 8")
    head = file.head(9)
    if head[8:] not in {b"", b"{"}:
        raise ww.CorruptFileError(f"{file.label}: not safetensors, or damaged: no header begins at its ninth byte")
    length = int.from_bytes(head[:8], "little")
    if length > _MAX_HEADER:
        raise ww.CorruptFileError(
            f"{file.label}: not safetensors, or damaged: a header of {length} bytes; the limit is {_MAX_HEADER}"
        )
    if length > file.size - 8:
        raise ww.CorruptFileError(
            f"{file.label}: cut short: its header has {length} bytes, and {file.size - 8} are there"
        )
    header = read_json(file, 8, length, "the header")
    entries = [_entry(name, content, file) for name, content in header.items() if name != "__metadata__"]
    _check_coverage(entries, file.size - 8 - length, file)
    refusal = _refusal_of_library(file.location) if file.path else ""
    if refusal:
        raise ww.CorruptFileError(f"{file.label}: safetensors refuses it: {refusal}")
    start = 8 + length
    tensors = [StoredTensor(e.name, e.dtype, e.shape, file, start + e.begin) for e in entries]
    told = layout or _layout_told(header.get("__metadata__")) or "pytorch"
    shapes = ((entry.name, entry.shape) for entry in entries)
    # What a person says is not doubted.
    warnings = [] if layout else suspicion(shapes, told, "--loader 'safetensors[layout={}]'")
    return MappedFile(
        file,
        tuple(laid_out(tensor, told) for tensor in tensors),
        warnings=tuple(warnings),
    )


def _layout_told(metadata: object) -> str:
    """Return the layout that follows from what a file says it was written from; empty if it says nothing."""
    told = metadata.get("format") if isinstance(metadata, dict) else None
    return OF_FORMATS.get(told, "") if isinstance(told, str) else ""


def _format(layout: str = "") -> FileFormat:
    return FileFormat(
        "safetensors",
        (".safetensors",),
        partial(_read_header, layout=layout),
        preferred=("model.safetensors", "adapter_model.safetensors", "diffusion_pytorch_model.safetensors"),
    )


_FORMAT = _format()


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def _refusal_of_library(path: str) -> str:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np"):
            return ""
    except (SafetensorError, OSError) as error:
        return legible(str(error))[:300] or type(error).__name__


def _entry(name: str, content: Any, file: ww.Source) -> _Entry:
    file.budget.take("tensors")
    file.budget.take("names", len(name))
    if fault := fault_of_name(name):
        raise ww.CorruptFileError(f"{file.label}: {fault}")
    where = f"{file.label}: tensor {quoted(name)}"
    if not isinstance(content, dict):
        raise ww.CorruptFileError(f"{where}: the header gives no dtype, shape and data_offsets")
    dtype, shape, offsets = content.get("dtype"), content.get("shape"), content.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise ww.CorruptFileError(f"{where}: unknown dtype {quoted(dtype)}")
    if not _are_lengths(shape) or len(shape) > _MAX_AXES:
        raise ww.CorruptFileError(f"{where}: {quoted(shape)} is not a shape")
    if not _are_lengths(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise ww.CorruptFileError(f"{where}: {quoted(offsets)} are not data_offsets, a begin and an end")
    canonical = _DTYPES[dtype]
    bits = BITS[canonical]
    if math.prod(length for length in shape if length) * max(1, bits // 8) > _MAX_SIZE:
        raise ww.CorruptFileError(f"{where}: no memory could hold shape {quoted(shape)}")
    begin, end = offsets
    if math.prod(shape) * bits != (end - begin) * 8:
        raise ww.CorruptFileError(
            f"{where}: shape {quoted(shape)} of {dtype} takes {math.prod(shape) * bits // 8} bytes, "
            f"and data_offsets give {end - begin}"
        )
    return _Entry(name, canonical, tuple(shape), begin, end)


def _are_lengths(value: Any) -> TypeGuard[list[int]]:
    # type() and not isinstance(): JSON's true would pass for 1.
    return isinstance(value, list) and all(type(item) is int and 0 <= item <= _MAX_SIZE for item in value)


def _check_coverage(entries: list[_Entry], available: int, file: ww.Source) -> None:
    """Check that the tensors fill the file, each byte once.

    Raises:
        CorruptFileError: They do not.
    """
    end = 0
    for entry in sorted(entries, key=lambda entry: (entry.begin, entry.end)):
        if entry.begin < end:
            raise ww.CorruptFileError(f"{file.label}: tensor {quoted(entry.name)} overlaps the tensor before it")
        if entry.begin > end:
            raise ww.CorruptFileError(
                f"{file.label}: {entry.begin - end} bytes before tensor {quoted(entry.name)} belong to no tensor"
            )
        end = entry.end
    if end > available:
        raise ww.CorruptFileError(f"{file.label}: cut short: its tensors take {end} bytes, and {available} are there")
    if end < available:
        raise ww.CorruptFileError(f"{file.label}: the last {available - end} bytes belong to no tensor")
