"""Residual networks of the examples: trained, resumed, and ranked by a predictor of other networks."""

from __future__ import annotations

import csv
import importlib.util
import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import ww_core as ww
from ww_core.testing.feature_sets import sample_zoo
from ww_plugins.predictors.file import write_predictor
from ww_plugins.predictors.fitting import FitRequest, fit_predictor

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
USAGE = 2


def example(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def training():
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    return example("train_residual_networks")


@pytest.fixture(scope="module")
def ranking():
    return example("rank_residual_networks")


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a script with arguments; it returns what it printed."""

    def runs(module, *arguments):
        monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, arguments)])
        module.main()
        return capsys.readouterr().out

    return runs


@pytest.fixture(scope="module")
def folder(training, tmp_path_factory):
    """Six networks."""
    path = tmp_path_factory.mktemp("residual")
    training.train_missing("digits", 0, 2, 2, path)
    return path


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    """A predictor of networks whose accuracy grows with the size of their weights."""
    zoo = sample_zoo(60)
    scales = np.random.default_rng(1).uniform(0.2, 2.0, 60)
    weights = (zoo.stored * scales[:, None]).astype(np.float32)
    zoo = replace(zoo, stored=weights, results={"test_accuracy": scales / 2})
    path = tmp_path_factory.mktemp("predictor") / "last.predictor"
    request = FitRequest(features="statistics[layers=last]", estimator="extra-trees[trees=50]")
    write_predictor(fit_predictor(zoo, request), path)
    return path


def rows_of(folder):
    with (folder / "networks.csv").open(newline="") as opened:
        return list(csv.DictReader(opened))


def test_networks_of_three_widths_are_trained_and_told_in_a_table(folder):
    rows = rows_of(folder)
    assert [row["file"] for row in rows] == [f"x{width}-{n:02}.safetensors" for width in (1, 2, 4) for n in (0, 1)]
    assert len({row["learning_rate"] for row in rows}) == 6
    for row in rows:
        assert 0 <= float(row["test_accuracy"]) <= 1
        with ww.open_checkpoint(folder / row["file"]) as checkpoint:
            last = checkpoint.layers[-1]
            assert (last.name, last.weight.shape) == ("linear", (10, 16 * int(row["width"])))
            assert last.bias is not None
    assert not list(folder.glob("*.part"))


def test_the_accuracy_in_the_table_is_that_of_the_network_in_the_file(training, folder):
    import torch

    images = training.image_set("digits")
    for row in rows_of(folder):
        told = training.trained_of(folder / row["file"])
        network = training.ResidualNetwork(told.training, 10)
        tensors = {name: torch.from_numpy(array) for name, array in load_file(folder / row["file"]).items()}
        assert not network.load_state_dict(tensors, strict=False).unexpected_keys
        found = training.accuracy(network, *training.tensors(images.x_test, images.y_test))
        assert found == pytest.approx(float(row["test_accuracy"]), abs=1e-9)


def test_what_is_there_is_kept_and_what_is_missing_is_trained_to_the_same_bytes(training, folder, run, tmp_path):
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    gone = tmp_path / "x2-01.safetensors"
    gone.unlink()
    (tmp_path / "networks.csv").unlink()
    kept = {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    printed = run(training, "--count", 2, "--epochs", 2, "--out", tmp_path)
    assert [line.split()[0] for line in printed.splitlines()] == ["x2-01", "6"]
    assert {file: file.stat().st_mtime_ns for file in kept} == kept
    assert gone.read_bytes() == (folder / gone.name).read_bytes()
    assert (tmp_path / "networks.csv").read_bytes() == (folder / "networks.csv").read_bytes()


def test_networks_do_not_depend_on_how_many_there_are(training):
    assert training.drawn("digits", 0, 2, 5, 32) == training.drawn("digits", 0, 2, 5, 32)
    assert training.drawn("digits", 0, 2, 5, 32) != training.drawn("digits", 1, 2, 5, 32)


def test_a_folder_of_other_networks_is_refused(training, folder, run, tmp_path):
    with pytest.raises(SystemExit, match=r"x1-00\.safetensors was trained otherwise"):
        run(training, "--count", 1, "--epochs", 2, "--seed", 1, "--out", folder)
    bad = tmp_path / "x1-00.safetensors"
    for content in (b"no network", b""):
        bad.write_bytes(content)
        with pytest.raises(SystemExit, match="is no network of this script"):
            run(training, "--count", 1, "--out", tmp_path)
    save_file({"a": np.ones(2)}, bad)
    with pytest.raises(SystemExit, match="is no network of this script"):
        run(training, "--count", 1, "--out", tmp_path)
    with pytest.raises(SystemExit) as stopped:
        run(training, "--count", 0, "--out", tmp_path)
    assert stopped.value.code == USAGE


def test_networks_are_ranked_by_a_predictor(ranking, folder, predictor, run):
    rows = json.loads(run(ranking, folder, predictor, "--json"))
    assert [(row["width"], row["networks"]) for row in rows] == [("x1", 2), ("x2", 2), ("x4", 2), ("all", 6)]
    assert all(row["predictor"] == "last.predictor" for row in rows)
    assert all(row[name] is None or abs(row[name]) <= 1 for row in rows for name in ("train", "test", "train_test"))
    table = [line.split() for line in run(ranking, folder, predictor, predictor).splitlines()]
    assert len(table) == 1 + 2 * 4
    assert table[0][:6] == ["predictor", "width", "networks", "pred~train", "pred~test", "train~test"]


def test_the_order_is_that_of_what_is_predicted(ranking, predictor, run, tmp_path):
    """The last layer of the networks grows: one accuracy grows with it, and the other falls."""
    base = sample_zoo(1)
    place = base.layers[-1]
    random = np.random.default_rng(2)
    lines = ["file,width,train_accuracy,test_accuracy"]
    for number, scale in enumerate((0.4, 0.9, 1.4, 1.9)):
        weight = random.standard_normal(place.weight.shape[::-1]) * scale * base.stored.std()
        bias = random.standard_normal(place.bias.shape) * scale * base.stored.std()
        tensors = {"conv.weight": random.standard_normal((4, 1, 3, 3)), "linear.weight": weight, "linear.bias": bias}
        save_file({key: own.astype(np.float32) for key, own in tensors.items()}, tmp_path / f"{number}.safetensors")
        lines.append(f"{number}.safetensors,{1 if number < 3 else 2},{0.9 - 0.1 * number},{0.1 + 0.2 * number}")
    (tmp_path / "networks.csv").write_text("\n".join(lines) + "\n")
    rows = {row["width"]: row for row in json.loads(run(ranking, tmp_path, predictor, "--json"))}
    for width in ("x1", "all"):
        assert [rows[width][key] for key in ("train", "test", "train_test")] == pytest.approx([-1, 1, -1])
    assert rows["x2"] | {"predictor": ""} == {
        "predictor": "",
        "width": "x2",
        "networks": 1,
        **dict.fromkeys(("train", "test", "train_test", "chance")),
    }


def test_chance_is_the_deviation_of_the_tau_of_random_orders(ranking):
    random = np.random.default_rng(0)
    n = 12
    networks = ranking.Networks([], np.full(n, "x1"), np.arange(n), np.arange(n))
    found = [ranking.rankings("", random.standard_normal(n), networks)[0] for _ in range(200)]
    beyond = np.mean([abs(row.test) > row.chance for row in found])
    assert 0.01 < beyond < 0.11
    assert math.isnan(ranking.rankings("", np.ones(n), networks)[0].test)


def test_what_cannot_be_ranked_is_said(ranking, folder, predictor, run, tmp_path):
    with pytest.raises(SystemExit, match=r"networks\.csv"):
        run(ranking, tmp_path, predictor)
    (tmp_path / "networks.csv").write_text("name,value\na,1\n")
    with pytest.raises(SystemExit, match=r"is not a table of train_residual_networks\.py"):
        run(ranking, tmp_path, predictor)
    with pytest.raises(SystemExit, match=r"nothing\.predictor"):
        run(ranking, folder, tmp_path / "nothing.predictor")
