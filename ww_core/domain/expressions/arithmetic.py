"""Arithmetic over columns: ``alpha_weighted / log_norm``, ``log10(max(alpha)) - 1``.

    expression = term { ("+" | "-") term } ;
    term       = factor { ("*" | "/") factor } ;
    factor     = "-" factor | number | "(" expression ")" | call | choice | summary ;
    call       = ( "abs" | "exp" | "ln" | "log2" | "log10" | "sqrt" ) "(" expression ")" ;
    choice     = "if" "(" comparison "," expression "," expression ")" ;
    comparison = expression ( "<" | "<=" | ">" | ">=" ) expression ;
    summary    = column | ( "mean" | "median" | "min" | "max" ) "(" column ")" ;
    column     = name [ "[" parameters "]" ] | quoted text ;

A column alone is its mean; of a column of the model, its value. Of a choice only the branch that holds is looked at, so
that the other may have no value.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, cast

from ww_core.domain.expressions.tokens import TokenKind, Tokens, name_text, number_text
from ww_core.errors import NotApplicable, near_names

AggregateName = Literal["mean", "median", "min", "max"]

ComparisonSign = Literal["<", "<=", ">", ">="]

AGGREGATES: tuple[AggregateName, ...] = ("mean", "median", "min", "max")
"""What a column can come to over a model."""

FUNCTIONS: dict[str, Callable[[float], float]] = {
    "abs": abs,
    "exp": math.exp,
    "ln": math.log,
    "log2": math.log2,
    "log10": math.log10,
    "sqrt": math.sqrt,
}
"""Functions of one number."""

DEEPEST = 20
"""Levels of parentheses, functions and signs."""

MOST_OPERATORS = 100


@dataclass(frozen=True, slots=True)
class Number:
    """A number."""

    value: float

    def __str__(self) -> str:
        return number_text(self.value)


@dataclass(frozen=True, slots=True)
class Summary:
    """What a column comes to over a model: its mean, unless it says otherwise."""

    column: str
    aggregate: AggregateName = "mean"

    def __str__(self) -> str:
        name = name_text(self.column)
        return name if self.aggregate == "mean" else f"{self.aggregate}({name})"


@dataclass(frozen=True, slots=True)
class Negation:
    """The negative of an operand."""

    operand: Expression

    def __str__(self) -> str:
        return f"-{_as_factor(self.operand)}"


@dataclass(frozen=True, slots=True)
class Call:
    """A function of one number."""

    function: str
    argument: Expression

    def __str__(self) -> str:
        return f"{self.function}({self.argument})"


@dataclass(frozen=True, slots=True)
class Operation:
    """Two operands and the sign between them."""

    sign: Literal["+", "-", "*", "/"]
    left: Expression
    right: Expression

    def __str__(self) -> str:
        left, right = str(self.left), _as_factor(self.right)
        if self.sign in "*/" and isinstance(self.left, Operation) and self.left.sign in "+-":
            left = f"({left})"
        elif self.sign in "+-" and isinstance(self.right, Operation) and self.right.sign in "*/":
            right = str(self.right)
        return f"{left} {self.sign} {right}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two numbers and which must be the larger one."""

    sign: ComparisonSign
    left: Expression
    right: Expression

    def __str__(self) -> str:
        return f"{self.left} {self.sign} {self.right}"


@dataclass(frozen=True, slots=True)
class Choice:
    """One of two expressions, as a comparison says."""

    comparison: Comparison
    one: Expression
    other: Expression

    def __str__(self) -> str:
        return f"if({self.comparison}, {self.one}, {self.other})"


Expression = Number | Summary | Negation | Call | Operation | Choice


def parse_expression(text: str, what: str = "expression") -> Expression:
    """Parse a text that is nothing but an expression.

    Args:
        text: The text.
        what: What a message calls it.

    Raises:
        UsageError: It is none; the message says where, and what is expected there.
    """
    tokens = Tokens(text, what)
    expression = read_expression(tokens)
    tokens.end("an operator")
    return expression


def parse_expressions(text: str, what: str = "expression") -> tuple[Expression, ...]:
    """Parse one expression or several, separated by commas, such as ``alpha, if(D < 0.1, alpha, 0)``.

    Args:
        text: The text.
        what: What a message calls it.

    Raises:
        UsageError: It is none; the message says where, and what is expected there.
    """
    tokens = Tokens(text, what)
    found = [read_expression(tokens)]
    while tokens.take_if(","):
        found.append(read_expression(tokens))
    tokens.end("an operator", ",")
    return tuple(found)


def parse_comparison(text: str, what: str = "condition") -> Comparison:
    """Parse a text that is nothing but a comparison, such as ``num_evals > 50``.

    Args:
        text: The text.
        what: What a message calls it.

    Raises:
        UsageError: It is none; the message says where, and what is expected there.
    """
    tokens = Tokens(text, what)
    comparison = _ExpressionReader(tokens).comparison(0)
    tokens.end("an operator")
    return comparison


def read_expression(tokens: Tokens) -> Expression:
    """Take an expression from the front of what is left to read.

    Raises:
        UsageError: There is none.
    """
    return _ExpressionReader(tokens).expression(0)


def summaries_of(expression: Expression | Comparison) -> Iterator[Summary]:
    """Yield the columns that an expression or a comparison names, from left to right."""
    match expression:
        case Summary():
            yield expression
        case Negation(inner) | Call(_, inner):
            yield from summaries_of(inner)
        case Operation(_, left, right) | Comparison(_, left, right):
            yield from summaries_of(left)
            yield from summaries_of(right)
        case Choice(comparison, one, other):
            for part in (comparison, one, other):
                yield from summaries_of(part)


def evaluate(expression: Expression, value_of: Callable[[Summary], float]) -> float:
    """Return the number that an expression comes to.

    Args:
        expression: The expression.
        value_of: Tells what a column comes to; it may raise `NoValue`.

    Raises:
        NotApplicable: It has no finite value.
    """
    try:
        value = _value(expression, value_of)
    except ZeroDivisionError:
        raise NotApplicable(f"{expression} divides by zero") from None
    except (ValueError, OverflowError):
        raise NotApplicable(f"{expression} has no finite value") from None
    if not math.isfinite(value):
        raise NotApplicable(f"{expression} has no finite value")
    return value


def holds(comparison: Comparison, value_of: Callable[[Summary], float]) -> bool:
    """Tell whether a comparison holds. Arguments are those of `evaluate`.

    Raises:
        NotApplicable: A side of it has no finite value.
    """
    return _COMPARED[comparison.sign](evaluate(comparison.left, value_of), evaluate(comparison.right, value_of))


_COMPARED: dict[ComparisonSign, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _value(expression: Expression, value_of: Callable[[Summary], float]) -> float:
    match expression:
        case Number(value):
            return value
        case Summary():
            return value_of(expression)
        case Negation(inner):
            return -_value(inner, value_of)
        case Call(function, argument):
            return FUNCTIONS[function](_value(argument, value_of))
        case Choice(comparison, if_true, if_false):
            return _value(if_true if holds(comparison, value_of) else if_false, value_of)
        case Operation(sign, left, right):
            one, other = _value(left, value_of), _value(right, value_of)
            match sign:
                case "+":
                    return one + other
                case "-":
                    return one - other
                case "*":
                    return one * other
                case "/":
                    return one / other


def _as_factor(expression: Expression) -> str:
    return f"({expression})" if isinstance(expression, Operation) else str(expression)


class _ExpressionReader:
    """Reads one expression by recursive descent, and counts how deep and how long it is."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._operators = 0

    def expression(self, depth: int) -> Expression:
        """Read terms that are added and subtracted."""
        found = self._term(depth)
        while sign := self._operator("+", "-"):
            found = Operation(cast(Literal["+", "-"], sign), found, self._term(depth))
        return found

    def comparison(self, depth: int) -> Comparison:
        """Read two expressions that are compared."""
        left = self.expression(depth)
        sign = cast(ComparisonSign, self._tokens.expect("<", "<=", ">", ">="))
        return Comparison(sign, left, self.expression(depth))

    def _term(self, depth: int) -> Expression:
        found = self._factor(depth)
        while sign := self._operator("*", "/"):
            found = Operation(cast(Literal["*", "/"], sign), found, self._factor(depth))
        return found

    def _factor(self, depth: int) -> Expression:
        tokens = self._tokens
        if depth > DEEPEST:
            tokens.fail_at(tokens.next.start, f"it is nested deeper than {DEEPEST} levels")
        if tokens.take_if("-"):
            return Negation(self._factor(depth + 1))
        if tokens.take_if("("):
            inner = self.expression(depth + 1)
            tokens.expect(")")
            return inner
        if tokens.next.kind is TokenKind.NUMBER:
            return Number(tokens.number())
        if tokens.next.kind is TokenKind.QUOTED:
            return Summary(_column(tokens))
        if tokens.next.kind is not TokenKind.NAME:
            tokens.fail("a column, a number, a function or '(' is expected")
        name = tokens.take()
        if tokens.sees("."):
            tokens.fail_at(tokens.next.start, "a name has no dot here: " + _instead_of_dot(tokens, name.text))
        if not tokens.take_if("("):
            return Summary(name.text)
        if name.text in AGGREGATES:
            argument: Expression = Summary(_column(tokens), name.text)
        elif name.text in FUNCTIONS:
            argument = Call(name.text, self.expression(depth + 1))
        elif name.text == "if":
            comparison = self.comparison(depth + 1)
            tokens.expect(",")
            one = self.expression(depth + 1)
            tokens.expect(",")
            argument = Choice(comparison, one, self.expression(depth + 1))
        else:
            known = [*AGGREGATES, *FUNCTIONS, "if"]
            near = near_names(name.text, known)
            hint = f"did you mean {', '.join(near)}?" if near else f"there is {', '.join(known)}"
            tokens.fail_at(name.start, f"unknown function {name.text!r}: {hint}")
        tokens.expect(")")
        return argument

    def _operator(self, *signs: str) -> str:
        sign = self._tokens.take_if(*signs)
        self._operators += bool(sign)
        if self._operators > MOST_OPERATORS:
            self._tokens.fail_at(self._tokens.taken - 1, f"it has more than {MOST_OPERATORS} operators")
        return sign


def _column(tokens: Tokens) -> str:
    """Take the name of a column, bare or in quotes."""
    if tokens.next.kind not in {TokenKind.NAME, TokenKind.QUOTED}:
        tokens.fail("the name of a column is expected")
    if not tokens.next.text:
        tokens.fail_at(tokens.next.start, "the name of a column is empty")
    return tokens.take().text


def _instead_of_dot(tokens: Tokens, name: str) -> str:
    tokens.take()
    asked = tokens.next.text
    if asked in AGGREGATES:
        return f"write {asked}({name})"
    return "write a name with dots in quotes, and a column of layers as layers.GLOB.column"
