"""Which model is best by a metric: ranks, scores beside them, and how far both agree, by scipy's numbers."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from published import Paper
from scipy import stats

import ww_core as ww


@pytest.fixture
def store():
    with ww.open_store(None) as store:
        yield store


def families():
    """Two series whose orders by alpha are right inside of each and wrong between them, and one model of none."""
    paper = Paper()
    for at in range(8):
        paper.add(f"small-{at}", "small", alpha=2 + 0.1 * at, rank=at, score=40 + at)
        paper.add(f"large-{at}", "large", alpha=5 + 0.1 * at, rank=at % 4, score=10 + at)
    return paper.add("alone", alpha=3.0, rank=1.0)


def ranks(answer, series=""):
    return {own.model: own.rank for own in answer.models if own.series == series}


def test_the_lowest_is_first_where_lower_is_better_and_the_highest_where_higher_is(store):
    families().record(store)
    lower = ww.leaderboard("alpha", store=store)
    assert [own.series for own in lower.models] == ["large"] * 8 + ["small"] * 8 + [""]
    assert ranks(lower, "small") == {f"small-{at}": at + 1 for at in range(8)}
    assert ranks(lower) == {"alone": 1}
    higher = ww.leaderboard("rank", store=store)
    assert ranks(higher, "small") == {f"small-{at}": 8 - at for at in range(8)}
    turned = ww.leaderboard("alpha", store=store, better="higher")
    assert ranks(turned, "small") == {f"small-{at}": 8 - at for at in range(8)}
    assert (lower.better, higher.better, turned.better) == ("lower", "higher", "higher")


def test_equal_values_share_a_rank_and_the_next_place_counts_them(store):
    paper = Paper()
    for model, alpha in {"a": 2, "b": 1, "c": 2, "d": 3, "e": 1, "f": 2}.items():
        paper.add(model, alpha=alpha)
    answer = ww.leaderboard("alpha", store=paper.record(store))
    assert [(own.model, own.rank, own.is_tied) for own in answer.models] == [
        ("b", 1, True),
        ("e", 1, True),
        ("a", 3, True),
        ("c", 3, True),
        ("f", 3, True),
        ("d", 6, False),
    ]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.sampled_from("uvw")), min_size=2, max_size=20),
    st.sampled_from(["lower", "higher"]),
    st.sampled_from(["lower", "higher"]),
)
def test_ranks_and_agreement_are_those_of_scipy(models, better, score_better):
    paper = Paper(better={"alpha": better})
    for at, (alpha, score, series) in enumerate(models):
        paper.add(f"m{at:02}", series, alpha=alpha, score=score, better=score_better)
    with ww.open_store(None) as store:
        answer = ww.leaderboard("alpha", store=paper.record(store), replicates=0)
    sign, score_sign = (1 if own == "lower" else -1 for own in (better, score_better))
    x, y = (np.array([own[at] for own in models], float) for at in range(2))
    groups = np.array([own[2] for own in models])
    for series in set(groups):
        of_series = groups == series
        own = {model.model: model for model in answer.models if model.series == series}
        assert [own[name].rank for name in sorted(own)] == list(stats.rankdata(sign * x[of_series], "min"))
        assert [own[name].score_rank for name in sorted(own)] == list(stats.rankdata(score_sign * y[of_series], "min"))
        told = answer.by_series[series]
        for statistic, oracle in ((told.tau, stats.kendalltau), (told.rho, stats.spearmanr)):
            assert statistic.n == of_series.sum()
            if len(set(x[of_series])) > 1 and len(set(y[of_series])) > 1:
                wanted = oracle(sign * x[of_series], score_sign * y[of_series]).statistic
                assert statistic.value == pytest.approx(wanted, abs=1e-12)
            else:
                assert math.isnan(statistic.value)
                assert statistic.reason
    if len(set(groups)) == 1:
        assert answer.inside is answer.between is answer.overall is None
        return
    if len(set(x)) > 1 and len(set(y)) > 1:
        assert answer.overall.tau.value == pytest.approx(
            stats.kendalltau(sign * x, score_sign * y).statistic, abs=1e-12
        )
    for told, is_inside in ((answer.inside, True), (answer.between, False)):
        pairs = [
            (np.sign(sign * (x[i] - x[j])), np.sign(score_sign * (y[i] - y[j])))
            for i in range(len(x))
            for j in range(i)
            if (groups[i] == groups[j]) == is_inside
        ]
        untied = math.sqrt(sum(abs(one) for one, _ in pairs)) * math.sqrt(sum(abs(other) for _, other in pairs))
        if untied:
            assert told.tau.value == pytest.approx(sum(one * other for one, other in pairs) / untied, abs=1e-12)
        else:
            assert math.isnan(told.tau.value)


def test_intervals_hold_the_value_and_are_the_same_each_time(store):
    families().record(store)
    one, other = (ww.leaderboard("rank", store=store).to_dict() for _ in range(2))
    assert one == other
    for told in (*one["by_series"], one["inside"], one["between"], one["overall"]):
        for statistic in (told["tau"], told["rho"]):
            assert statistic["reason"] or statistic["low"] <= statistic["value"] <= statistic["high"]
    assert one["inside"]["tau"]["low"] < one["inside"]["tau"]["high"]
    without = ww.leaderboard("rank", store=store, replicates=0).inside.tau
    assert (without.value, math.isnan(without.low)) == (one["inside"]["tau"]["value"], True)


def test_where_groups_hide_what_holds_inside_of_them_it_warns(store):
    answer = ww.leaderboard("alpha", store=families().record(store))
    assert answer.inside.tau.value == 1
    assert answer.between.tau.value == -1
    (warning,) = answer.warnings
    assert "inside series alpha and top1_error agree with tau 1.00, between series with -1.00" in warning
    assert "Simpson's paradox" in warning
    assert ww.leaderboard("alpha", store=store, series=["small"]).warnings == ()


def test_so_few_models_that_luck_may_order_them_are_told(store):
    paper = families()
    for at in range(4):
        paper.add(f"tiny-{at}", "tiny", alpha=at, score=at)
    answer = ww.leaderboard("alpha", store=paper.record(store), series=["tiny", "small"])
    assert "tiny: 4 models with both: of 4 models the order is perfect by luck once in 12 times" in answer.warnings
    assert answer.by_series["tiny"].chance == pytest.approx(2 / math.factorial(4))


def test_a_caveat_of_a_column_warns_of_its_plain_mean(store):
    paper = families()
    paper.caveats = {"alpha": "It does not order networks that differ in depth."}
    paper.record(store)
    for metric, warns in (("alpha", True), ("rank", False), ("alpha * 2", False)):
        answer = ww.leaderboard(metric, store=store, better="lower", series=["small"])
        assert ("alpha: It does not order networks that differ in depth." in answer.warnings) is warns


def test_models_without_score_stand_beside_the_others_and_are_counted(store):
    paper = Paper()
    for at in range(6):
        paper.add(f"m{at}", "s", alpha=at, score=at if at < 4 else None)
    paper.add("without", "s", rank=1.0, score=3.5)
    answer = ww.leaderboard("alpha", store=paper.record(store))
    assert answer.counts._asdict() == {"models": 7, "ranked": 6, "with_score": 5, "with_both": 4}
    assert answer.to_dict()["counts"] == answer.counts._asdict()
    (last,) = [own for own in answer.models if own.rank is None]
    assert (last.model, last.score, last.score_rank) == ("without", 3.5, 5)
    assert last.reason == "paper has no value of it"
    assert [own.score_rank for own in answer.models] == [1, 2, 3, 4, None, None, 5]
    assert answer.by_series["s"].tau.n == 4


def test_without_any_score_there_are_ranks_alone(store):
    paper = Paper().add("a", alpha=1.0).add("b", alpha=2.0)
    answer = ww.leaderboard("alpha", store=paper.record(store))
    assert answer.score is None
    assert answer.by_series == {}
    assert answer.counts == (2, 2, 0, 0)
    assert answer.warnings == ()
    for more in ({"score": "top1_error"}, {"dataset": "imagenet"}, {"source": "paper"}):
        with pytest.raises(ww.NotStoredError, match="none of these models has a score: `ww scores add`"):
            ww.leaderboard("alpha", store=store, **more)


def test_several_scores_are_compared_one_at_a_time(store):
    paper = Paper()
    for at in range(5):
        paper.add(f"m{at}", alpha=at, score=at)
        paper.score(f"m{at}", 90 - at, name="top5_accuracy", better="higher")
        paper.score(f"m{at}", at, dataset="imagenet-v2", name="f1")
        paper.score(f"m{at}", at, dataset="imagenet", name="f1")
        paper.score(f"m{at}", at + 1, dataset="imagenet", name="f1", source="another")
    paper.record(store)
    answer = ww.leaderboard("alpha", store=store)
    assert answer.score is None
    (warning,) = answer.warnings
    assert warning == (
        "no score is compared, because there are several, f1, top1_error, top5_accuracy: name one by --score"
    )
    assert ww.leaderboard("alpha", store=store, score="top1_error").by_series[""].tau.value == 1
    turned = ww.leaderboard("alpha", store=store, score="top5_accuracy")
    assert turned.by_series[""].tau.value == 1  # from best to worst, both
    assert [own.score_rank for own in turned.models] == [1, 2, 3, 4, 5]
    for more, words in (
        ({"score": "f1"}, r"f1 of m0 on imagenet is reported as 1 by another, 0 by paper: name one by --source"),
        ({"score": "f1", "source": "paper"}, "f1 is reported on imagenet, imagenet-v2: name one by --dataset"),
        ({"score": "f2"}, "unknown score 'f2': known: f1, top1_error"),
        ({"score": "f1", "dataset": "imagenet-v3"}, "unknown dataset of f1 'imagenet-v3': did you mean imagenet"),
        ({"score": "f1", "dataset": "imagenet-v2", "source": "another"}, "unknown source of f1 'another'"),
    ):
        with pytest.raises(ww.UsageError, match=words):
            ww.leaderboard("alpha", store=store, **more)
    chosen = ww.leaderboard("alpha", store=store, score="f1", dataset="imagenet", source="another")
    assert (chosen.dataset, chosen.score.sources) == ("imagenet", ("another",))


def test_the_only_score_that_is_ambiguous_costs_no_ranks(store):
    paper = Paper().add("a", alpha=1.0, score=1.0).add("b", alpha=2.0, score=1.0, dataset="cifar")
    answer = ww.leaderboard("alpha", store=paper.record(store))
    assert ranks(answer) == {"a": 1, "b": 2}
    assert answer.warnings == (
        "no score is compared, because top1_error is reported on cifar, imagenet: name one by --dataset",
    )


def test_scores_that_differ_in_what_they_are_are_refused(store):
    paper = Paper().add("a", alpha=1.0, score=1.0)
    paper.add("b", alpha=2.0).score("b", 0.4, better="higher", unit="")
    paper.record(store)
    with pytest.raises(ww.UsageError, match="differ in what they are"):
        ww.leaderboard("alpha", store=store, score="top1_error")


def test_a_score_without_direction_says_how_its_ranks_count(store):
    paper = Paper()
    for at in range(6):
        paper.add(f"m{at}", alpha=at, score=at, name="size", better="none")
    answer = ww.leaderboard("alpha", store=paper.record(store))
    assert [own.score_rank for own in answer.models] == [6, 5, 4, 3, 2, 1]
    assert answer.warnings == ("size has no direction: its ranks count from the highest",)


def test_a_model_of_several_series_is_ranked_in_each_and_told(store):
    paper = families()
    paper.add("both", ["small", "large"], alpha=4.0, score=20.0)
    answer = ww.leaderboard("alpha", store=paper.record(store))
    assert (ranks(answer, "small")["both"], ranks(answer, "large")["both"]) == (9, 1)
    assert answer.counts.models == 18
    assert "in several series, and counted in each: both" in answer.warnings
    one = ww.leaderboard("alpha", store=store, series=["small"])
    assert {own.series for own in one.models} == {"small"}
    assert one.warnings == ()


def test_models_of_no_series_are_no_family(store):
    paper = families()
    with_none = ww.leaderboard("alpha", store=paper.record(store))
    for at in range(6):
        paper.add(f"none-{at}", alpha=9 - at, score=50 + at)
    paper.source = paper.provider = "another"
    answer = ww.leaderboard("alpha", store=paper.record(store), reported="another")
    assert answer.by_series[""].tau.value == -1
    for name in ("inside", "between", "overall"):
        assert getattr(answer, name).tau.value == getattr(with_none, name).tau.value


def test_a_metric_without_direction_is_refused_and_those_with_one_are_listed(store):
    families().add("a", log_norm=2.0).record(store)
    with pytest.raises(ww.UsageError, match=r"log_norm has no direction.* a column that has one: alpha, rank$"):
        ww.leaderboard("log_norm", store=store)
    with pytest.raises(ww.UsageError, match="alpha / rank is an expression, and its direction is unknown"):
        ww.leaderboard("alpha / rank", store=store)
    assert ww.leaderboard("log_norm", store=store, better="lower").models[-1].reason
    with pytest.raises(ww.UnknownNameError, match="unknown direction 'less'"):
        ww.leaderboard("log_norm", store=store, better="less")


def test_an_expression_is_ranked_by_what_it_comes_to(store):
    families().record(store)
    answer = ww.leaderboard("alpha / rank", store=store, better="lower", series=["small"])
    values = {own.model: own.value for own in answer.models}
    assert values["small-4"] == pytest.approx(2.4 / 4)
    (last,) = [own for own in answer.models if own.rank is None]
    assert (last.model, last.reason) == ("small-0", "alpha / rank divides by zero")
    kept = ww.leaderboard("alpha", store=store, where=["rank > 2", "alpha < 2.65"])
    assert [own.model for own in kept.models] == [f"small-{at}" for at in (3, 4, 5, 6)]
    with pytest.raises(ww.NotStoredError, match="no model keeps the condition 'rank > 99'"):
        ww.leaderboard("alpha", store=store, where=["rank > 99"])


def test_wrong_questions_are_one_sentence(store):
    families().record(store)
    for arguments, words in (
        ({"metric": ""}, "metrics must be texts that are not empty"),
        ({"metric": "alpha, rank"}, "ranked by one metric, not by 2"),
        ({"metric": "alpha +"}, "metric 'alpha \\+', character 8"),
        ({"metric": "3"}, "'3' names no column"),
        ({"metric": "alhpa"}, "^alhpa: no imported table has it, and no model is stored here"),
        ({"where": ["alpha"]}, "condition 'alpha', character 6"),
        ({"where": ["1 < 2"]}, "names no column"),
        ({"where": ["nix < 2"]}, "^nix: no imported table has it"),
        ({"series": ["smal"]}, "unknown series 'smal': did you mean small"),
        ({"models": ["smal"]}, "unknown model 'smal'"),
        ({"over": "slices"}, "unknown kind of mean 'slices'"),
        ({"min_m": -1}, "the smallest M must be a whole number from 0 on"),
        ({"min_m": 2.5}, "the smallest M must be a whole number"),
        ({"replicates": -1}, "the number of resamples must be a whole number from 0 on"),
        ({"profile": "default", "reported": "paper"}, "give one of the two"),
        ({"reported": "paper", "every_version": True}, "no order of versions"),
        ({"reported": "papr"}, "unknown table or provider 'papr': did you mean paper"),
    ):
        with pytest.raises(ww.WWError, match=words) as caught:
            ww.leaderboard(**({"metric": "alpha", "store": store} | arguments))
        assert "\n" not in str(caught.value)


def test_our_own_values_come_first_and_those_of_others_where_there_are_none(store, weights):
    families().record(store)
    assert ww.leaderboard("alpha", store=store).origin == "paper"
    ww.analyze(weights, store=store, name="net")
    assert ww.leaderboard("alpha", store=store).origin == "profile default"
    assert ww.leaderboard("alpha", store=store, reported="paper").origin == "paper"
    assert ww.leaderboard("alpha", store=store, series=["small"]).origin == "paper"
    with pytest.raises(ww.UnknownNameError, match="unknown model 'nat': did you mean net"):
        ww.leaderboard("alpha", store=store, models=["nat"])
    with pytest.raises(ww.NotStoredError, match="under profile 'weightwatcher'"):
        ww.leaderboard("alpha", store=store, profile="weightwatcher")


def test_tables_of_several_providers_are_told_apart(store):
    families().record(store)
    another = Paper("more", "paper 2").add("x", "xs", alpha=1.0)
    another.record(store)
    with pytest.raises(ww.UsageError, match="alpha: several tables report it, more, paper: name one by --reported"):
        ww.leaderboard("alpha", store=store)
    assert ranks(ww.leaderboard("alpha", store=store, reported="paper 2"), "xs") == {"x": 1}
    third = Paper("third", "paper 2").add("y", "xs", alpha=0.5)
    third.record(store)
    assert ranks(ww.leaderboard("alpha", store=store, reported="paper 2"), "xs") == {"y": 1, "x": 2}


def test_versions_of_one_model_can_be_ranked_too(store, weights):
    for at, scale in enumerate((3, 1, 2)):
        ww.analyze({name: own * np.asarray(scale, own.dtype) for name, own in weights.items()}, store=store, name="net")
        store.add_scores([ww.Score("net", "loss", "val", float(scale), "me", str(at + 1), better="lower")])
    assert [own.version for own in ww.leaderboard("spectral_norm", store=store, better="lower").models] == ["3"]
    every = ww.leaderboard("spectral_norm", store=store, better="lower", every_version=True)
    assert [(own.version, own.rank, own.score_rank) for own in every.models] == [("2", 1, 1), ("3", 2, 2), ("1", 3, 3)]
    assert every.models[0].present == 3


def test_equal_weights_have_equal_scores(store, weights):
    for name in ("one", "two"):
        ww.analyze(weights, store=store, name=name)
    store.add_scores([ww.Score("one", "loss", "val", 1.5, "me", better="lower")])
    answer = ww.leaderboard("alpha", store=store)
    assert [(own.model, own.score, own.is_tied) for own in answer.models] == [("one", 1.5, True), ("two", 1.5, True)]


def test_the_first_of_each_series_are_shown_and_all_are_compared(store):
    answer = ww.leaderboard("alpha", store=families().record(store))
    first = answer.first(2)
    assert [own.model for own in first.models] == ["large-0", "large-1", "small-0", "small-1", "alone"]
    assert first.by_series == answer.by_series
    assert first.counts == answer.counts
    assert answer.first(None) is answer


def test_its_dict_is_json_and_its_frame_has_a_row_a_model(store):
    paper = families().add("x", "s", rank=1.0)
    answer = ww.leaderboard("alpha", store=paper.record(store))
    told = json.loads(json.dumps(answer.to_dict(), allow_nan=False))
    assert told["models"] == answer.rows()
    assert told["score"] == {"name": "top1_error", "better": "lower", "unit": "%", "sources": ["paper"]}
    frame = answer.to_pandas()
    assert list(frame["model"]) == [own.model for own in answer.models]
    assert frame["rank"].isna().sum() == 1
