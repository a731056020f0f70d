"""Tensors that are no row of numbers, taken apart: what a pickle holds of them, without putting it together.

PyTorch's quantized, sparse and nested tensors, those of classes of their own, such as ``DTensor`` and the tensors of
quantizing libraries, and those of devices that are not here, are calls with plain tensors and numbers among their
arguments or in the state beside them. The plain tensors are the parts. What makes the same parts another tensor is
told beside them, each thing with the way to it: names of classes and functions, numbers and texts.

What does not belong to the content is left out: where a tensor was and whether it had a gradient; the keys of storages
and the strides in them; and private attributes of the objects beside the parts, which hold caches, such as hashes that
are others in every process. Tensors are parts wherever they are.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import ww_core as ww
from ww_core.loading.contents import description_of
from ww_core.loading.mapped import StoredTensor
from ww_plugins.loaders.pytorch.pickles import LOADS_A_PICKLE, Call, Extent, Global, Persistent
from ww_plugins.loaders.pytorch.storages import ITEM_SIZES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ww_plugins.loaders.pytorch.archives import Archive

PLAIN = ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor_v3", "torch._utils._rebuild_tensor")
WRAPPERS = ("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state")
TYPED = ("torch._tensor._rebuild_from_type_v2", "torch._tensor._rebuild_from_type")
ARRAYS = ("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct")
BUFFERS = ("numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer")

_QUANTIZED = "torch._utils._rebuild_qtensor"
_OF_A_CLASS = "torch._utils._rebuild_wrapper_subclass"
_OF_A_DEVICE = (
    "torch._utils._rebuild_device_tensor_from_numpy",
    "torch._utils._rebuild_device_tensor_from_cpu_tensor",
)
_SETS = ("builtins.set", "__builtin__.set", "builtins.frozenset", "__builtin__.frozenset")
_APART = frozenset({"requires_grad", "_is_param", "_hash", "device", "_device"})
"""Keys and attributes that say nothing of the content of a tensor."""

_MOST_TOLD = 1 << 18  # characters of one tensor
_OF_A_STEP, _OF_A_PART = 16, 256  # characters that looking at something, or a part, counts as
_LONGEST_NUMBER = 256  # bits

_HOLDERS = (Call, Persistent, dict, list, tuple)
_Path = tuple[str | int, ...]


def taken_apart(
    tensor: Call, archive: Archive, part_of: Callable[[Call], StoredTensor]
) -> tuple[str, tuple[StoredTensor, ...]]:
    """Return the parts of a tensor, and the description of what they make; an empty text and no parts if it has none.

    Args:
        tensor: The call that would have made it, as it stands in the pickle.
        archive: The file.
        part_of: Finds the row of numbers that a plain tensor or an array is.
    """
    walk = _Walk(archive, part_of)
    try:
        found = sorted(walk.through(tensor), key=lambda thing: thing[0])
    except (_Fault, ww.CorruptFileError):
        return "", ()
    parts = tuple(part for _, _, part in found if part is not None)
    if not parts or not all(part.readable for part in parts):
        return "", ()
    # One storage may be many parts.
    if sum(_stored(part) for part in parts) > archive.file.size:
        return "", ()
    return description_of([[way, told] for way, told, _ in found]), parts


def _stored(part: StoredTensor) -> int:
    return sum(map(_stored, part.parts)) if part.parts else part.nbytes


class _Fault(Exception):  # noqa: N818 - a reason, and no more is said of it
    """Why a tensor cannot be taken apart."""


class _Walk:
    """Goes through the calls that would have made a tensor. It may contain itself, and things of any kind."""

    def __init__(self, archive: Archive, part_of: Callable[[Call], StoredTensor]) -> None:
        self._archive = archive
        self._part_of = part_of
        self._left = _MOST_TOLD
        self._waiting: list[tuple[_Path, Any, bool]] = []

    def through(self, tensor: Call) -> Iterator[tuple[str, Any, StoredTensor | None]]:
        """Yield parts and what is told beside them: the way to each, what it is, and the part.

        Raises:
            _Fault: There is more of it than of any tensor.
            CorruptFileError: A part is not as PyTorch would have written it, or leaves its storage.
        """
        self._waiting.append(((), tensor, True))
        while self._waiting:
            path, node, told = self._waiting.pop()
            self._count(_OF_A_STEP)
            if len(path) > self._archive.file.budget.depth:
                raise _Fault
            if (part := self._part(node)) is not None:
                self._count(_OF_A_PART)
                yield self._way(path), ["part", part.dtype, list(part.shape)], part
            elif isinstance(node, Extent):
                if told:
                    file = self._archive.file
                    row = StoredTensor("", "uint8", (node.length,), file, node.offset, content=node.content)
                    yield self._way(path), ["bytes", node.length], row
            elif isinstance(node, Call):
                self._wait_for_call(path, node, told=told)
            elif isinstance(node, dict):
                self._wait_for_entries(path, node, told=told)
            elif isinstance(node, (list, tuple)):
                self._wait_for(path, enumerate(node), told=told)
            elif told and (leaf := _leaf(node)) is not None:
                self._count(len(str(leaf)))
                yield self._way(path), leaf, None

    def _count(self, characters: int) -> None:
        self._left -= characters
        self._archive.to_be_told -= characters
        if min(self._left, self._archive.to_be_told) < 0:
            raise _Fault

    def _way(self, path: _Path) -> str:
        way = description_of(path)
        self._count(len(way))
        return way

    def _part(self, node: Any) -> StoredTensor | None:
        """Return the row of numbers that a node is; None if it is none."""
        file, big_endian = self._archive.file, self._archive.big_endian
        if isinstance(node, Persistent) or (isinstance(node, Call) and node.calls(LOADS_A_PICKLE)):
            storage = self._archive.storage(node)
            count = storage.nbytes // ITEM_SIZES[storage.dtype]
            whole = StoredTensor("", storage.dtype, (count,), file, storage.offset, big_endian=big_endian)
            return replace(whole, checksums=storage.checksums)
        if not isinstance(node, Call):
            return None
        if node.calls(*TYPED) and _made(node).calls(*PLAIN):
            node = _made(node)
        return self._part_of(node) if node.calls(*PLAIN, *ARRAYS, *BUFFERS) else None

    def _wait_for(self, path: _Path, things: Iterable[tuple[str | int, Any]], *, told: bool) -> None:
        for way, thing in things:
            if told or isinstance(thing, _HOLDERS):
                self._count(_OF_A_STEP)
                self._waiting.append(((*path, way), thing, told))
            else:
                self._count(1)

    def _wait_for_entries(self, path: _Path, entries: dict[Any, Any], *, told: bool) -> None:
        kept = ((_key(key), thing) for key, thing in entries.items() if key not in _APART)
        self._wait_for(path, kept, told=told)

    def _wait_for_call(self, path: _Path, call: Call, *, told: bool) -> None:
        arguments = call.arguments
        if call.calls("torch.device"):
            return
        if call.calls(*WRAPPERS, *_SETS):
            self._waiting.append((path, arguments[0] if arguments else None, told))
            return
        if call.calls(*TYPED):
            self._waiting.append((path, _made(call), told))
            self._wait_for(path, [("type", arguments[1] if len(arguments) > 1 else None)], told=told)
            self._wait_for_state(path, arguments[3] if len(arguments) > 3 else None, told=told, private=told)
            return
        if call.calls(_QUANTIZED):
            row = Call(Global("torch._utils", "_rebuild_tensor_v2"), arguments[:4])
            arguments = (row, *arguments[4:5])
        elif call.calls(_OF_A_CLASS):
            arguments = (*arguments[1:3], *arguments[5:6])  # without class, strides, offset, device and gradient
        elif call.calls(*_OF_A_DEVICE):
            arguments = arguments[:2]
        self._wait_for((*path, "()"), enumerate((call.function, *arguments)), told=told)
        self._wait_for_state(path, call.state, told=told, private=False)
        self._wait_for_entries((*path, "{}"), call.items or {}, told=told)
        self._wait_for((*path, "[]"), enumerate(call.elements or ()), told=told)

    def _wait_for_state(self, path: _Path, state: Any, *, told: bool, private: bool) -> None:
        """Go through the attributes that a tensor or an object is given; `private`: what is told of private ones."""
        states = _states(state)
        for own in states:
            for key, thing in own.items():
                is_private = isinstance(key, str) and key.startswith("_")
                self._wait_for_entries(path, {key: thing}, told=private if is_private else told)
        if not states:
            self._wait_for(path, [("state", state)], told=told)


def _made(typed: Call) -> Call:
    """The call within one that gives its result a class."""
    function, arguments = (typed.arguments[0], typed.arguments[2]) if len(typed.arguments) > 2 else (None, ())
    return Call(function, arguments if isinstance(arguments, tuple) else ())


def _states(state: Any) -> list[dict[Any, Any]]:
    """The attributes that an object is to be given: one of slots has them beside the others."""
    states = state if isinstance(state, tuple) and len(state) == 2 else (state,)
    found = [own for own in states if isinstance(own, dict)]
    return found if all(own is None or isinstance(own, dict) for own in states) else []


def _key(key: Any) -> str | int:
    if not isinstance(key, (str, int)) or (isinstance(key, str) and len(key) > _MOST_TOLD):
        raise _Fault
    return key


def _leaf(node: Any) -> list[Any] | None:
    """What is told of a constant; None if nothing."""
    match node:
        case bool():
            return ["bool", node]
        case int():
            if node.bit_length() > _LONGEST_NUMBER:
                raise _Fault
            return ["int", int(node)]
        case float():
            return ["float", node.hex()]
        case str():
            if len(node) > _MOST_TOLD:
                raise _Fault
            return ["text", node]
        case Global():
            return ["name", node.name]
    return None
