"""How well metrics predict scores: a line for each group, by numpy's and scipy's numbers."""

import json
import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from published import Paper
from scipy import stats

import ww_core as ww
from ww_core.domain.trend import FIGURES


@pytest.fixture
def store():
    with ww.open_store(None) as store:
        yield store


def families(count=8):
    """Two series on two datasets, of noisy lines, and models of no series."""
    drawn = np.random.default_rng(5)
    paper = Paper()
    for at in range(count):
        for series, slope in (("vgg", 3.0), ("resnet", -2.0)):
            alpha = 2 + at / 4
            paper.add(f"{series}-{at}", series, alpha=alpha, rank=float(drawn.normal(3, 1)))
            for dataset in ("cifar", "imagenet"):
                paper.score(f"{series}-{at}", 20 + slope * alpha + float(drawn.normal(0, 0.3)), dataset=dataset)
    for at in range(4):
        paper.add(f"none-{at}", alpha=3 + at, rank=1.0, score=20.0 + at)
    return paper


def test_a_line_a_group_is_that_of_numpy_and_scipy(store):
    paper = families()
    answer = ww.trend(["alpha", "rank"], "top1_error", store=paper.record(store), by=["series", "dataset"])
    assert [(own.metric, own.series, own.dataset) for own in answer.lines] == [
        (metric, series, dataset)
        for metric in ("alpha", "rank")
        for series in ("resnet", "vgg")
        for dataset in ("cifar", "imagenet")
    ]
    scores = {(own.model, own.dataset): own.value for own in paper.scores}
    for line in answer.lines:
        models = [f"{line.series}-{at}" for at in range(8)]
        x = np.array([paper.models[own][line.metric] for own in models])
        y = np.array([scores[own, line.dataset] for own in models])
        slope, intercept = np.polyfit(x, y, 1)
        sse = float(((y - slope * x - intercept) ** 2).sum())
        wanted = {
            "slope": slope,
            "intercept": intercept,
            "mse": sse / 8,
            "rmse": math.sqrt(sse / 8),
            "r2": np.corrcoef(x, y)[0, 1] ** 2,
            "tau": stats.kendalltau(x, y).statistic,
            "rho": stats.spearmanr(x, y).statistic,
        }
        for figure, own in line.figures().items():
            assert own.value == pytest.approx(wanted[figure], rel=1e-9), figure
            assert own.low <= own.value <= own.high or figure in {"mse", "rmse"}
            assert own.n == line.n == 8
        assert line.chance == pytest.approx(stats.kendalltau(x, y, method="exact").pvalue, rel=1e-9)
        points = [own for own in answer.points if own[:3] == line[:3]]
        assert [own.model for own in points] == models
        np.testing.assert_array_equal([[own.x, own.y] for own in points], np.column_stack([x, y]))
    assert answer.line("rank", "vgg", "cifar") in answer.lines
    with pytest.raises(KeyError):
        answer.line("rank", "vgg")


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 100)), min_size=3, max_size=12),
    st.integers(0, 2),
    st.sampled_from(["error", "accuracy", "reported"]),
)
def test_any_group_comes_to_what_the_definitions_say(models, ddof, reading):
    paper = Paper()
    for at, (x, y) in enumerate(models):
        paper.add(f"m{at:02}", alpha=x, score=y)
    with ww.open_store(None) as store:
        ask = {"store": paper.record(store), "by": "none", "replicates": 0, "ddof": ddof, "reading": reading}
        (line,) = ww.trend(["alpha"], "top1_error", **ask).lines
    x, y = np.array(models, float).T
    y = 100 - y if reading == "accuracy" else y
    for name, told, oracle in (("tau", line.tau, stats.kendalltau), ("rho", line.rho, stats.spearmanr)):
        if len(set(x)) > 1 and len(set(y)) > 1:
            assert told.value == pytest.approx(oracle(x, y).statistic, abs=1e-12), name
        else:
            assert (math.isnan(told.value), bool(told.reason)) == (True, True)
    if len(set(x)) == 1:
        assert math.isnan(line.slope.value)
        return
    fit = np.linalg.lstsq(np.column_stack([x, np.ones_like(x)]), y, rcond=None)[0]
    assert line.slope.value == pytest.approx(fit[0], abs=1e-9)
    assert line.intercept.value == pytest.approx(fit[1], abs=1e-9)
    sse = float(((y - fit[0] * x - fit[1]) ** 2).sum())
    assert line.mse.value == pytest.approx(sse / (len(x) - ddof), abs=1e-9)
    assert line.rmse.value == pytest.approx(math.sqrt(sse / (len(x) - ddof)), abs=1e-6)


def test_groups_are_by_series_dataset_both_or_none(store):
    families().record(store)
    by = {
        own: ww.trend(["alpha"], "top1_error", store=store, by=own, dataset=dataset, replicates=0)
        for own, dataset in (("series", "imagenet"), ("dataset", ""), ("none", "imagenet"))
    }
    assert [(own.series, own.dataset, own.n) for own in by["series"].lines] == [("resnet", "", 8), ("vgg", "", 8)]
    assert [(own.series, own.dataset, own.n) for own in by["dataset"].lines] == [
        ("", "cifar", 16),
        ("", "imagenet", 20),
    ]
    assert [(own.series, own.dataset, own.n) for own in by["none"].lines] == [("", "", 20)]
    assert by["series"].counts == (20, 20, 16)
    assert by["none"].counts == (20, 20, 20)
    for other in ((), ("none",)):
        same = ww.trend(["alpha"], "top1_error", store=store, by=other, dataset="imagenet", replicates=0)
        assert same.to_dict() == by["none"].to_dict()
    both = [
        ww.trend(["alpha"], "top1_error", store=store, by=own, replicates=0)
        for own in (("dataset", "series"), ("series", "dataset"))
    ]
    assert both[0].to_dict() == both[1].to_dict()


def test_a_model_of_two_series_is_in_both_groups_and_once_in_one(store):
    paper = families()
    paper.add("both", ["vgg", "resnet"], alpha=3.0, score=30.0)
    paper.record(store)
    series = ww.trend(["alpha"], "top1_error", store=store, dataset="imagenet", replicates=0)
    assert [own.n for own in series.lines] == [9, 9]
    assert [
        own.n
        for own in ww.trend(["alpha"], "top1_error", store=store, dataset="imagenet", by="none", replicates=0).lines
    ] == [21]
    one = ww.trend(["alpha"], "top1_error", store=store, dataset="imagenet", series=["vgg"], replicates=0)
    assert [own.series for own in one.lines] == ["vgg"]


def test_small_groups_have_no_line_and_are_told(store):
    paper = families()
    for at in range(2):
        paper.add(f"tiny-{at}", "tiny", alpha=at, score=at)
    paper.add("no-value", "vgg", rank=1.0, score=3.0)
    paper.record(store)
    answer = ww.trend(["alpha", "rank"], "top1_error", store=store, dataset="imagenet", replicates=0)
    assert [tuple(own) for own in answer.small] == [("alpha", "tiny", "", 2), ("rank", "tiny", "", 0)]
    assert [own.metric for own in answer.left_out] == ["alpha", "rank", "rank"]
    assert answer.left_out[0]._asdict() == {
        "metric": "alpha",
        "model": "no-value",
        "version": "",
        "reason": "paper has no value of it",
    }
    assert answer.line("alpha", "vgg").n == 8
    every = ww.trend(["alpha"], "top1_error", store=store, dataset="imagenet", min_models=2, replicates=0)
    assert "tiny" in {own.series for own in every.lines}
    assert math.isnan(every.line("alpha", "tiny").slope.low)
    with pytest.raises(ww.UsageError, match="no group has 10 models with metric and score: the largest has 8"):
        ww.trend(["alpha"], "top1_error", store=store, dataset="imagenet", min_models=10)
    with pytest.raises(ww.UsageError, match="no model with a score is in a series: `ww series add` makes one"):
        ww.trend(["alpha"], "top1_error", store=store, dataset="imagenet", models=["none-*"])


def test_few_models_and_caveats_warn(store):
    paper = families()
    paper.caveats = {"alpha": "It does not order networks that differ in depth."}
    for at in range(3):
        paper.add(f"tiny-{at}", "tiny", alpha=at, score=at)
    answer = ww.trend(["alpha", "2 * alpha"], "top1_error", store=paper.record(store), dataset="imagenet")
    assert answer.warnings == (
        "alpha: It does not order networks that differ in depth.",
        "tiny: 3 models with both: of 3 models the order is perfect by luck once in 3 times",
    )


def test_one_line_through_families_that_it_hides_warns(store):
    paper = Paper()
    for at in range(8):
        paper.add(f"small-{at}", "small", alpha=2 + at / 8, score=40 + at)
        paper.add(f"large-{at}", "large", alpha=5 + at / 8, score=10 + at)
    paper.record(store)
    for more, is_warned in (({"by": "none"}, True), ({"by": "dataset"}, True), ({}, False)):
        warnings = ww.trend(["alpha"], "top1_error", store=store, **more).warnings
        assert [own.startswith("inside series alpha and top1_error agree") for own in warnings] == [True] * is_warned
    assert ww.trend(["alpha"], "top1_error", store=store, by="none", series=["small"]).warnings == ()


def test_an_error_is_read_as_accuracy_and_back(store):
    paper = Paper()
    for at in range(6):
        paper.add(f"m{at}", alpha=at, score=10 + at)
        paper.score(f"m{at}", 0.9 - 0.01 * at, name="accuracy", better="higher", unit="")
        paper.score(f"m{at}", 7.0 + at, name="perplexity", unit="")
        paper.score(f"m{at}", 3.0, name="size", better="none", unit="MB")
    paper.record(store)

    def ask(score, reading):
        return ww.trend(["alpha"], score, store=store, by="none", reading=reading, replicates=0)

    as_reported, error, accuracy = (ask("top1_error", own) for own in ("reported", "error", "accuracy"))
    assert as_reported.to_dict() == error.to_dict()
    assert error.lines[0].slope.value == pytest.approx(1)
    assert (accuracy.score.name, accuracy.score.better, accuracy.score.unit) == ("100 - top1_error", "higher", "%")
    assert accuracy.lines[0].slope.value == pytest.approx(-1)
    assert accuracy.lines[0].tau.value == -1
    assert [own.y for own in accuracy.points] == [90 - at for at in range(6)]
    turned = ask("accuracy", "error")
    assert (turned.score.name, turned.score.better) == ("1 - accuracy", "lower")
    assert turned.points[0].y == pytest.approx(0.1)
    for score, reading, words in (
        ("perplexity", "accuracy", "perplexity of m0 is 7: only a percentage"),
        ("size", "error", "size has no direction: it can be read as it is reported only"),
        ("top1_error", "risk", "unknown reading of a score 'risk'"),
    ):
        with pytest.raises(ww.UsageError, match=words):
            ask(score, reading)


def test_mean_and_deviation_over_groups_are_of_those_that_have_a_number(store):
    paper = families()
    for at in range(3):
        paper.add(f"flat-{at}", "flat", alpha=1.0, score=at)  # no line: alpha is the same for all
    answer = ww.trend(["alpha"], "top1_error", store=paper.record(store), dataset="imagenet", replicates=0)
    assert len(answer.lines) == 3
    told = {own.figure: own for own in answer.summaries()}
    for figure in FIGURES:
        numbers = [own.figures()[figure].value for own in answer.lines if own.series != "flat"]
        assert told[figure].groups == 2
        assert told[figure].mean == pytest.approx(statistics.fmean(numbers))
        assert told[figure].std == pytest.approx(statistics.stdev(numbers))


def test_conditions_and_expressions(store):
    families().record(store)
    line = ww.trend(
        ["alpha"], "top1_error", store=store, dataset="imagenet", series=["vgg"], where=["alpha >= 3"], replicates=0
    ).lines[0]
    assert line.n == 4
    twice = ww.trend(["2 * alpha, alpha"], "top1_error", store=store, dataset="imagenet", series=["vgg"], replicates=0)
    assert twice.metrics == (("2 * alpha", "none", ""), ("alpha", "lower", ""))
    slopes = [own.slope.value for own in twice.lines]
    assert slopes[1] == pytest.approx(2 * slopes[0])


def test_our_own_values_have_lines_too(store, weights):
    for at in range(5):
        scaled = {name: own * np.asarray(1 + at, own.dtype) for name, own in weights.items()}
        ww.analyze(scaled, store=store, name=f"net-{at}", series="nets")
        store.add_scores([ww.Score(f"net-{at}", "loss", "val", float(at), "me", better="lower")])
    answer = ww.trend(["log10(spectral_norm)", "max(spectral_norm)"], "loss", store=store, replicates=0)
    assert answer.origin == "profile default"
    assert [own.tau.value for own in answer.lines] == [1, 1]
    largest = answer.line("max(spectral_norm)", "nets")
    assert largest.r2.value == pytest.approx(1)
    chosen = ww.trend(["spectral_norm"], "loss", store=store, layers=["conv"], replicates=0)
    report = store.report("net-0", "default")
    (conv,) = [row for row in report.layers if row.name == "conv"]
    assert chosen.points[0].x == conv.metrics["spectral_norm"].number


def test_wrong_questions_are_one_sentence(store):
    families().record(store)
    for arguments, words in (
        ({"metrics": []}, "no metric is named"),
        ({"metrics": ["alpha,"]}, "metric 'alpha,', character 7"),
        ({"metrics": "alpha < 2"}, "an operator, ',' or the end is expected"),
        ({"score": ""}, "the name of the score is empty"),
        ({"score": "top5_error"}, "unknown score 'top5_error': did you mean top1_error"),
        ({"dataset": ""}, "top1_error is reported on cifar, imagenet: name one by --dataset, or make groups --by"),
        ({"dataset": "imagenett"}, "unknown dataset of top1_error 'imagenett': did you mean imagenet"),
        ({"source": "papre"}, "unknown source of top1_error 'papre': did you mean paper"),
        ({"by": ["model"]}, "unknown kind of group 'model': known: dataset, none, series"),
        ({"by": ["none", "series"]}, "give none, or series and dataset"),
        ({"min_models": 1}, "the least number of models must be a whole number from 2 on, not 1"),
        ({"ddof": -1}, "ddof must be a whole number from 0 on"),
        ({"ddof": 3}, "ddof 3 leaves nothing of 3 models"),
        ({"replicates": 1.5}, "the number of resamples must be a whole number"),
        ({"series": ["vgf"]}, "unknown series 'vgf': did you mean vgg"),
    ):
        with pytest.raises(ww.WWError, match=words) as caught:
            ww.trend(
                **({"metrics": ["alpha"], "score": "top1_error", "dataset": "imagenet", "store": store} | arguments)
            )
        assert "\n" not in str(caught.value)


def test_its_dict_is_json_and_its_frame_has_a_row_a_line(store):
    paper = families()
    for at in range(3):
        paper.add(f"flat-{at}", "flat", alpha=1.0, score=5.0)
    answer = ww.trend(["alpha"], "top1_error", store=paper.record(store), dataset="imagenet", min_models=3)
    told = json.loads(json.dumps(answer.to_dict(), allow_nan=False))
    flat = next(own for own in told["lines"] if own["series"] == "flat")
    assert (flat["slope"]["value"], flat["slope"]["reason"]) == (None, "x is the same for all models that are compared")
    assert told["counts"] == {"models": 23, "with_score": 23, "in_groups": 19}
    assert len(told["points"]) == 19
    frame = answer.to_pandas()
    assert list(frame["series"]) == ["flat", "resnet", "vgg"]
    assert {"slope", "slope_low", "slope_high", "r2", "tau", "chance", "n"} <= set(frame.columns)
    assert frame["slope"].isna().tolist() == [True, False, False]
