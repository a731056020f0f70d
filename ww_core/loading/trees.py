"""From what people save to the weights in it: dicts in dicts, checkpoints of training, whole modules.

**Which tensors are the weights.** Where the outermost object is a dict and one of the usual keys (``state_dict``,
``model``, ...; the first in ``USUAL_KEYS``) leads to tensors, they are what lies under it, and so on inside. Where
only one entry leads to tensors, they are what lies under it. Otherwise all tensors are weights, without those of
optimizers, schedulers and the like. What else holds tensors is named in a warning.

**Names** are the keys on the way, joined by dots, from there on; those of a module are the names in its state dict.
"""

from __future__ import annotations

import itertools
import re
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ww_core.errors import CorruptFileError, UsageError
from ww_core.loading.names import LONGEST_NAME, fault_of_name, quoted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from ww_core.contracts.budget import Budget
    from ww_core.loading.state_dict import Module

USUAL_KEYS = (
    "state_dict", "model_state_dict", "model_state", "model", "module", "net", "network", "weights", "params",
    "parameters", "ema", "state_dict_ema", "model_ema", "params_ema",
)  # fmt: skip
"""Keys under which people keep the weights of one model, the first that is there first."""

_TRAINING = re.compile(  # no repetitions: it is searched in keys of any length
    r"(?:^|_)(?:optim|(?:scaler|rng|amp|callbacks|loops|hyper_parameters|hparams|args)(?:_|$))|sched", re.IGNORECASE
)
_OPTIMIZER = frozenset({"state", "param_groups"})
_OPTIMIZER_KEYS = 8  # it has few more than these
_MOST_PLACES = 4
_MOST_WRAPPERS = 8
_LISTED = 5


class Tree(ABC):
    """How one kind of nested objects is looked into. It may contain itself, and things of any kind.

    Attributes:
        budget: What may be taken in looking.
    """

    def __init__(self, budget: Budget) -> None:
        self.budget = budget

    @abstractmethod
    def is_tensor(self, node: Any) -> bool:
        """Whether it is a tensor or an array."""

    @abstractmethod
    def is_dict(self, node: Any) -> bool:
        """Whether it is a dict that may hold the weights among other things; a module is none."""

    @abstractmethod
    def entries(self, node: Any) -> Iterable[tuple[str, Any]]:
        """Return what is in a node by key, in order; nothing for what holds nothing."""

    def look_at(self, things: Collection[Any]) -> None:
        """Count what is gone through, in what strangers made: what many hold takes little room, and no end of time."""
        self.budget.take("visits", len(things))

    def module(self, node: Any) -> Module | None:  # noqa: ARG002 - most trees hold no modules
        """Tell what a node says of itself, if it is a module."""
        return None


@dataclass(slots=True)
class FoundWeights:
    """The weights of a model.

    Attributes:
        tensors: Name and node of each tensor, in order.
        modules: What is known of the modules that hold them, by path.
        beside: Keys of what holds tensors too, and may be weights.
        deeper_than: The levels that were looked into, if something lies deeper; else 0.
    """

    tensors: list[tuple[str, Any]] = field(default_factory=list)
    modules: dict[str, Module] = field(default_factory=dict)
    beside: list[str] = field(default_factory=list)
    deeper_than: int = 0

    def warnings(self, label: str) -> Iterator[str]:
        """Yield what the user should know of the choice."""
        if self.beside:
            more = ", ..." if len(self.beside) > _LISTED else ""
            shown = ", ".join(quoted(key) for key in self.beside[:_LISTED])
            yield f"{label}: tensors under these keys are not among the weights that are read: {shown}{more}"
        if self.deeper_than:
            yield f"{label}: what is nested more than {self.deeper_than} deep is not looked into"


def find_weights(root: Any, tree: Tree, label: str, under: str = "") -> FoundWeights:
    """Choose the weights among all that a tree holds.

    Args:
        root: The outermost object.
        tree: How it is looked into.
        label: The source, for messages.
        under: Key of the dict that holds the weights, where a person chose among several; dots lead further in.

    Raises:
        UsageError: There is no such key, or nothing under it holds a tensor.
        CorruptFileError: A name is not fit to be shown, or two tensors have one.
        SourceError: It takes more than the budget.
    """
    try:
        return _find_weights(_under(root, tree, label, under) if under else root, tree)
    except _Fault as fault:
        raise CorruptFileError(f"{label}: {fault}") from None


def _under(root: Any, tree: Tree, label: str, key: str) -> Any:
    """Return what lies under a key of a tree; keys on the way are joined by dots, and may hold dots themselves."""
    holding = {
        name: node for name, node in tree.entries(root) if not tree.is_tensor(node) and _holds_tensors(node, tree)
    }
    for name in sorted(holding, key=len, reverse=True):
        if name == key:
            return holding[name]
        if key.startswith(f"{name}."):
            return _under(holding[name], tree, label, key.removeprefix(f"{name}."))
    shown = ", ".join(map(quoted, itertools.islice(holding, _LISTED)))
    known = f"they lie under {shown}" if holding else "no tensor lies deeper"
    raise UsageError(f"{label}: no weights are under the key {quoted(key)}: {known}")


def _holds_tensors(node: Any, tree: Tree) -> bool:
    return any(tree.is_tensor(inner) for _, inner in _walk(node, tree, FoundWeights()))


class _Fault(Exception):  # noqa: N818 - a reason, put into a sentence above
    """What is wrong with a tree."""


def _find_weights(root: Any, tree: Tree) -> FoundWeights:
    weights = FoundWeights()
    names: set[str] = set()
    for _ in range(_MOST_WRAPPERS):
        chosen = _wrapped(root, tree, weights.beside) if tree.is_dict(root) else None
        if chosen is None:
            break
        root = chosen
    for path, node in _walk(root, tree, weights):
        if not tree.is_tensor(node):
            module = tree.module(node)
            if module is not None and sum(map(len, path)) <= LONGEST_NAME:
                weights.modules[_joined(path, tree)] = module
        elif not (len(path) > 1 and tree.is_dict(root) and _TRAINING.search(path[0])):
            tree.budget.take("tensors")
            name = _joined(path, tree) if path else "weight"
            if fault := fault_of_name(name):
                raise _Fault(fault)
            if name in names:
                raise _Fault(f"two tensors have the name {quoted(name)}")
            names.add(name)
            weights.tensors.append((name, node))
    return weights


def _joined(path: Sequence[str], tree: Tree) -> str:
    tree.budget.take("names", sum(map(len, path)) + len(path))
    return ".".join(path)


def _wrapped(root: Any, tree: Tree, beside: list[str]) -> Any | None:
    """Return the one entry of a dict that holds the weights, and add the others that hold tensors; None for no such."""
    holding = {path[0]: None for path, node in _walk(root, tree, FoundWeights()) if path and tree.is_tensor(node)}
    entries = {key: node for key, node in tree.entries(root) if key in holding}
    candidates = [key for key, node in entries.items() if tree.is_tensor(node) or not _TRAINING.search(key)]
    usual = [key for key in USUAL_KEYS if key in candidates and not tree.is_tensor(entries[key])]
    if not usual and len(candidates) != 1:
        return None
    chosen = (usual or candidates)[0]
    if tree.is_tensor(entries[chosen]) or not (usual or _is_state_dict(entries[chosen], tree)):
        return None
    beside += [key for key in candidates if key != chosen]
    return entries[chosen]


def _is_state_dict(node: Any, tree: Tree) -> bool:
    """Whether it holds modules or their dotted names, and is not a single module, whose own name would be lost."""
    holds_tensors = False
    for key, inner in tree.entries(node):
        if "." in key:
            return True
        holds_tensors = holds_tensors or tree.is_tensor(inner)
    return not holds_tensors


def _walk(root: Any, tree: Tree, weights: FoundWeights) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield all that is in a tree with its path, parents first.

    A container that is shared is found at each of its places, as long as they are few: lists of lists that share
    theirs have as many places as a stranger likes. One that holds itself is not entered again, nor is an optimizer.
    """
    places: Counter[int] = Counter()
    kept = []  # what an object gives anew each time must not take the place of another in memory
    # Paths are put together where they are needed: a long list may lie at the end of a long one.
    waiting: list[tuple[tuple[str, ...] | None, Iterator[tuple[str, Any]]]] = [(None, iter([("", root)]))]
    above: dict[int, None] = {0: None}
    while waiting:
        outer, entries = waiting[-1]
        following = next(entries, None)
        if following is None:
            waiting.pop()
            above.popitem()
            continue
        key, node = following
        is_tensor = tree.is_tensor(node)
        if not is_tensor and (id(node) in above or places[id(node)] >= _MOST_PLACES):
            continue
        path = () if outer is None else (*outer, key)
        if is_tensor:
            yield path, node
            continue
        if len(path) >= tree.budget.depth:
            weights.deeper_than = tree.budget.depth
            continue
        inner = iter(tree.entries(node))
        first = list(itertools.islice(inner, _OPTIMIZER_KEYS))
        if first and not {name for name, _ in first} >= _OPTIMIZER:
            places[id(node)] += 1
            kept.append(node)
            yield path, node
            waiting.append((path, itertools.chain(first, inner)))
            above[id(node)] = None
