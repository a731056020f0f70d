"""Weights of Keras 3 in several files: ``model.weights.json`` names the shards, and which of them hold which variables.

The groups of a model are those of all shards together: the name of a layer may stand in one, and its variables, some
of them or all, in the next.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import ww_core as ww
from ww_core.loading.impostors import refuse_impostor
from ww_core.loading.mapped import MappedCheckpoint
from ww_core.loading.names import natural_order, quoted
from ww_core.loading.shards import is_plain_name, listed, part_of_folder, read_json
from ww_plugins.loaders.keras.bytes_of import Extent
from ww_plugins.loaders.keras.files import file_of_groups
from ww_plugins.loaders.keras.hdf5 import Group, read_groups
from ww_plugins.loaders.keras.weights import ATTRIBUTES, OPTIMIZERS, VARIABLES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_INDEX_SUFFIX = ".weights.json"
_SHARD = re.compile(r".+_[0-9]{5}\.weights\.h5", re.DOTALL)


def index_in(folder: ww.Source) -> ww.Source | None:
    """Return the index in a folder; None if there is none.

    Raises:
        SourceError: There are several.
    """
    indices = sorted((name for name in folder.names() if name.endswith(_INDEX_SUFFIX)), key=natural_order)
    if len(indices) > 1:
        raise ww.SourceError(f"{folder.label}: the folder holds several indices; name one of them: {listed(indices)}")
    return part_of_folder(folder, indices[0]) if indices else None


def warnings_of_shard(source: ww.Source) -> list[str]:
    """Say that a file seems to be one of several."""
    if not _SHARD.fullmatch(source.name):
        return []
    return [f"{source.label}: this seems to be one of several shards; to analyse the whole model, name its folder"]


def open_shards(index: ww.Source, folder: ww.Source) -> MappedCheckpoint:
    """Read the shards that an index names.

    Raises:
        SourceError: The index cannot be read, or a shard is missing.
        CorruptFileError: The index or a shard is damaged, or they contradict each other.
    """
    weight_map = _read_index(index)
    names = sorted({name for held in weight_map.values() for name in held}, key=natural_order)
    there = set(folder.names())
    if missing := [name for name in names if name not in there]:
        raise ww.SourceError(f"{index.label}: shards that the index names are missing: {listed(missing)}")
    shards = {name: part_of_folder(folder, name) for name in names}
    roots = {name: read_groups(Extent(file, 0, file.size), ATTRIBUTES, OPTIMIZERS) for name, file in shards.items()}
    held = {name: {path for path, _ in _variables(root)} for name, root in roots.items()}
    for path, files in weight_map.items():
        if lacking := [name for name in files if path not in held[name] and path.split("/")[0] not in OPTIMIZERS]:
            raise ww.CorruptFileError(
                f"{index.label}: the index places {quoted(path)} in {lacking[0]}, which does not hold it"
            )
    whole = Group("", "")
    for name, root in roots.items():
        _add(whole, root, shards[name])
    unnamed = [path for path, _ in _variables(whole) if path not in weight_map]
    warnings = [f"{index.label}: the index does not name these, which are read: {listed(unnamed)}"] if unnamed else []
    return MappedCheckpoint("keras", [file_of_groups(whole, None, index)], warnings, ordered=True)


def _read_index(index: ww.Source) -> Mapping[str, list[str]]:
    """Return the shards that hold variables of each group."""
    refuse_impostor(index)
    content = read_json(index, 0, index.size, "the index").get("weight_map")
    if not isinstance(content, dict) or not content:
        raise ww.CorruptFileError(f"{index.label}: the index has no weight_map that tells which file holds what")
    return {path.strip("/"): list(_names(held, path, index)) for path, held in content.items()}


def _names(held: Any, path: str, index: ww.Source) -> Iterator[str]:
    for name in held if isinstance(held, list) and held else [held]:
        if not isinstance(name, str) or not is_plain_name(name):
            raise ww.CorruptFileError(
                f"{index.label}: the index names the file {quoted(name)} for {quoted(path)}, which is no plain name of "
                "a file beside it"
            )
        yield name


def _variables(root: Group) -> Iterator[tuple[str, Group]]:
    """Give the groups of variables that are not empty, by their paths."""
    waiting = [root]
    while waiting:
        group = waiting.pop()
        if group.name == VARIABLES and group.tensors:
            yield group.path, group
        waiting += group.groups.values()


def _add(whole: Group, root: Group, shard: ww.Source) -> None:
    """Add the groups of a shard to those of the shards before."""
    waiting = [(whole, root)]
    while waiting:
        group, own = waiting.pop()
        if twice := group.tensors.keys() & own.tensors.keys():
            raise ww.CorruptFileError(
                f"{shard.label}: {quoted(f'{own.path}/{min(twice)}')} is in a shard before this one too"
            )
        group.tensors.update(own.tensors)
        for name, texts in own.texts.items():
            group.texts.setdefault(name, texts)
        for name, inner in own.groups.items():
            waiting.append((group.groups.setdefault(name, Group(inner.name, inner.path)), inner))
