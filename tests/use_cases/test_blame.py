"""In which version a layer, and each number of it, came to be what it is."""

import json

import numpy as np
import pytest

import ww_core as ww


@pytest.fixture
def store(tmp_path):
    return tmp_path / "s.sqlite"


@pytest.fixture(scope="module")
def registry():
    return ww.load_plugins(objects=[])


@pytest.fixture
def analyzed(store, registry):
    """A function that stores versions of ``net``, each given by the seeds of its layers."""

    def made(*versions, name="net", **given):
        for number, seeds in enumerate(versions, 1):
            weights = {"other.weight": drawn(99)} | {f"{layer}.weight": drawn(seed) for layer, seed in seeds.items()}
            ww.analyze(weights, store=store, name=name, version=f"v{number}", registry=registry, **given)

    return made


def drawn(seed):
    return np.random.default_rng(seed).standard_t(3, (30, 20)).astype(np.float32)


def test_it_walks_back_over_equal_content(store, analyzed):
    analyzed({"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 2, "b": 3}, {"a": 2, "b": 1})
    answer = ww.blame("net", "a", store=store)
    assert (answer.model, answer.layer, answer.at) == ("net", "a", "v4")
    assert (answer.version, answer.previous) == ("v2", "v1")
    by_column = {own.column: own for own in answer.columns}
    with ww.open_store(store, mode="read") as opened:
        first, second = (opened.report(f"net@{version}").layers for version in ("v1", "v2"))
    before, after = (next(row for row in rows if row.name == "a").metrics["alpha"].number for rows in (first, second))
    alpha = by_column["alpha"]
    assert (alpha.version, alpha.previous, alpha.before, alpha.value) == ("v2", "v1", before, after)
    assert alpha.change == after - before
    assert alpha.verdict == ("better" if after < before else "worse")
    assert by_column["n_tail"].verdict == "none"
    assert {own.column for own in answer.columns} >= {"alpha", "stable_rank", "weight_std"}
    assert not {"warning", "log_prod_spectral_norm"} & set(by_column)  # a text, and a metric of the model
    # What came back is new in the version in which it came back.
    back = ww.blame("net", "b", store=store)
    assert (back.version, back.previous) == ("v4", "v3")
    never = ww.blame("net", "other", store=store)
    assert (never.version, never.previous) == ("v1", "")
    assert {own.version for own in never.columns} == {"v1"}
    assert {(own.previous, own.before, own.change, own.verdict) for own in never.columns} == {("", None, None, "none")}


def test_versions_that_lack_the_layer_are_passed_over(store, analyzed):
    analyzed({"a": 1, "b": 5}, {"b": 5}, {"a": 1}, {"a": 2}, {}, {"a": 3})
    answer = ww.blame("net@v3", "a", store=store)
    assert (answer.version, answer.previous) == ("v1", "")
    assert {own.version for own in answer.columns} == {"v1"}
    last = ww.blame("net", "a", store=store)
    assert (last.version, last.previous) == ("v6", "v4")
    (alpha,) = [own for own in last.columns if own.column == "alpha"]
    assert (alpha.version, alpha.previous) == ("v6", "v4")
    for name in ("net", "net@v5"):
        with pytest.raises(ww.NotStoredError, match=r"net@v\d has no layer 'b'.*`ww show net@v\d`"):
            ww.blame(name, "b", store=store)


def test_a_version_in_the_past_is_asked_about(store, analyzed):
    analyzed({"a": 1}, {"a": 1}, {"a": 2}, {"a": 3})
    assert ww.blame("net@v2", "a", store=store).version == "v1"
    at = ww.blame("net@v3", "a", store=store)
    assert (at.at, at.version, at.previous) == ("v3", "v3", "v2")
    with ww.open_store(store, mode="read") as opened:
        row = next(row for row in opened.report("net@v3").layers if row.name == "a")
        assert ww.blame("net@v3", "a", store=opened) == at
    for own in at.columns:
        if own.extractor:
            assert own.value == row.metrics[own.column].number


def test_steps_are_the_order(store, analyzed):
    analyzed({"a": 1}, {"a": 2}, {"a": 2})
    with ww.open_store(store) as opened:
        for version, step in (("v3", 1), ("v1", 2), ("v2", 3)):
            opened.set_step(f"net@{version}", step)
    answer = ww.blame("net", "a", store=store)  # v3, v1, v2
    assert (answer.at, answer.version, answer.previous) == ("v2", "v2", "v1")
    assert ww.blame("net@v3", "a", store=store).previous == ""
    with ww.open_store(store) as opened:
        opened.set_step("net@v1", 0)
    answer = ww.blame("net", "a", store=store)  # v1, v3, v2
    assert (answer.version, answer.previous) == ("v3", "v1")


def test_columns_tell_the_latest_version_in_which_one_of_them_changed(store, analyzed, registry):
    analyzed({"a": 1})
    scaled = {"other.weight": drawn(99), "a.weight": drawn(1) * np.float32(2)}
    ww.analyze(scaled, store=store, name="net", version="v2", registry=registry)
    assert ww.blame("net", "a", store=store).version == "v2"
    answer = ww.blame("net", "a", store=store, metrics=["stable_rank"])
    (stable_rank,) = answer.columns
    assert (answer.version, answer.previous) == (stable_rank.version, stable_rank.previous)
    norm = ww.blame("net", "a", store=store, metrics=["n_tail", "log_norm"])
    assert [own.column for own in norm.columns] == ["log_norm", "n_tail"]  # the latest first
    assert (norm.version, norm.previous) == ("v2", "v1")
    assert norm.columns[0].change == pytest.approx(2 * np.log10(2))
    assert norm.columns[1].version == "v1"  # the tail does not depend on the scale


def test_a_bias_is_content_too(store, registry):
    for number, bias in enumerate((0.0, 0.0, 1.0), 1):
        weights = {"a.weight": drawn(1), "a.bias": np.full(30, bias, np.float32)}
        ww.analyze(weights, store=store, name="net", version=f"v{number}", registry=registry)
    answer = ww.blame("net", "a", store=store)
    assert (answer.version, answer.previous) == ("v3", "v2")
    by_column = {own.column: own.version for own in answer.columns}
    assert (by_column["bias_mean"], by_column["alpha"]) == ("v3", "v1")
    assert answer.columns[0].column.startswith("bias_")


def test_matrices_of_a_layer_are_apart(store, registry):
    kernel = np.random.default_rng(0).standard_normal((16, 8, 1, 2)).astype(np.float32)
    for number in (1, 2):
        kernel = kernel.copy()
        kernel[..., 1] *= np.float32(number)
        ww.analyze({"c.weight": kernel}, store=store, name="net", extractors=["slice"], registry=registry)
    with pytest.raises(ww.NotStoredError, match="no complete analysis"):
        ww.blame("net", "c", store=store, profile="weightwatcher")
    with pytest.raises(ww.NotStoredError, match="no complete analysis"):  # of the profile's own extractor
        ww.blame("net", "c", store=store)
    for number in (1, 2):
        ww.analyze({"c.weight": kernel * np.float32(number)}, store=store, name="pool", registry=registry)
    answer = ww.blame("pool", "c", store=store, metrics=["log_norm"])
    assert [(own.extractor, own.index, own.version) for own in answer.columns] == [("pool", 0, "2")]


def test_versions_without_an_analysis_are_versions_all_the_same(store, registry):
    for number, (seed, profile) in enumerate(((1, "default"), (2, "weightwatcher"), (2, "default")), 1):
        weights = {"a.weight": drawn(seed)}
        ww.analyze(weights, store=store, name="net", version=f"v{number}", profile=profile, registry=registry)
    answer = ww.blame("net", "a", store=store)
    assert (answer.version, answer.previous) == ("v2", "v1")
    (alpha,) = [own for own in answer.columns if own.column == "alpha"]
    assert (alpha.version, alpha.previous) == ("v3", "v1")
    at = ww.blame("net@v2", "a", store=store)
    assert (at.version, at.columns) == ("v2", ())


def test_the_answer_is_plain_data(store, analyzed):
    analyzed({"a": 1}, {"a": 2})
    answer = ww.blame("net", "a", store=store)
    content = json.loads(json.dumps(answer.to_dict(), allow_nan=False))
    assert {key: content[key] for key in ("model", "layer", "at", "version", "previous", "profile")} == {
        "model": "net", "layer": "a", "at": "v2", "version": "v2", "previous": "v1", "profile": "default",
    }  # fmt: skip
    frame = answer.to_pandas()
    assert frame["column"].tolist() == [own.column for own in answer.columns]
    assert set(frame["layer"]) == {"a"}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("", "a"), ww.UsageError, "the name is empty"),
        ((7, "a"), ww.UsageError, "the name must be a text, not 7"),
        (("net", ["a"]), ww.UsageError, r"the layer must be a text, not \['a'\]"),
        (("net", ""), ww.UsageError, "the layer is empty"),
        (("nett", "a"), ww.NotStoredError, "did you mean net"),
        (("net@v9", "a"), ww.NotStoredError, "no version 'v9'"),
        (("net", "c"), ww.UnknownNameError, r"unknown layer 'c'.*a, other"),
        (("net", "*"), ww.UnknownNameError, "unknown layer"),
    ],
)
def test_wrong_questions_are_answered_in_one_sentence(store, analyzed, arguments, error, message):
    analyzed({"a": 1})
    with pytest.raises(error, match=message):
        ww.blame(*arguments, store=store)


def test_a_version_whose_metric_is_another_one_says_so(store, registry):
    def measured(version):
        @ww.metric(version=version, name="measure")
        def measure(singular_values):
            """The largest singular value, twice in version 2."""
            return singular_values[0] * int(version)

        class Plugin:
            @ww.hookimpl
            def ww_register_metrics(self):
                return [measure]

        return Plugin()

    for version in ("1", "2"):
        weights = {"a.weight": np.eye(9) * int(version)}
        ww.analyze(weights, store=store, name="net", registry=ww.load_plugins(objects=[measured(version)]))
    with pytest.raises(ww.NotStoredError, match=r"net@1 .*; measure: version 1 of the metric, and 2 in"):
        ww.blame("net@1", "a", store=store, metrics=["measure"])
    assert ww.blame("net@2", "a", store=store, metrics=["measure"]).version == "2"


def test_wrong_columns_and_profiles(store, analyzed):
    analyzed({"a": 1})
    with ww.open_store(store, mode="read") as opened:
        digest = opened.report("net").digest
        assert ww.blame(digest, "a", store=opened).at == "v1"
    for given, error, message in (
        ({"metrics": ["alhpa"]}, ww.UnknownNameError, "alpha"),
        ({"metrics": ["warning"]}, ww.UsageError, "holds texts"),
        ({"metrics": [""]}, ww.UsageError, "not empty"),
        ({"metrics": ["log_prod_spectral_norm"]}, ww.NotStoredError, "no number of log_prod_spectral_norm"),
        ({"metrics": ["bias_mean"]}, ww.NotStoredError, "no number of bias_mean"),
        ({"profile": ""}, ww.UsageError, "the profile is empty"),
        ({"profile": "trends-2020"}, ww.NotStoredError, "under profile 'trends-2020'"),
    ):
        with pytest.raises(error, match=message):
            ww.blame("net", "a", store=store, **given)
