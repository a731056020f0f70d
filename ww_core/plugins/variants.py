"""Names with options, as people write them: ``fft[n=32]``, ``pytorch[entry=ema]``, ``cuda:1``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from ww_core.errors import MissingExtraError, PluginError, UnknownNameError, UsageError, WWError
from ww_core.plugins.isolation import all_but_interrupts, sentence_of, text_of

if TYPE_CHECKING:
    from ww_core.contracts.device import Device
    from ww_core.contracts.executor import Executor
    from ww_core.contracts.variant import Variant
    from ww_core.domain.parameter import Parameter
    from ww_core.plugins.registry import Names, Owned, Registry

    V = TypeVar("V", bound=Variant)


def configured(names: Names[V], spec: str) -> Owned[V]:
    """Return the object that a name means, with the options that stand behind the name.

    Raises:
        UsageError: The name or an option is unknown.
        PluginError: The object refuses a value.
    """
    name, texts = read_spec(names.what, spec)
    owned = names.find(name)
    if not texts:
        return owned
    declared = {parameter.name: parameter for parameter in owned.object.parameters()}
    given = {option: value_of(name, option, text, declared) for option, text in texts.items()}
    try:
        thing = replace(owned.object, **given)  # type: ignore[type-var] # whatever has options is a dataclass
    except (UsageError, MissingExtraError):
        raise
    except all_but_interrupts() as error:  # the class is a plugin's: it may refuse a value in any way
        sentence = sentence_of(error, owned.object)
        raise PluginError(f"{names.what} {spec!r} ({owned.qualified}) cannot be made: {sentence}") from error
    return replace(owned, object=thing)


def spec_of(owned: Owned[V]) -> str:
    """Return the text by which another process finds the same object with the same options."""
    return f"{owned.plugin}:{owned.object.label}"


def find_device(registry: Registry, spec: str) -> Owned[Device]:
    """Return the device of a name with options; ``cuda:1``, as torch writes it, is ``cuda[index=1]``.

    Raises:
        UsageError: The name or an option is unknown.
    """
    numbered = re.fullmatch(r"([^\[\]]+):([0-9]{1,4})", spec)
    name = numbered[1] if numbered else read_spec("device", spec)[0]
    try:
        registry.devices.find(name)
    except UnknownNameError as error:
        there = ", ".join(f"{own.name} ({text_of(own.object.description).rstrip('.')})" for own in registry.devices)
        error.args = ("; ".join((f"unknown device {name!r}: give one of {there}", *registry.devices.blocked)),)
        raise
    return configured(registry.devices, f"{numbered[1]}[index={numbered[2]}]" if numbered else spec)


def ready_device(registry: Registry, spec: str) -> Owned[Device]:
    """Return a device that was tried, as ``find_device`` finds it.

    Raises:
        UsageError: The name or an option is unknown, or the device is not there.
        MissingExtraError: What it needs is not installed.
        PluginError: The device failed when it was tried.
    """
    owned = find_device(registry, spec)
    _try("device", owned)
    return owned


def ready_executor(registry: Registry, spec: str) -> Owned[Executor]:
    """Return an executor that was tried.

    Raises:
        UsageError: The name or an option is unknown, or the executor cannot work here.
        MissingExtraError: What it needs is not installed.
        PluginError: The executor failed when it was tried.
    """
    owned = configured(registry.executors, spec)
    _try("executor", owned)
    return owned


def _try(what: str, owned: Owned[Device] | Owned[Executor]) -> None:
    """Let a device or an executor say that it cannot be had.

    Raises:
        WWError: It cannot.
    """
    try:
        owned.object.check()
    except WWError:
        raise
    except all_but_interrupts() as error:
        sentence = sentence_of(error, owned.object)
        raise PluginError(f"{what} {owned.qualified} failed when it was tried: {sentence}") from error


def read_spec(what: str, spec: str) -> tuple[str, dict[str, str]]:
    """Split ``fft[n=32,m=2]`` into its name and its options.

    A value with a comma, a bracket, a quote or a blank at its end stands in quotes; a quote in it is written twice.

    Raises:
        UsageError: It is not of this form, or names an option twice.
    """
    match = _SPEC.fullmatch(spec)
    if not match:
        raise UsageError(f"{what} {spec!r} is not of the form NAME or NAME[PARAMETER=VALUE,...]")
    values: dict[str, str] = {}
    for part in filter(None, _PART.findall(match[2] or "")):
        key, equals, value = part.partition("=")
        if not equals:
            raise UsageError(f"{what} {spec!r}: {part!r} is not of the form PARAMETER=VALUE")
        if key.strip() in values:
            raise UsageError(f"{what} {spec!r} names {key.strip()!r} twice")
        text = value.strip()
        values[key.strip()] = text[1:-1].replace('""', '"') if text.startswith('"') else text
    return match[1], values


_PART = re.compile(r'(?:"(?:[^"]|"")*"|[^,"\[\]])+')
_SPEC = re.compile(rf"\s*([^\[\]]+?)\s*(?:\[((?:{_PART.pattern})?(?:,(?:{_PART.pattern})?)*)\])?\s*")


def value_of(owner: str, name: str, value: Any, declared: Mapping[str, Parameter]) -> Any:
    """Return the value of a parameter, read from a text or given as it is.

    Raises:
        UsageError: There is no such parameter, or it cannot have this value.
    """
    if name not in declared:
        if not declared:
            raise UsageError(f"{owner!r} has no parameters")
        raise UnknownNameError(f"parameter of {owner}", name, declared)
    parameter = declared[name]
    # A text is a value as typed, except where the parameter itself is a text.
    return parameter.parse(value) if isinstance(value, str) else parameter.check(value)
