"""What ``ww --help`` says of a plugin's command, and the source of a plugin, read without an import."""

from __future__ import annotations

import ast
import importlib.util
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from importlib.metadata import EntryPoint


def summary_of(point: EntryPoint) -> str:
    """Return the first line of the docstring of the module that an entry point names; empty if there is none.

    The module's source is parsed, and neither it nor a package around it is imported: ``ww --help`` stays quick, and no
    plugin can break it.
    """
    try:
        docstring = ast.get_docstring(ast.parse(source_of(point)))
    except Exception:  # noqa: BLE001 - a stranger's file and finder may be broken in any way
        return ""
    return (docstring or "").partition("\n")[0].strip()


def source_of(point: EntryPoint) -> str:
    """Return the source of the module that an entry point names, of which nothing is run; empty if there is none.

    What a stranger's file and finder raise is passed on.
    """
    spec = _spec_of(point.module)
    source = spec.loader.get_source(point.module) if spec and spec.loader else None  # type: ignore[attr-defined]
    return source or ""


def _spec_of(module: str) -> ModuleSpec | None:
    top, *below = module.split(".")
    spec = importlib.util.find_spec(top)
    name = top
    for part in below:
        if spec is None:
            return None
        name = f"{name}.{part}"
        spec = PathFinder.find_spec(name, spec.submodule_search_locations)
    return spec
