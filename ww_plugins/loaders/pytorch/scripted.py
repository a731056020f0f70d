"""TorchScript: what the types in an archive say of the tensors of their objects. Their code is read as text, not run.

A type has the name of the class that it was made from, behind ``__torch__``, and where several types were made from one
class, with a number. The names of buffers, and a constant of the class such as the groups of a convolution, stand in
its code. What the class does not tell, calls in the code do: which tensor is the kernel of a convolution in how many
groups, the scale of a norm, a table. A type calls with tensors of its own, and with those of modules under it.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import ww_core as ww
from ww_core.loading.names import listing
from ww_core.loading.state_dict import Module, fits, is_kernel
from ww_plugins.loaders.pytorch.calls import NUMBERED, Use
from ww_plugins.loaders.pytorch.code import CodeReader, Uses
from ww_plugins.loaders.pytorch.modules import convolution_of, told_by
from ww_plugins.loaders.pytorch.storages import FLOATING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from ww_core.contracts.budget import Budget
    from ww_core.loading.mapped import StoredTensor
    from ww_plugins.loaders.pytorch.pickles import Global

_HOME = "__torch__."

_CLASS = re.compile(r"^class (\w+)\(Module\):$", re.MULTILINE)
_CONSTANT = re.compile(r"^  groups : Final\[int\] = ([0-9]{1,9})$", re.MULTILINE)
_KERNEL = re.compile(r"^  kernel_size : Final\[Tuple\[((?:int(?:, )?){1,3})\]\] = ", re.MULTILINE)
_BUFFERS = re.compile(r"^  __buffers__ = \[([^\]\n]*)\]$", re.MULTILINE)
_QUOTED = re.compile(r'"(\w+)"')
_MAKES_A_WEIGHT = re.compile(r"((?:.*\.)?)(?:weight_(?:g|v|orig)|parametrizations\.weight\.original[01]?)", re.DOTALL)
_NO_USES = Uses()


class _Type(NamedTuple):
    """What a type says.

    Attributes:
        module: What its class says; the groups are 0 where only a call can tell them.
        uses: What its code does with tensors.
    """

    module: Module
    uses: Uses


class _Scripted(Module):
    """What is known of a module of TorchScript before its tensors are looked at."""

    uses: Uses
    attributes: Mapping[Any, Any]


def is_scripted(made: Global) -> bool:
    """Tell whether a type is TorchScript's; those of a script that was run lie in the outermost module."""
    return f"{made.module}.".startswith(_HOME)


class ScriptedTypes:
    """The types of an archive.

    Args:
        code_of: Gives the code of a module by its name; empty if there is none.
    """

    def __init__(self, code_of: Callable[[str], str]) -> None:
        self._bodies = functools.cache(lambda module: _bodies(code_of(module)))
        self._reader = CodeReader()
        self._types: dict[tuple[str, str], _Type] = {}

    def told(self, made: Global, attributes: Mapping[Any, Any]) -> Module:
        """Return what a type says of the tensors of its objects: `settled` makes it final.

        Args:
            made: The type.
            attributes: What the object holds, numbers among it.
        """
        told = self._type(made.module, made.name)
        module = _Scripted(*told.module)
        module.uses, module.attributes = told.uses, attributes
        return module

    def uses(self, named: Iterable[str]) -> Iterator[Uses]:
        """Yield what the code of types does with tensors, given names with those of their modules."""
        for name in named:
            if name.startswith(_HOME):
                module, _, own = name.rpartition(".")
                if own in self._bodies(module):
                    yield self._type(module, own).uses

    def _type(self, module: str, name: str) -> _Type:
        if (module, name) not in self._types:
            home = NUMBERED.sub("", module.removeprefix(_HOME))
            body = self._bodies(module).get(name, "")
            constant, sizes = _CONSTANT.search(body), _KERNEL.search(body)
            convolution = convolution_of(sizes[1].split(",")) if sizes else None
            told = told_by([(home, name)], int(constant[1]) if constant else 0, _buffers(body), convolution)
            self._types[module, name] = _Type(told, self._reader.uses(body) if body else _NO_USES)
        return self._types[module, name]


def _bodies(code: str) -> dict[str, str]:
    """Return the bodies of the classes in a module, by name."""
    _, *parts = _CLASS.split(code)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def _buffers(body: str) -> list[str]:
    listed = _BUFFERS.search(body)
    return _QUOTED.findall(listed[1]) if listed else []


def settled(
    modules: Mapping[str, Module], tensors: Sequence[StoredTensor], budget: Budget
) -> tuple[dict[str, Module], list[str]]:
    """Put together what classes and calls say of tensors; what only guesses are left for is a warning.

    Args:
        modules: What `ScriptedTypes.told` said of each module, by path.
        tensors: The tensors that they hold.
        budget: What may be taken in looking.

    Returns:
        What is known of the modules, and the warnings.
    """
    called = _called(modules, {tensor.name: tensor for tensor in tensors}, budget)
    known: dict[str, dict[str, tuple[ww.LayerKind, int]]] = {}
    untold: dict[str, None] = {}
    alone: dict[str, None] = {}
    for tensor in tensors:
        path, last = _weight_of(tensor.name)
        module = modules.get(path)
        if not isinstance(module, _Scripted) or last in module.buffers or tensor.fault or tensor.dtype not in FLOATING:
            continue
        name = f"{path}.{last}" if path else last
        use = next(iter(called.get(name, ())), _only_convolution(module) if last == "weight" else None)
        if module.kind is not None and last == "weight":
            kind, groups = module.kind, module.groups
            if kind.is_convolution and not groups:
                groups = _groups(use) if use is not None and use.kind.is_convolution else 0
        elif use is not None:
            kind, groups = use.kind, _groups(use)
        else:
            untold |= {name: None} if is_kernel(name, tensor.shape) else {}
            continue
        known.setdefault(path, {})[last] = kind, groups or 1
        alone |= {name: None} if kind.is_convolution and not groups else {}
    several = [name for name, used in called.items() if len({use.groups for use in used}) > 1]
    final = {path: Module(own.kind, own.groups or 1, own.buffers, known.get(path, {})) for path, own in modules.items()}
    return final, [*_sentences(list(untold), list(alone)), *several_groups(several)]


def _weight_of(name: str) -> tuple[str, str]:
    """Return the path of a module and the name of its tensor; of what makes a weight, that of the weight."""
    made = _MAKES_A_WEIGHT.fullmatch(name)
    path, _, last = name.rpartition(".")
    return (made[1].removesuffix("."), "weight") if made else (path, last)


def _only_convolution(module: _Scripted) -> Use | None:
    """Return the one convolution whose kernel a type computes, or is given: it has no other than its weight."""
    uses = {_of_object(use, module.attributes) for use in module.uses.computed}
    return uses.pop() if len(uses) == 1 else None


def _called(modules: Mapping[str, Module], tensors: Mapping[str, StoredTensor], budget: Budget) -> dict[str, list[Use]]:
    """Return what calls use tensors for, as far as it fits them: in the module's own code, then in that around it."""
    found: dict[str, list[Use]] = {}
    for path in sorted(modules, key=len, reverse=True):
        module = modules[path]
        if not isinstance(module, _Scripted):
            continue
        budget.take("visits", sum(map(len, module.uses.weights.values())))
        for own, uses in module.uses.weights.items():
            name = f"{path}.{own}" if path else own
            if name in tensors and not name.endswith("in_proj_weight"):  # whose name tells more than its call
                shape = tensors[name].shape
                told = (_of_object(use, module.attributes) for use in uses)
                found.setdefault(name, []).extend(use for use in told if fits(use.kind, _groups(use) or 1, shape))
    return found


def _of_object(use: Use, attributes: Mapping[Any, Any]) -> Use:
    """Look the groups up where an object holds them as a number."""
    if not isinstance(use.groups, str):
        return use
    held = attributes.get(use.groups)
    return use._replace(groups=held if type(held) is int and held > 0 else 0)


def _groups(use: Use | None) -> int:
    return use.groups if use is not None and isinstance(use.groups, int) else 0


def several_groups(names: Iterable[str]) -> Iterator[str]:
    """Yield a sentence on kernels that calls use in different groups."""
    if shown := listing(list(names)):
        yield f"calls use {shown} with different numbers of groups, of which the first is taken"


def _sentences(untold: Sequence[str], alone: Sequence[str]) -> Iterator[str]:
    if untold:
        are, taken = ("is", "it is taken for the kernel of a convolution")
        if len(untold) > 1:
            are, taken = ("are", "they are taken for kernels of convolutions")
        yield (
            f"nothing tells what {listing(untold)} {are}, neither a class nor a call: {taken}, "
            "and groups are 1 unless --groups says more"
        )
    if alone:
        yield f"nothing tells the groups of {listing(alone)}: they are 1 unless --groups says more"
