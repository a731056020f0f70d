"""TorchScript: what the types in an archive say of the weights of their objects. Their code is read as text, not run.

A type has the name of the class that it was made from, behind ``__torch__``, and where several types were made from one
class, with a number. The names of buffers, and a constant of the class such as the groups of a convolution, stand in
its code; where a module was traced, the call that it became has the groups.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

from ww_plugins.loaders.pytorch.modules import convolution_of, told_by

if TYPE_CHECKING:
    from collections.abc import Callable

    from ww_core.loading.state_dict import Module
    from ww_plugins.loaders.pytorch.pickles import Global

SCRIPTED = "__torch__."
"""How the modules of its types begin."""

_NUMBERED = re.compile(r"\.___torch_mangle_[0-9]+")
_CLASS = re.compile(r"^class (\w+)\(Module\):$", re.MULTILINE)
_CONSTANT = re.compile(r"^  groups : Final\[int\] = ([0-9]{1,9})$", re.MULTILINE)
_KERNEL = re.compile(r"^  kernel_size : Final\[Tuple\[((?:int(?:, )?){1,3})\]\] = ", re.MULTILINE)
_BUFFERS = re.compile(r"^  __buffers__ = \[([^\]\n]*)\]$", re.MULTILINE)
_QUOTED = re.compile(r'"(\w+)"')
_LIST = r"\[[0-9, ]{0,64}\]"
_TRACED = re.compile(
    rf"torch\._convolution\((?:\w+, ){{3}}(?:{_LIST}, ){{3}}(?:True|False), {_LIST}, ([0-9]{{1,9}})[,)]"
)


class ScriptedTypes:
    """The types of an archive.

    Args:
        code_of: Gives the code of a module by its name; empty if there is none.
    """

    def __init__(self, code_of: Callable[[str], str]) -> None:
        self._bodies = functools.cache(lambda module: _bodies(code_of(module)))

    def told(self, made: Global) -> Module:
        """Return what a type says of the tensors of its objects."""
        home = _NUMBERED.sub("", made.module.removeprefix(SCRIPTED))
        body = self._bodies(made.module).get(made.name, "")
        sizes = _KERNEL.search(body)
        convolution = convolution_of(sizes[1].split(",")) if sizes else None
        return told_by([(home, made.name)], _groups(body), _buffers(body), convolution)


def _bodies(code: str) -> dict[str, str]:
    """Return the bodies of the classes in a module, by name."""
    _, *parts = _CLASS.split(code)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def _buffers(body: str) -> list[str]:
    listed = _BUFFERS.search(body)
    return _QUOTED.findall(listed[1]) if listed else []


def _groups(body: str) -> int:
    """Return the groups of a convolution, as the body of its class tells them; 1 if it does not."""
    constant = _CONSTANT.search(body)
    told = {constant[1]} if constant else set(_TRACED.findall(body))
    return int(told.pop()) if len(told) == 1 else 1
