"""Layers chosen by globs."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from typing import Protocol, TypeVar

from ww_core.domain.text import escaped
from ww_core.errors import UnknownNameError


class HasName(Protocol):
    """Anything with a name: a layer, or something said of a layer."""

    @property
    def name(self) -> str:
        """Name of the layer."""
        ...


Named = TypeVar("Named", bound=HasName)


def choose_layers(layers: Sequence[Named], globs: Sequence[str]) -> list[Named]:
    r"""Return the layers whose names match any of the globs, in their order; all of them for no globs.

    A name that looks like a glob, such as ``conv[1]``, matches itself. Letter case counts. A name with characters that
    cannot be printed matches as it is and as it is shown, with ``\x1b`` for such a character.

    Args:
        layers: Objects with a ``name``: layers, or rows of a report.
        globs: Patterns as of the shell: ``*``, ``?``, ``[abc]``.

    Raises:
        UnknownNameError: A glob matches nothing.
    """
    if not globs:
        return list(layers)
    names = [layer.name for layer in layers]
    for glob in globs:
        if not any(matches(name, glob) for name in names):
            raise UnknownNameError("layer", glob, names, "ww describe")
    return [layer for layer in layers if any(matches(layer.name, glob) for glob in globs)]


def matches(name: str, glob: str) -> bool:
    """Whether a glob matches the name of a layer, or the name as it is shown."""
    # A name with brackets means itself.
    return any(told == glob or fnmatch.fnmatchcase(told, glob) for told in {name, escaped(name)})
