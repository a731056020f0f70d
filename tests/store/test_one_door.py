"""The store has one door: what goes through it speaks of models, layers and values, not of rows."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re

import pytest

import ww_core
import ww_plugins
from ww_core.store import records
from ww_core.store.reader import Reader
from ww_core.store.store import Store
from ww_core.store.writer import Writer

OF_THE_DATABASE = re.compile(r"\b(Connection|Engine|Row|Select|Table|ColumnElement|Keys|text\()\b")
OTHER_TABLES = ("ww_plugins.loaders.tflite.", "ww_core.command.table.")  # of flatbuffers, and on a terminal
ROW_KEY = re.compile(r"(_ids?|^connection)$")


def modules():
    for package in (ww_core, ww_plugins):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.startswith(("ww_core.store", "ww_core.spectral")):
                yield importlib.import_module(found.name)


def callables(owner, name):
    """Yield the public functions of a module or a class, and those of its public classes, by name."""
    for key, member in sorted(vars(owner).items()):
        function = inspect.unwrap(member.fget if isinstance(member, property) else getattr(member, "__func__", member))
        if key.startswith("_") and key not in {"__init__", "__call__"}:
            continue
        if inspect.isfunction(function) and function.__module__ in {getattr(owner, "__module__", None), name}:
            yield f"{name}.{key}", function
        elif inspect.isclass(member) and member.__module__ == name and inspect.ismodule(owner):
            yield from callables(member, f"{name}.{key}")


def faults(name, function):
    for parameter, annotation in function.__annotations__.items():
        if OF_THE_DATABASE.search(str(annotation)):
            yield f"{name}: {parameter} is {annotation}"
        if ROW_KEY.search(parameter):
            yield f"{name}: {parameter} is a key of a row"


def test_no_signature_outside_the_store_knows_of_its_rows():
    found = [(name, function) for module in modules() for name, function in callables(module, module.__name__)]
    found = [(name, function) for name, function in found if not name.startswith(OTHER_TABLES)]
    assert len(found) > 500
    assert "ww_core.planning.tasks.plan_tasks" in dict(found)
    assert [fault for name, function in found for fault in faults(name, function)] == []


@pytest.mark.parametrize("door", [Store, Reader, Writer], ids=lambda door: door.__name__)
def test_the_door_speaks_of_models_and_values(door):
    own = [(name, function) for name, function in callables(door, door.__name__) if not name.endswith("__init__")]
    assert len(own) > 8
    assert [fault for name, function in own for fault in faults(name, function)] == []
    assert [name for name, function in own if not function.__doc__] == []


def test_what_goes_through_the_door_holds_no_key():
    kinds = [kind for _, kind in inspect.getmembers(records, inspect.isclass) if kind.__module__ == records.__name__]
    assert len(kinds) > 15
    for kind in kinds:
        for field, annotation in kind.__annotations__.items():
            assert not ROW_KEY.search(field), f"{kind.__name__}.{field}"
            assert not OF_THE_DATABASE.search(str(annotation)), f"{kind.__name__}.{field}"
