"""Verdicts: what holds, what breaks, and why; nothing is subtracted that does not mean the same."""

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ww_core.domain.outcome import Outcome, State
from ww_core.errors import UnknownNameError, UsageError

NOT_APPLICABLE = Outcome(State.NOT_APPLICABLE, reason="no bias")
FAILED = Outcome(State.FAILED, reason="lost")


def reasons(verdict):
    return [str(own) for own in verdict.broken]


# --- limits of change -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "after", "holds"),
    [
        ("+5%", 4.2, True),
        ("+5%", 4.3, False),
        ("+5%", 1.0, True),
        ("-5%", 3.8, True),
        ("-5%", 3.7, False),
        ("-5%", 9.0, True),
        ("+-5%", 4.3, False),
        ("+-5%", 3.7, False),
        ("+-5%", 4.0, True),
        ("+0.2", 4.2, True),
        ("+0.2", 4.3, False),
        ("-0.2", 3.7, False),
        ("+10% and -1%", 3.9, False),
        ("+0%", 4.0, True),
        ("no worse", 4.0, True),
        ("no worse", 3.0, True),
        ("no worse", 4.0001, False),
        ("no worse", 4.0 * (1 + 1e-12), True),  # as another machine computes it
        ("< 6", 5.9, True),
        ("< 6", 6.0, False),
        ("<= 6", 6.0, True),
        ("> 2 and < 6", 7.0, False),
    ],
)
def test_a_mean_and_each_layer_keep_a_condition_alike(judged, condition, after, holds):
    before, now = {"a": {"alpha": 4.0}}, {"a": {"alpha": after}}
    for subject in ("alpha", "max(alpha)", "layers.*.alpha", "layers.a.alpha", "2 * alpha / 2"):
        if "no worse" in condition and "/" in subject:
            continue
        verdict = judged(f"{subject}: {condition}", now, before)
        assert verdict.passed is holds, (subject, reasons(verdict))
        for own in verdict.broken:
            assert own.second == after
            assert own.change is None or own.change == after - 4.0


def test_percent_is_of_the_magnitude_of_the_baseline(judged):
    before = {"a": {"alpha": -4.0}}
    assert judged("alpha: +5%", {"a": {"alpha": -3.8}}, before).passed
    verdict = judged("alpha: +5%", {"a": {"alpha": -3.7}}, before)
    assert reasons(verdict) == ["alpha rises by 0.3 (+7.5 %), from -4 to -3.7: +5% is allowed"]
    assert verdict.broken[0].limit == 0.2
    assert not judged("alpha: +5%", {"a": {"alpha": 1e-9}}, {"a": {"alpha": 0.0}}).passed


def test_what_is_better_higher_may_not_fall(judged):
    before, fallen = {"a": {"quality": 4.0}}, {"a": {"quality": 3.0}}
    assert judged("quality: no worse", {"a": {"quality": 5.0}}, before).passed
    verdict = judged("layers.*.quality: no worse", fallen, before)
    assert reasons(verdict) == ["a pool 0: quality falls by 1 (-25 %), from 4 to 3: that is worse"]


def test_an_expression_is_taken_of_summaries_on_each_side(judged):
    before = {"a": {"alpha": 2.0, "count": 4.0}, "b": {"alpha": 6.0, "count": 4.0}}
    after = {"a": {"alpha": 2.0, "count": 2.0}, "b": {"alpha": 6.0, "count": 2.0}}
    verdict = judged("alpha / count: +50% and < 3", after, before)
    assert reasons(verdict) == ["alpha / count rises by 1 (+100 %), from 1 to 2: +50% is allowed"]
    assert verdict.measured == "1 -> 2 (+100 %)"
    assert judged("max(alpha) - min(alpha): < 5", after).measured == "4"
    for rule, sentence in (("alpha / (count - 2): < 3", "divides by zero"), ("log10(-alpha): +5%", "no finite value")):
        (own,) = judged(rule, after, before).broken
        assert sentence in own.reason


def test_only_the_matrices_that_means_are_about_count_for_a_mean(judged, made_report):
    told = {"secondary": {"a": {"alpha": None}}}
    assert judged("alpha: < 6", made_report({"a": {"alpha": 4.0}}, **told)).passed
    verdict = judged("layers.*.alpha: < 6", made_report({"a": {"alpha": 4.0}}, **told))
    assert reasons(verdict) == ["a slice 0: alpha has no value in new: refused: 1 of 2 weights is NaN"]


# --- texts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ("", "", ""),
        ("bad", "", ""),
        ("bad", "bad", ""),
        ("", "bad", "is new: 'bad'; before there was none"),
        ("worse", "bad", "is new: 'bad'; before it was 'worse'"),
        (NOT_APPLICABLE, "bad", "is new: 'bad'; before there was none"),
        (NOT_APPLICABLE, "", ""),
        ("bad", NOT_APPLICABLE, "has a value in old and none in new: not_applicable: no bias"),
        (NOT_APPLICABLE, NOT_APPLICABLE, ""),
    ],
)
def test_no_text_may_be_new(judged, before, after, sentence):
    others = {"b": {"warning": "known"}}
    for rule in ("warning: no new", "layers.a.warning: no new"):
        verdict = judged(rule, {"a": {"warning": after}} | others, {"a": {"warning": before}} | others)
        if "layers" in rule and before == after == NOT_APPLICABLE:
            assert reasons(verdict) == ["warning has no value in new"]  # a rule that measures nothing is no gate
        else:
            assert reasons(verdict) == ([f"a pool 0: warning {sentence}"] if sentence else [])


def test_a_yes_may_not_be_new_and_a_new_layer_may_have_no_text(judged):
    verdict = judged("short: no new", {"a": {"short": True}, "b": {"short": True}}, {"a": {"short": True}})
    assert reasons(verdict) == ["b pool 0: short is new: 'yes'; before there was none"]
    assert judged("short: no new", {"a": {"short": False}}, {"a": {"short": True}, "gone": {"short": True}}).passed


# --- values that are not there ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "missing", [None, math.nan, math.inf, -math.inf, NOT_APPLICABLE, Outcome(State.REFUSED, reason="why")]
)
def test_a_value_that_is_gone_breaks_a_limit_of_change(judged, missing):
    before, after = {"a": {"alpha": 4.0}, "b": {"alpha": 4.0}}, {"a": {"alpha": 4.0}, "b": {"alpha": missing}}
    for rule in ("alpha: +5%", "layers.*.alpha: +5%", "alpha: no worse", "min(alpha) / 2: -5%"):
        (own,) = judged(rule, after, before).broken
        assert (own.layer, own.second) == ("b", None)
        assert own.reason.startswith("has a value in old and none in new: ")
    # It was not there before either.
    assert judged("alpha: +5%", after, after).passed
    assert judged("layers.*.alpha: +5%", after, after).passed
    # It is there now, and was not: what cannot be measured is not passed.
    (own,) = judged("layers.*.alpha: +5%", before, after).broken
    assert "cannot be compared: it has no value in old" in own.reason


@pytest.mark.parametrize("missing", [None, math.nan, math.inf, -math.inf])
def test_a_value_that_cannot_be_trusted_breaks_a_limit_of_value(judged, missing):
    after = {"a": {"alpha": 4.0}, "b": {"alpha": missing}}
    for rule in ("alpha: < 6", "layers.*.alpha: < 6", "layers.*.alpha: > 2"):
        (own,) = judged(rule, after).broken
        assert own.layer == "b"
        assert own.reason.startswith("has no value in new: ")


def test_what_makes_no_sense_somewhere_breaks_no_limit_of_value(judged):
    after = {"a": {"alpha": 4.0}, "b": {"alpha": NOT_APPLICABLE}}
    assert judged("alpha: < 6", after).passed
    verdict = judged("layers.*.alpha: < 6", after)
    assert (verdict.passed, verdict.measured) == (True, "1 measured, none broken")
    for rule in ("layers.b.alpha: < 6", "layers.b.alpha: +5%"):
        assert reasons(judged(rule, after, after)) == ["alpha has no value in new"]
    (own,) = judged("alpha: < 6", {"b": {"alpha": NOT_APPLICABLE}}).broken
    assert own.reason == "has no value: new has no value of alpha"


def test_layers_that_come_and_go(judged):
    one, two = {"a": {"alpha": 4.0}}, {"a": {"alpha": 4.0}, "b": {"alpha": 4.0}}
    gone = judged("layers.*.alpha: +5%", one, two)
    assert reasons(gone) == ["b pool 0: alpha has a value in old, and new has no such matrix or layer"]
    come = judged("layers.*.alpha: +5%", two, one)
    assert reasons(come) == ["b pool 0: alpha cannot be compared: old has no such matrix or layer"]
    assert judged("layers.*.alpha: < 5", one, two).passed
    assert judged("alpha: +5%", two, one).passed


# --- what does not mean the same --------------------------------------------------------------------------------------


def test_versions_of_a_metric_are_never_subtracted(judged, made_report):
    layers = {"a": {"alpha": 4.0, "warning": ""}}
    old, new = made_report(layers), made_report(layers, versions={"alpha": "2", "warning": "2"})
    for rule in ("alpha: +5%", "layers.*.alpha: +5%", "max(alpha) / 2: +5%", "warning: no new", "alpha: no worse"):
        (own,) = judged(rule, new, old).broken
        assert own.reason == "cannot be compared: version 1 in old, 2 in new"
        assert own.change is None
    assert judged("alpha: < 6", new, old).passed


def test_a_column_that_the_candidate_lacks_and_one_that_the_baseline_lacks(judged):
    one, other = {"a": {"alpha": 4.0}}, {"a": {"count": 4.0}}
    (own,) = judged("alpha: +5%", one, other).broken
    assert own.reason == "cannot be compared: only new has it"
    found = judged("alpha: +5%", other, one).broken
    assert [own.reason for own in found] == [
        "cannot be compared: only old has it",
        "has no value: new has no column alpha",
    ]


def test_other_extractors_and_other_layers(judged, made_report):
    from dataclasses import replace

    old = made_report({"a": {"alpha": 4.0}})
    other = replace(old, columns=tuple(replace(own, variant="another") for own in old.columns))
    assert reasons(judged("alpha: +5%", other, old)) == [
        "alpha cannot be compared: over the matrices of other extractors"
    ]
    assert judged("layers.*.alpha: +5%", other, old).passed  # a row is known by its own extractor
    narrowed = replace(old, chosen_layers=("a",))
    assert reasons(judged("alpha: +5%", narrowed, old)) == ["alpha cannot be compared: over other layers"]
    regrouped = replace(old, layers=tuple(replace(row, groups=2) for row in old.layers))
    assert reasons(judged("layers.*.alpha: +5%", regrouped, old)) == [
        "a pool 0: alpha cannot be compared: 1 groups in old, 2 in new"
    ]


# --- partial and provisional ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", [{"state": "interrupted"}, {"unread": 1}, {"provisional": True}, {}])
def test_what_is_not_all_there_breaks_a_rule_that_does_not_allow_it(judged, made_report, what):
    whole = {"a": {"alpha": 4.0}, "b": {"alpha": 4.0}}
    part = made_report(whole if what else whole | {"b": {"alpha": FAILED}}, **what)
    for rule in ("alpha: +5%", "layers.*.alpha: +5%", "max(alpha) / 2: +5%"):
        for candidate, baseline in ((part, whole), (whole, part)):
            (own,) = judged(rule, candidate, baseline).broken
            assert own.reason.startswith("cannot be judged: ")
            assert own.reason.endswith("(the rule may end in '(partial allowed)')")
            assert judged(f"{rule} (partial allowed)", candidate, baseline).passed
    # A limit of value asks the candidate alone.
    assert judged("alpha: < 6", whole, part).passed
    assert not judged("alpha: < 6", part).passed
    assert judged("alpha: < 6 (partial allowed)", part).passed


def test_text_columns_are_partial_too(judged, made_report):
    part = made_report({"a": {"warning": ""}}, state="interrupted")
    assert not judged("warning: no new", part, part).passed


# --- usage ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ("alhpa: < 6", "unknown column 'alhpa': did you mean alpha"),
        ("layers.*.alhpa: < 6", "unknown column 'alhpa': did you mean alpha"),
        ("layers.blcok.alpha: < 6", "unknown layer 'blcok': did you mean block"),
        ("alpha: no new", "alpha is a number: 'no new' is for texts"),
        ("warning: < 6", "warning is a text: only 'no new' can be used for it"),
        ("layers.*.warning: +5%", "warning is a text"),
        ("short: < 6", "short is yes or no"),
        ("warning: no new and < 6", "warning is a text"),
        ("count: no worse", "neither direction of count is worse"),
        ("layers.*.total: < 6", "total is a column of the model"),
        ("warning / 2: < 6", "warning is a text"),
    ],
)
def test_rules_that_make_no_sense_of_these_columns(judged, made_report, rule, sentence):
    layers = {"block": {"alpha": 4.0, "warning": "", "short": False, "count": 1.0}}
    report = made_report(layers, model={"total": 3.0})
    with pytest.raises(UsageError) as caught:
        judged(rule, report, report)
    assert sentence in str(caught.value)
    assert caught.value.__notes__ == [f"    in the rule {rule}"]


def test_columns_of_layers_and_of_the_model(judged, made_report):
    old = made_report({"a": {"alpha": 4.0}}, wholes={"n": {"std": 1.0}}, model={"total": 3.0})
    new = made_report({"a": {"alpha": 4.0}}, wholes={"n": {"std": 2.0}}, model={"total": 4.0})
    assert reasons(judged("layers.*.std: +5%", new, old)) == ["n: std rises by 1 (+100 %), from 1 to 2: +5% is allowed"]
    assert reasons(judged("total: no worse", new, old)) == ["total rises by 1 (+33.3 %), from 3 to 4: that is worse"]
    gone = made_report({"a": {"alpha": 4.0}}, model={"total": None})
    (own,) = judged("total: < 9", gone).broken[:1]
    assert own.reason == "has no value in new: refused: 1 of 2 weights is NaN"
    with pytest.raises(UnknownNameError):
        judged("layers.*.nothing: < 9", gone)


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["a.b.c", "w[0]", "x\ny", "it's", '"q"', "größe.層", "a: b", "*", "[", "a'b\"c\\d", "<script>", "\ud800"]
)
def test_any_layer_can_be_named(judged, name):
    from ww_core.domain.rules.rule import LayerColumn, Rule, ValueLimit

    rule = str(Rule(LayerColumn(name, "alpha"), (ValueLimit("<", 6.0),)))
    verdict = judged(rule, {name: {"alpha": 7.0}, "other": {"alpha": 1.0}})
    assert [own.layer for own in verdict.broken] == [name]


# --- properties -------------------------------------------------------------------------------------------------------

values = st.one_of(st.floats(-10, 10), st.none(), st.just(math.nan), st.just(math.inf), st.just(NOT_APPLICABLE))
networks = st.dictionaries(st.sampled_from("abcd"), st.fixed_dictionaries({"alpha": values}), min_size=1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(networks, networks, st.floats(0, 50), st.floats(0, 50), st.sampled_from(["+", "-", "+-"]))
def test_a_verdict_is_monotone_in_the_limit(judged, before, after, one, other, sign):
    narrow, wide = sorted((one, other))
    for subject in ("alpha", "max(alpha)", "layers.*.alpha"):
        held = [judged(f"{subject}: {sign}{limit!r}%", after, before).passed for limit in (narrow, wide)]
        assert held[1] or not held[0]
        held = [judged(f"{subject}: < {limit!r}", after).passed for limit in (narrow, wide)]
        assert held[1] or not held[0]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(networks)
def test_nothing_is_worse_than_itself(judged, layers):
    for rule in ("alpha: no worse", "layers.*.alpha: +-0%"):
        verdict = judged(rule, layers, layers)
        measured = any(isinstance(own["alpha"], float) and math.isfinite(own["alpha"]) for own in layers.values())
        assert verdict.passed is measured
