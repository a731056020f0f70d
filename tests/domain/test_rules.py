"""Rules as texts: what is read is what is written, and each that cannot be read is one sentence with its place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ww_core.domain.expressions.arithmetic import Number, Operation, Summary
from ww_core.domain.rules.reading import MOST_CONDITIONS, MOST_RULES, parse_rule, parse_rules
from ww_core.domain.rules.rule import (
    ChangeLimit,
    LayerColumn,
    NothingNew,
    NothingWorse,
    Rule,
    ValueLimit,
)
from ww_core.errors import UsageError

columns = st.one_of(
    st.sampled_from(["alpha", "alpha[ks=two-sided]", "ww.metrics:alpha"]), st.text(min_size=1, max_size=9)
)
globs = st.one_of(
    st.sampled_from(["*", "blocks.*.attn", "conv[12]", "a b", "w[", "größe", "x\ny", "'", '"', "a:b", "a.b"]),
    st.text(min_size=1, max_size=12).filter(str.strip),
)
amounts = st.floats(min_value=0, allow_nan=False, allow_infinity=False)
limits = st.floats(allow_nan=False, allow_infinity=False)
conditions = st.one_of(
    st.builds(ChangeLimit, st.sampled_from(["+", "-", "+-"]), amounts, st.booleans()),
    st.builds(ValueLimit, st.sampled_from(["<", "<=", ">", ">="]), limits),
    st.just(NothingWorse()),
)
summaries = st.builds(Summary, columns, st.sampled_from(["mean", "median", "min", "max"]))
rules = st.one_of(
    st.builds(
        Rule,
        st.one_of(st.builds(LayerColumn, globs, columns), summaries),
        st.lists(conditions, min_size=1, max_size=3).map(tuple),
        st.booleans(),
    ),
    st.builds(
        Rule,
        st.one_of(st.builds(LayerColumn, globs, columns), st.builds(Summary, columns)),
        st.just((NothingNew(),)),
        st.booleans(),
    ),
)


@given(rules)
def test_what_is_written_is_read_again(rule):
    assert parse_rule(str(rule)) == rule


@given(st.text(max_size=60) | st.text("layers.*'\"alph:<>+-%5 no()[]\\", max_size=40))
def test_no_text_breaks_the_parser(text):
    try:
        rule = parse_rule(text)
    except UsageError:
        return
    assert parse_rule(str(rule)) == rule


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("alpha_weighted: +5%", Rule(Summary("alpha_weighted"), (ChangeLimit("+", 5, True),))),
        ("alpha:-0.2", Rule(Summary("alpha"), (ChangeLimit("-", 0.2, False),))),
        (" alpha : +- 5 % ", Rule(Summary("alpha"), (ChangeLimit("+-", 5, True),))),
        ("mean(alpha): < 6", Rule(Summary("alpha"), (ValueLimit("<", 6),))),
        ("max(alpha): >= -6e-1", Rule(Summary("alpha", "max"), (ValueLimit(">=", -0.6),))),
        ("warning: no new", Rule(Summary("warning"), (NothingNew(),))),
        ("layers.*.warning: no new", Rule(LayerColumn("*", "warning"), (NothingNew(),))),
        ("layers.a.b.c.alpha: no worse", Rule(LayerColumn("a.b.c", "alpha"), (NothingWorse(),))),
        ("layers.*.alpha[ks=two.sided]: <6", Rule(LayerColumn("*", "alpha[ks=two.sided]"), (ValueLimit("<", 6),))),
        ("layers.conv[.1]*.alpha: <6", Rule(LayerColumn("conv[.1]*", "alpha"), (ValueLimit("<", 6),))),
        (r"layers.'a: \'b\'\n[*'.alpha: <6", Rule(LayerColumn("a: 'b'\n[*", "alpha"), (ValueLimit("<", 6),))),
        ('layers.*."p.q:alpha": <6', Rule(LayerColumn("*", "p.q:alpha"), (ValueLimit("<", 6),))),
        (
            "alpha / log_norm: < 3 and +5% (partial allowed)",
            Rule(
                Operation("/", Summary("alpha"), Summary("log_norm")),
                (ValueLimit("<", 3), ChangeLimit("+", 5, True)),
                True,
            ),
        ),
        ("alpha - 1: > 0", Rule(Operation("-", Summary("alpha"), Number(1)), (ValueLimit(">", 0),))),
        ("layers / 2: > 0", Rule(Operation("/", Summary("layers"), Number(2)), (ValueLimit(">", 0),))),
    ],
)
def test_forms(text, rule):
    assert parse_rule(text) == rule


BROKEN = [
    ("", "is empty"),
    ("   ", "is empty"),
    ("alpha", "':' and a condition are expected"),
    ("alpha:", "a condition such as"),
    ("alpha: ", "not the end"),
    (": < 6", "a column, a number, a function or '(' is expected"),
    ("alpha < 6", "':' or an operator is expected, not '<'"),
    ("alpha: 6", "a condition such as"),
    ("alpha: = 6", "'=' has no meaning here"),
    ("alpha: == 6", "'=' has no meaning here"),
    ("alpha: < six", "a number is expected, not 'six'"),
    ("alpha: < 6%", "'and', (partial allowed) or the end is expected, not '%'"),
    ("alpha: + %", "a number is expected"),
    ("alpha: -+5%", "a number is expected, not '+'"),
    ("alpha: 5%", "a condition such as"),
    ("alpha: < 6, > 2", "not ','"),
    ("alpha: < 6 or > 7", "not 'or'"),
    ("alpha: < 6 and", "a condition such as"),
    ("alpha: no", "'new' or 'worse' is expected"),
    ("alpha: no better", "'new' or 'worse' is expected, not 'better'"),
    ("alpha: < 6 (partial)", "'allowed' is expected"),
    ("alpha: < 6 (partial allowed", "')' is expected"),
    ("alpha: < 6 (partial allowed) and > 2", "the end is expected"),
    ("alpha: < 1e400", "too large"),
    ("alpha: < nan", "a number is expected, not 'nan'"),
    ("3: < 6", "a rule names a column"),
    ("alpha.max: < 6", "write max(alpha)"),
    ("maxx(alpha): < 6", "did you mean max?"),
    ("alpha / D: no worse", "'no worse' is for one column"),
    ("max(warning): no new", "'no new' is for a column of texts"),
    ("layers: < 6 6", "not '6'"),
    ("layers.: < 6", "layers.GLOB.column is expected"),
    ("layers.alpha: < 6", "layers.GLOB.column is expected"),
    ("layers..alpha: < 6", "the glob of the layers is empty"),
    ("layers.*.: < 6", "the name of a column is expected"),
    ("layers.*.alpha.max(): < 6", "':' or an operator is expected, not '('"),
    ("layers.w[*.alpha: < 6", "a ']' is missing"),
    ("layers.'w.alpha: < 6", "the second ' is missing"),
    ("layers.'w'x.alpha: < 6", "after the quoted glob"),
    ("layers.x'w'.alpha: < 6", "a glob stands in quotes as a whole"),
    ("layers.*.alpha beta: < 6", "not 'beta'"),
    (" and ".join(["alpha: < 6", *["< 6"] * MOST_CONDITIONS]), "conditions at most"),
    ("a" * 2000 + ": < 6", "1000 are allowed"),
]


@pytest.mark.parametrize(("text", "sentence"), BROKEN)
def test_what_is_no_rule_is_one_sentence_that_names_it(text, sentence):
    with pytest.raises(UsageError) as caught:
        parse_rule(text)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_rule_is_given_twice():
    with pytest.raises(UsageError, match=r"the rule 'alpha: \+5%' is given twice"):
        parse_rules(["alpha: +5%", "mean(alpha):+5.0 %"])
    with pytest.raises(UsageError, match="1000 are allowed"):
        parse_rules([f"alpha: < {number}" for number in range(MOST_RULES + 1)])


@given(st.floats(-100, 100), st.floats(-100, 100), amounts, amounts, st.booleans(), st.sampled_from(["+", "-", "+-"]))
def test_a_wider_limit_of_change_holds_wherever_a_narrower_one_does(first, second, one, other, percent, sign):
    narrow, wide = (ChangeLimit(sign, amount, percent) for amount in sorted((one, other)))
    assert wide.holds(first, second) or not narrow.holds(first, second)
    assert narrow.holds(first, first)


@given(limits, limits, limits)
def test_a_wider_limit_of_value_holds_wherever_a_narrower_one_does(value, one, other):
    low, high = sorted((one, other))
    for sign in ("<", "<="):
        assert ValueLimit(sign, high).holds(value) or not ValueLimit(sign, low).holds(value)
    for sign in (">", ">="):
        assert ValueLimit(sign, low).holds(value) or not ValueLimit(sign, high).holds(value)


def test_a_limit_may_be_reached_and_not_passed():
    assert ChangeLimit("+", 5, True).holds(4.0, 4.2)
    assert not ChangeLimit("+", 5, True).holds(4.0, 4.2001)
    assert ChangeLimit("-", 5, True).holds(-4.0, -4.2)
    assert not ChangeLimit("-", 5, True).holds(-4.0, -4.21)
    assert ChangeLimit("+", 0.2, False).holds(0.0, 0.2)
    assert not ChangeLimit("+", 5, True).holds(0.0, 1e-9)
