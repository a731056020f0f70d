"""Declared parameters of metrics and extractors: typed, with defaults, part of the identity."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import sys
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Union

from ww_core.errors import UsageError


@dataclass(frozen=True, slots=True)
class Parameter:
    """One keyword-only parameter.

    Attributes:
        name: Its name.
        type: One of bool, int, float, str.
        default: Its default.
        choices: The values a ``Literal`` allows; empty for any.
        optional: Whether None is a value.
    """

    name: str
    type: type
    default: Any
    choices: tuple[Any, ...] = ()
    optional: bool = False

    @property
    def type_name(self) -> str:
        """The type as people read it: ``float``, ``lower|two-sided``, ``int or none``."""
        base = "|".join(map(str, self.choices)) if self.choices else self.type.__name__
        return f"{base} or none" if self.optional else base

    def parse(self, text: str) -> Any:
        """Read a value typed by a person.

        Raises:
            UsageError: The text is no value of this parameter.
        """
        if self.optional and text.casefold() == "none":
            return None
        readers: dict[type, Callable[[str], Any]] = {bool: _read_bool, int: int, float: float, str: str}
        try:
            return self.check(readers[self.type](text if self.type is str else text.strip()))
        except ValueError:
            raise UsageError(f"parameter {self.name} takes {self.type_name}, not {text!r}") from None

    def check(self, value: Any) -> Any:
        """Return ``value``, a scalar of NumPy as a plain value, if the parameter may have it.

        Raises:
            UsageError: It may not.
        """
        if value is None and self.optional:
            return None
        if getattr(value, "shape", None) == () and hasattr(value, "item"):  # NumPy's, without importing it
            value = value.item()
        if self.type is float and isinstance(value, int) and not isinstance(value, bool):
            try:
                value = float(value)
            except OverflowError:
                raise UsageError(f"parameter {self.name} takes {self.type_name}, not a number of that size") from None
        fits = isinstance(value, self.type) and not (self.type is int and isinstance(value, bool))
        if (
            not fits
            or (self.choices and value not in self.choices)
            or (self.type is float and not math.isfinite(value))
        ):
            raise UsageError(f"parameter {self.name} takes {self.type_name}, not {value!r}")
        return value


def parameters_of_function(function: Callable[..., Any]) -> tuple[Parameter, ...]:
    """Return the keyword-only parameters of ``function``. Annotations of the others are not looked at.

    Raises:
        TypeError: One has no default, no annotation, or a type that cannot be part of an identity.
    """
    namespace = namespace_of(function)
    found = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is not parameter.KEYWORD_ONLY:
            continue
        if parameter.default is parameter.empty or parameter.annotation is parameter.empty:
            raise TypeError(f"parameter {parameter.name!r} must have a type and a default")
        found.append(_declared(parameter.name, parameter.annotation, namespace, parameter.default))
    return tuple(found)


@functools.cache
def parameters_of_fields(cls: type) -> tuple[Parameter, ...]:
    """Return the dataclass fields of ``cls`` as parameters; none if it is no dataclass.

    Raises:
        TypeError: As for functions.
    """
    if not dataclasses.is_dataclass(cls):
        return ()
    for field in dataclasses.fields(cls):
        if field.default is dataclasses.MISSING:
            raise TypeError(f"parameter {field.name!r} must have a default")
    return tuple(
        _declared(field.name, field.type, namespace_of_field(cls, field.name), field.default)
        for field in dataclasses.fields(cls)
    )


def namespace_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the names that the annotations of ``function`` may use: those of its module."""
    return getattr(inspect.unwrap(function), "__globals__", {})


def namespace_of_field(cls: type, name: str) -> dict[str, Any]:
    """Return the names that the annotation of a dataclass field may use: those of the class that declares it."""
    owner = next((base for base in cls.__mro__ if name in inspect.get_annotations(base)), cls)
    module = sys.modules.get(owner.__module__)
    return {**(vars(module) if module else {}), **vars(owner)}


def resolved(annotation: Any, namespace: dict[str, Any]) -> Any:
    """Return what an annotation, which may be a text, means among these names.

    Raises:
        TypeError: It means nothing there, such as a name that is imported for type checkers only.
    """
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    try:
        return typing.get_type_hints(holder, namespace)["it"]
    except Exception as error:  # noqa: BLE001 - an annotation is an expression, which may raise anything
        raise TypeError(f"type {annotation!r} cannot be resolved: {error}") from None


def _declared(name: str, annotation: Any, namespace: dict[str, Any], default: Any) -> Parameter:
    try:
        hint = resolved(annotation, namespace)
    except TypeError as error:
        raise TypeError(f"parameter {name!r}: {error}") from None
    optional = False
    if typing.get_origin(hint) in {Union, types.UnionType}:
        rest = [option for option in typing.get_args(hint) if option is not type(None)]
        optional = len(rest) < len(typing.get_args(hint))
        hint = rest[0] if len(rest) == 1 else hint
    choices = typing.get_args(hint) if typing.get_origin(hint) is Literal else ()
    kind = type(choices[0]) if choices else hint
    if kind not in {bool, int, float, str} or any(type(choice) is not kind for choice in choices):
        raise TypeError(f"parameter {name!r} has type {hint!r}; it must be bool, int, float, str or a Literal of them")
    parameter = Parameter(name, kind, default, choices, optional)
    try:
        return dataclasses.replace(parameter, default=parameter.check(default))
    except UsageError as error:
        raise TypeError(f"the default does not fit: {error}") from None


def _read_bool(text: str) -> bool:
    if text.casefold() in {"true", "yes", "on", "1"}:
        return True
    if text.casefold() in {"false", "no", "off", "0"}:
        return False
    raise ValueError(text)
