"""One file of PyTorch's: the weights among all that its pickle holds, and what the pickle wanted done."""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import ww_core as ww
from ww_core.loading.impostors import refuse_impostor
from ww_core.loading.mapped import MappedFile, StoredTensor
from ww_core.loading.names import legible, quoted
from ww_core.loading.trees import Tree, find_weights
from ww_plugins.loaders.pytorch import weights_only
from ww_plugins.loaders.pytorch.archives import open_archive
from ww_plugins.loaders.pytorch.frozen import Frozen, frozen_tensors
from ww_plugins.loaders.pytorch.keys import EqualKeys, names_of
from ww_plugins.loaders.pytorch.modules import convolution_of, told_by
from ww_plugins.loaders.pytorch.pickles import Call, Global, OddKey, pairs_of
from ww_plugins.loaders.pytorch.scripted import ScriptedTypes, is_scripted, settled
from ww_plugins.loaders.pytorch.tensors import is_exotic, is_tensor, stored_tensor

if TYPE_CHECKING:
    from ww_core.contracts.budget import Budget
    from ww_core.loading.state_dict import Module
    from ww_plugins.loaders.pytorch.archives import Archive
    from ww_plugins.loaders.pytorch.pickles import Pickle

_HARMLESS = re.compile(
    r"(torch\._utils\._rebuild_\w+|torch\._tensor\._rebuild_from_type(_v2)?|torch\.Size|torch\.device|torch\.serialization\._get_layout"
    r"|torch\.(b?float|complex|bits|q?u?int)[0-9]\w*|torch\.(half|float|double|bool|short|int|long|c(half|float|double))"
    r"|torch(\.storage)?\.\w+Storage|torch\.(_tensor\.)?Tensor|torch\.(strided|sparse_\w+|jagged)"
    r"|torch\.per_(tensor|channel)_affine(_float_qparams)?|torch\.storage\._load_from_bytes"
    r"|torch\.nn\.parameter\.(\w*Parameter|Buffer)|torch\.nn\.modules\.\w+\.[A-Z]\w*"
    r"|collections\.(OrderedDict|defaultdict|Counter|deque)"
    r"|(builtins|__builtin__)\.(object|dict|list|tuple|set|frozenset|bytes|bytearray|str|int|float|complex|bool)"
    r"|(builtins|__builtin__)\.(long|unicode|basestring|x?range|slice)|typing\.(Any|Union|Optional|Dict|List|Tuple)"
    r"|numpy(\._?core)?\.(multiarray\._reconstruct|multiarray\.scalar|numeric\._frombuffer)|numpy\.(dtype|ndarray)"
    r"|ml_dtypes\.b?float[0-9]\w*"
    r"|torch\.nn\.functional\.\w+|torch\._C\._nn\.\w+"
    r"|pathlib\.(Pure)?(Posix|Windows)?Path|datetime\.(date|datetime|time|timedelta|timezone)|uuid\.UUID"
    r"|decimal\.Decimal|fractions\.Fraction|argparse\.Namespace|types\.SimpleNamespace"
    r"|torch\.jit\._pickle\.\w+|_codecs\.encode|(copyreg|copy_reg)\.(_reconstructor|__newobj__))"
)
"""What a pickle of tensors names. Nothing of it is imported or called either; it is only not worth a warning."""

_SCRIPTED = re.compile(r"__torch__(\.\w+)+")

_OF_PYTHON = sys.stdlib_module_names | {"__builtin__", "copy_reg", "exceptions", "commands", "os2", "UserDict"}
_CONTAINERS = ("collections.OrderedDict", "collections.defaultdict", "collections.Counter", "collections.deque")
_GRAPH_MODULE = "torch.fx.graph_module.reduce_graph_module"
_LISTED = 5
_OF_AN_ODD_KEY = 64  # characters that the name of a key that is no text counts as


def read_file(file: ww.Source, under: str = "") -> MappedFile:
    """Read the pickle of a file, and find the weights that it names.

    Args:
        file: The file.
        under: Key under which they lie; empty for the usual ones.

    Raises:
        UsageError: No weights lie under the key.
        SourceError: The file cannot be read, or no tensor of a model is in it.
        CorruptFileError: It is damaged, or contradicts itself.
    """
    refuse_impostor(file)
    with file.open() as handle:
        archive = open_archive(file, handle)
        types = ScriptedTypes(archive.code_of)
        weights = find_weights(archive.pickle.root, _PickleTree(file.budget, file.label, types), file.label, under)
        tensors = [stored_tensor(name, node, archive) for name, node in weights.tensors]
        frozen = Frozen() if under else frozen_tensors(archive, types, holds_others=bool(tensors))
    modules, guesses = settled(weights.modules, tensors, file.budget)
    tensors = _readable([*tensors, *frozen.tensors], archive.pickle, file, under)
    if not tensors:
        reasons = [*frozen.warnings, *_calls(archive)]
        raise ww.SourceError("; ".join([f"{file.label}: no tensor of a model is in it", *reasons]))
    told = (f"{file.label}: {said}" for said in (*guesses, *frozen.warnings))
    warnings = (*weights.warnings(file.label), *_warnings(archive), *told)
    return MappedFile(file, tuple(tensors), modules, warnings)


def _readable(tensors: list[StoredTensor], pickle: Pickle, file: ww.Source, under: str) -> list[StoredTensor]:
    """Put what PyTorch makes of them in place of those that are no rows of numbers, as far as it can."""
    first: dict[Hashable, str] = {}  # one name of each: many names may mean the same tensor
    for tensor in filter(is_exotic, tensors):
        first.setdefault(_key(tensor), tensor.name)
    if not first:
        return tensors
    named = _listed(pickle.named)
    missing = f"PyTorch refuses a file that names {named}" if named else weights_only.unavailable(file)
    loaded = {} if missing else weights_only.load_apart(file, list(first.values()), under)
    made = []
    for tensor in tensors:
        row = loaded.get(first[_key(tensor)]) if is_exotic(tensor) else None
        if row is not None:
            dtype, shape, content, rounding = row
            plain = StoredTensor(
                tensor.name, dtype, shape, file, content=content, rounding=rounding, checksums=tensor.checksums
            )
            made.append(plain)
        elif is_exotic(tensor):
            made.append(replace(tensor, fault=f"{tensor.fault}: {missing or 'PyTorch could not read it either'}"))
        else:
            made.append(tensor)
    return made


def _key(tensor: StoredTensor) -> Hashable:
    return tensor.content_key if tensor.parts else tensor.name


def _warnings(archive: Archive) -> Iterator[str]:
    label = archive.file.label
    if archive.is_scripted:
        yield f"{label}: it is TorchScript, whose code was not run: its tensors are read from its pickle"
    if objects := _listed(_objects(archive)):
        yield f"{label}: it holds objects of {objects}, whose code was not run: their tensors are read from their state"
    for calls in _calls(archive):
        yield f"{label}: {calls}"


def _calls(archive: Archive) -> Iterator[str]:
    """Yield sentences on what the pickle wanted to be called and imported, if that is more than tensors take."""
    objects, types = _objects(archive), set(_types(archive))
    asked = [name for name in {**archive.pickle.called, **archive.pickle.made} if name not in objects]
    if called := _listed(name for name in asked if name not in types):
        yield f"it asks to call {called}: nothing was called here, and what loads it the usual way will do it"
    known = {*asked, *objects, *types}
    if named := _listed(name for name in archive.pickle.named if name not in known):
        yield f"it names {named}: nothing was imported here, and what loads it the usual way may call it too"


def _objects(archive: Archive) -> dict[str, None]:
    """Return the classes of which objects are made without a call, if they are no part of Python.

    They are somebody's own, and making an object runs nothing but what their author wrote for it. A class of Python's
    own can do more, and none of them stands beside tensors but those that are known to be harmless.
    """
    called, types = archive.pickle.called, set(_types(archive))
    made = [name for name in archive.pickle.made if name not in called and name not in types]
    return {name: None for name in made if name.partition(".")[0] not in _OF_PYTHON}


def _types(archive: Archive) -> list[str]:
    """Return the types of TorchScript, which are defined in the file itself and are no code of Python's."""
    return [name for name in archive.pickle.named if archive.is_scripted and _SCRIPTED.fullmatch(name)]


def _listed(names: Iterable[str]) -> str:
    telling = [name for name in names if not _HARMLESS.fullmatch(name)]
    more = f" and {len(telling) - _LISTED} more" if len(telling) > _LISTED else ""
    return ", ".join(_shown(name) for name in telling[:_LISTED]) + more


def _shown(name: str) -> str:
    return legible(name) if len(name) <= 100 else quoted(name)


class _PickleTree(Tree):
    """Objects of a pickle. A module is what has parameters, buffers and modules; its class is only a name."""

    def __init__(self, budget: Budget, label: str, types: ScriptedTypes) -> None:
        super().__init__(budget)
        self._label = label
        self._types = types

    def is_tensor(self, node: Any) -> bool:
        return is_tensor(node)

    def is_dict(self, node: Any) -> bool:
        return isinstance(node, dict) or (isinstance(node, Call) and _module_state(node) is None)

    def entries(self, node: Any) -> Iterable[tuple[str, Any]]:
        if isinstance(node, (list, tuple)):
            self.look_at(node)
            return _numbered(node)
        if isinstance(node, dict):
            return self._held(node)
        if not isinstance(node, Call):
            return ()
        state = _module_state(node)
        return self._of_call(node) if state is None else self._of_module(state)

    def _of_module(self, state: dict[Any, Any]) -> Iterator[tuple[str, Any]]:
        """List parameters, buffers and modules in the order and under the names of a state dict."""
        parameters, buffers, modules = (self._held(state.get(part)) for part in ("_parameters", "_buffers", "_modules"))
        transient = _contents(state.get("_non_persistent_buffers_set"))
        self.look_at(transient)
        left_out = {key for key in transient if isinstance(key, str)}
        kept = ((key, node) for key, node in buffers if key not in left_out)
        return itertools.chain(parameters, kept, modules)

    def _of_call(self, call: Call) -> Iterator[tuple[str, Any]]:
        elements = call.elements or []
        # What a container is called with is no part of it, or has been taken for its entries.
        arguments = () if call.calls(*_CONTAINERS) else call.arguments
        self.look_at(elements)
        self.look_at(arguments)
        return itertools.chain(_numbered(arguments), self._held(call), _numbered(elements), self._of_state(call.state))

    def _of_state(self, state: Any) -> Iterator[tuple[str, Any]]:
        """List what an object is given: attributes, with those of slots beside them, or whatever it asks for."""
        states = state if isinstance(state, tuple) and len(state) == 2 else (state,)
        if all(own is None or isinstance(own, dict) for own in states):
            return itertools.chain.from_iterable(map(self._held, states))
        if isinstance(state, (list, tuple)):
            self.look_at(state)
            return _numbered(state)
        return iter([("state", state)] if _holds(state) else [])

    def _held(self, node: Any) -> Iterator[tuple[str, Any]]:
        """List what a dict, or a call that makes one, holds; Python 2 gives the entries as an argument."""
        if isinstance(node, dict):
            self.look_at(node)
            return self._named(node)
        if not isinstance(node, Call):
            return iter(())
        found: dict[Any, Any] = {}
        if node.calls("collections.OrderedDict") and node.arguments and isinstance(node.arguments[0], (list, tuple)):
            self.look_at(node.arguments[0])
            given = [pair for pair in node.arguments[0] if isinstance(pair, (list, tuple)) and len(pair) == 2]
            found.update(pairs_of([key for key, _ in given], [value for _, value in given]))
        found.update(node.items or {})
        self.look_at(found)
        return self._named(found)

    def _named(self, entries: dict[Any, Any]) -> Iterator[tuple[str, Any]]:
        if not any(map(_holds, entries.values())):
            return iter(())
        untold = sum(isinstance(key, OddKey) and key.told is None for key in entries)
        self.budget.take("names", untold * _OF_AN_ODD_KEY)
        try:
            names = names_of(list(entries))
        except EqualKeys as equal:
            raise ww.CorruptFileError(
                f"{self._label}: two keys of a dict are equal for Python, which keeps one of them: {quoted(str(equal))}"
            ) from None
        return ((name, node) for name, node in zip(names, entries.values(), strict=True) if _holds(node))

    def module(self, node: Any) -> Module | None:
        if not isinstance(node, Call):
            return None
        held = _module_state(node)
        state = node.state if held is None else held
        made = _class_of(node)
        if made is None or not isinstance(state, dict):
            return None
        if is_scripted(made):
            return self._types.told(made, state)
        names = [] if held is None else [key for key, _ in self._held(held.get("_buffers"))]
        convolution = convolution_of(state.get("kernel_size")) if "groups" in state else None
        return told_by([(made.module, made.name)], state.get("groups"), names, convolution)


def _class_of(call: Call) -> Global | None:
    function = call.function
    if isinstance(function, Global) and function.name == "_reconstructor" and call.arguments:
        function = call.arguments[0]
    return function if isinstance(function, Global) else None


def _module_state(call: Call) -> dict[Any, Any] | None:
    """Return what a module holds; that of torch.fx is an argument of the call that makes its code anew."""
    state = call.arguments[0] if call.calls(_GRAPH_MODULE) and call.arguments else call.state
    return state if isinstance(state, dict) and "_parameters" in state and "_modules" in state else None


def _contents(node: Any) -> Sequence[Any]:
    """Return what a set holds."""
    if isinstance(node, Call) and node.arguments and isinstance(node.arguments[0], (list, tuple)):
        return node.arguments[0]
    return node if isinstance(node, (list, tuple)) else ()


def _numbered(elements: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    return ((str(place), node) for place, node in enumerate(elements) if _holds(node))


def _holds(node: Any) -> bool:
    """Whether there can be a tensor in it: most of a large pickle are constants."""
    return isinstance(node, Call) or (isinstance(node, (dict, list, tuple)) and len(node) > 0)
