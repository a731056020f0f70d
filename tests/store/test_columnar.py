"""Values, features and scores of many versions at once, on both databases."""

import numpy as np
import pytest
from sqlalchemy import text

import ww_core as ww
from ww_core.errors import NotStoredError, UnknownNameError
from ww_core.store.store import open_store


def fill(store, weights):
    """Three versions of two models that share layers, with experiments, another profile and a bias of its own."""
    same_but_bias = weights | {"first.bias": weights["first.bias"] + 1, "second.weight": weights["first.weight"].T}
    ww.analyze(weights, store=store, name="net", version="b")
    ww.analyze(same_but_bias, store=store, name="net", version="a")
    ww.analyze(weights, store=store, name="twin")
    ww.analyze(weights, store=store, name="net", version="b", parameters={"power_law.ks": "two-sided"})
    ww.analyze(weights, store=store, name="net", version="b", extractors=["slice"])
    ww.analyze(weights, store=store, name="net", version="b", profile="weightwatcher")
    ww.analyze(weights, store=store, name="net", version="b", metrics=["alpha"], layers=["first"])


@pytest.fixture
def store(tmp_path, weights):
    with open_store(tmp_path / "store.sqlite") as store:
        fill(store, weights)
        yield store


def test_values_are_those_of_the_reports_and_of_the_view(store_url, weights):
    with open_store(store_url) as store:
        fill(store, weights)
        for scope in ("matrix", "layer", "model"):
            labels = store.report("twin").labels(scope)
            found = store.values(labels, scope=scope)
            names = zip(found.places["model"], found.places["version"], strict=True)
            assert list(dict.fromkeys(names)) == [("net", "b"), ("net", "a"), ("twin", "1")]
            rows = [row for own in ("net@b", "net@a", "twin") for row in report_of(store, own).rows(scope)]
            assert len(rows) == len(found)
            for label in labels:
                for place, row in enumerate(rows):
                    if label in found.texts:
                        assert found.texts[label][place] == row[label]
                    else:
                        number = found.numbers[label][place]
                        assert number == row[label] or (np.isnan(number) and row[label] is None)
            if scope != "model":
                assert [row["layer"] for row in rows] == list(found.places["layer"])
        asked = store.values(["alpha", "warning"], ["net"])
        with store._reading() as connection:
            query = "SELECT value FROM v_metrics WHERE model = 'net' AND profile = 'default' AND column_name = 'alpha'"
            assert sorted(connection.execute(text(query)).scalars()) == sorted(asked.numbers["alpha"])
    assert set(asked.texts) == {"warning"}
    assert list(asked.to_pandas().columns) == [*asked.places, "alpha", "warning"]


def report_of(store, name):
    """The profile's own answer, whatever was analysed since."""
    return store.report(name, "default")


def test_what_has_no_number_has_a_state(tmp_path):
    ww.analyze({"a.weight": np.full((6, 5), np.nan), "b.weight": np.eye(6)}, store=tmp_path / "s.sqlite", name="net")
    with open_store(tmp_path / "s.sqlite") as store:
        found = store.values(["alpha", "stable_rank"])
    assert np.isnan(found.numbers["stable_rank"][0])
    assert found.numbers["stable_rank"][1] == pytest.approx(6)
    assert list(found.states["stable_rank"]) == ["refused", "ok"]
    assert found.states["alpha"][1] in {"refused", "not_applicable"}


def test_another_profile_has_its_own(store):
    found = store.values("alpha", profile="weightwatcher")
    assert list(dict.fromkeys(found.places["version"])) == ["b"]
    assert list(found.numbers["alpha"]) == [
        row["alpha"] for row in store.report("net@b", "weightwatcher").rows() if row["alpha"] is not None
    ]


def test_features_are_the_values_side_by_side(store):
    found = store.features(["alpha", "stable_rank"])
    assert found.names == tuple(
        f"{layer}.{label}" for layer in ("first", "second", "conv") for label in ("alpha", "stable_rank")
    )
    assert found.values.shape == (len(found), 6) == (3, 6)
    values = store.values(["alpha", "stable_rank"])
    assert found.values[:, ::2].ravel().tolist() == values.numbers["alpha"].tolist()
    assert list(found.models) == ["net", "net", "twin"]
    assert (found.values[0] == found.values[2]).all()
    frame = found.to_pandas()
    assert frame["conv.alpha"].tolist() == found.values[:, 4].tolist()
    assert store.features("weight_mean", "net@a", scope="layer").names[0] == "first.weight_mean"
    assert store.features("log_prod_spectral_norm", scope="model").names == ("log_prod_spectral_norm",)


def test_several_matrices_of_a_layer_are_several_features(tmp_path):
    drawn = np.random.default_rng(3)
    weights = {"conv.weight": drawn.standard_normal((52, 50, 1, 3)), "head.weight": drawn.standard_normal((60, 52))}
    with open_store(tmp_path / "s.sqlite") as store:
        ww.analyze(weights, store=store, name="net", profile="trends-2020")
        ww.analyze({"head.weight": weights["head.weight"]}, store=store, name="small", profile="trends-2020")
        found = store.features("stable_rank", profile="trends-2020")
    assert found.names == (*(f"conv.slice[{index}].stable_rank" for index in range(3)), "head.stable_rank")
    assert np.isnan(found.values).tolist() == [[False] * 4, [True, True, True, False]]  # it lacks the layer


def test_scores_come_with_the_versions_they_speak_of(store):
    store.add_scores([ww.Score("twin", "accuracy", "digits", 0.9, "a paper", better="higher")])
    found = store.scores()
    assert [(own.model, own.version, own.value) for own in found] == [("net", "b", 0.9), ("twin", "1", 0.9)]
    assert len(store.scores("twin")) == 1
    assert store.scores().to_pandas()["better"].tolist() == ["higher", "higher"]
    assert list(store.scores(["net@a"]).to_pandas().columns)[:2] == ["model", "version"]


def test_wrong_questions_are_one_sentence(store):
    for ask, error, words in (
        (
            lambda: store.values(["alhpa"]),
            UnknownNameError,
            "matrix 'alhpa': did you mean alpha",
        ),
        (lambda: store.values(["weight_mean"]), UnknownNameError, "unknown column of scope matrix"),
        (lambda: store.values([]), ww.UsageError, "name one column or more"),
        (lambda: store.values([""]), ww.UsageError, "not empty"),
        (lambda: store.values(["alpha"], scope="layers"), UnknownNameError, "unknown scope 'layers'"),
        (lambda: store.values(["alpha"], ["nett"]), NotStoredError, "did you mean net"),
        (lambda: store.values(["alpha"], profile="trends-2020"), NotStoredError, "under profile 'trends-2020'"),
        (lambda: store.scores([""]), ww.UsageError, "not empty"),
    ):
        with pytest.raises(error, match=words):
            ask()


def test_what_is_not_comparable_makes_no_feature(tmp_path, weights):
    def plugin(version):
        @ww.metric(version=version)
        def bar(singular_values):
            """Of one version."""
            return float(version)

        class Plugin:
            @ww.hookimpl
            def ww_register_metrics(self):
                return [bar]

        return Plugin()

    other = weights | {"first.weight": weights["first.weight"] * 2}
    with open_store(tmp_path / "s.sqlite") as store:
        ww.analyze(weights, store=store, name="m", plugins=[plugin("1")])
        ww.analyze(other, store=store, name="m", plugins=[plugin("2")])
        found = store.values(["bar", "stable_rank"])
        assert found.mixed() == ["bar"]
        with pytest.raises(ww.UsageError, match="bar: not all versions have the same variant"):
            store.features(["bar", "stable_rank"])
        assert store.features(["bar"], ["m@2"]).values.tolist() == [[2.0] * 3]


def test_layers_of_confusing_names_are_features_of_their_own(tmp_path):
    drawn, other = np.random.default_rng(3), np.diag(np.arange(1.0, 61))
    weights = {"conv.weight": drawn.standard_normal((52, 50, 1, 2)), "conv.slice[0].weight": other}
    with open_store(tmp_path / "s.sqlite") as store:
        ww.analyze(weights, store=store, name="net", profile="trends-2020")
        found = store.features("stable_rank", profile="trends-2020")
    assert len(set(found.names)) == len(found.names) == 3
    assert np.isfinite(found.values).all()


def test_scores_of_reported_models_and_of_weights_without_a_name(store):
    digest = store.report("net@a").digest
    said = {"name": "accuracy", "dataset": "digits", "source": "a paper", "better": "higher"}
    store.add_scores([ww.Score("VGG11", value=0.7, **said)], without_weights=True)
    store.add_scores([ww.Score("net", version="a", value=0.8, **said)])
    store.forget("net@a")
    assert [own.value for own in store.scores("VGG11")] == [0.7]
    assert [own.value for own in store.scores(digest)] == [0.8]
    assert [own.value for own in store.scores()] == [0.8, 0.7]  # what has no name comes first
