"""safetensors: one file, or the shards of a model under an index.

Nothing of a file is believed before it was checked against the file: the header's length before it is read, then its
text, every name, dtype, shape and offset, once by our own reading and once by the library's. An index may name files of
its own folder only; symbolic links that were not named by the user are followed inside that folder and, in a cache of
the Hugging Face hub (``snapshots/REVISION/FILE -> ../../blobs/HASH``), to the blobs beside it.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any, TypeGuard

import ww_core as ww
from ww_plugins.loaders.mapped import RegularFile
from ww_plugins.loaders.names import fault_of_name, legible, natural_order, quoted
from ww_plugins.loaders.state_dict import sort_state_dict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager

    import numpy as np
    import numpy.typing as npt

_SUFFIX = ".safetensors"
_INDEX_SUFFIX = ".safetensors.index.json"
_SHARD = re.compile(r"(.+)-([0-9]{1,9})-of-([0-9]{1,9})\.safetensors", re.DOTALL)

_MAX_HEADER = 100_000_000  # the format's own limit
_MAX_INDEX = 50_000_000
_HEAD = 4096  # enough to recognise a format
_EASY_HEADER = 1_000_000  # up to here our reading, which says more, may come first: it cannot cost much memory
_MAX_AXES = 64  # NumPy's limit
_MAX_SIZE = 2**63 - 1
_LISTED = 5

_DTYPES = {
    "BOOL": ("bool", 8), "U8": ("uint8", 8), "I8": ("int8", 8), "U16": ("uint16", 16), "I16": ("int16", 16),
    "U32": ("uint32", 32), "I32": ("int32", 32), "U64": ("uint64", 64), "I64": ("int64", 64),
    "F16": ("float16", 16), "BF16": ("bfloat16", 16), "F32": ("float32", 32), "F64": ("float64", 64),
    "C64": ("complex64", 64),
    "F8_E4M3": ("float8_e4m3fn", 8), "F8_E5M2": ("float8_e5m2", 8), "F8_E8M0": ("float8_e8m0fnu", 8),
    "F8_E4M3FNUZ": ("float8_e4m3fnuz", 8), "F8_E5M2FNUZ": ("float8_e5m2fnuz", 8),
    "F6_E2M3": ("float6_e2m3fn", 6), "F6_E3M2": ("float6_e3m2fn", 6), "F4": ("float4_e2m1fn", 4),
}  # fmt: skip
"""NumPy's name and the bits of one number, by the format's name."""


class SafetensorsLoader(ww.Loader):
    """Reads a ``.safetensors`` file, a folder with one, a folder of shards, or the index of such a folder."""

    name = "safetensors"
    description = "safetensors files, sharded or not, and folders that hold them"

    def probe(self, source: Path | object) -> float:
        """Judge a file by its first bytes. For its suffix a damaged one is claimed too: open can say what is wrong."""
        if not isinstance(source, Path):
            return 0.0
        named = 0.1 if source.name.endswith((_SUFFIX, _INDEX_SUFFIX)) else 0.0
        try:
            if source.is_dir():
                return 0.9 if any(name.endswith((_SUFFIX, _INDEX_SUFFIX)) for name in _names(source)) else named
            file = RegularFile.at(source)
            head = file.head(_HEAD)
        except (OSError, ValueError, ww.SourceError):
            return named
        return 1.0 if _starts_as_header(head, file.size) or _starts_as_index(head) else named

    def open(self, source: Path | object) -> SafetensorsCheckpoint:
        """Read and check the headers.

        Raises:
            SourceError: What was named is no file or folder that can be read, or does not say which file is meant.
            CorruptFileError: A header or an index contradicts itself or the files.
        """
        if not isinstance(source, Path):
            raise ww.SourceError(
                f"safetensors are read from a path, not from an object of type {type(source).__name__}"
            )
        if _is_folder(source):
            return _open_folder(source)
        file = RegularFile.at(source)
        if source.name.endswith(_INDEX_SUFFIX) or _starts_as_index(file.head(_HEAD)):
            return _open_index(file, source.parent)
        shard = _SHARD.fullmatch(source.name)
        warnings = (
            [f"{file.label}: this is one of {int(shard[3])} shards; to analyse the whole model, name its folder"]
            if shard and int(shard[3]) > 1
            else []
        )
        return SafetensorsCheckpoint([(file, _read_header(file))], warnings)


class SafetensorsCheckpoint(ww.Checkpoint):
    """The tensors of one or several files, in natural order of their names: the headers keep none."""

    format = "safetensors"

    def __init__(self, files: Iterable[tuple[RegularFile, list[_StoredTensor]]], warnings: Iterable[str] = ()) -> None:
        """Gather the tensors of ``files``, whose headers are sound.

        Raises:
            CorruptFileError: Two files hold the same tensor.
        """
        self._places: dict[str, tuple[RegularFile, _StoredTensor]] = {}
        for file, tensors in files:
            for tensor in tensors:
                if tensor.name in self._places:
                    other = self._places[tensor.name][0].label
                    raise ww.CorruptFileError(f"{file.label}: tensor {quoted(tensor.name)} is also in {other}")
                self._places[tensor.name] = (file, tensor)
        state = sort_state_dict(
            (name, self._places[name][1].dtype, self._places[name][1].shape)
            for name in sorted(self._places, key=natural_order)
        )
        self.layers, self.buffers, self.skipped = state.layers, state.buffers, state.skipped
        self.warnings = tuple(warnings)

    def read(self, tensor: ww.TensorSpec) -> AbstractContextManager[npt.NDArray[Any]]:
        """Map one tensor; see ``ww_plugins.loaders.mapped`` for what happens when the file changes."""
        file, stored = self._places[tensor.name]
        return file.array(stored.offset, _numpy_dtype(stored.dtype), stored.shape)

    def locate(self, tensor: ww.TensorSpec) -> ww.FileRange:
        """Tell file, offset and length; the path is absolute and without symbolic links."""
        file, stored = self._places[tensor.name]
        return ww.FileRange(file.real, stored.offset, stored.nbytes)


@dataclass(frozen=True, slots=True)
class _StoredTensor:
    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    nbytes: int


def _numpy_dtype(name: str) -> np.dtype[Any]:
    import ml_dtypes
    import numpy as np

    dtype: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)
    return dtype.newbyteorder("<")


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def _names(folder: Path) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith("."):
                yield entry.name


def _open_folder(folder: Path) -> SafetensorsCheckpoint:
    label = legible(str(folder))
    try:
        names = sorted(_names(folder), key=natural_order)
    except OSError as error:
        raise ww.SourceError(f"{label}: the folder cannot be read: {error.strerror}") from None
    indices = [name for name in names if name.endswith(_INDEX_SUFFIX)]
    files = [name for name in names if name.endswith(_SUFFIX)]
    if len(indices) > 1:
        raise ww.SourceError(f"{label}: the folder holds several indices; name one of them: {_list(indices)}")
    if indices:
        return _open_index(_entry(folder, indices[0]), folder, files)
    if not files:
        raise ww.SourceError(f"{label}: the folder holds no {_SUFFIX} file")
    shards = [shard for name in files if (shard := _SHARD.fullmatch(name))]
    if len(shards) == len(files) and len({(shard[1], shard[3]) for shard in shards}) == 1:
        _check_complete(label, shards)
    elif len(files) > 1:
        raise ww.SourceError(
            f"{label}: the folder holds several {_SUFFIX} files and no index that joins them; name one: {_list(files)}"
        )
    opened = [_entry(folder, name) for name in files]
    return SafetensorsCheckpoint((file, _read_header(file)) for file in opened)


def _check_complete(label: str, shards: list[re.Match[str]]) -> None:
    present = {int(shard[2]) for shard in shards}
    stem, width, count = shards[0][1], len(shards[0][2]), shards[0][3]
    # The count is only a number in a file name: it is walked no further than to the first few shards that are missing.
    lacking = (number for number in range(1, int(count) + 1) if number not in present)
    missing = [f"{stem}-{number:0{width}}-of-{count}{_SUFFIX}" for number in itertools.islice(lacking, _LISTED + 1)]
    if missing:
        raise ww.SourceError(f"{label}: shards are missing: {_list(missing)}")
    if surplus := [shard[0] for shard in shards if not 1 <= int(shard[2]) <= int(count)]:
        raise ww.SourceError(f"{label}: the number of a shard is not within its count: {_list(surplus)}")


def _open_index(index: RegularFile, folder: Path, files: Iterable[str] = ()) -> SafetensorsCheckpoint:
    weight_map = _read_index(index)
    shards = sorted(set(weight_map.values()), key=natural_order)
    for shard in shards:
        if not _is_plain_name(shard):
            raise ww.CorruptFileError(
                f"{index.label}: the index names the file {quoted(shard)}, which is no plain name of a file beside it"
            )
    missing = [shard for shard in shards if not os.path.lexists(folder / shard)]
    if missing:
        raise ww.SourceError(f"{index.label}: shards that the index names are missing: {_list(missing)}")
    opened = []
    for shard in shards:
        file = _entry(folder, shard)
        opened.append((file, _read_header(file)))
    held = {shard: {tensor.name for tensor in tensors} for shard, (_, tensors) in zip(shards, opened, strict=True)}
    for tensor, shard in weight_map.items():
        if tensor not in held[shard]:
            raise ww.CorruptFileError(
                f"{index.label}: the index places tensor {quoted(tensor)} in {shard}, which does not hold it"
            )
    warnings = []
    if unnamed := sorted(set().union(*held.values()) - set(weight_map), key=natural_order):
        warnings.append(
            f"{index.label}: the index does not name these tensors of its shards, which are read: {_list(unnamed)}"
        )
    if apart := [name for name in files if name not in held]:
        warnings.append(f"{index.label}: the index does not name these files, which are not read: {_list(apart)}")
    return SafetensorsCheckpoint(opened, warnings)


def _entry(folder: Path, name: str) -> RegularFile:
    """Look at a file that was found in ``folder`` and not named by the user: where a link leads is checked first."""
    file = RegularFile.at(folder / name)
    home = folder.resolve()
    if file.real.is_relative_to(home):
        return file
    for parent in home.parents:
        if parent.name == "snapshots" and file.real.parent == parent.parent / "blobs":
            return file
    raise ww.SourceError(
        f"{file.label}: this is a symbolic link that leads out of its folder, to {legible(str(file.real))}; "
        "if you trust it, name that file itself"
    )


def _is_plain_name(name: str) -> bool:
    # Both flavours on every system: a model that is read here is also read elsewhere.
    return (
        name not in {"", ".", ".."}
        and name.isprintable()
        and PurePosixPath(name).name == name
        and PureWindowsPath(name).name == name
    )


def _list(names: list[str]) -> str:
    shown = ", ".join(name if len(name) <= 80 and name.isprintable() else quoted(name) for name in names[:_LISTED])
    return f"{shown}, ..." if len(names) > _LISTED else shown


def _starts_as_index(head: bytes) -> bool:
    return head.lstrip().startswith(b"{") and b'"weight_map"' in head and b'.safetensors"' in head


def _read_index(file: RegularFile) -> Mapping[str, str]:
    if file.size > _MAX_INDEX:
        raise ww.CorruptFileError(f"{file.label}: the index has {file.size} bytes, more than any index needs")
    _refuse_impostor(file)
    content = _parse(file.bytes_at(0, file.size), file, "the index")
    weight_map = content.get("weight_map")
    if not isinstance(weight_map, dict):
        raise ww.CorruptFileError(f"{file.label}: the index has no weight_map that tells which file holds which tensor")
    if not weight_map:
        raise ww.CorruptFileError(f"{file.label}: the index names no tensors")
    for tensor, shard in weight_map.items():
        if fault := fault_of_name(tensor):
            raise ww.CorruptFileError(f"{file.label}: {fault}")
        if not isinstance(shard, str):
            raise ww.CorruptFileError(f"{file.label}: the index gives no file name for tensor {quoted(tensor)}")
    return weight_map


def _starts_as_header(head: bytes, size: int) -> bool:
    length = int.from_bytes(head[:8], "little")
    return len(head) > 8 and 2 <= length <= min(_MAX_HEADER, size - 8) and head[8:9] == b"{"


def _read_header(file: RegularFile) -> list[_StoredTensor]:
    _refuse_impostor(file)
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
    refusal = _refusal_of_library(file)
    if refusal and length > _EASY_HEADER:
        raise ww.CorruptFileError(f"{file.label}: safetensors refuses it: {refusal}")
    header = _parse(file.bytes_at(8, length), file, "the header")
    tensors = [_stored(name, entry, file) for name, entry in header.items() if name != "__metadata__"]
    _check_coverage(tensors, file.size - 8 - length, file)
    if refusal:
        raise ww.CorruptFileError(f"{file.label}: safetensors refuses it: {refusal}")
    return [
        _StoredTensor(tensor.name, tensor.dtype, tensor.shape, 8 + length + tensor.offset, tensor.nbytes)
        for tensor in tensors
    ]


def _refusal_of_library(file: RegularFile) -> str:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file.real, framework="np"):
            return ""
    except (SafetensorError, OSError) as error:
        return legible(str(error))[:300] or type(error).__name__


def _refuse_impostor(file: RegularFile) -> None:
    """Name what often stands where a weight file was expected.

    Raises:
        CorruptFileError: It is one of these.
    """
    head = file.head(512)
    if not head:
        raise ww.CorruptFileError(f"{file.label}: the file is empty")
    if head.startswith(b"version https://git-lfs.github.com/spec/"):
        raise ww.CorruptFileError(
            f"{file.label}: this is a git-lfs pointer, not the file it stands for: run `git lfs pull` in its repository"
        )
    if head.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html", b"<?xml")):
        raise ww.CorruptFileError(
            f"{file.label}: this is a web page saved under the name of a weight file: download it again"
        )


def _stored(name: str, entry: Any, file: RegularFile) -> _StoredTensor:
    if fault := fault_of_name(name):
        raise ww.CorruptFileError(f"{file.label}: {fault}")
    where = f"{file.label}: tensor {quoted(name)}"
    if not isinstance(entry, dict):
        raise ww.CorruptFileError(f"{where}: the header gives no dtype, shape and data_offsets")
    dtype, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise ww.CorruptFileError(f"{where}: unknown dtype {quoted(dtype)}")
    if not _are_lengths(shape) or len(shape) > _MAX_AXES:
        raise ww.CorruptFileError(f"{where}: {quoted(shape)} is not a shape")
    if not _are_lengths(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise ww.CorruptFileError(f"{where}: {quoted(offsets)} are not data_offsets, a begin and an end")
    canonical, bits = _DTYPES[dtype]
    if math.prod(length for length in shape if length) * max(1, bits // 8) > _MAX_SIZE:
        raise ww.CorruptFileError(f"{where}: no memory could hold shape {quoted(shape)}")
    begin, end = offsets
    if math.prod(shape) * bits != (end - begin) * 8:
        raise ww.CorruptFileError(
            f"{where}: shape {quoted(shape)} of {dtype} takes {math.prod(shape) * bits // 8} bytes, "
            f"and data_offsets give {end - begin}"
        )
    return _StoredTensor(name, canonical, tuple(shape), begin, end - begin)


def _are_lengths(value: Any) -> TypeGuard[list[int]]:
    # type() and not isinstance(): JSON's true would pass for 1.
    return isinstance(value, list) and all(type(item) is int and 0 <= item <= _MAX_SIZE for item in value)


def _check_coverage(tensors: list[_StoredTensor], available: int, file: RegularFile) -> None:
    """Check that the tensors fill the file, each byte once.

    Raises:
        CorruptFileError: They do not.
    """
    end = 0
    for tensor in sorted(tensors, key=lambda tensor: (tensor.offset, tensor.nbytes)):
        if tensor.offset < end:
            raise ww.CorruptFileError(f"{file.label}: tensor {quoted(tensor.name)} overlaps the tensor before it")
        if tensor.offset > end:
            raise ww.CorruptFileError(
                f"{file.label}: {tensor.offset - end} bytes before tensor {quoted(tensor.name)} belong to no tensor"
            )
        end = tensor.offset + tensor.nbytes
    if end > available:
        raise ww.CorruptFileError(f"{file.label}: cut short: its tensors take {end} bytes, and {available} are there")
    if end < available:
        raise ww.CorruptFileError(f"{file.label}: the last {available - end} bytes belong to no tensor")


def _parse(text: bytes, file: RegularFile, what: str) -> dict[str, Any]:
    """Return the JSON object that ``text`` is, refusing what JSON readers do not agree on.

    Raises:
        CorruptFileError: It is no such object.
    """
    try:
        content = json.loads(text.decode(), object_pairs_hook=_object, parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        raise ww.CorruptFileError(f"{file.label}: {what} is not UTF-8 text") from None
    except RecursionError:
        raise ww.CorruptFileError(f"{file.label}: {what} is nested too deeply") from None
    except ValueError as error:
        raise ww.CorruptFileError(f"{file.label}: {what} is not valid JSON: {error}") from None
    if not isinstance(content, dict):
        raise ww.CorruptFileError(f"{file.label}: {what} is not a JSON object")
    return content


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        [(key, _)] = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {quoted(key)} stands twice")
    return content


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is not a JSON number")
