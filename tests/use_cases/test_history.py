"""How a model went over its versions: from the store alone, in the order of the versions, never across definitions."""

import json
from dataclasses import dataclass

import numpy as np
import pytest

import ww_core as ww


def plugin(*metrics):
    class Plugin:
        @ww.hookimpl
        def ww_register_metrics(self):
            return list(metrics)

    return Plugin()


@pytest.fixture
def store(tmp_path):
    return tmp_path / "s.sqlite"


def layers(scale=1.0, *, seed=0, names=("a", "b", "c")):
    """Three heavy-tailed layers; ``scale`` is that of the last one."""
    rng = np.random.default_rng(seed)
    weights = {f"{name}.weight": rng.standard_t(3, (60, 40)).astype(np.float32) for name in names}
    weights[f"{names[-1]}.weight"] *= np.float32(scale)
    return weights


@pytest.fixture
def grown(store):
    """Four versions in which the last layer grows."""
    for scale in (1, 2, 4, 8):
        ww.analyze(layers(scale), store=store, name="net")
    return store


def test_means_are_those_of_the_reports_and_summaries(grown):
    history = ww.history("net", store=grown)
    with ww.open_store(grown, mode="read") as opened:
        reports = [opened.report(f"net@{version}") for version in (1, 2, 3, 4)]
    headline = [label for label in reports[-1].headline if reports[-1].summary.get(label)]
    assert list(history.tracks) == headline
    for label, track in history.tracks.items():
        np.testing.assert_allclose(track.means, [report.summary[label].mean for report in reports], rtol=1e-14)
        assert track.present.tolist() == [report.summary[label].count for report in reports]
        assert track.missing.tolist() == [0] * 4
    assert [version.version for version in history.versions] == ["1", "2", "3", "4"]
    assert [version.digest for version in history.versions] == [report.digest for report in reports]


def test_every_number_is_the_one_of_its_report(grown):
    with ww.open_store(grown, mode="read") as opened:
        numbers = [column.name for column in opened.report("net").columns if column.type != "text"]
        history = opened.history("net", numbers)
        for at, version in enumerate(history.versions):
            report = opened.report(f"net@{version.version}")
            rows = {"matrix": report.layers, "layer": report.layer_metrics}
            for label, track in history.tracks.items():
                if track.column.scope == "model":
                    assert track.values[at].tolist() == [report.model_metrics[label].number]
                    continue
                expected = [row.metrics[label].number for row in rows[track.column.scope]]
                expected = [np.nan if number is None else float(number) for number in expected]
                np.testing.assert_array_equal(track.values[at], expected)
                assert [place.name for place in track.places] == [row.name for row in rows[track.column.scope]]


def test_errors_stand_beside_the_values_that_they_belong_to(grown):
    with ww.open_store(grown, mode="read") as opened:
        history = opened.history("net", ["alpha", "stable_rank", "sigma"])
    alpha = history.tracks["alpha"]
    np.testing.assert_array_equal(alpha.errors, history.tracks["sigma"].values)
    np.testing.assert_allclose(alpha.mean_errors, np.sqrt((alpha.errors**2).sum(1)) / 3)
    assert history.tracks["stable_rank"].errors is None


def test_changes_and_what_moved_most(grown):
    history = ww.history("net", store=grown, metrics=["log_norm"])
    track = history.tracks["log_norm"]
    expected = np.full((4, 3), 0.0)
    expected[0], expected[1:, 2] = np.nan, 2 * np.log10(2)
    np.testing.assert_allclose(track.changes, expected, atol=1e-12)
    np.testing.assert_allclose(track.mean_changes[1:], 2 * np.log10(2) / 3, rtol=1e-9)
    (whole,) = history.moves("log_norm")
    assert (whole.place.name, whole.change) == ("c", pytest.approx(6 * np.log10(2)))
    (last,) = history.moves("log_norm", 3)
    assert last.change == pytest.approx(2 * np.log10(2))
    assert history.moves("log_norm", 0) == []


def test_layers_of_means_are_chosen(grown):
    every = ww.history("net", store=grown, metrics=["log_norm", "log_prod_spectral_norm"])
    chosen = ww.history("net", store=grown, metrics=["log_norm", "log_prod_spectral_norm"], layers=["c"])
    np.testing.assert_array_equal(chosen.tracks["log_norm"].means, every.tracks["log_norm"].values[:, 2])
    assert list(chosen.tracks) == ["log_norm"]  # what speaks of the model speaks of all layers
    with pytest.raises(ww.UnknownNameError, match="nothere"):
        ww.history("net", store=grown, layers=["nothere"])


def test_flagged_matrices_are_left_out_of_all_versions_and_counted(store):
    rng = np.random.default_rng(0)
    small = [rng.standard_t(3, (12, 9)) for _ in range(2)]
    for weight in small:
        ww.analyze(layers() | {"small.weight": weight.astype(np.float32)}, store=store, name="net")
    every = ww.history("net", store=store, metrics=["alpha", "short_tail"])
    flags = every.tracks["short_tail"]
    short = [place for place, flag in zip(flags.places, flags.values.any(axis=0), strict=True) if flag]
    assert "small" in [place.name for place in short]
    left = ww.history("net", store=store, metrics=["alpha"], leave_out="short_tail")
    assert list(left.left_out) == short
    assert left.to_dict()["left_out"][0] == {"layer": short[0].name, "extractor": "matrix", "index": 0}
    kept = [at for at, place in enumerate(every.tracks["alpha"].places) if place not in short]
    np.testing.assert_array_equal(left.tracks["alpha"].values, every.tracks["alpha"].values[:, kept])
    with pytest.raises(ww.UnknownNameError, match="short_tail"):
        ww.history("net", store=store, leave_out="short_tial")


def test_steps_are_the_order(store):
    for step in (20, 10, 30):
        ww.analyze(layers(step), store=store, name="net", version=f"checkpoint-{step}")
    history = ww.history("net", store=store, metrics=["log_norm"])
    assert [version.step for version in history.versions] == [10, 20, 30]
    assert np.all(np.diff(history.tracks["log_norm"].means) > 0)


def test_another_version_of_a_metric_is_no_part_of_the_history(store):
    def measure(version):
        @ww.metric(version=version, name="measure", better="lower")
        def function(singular_values):
            return float(singular_values[0]) * (1 if version == "1" else 100)

        return plugin(function)

    for version, scale in (("1", 1), ("1", 2), ("2", 4)):
        ww.analyze(layers(scale), store=store, name="net", plugins=[measure(version)])
    history = ww.history("net", store=store, metrics=["measure", "log_norm"])
    track = history.tracks["measure"]
    assert np.isnan(track.means[:2]).all()
    assert np.isfinite(track.means[2])
    assert set(track.not_comparable) == {"1", "2"}
    assert track.not_comparable["1"] == "version 1 of the metric, and 2 in the newest version"
    assert track.missing.tolist() == [0, 0, 0]
    assert np.isfinite(history.tracks["log_norm"].means).all()


def test_a_renamed_metric_with_a_key_keeps_its_history(store):
    def measured(name):
        @ww.metric(version="1", name=name, key="test:largest", better="lower")
        def largest(singular_values):
            """The largest singular value."""
            return singular_values[0]

        return plugin(largest)

    for scale, name in ((1, "before"), (2, "before"), (4, "after"), (8, "after")):
        ww.analyze(layers(scale), store=store, name="net", plugins=[measured(name)])
    history = ww.history("net", store=store, metrics=["after", "spectral_norm"])
    track = history.tracks["after"]
    np.testing.assert_array_equal(track.values, history.tracks["spectral_norm"].values)
    assert (track.not_comparable, track.missing.tolist()) == ({}, [0] * 4)
    assert history.to_dict()["versions"][2]["summary"]["after"]["change"] > 0
    (origin,) = ww.blame("net@3", "c", store=store, metrics=["after"]).columns
    assert (origin.version, origin.previous, origin.before) == ("3", "2", track.values[1, 2])
    assert ww.regressions("net", store=store, metrics=["after"]).not_comparable == {}


def test_matrices_that_are_made_otherwise_are_no_part_of_the_history(store):
    rng = np.random.default_rng(0)
    weights = {name: rng.standard_t(3, (16, 8, 3, 3)).astype(np.float32) for name in ("c.weight", "d.weight")}
    ww.analyze(weights, store=store, name="net")
    ww.analyze(weights, store=store, name="net", version="2", groups={"c": 2})
    history = ww.history("net", store=store, metrics=["alpha", "log_prod_spectral_norm", "weight_std"])
    alpha = history.tracks["alpha"]
    assert [place.name for place in alpha.places] == ["c", "d"]
    assert np.isnan(alpha.values[0]).tolist() == [True, False]
    assert alpha.not_comparable == {"1": "c has 1 groups there, and 2 in the newest version"}
    whole = history.tracks["log_prod_spectral_norm"]
    assert np.isnan(whole.values[0, 0])
    assert set(whole.not_comparable) == {"1"}
    assert np.isfinite(whole.values[1, 0])
    assert history.moves("alpha") == []


def test_versions_without_an_analysis_are_there_without_values(store):
    ww.analyze(layers(1), store=store, name="net")
    ww.analyze(layers(2), store=store, name="net", profile="weightwatcher")
    ww.analyze(layers(4), store=store, name="net")
    history = ww.history("net", store=store, metrics=["log_norm"])
    assert [version.is_analyzed for version in history.versions] == [True, False, True]
    track = history.tracks["log_norm"]
    assert np.isnan(track.means[1])
    # The change is that to the version before that has a value.
    assert track.mean_changes[2] == pytest.approx(4 * np.log10(2) / 3)


def test_a_renamed_extractor_with_a_key_makes_the_same_matrices(store):
    def made_by(called):
        @dataclass(frozen=True)
        class Transposed(ww.Extractor):
            name = called
            version = "1"
            key = "Plugin:transposed"

            def plan(self, layer):
                if len(layer.shape) != 2:
                    raise ww.NotApplicable("it has no two axes")
                return ww.MatrixPlan(matrices=1, entries=1, rows=layer.shape[1], cols=layer.shape[0])

            def matrices(self, weight, layer):
                yield ww.Matrix(0, weight.T[None])

        class Plugin:
            @ww.hookimpl
            def ww_register_extractors(self):
                return [Transposed]

            @ww.hookimpl
            def ww_register_profiles(self):
                return [ww.Profile(name="turned", description="Transposed weights.", extractor=called)]

        return Plugin()

    for scale, called in ((1, "before"), (2, "before"), (4, "after"), (8, "after")):
        ww.analyze(layers(scale), store=store, name="net", profile="turned", plugins=[made_by(called)])
    track = ww.history("net", store=store, metrics=["spectral_norm"], profile="turned").tracks["spectral_norm"]
    assert [(place.name, place.extractor) for place in track.places] == [(name, "after") for name in "abc"]
    np.testing.assert_allclose(track.values[:, 2] / track.values[0, 2], [1, 2, 4, 8])
    (origin,) = ww.blame("net@3", "c", store=store, metrics=["spectral_norm"], profile="turned").columns
    assert (origin.version, origin.previous, origin.extractor) == ("3", "2", "after")


def test_a_profile_without_an_analysis_is_told_with_those_that_have_one(store):
    for profile in ("weightwatcher", "trends-2020"):
        ww.analyze({"a.weight": layers()["a.weight"].repeat(2, axis=1)}, store=store, name="net", profile=profile)
    ww.analyze(layers(2), store=store, name="narrow", metrics=["alpha"])
    for ask in (ww.history, ww.regressions):
        with pytest.raises(ww.NotStoredError, match="under profile 'default' is stored: there is trends-2020, weightw"):
            ask("net", store=store)
        with pytest.raises(ww.NotStoredError, match="under profile 'default' is stored: `ww analyze` makes one"):
            ask("narrow", store=store)


def test_layers_that_come_and_go(store):
    ww.analyze(layers(names=("a", "b")), store=store, name="net")
    ww.analyze(layers(names=("b", "c")), store=store, name="net")
    history = ww.history("net", store=store, metrics=["log_norm"])
    track = history.tracks["log_norm"]
    assert [place.name for place in track.places] == ["b", "c", "a"]
    assert np.isnan(track.values[0, 1])
    assert np.isnan(track.values[1, 2])
    assert track.present.tolist() == [2, 2]


def test_experiments_and_narrow_runs_change_nothing(grown):
    before = ww.history("net", store=grown).to_dict()
    ww.analyze(layers(8), store=grown, name="net", version="4", parameters={"power_law.ks": "two-sided"})
    ww.analyze(layers(8), store=grown, name="net", version="4", metrics=["alpha"])
    assert ww.history("net", store=grown).to_dict() == before


def test_where_a_column_stops_to_improve(store):
    for scale in (8, 4, 2, 2.0001, 2.001):
        ww.analyze(layers(scale), store=store, name="net")
    history = ww.history("net", store=store, metrics=["log_norm", "entropy", "alpha"])
    assert history.best("log_norm") == (2, 4)
    assert history.best("entropy") is None  # neither direction is better
    assert history.best("alpha") == (0, 4)  # it does not depend on the scale
    assert history.to_dict()["best"] == {"log_norm": "3", "alpha": "1"}


def test_the_model_itself_is_no_layer_that_moved(grown):
    history = ww.history("net", store=grown, metrics=["log_prod_spectral_norm"])
    assert history.tracks["log_prod_spectral_norm"].mean_changes[-1] > 0
    assert history.moves("log_prod_spectral_norm") == []
    assert history.moves("log_prod_spectral_norm", 1) == []


def test_the_answer_is_plain_data(grown):
    history = ww.history("net", store=grown, metrics=["alpha", "log_prod_spectral_norm"])
    content = json.loads(json.dumps(history.to_dict(), allow_nan=False))
    assert content["versions"][0]["summary"]["alpha"]["change"] is None
    assert {own["layer"] for own in content["layers"]} == {"a", "b", "c"}
    assert all(len(own["values"]) == 4 for own in content["layers"])
    frame = history.to_pandas()
    assert list(frame["version"]) == ["1", "2", "3", "4"]
    assert frame["alpha"].tolist() == history.tracks["alpha"].means.tolist()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("net@1",), ww.UsageError, r"net@1 names one version: give MODEL"),
        (("nett",), ww.NotStoredError, r"did you mean net\?"),
        (("",), ww.UsageError, "empty"),
        (("net", ["alhpa"]), ww.UnknownNameError, "alpha"),
        (("net", ["warning"]), ww.UsageError, "holds texts"),
        (("net", [""]), ww.UsageError, "not empty"),
        (("net", None), ww.UsageError, "metrics must be texts, not None"),
        (("net", [], 7), ww.UsageError, "layers must be texts, not 7"),
        (("net", ["log_prod_spectral_norm"], ["a"]), ww.UsageError, "log_prod_spectral_norm describes the model"),
    ],
)
def test_wrong_questions_are_answered_in_one_sentence(grown, arguments, error, message):
    with ww.open_store(grown, mode="read") as opened, pytest.raises(error, match=message):
        opened.history(*arguments)


def test_a_profile_that_no_version_has(grown):
    with pytest.raises(ww.NotStoredError, match="under profile 'weightwatcher'"):
        ww.history("net", store=grown, profile="weightwatcher")
