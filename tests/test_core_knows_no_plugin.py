"""The core calls no built-in metric, extractor, loader, profile or executor by its name: a plugin's name is its own."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import ww_core
from ww_core.plugins.discovery import load_plugins

ROOT = Path(ww_core.__file__).parent
MODULES = [path for path in sorted(ROOT.rglob("*.py")) if not path.is_relative_to(ROOT / "templates")]  # of plugins

EXCEPTIONS = {
    "matrix": ("", "the core's own word: a scope, a kind of subject, a core input; an extractor is called so too"),
    "default": ("", "the profile of who names none"),
    "cpu": ("", "the device of who names none: the only one that comes with the core itself"),
    "torch": ("loading", "the module of tensors that are handed over: it is looked for, and never imported"),
    "threads": ("", "the executor of who names none, and of what cannot leave this process"),
    "warning": ("command", "the word that a message begins with: a column of the peer is called so too"),
    "D": ("spectral", "LAPACK's letter for complex128"),
    "pytorch": ("", "the layout of who names none, in files and in zoos: a loader is called so too"),
    "keras": ("", "a layout, in files and in zoos: a loader is called so too"),
}
"""Names that may stand in the core: below which folder, and why."""


def names_of_builtin_plugins():
    registry = load_plugins(environ={"WW_ONLY_PLUGINS": ""})
    kinds = (
        registry.openers,
        registry.loaders,
        registry.extractors,
        registry.quantities,
        registry.profiles,
        registry.executors,
        registry.devices,
    )
    objects = [owned for kind in kinds for owned in kind]
    columns = [column.name for owned in registry.quantities for column in owned.object.columns]
    return {*columns, *(owned.name for owned in objects), *(owned.key for owned in objects)}


def strings_of(path):
    """The string constants of a module, without its docstrings, with their lines."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.lineno, node.value


@pytest.fixture(scope="module")
def named():
    """Each place in the core where a string is the name of something built in: file, line, name."""
    names = names_of_builtin_plugins()
    assert {"alpha", "stable_rank", "pool", "fft", "safetensors", "weightwatcher", "processes"} <= names
    return [
        (path.relative_to(ROOT).as_posix(), line, text)
        for path in MODULES
        for line, text in strings_of(path)
        if text in names
    ]


def may_stand(file, text):
    return text in EXCEPTIONS and file.startswith(EXCEPTIONS[text][0])


def test_no_string_of_the_core_is_the_name_of_a_builtin(named):
    assert [f"{file}:{line}: {text!r}" for file, line, text in named if not may_stand(file, text)] == []


def test_every_exception_is_needed(named):
    assert {text for file, _, text in named if may_stand(file, text)} == EXCEPTIONS.keys()


def test_the_core_names_no_module_of_the_plugins():
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in MODULES
        for line, text in strings_of(path)
        if "ww_plugins" in text
    ]
    assert found == []
