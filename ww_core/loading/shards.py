"""Models that lie in one file, in several, or in a folder: what all formats of tensors in files share.

An index may name files of its own folder only.
"""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

from ww_core.errors import CorruptFileError, SourceError
from ww_core.loading.impostors import refuse_impostor
from ww_core.loading.mapped import MappedCheckpoint, MappedFile
from ww_core.loading.names import fault_of_name, natural_order, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from ww_core.contracts.source import Source

_BEFORE_VALUES = (b"[", b"{", b",", b":")
_LISTED = 5


@dataclass(frozen=True, slots=True)
class FileFormat:
    """How the files of a format are named, and how one is read.

    Attributes:
        name: The format, as people know it.
        suffixes: Of its files; shards and indices have the first one.
        read: Reads the header of a file.
        index_suffix: Of its indices.
        shard: Matches the names of shards: their stem, number and count.
        ordered: Whether the order of the tensors in a file is that of the model.
        preferred: Names that a folder's one model goes by; where it holds one of them, other files are not meant.
        beside: Matches the names of files that stand beside a model, as the state of an optimizer does.
    """

    name: str
    suffixes: tuple[str, ...]
    read: Callable[[Source], MappedFile]
    ordered: bool = False
    preferred: tuple[str, ...] = ()
    beside: re.Pattern[str] | None = None
    index_suffix: str = field(init=False)
    shard: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "index_suffix", f"{self.suffixes[0]}.index.json")
        shard = rf"(.+)-([0-9]{{1,9}})-of-([0-9]{{1,9}}){re.escape(self.suffixes[0])}"
        object.__setattr__(self, "shard", re.compile(shard, re.DOTALL))

    def claims(self, name: str) -> bool:
        """Whether a file of this name is of this format, or an index of such files."""
        return name.endswith((*self.suffixes, self.index_suffix))

    def is_index(self, head: bytes) -> bool:
        """Whether a file that begins so is an index of files of this format."""
        return head.lstrip().startswith(b"{") and b'"weight_map"' in head and f'{self.suffixes[0]}"'.encode() in head

    def sureness(self, folder: Source, conventional: float) -> float:
        """Tell how sure it is that a folder is a model of this format.

        Where nothing but suffixes says so it is 0.5, for every format: a folder with files of two of them is not read
        until a person chose.

        Args:
            folder: The folder.
            conventional: How sure it is by a name that such models go by, an index or a shard; of a folder that holds
                a model in several formats, the one is read that is surest.

        Raises:
            SourceError: The folder cannot be read.
        """
        names = [name for name in folder.names() if self.claims(name)]
        if any(self._is_conventional(name) for name in names):
            return conventional
        return 0.5 if names else 0.0

    def _is_conventional(self, name: str) -> bool:
        return name in self.preferred or name.endswith(self.index_suffix) or self.shard.fullmatch(name) is not None

    def open(self, source: Source, head: int) -> MappedCheckpoint:
        """Open a file, an index, or a folder with either; ``head`` bytes are enough to recognise an index.

        Raises:
            SourceError: What was named is no file or folder that can be read, or does not say which file is meant.
            CorruptFileError: A header or an index contradicts itself or the files.
        """
        if source.is_folder:
            return self._open_folder(source)
        if source.name.endswith(self.index_suffix) or self.is_index(source.head(head)):
            return self._open_index(source, source.folder)
        shard = self.shard.fullmatch(source.name)
        warnings = (
            [f"{source.label}: this is one of {int(shard[3])} shards; to analyse the whole model, name its folder"]
            if shard and int(shard[3]) > 1
            else []
        )
        return MappedCheckpoint(self.name, [self.read(source)], warnings, ordered=self.ordered)

    def _open_folder(self, folder: Source) -> MappedCheckpoint:
        label = folder.label
        names = sorted(folder.names(), key=natural_order)
        indices = [name for name in names if name.endswith(self.index_suffix)]
        files = [name for name in names if name.endswith(self.suffixes)]
        if len(indices) > 1:
            raise SourceError(f"{label}: the folder holds several indices; name one of them: {listed(indices)}")
        if indices:
            return self._open_index(part_of_folder(folder, indices[0]), folder, self._models(files))
        models = self._models(files) or files
        files = [name for name in models if name in self.preferred] or models
        if not files:
            raise SourceError(f"{label}: the folder holds no {self.suffixes[0]} file")
        shards = [shard for name in files if (shard := self.shard.fullmatch(name))]
        if len(shards) == len(files) and len({(shard[1], shard[3]) for shard in shards}) == 1:
            self._check_complete(label, shards)
        elif len(files) > 1:
            raise SourceError(
                f"{label}: the folder holds several {' '.join(self.suffixes)} files and no index that joins them; "
                f"name one: {listed(files)}"
            )
        opened = [self.read(part_of_folder(folder, name)) for name in files]
        apart = [name for name in models if name not in files]
        warnings = (
            [f"{label}: {listed(files)} is read, and not {listed(apart)}: to read another, name its file"]
            if apart
            else []
        )
        return MappedCheckpoint(self.name, opened, warnings, ordered=self.ordered)

    def _models(self, files: list[str]) -> list[str]:
        """Return the files that may be models, without those that stand beside one."""
        return [name for name in files if not (self.beside and self.beside.match(name))]

    def _check_complete(self, label: str, shards: list[re.Match[str]]) -> None:
        present = {int(shard[2]) for shard in shards}
        stem, width, count = shards[0][1], len(shards[0][2]), shards[0][3]
        # The count is only a number in a file name: it is walked no further than to the first few that are missing.
        lacking = (number for number in range(1, int(count) + 1) if number not in present)
        suffix = self.suffixes[0]
        missing = [f"{stem}-{number:0{width}}-of-{count}{suffix}" for number in itertools.islice(lacking, _LISTED + 1)]
        if missing:
            raise SourceError(f"{label}: shards are missing: {listed(missing)}")
        if surplus := [shard[0] for shard in shards if not 1 <= int(shard[2]) <= int(count)]:
            raise SourceError(f"{label}: the number of a shard is not within its count: {listed(surplus)}")

    def _open_index(self, index: Source, folder: Source, files: Iterable[str] = ()) -> MappedCheckpoint:
        weight_map = _read_index(index)
        shards = sorted(set(weight_map.values()), key=natural_order)
        for shard in shards:
            if not is_plain_name(shard):
                raise CorruptFileError(
                    f"{index.label}: the index names the file {quoted(shard)}, which is no plain name of a file "
                    "beside it"
                )
        there = set(folder.names())
        missing = [shard for shard in shards if shard not in there]
        if missing:
            raise SourceError(f"{index.label}: shards that the index names are missing: {listed(missing)}")
        opened = {shard: self.read(part_of_folder(folder, shard)) for shard in shards}
        held = {shard: {tensor.name for tensor in content.tensors} for shard, content in opened.items()}
        for tensor, shard in weight_map.items():
            if tensor not in held[shard]:
                raise CorruptFileError(
                    f"{index.label}: the index places tensor {quoted(tensor)} in {shard}, which does not hold it"
                )
        warnings = []
        if unnamed := sorted(set().union(*held.values()) - set(weight_map), key=natural_order):
            warnings.append(
                f"{index.label}: the index does not name these tensors of its shards, which are read: {listed(unnamed)}"
            )
        if apart := [name for name in files if name not in held]:
            warnings.append(f"{index.label}: the index does not name these files, which are not read: {listed(apart)}")
        return MappedCheckpoint(self.name, opened.values(), warnings, ordered=self.ordered)


def part_of_folder(folder: Source, name: str) -> Source:
    """Return a file of a folder, which draws on the folder's budget."""
    file = folder.entry(name)
    file.budget = folder.budget.part(file.label)
    return file


def read_json(file: Source, offset: int, nbytes: int, what: str) -> dict[str, Any]:
    """Return the JSON object that a part of a file is, refusing what JSON readers do not agree on.

    Raises:
        CorruptFileError: It is no such object.
        SourceError: It takes more than the budget.
    """
    file.budget.take("text", nbytes)
    text = file.bytes_at(offset, nbytes)
    file.budget.take("values", sum(map(text.count, _BEFORE_VALUES)))
    try:
        content = json.loads(text.decode(), object_pairs_hook=_object, parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        raise CorruptFileError(f"{file.label}: {what} is not UTF-8 text") from None
    except RecursionError:
        raise CorruptFileError(f"{file.label}: {what} is nested too deeply") from None
    except ValueError as error:
        raise CorruptFileError(f"{file.label}: {what} is not valid JSON: {error}") from None
    if not isinstance(content, dict):
        raise CorruptFileError(f"{file.label}: {what} is not a JSON object")
    return content


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        [(key, _)] = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {quoted(key)} stands twice")
    return content


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is not a JSON number")


def is_plain_name(name: str) -> bool:
    """Tell whether a name is that of a file, and no way out of its folder."""
    # Both flavours on every system: a model that is read here is also read elsewhere.
    return (
        name not in {"", ".", ".."}
        and name.isprintable()
        and PurePosixPath(name).name == name
        and PureWindowsPath(name).name == name
    )


def listed(names: Sequence[str]) -> str:
    """Show the first few names of files or tensors."""
    shown = ", ".join(name if len(name) <= 80 and name.isprintable() else quoted(name) for name in names[:_LISTED])
    return f"{shown}, ..." if len(names) > _LISTED else shown


def _read_index(file: Source) -> Mapping[str, str]:
    refuse_impostor(file)
    content = read_json(file, 0, file.size, "the index")
    weight_map = content.get("weight_map")
    if not isinstance(weight_map, dict):
        raise CorruptFileError(f"{file.label}: the index has no weight_map that tells which file holds which tensor")
    if not weight_map:
        raise CorruptFileError(f"{file.label}: the index names no tensors")
    for tensor, shard in weight_map.items():
        if fault := fault_of_name(tensor):
            raise CorruptFileError(f"{file.label}: {fault}")
        if not isinstance(shard, str):
            raise CorruptFileError(f"{file.label}: the index gives no file name for tensor {quoted(tensor)}")
    return weight_map
