"""Quantities and metrics: functions whose positional parameters name what they need."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, overload

from ww_core.domain.parameter import Parameter, parameters_of_function
from ww_core.domain.spectrum import Resolution

Better = Literal["lower", "higher", "none"]
"""Which direction of a column is better."""


class Scope(StrEnum):
    """What a quantity speaks of, from narrow to wide."""

    MATRIX = "matrix"
    LAYER = "layer"
    MODEL = "model"

    @property
    def width(self) -> int:
        """Rank in the order matrix, layer, model."""
        return list(Scope).index(self)


CORE_INPUTS: Mapping[str, Scope] = {
    "matrix": Scope.MATRIX,
    "singular_values": Scope.MATRIX,
    "eigenvalues": Scope.MATRIX,
    "noise_floor": Scope.MATRIX,
    "n_rows": Scope.MATRIX,
    "n_cols": Scope.MATRIX,
    "randomized_eigenvalues": Scope.MATRIX,
    "weight": Scope.LAYER,
    "bias": Scope.LAYER,
    "stored_weight": Scope.LAYER,
    "stored_bias": Scope.LAYER,
    "layer": Scope.LAYER,
    "layers": Scope.MODEL,
    "matrices": Scope.MODEL,
}
"""Names the core itself provides, with their scope. ``rng`` exists in every scope."""

ANY_SCOPE_INPUTS = frozenset({"rng"})


@dataclass(frozen=True, slots=True)
class Column:
    """One stored column of a metric.

    Attributes:
        name: Its name; the metric's own if the metric has only one.
        type: ``float``, ``int``, ``bool`` or ``text``.
        better: Which direction is better.
        unit: Unit or log base, as ``"log10"``; empty for none.
        doc: One line on what it is.
    """

    name: str
    type: Literal["float", "int", "bool", "text"] = "float"
    better: Better = "none"
    unit: str = ""
    doc: str = ""


def column(*, better: Better = "none", unit: str = "", doc: str = "") -> Any:
    """Declare a field of a metric's result dataclass as a column."""
    return dataclasses.field(metadata={"ww": {"better": better, "unit": unit, "doc": doc}})


@dataclass(frozen=True, eq=False)
class Quantity:
    """A value computed from named needs, once per subject, shared by all who name it. It stays callable on arrays.

    Attributes:
        name: Its name.
        function: The function itself.
        version: Changes whenever the meaning of the number changes.
        scope: What it speaks of.
        needs: Name needed, by positional parameter.
        parameters: Keyword-only parameters.
        columns: Stored columns; empty for a quantity that is only an intermediate.
        resolution: ``full`` asks for a spectrum that is exact at the small end.
        batched: Whether ``matrix`` is given as (B, rows, cols).
        on_request: Whether a profile that selects everything leaves it out.
    """

    name: str
    function: Callable[..., Any]
    version: str
    scope: Scope
    needs: Mapping[str, str]
    parameters: tuple[Parameter, ...]
    columns: tuple[Column, ...] = ()
    resolution: Resolution = "standard"
    batched: bool = False
    on_request: bool = False

    def __post_init__(self) -> None:
        for attribute in functools.WRAPPER_ASSIGNMENTS:  # functools.update_wrapper cannot write to a frozen object
            object.__setattr__(self, attribute, getattr(self.function, attribute))
        object.__setattr__(self, "__wrapped__", self.function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function itself."""
        return self.function(*args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        # The module's attribute of this name is the quantity, not the function, so pickle goes by name.
        return _by_name, (self.function.__module__, self.function.__qualname__)

    @property
    def is_metric(self) -> bool:
        """Whether it has stored columns."""
        return bool(self.columns)

    @property
    def summary(self) -> str:
        """First line of its docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    def source_digest(self) -> str:
        """Digest of the source text, or of the byte code where there is no source."""
        import blake3

        try:
            content = inspect.getsource(self.function).encode()
        except (OSError, TypeError):
            content = self.function.__code__.co_code
        return blake3.blake3(content).hexdigest()


def _by_name(module: str, qualname: str) -> Any:
    return functools.reduce(getattr, qualname.split("."), sys.modules.get(module) or __import__(module, fromlist=["_"]))


Decorated = Callable[..., Any]


@overload
def metric(function: Decorated, /) -> Quantity: ...
@overload
def metric(
    *,
    version: str,
    name: str | None = None,
    scope: Literal["matrix", "layer", "model"] = "matrix",
    needs: Mapping[str, str] | None = None,
    better: Better = "none",
    unit: str = "",
    resolution: Resolution = "standard",
    batched: bool = False,
    on_request: bool = False,
) -> Callable[[Decorated], Quantity]: ...
def metric(function: Decorated | None = None, /, **options: Any) -> Any:
    """Make a metric of a function whose positional parameters name what it needs.

    Args:
        function: Never given; it is here to refuse ``@metric`` without a version in one sentence.
        **options: ``version`` is required: a text that changes whenever the number's meaning does. ``name``: default
            the function's. ``scope``: ``matrix``, ``layer`` or ``model``. ``needs``: name needed by parameter, where
            the parameter's own name is not it. ``better``: ``lower``, ``higher`` or ``none``. ``unit``: unit or log
            base. ``resolution``: ``full`` for a spectrum that is exact at the small end (such a metric is on request).
            ``batched``: ``matrix`` comes as (B, rows, cols). ``on_request``: left out unless selected by name.

    Returns:
        A decorator; what it returns is still callable on arrays.

    Raises:
        TypeError: The declaration breaks the contract; the message lists every fault.
    """
    if function is not None:
        raise TypeError('a metric needs a version: write @ww.metric(version="1")')
    return functools.partial(_declare, stored=True, options=options)


def quantity(**options: Any) -> Callable[[Decorated], Quantity]:
    """Make a quantity: like a metric, computed once and shared, but not stored. Options as for ``metric``."""
    return functools.partial(_declare, stored=False, options=options)


_OPTIONS = frozenset({"version", "name", "scope", "needs", "better", "unit", "resolution", "batched", "on_request"})


def _declare(function: Decorated, *, stored: bool, options: dict[str, Any]) -> Quantity:
    name = options.get("name") or function.__name__
    faults = [f"unknown option {option!r}" for option in sorted(set(options) - _OPTIONS)]
    if not isinstance(options.get("version"), str) or not options.get("version"):
        faults.append('version is missing: give a text such as version="1"')
    if not isinstance(name, str) or not name.replace("-", "_").isidentifier():
        faults.append(f"name {name!r} is not made of letters, digits, '_' and '-'")
    if options.get("scope", "matrix") not in list(Scope):
        faults.append(f"scope {options.get('scope')!r} is none of {', '.join(Scope)}")
    if options.get("better", "none") not in typing.get_args(Better):
        faults.append(f"better={options.get('better')!r} is none of {', '.join(typing.get_args(Better))}")
    if options.get("resolution", "standard") not in typing.get_args(Resolution):
        faults.append(f"resolution={options.get('resolution')!r} is none of {', '.join(typing.get_args(Resolution))}")
    needs, need_faults = _needs(function, options.get("needs") or {})
    faults += need_faults
    parameters: tuple[Parameter, ...] = ()
    columns: tuple[Column, ...] = ()
    try:
        parameters = parameters_of_function(function)
        columns = _columns(function, name, options) if stored else ()
    except (TypeError, NameError) as error:
        faults.append(str(error))
    if faults:
        kind = "metric" if stored else "quantity"
        raise TypeError(f"{kind} {name!r}: {'; '.join(faults)}")
    resolution = options.get("resolution", "standard")
    return Quantity(
        name=name,
        function=function,
        version=options["version"],
        scope=Scope(options.get("scope", "matrix")),
        needs=needs,
        parameters=parameters,
        columns=columns,
        resolution=resolution,
        batched=options.get("batched", False),
        on_request=options.get("on_request", False) or resolution == "full",
    )


def _needs(function: Decorated, renamed: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    needs, faults = {}, []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}:
            faults.append(f"{parameter} is not allowed: every need and parameter has a name")
        elif parameter.kind is not parameter.KEYWORD_ONLY:
            needs[parameter.name] = renamed.get(parameter.name, parameter.name)
            if parameter.default is not parameter.empty:
                faults.append(f"need {parameter.name!r} has a default: parameters are keyword-only, after a '*'")
    faults += [f"needs names {name!r}, which is no positional parameter" for name in renamed if name not in needs]
    if not needs:
        faults.append("it needs nothing: name at least one need as a positional parameter")
    return needs, faults


def _columns(function: Decorated, name: str, options: Mapping[str, Any]) -> tuple[Column, ...]:
    returned = typing.get_type_hints(function).get("return")
    if isinstance(returned, type) and dataclasses.is_dataclass(returned):
        hints = typing.get_type_hints(returned)
        return tuple(
            Column(field.name, _column_type(hints[field.name]), **field.metadata.get("ww", {}))
            for field in dataclasses.fields(returned)
        )
    doc = (inspect.getdoc(function) or "").partition("\n")[0]
    return (Column(name, _column_type(returned), options.get("better", "none"), options.get("unit", ""), doc),)


def _column_type(hint: Any) -> Literal["float", "int", "bool", "text"]:
    by_hint: dict[Any, Literal["float", "int", "bool", "text"]] = {int: "int", bool: "bool", str: "text"}
    return by_hint.get(hint, "float")
