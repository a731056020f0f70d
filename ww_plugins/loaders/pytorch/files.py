"""One file of PyTorch's: the weights among all that its pickle holds, and what the pickle wanted done."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import ww_core as ww
from ww_plugins.loaders.mapped import MappedFile, StoredTensor
from ww_plugins.loaders.names import legible, quoted
from ww_plugins.loaders.pytorch import weights_only
from ww_plugins.loaders.pytorch.archives import open_archive
from ww_plugins.loaders.pytorch.modules import told_by
from ww_plugins.loaders.pytorch.pickles import Call, Global, pairs_of
from ww_plugins.loaders.pytorch.tensors import is_exotic, is_tensor, stored_tensor
from ww_plugins.loaders.shards import refuse_impostor
from ww_plugins.loaders.trees import Tree, find_weights

if TYPE_CHECKING:
    from ww_plugins.loaders.mapped import RegularFile
    from ww_plugins.loaders.pytorch.pickles import Pickle
    from ww_plugins.loaders.state_dict import Module

_HARMLESS = re.compile(
    r"(torch\._utils\._rebuild_\w+|torch\._tensor\._rebuild_from_type(_v2)?|torch\.Size|torch\.device|torch\.serialization\._get_layout"
    r"|torch\.per_(tensor|channel)_affine|torch\.storage\._load_from_bytes|torch\.nn\.parameter\.\w*Parameter"
    r"|torch\.nn\.modules\.\w+\.[A-Z]\w*"
    r"|collections\.(OrderedDict|defaultdict|Counter|deque)|(builtins|__builtin__)\.(set|frozenset|bytes|bytearray|complex)"
    r"|numpy(\._?core)?\.(multiarray\._reconstruct|multiarray\.scalar|numeric\._frombuffer)|numpy\.(dtype|ndarray)"
    r"|torch\.jit\._pickle\.\w+|_codecs\.encode|copyreg\._reconstructor|copy_reg\._reconstructor)"
)
"""What a pickle of tensors is made of. It is not called either; it is only not worth a warning."""

_LISTED = 5


def read_file(file: RegularFile) -> MappedFile:
    """Read the pickle of a file, and find the weights that it names.

    Raises:
        SourceError: The file cannot be read, or no tensor is in it.
        CorruptFileError: It is damaged, or contradicts itself.
    """
    refuse_impostor(file)
    with file.open() as handle:
        archive = open_archive(file, handle)
        weights = find_weights(archive.pickle.root, _PickleTree(), file.label)
        tensors = _readable([stored_tensor(name, node, archive) for name, node in weights.tensors], file)
    warnings = [*weights.warnings(file.label), *_warnings(archive.pickle, file.label)]
    if not tensors:
        raise ww.SourceError("; ".join([f"{file.label}: no tensor is in it", *_calls(archive.pickle)]))
    return MappedFile(file, tuple(tensors), weights.modules, tuple(warnings))


def _readable(tensors: list[StoredTensor], file: RegularFile) -> list[StoredTensor]:
    """Put what PyTorch makes of them in place of those that are no rows of numbers, as far as it can."""
    exotic = [tensor.name for tensor in tensors if is_exotic(tensor)]
    if not exotic:
        return tensors
    missing = weights_only.unavailable()
    loaded = {} if missing else weights_only.load_apart(file, exotic)
    made = []
    for tensor in tensors:
        if tensor.name in loaded:
            dtype, shape, content = loaded[tensor.name]
            made.append(StoredTensor(tensor.name, dtype, shape, file, content=content))
        elif is_exotic(tensor):
            made.append(replace(tensor, fault=f"{tensor.fault}: {missing or 'PyTorch could not read it either'}"))
        else:
            made.append(tensor)
    return made


def _warnings(pickle: Pickle, label: str) -> Iterator[str]:
    for calls in _calls(pickle):
        yield f"{label}: {calls}"


def _calls(pickle: Pickle) -> Iterator[str]:
    """Yield a sentence on what the pickle wanted to be called, if that is more than tensors take."""
    called = [name for name in pickle.called if not _HARMLESS.fullmatch(name)]
    if called:
        shown = ", ".join(_shown(name) for name in called[:_LISTED])
        more = f" and {len(called) - _LISTED} more" if len(called) > _LISTED else ""
        yield f"it asks to call {shown}{more}: nothing was called here, and what loads it the usual way will do it"


def _shown(name: str) -> str:
    return legible(name) if len(name) <= 100 else quoted(name)


class _PickleTree(Tree):
    """Objects of a pickle. A module is what has parameters, buffers and modules; its class is only a name."""

    def is_tensor(self, node: Any) -> bool:
        return is_tensor(node)

    def is_dict(self, node: Any) -> bool:
        return isinstance(node, dict) or (isinstance(node, Call) and _module_state(node) is None)

    def entries(self, node: Any) -> Iterable[tuple[str, Any]]:
        if isinstance(node, (list, tuple)):
            return [(str(place), inner) for place, inner in enumerate(node)]
        if isinstance(node, dict):
            return _named(node)
        if not isinstance(node, Call):
            return ()
        state = _module_state(node)
        return _entries_of_call(node) if state is None else _entries_of_module(state)

    def module(self, node: Any) -> Module | None:
        if not (isinstance(node, Call) and isinstance(node.state, dict)):
            return None
        made = _class_of(node)
        return told_by([(made.module, made.name)], node.state.get("groups")) if made else None


def _class_of(call: Call) -> Global | None:
    function = call.function
    if isinstance(function, Global) and function.name == "_reconstructor" and call.arguments:
        function = call.arguments[0]
    return function if isinstance(function, Global) else None


def _module_state(call: Call) -> dict[Any, Any] | None:
    state = call.state
    return state if isinstance(state, dict) and "_parameters" in state and "_modules" in state else None


def _entries_of_module(state: dict[Any, Any]) -> Iterator[tuple[str, Any]]:
    """Yield parameters, buffers and modules in the order and under the names of a state dict."""
    transient = {key for key in _contents(state.get("_non_persistent_buffers_set")) if isinstance(key, str)}
    for part in ("_parameters", "_buffers", "_modules"):
        for key, node in _named(_as_dict(state.get(part))):
            if part != "_buffers" or key not in transient:
                yield key, node


def _entries_of_call(call: Call) -> Iterator[tuple[str, Any]]:
    yield from _named(_as_dict(call))
    yield from ((str(place), inner) for place, inner in enumerate(call.elements or ()))
    for state in call.state if isinstance(call.state, tuple) else (call.state,):  # one of slots stands beside it
        if isinstance(state, dict):
            yield from _named(state)


def _as_dict(node: Any) -> dict[Any, Any]:
    """Return what a dict, or a call that makes one, holds; Python 2 gives the entries as an argument."""
    if isinstance(node, dict):
        return node
    if not isinstance(node, Call):
        return {}
    found: dict[Any, Any] = {}
    if node.calls("collections.OrderedDict") and node.arguments and isinstance(node.arguments[0], (list, tuple)):
        given = [pair for pair in node.arguments[0] if isinstance(pair, (list, tuple)) and len(pair) == 2]
        found.update(pairs_of([key for key, _ in given], [value for _, value in given]))
    found.update(node.items or {})
    return found


def _contents(node: Any) -> Iterable[Any]:
    """Return what a set holds."""
    if isinstance(node, Call) and node.arguments and isinstance(node.arguments[0], (list, tuple)):
        return node.arguments[0]
    return node if isinstance(node, (list, tuple)) else ()


def _named(entries: dict[Any, Any]) -> list[tuple[str, Any]]:
    return [(str(key), node) for key, node in entries.items() if type(key) in {str, int}]
