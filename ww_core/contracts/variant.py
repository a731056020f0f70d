"""What a plugin gives under a name, with options."""

from __future__ import annotations

from abc import ABC
from typing import TYPE_CHECKING, Any, ClassVar

from ww_core.domain.parameter import Parameter, parameters_of_fields

if TYPE_CHECKING:
    from collections.abc import Mapping


class Variant(ABC):
    """A frozen dataclass whose fields are its options, each with a type and a default.

    People write it as its name with the options that differ from their defaults: ``fft[n=32]``.
    """

    name: ClassVar[str]

    @classmethod
    def parameters(cls) -> tuple[Parameter, ...]:
        """The declared options."""
        return parameters_of_fields(cls)

    @property
    def values(self) -> Mapping[str, Any]:
        """The options' values of this variant."""
        return {parameter.name: getattr(self, parameter.name) for parameter in self.parameters()}

    @property
    def label(self) -> str:
        """The name, with the options that differ from their defaults: ``fft[n=32]``."""
        return variant_label(self.name, self.values, {p.name: p.default for p in self.parameters()})

    @classmethod
    def is_declared(cls) -> bool:
        """Whether the class is a dataclass, as its options must be fields."""
        fields = [own for own in vars(cls).get("__annotations__", {}).values() if "ClassVar" not in str(own)]
        return "__dataclass_fields__" in vars(cls) or not fields


def variant_label(name: str, values: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """Return ``name[option=value,...]`` with the values that differ from ``defaults``, sorted by option."""
    changed = [f"{key}={_typed(values[key])}" for key in sorted(values) if values[key] != defaults.get(key)]
    return f"{name}[{','.join(changed)}]" if changed else name


def _typed(value: Any) -> str:
    """A value as it is typed: a text with a comma, a bracket, a quote or a blank at its end stands in quotes."""
    text = str(value)
    if text.strip() == text and not any(mark in text for mark in ',[]"'):
        return text
    doubled = text.replace('"', '""')
    return f'"{doubled}"'
