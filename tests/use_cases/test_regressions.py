"""Which version made what worse: asked of made histories, of which everything is known."""

import json

import numpy as np
import pytest

import ww_core as ww

VERSIONS, LAYERS = 12, 30

WORSE = ("v8", "l17")
"""The version from which on the weights of a layer are eight times as large."""

BETTER = ("v5", "l03")
"""The version from which on those of another are an eighth."""

NORMS = {"frobenius_norm", "spectral_norm", "log_norm", "log_spectral_norm"}
"""What depends on the size of the weights alone."""

SCALED = NORMS | {"alpha_norm", "log_alpha_norm", "alpha_weighted", "weight_std"}
"""What depends on the size of the weights, among columns with a direction."""


def measured(version="1", better="lower"):
    @ww.metric(version=version, name="measure", better=better)
    def function(singular_values):
        """Log of the largest singular value; the second version of the metric means another number."""
        return np.log10(singular_values[0]) + (0 if version == "1" else 2)

    return function


def registry_of(*metrics):
    class Plugin:
        @ww.hookimpl
        def ww_register_metrics(self):
            return list(metrics)

    return ww.load_plugins(objects=[Plugin()])


def weights_of(rng, scales, count=LAYERS):
    """Independent random matrices, some of them scaled."""
    return {
        f"{name}.weight": (rng.standard_normal((30, 20)) * scales.get(name, 1.0)).astype(np.float32)
        for name in (f"l{number:02}" for number in range(count))
    }


def scales_at(version):
    number = int(version[1:])
    factors = {WORSE: 8.0, BETTER: 1 / 8}
    return {layer: factor for (first, layer), factor in factors.items() if number >= int(first[1:])}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A store of the history of ``net``: one layer gets worse, another one better, and the rest is noise."""
    path = tmp_path_factory.mktemp("made") / "store.sqlite"
    rng, registry = np.random.default_rng(1), registry_of(measured(better="none"))
    with ww.open_store(path) as store:
        for version in (f"v{number}" for number in range(1, VERSIONS + 1)):
            small = {"small.weight": rng.standard_normal((6, 5)).astype(np.float32)}
            weights = weights_of(rng, scales_at(version)) | small
            ww.analyze(weights, store=store, name="net", version=version, registry=registry)
    return path


def test_version_layer_and_column_are_named_and_nothing_else(made):
    answer = ww.regressions("net", store=made)
    assert {(own.version, own.layer) for own in answer.regressions} == {WORSE}
    columns = {own.column for own in answer.regressions}
    assert columns >= NORMS
    assert columns <= SCALED
    for own in (*answer.regressions, *answer.summaries):
        assert (own.version, own.previous, own.verdict) == ("v8", "v7", "worse")
        assert own.evidence > own.needed > 0
        assert own.p_value < answer.false_alarms == 0.01
    (log_norm,) = [own for own in answer.regressions if own.column == "log_norm"]
    assert log_norm.change == pytest.approx(2 * np.log10(8), abs=0.05)
    assert log_norm.change == log_norm.after - log_norm.before
    assert (log_norm.versions_before, log_norm.versions_after) == (7, 5)
    assert (log_norm.extractor, log_norm.index) == ("matrix", 0)
    assert {own.column for own in answer.summaries} <= SCALED | {"log_prod_spectral_norm"}
    assert answer.versions == tuple(f"v{number}" for number in range(1, VERSIONS + 1))
    assert answer.not_comparable == {}


def test_levels_are_medians_of_what_was_stored(made):
    (own,) = ww.regressions("net", store=made, metrics=["log_norm"], layers=[WORSE[1]]).regressions
    track = ww.history("net", store=made, metrics=["log_norm"], layers=[WORSE[1]]).tracks["log_norm"]
    assert own.before == pytest.approx(np.median(track.values[:7]))
    assert own.after == pytest.approx(np.median(track.values[7:]))


def test_changes_to_the_better_are_told_on_request_only(made):
    answer = ww.regressions("net", store=made, metrics=["log_norm"], any_direction=True)
    found = {(own.version, own.layer, own.verdict) for own in answer.regressions}
    assert found == {(*WORSE, "worse"), (*BETTER, "better")}


def test_a_history_that_is_there_is_not_read_again(made, monkeypatch):
    chosen = {"layers": ["l1*"]}
    history = ww.history("net", store=made, metrics=["measure", "log_norm", "alpha"], **chosen)
    monkeypatch.setattr("ww_core.use_cases.regressions.opened_store", None)
    worse = ww.regressions_of(history)
    both = ww.regressions_of(history, any_direction=True, false_alarms=0.1)
    with pytest.raises(ww.UsageError, match="no chance"):
        ww.regressions_of(history, false_alarms=1)
    monkeypatch.undo()
    assert worse == ww.regressions("net", store=made, metrics=["log_norm", "alpha"], **chosen)
    assert {own.column for own in worse.steps} == {"log_norm"}
    every = {"metrics": ["measure", "log_norm", "alpha"], "any_direction": True, "false_alarms": 0.1}
    assert both == ww.regressions("net", store=made, **every, **chosen)


def test_a_column_without_direction_is_refused_by_name(made):
    with pytest.raises(ww.UsageError, match=r"'measure' has no direction.*--any"):
        ww.regressions("net", store=made, metrics=["log_norm", "measure"])
    answer = ww.regressions("net", store=made, metrics=["measure"], any_direction=True)
    assert {(own.version, own.layer, own.verdict) for own in answer.regressions} == {
        (*WORSE, "none"),
        (*BETTER, "none"),
    }
    assert not {own.column for own in ww.regressions("net", store=made).regressions} & {"measure", "n_tail"}


def test_layers_and_metrics_are_chosen(made):
    answer = ww.regressions("net", store=made, metrics=["log_norm"], layers=["l1*"])
    assert {(own.version, own.layer, own.column) for own in answer.regressions} == {(*WORSE, "log_norm")}
    assert answer.series == 11  # ten layers, and their mean
    assert answer.tests == 11 * (VERSIONS - 1)
    answer = ww.regressions("net", store=made, layers=["l0*"])
    assert answer.regressions == answer.summaries == ()
    one = ww.regressions("net", store=made, metrics="log_norm", layers="l17")
    assert {own.column for own in one.regressions} == {"log_norm"}
    with pytest.raises(ww.UnknownNameError, match="nothere"):
        ww.regressions("net", store=made, layers=["nothere"])
    with pytest.raises(ww.UnknownNameError, match="log_norm"):
        ww.regressions("net", store=made, metrics=["log_nrom"])
    with pytest.raises(ww.UsageError, match="holds texts"):
        ww.regressions("net", store=made, metrics=["warning"], any_direction=True)


def test_flagged_matrices_are_left_out(made):
    flags = ww.history("net", store=made, metrics=["short_tail"]).tracks["short_tail"]
    flagged = {place.name for place, ever in zip(flags.places, flags.values.any(axis=0), strict=True) if ever}
    assert "small" in flagged
    every = ww.regressions("net", store=made, metrics=["log_norm"])
    answer = ww.regressions("net", store=made, metrics=["log_norm"], leave_out="short_tail")
    assert every.series - answer.series == len(flagged) + (len(flagged) == LAYERS + 1)
    assert {own.layer for own in answer.regressions} == {WORSE[1]} - flagged
    with pytest.raises(ww.UnknownNameError, match="short_tail"):
        ww.regressions("net", store=made, leave_out="alpha")


@pytest.mark.parametrize("chance", [0, 1, -0.5, 2, float("nan"), float("inf")])
def test_what_is_no_chance_of_false_alarms_is_refused(made, chance):
    with pytest.raises(ww.UsageError, match=r"no chance: give a number between 0 and 1"):
        ww.regressions("net", store=made, false_alarms=chance)


@pytest.mark.parametrize("chance", [None, "0.01", [0.01]])
def test_a_chance_of_another_type_is_refused(made, chance):
    with pytest.raises(ww.UsageError, match="false_alarms must be a number, not "):
        ww.regressions("net", store=made, false_alarms=chance)


def test_fewer_false_alarms_need_more_evidence(made):
    needed = [
        {own.column: own.needed for own in ww.regressions("net", store=made, false_alarms=chance).regressions}
        for chance in (0.001, 0.05)
    ]
    for column in set.intersection(*map(set, needed)):
        assert needed[0][column] > needed[1][column]


def test_the_answer_is_plain_data(made):
    answer = ww.regressions("net", store=made)
    content = json.loads(json.dumps(answer.to_dict(), allow_nan=False))
    assert len(content["regressions"]) == len(answer.regressions)
    assert (content["series"], content["tests"]) == (answer.series, answer.tests)
    frame = answer.to_pandas()
    assert frame["evidence"].tolist() == [own.evidence for own in answer.steps]
    assert set(frame["layer"]) == {WORSE[1], ""} if answer.summaries else {WORSE[1]}
    assert len(answer.first(1).steps) == 1
    assert answer.first(1).steps == answer.steps[:1]
    nothing = ww.regressions("net", store=made, layers=["l0*"])
    assert nothing.rows() == []
    assert {"version", "layer", "column", "change", "evidence"} <= set(nothing.to_pandas().columns)


def test_another_version_of_a_metric_is_said_and_not_compared(tmp_path):
    rng, store = np.random.default_rng(2), tmp_path / "s.sqlite"
    registries = {version: registry_of(measured(version)) for version in "12"}
    for number in range(1, 11):
        weights = weights_of(rng, {}, count=3)
        ww.analyze(
            weights, store=store, name="net", version=f"v{number}", registry=registries["1" if number < 6 else "2"]
        )
    answer = ww.regressions("net", store=store, metrics=["measure", "log_norm"])
    assert answer.steps == ()  # the number is larger by two, and it is another one
    assert list(answer.not_comparable) == ["measure"]
    assert set(answer.not_comparable["measure"]) == {f"v{number}" for number in range(1, 6)}
    assert "version 1 of the metric, and 2 in the newest" in answer.not_comparable["measure"]["v1"]


def test_a_step_is_confirmed_by_a_later_version_however_many_its_level_is_taken_from(tmp_path):
    @ww.metric(version="1", better="lower")
    def size(singular_values):
        """As large as the weights."""
        return singular_values[0]

    rng, store, registry = np.random.default_rng(0), tmp_path / "s.sqlite", registry_of(size)
    walks = 1000 + rng.standard_normal((20, 20)).cumsum(axis=0)
    walks[10:, 3] += 300
    walks[19, 7] += 300

    def answer():
        return {own.layer: own for own in ww.regressions("net", store=store, metrics=["size"]).regressions}

    for number, values in enumerate(walks, 1):
        weights = {f"{at}.weight": np.eye(4, 3) * value for at, value in enumerate(values)}
        ww.analyze(weights, store=store, name="net", version=f"v{number}", registry=registry)
    steps = answer()
    assert {layer: own.version for layer, own in steps.items()} == {"3": "v11", "7": "v20"}
    assert (steps["3"].versions_after, steps["3"].is_confirmed) == (10, True)
    assert (steps["7"].versions_after, steps["7"].is_confirmed) == (1, False)
    # The same weights once more say nothing new.
    ww.analyze(weights | {"step": np.array(21)}, store=store, name="net", version="v21", registry=registry)
    assert not answer()["7"].is_confirmed


def test_equal_versions_and_few_versions_have_no_steps(tmp_path):
    rng, store = np.random.default_rng(3), tmp_path / "s.sqlite"
    weights = weights_of(rng, {}, count=3)
    for number in range(1, 4):
        ww.analyze(weights | {"step": np.array(number)}, store=store, name="still", version=f"v{number}")
    assert ww.regressions("still", store=store).steps == ()
    ww.analyze(weights, store=store, name="one")
    answer = ww.regressions("one", store=store)
    assert (answer.steps, answer.tests) == ((), 0)


def test_wrong_names_are_answered_in_one_sentence(made):
    for name, error, message in (
        ("", ww.UsageError, "empty"),
        ("net@v1", ww.UsageError, "names one version"),
        ("nett", ww.NotStoredError, "did you mean net"),
    ):
        with pytest.raises(error, match=message):
            ww.regressions(name, store=made)
    with pytest.raises(ww.NotStoredError, match="under profile 'weightwatcher'"):
        ww.regressions("net", store=made, profile="weightwatcher")
    with pytest.raises(ww.UsageError, match="profile is empty"):
        ww.regressions("net", store=made, profile="")
