"""Evaluating quantities on one subject: each once, on demand, with every outcome accounted for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, cast

from ww_core.domain.outcome import Outcome, State
from ww_core.domain.read_only import read_only
from ww_core.domain.report import Failure
from ww_core.errors import NotApplicable, NoValue, Refused
from ww_core.plugins.isolation import all_but_interrupts, kind_of, reason_of, sentence_of

if TYPE_CHECKING:
    from ww_core.contracts.core_input import CoreInput
    from ww_core.contracts.metric import Quantity
    from ww_core.domain.column import Column
    from ww_core.plugins.links import Need
    from ww_core.plugins.resolver import Node

_OK = State.OK

Inputs = Callable[["CoreInput", "Node"], Any]
"""Gives a core input to a node; raises NoValue where there is none."""


class Lost(Exception):  # noqa: N818 - not an error of its own: its cause is in the failures already
    """A value is missing because of an exception that was recorded where it happened, or for want of the weights."""


class Evaluator:
    """Computes quantities for one subject. NumPy's messages are the caller's to silence, once for many subjects.

    Args:
        nodes: All nodes of the selection.
        inputs: Gives the core inputs of this scope.
        known: Outcomes that are stored already, by qualified name and column; they stand, also where a metric is
            computed for the sake of its other columns.
        subject: How the subject is named in failures.
        failures: Where exceptions are recorded.
        elsewhere: Gives what is needed of another scope.
    """

    def __init__(
        self,
        nodes: Mapping[str, Node],
        inputs: Inputs,
        known: Mapping[str, Mapping[str, Outcome]],
        subject: str,
        failures: list[Failure],
        elsewhere: Callable[[Need], Any],
    ) -> None:
        self._nodes = nodes
        self._inputs = inputs
        self._known = known
        self._outcomes: dict[str, Mapping[str, Outcome] | Lost] = {}
        self._elsewhere = elsewhere
        self._subject = subject
        self._failures = failures
        self._results: dict[str, Any] = {}
        self._missing: dict[str, NoValue | Lost] = {}

    def evaluate(self, missing: Iterable[str]) -> dict[str, Mapping[str, Outcome]]:
        """Return what is new of metrics, each by its columns, without those that an exception cost."""
        found: dict[str, Mapping[str, Outcome]] = {}
        for qualified in missing:
            try:
                outcomes = self.outcomes(qualified)
            except Lost:
                continue
            known = self._known.get(qualified)
            found[qualified] = {name: own for name, own in outcomes.items() if name not in known} if known else outcomes
        return found

    def outcomes(self, qualified: str) -> Mapping[str, Outcome]:
        """Return the outcome of every column of a metric; computed if it is not known.

        Raises:
            Lost: An exception cost it.
        """
        found = self._outcomes.get(qualified)
        if found is None:
            quantity, known = self._nodes[qualified].quantity, self._known.get(qualified)
            if known and is_complete(quantity, known):
                found = known
            else:
                try:
                    found = self._split(qualified, quantity, self._result(qualified))
                except NoValue as missing:
                    found = {column.name: _outcome_of(missing) for column in quantity.columns}
                except Lost as lost:  # also where there is a result, which is no value of a column
                    self._outcomes[qualified] = Lost(str(lost))
                    raise
                if known:
                    found = {**found, **known}
            self._outcomes[qualified] = found
        elif isinstance(found, Lost):
            raise fresh(found)
        return found

    def value(self, need: Need) -> Any:
        """Return what a need of this scope gets.

        Raises:
            NoValue: There is none.
            Lost: An exception cost it.
        """
        if not need.column:
            return self._result(need.quantity)
        outcome = self._known[need.quantity].get(need.column) if need.quantity in self._known else None
        if outcome is None:
            outcome = self.outcomes(need.quantity)[need.column]
        return value_of(outcome, self._nodes[need.quantity].quantity.column(need.column))

    def _result(self, qualified: str) -> Any:
        """Return what the function returned, calling it once.

        Raises:
            NoValue: It has no value, or something it needs has none.
            Lost: An exception cost it.
        """
        if qualified in self._results:
            return self._results[qualified]
        if qualified in self._missing:
            raise fresh(self._missing[qualified])
        node = self._nodes[qualified]
        try:
            result = self._call(node, [self._need(node, need) for need in node.needs])
        except (NoValue, Lost) as missing:
            self._missing[qualified] = fresh(missing)
            raise
        result = self._results[qualified] = result if node.quantity.is_metric else _shared(result)
        return result

    def _call(self, node: Node, arguments: Sequence[Any]) -> Any:
        try:
            # In a context of its own: what it sets there, such as NumPy's handling of errors, is set for nobody else.
            return copy_context().run(node.quantity.function, *arguments, **node.parameters)
        except NoValue:
            raise
        except all_but_interrupts() as error:
            raise self._lost(node.qualified, sentence_of(error, node.quantity.function)) from error

    def _need(self, node: Node, need: Need) -> Any:
        if need.core is not None:
            try:
                return self._inputs(need.core, node)
            except (NoValue, Lost):
                raise
            except all_but_interrupts() as error:
                raise self._lost(need.core.name, sentence_of(error)) from error
        return self._elsewhere(need) if need.is_elsewhere else self.value(need)

    def _split(self, qualified: str, quantity: Quantity, result: Any) -> dict[str, Outcome]:
        columns = quantity.columns
        try:
            if type(result) is float and len(columns) == 1 and columns[0].type == "float" and math.isfinite(result):
                return {columns[0].name: Outcome(_OK, result)}  # most are such
            if hasattr(type(result), "__dataclass_fields__"):
                return {column.name: _typed(column, getattr(result, column.name, None)) for column in columns}
            if len(columns) == 1:
                return {columns[0].name: _typed(columns[0], result)}
        except all_but_interrupts() as error:  # a value of an untrusted class may raise where it is to become a number
            raise self._lost(qualified, sentence_of(error, quantity.function)) from error
        raise self._lost(qualified, f"it declares several columns and returned {kind_of(result)}")

    def _lost(self, qualified: str, message: str) -> Lost:
        plugin, _, name = qualified.rpartition(":")
        sentence = f"{name}: {message}"
        self._failures.append(Failure("metric" if plugin else "input", plugin or "ww", self._subject, sentence))
        return Lost(sentence)


def nowhere(need: Need) -> Any:
    """Stand for what a layer's evaluator is given of other scopes."""
    raise AssertionError(f"linking lets no layer metric see {need.quantity}")


def _shared(result: Any) -> Any:
    """Return what all who need a quantity get: they cannot write to an array of numbers."""
    import numpy as np

    return read_only(result) if type(result) is np.ndarray and result.dtype.kind in "biufc" else result


def is_complete(quantity: Quantity, known: Mapping[str, Outcome]) -> bool:
    """Whether an outcome of every column of a metric is known."""
    return len(known) >= len(quantity.columns) and all(column.name in known for column in quantity.columns)


def fresh(missing: NoValue | Lost) -> NoValue | Lost:
    """Return the same exception without its traceback, whose frames would keep the tensors of a layer alive."""
    if isinstance(missing, NotApplicable):
        return NotApplicable(reason_of(missing))
    return Refused(reason_of(missing)) if isinstance(missing, NoValue) else Lost(str(missing))


def value_of(outcome: Outcome, column: Column) -> Any:
    """Return an outcome's value for one who needs it, in its column's type.

    Raises:
        NotApplicable: It has none because it makes no sense there.
        Refused: It has none that one may trust.
        Lost: It was lost to an exception.
    """
    if outcome.state is _OK:
        if column.type == "float" and type(outcome.number) is float:  # nearly all values are such
            return outcome.number
        if outcome.text is not None:
            return outcome.text
        return _PYTHON_TYPES.get(column.type, float)(outcome.number)
    if outcome.state is State.FAILED:
        raise Lost(column.name)
    reason = f"{column.name}: {outcome.reason}"
    raise (NotApplicable(reason) if outcome.state is State.NOT_APPLICABLE else Refused(reason))


_PYTHON_TYPES: Mapping[str, Callable[[Any], Any]] = {"int": int, "bool": bool}


_EXACT_TYPES: Mapping[str, type] = {"int": int, "bool": bool}
"""Types whose numbers are all finite, by that of the column."""


def _outcome_of(missing: NoValue) -> Outcome:
    state = State.NOT_APPLICABLE if isinstance(missing, NotApplicable) else State.REFUSED
    return Outcome(state, reason=reason_of(missing))


def _typed(column: Column, value: Any) -> Outcome:
    if type(value) is float and column.type == "float" and math.isfinite(value):  # nearly all values are such
        return Outcome(_OK, value)
    if type(value) is _EXACT_TYPES.get(column.type):
        return Outcome(_OK, float(cast("int", value)))
    if value is None:
        raise TypeError(f"column {column.name} has no value: raise NotApplicable or Refused instead of returning None")
    if isinstance(value, NoValue):
        return _outcome_of(value)
    outcome = Outcome.of(value)
    if (outcome.text is not None) != (column.type == "text"):
        raise TypeError(f"column {column.name} is declared {column.type} and got {value!r}")
    if column.type == "int" and outcome.number is not None and not float(outcome.number).is_integer():
        raise TypeError(f"column {column.name} is declared int and got {value!r}")
    return outcome
