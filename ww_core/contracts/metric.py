"""Quantities and metrics: functions whose positional parameters name what they need."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
import sys
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast

from ww_core.domain.column import Better, Column, Scope
from ww_core.domain.parameter import (
    Parameter,
    namespace_of,
    namespace_of_field,
    parameters_of_function,
    resolved,
)
from ww_core.domain.spectrum import Resolution


def column(
    *,
    better: Better = "none",
    unit: str = "",
    doc: str = "",
    key: str = "",
    standard_error: str = "",
    caveat: str = "",
    doubts: str = "",
) -> Any:
    """Declare a field of a metric's result dataclass as a column; a field may hold NotApplicable or Refused instead.

    Args:
        better: Which direction is better.
        unit: Unit or log base.
        doc: One line on what it is.
        key: The name that the column had first, if it has another one now: its stored values are found by it.
        standard_error: Key of the column beside it that holds its standard error: comparisons weigh a change by it.
        caveat: One sentence that says why models must not be ranked by its plain mean.
        doubts: Of a field of type bool: names of the columns whose numbers are not to be trusted where it holds, as
            ``"alpha,alpha_weighted"``. Tables for people mark these numbers.
    """
    described = {"better": better, "unit": unit, "doc": doc, "key": key}
    described |= {"standard_error": standard_error, "caveat": caveat, "doubts": doubts}
    return dataclasses.field(metadata={"ww": described})


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
        result: The dataclass whose fields are the columns; None if the metric has one column.
        resolution: ``full`` asks for a spectrum that is exact at the small end.
        batched: Whether ``matrix`` is given as (B, rows, cols).
        on_request: Whether a profile that selects everything leaves it out.
        extra: The extra of ww that installs what it needs; empty if nothing is needed.
        key: Permanent key, ``plugin:name``; empty for its qualified name.
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
    extra: str = ""
    result: type | None = None
    key: str = ""

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

    def column(self, name: str) -> Column:
        """Its column of that name."""
        return self._columns_by_name[name]

    @functools.cached_property
    def names_by_key(self) -> Mapping[str, str]:
        """Names of its columns by their permanent keys."""
        return {column.key: column.name for column in self.columns}

    @functools.cached_property
    def _columns_by_name(self) -> Mapping[str, Column]:
        return {column.name: column for column in self.columns}

    @property
    def summary(self) -> str:
        """First line of its docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    @functools.cached_property
    def source_digest(self) -> str:
        """Digest of the source of function and result class; of what can be had where there is no source."""
        import blake3

        parts = [_source(self.function), *([_source(self.result)] if self.result else [])]
        return blake3.blake3(b"\0".join(parts)).hexdigest()


def _source(thing: Callable[..., Any]) -> bytes:
    """The source of a function or class from its parameters on: its name and its decorators are no code."""
    try:
        return _BEGINNING.sub("", inspect.getsource(thing), count=1).encode()
    except Exception:  # noqa: BLE001 - there may be no file, or one that is no longer what was imported
        code = getattr(thing, "__code__", None)
        return code.co_code if code else repr(inspect.get_annotations(thing)).encode()


_BEGINNING = re.compile(r"\A.*?^\s*(?:async\s+)?(?:def|class)\s+\w+", re.DOTALL | re.MULTILINE)


def _by_name(module: str, qualname: str) -> Any:
    return functools.reduce(getattr, qualname.split("."), sys.modules.get(module) or __import__(module, fromlist=["_"]))


Decorated = Callable[..., Any]
Declarer = TypeVar("Declarer", bound=Callable[..., Any])


def _declares(*, stored: bool) -> Callable[[Declarer], Declarer]:
    """Give a signature its meaning: it says which options there are, and a declaration is judged as a whole.

    Python itself would name one wrong option at a time, and ``@metric`` without a version in no helpful sentence.
    """

    def decorate(signature: Declarer) -> Declarer:
        kind = signature.__name__
        defaults = {p.name: p.default for p in inspect.signature(signature).parameters.values()}

        @functools.wraps(signature)
        def declare(function: Decorated | None = None, /, **options: Any) -> Callable[[Decorated], Quantity]:
            if function is not None:
                raise TypeError(f'a {kind} needs a version: write @ww.{kind}(version="1")')
            unknown = sorted(options.keys() - defaults.keys())
            return functools.partial(_declare, stored=stored, options=defaults | options, unknown=unknown)

        return cast("Declarer", declare)

    return decorate


@_declares(stored=True)
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
    extra: str = "",
    key: str = "",
    caveat: str = "",
    doubts: str = "",
) -> Callable[[Decorated], Quantity]:
    """Make a metric of a function whose positional parameters name what it needs.

    The return annotation says the columns: the fields of a dataclass, or one column of type int, bool, text (str) or
    else float. Of a function's annotations only this one and those of keyword-only parameters are resolved. A return
    annotation that cannot be, as of a name that is imported under ``TYPE_CHECKING``, counts as float: import a result
    dataclass for real.

    Args:
        version: A text that changes whenever the number's meaning does.
        name: Its name; default the function's.
        scope: What it speaks of.
        needs: Name needed by parameter, where the parameter's own name is not it.
        better: Which direction is better; fields of a dataclass say it themselves.
        unit: Unit or log base; fields of a dataclass say it themselves.
        resolution: ``full`` for a spectrum that is exact at the small end (such a metric is on request).
        batched: ``matrix`` comes as (B, rows, cols).
        on_request: Left out unless selected by name.
        extra: The extra of ww that installs what it imports, inside the function. Where that is not installed, it is
            refused if selected by name, and else left out.
        key: The first qualified name, ``plugin:name``, of a metric that has moved to another plugin or has another name
            now: stored values and random numbers belong to it.
        caveat: One sentence that says why models must not be ranked by its plain mean; fields of a dataclass say it
            themselves.
        doubts: Of a metric that returns bool: names of the columns whose numbers are not to be trusted where it holds,
            as ``"alpha,alpha_weighted"``. Tables for people mark these numbers. Fields of a dataclass say it
            themselves.

    Returns:
        A decorator; what it returns is still callable on arrays.

    Raises:
        TypeError: The declaration breaks the contract; the message lists every fault.
    """
    raise NotImplementedError


@_declares(stored=False)
def quantity(
    *,
    version: str,
    name: str | None = None,
    scope: Literal["matrix", "layer", "model"] = "matrix",
    needs: Mapping[str, str] | None = None,
    resolution: Resolution = "standard",
    batched: bool = False,
    on_request: bool = False,
    extra: str = "",
    key: str = "",
) -> Callable[[Decorated], Quantity]:
    """Make a quantity: like a metric, computed once and shared, but not stored. Options as for ``metric``."""
    raise NotImplementedError


def _declare(function: Any, *, stored: bool, options: Mapping[str, Any], unknown: list[str]) -> Quantity:
    kind = "metric" if stored else "quantity"
    if not (callable(function) and all(hasattr(function, each) for each in functools.WRAPPER_ASSIGNMENTS)):
        raise TypeError(f"a {kind} is made of a function, not of a {type(function).__name__}")
    name = options["name"] or function.__name__
    faults = [f"unknown option {option!r}" for option in unknown]
    faults += _option_faults(name, options)
    signature = inspect.signature(function)
    needs, need_faults = _needs(signature, options["needs"] or {})
    faults += need_faults
    parameters: tuple[Parameter, ...] = ()
    columns: tuple[Column, ...] = ()
    result: type | None = None
    try:
        parameters = parameters_of_function(function)
        if stored:
            returned = _returned(function, signature)
            result = returned if isinstance(returned, type) and dataclasses.is_dataclass(returned) else None
            columns = tuple(_columns_of(result)) if result else (_column_of(function, returned, name, options),)
            faults += _column_faults(columns, result, options)
    except TypeError as error:
        faults.append(str(error))
    if faults:
        raise TypeError(f"{kind} {name!r}: {'; '.join(faults)}")
    return Quantity(
        name=name,
        function=function,
        version=options["version"],
        scope=Scope(options["scope"]),
        needs=needs,
        parameters=parameters,
        columns=columns,
        resolution=options["resolution"],
        batched=options["batched"],
        on_request=options["on_request"] or options["resolution"] == "full",
        extra=options["extra"],
        result=result,
        key=options["key"],
    )


def _option_faults(name: Any, options: Mapping[str, Any]) -> Iterator[str]:
    if not isinstance(options["version"], str) or not options["version"]:
        yield 'version is missing: give a text such as version="1"'
    if not isinstance(name, str) or not name.replace("-", "_").isidentifier():
        yield f"name {name!r} is not made of letters, digits, '_' and '-'"
    if options["scope"] not in list(Scope):
        yield f"scope {options['scope']!r} is none of {', '.join(Scope)}"
    if options["resolution"] not in typing.get_args(Resolution):
        yield f"resolution={options['resolution']!r} is none of {', '.join(typing.get_args(Resolution))}"
    if options["key"] and (fault := key_fault(options["key"])):
        yield fault
    for switch in ("batched", "on_request"):
        if not isinstance(options[switch], bool):
            yield f"{switch} is True or False, not {options[switch]!r}"
    if not isinstance(options["extra"], str):
        yield f"extra is a text, not {options['extra']!r}"


def key_fault(key: object) -> str:
    """Say what is wrong with a permanent key; empty if nothing is."""
    plugin, _, name = key.rpartition(":") if isinstance(key, str) and key.isprintable() else ("", "", "")
    return "" if plugin and name else f"key {key!r} is not of the form plugin:name"


def _needs(signature: inspect.Signature, renamed: Any) -> tuple[dict[str, str], list[str]]:
    if not isinstance(renamed, Mapping):
        return {}, ["needs is no mapping of parameters to names"]
    needs, faults = {}, []
    for parameter in signature.parameters.values():
        if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}:
            faults.append(f"{parameter} is not allowed: every need and parameter has a name")
        elif parameter.kind is not parameter.KEYWORD_ONLY:
            needs[parameter.name] = renamed.get(parameter.name, parameter.name)
            if parameter.default is not parameter.empty:
                faults.append(f"need {parameter.name!r} has a default: parameters are keyword-only, after a '*'")
    faults += [f"needs names {name!r}, which is no positional parameter" for name in renamed if name not in needs]
    faults += [f"need {key!r} is no text" for key, name in needs.items() if not isinstance(name, str)]
    if not needs:
        faults.append("it needs nothing: name at least one need as a positional parameter")
    return needs, faults


def _returned(function: Decorated, signature: inspect.Signature) -> Any:
    """Return what the function's return annotation means; None if it has none, or none that can be resolved."""
    annotation = signature.return_annotation
    if annotation is inspect.Signature.empty:
        return None
    try:
        return resolved(annotation, namespace_of(function))
    except TypeError:
        return None


def _columns_of(result: type) -> Iterator[Column]:
    for field in dataclasses.fields(result):
        try:
            hint = resolved(field.type, namespace_of_field(result, field.name))
        except TypeError:
            hint = None
        yield Column(field.name, _column_type(hint), **field.metadata.get("ww", {}))


def _column_of(function: Decorated, returned: Any, name: str, options: Mapping[str, Any]) -> Column:
    doc = (inspect.getdoc(function) or "").partition("\n")[0]
    # Renamed, it is found under the name that its key tells.
    key = str(options["key"]).rpartition(":")[2]
    described = {option: options[option] for option in _DESCRIBED}
    return Column(name, _column_type(returned), doc=doc, key=key, **described)


_DESCRIBED = ("better", "unit", "caveat", "doubts")
"""Options of a metric that describe its only column."""


def _column_faults(columns: tuple[Column, ...], result: type | None, options: Mapping[str, Any]) -> Iterator[str]:
    if not columns:
        yield "its result has no fields: it would have no column"
    if result and any(options[option] not in {"none", ""} for option in _DESCRIBED):
        told = f"{', '.join(_DESCRIBED[:-1])} and {_DESCRIBED[-1]}"
        yield f"{told} are said by the fields of {result.__name__}: declare them there with ww.column"
    for column in columns:
        if column.better not in typing.get_args(Better):
            yield f"better={column.better!r} is none of {', '.join(typing.get_args(Better))}"
        texts: tuple[Any, ...] = (column.unit, column.doc, column.key, column.standard_error, column.caveat)
        if not all(isinstance(text, str) for text in (*texts, column.doubts)):
            yield f"unit, doc, key, standard_error, caveat and doubts of column {column.name!r} are texts"
        elif column.doubts and column.type != "bool":
            yield f"column {column.name!r} doubts other columns, and is not of type bool: it must say yes or no"
    keys = [column.key for column in columns]
    for column in columns:
        if column.standard_error and column.standard_error not in set(keys) - {column.key}:
            yield f"standard_error={column.standard_error!r} of column {column.name!r} is the key of no other column"
    yield from (f"two columns have the key {key!r}" for key in dict.fromkeys(keys) if keys.count(key) > 1)


def _column_type(hint: Any) -> Literal["float", "int", "bool", "text"]:
    if hint is int:
        return "int"
    if hint is bool:
        return "bool"
    return "text" if hint is str else "float"
