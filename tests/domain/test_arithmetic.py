"""Arithmetic over columns: what is read is what is written, and what cannot be read says where and why."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ww_core.domain.expressions.arithmetic import (
    AGGREGATES,
    DEEPEST,
    FUNCTIONS,
    MOST_OPERATORS,
    Call,
    Choice,
    Comparison,
    Negation,
    Number,
    Operation,
    Summary,
    evaluate,
    holds,
    parse_comparison,
    parse_expression,
    parse_expressions,
    summaries_of,
)
from ww_core.domain.expressions.tokens import LONGEST_TEXT
from ww_core.errors import NotApplicable, UsageError

SIGNS = ("<", "<=", ">", ">=")
names = st.one_of(
    st.sampled_from(
        ["alpha", "alpha[ks=two-sided]", "ww.metrics:alpha", "log-norm", "max", "größe", "a b", "it's", '"']
    ),
    st.text(min_size=1, max_size=8),
)
numbers = st.floats(min_value=0, allow_nan=False, allow_infinity=False)
expressions = st.recursive(
    st.builds(Number, numbers) | st.builds(Summary, names, st.sampled_from(AGGREGATES)),
    lambda inner: (
        st.builds(Negation, inner)
        | st.builds(Call, st.sampled_from(sorted(FUNCTIONS)), inner)
        | st.builds(Operation, st.sampled_from("+-*/"), inner, inner)
        | st.builds(Choice, st.builds(Comparison, st.sampled_from(SIGNS), inner, inner), inner, inner)
    ),
    max_leaves=12,
)
comparisons = st.builds(Comparison, st.sampled_from(SIGNS), expressions, expressions)


def depth(expression):
    match expression:
        case Negation(inner) | Call(_, inner):
            return 1 + depth(inner)
        case Operation(_, left, right):
            return 1 + max(depth(left), depth(right))
        case Comparison(_, left, right):
            return max(depth(left), depth(right))
        case Choice(comparison, one, other):
            return 1 + max(depth(comparison), depth(one), depth(other))
    return 0


def is_readable(own):
    return depth(own) <= DEEPEST - 1 and len(str(own)) <= LONGEST_TEXT


@given(expressions.filter(is_readable))
def test_what_is_written_is_read_again(expression):
    assert parse_expression(str(expression)) == expression


@given(comparisons.filter(is_readable))
def test_a_comparison_that_is_written_is_read_again(comparison):
    assert parse_comparison(str(comparison)) == comparison


@given(st.lists(expressions, min_size=1, max_size=4))
def test_several_are_read_as_they_are_written(several):
    text = ", ".join(map(str, several))
    if max(map(depth, several)) < DEEPEST and len(text) <= LONGEST_TEXT:
        assert parse_expressions(text) == tuple(several)


@given(expressions, st.floats(0.1, 10))
def test_it_comes_to_what_python_says(expression, value):
    """Python's own parser is the oracle, on expressions whose columns are one letter."""

    def told(own):
        match own:
            case Number(number):
                return repr(number)
            case Summary():
                return "x"
            case Negation(inner):
                return f"(-{told(inner)})"
            case Call(function, argument):
                return f"{ {'ln': 'log'}.get(function, function) }({told(argument)})"
            case Operation(sign, left, right):
                return f"({told(left)} {sign} {told(right)})"
            case Comparison(sign, left, right):
                return f"(finite({told(left)}) {sign} finite({told(right)}))"
            case Choice(comparison, one, other):
                return f"({told(one)} if {told(comparison)} else {told(other)})"

    def finite(number):
        if not math.isfinite(number):
            raise ValueError
        return number

    known = {name: getattr(math, name) for name in ("exp", "log", "log2", "log10", "sqrt")} | {
        "abs": abs,
        "finite": finite,
    }
    try:
        wanted = eval(told(expression), known, {"x": value})
    except (ArithmeticError, ValueError):
        wanted = math.nan
    if math.isfinite(wanted):
        assert evaluate(expression, lambda _: value) == wanted
    else:
        with pytest.raises(NotApplicable):
            evaluate(expression, lambda _: value)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("8 / 4 / 2", 1),
        ("8 - 4 - 2", 2),
        ("-2 * -3", 6),
        ("- -2", 2),
        ("2 - -alpha", 7),
        ("log10(100) + abs(-1)", 3),
        ("max(alpha) / 'log-norm'", 2.5),
        ("ln(exp(2))", 2),
        ("1e3 + .5 + 2.", 1002.5),
        ("if(alpha < 'log-norm', 1, 2)", 2),
        ("if(alpha > 'log-norm', 1, 2) * 3", 3),
        ("1 + if(alpha <= 5, if(alpha >= 5, 10, 20), 30)", 11),
        ("if(alpha - 1 < 2 * 2, 1, -1)", -1),
    ],
)
def test_precedence_signs_and_functions(text, wanted):
    values = {"alpha": 5.0, "log-norm": 2.0}
    assert evaluate(parse_expression(text), lambda own: values[own.column]) == pytest.approx(wanted)


def test_the_branch_that_does_not_hold_is_not_looked_at():
    asked = []

    def value_of(own):
        asked.append(own.column)
        if own.column == "missing":
            raise NotApplicable("missing: no value")
        return 1.0

    assert evaluate(parse_expression("if(alpha < 2, D, missing)"), value_of) == 1.0
    assert evaluate(parse_expression("if(alpha > 2, 1 / 0, D)"), value_of) == 1.0
    assert asked == ["alpha", "D", "alpha", "D"]
    with pytest.raises(NotApplicable, match="missing: no value"):
        evaluate(parse_expression("if(missing > 2, 1, 2)"), value_of)


def test_a_comparison_holds_or_not_and_equal_is_equal():
    for text, wanted in (("alpha < 2", False), ("alpha <= 2", True), ("alpha > 2", False), ("alpha >= 2", True)):
        assert holds(parse_comparison(text), lambda _: 2.0) is wanted
    with pytest.raises(NotApplicable, match="divides by zero"):
        holds(parse_comparison("1 / 0 < alpha"), lambda _: 2.0)


def test_the_columns_of_an_expression_are_named_in_order():
    choice = parse_expression("if(a < max(b), c, if(1 < 2, d, a))")
    assert [str(own) for own in summaries_of(choice)] == ["a", "max(b)", "c", "d", "a"]
    assert [str(own) for own in summaries_of(parse_comparison("min(x) + 1 >= y"))] == ["min(x)", "y"]
    expression = parse_expression("alpha / log10(max('a.b:c')) - (D + alpha)")
    assert [str(own) for own in summaries_of(expression)] == ["alpha", "max('a.b:c')", "D", "alpha"]


def test_what_has_no_value_says_so():
    for text, word in (("1 / 0", "divides by zero"), ("log10(0)", "no finite value"), ("exp(1000)", "no finite value")):
        with pytest.raises(NotApplicable, match=word):
            evaluate(parse_expression(text), lambda _: 1.0)


@pytest.mark.parametrize(
    ("text", "character", "sentence"),
    [
        ("", None, "is empty"),
        (" \n ", None, "is empty"),
        ("alpha +", 8, "a column, a number, a function or '(' is expected, not the end"),
        ("(alpha", 7, "')' is expected, not the end"),
        ("alpha)", 6, "an operator"),
        ("alpha beta", 7, "an operator"),
        ("* alpha", 1, "is expected, not '*'"),
        ("sine(alpha)", 1, "unknown function 'sine'"),
        ("medain(alpha)", 1, "did you mean median"),
        ("mean(alpha + D)", 12, "')' is expected, not '+'"),
        ("mean(3)", 6, "the name of a column is expected"),
        ("alpha.max", 6, "write max(alpha)"),
        ("alpha[ks", 6, "'[' has no meaning here"),
        ("'alpha", 1, "the second ' is missing"),
        ("''", 1, "is empty"),
        ("1e999", 1, "too large"),
        ("alpha $ 2", 7, "'$' has no meaning here"),
        ("1 ** 2", 4, "is expected, not '*'"),
        ("__import__('os')", 1, "unknown function"),
        ("(" * 50 + "1" + ")" * 50, DEEPEST + 2, "nested deeper"),
        ("-" * 50 + "1", DEEPEST + 2, "nested deeper"),
        ("+".join("1" * (MOST_OPERATORS + 2)), 2 * MOST_OPERATORS + 2, "more than"),
        ("1" * (LONGEST_TEXT + 1), None, "1001 characters"),
        ("if(alpha, 1, 2)", 9, "'<', '<=', '>' or '>=' is expected, not ','"),
        ("if(alpha < 1, 2)", 16, "',' is expected, not ')'"),
        ("if(1 < 2 < 3, 1, 2)", 10, "',' is expected, not '<'"),
        ("if(1 < 2, 1, 2", 15, "')' is expected, not the end"),
        ("alpha < 2", 7, "an operator or the end is expected, not '<'"),
        ("alpha, D", 6, "is expected, not ','"),
        ("fi(alpha < 1, 2, 3)", 1, "unknown function 'fi': there is mean"),
        ("if(1 < 2, 1, " * 30 + "1" + ")" * 30, None, "nested deeper"),
    ],
)
def test_what_cannot_be_read_points_at_the_fault(text, character, sentence):
    with pytest.raises(UsageError) as caught:
        parse_expression(text)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    if character is not None:
        assert f"character {character}: " in str(caught.value)
        shown, caret = caught.value.__notes__[0].splitlines()
        assert caret.strip() == "^"
        assert shown.strip()


@given(st.text(max_size=40))
def test_no_text_breaks_the_parser(text):
    try:
        expression = parse_expression(text)
    except UsageError:
        return
    assert parse_expression(str(expression)) == expression


@pytest.mark.parametrize(
    ("text", "character", "sentence"),
    [
        ("alpha", 6, "'<', '<=', '>' or '>=' is expected, not the end"),
        ("alpha = 2", 7, "'=' has no meaning here"),
        ("alpha < 2 < 3", 11, "an operator or the end is expected, not '<'"),
        ("< 2", 1, "is expected, not '<'"),
        ("alpha < ", 9, "is expected, not the end"),
        ("", None, "is empty"),
        ("+".join("1" * MOST_OPERATORS) + " < 1 + 1 + 1", None, "more than"),
    ],
)
def test_a_comparison_that_cannot_be_read_points_at_the_fault(text, character, sentence):
    with pytest.raises(UsageError) as caught:
        parse_comparison(text)
    assert sentence in str(caught.value)
    assert str(caught.value).startswith("condition ") or not text
    if character is not None:
        assert f"character {character}: " in str(caught.value)


@pytest.mark.parametrize("text", ["alpha,", ",alpha", "alpha,,D", "alpha D"])
def test_what_is_no_list_of_expressions_points_at_the_fault(text):
    with pytest.raises(UsageError, match="is expected"):
        parse_expressions(text)


def test_commas_inside_of_an_expression_part_nothing():
    found = parse_expressions("if(a < 1, b, c), 'x, y', alpha[ks=two-sided,p=1]")
    assert [str(own) for own in found] == ["if(a < 1, b, c)", "'x, y'", "alpha[ks=two-sided,p=1]"]
