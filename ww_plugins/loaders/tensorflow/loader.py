"""The loader of TensorFlow's checkpoints and graphs."""

from __future__ import annotations

import os
import re
from collections import Counter
from typing import TYPE_CHECKING

import ww_core as ww
from ww_core.loading.impostors import refuse_impostor
from ww_core.loading.mapped import MappedCheckpoint, MappedFile
from ww_core.loading.names import fault_of_name, natural_order, quoted
from ww_plugins.loaders.tensorflow.bundle import OBJECTS, SUFFIX, Bundle
from ww_plugins.loaders.tensorflow.kinds import with_parts
from ww_plugins.loaders.tensorflow.objects import Variable, variables_of_model
from ww_plugins.loaders.tensorflow.tables import MAGIC

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ww_core.loading.mapped import StoredTensor

_SAVED_MODEL = "saved_model.pb"
_GRAPH_SUFFIX = ".pb"
_HEAD = 4096  # enough to recognise a graph
_STATE = "checkpoint"  # a small file that names the newest checkpoint of a folder
_LARGEST_STATE = 100_000
_NEWEST = re.compile(rb'^\s*model_checkpoint_path:\s*"([^"\\\n]+)"', re.MULTILINE)
_SHARD = re.compile(r"(.+)\.data-[0-9]{5,}-of-[0-9]{5,}", re.DOTALL)
_LISTED = 5
_FOLDER = 0.8  # less than of formats that say more of a model: a folder may hold it in several

# Beside the variables of a model, where no graph of objects tells what an optimizer keeps.
_SLOTS = frozenset({
    "Adam", "Adam_1", "Momentum", "RMSProp", "RMSProp_1", "RMSProp_2", "Adagrad", "Adadelta", "Adadelta_1", "Ftrl",
    "Ftrl_1", "adam_m", "adam_v",
})  # fmt: skip
_COUNTERS = re.compile(r"(.*/)?(beta[12]_power(_[0-9]+)?|global_step|save_counter)")


class TensorFlowLoader(ww.Loader):
    """Reads the index of a checkpoint with its shards, a folder with one, a SavedModel, or a frozen graph."""

    name = "tensorflow"
    description = "TensorFlow's checkpoints (.index and .data-...), SavedModels, and frozen graphs (.pb)"

    def probe(self, source: ww.Source) -> float:
        """Judge an index by its end, a graph by its beginning, a folder by the names in it."""
        if source.is_object:
            return 0.0
        try:
            if source.is_folder:
                names = source.names()
                return _FOLDER if _SAVED_MODEL in names or _indices(names) else 0.0
            named = source.name.endswith((SUFFIX, _GRAPH_SUFFIX))
            if _begins_as_graph(source):
                return 1.0 if named else 0.7
            if not source.name.endswith(SUFFIX) and source.path is None:
                return 0.0  # to ask another machine for its last bytes takes longer than all other loaders
            is_table = source.size > len(MAGIC) and source.bytes_at(source.size - len(MAGIC), len(MAGIC)) == MAGIC
        except ww.SourceError:
            return 0.0
        return (1.0 if named else 0.5) if is_table else 0.1 if named else 0.0

    def open(self, source: ww.Source) -> MappedCheckpoint:
        """Read the index and the graph of objects, or the graph with its constants, and check where the numbers lie.

        Raises:
            SourceError: What was named is nothing of this that can be read, takes more than the budget, or lacks a
                shard.
            CorruptFileError: It contradicts itself.
        """
        if source.is_object:
            raise ww.SourceError(f"checkpoints are read from a path, not from an object of type {source.name}")
        if source.is_folder:
            return _of_folder(source)
        if source.name == _SAVED_MODEL and _has_variables(source.folder):
            return _of_folder(source.folder)
        return _of_graph(source) if _is_graph(source) else _of_index(source)


def _of_folder(folder: ww.Source) -> MappedCheckpoint:
    """Open what lies in a folder: of a SavedModel the variables, or the graph if they hold no layer."""
    is_saved_model = _SAVED_MODEL in folder.names()
    if is_saved_model and not _has_variables(folder):
        return _of_graph(_drawing_on(folder, folder.entry(_SAVED_MODEL)))
    checkpoint = _of_index(_index_in(folder))
    if is_saved_model and not checkpoint.layers:
        return _of_graph(_drawing_on(folder, folder.entry(_SAVED_MODEL)))
    return checkpoint


def _of_graph(file: ww.Source) -> MappedCheckpoint:
    # What reads graphs is only loaded where there is one.
    from ww_plugins.loaders.tensorflow.frozen.model import open_graph

    if not _begins_as_graph(file):
        refuse_impostor(file)
    return open_graph(file)


def _of_index(index: ww.Source) -> MappedCheckpoint:
    if shard := _SHARD.fullmatch(index.name):
        raise ww.SourceError(
            f"{index.label}: this is a shard of a checkpoint: name {quoted(shard[1] + SUFFIX)} beside it"
        )
    refuse_impostor(index)
    bundle = Bundle(index)
    tensors, warnings = with_parts(_variables(bundle))
    return MappedCheckpoint(
        "TensorFlow",
        [MappedFile(index, ())] if not tensors else _by_file(tensors),
        [f"{index.label}: {warning}" for warning in warnings],
        ordered=True,
    )


def _is_graph(file: ww.Source) -> bool:
    return file.name.endswith(_GRAPH_SUFFIX) or (not file.name.endswith(SUFFIX) and _begins_as_graph(file))


def _begins_as_graph(file: ww.Source) -> bool:
    from ww_plugins.loaders.tensorflow.frozen.messages import is_graph, is_saved_model

    head = file.head(_HEAD)
    return is_graph(head) or is_saved_model(head)


def _by_file(tensors: Sequence[StoredTensor]) -> list[MappedFile]:
    """Return what each shard holds."""
    files: dict[str, list[StoredTensor]] = {}
    for tensor in tensors:
        files.setdefault(tensor.file.location, []).append(tensor)
    return [MappedFile(held[0].file, tuple(held)) for held in files.values()]


def _variables(bundle: Bundle) -> list[StoredTensor]:
    if OBJECTS in bundle.entries:
        names = _names(bundle)
    else:
        names = {key: key for key in bundle.entries if not _is_state(key, bundle.entries)}
    return [bundle.tensor(key, name) for key, name in names.items()]


def _names(bundle: Bundle) -> Mapping[str, str]:
    """Return the names of the model's variables by their keys, each stored content under one name once.

    Where several variables have one name, or one has none, the way to it is its name.
    """
    found = variables_of_model(bundle.message(OBJECTS))
    first: dict[object, Variable] = {}
    for variable in found:
        if variable.key in bundle.entries:
            # Exported models have each variable twice: equal checksums of one name tell it.
            stored = bundle.entries[variable.key]._replace(offset=0, shard=0)
            first.setdefault((variable.name, stored) if variable.name else variable.key, variable)
    kept = {variable.key: variable for variable in first.values()}
    counts = Counter(variable.name for variable in kept.values())
    names = {key: one.name if one.name and counts[one.name] == 1 else one.path or key for key, one in kept.items()}
    faults = {fault for name in names.values() if (fault := fault_of_name(name))}
    if faults:
        raise bundle.damaged(min(faults))
    # The way to one may be the name of another, and two tensors may lie at the end of one way: keys are unique.
    return names if len(set(names.values())) == len(names) else {key: key for key in names}


def _is_state(key: str, keys: Mapping[str, object]) -> bool:
    path, _, last = key.rpartition("/")
    return (last in _SLOTS and path in keys) or _COUNTERS.fullmatch(key) is not None


def _indices(names: Sequence[str]) -> list[str]:
    """Return the indices among the names of files: those with a shard beside them."""
    stems = {shard[1] for name in names if (shard := _SHARD.fullmatch(name))}
    found = [name for name in names if name.endswith(SUFFIX) and name.removesuffix(SUFFIX) in stems]
    return sorted(found, key=natural_order)


def _has_variables(folder: ww.Source) -> bool:
    """Whether a SavedModel has the index of its variables; a server that lists no folders does not tell it."""
    if folder.path is not None:
        return os.path.lexists(folder.path / "variables" / f"variables{SUFFIX}")
    try:
        return "variables" in folder.names() and f"variables{SUFFIX}" in folder.entry("variables").names()
    except ww.SourceError:
        return False


def _index_in(folder: ww.Source) -> ww.Source:
    names = folder.names()
    if _SAVED_MODEL in names:
        if folder.path is not None:  # entries of a folder of this machine are files
            return _drawing_on(folder, folder.entry(f"variables/variables{SUFFIX}"))
        return _drawing_on(folder, folder.entry("variables").entry(f"variables{SUFFIX}"))
    indices = _indices(names)
    if len(indices) > 1 and _STATE in names:
        newest = _newest(folder.entry(_STATE))
        indices = [name for name in indices if name == newest] or indices
    if not indices:
        raise ww.SourceError(f"{folder.label}: the folder holds no checkpoint of TensorFlow, nor a SavedModel")
    if len(indices) > 1:
        shown = ", ".join(quoted(name) for name in indices[:_LISTED])
        raise ww.SourceError(f"{folder.label}: the folder holds {len(indices)} checkpoints; name one: {shown}")
    return _drawing_on(folder, folder.entry(indices[0]))


def _drawing_on(folder: ww.Source, file: ww.Source) -> ww.Source:
    file.budget = folder.budget.part(file.label)
    return file


def _newest(state: ww.Source) -> str:
    """Return the name of the index that was written last; an empty one if that is not told."""
    found = _NEWEST.search(state.head(_LARGEST_STATE))
    return found[1].decode("utf-8", "replace").rpartition("/")[2] + SUFFIX if found else ""
