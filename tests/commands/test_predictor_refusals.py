"""What ``ww predictor`` refuses, and when: before the work, in one sentence that names the next step."""

import csv
import io
import json
import os
from dataclasses import replace

import numpy as np
import pytest

import ww_core as ww
from ww_plugins.zoos.writing import write_zoo

USAGE, PLACE, INTERRUPTED = 2, 3, 130
NETWORKS = 120
TENSORS = (
    ww.ZooTensor("a/bias:0", "a", "bias", 0, 4, (4,)),
    ww.ZooTensor("a/kernel:0", "a", "weight", 4, 24, (5, 4)),
    ww.ZooTensor("b/bias:0", "b", "bias", 24, 27, (3,)),
    ww.ZooTensor("b/kernel:0", "b", "weight", 27, 39, (4, 3)),
)


def zoo_of(name="own", networks=NETWORKS):
    """Random networks whose accuracy is in their biases."""
    random = np.random.default_rng(5)
    weights = random.normal(size=(networks, 39)).astype(np.float32)
    numbers = np.arange(networks)
    accuracy = 1 / (1 + np.exp(-weights[:, :4].max(axis=1) - 0.1 * random.normal(size=networks)))
    return ww.Zoo(
        name=name,
        tensors=TENSORS,
        layout="keras",
        stored=weights,
        rows=numbers,
        networks=numbers,
        epochs=np.ones(networks, np.int64),
        hyperparameters={
            "optimizer": np.array([("sgd", "adam")[own % 2] for own in range(networks)], object),
            "learning_rate": random.uniform(size=networks),
            "width": np.array([(8.0, 16.0)[own % 2] for own in range(networks)]),
        },
        results={"test_accuracy": accuracy},
    )


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("zoo") / "own"
    write_zoo(zoo_of(), folder, {})
    return folder


@pytest.fixture
def run(ww_here):
    return lambda *arguments: ww_here("predictor", *arguments)


@pytest.fixture
def fitted(run, zoo, tmp_path):
    assert run("fit", zoo, "--estimator", "forest", "--out", "own.predictor").returncode == 0
    return tmp_path / "own.predictor"


@pytest.fixture
def nothing_is_fitted(monkeypatch):
    """No estimator may begin to learn."""

    def refuse(*_, **__):
        raise AssertionError("something was fitted")

    monkeypatch.setattr("ww_plugins.predictors.fitting.searched", refuse)
    monkeypatch.setattr("ww_plugins.predictors.fitting.fitted", refuse)


def refused(done, code, *said):
    assert done.returncode == code, done.stderr
    (sentence,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    for own in said:
        assert own in sentence
    assert "Traceback" not in done.stderr


def test_an_evaluation_is_printed_as_csv(run, zoo, fitted):
    for more in ((), ("--on", zoo)):
        told = json.loads(run("evaluate", fitted, *more, "--json").stdout)
        (row,) = csv.DictReader(io.StringIO(run("evaluate", fitted, *more, "--csv").stdout))
        assert row.keys() == told.keys()
        assert float(row["r2"]) == told["r2"]
    assert run("evaluate", fitted, "--csv", "--json").returncode == USAGE


@pytest.mark.usefixtures("nothing_is_fitted")
def test_families_of_many_values_are_refused(run, zoo):
    done = run("fit", zoo, "--families", "learning_rate", "--out", "p.predictor")
    refused(done, USAGE, "learning_rate has 120 different values", "optimizer")


def test_families_of_few_values_may_be_numbers(run, zoo):
    done = run("fit", zoo, "--families", "width", "--estimator", "forest", "--out", "p.predictor")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("out", ["", "-"])
@pytest.mark.usefixtures("nothing_is_fitted")
def test_a_predictor_is_written_into_a_file(run, zoo, out):
    refused(run("fit", zoo, "--out", out), USAGE, "--out")
    refused(run("fit", "no-zoo-at-all", "--out", out), USAGE, "--out")


def test_a_model_that_is_not_stored_is_missed_before_the_work(run, zoo, fitted, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("something was predicted")

    monkeypatch.setattr("ww_plugins.predictors.predicting.estimated", refuse)
    asked = ("predict", fitted, zoo, "--loader", "zoo[network=7]", "--store", "s.sqlite", "--record")
    refused(run(*asked, "net"), PLACE, "--record net", "s.sqlite", "ww analyze")
    assert not (tmp_path / "s.sqlite").exists()
    ww.analyze({"a.weight": np.ones((6, 5), np.float32)}, store=tmp_path / "s.sqlite", name="net")
    for name, said in (("other@1", "'other'"), ("net@9", "'9'")):
        done = run(*asked, name)
        refused(done, PLACE, f"--record {name}", said, "ww analyze")
        assert "--without-weights" not in done.stderr


@pytest.mark.parametrize("where", ["zoo", "layer", "family"])
@pytest.mark.usefixtures("nothing_is_fitted")
def test_names_that_cannot_be_printed_are_refused_before_fitting(where):
    from ww_plugins.predictors.fitting import FitRequest, fit_predictor

    zoo = zoo_of(name="two\nlines" if where == "zoo" else "own")
    if where == "layer":
        zoo = replace(zoo, tensors=tuple(replace(own, layer=f"{own.layer}\n") for own in TENSORS))
    if where == "family":
        zoo.hyperparameters["optimizer"][3] = "ad\nam"
    with pytest.raises(ww.UsageError, match=r"\\n.*cannot be printed"):
        fit_predictor(zoo, FitRequest(family_by="optimizer"))


@pytest.mark.skipif(os.name == "nt", reason="no such names there")
def test_a_folder_with_a_line_break_is_refused(run, tmp_path):
    write_zoo(zoo_of("two\nlines"), tmp_path / "two\nlines", {})
    done = run("fit", "two\nlines", "--out", "p.predictor", "--estimator", "forest")
    assert done.returncode == USAGE
    assert "cannot be printed" in done.stderr


@pytest.mark.parametrize("second", ["statistix", "weights[layer=9]", "weights[layer=x]"])
@pytest.mark.usefixtures("nothing_is_fitted")
def test_all_feature_sets_are_known_before_the_first_is_fitted(run, zoo, second):
    done = run("compare", zoo, "--features", "statistics", "--features", second, "--estimator", "forest")
    refused(done, USAGE)


@pytest.mark.parametrize("command", ["fit", "compare"])
def test_what_was_interrupted_begins_anew(run, zoo, monkeypatch, command):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("ww_plugins.predictors.fitting.searched", stop)
    more = {"fit": ("--out", "p.predictor"), "compare": ("--features", "norms")}[command]
    done = run(command, zoo, "--estimator", "forest", *more)
    assert done.returncode == INTERRUPTED
    assert done.stderr.splitlines()[-1] == "interrupted: nothing was written, and the same command starts again"


def test_changed_weights_have_no_metrics(run, ww_here, zoo, tmp_path):
    store = tmp_path / "s.sqlite"
    assert ww_here("zoo", "analyze", zoo, "--networks", "0:30", "--store", store).returncode == 0
    done = run(
        "fit", zoo, "--features", "stable_rank", "--estimator", "forest", "--store", store, "--out", "m.predictor"
    )
    assert done.returncode == 0, done.stderr
    refused(run("invariance", "m.predictor", "--on", zoo), USAGE, "stable_rank", "statistics")
    done = run("importance", "m.predictor", "--on", zoo, "--by", "layer", "--store", store, "--json")
    assert [own["count"] for own in json.loads(done.stdout)] == [1, 1]


def test_a_comparison_tells_how_often_intervals_hold(run, zoo, fitted):
    asked = ("compare", zoo, "--features", "statistics", "--estimator", "forest")
    (row,) = json.loads(run(*asked, "--json").stdout)
    own = json.loads(run("evaluate", fitted, "--on", zoo, "--json").stdout)
    for name in ("r2", "mse", "coverage", "mean_width", "outside"):
        assert row[name] == pytest.approx(own[name], abs=1e-12)
        assert row[f"{name}_std"] is None
    (several,) = json.loads(run(*asked, "--seeds", "3", "--json").stdout)
    assert several["mean_width_std"] > 0
    assert several["confidence"] == 0.9
    assert "coverage" not in run(*asked).stdout


def test_importances_are_told_and_drawn(run, zoo, fitted, tmp_path):
    done = run("importance", fitted, "--on", zoo, "--repeats", "2", "--plot", "own.png", "--json")
    rows = json.loads(done.stdout)
    assert len(rows) == 28
    assert rows[0]["feature"] == "layer1.bias.q100"
    assert [row["importance"] for row in rows] == sorted((row["importance"] for row in rows), reverse=True)
    assert (tmp_path / "own.png").stat().st_size > 5_000
    table = run("importance", fitted, "--on", zoo)
    assert len(table.stdout.splitlines()) == 22
    assert "8 more" in table.stderr
    (row, _) = csv.DictReader(io.StringIO(run("importance", fitted, "--on", zoo, "--by", "layer", "--csv").stdout))
    assert (row["layer"], row["count"]) == ("layer1", "14")
    assert run("importance", fitted, "--on", zoo, "--by", "colour").returncode == USAGE
    assert run("importance", fitted, "--on", zoo, "--networks", "1").returncode == USAGE
    refused(run("importance", fitted, "--on", "none"), PLACE)
    refused(run("importance", fitted, "--on", zoo, "--plot", "own.txt"), USAGE)
