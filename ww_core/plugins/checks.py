"""The contract of what hooks return: what is wrong with an object, in one sentence."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from ww_core.contracts.command import Command
from ww_core.contracts.core_input import CORE_INPUTS
from ww_core.contracts.device import Device
from ww_core.contracts.estimator import Estimator
from ww_core.contracts.executor import Executor
from ww_core.contracts.extractor import Extractor
from ww_core.contracts.feature_set import PLUS, FeatureSet
from ww_core.contracts.importer import Importer
from ww_core.contracts.loader import Loader
from ww_core.contracts.metric import Quantity, key_fault
from ww_core.contracts.observer import RunObserver
from ww_core.contracts.profile import Profile
from ww_core.contracts.report_writer import ReportWriter
from ww_core.contracts.source import Opener
from ww_core.domain.column import ROW_KEYS, Column, Scope
from ww_core.domain.layer import LayerKind
from ww_core.domain.parameter import Parameter

NAME_LENGTH = 200

SEPARATORS = frozenset(":@,[]")
"""What parts names where people type them: ``plugin:name``, ``model@version``, ``a,b``, ``fft[n=32]``."""

INSTANCES: Mapping[str, type] = {
    "commands": Command,
    "openers": Opener,
    "loaders": Loader,
    "profiles": Profile,
    "executors": Executor,
    "devices": Device,
    "importers": Importer,
    "feature_sets": FeatureSet,
    "estimators": Estimator,
    "report_writers": ReportWriter,
    "observers": RunObserver,
}

ATTRIBUTES: Mapping[str, Mapping[str, type]] = {
    "commands": {},
    "openers": {"description": str, "extra": str, "schemes": tuple},
    "loaders": {"description": str, "extra": str},
    "profiles": {"description": str, "extractor": str, "convolution_extractor": str},
    "executors": {"description": str, "shares_memory": bool, "extra": str},
    "devices": {"description": str, "extra": str},
    "importers": {"description": str, "extra": str},
    "feature_sets": {"version": str, "description": str},
    "estimators": {"version": str, "description": str, "extra": str},
    "report_writers": {"description": str, "extra": str},
}
"""Attributes besides the name, by kind; of all other kinds it is the version."""

WITH_OPTIONS = frozenset(
    {"extractors", "openers", "loaders", "executors", "devices", "importers", "feature_sets", "estimators"}
)
"""Kinds of objects that take options, which are fields of a dataclass."""

KEYED = frozenset({"extractors", "metrics", "profiles"})
"""Kinds of objects whose permanent keys are part of what is stored."""


def fault_of(thing: Any, kind: str) -> str:
    """Say what is wrong with an object of this kind (``"loaders"``, ``"metrics"``); empty if nothing is.

    It is a stranger's object: reading an attribute of it may raise anything.
    """
    if kind in INSTANCES and not isinstance(thing, INSTANCES[kind]):
        return f"{shown(thing)} is no instance of ww_core.{INSTANCES[kind].__name__}"
    if kind == "extractors" and not (inspect.isclass(thing) and issubclass(thing, Extractor)):
        return f"{shown(thing)} is no subclass of ww_core.Extractor"
    if kind == "metrics" and not isinstance(thing, Quantity):
        return f"{shown(thing)} is no metric: decorate it with @ww.metric(version=...)"
    if kind == "observers":  # they have no name: the methods are all there is
        return ""
    if fault := name_fault(getattr(thing, "name", None)):
        return f"{shown(thing)}: {fault}"
    for attribute, wanted in ATTRIBUTES.get(kind, {"version": str}).items():
        value = getattr(thing, attribute, None)
        if not isinstance(value, wanted):
            given = "is missing" if value is None else f"is of type {type(value).__name__}"
            return f"{thing.name!r}: its attribute {attribute!r} {given}; it must be of type {wanted.__name__}"
    if kind in KEYED and (key := thing.key) and (fault := key_fault(key)):
        return f"{thing.name!r}: {fault}"
    if kind == "extractors" and inspect.isabstract(thing):
        return f"extractor {thing.__name__} does not define plan and matrices"
    if kind in WITH_OPTIONS and (fault := _option_fault(kind[:-1], thing)):
        return fault
    if kind == "metrics":
        return _metric_fault(thing)
    if kind == "commands":
        return _command_fault(thing)
    if kind == "executors":
        return _executor_fault(thing)
    if kind == "feature_sets" and PLUS in thing.name:
        return f"{thing.name!r}: its name has a {PLUS!r}, which stands between feature sets"
    return _profile_fault(thing) if kind == "profiles" else ""


def name_fault(name: object) -> str:
    """Say what is wrong with the name of an object or a column; empty if nothing is."""
    if not isinstance(name, str):
        return "it has no name" if name is None else f"its name is of type {type(name).__name__}, and no text"
    if not 1 <= len(name) <= NAME_LENGTH:
        return f"its name has {len(name)} characters, and may have 1 to {NAME_LENGTH}"
    if not name.isprintable() or any(character in SEPARATORS or character.isspace() for character in name):
        return f"its name {name!r} has a blank, a control character or one of {' '.join(sorted(SEPARATORS))}"
    return ""


def shown(thing: object) -> str:
    """Name an object for a message, without a stranger's ``__repr__``."""
    if inspect.isclass(thing) or inspect.isroutine(thing):
        return repr(thing.__name__)
    return f"an object of type {type(thing).__name__!r}"


def _command_fault(command: Command) -> str:
    if command.name.startswith("-"):
        return f"command {command.name!r} would be read as an option: its name begins with '-'"
    return "" if is_typer(command.app) else f"command {command.name!r}: {shown(command.app)} is not a typer.Typer"


def is_typer(app: object) -> bool:
    """Tell whether something is a ``typer.Typer``, without importing typer where nobody else did."""
    return hasattr(app, "registered_commands") and hasattr(app, "registered_groups")


def _executor_fault(executor: Executor) -> str:
    try:
        inspect.signature(executor.create).bind(1)
    except TypeError:
        return f"executor {executor.name!r}: create takes the count of workers and nothing else, as create(self, jobs)"
    except ValueError:  # it does not say what it takes
        return ""
    return ""


def _option_fault(what: str, thing: Any) -> str:
    declared: Any = thing if inspect.isclass(thing) else type(thing)
    if not declared.is_declared():
        return f"{what} {declared.__name__} has annotated parameters but is no dataclass"
    try:
        declared.parameters()
    except TypeError as error:
        return f"{what} {declared.__name__}: {error}"
    return ""


def _metric_fault(quantity: Any) -> str:
    made = (
        isinstance(quantity.scope, Scope)
        and _is_mapping_of(quantity.needs, str, str)
        and _is_list_of(quantity.parameters, Parameter)
        and _is_list_of(quantity.columns, Column)
    )
    if not made:
        return f"metric {quantity.name!r} was not made by @ww.metric or @ww.quantity"
    names = [column.name for column in quantity.columns]
    for name in names:
        if fault := name_fault(name):
            return f"a column of metric {quantity.name!r}: {fault}"
        if name in ROW_KEYS:
            return f"metric {quantity.name!r} takes the name {name!r} for a column: every row of a report has that key"
    taken = {quantity.name, *names} & CORE_INPUTS.keys()
    return f"metric {quantity.name!r} takes the name of the core input {sorted(taken)[0]!r}" if taken else ""


def _profile_fault(profile: Any) -> str:
    texts = {"metrics": profile.metrics if profile.metrics is not None else (), "headline": profile.headline}
    for attribute, value in texts.items():
        if not _is_list_of(value, str):
            return f"profile {profile.name!r}: {attribute} must be a tuple of texts"
    if not _is_mapping_of(profile.parameters, str, object):
        return f"profile {profile.name!r}: parameters must be a mapping of texts to values"
    by_kind = profile.extractors_by_kind
    if not (_is_mapping_of(by_kind, str, str) and all(kind in list(LayerKind) for kind in by_kind)):
        return f"profile {profile.name!r}: extractors_by_kind must be a mapping of ww_core.LayerKind to texts"
    return ""


def _is_list_of(value: object, wanted: type) -> bool:
    return isinstance(value, (tuple, list)) and all(isinstance(each, wanted) for each in value)


def _is_mapping_of(value: object, keys: type, values: type) -> bool:
    return isinstance(value, Mapping) and all(isinstance(k, keys) and isinstance(v, values) for k, v in value.items())
