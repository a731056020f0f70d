"""From the text of a rule to the rule.

rule      = subject ":" condition { "and" condition } [ "(partial allowed)" ] ;
subject   = expression | "layers." glob "." column ;
condition = change | limit | "no new" | "no worse" ;
change    = ( "+" | "-" | "+-" ) number [ "%" ] ;
limit     = ( "<" | "<=" | ">" | ">=" ) [ "-" ] number ;
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from ww_core.domain.expressions.arithmetic import Expression, Summary, read_expression, summaries_of
from ww_core.domain.expressions.tokens import QUOTES, TokenKind, Tokens, unquoted
from ww_core.domain.rules.rule import (
    LAYERS,
    ChangeLimit,
    ChangeSign,
    Condition,
    LayerColumn,
    LimitSign,
    NothingNew,
    NothingWorse,
    Rule,
    ValueLimit,
    single_column,
)
from ww_core.errors import UsageError

MOST_CONDITIONS = 8
MOST_RULES = 1000

CONDITIONS = "a condition such as '+5%', '< 6' or 'no new' is expected"


def parse_rules(texts: Sequence[str]) -> tuple[Rule, ...]:
    """Parse the rules of a check.

    Raises:
        UsageError: One is no rule, one is said twice, or they are too many.
    """
    if len(texts) > MOST_RULES:
        raise UsageError(f"there are {len(texts)} rules: {MOST_RULES} are allowed")
    rules: dict[str, Rule] = {}
    for text in texts:
        rule = parse_rule(text)
        if str(rule) in rules:
            raise UsageError(f"the rule {str(rule)!r} is given twice: leave one out")
        rules[str(rule)] = rule
    return tuple(rules.values())


def parse_rule(text: str) -> Rule:
    """Parse a rule.

    Raises:
        UsageError: It is none; the message says where, and what is expected there.
    """
    tokens = Tokens(text, "rule")
    start = tokens.next.start
    subject = _layer_column(tokens, start) if text.startswith(LAYERS, start) else read_expression(tokens)
    if tokens.next.kind is TokenKind.END:
        tokens.fail_at(tokens.next.start, "':' and a condition are expected, as in 'alpha: < 6'")
    if not tokens.sees(":"):
        tokens.fail("':' or an operator is expected")
    if not isinstance(subject, LayerColumn) and not any(summaries_of(subject)):
        tokens.fail_at(start, "a rule names a column")
    tokens.take()
    conditions = [_condition(tokens, subject)]
    while tokens.take_if("and"):
        if len(conditions) == MOST_CONDITIONS:
            tokens.fail_at(tokens.next.start, f"a rule has {MOST_CONDITIONS} conditions at most")
        conditions.append(_condition(tokens, subject))
    partial_allowed = bool(tokens.take_if("("))
    if partial_allowed:
        for word in ("partial", "allowed", ")"):
            tokens.expect(word)
        tokens.end()
    else:
        tokens.end("and", "(partial allowed)")
    return Rule(subject, tuple(conditions), partial_allowed)


def _layer_column(tokens: Tokens, start: int) -> LayerColumn:
    """Read ``layers.GLOB.column``: GLOB is all up to the last dot, which may stand in no quotes and no brackets."""
    text = tokens.text
    begin = position = start + len(LAYERS)
    dot, depth = -1, 0
    while position < len(text) and (text[position] != ":" or depth):
        letter = text[position]
        depth = max(0, depth + (letter == "[") - (letter == "]"))
        if letter == "." and not depth:
            dot = position
        position = tokens.quoted_end(position) if letter in QUOTES else position + 1
    if depth:
        tokens.fail_at(begin, "a ']' is missing; a glob that is meant so stands in quotes, as in layers.'a[*'.alpha")
    if dot < 0:
        tokens.fail_at(begin, "layers.GLOB.column is expected, such as layers.*.alpha")
    glob = text[begin:dot]
    if glob[:1] and glob[0] in QUOTES:
        if tokens.quoted_end(begin) != dot:
            tokens.fail_at(tokens.quoted_end(begin), "'.' and a column are expected after the quoted glob")
        glob = unquoted(glob)
    elif any(letter in glob for letter in QUOTES):
        tokens.fail_at(begin, "a glob stands in quotes as a whole, as in layers.'a b*'.alpha")
    if not glob.strip():
        tokens.fail_at(begin, "the glob of the layers is empty: write '*' for all")
    tokens.go_on(dot + 1)
    if tokens.next.kind not in {TokenKind.NAME, TokenKind.QUOTED} or not tokens.next.text:
        tokens.fail("the name of a column is expected")
    return LayerColumn(glob, tokens.take().text)


def _condition(tokens: Tokens, subject: Expression | LayerColumn) -> Condition:
    start = tokens.next.start
    if tokens.sees("+", "-"):
        sign = tokens.take().text
        sign += tokens.take_if("-") if sign == "+" else ""
        amount = tokens.number()
        return ChangeLimit(cast(ChangeSign, sign), amount, is_percent=bool(tokens.take_if("%")))
    if tokens.sees("<", "<=", ">", ">="):
        sign = tokens.take().text
        factor = -1.0 if tokens.take_if("-") else 1.0
        return ValueLimit(cast(LimitSign, sign), factor * tokens.number())
    if not tokens.take_if("no"):
        tokens.fail(CONDITIONS)
    if tokens.expect("new", "worse") == "worse":
        if not single_column(subject):
            tokens.fail_at(start, "'no worse' is for one column with a direction")
        return NothingWorse()
    if not isinstance(subject, LayerColumn) and not (isinstance(subject, Summary) and subject.aggregate == "mean"):
        tokens.fail_at(start, "'no new' is for a column of texts, such as 'warning: no new'")
    return NothingNew()
