"""Write a new plugin package from a template: the code, its tests, and what installs it."""

from __future__ import annotations

import builtins
import importlib.util
import io
import keyword
import re
import sys
import tokenize
from importlib import resources
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

from ww_core.errors import OutputError, UsageError
from ww_core.plugins.discovery import load_plugins
from ww_core.store.new_files import new_folder, place_of

if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from importlib.resources.abc import Traversable
    from pathlib import Path

    from ww_core.use_cases.plugin_kinds import PluginKind

LONGEST_NAME = 40
"""Letters of a name: lines that hold it stay within 120."""

_NAME = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")

_FILES_OF_TOOLS = frozenset({"conftest", "setup", "tests"})
"""Modules at the top of a package that pip or pytest would take for their own."""

_PREFIX = "ww-"
"""How names of packages with plugins begin by custom; the names of what they register do not."""


class NewPlugin(NamedTuple):
    """A package that was written.

    Attributes:
        folder: Where it is.
        files: Its files, as paths in the folder, sorted.
        registers: Name of the metric, the loader or whatever it registers.
    """

    folder: Path
    files: tuple[str, ...]
    registers: str


def new_plugin(
    name: str,
    kind: PluginKind,
    folder: str | os.PathLike[str] | None = None,
    *,
    own_commands: Collection[str] = (),
) -> NewPlugin:
    """Write a package with one plugin: all of it, or nothing.

    Args:
        name: Name of the distribution, as ``ww-gini``: its module is ``ww_gini``, and registers ``gini``.
        kind: What it registers.
        folder: Where it is written; None for a folder of its name, here.
        own_commands: Names of ww's own commands, which no plugin takes over.

    Raises:
        UsageError: The name cannot be used, or there is something in the folder already.
        OutputError: The folder cannot be written.
    """
    registers = name.removeprefix(_PREFIX)
    if not _NAME.fullmatch(registers) or len(registers) < 2 or len(name) > LONGEST_NAME:
        raise UsageError(
            f"{name!r} is no name for a plugin package: give small letters and digits, a letter first, with single '-' "
            f"between them, at least 2 after ww- and at most {LONGEST_NAME} in all, as ww-gini"
        )
    target = place_of(name if folder is None else folder)
    names = _names(name, registers, kind)
    template = dict(_texts(_templates() / "package")) | dict(_texts(_templates() / kind.replace("-", "_")))
    files = {_renamed(path, names): _renamed(text, names) for path, text in template.items()}
    fault = _fault_of_words(names, [text for path, text in template.items() if path.endswith(".py")])
    if fault := fault or _fault_beside_others(registers, files[f"{names['plugin_name']}.py"], own_commands):
        raise UsageError(f"{name} cannot be used: {fault}: choose another NAME")
    try:
        with new_folder(target) as room:
            for path, text in files.items():
                file = room / path
                file.parent.mkdir(exist_ok=True)
                file.write_text(text, encoding="utf-8")
    except FileExistsError:
        raise UsageError(f"{target} exists already, and is not an empty folder: give another one by --out") from None
    except OSError as error:
        raise OutputError(f"{target} cannot be written: {error.strerror or error}") from error
    return NewPlugin(target, tuple(sorted(files)), registers)


def _templates() -> Traversable:
    return resources.files("ww_core") / "templates"


def _texts(folder: Traversable, before: str = "") -> Iterator[tuple[str, str]]:
    """Yield the files of a folder and of those in it: path and text."""
    for entry in folder.iterdir():
        if entry.is_file():
            yield f"{before}{entry.name}", entry.read_text(encoding="utf-8")
        elif entry.name != "__pycache__":
            yield from _texts(entry, f"{before}{entry.name}/")


def _names(name: str, registers: str, kind: PluginKind) -> dict[str, str]:
    """Return what stands for each name of a template."""
    snake = registers.replace("-", "_")
    return {
        "plugin-name": name,
        "plugin_name": name.replace("-", "_"),
        "object-name": registers,
        "object_name": snake,
        "OBJECT_NAME": snake.upper(),
        "ObjectName": "".join(part.capitalize() for part in registers.split("-")),
        "kind-name": kind.words,
    }


def _renamed(text: str, names: Mapping[str, str]) -> str:
    return re.sub("|".join(names), lambda found: names[found[0]], text)


def _fault_of_words(names: Mapping[str, str], codes: Iterable[str]) -> str:
    """Say what a name means already: to Python, to what is installed, or in the code of the template."""
    module = names["plugin_name"]
    own = {module, names["object_name"], names["ObjectName"]}
    if words := sorted(own & {*keyword.kwlist, *dir(builtins)}):
        return f"{words[0]!r} is a word of Python"
    if module in _FILES_OF_TOOLS:
        return f"{module}.py means something else to pip or pytest"
    if module in sys.stdlib_module_names:
        return f"module {module} is Python's own"
    if (spec := importlib.util.find_spec(module)) and spec.origin:
        return f"a module {module} is installed already"
    tokens = (token for code in codes for token in tokenize.generate_tokens(io.StringIO(code).readline))
    words = sorted(own & {token.string for token in tokens if token.type == tokenize.NAME})
    return f"its code uses the word {words[0]!r} itself" if words else ""


def _fault_beside_others(registers: str, code: str, own_commands: Collection[str]) -> str:
    """Say whether another plugin has the name, or ww gives it to nobody: the new plugin is loaded beside all others."""
    module = ModuleType(f"ww_new_{registers}")
    sys.modules[module.__name__] = module  # where dataclasses look for the names in their annotations
    try:
        exec(compile(code, f"<{registers}>", "exec"), vars(module))  # noqa: S102 - it is a template of ours
        registry = load_plugins(objects=[module], own_commands=own_commands)
    finally:
        del sys.modules[module.__name__]
    *others, tried = registry.plugins
    for other in others:
        if other.name == registers:
            return f"{other.distribution} has a plugin {registers}"
    if tried.problems:
        problem = tried.problems[0]
        # How to reach what clashes stands behind the clash itself.
        return problem.message.partition(": ")[0] if problem.stage == "clash" else problem.message
    schemes = [(scheme, owned.plugin) for owned in registry.openers for scheme in owned.object.schemes]
    if (registers, tried.name) in schemes and sum(scheme == registers for scheme, _ in schemes) > 1:
        return f"another opener opens {registers}://"
    return ""
