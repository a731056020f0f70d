"""From the plain data that a report was written as to the report, with nothing taken on trust."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import NoReturn, TypeVar

from ww_core.domain.control import CONTROLS, ControlInfo, ControlledNetwork
from ww_core.domain.outcome import Outcome, State
from ww_core.domain.report import (
    PLACES,
    Aggregate,
    AnalysisReport,
    Coverage,
    Failure,
    LayerRow,
    MatrixRow,
    ReportColumn,
    RowScope,
    RunInfo,
    Skip,
)
from ww_core.domain.text import printable
from ww_core.errors import CorruptFileError

T = TypeVar("T")

TYPES = ("float", "int", "bool", "text")
DIRECTIONS = ("lower", "higher", "none")
LARGEST_INTEGER = 2**63 - 1


def report_from(content: object) -> AnalysisReport:
    """Return the report of which `AnalysisReport.to_dict` made this content.

    Raises:
        CorruptFileError: It is no such content; the message names the field.
    """
    whole = _Field("", content)
    columns = tuple(whole.at("columns").each(_column))
    names = [column.name for column in columns]
    whole.at("columns").each_once(f"the column {printable(name)!r}" for name in names)
    scopes: Iterable[RowScope] = PLACES
    types = {scope: {column.name: column.type for column in columns if column.scope == scope} for scope in scopes}
    model_metrics = _outcomes(whole.at("model_metrics"), whole.at("model_states"), types["model"])
    layers = tuple(whole.at("layers").each(lambda field: _matrix_row(field, types["matrix"])))
    whole.at("layers").each_once(
        f"matrix {own.index} of {printable(own.extractor)} of {printable(own.name)!r}"
        f" ({printable(own.extractor_identity)})"
        for own in layers
    )
    layer_metrics = tuple(whole.at("layer_metrics").each(lambda field: _layer_row(field, types["layer"])))
    whole.at("layer_metrics").each_once(f"the layer {printable(own.name)!r}" for own in layer_metrics)
    averaged = {column.name for column in columns if column.type in {"float", "int"}}
    return AnalysisReport(
        source=whole.at("source").text(),
        store=whole.at("store").text(),
        model=whole.at("model").text(),
        version=whole.at("version").text(),
        digest=whole.at("digest").text(),
        provisional=whole.at("provisional").boolean(),
        run=_run(whole.at("run")),
        coverage=_coverage(whole.at("coverage")),
        chosen_layers=tuple(whole.at("chosen_layers").each(_Field.text)),
        columns=columns,
        headline=tuple(whole.at("headline").each(lambda field: field.one_of(names))),
        layers=layers,
        layer_metrics=layer_metrics,
        model_metrics=model_metrics,
        summary={
            field.key_in(averaged, "column of numbers"): _aggregate(field) for field in whole.at("summary").members()
        },
        failures=tuple(whole.at("failures").each(_failure)),
        warnings=tuple(whole.at("warnings").each(_Field.text)),
    )


class _Field:
    """A piece of plain data, and how one comes to it, as ``layers[3].metrics.alpha``."""

    def __init__(self, path: str, value: object, key: str = "") -> None:
        self._path = path
        self._key = key
        self.value = value

    def refuse(self, sentence: str) -> NoReturn:
        """Say what is wrong with it.

        Raises:
            CorruptFileError: Always.
        """
        raise CorruptFileError(f"{printable(self._path) or 'the whole of it'}: {sentence}")

    def at(self, key: str) -> _Field:
        """Return the member of an object under a key."""
        members = self._object()
        if key not in members:
            self.refuse(f"the field {key!r} is missing: write it anew with `ww show MODEL --json`")
        return self._member(key, members[key])

    def has(self, key: str) -> bool:
        """Tell whether an object has something under a key that older programs do not write."""
        return self._object().get(key) is not None

    def members(self) -> list[_Field]:
        """Return all members of an object."""
        return [self._member(key, value) for key, value in self._object().items()]

    def each(self, read: Callable[[_Field], T]) -> Iterable[T]:
        """Read every entry of a list."""
        if not isinstance(self.value, list):
            self.refuse(f"a list is expected, not {_kind(self.value)}")
        return [read(_Field(f"{self._path}[{at}]", value)) for at, value in enumerate(self.value)]

    def each_once(self, entries: Iterable[str]) -> None:
        """Check that a list tells of nothing twice, so that no entry hides another."""
        for entry, count in Counter(entries).items():
            if count > 1:
                self.refuse(f"{entry} is there {count} times")

    def text(self) -> str:
        """Return a text."""
        if not isinstance(self.value, str):
            self.refuse(f"a text is expected, not {_kind(self.value)}")
        return self.value

    def boolean(self) -> bool:
        """Return true or false."""
        if not isinstance(self.value, bool):
            self.refuse(f"true or false is expected, not {_kind(self.value)}")
        return self.value

    def count(self, least: int = 0) -> int:
        """Return a whole number."""
        value = self.value
        if type(value) is not int or not least <= value <= LARGEST_INTEGER:
            self.refuse(f"a whole number from {least} on is expected, not {_kind(value)}")
        return value

    def integer(self) -> int:
        """Return a whole number, which may be negative, and as large as it likes."""
        if type(self.value) is not int:
            self.refuse(f"a whole number is expected, not {_kind(self.value)}")
        return self.value

    def number(self) -> float:
        """Return a finite number, a whole one as it is."""
        value = self.value
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.refuse(f"a number is expected, not {_kind(value)}")
        if isinstance(value, int):
            if abs(value) > LARGEST_INTEGER:
                self.refuse("the number is too large")
        elif not math.isfinite(value):
            self.refuse("the number is not finite")
        return value

    def number_or_none(self) -> float | None:
        """Return a finite number, or nothing for null."""
        return None if self.value is None else float(self.number())

    def one_of(self, known: Iterable[str]) -> str:
        """Return a text that is one of those that are known."""
        text = self.text()
        names = list(known)
        if text not in names:
            self.refuse(f"{printable(text)!r} is none of {', '.join(names[:12])}")
        return text

    def key_in(self, known: Iterable[str], what: str) -> str:
        """Return the key of a member, which must be known."""
        if self._key not in known:
            self.refuse(f"`columns` has no {what} of this name")
        return self._key

    def _object(self) -> Mapping[str, object]:
        if not isinstance(self.value, dict):
            self.refuse(f"an object is expected, not {_kind(self.value)}")
        return self.value

    def _member(self, key: str, value: object) -> _Field:
        return _Field(f"{self._path}.{key}" if self._path else key, value, key)


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return "a text"
        case int() | float():
            return "this number"
        case list():
            return "a list"
        case dict():
            return "an object"
    return type(value).__name__


def _run(field: _Field) -> RunInfo:
    return RunInfo(
        id=field.at("id").count(),
        profile=field.at("profile").text(),
        state=field.at("state").text(),
        computed=field.at("computed").count(),
        reused=field.at("reused").count(),
        seconds=field.at("seconds").number(),
        control=_control(field.at("control")) if field.has("control") else None,
    )


def _control(field: _Field) -> ControlInfo:
    return ControlInfo(
        kind=field.at("kind").one_of(CONTROLS),
        seed=field.at("seed").integer(),
        of=tuple(
            field.at("of").each(
                lambda own: ControlledNetwork(own.at("digest").text(), own.at("model").text(), own.at("version").text())
            )
        ),
    )


def _coverage(field: _Field) -> Coverage:
    layers = field.at("layers")
    return Coverage(
        parameters=field.at("parameters").count(),
        parameters_analyzed=field.at("parameters_analyzed").count(),
        analyzed=layers.at("analyzed").count(),
        refused=field.at("refused").count(),
        statistics_only=layers.at("statistics_only").count(),
        skipped=layers.at("skipped").count(),
        failed=layers.at("failed").count(),
        unread=layers.at("unread").count(),
        reasons=tuple(field.at("skipped").each(lambda own: Skip(own.at("name").text(), own.at("reason").text()))),
    )


def _column(field: _Field) -> ReportColumn:
    told = [own.name for own in dataclasses.fields(ReportColumn) if own.name != "doubts" or field.has("doubts")]
    column = ReportColumn(**{name: field.at(name).text() for name in told})
    field.at("scope").one_of(PLACES)
    field.at("type").one_of(TYPES)
    field.at("better").one_of(DIRECTIONS)
    return column


def _matrix_row(field: _Field, types: Mapping[str, str]) -> MatrixRow:
    return MatrixRow(
        name=field.at("name").text(),
        kind=field.at("kind").text(),
        shape=tuple(field.at("shape").each(_Field.count)),
        groups=field.at("groups").count(1),
        split=field.at("split").text(),
        extractor=field.at("extractor").text(),
        extractor_identity=field.at("extractor_identity").text(),
        index=field.at("index").count(),
        N=field.at("N").count(1),
        M=field.at("M").count(1),
        metrics=_outcomes(field.at("metrics"), field.at("states"), types),
        is_primary=field.at("is_primary").boolean(),
    )


def _layer_row(field: _Field, types: Mapping[str, str]) -> LayerRow:
    return LayerRow(
        name=field.at("name").text(),
        kind=field.at("kind").text(),
        shape=tuple(field.at("shape").each(_Field.count)),
        groups=field.at("groups").count(1),
        metrics=_outcomes(field.at("metrics"), field.at("states"), types),
    )


def _outcomes(metrics: _Field, states: _Field, types: Mapping[str, str]) -> dict[str, Outcome]:
    told = {field.key_in(types, "column of this scope"): field for field in states.members()}
    found = {}
    for field in metrics.members():
        label = field.key_in(types, "column of this scope")
        if field.value is None:
            if label not in told:
                field.refuse("it is null, and no state says why")
            found[label] = _no_value(told.pop(label))
        else:
            found[label] = _value(field, types[label])
    for field in told.values():
        field.refuse("a state is told of what has a value, or is not there")
    return found


def _value(field: _Field, column_type: str) -> Outcome:
    if column_type == "text":
        return Outcome(State.OK, text=field.text())
    if column_type == "bool":
        return Outcome(State.OK, number=field.boolean())
    return Outcome(State.OK, number=field.number())


def _no_value(field: _Field) -> Outcome:
    name, _, reason = field.text().partition(": ")
    if name not in set(State) - {State.OK}:
        field.refuse(f"{printable(name)!r} is no state of a value")
    return Outcome(State(name), reason=reason)


def _aggregate(field: _Field) -> Aggregate:
    return Aggregate(
        mean=field.at("mean").number_or_none(),
        median=field.at("median").number_or_none(),
        min=field.at("min").number_or_none(),
        max=field.at("max").number_or_none(),
        count=field.at("count").count(),
        missing=field.at("missing").count(),
    )


def _failure(field: _Field) -> Failure:
    return Failure(**{own.name: field.at(own.name).text() for own in dataclasses.fields(Failure)})
