"""A rule: what it speaks of, and the conditions that must hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ww_core.domain.expressions.arithmetic import Expression, Summary, summaries_of
from ww_core.domain.expressions.tokens import name_text, number_text, quoted

ChangeSign = Literal["+", "-", "+-"]
LimitSign = Literal["<", "<=", ">", ">="]

PARTIAL_ALLOWED = "(partial allowed)"
LAYERS = "layers."


@dataclass(frozen=True, slots=True)
class LayerColumn:
    """A column of each matrix, or whole layer, whose layer has a name that a glob matches."""

    glob: str
    column: str

    def __str__(self) -> str:
        return f"{LAYERS}{_glob_text(self.glob)}.{name_text(self.column)}"


@dataclass(frozen=True, slots=True)
class ChangeLimit:
    """How far a number may move from that of the baseline: up, down, or either way.

    Attributes:
        sign: The direction in which it may not move further.
        amount: How far it may move, from 0 on.
        is_percent: Whether the amount is in percent of the baseline's magnitude.
    """

    sign: ChangeSign
    amount: float
    is_percent: bool

    def __str__(self) -> str:
        return f"{self.sign}{number_text(self.amount)}{'%' if self.is_percent else ''}"

    def allowed(self, first: float) -> float:
        """Return how far a number may move from ``first``."""
        return self.amount / 100 * abs(first) if self.is_percent else self.amount

    def holds(self, first: float, second: float) -> bool:
        """Whether a number may go from ``first`` to ``second``."""
        allowed = self.allowed(first)
        too_high = "+" in self.sign and second > first + allowed
        too_low = "-" in self.sign and second < first - allowed
        return not (too_high or too_low)


@dataclass(frozen=True, slots=True)
class ValueLimit:
    """What a number is held against, whatever it was in the baseline."""

    sign: LimitSign
    number: float

    def __str__(self) -> str:
        return f"{self.sign} {number_text(self.number)}"

    def holds(self, value: float) -> bool:
        """Whether a number keeps the limit."""
        match self.sign:
            case "<":
                return value < self.number
            case "<=":
                return value <= self.number
            case ">":
                return value > self.number
            case ">=":
                return value >= self.number


@dataclass(frozen=True, slots=True)
class NothingNew:
    """No matrix or layer may have a text, or a yes, that it has not in the baseline."""

    def __str__(self) -> str:
        return "no new"


@dataclass(frozen=True, slots=True)
class NothingWorse:
    """No number may move in the worse direction of its column."""

    def __str__(self) -> str:
        return "no worse"


Condition = ChangeLimit | ValueLimit | NothingNew | NothingWorse


@dataclass(frozen=True, slots=True)
class Rule:
    """What must hold of a candidate. As a text it is what `parse_rule` reads.

    Attributes:
        subject: What it speaks of: an expression over the model, or a column of layers.
        conditions: What must hold, all of it.
        partial_allowed: Whether results may count that are not all there.
    """

    subject: Expression | LayerColumn
    conditions: tuple[Condition, ...]
    partial_allowed: bool = False

    def __str__(self) -> str:
        suffix = f" {PARTIAL_ALLOWED}" if self.partial_allowed else ""
        return f"{self.subject}: {' and '.join(map(str, self.conditions))}{suffix}"

    @property
    def columns(self) -> tuple[str, ...]:
        """Labels of the columns that it names, each once."""
        if isinstance(self.subject, LayerColumn):
            return (self.subject.column,)
        return tuple(dict.fromkeys(summary.column for summary in summaries_of(self.subject)))

    @property
    def needs_baseline(self) -> bool:
        """Whether one of its conditions compares with a baseline."""
        return any(compares(condition) for condition in self.conditions)


def compares(condition: Condition) -> bool:
    """Whether a condition compares with a baseline."""
    return not isinstance(condition, ValueLimit)


def single_column(subject: Expression | LayerColumn) -> bool:
    """Whether a subject is one column, of layers or as it is over the model, so that it has a direction."""
    return isinstance(subject, LayerColumn | Summary)


BARE_GLOB = frozenset(".*?!_-[]/")
"""What a glob may hold, besides letters and digits, without quotes."""


def _glob_text(glob: str) -> str:
    depth = 0
    for letter in glob:
        depth += (letter == "[") - (letter == "]")
        if depth not in {0, 1} or not (letter.isalnum() or letter in BARE_GLOB):
            return quoted(glob)
    return glob if glob and depth == 0 else quoted(glob)
