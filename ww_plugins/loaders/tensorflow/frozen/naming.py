"""Names of layers: those that a checkpoint of the same model has, so far as names of nodes tell them.

A variable that was made a constant has its name (``fc/kernel``), or that of the node that read it, which stands in the
scope of its layer: ``model/fc/MatMul/ReadVariableOp/resource``.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from ww_core.loading.channels_last import DEPTHWISE, POINTWISE, SCALES, is_table
from ww_plugins.loaders.tensorflow.kinds import KERNELS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_VARIABLES = KERNELS | DEPTHWISE | POINTWISE | SCALES | {"recurrent_kernel"}
_READ = re.compile(r"(?P<scope>.+?)(/(?P<read>ReadVariableOp(_[0-9]+)?)(/resource)?|/[0-9]+)", re.DOTALL)
_WITHIN = re.compile(
    r"(.+)/((convolution|conv1d|Conv1D|conv_transpose|conv1d_transpose|depthwise)(_[0-9]+)?/ExpandDims(_[0-9]+)?"
    r"|batchnorm(_[0-9]+)?/\w+|einsum(_[0-9]+)?/Einsum)",
    re.DOTALL,
)
"""Scopes of a layer in which an operation opens one of its own."""

_NUMBERED = re.compile(r"(.+)(_[0-9]+)", re.DOTALL)


class _Named(NamedTuple):
    """A constant: the layer that its name tells, and what the name says besides."""

    layer: str
    rest: str
    was_read: bool


def layer_names(constants: Sequence[str]) -> Mapping[str, str]:
    """Return the layers that weights are of, by the names of their constants: each its own.

    Where a layer has several weights, what tells them apart follows its name.
    """
    found = {name: _named(name) for name in constants}
    read = [named.layer for named in found.values() if named.was_read]
    shorter = dict(zip(read, _shortened(read), strict=True))
    found = {
        name: named._replace(layer=shorter[named.layer]) if named.was_read else named for name, named in found.items()
    }
    counts = Counter(named.layer for named in found.values())
    return {
        name: named.layer if counts[named.layer] == 1 else f"{named.layer}/{named.rest}" if named.rest else name
        for name, named in found.items()
    }


def _named(name: str) -> _Named:
    read = _READ.fullmatch(name)
    if read is not None:
        scope = read["scope"]
        if read["read"] is None:
            return _Named(scope, "", was_read=True)
        within = _WITHIN.fullmatch(scope)
        layer, rest = within.group(1, 2) if within else scope.rpartition("/")[::2]
        suffix = "" if read["read"] == "ReadVariableOp" else f"/{read['read']}"
        return _Named(layer or scope, f"{rest}{suffix}" if layer else "", was_read=True)
    path, _, last = name.rpartition("/")
    if path and (last in _VARIABLES or is_table(path.rpartition("/")[2], last)):
        return _Named(path, last, was_read=False)
    return _Named(name, "", was_read=False)


def _shortened(layers: Sequence[str]) -> list[str]:
    """Return layers without a number that all scopes have, and without the scope of the model around them."""
    parts = [layer.split("/") for layer in layers]
    numbers = {found[2] if (found := _NUMBERED.fullmatch(part)) else "" for own in parts for part in own}
    if len(numbers) == 1 and (number := next(iter(numbers))):
        parts = [[part.removesuffix(number) for part in own] for own in parts]
    if all(len(own) > 1 and own[0] == parts[0][0] for own in parts):
        parts = [own[1:] for own in parts]
    return ["/".join(own) for own in parts]
