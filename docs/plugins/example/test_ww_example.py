"""Tests of the plugins: the contract of each kind, inherited from ww, and values worked out by hand."""

import json
import os
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
from ww_example import command, executor, loader, nuclear_norm, observer, profile, wider_metrics

import ww_core as ww
from ww_core.command import run_app
from ww_core.testing import (
    CommandContract,
    ExecutorContract,
    LoaderContract,
    MetricContract,
    ObserverContract,
    ProfileContract,
)

RANDOM = np.random.default_rng(0)


class TestNuclearNorm(MetricContract):
    plugin = nuclear_norm

    def test_value(self):
        assert nuclear_norm.nuclear_norm(np.array([3.0, 2.0, 0.5])) == 5.5


class TestWiderMetrics(MetricContract):
    plugin = wider_metrics

    def test_dead_outputs(self):
        weight = np.array([[0.0, 0.0], [0.1, 0.0], [0.0, 0.3], [-0.1, 0.1]])
        assert wider_metrics.dead_outputs(weight) == 0.25
        assert wider_metrics.dead_outputs(weight, below=0.1) == 0.75
        assert wider_metrics.dead_outputs(np.array([[np.nan, 0.0], [0.0, 0.0]])) == 0.5
        assert wider_metrics.dead_outputs(np.eye(3).reshape(3, 1, 3, 1)) == 0.0

    def test_norm_spread(self):
        norms = np.ma.masked_array([100.0, 0.1, 5.0, 1000.0], mask=[False, False, False, True])
        assert wider_metrics.norm_spread(norms) == pytest.approx(3.0, rel=1e-15)

    @pytest.mark.parametrize("norms", [[], [1.0, 0.0], np.ma.masked_all(2)])
    def test_no_norm_has_no_spread(self, norms):
        with pytest.raises(ww.NotApplicable):
            wider_metrics.norm_spread(np.ma.asarray(norms))


class TestLoader(LoaderContract):
    plugin = loader
    name = "npy-folder"

    def write(self, weights, folder):
        for name, weight in weights.items():
            np.save(folder / f"{name}.npy", weight)
        return folder


class TestJaxLayout(TestLoader):
    def loader(self):
        return replace(super().loader(), layout="jax")

    def write(self, weights, folder):
        kernels = {
            name.replace(".weight", ".kernel"): np.moveaxis(weight, (0, 1), (-1, -2)) if weight.ndim > 1 else weight
            for name, weight in weights.items()
        }
        return super().write(kernels, folder)


WEIGHTS = {
    "conv.weight": RANDOM.normal(size=(6, 4, 3, 2)).astype(np.float32),
    "fc.weight": RANDOM.normal(size=(20, 30)),
    "fc.bias": RANDOM.normal(size=20),
    "steps": np.array([7]),
}


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("byte_order", ["<", ">"])
def test_the_same_weights_have_one_digest_however_they_were_saved(tmp_path, order, byte_order):
    for name, weight in WEIGHTS.items():
        kernel = weight.transpose(2, 3, 1, 0) if weight.ndim == 4 else weight.T
        saved = np.asarray(kernel, dtype=kernel.dtype.newbyteorder(byte_order), order=order)
        np.save(tmp_path / f"{name.replace('weight', 'kernel')}.npy", saved)
    there = ww.analyze(tmp_path, name="net", loader="npy-folder[layout=jax]", metrics=["nuclear_norm"])
    here = ww.analyze(WEIGHTS, name="net", metrics=["nuclear_norm"])
    assert there.digest == here.digest
    assert there.layers == here.layers


@pytest.mark.parametrize("change", [lambda content: content[:-1], lambda content: content + b"\0", lambda _: b""])
def test_a_file_that_contradicts_its_header_is_refused(tmp_path, change):
    np.save(tmp_path / "fc.weight.npy", WEIGHTS["fc.weight"])
    np.save(tmp_path / "fc.bias.npy", WEIGHTS["fc.bias"])
    path = tmp_path / "fc.bias.npy"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ww.CorruptFileError, match=r"fc\.bias\.npy"):
        ww.analyze(tmp_path, loader="npy-folder")


class TestProfile(ProfileContract):
    plugin = profile


class TestObserver(ObserverContract):
    plugin = observer


def test_every_layer_is_a_line_of_json(tmp_path, monkeypatch):
    monkeypatch.setenv("WW_EXAMPLE_LOG", str(tmp_path / "log.jsonl"))
    ww.analyze({"a.weight": np.diag([3.0, 2.0]), "b.weight": np.eye(2)}, name="net", profile="pruning", jobs=1)
    start, *layers, end = map(json.loads, (tmp_path / "log.jsonl").read_text().splitlines())
    assert start == {"event": "start", "model": "net", "version": "1", "layers": 2}
    first = next(layer for layer in layers if layer["name"] == "a")
    assert (first["event"], first["failed"], first["metrics"]) == ("layer", False, {"dead_outputs": 0.0})
    assert first["matrices"][0]["metrics"]["nuclear_norm"] == pytest.approx(5.0, rel=1e-15)
    assert end == {"event": "end", "model": "net", "version": "1", "failures": 0}


def test_without_the_variable_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WW_EXAMPLE_LOG", raising=False)
    ww.analyze(WEIGHTS, metrics=["nuclear_norm"])
    assert not list(tmp_path.iterdir())


class TestExecutor(ExecutorContract):
    plugin = executor


@pytest.mark.skipif(sys.platform != "linux", reason="only there a thread has a priority of its own")
def test_workers_have_a_low_priority_and_the_caller_keeps_its_own():
    before = os.getpriority(os.PRIO_PROCESS, 0)
    with executor.Polite(nice=19).create(1) as pool:
        found = pool.submit(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id())).result()
    assert found == 19
    assert os.getpriority(os.PRIO_PROCESS, 0) == before


def test_a_niceness_that_cannot_be_is_refused():
    with pytest.raises(ww.UsageError, match="nice goes from 0 to 19, and 20 is outside"):
        ww.analyze(WEIGHTS, executor="polite[nice=20]")


class TestCommand(CommandContract):
    plugin = command


def test_deviations():
    # median 2.5, distances 1.5 0.5 0.5 97.5, their median 1.0
    assert command.deviations(np.array([1.0, 2.0, 3.0, 100.0]))[3] == pytest.approx(97.5 / 1.4826, rel=1e-15)
    assert list(command.deviations(np.array([2.0, 2.0, 2.0, 9.0]))) == [0.0] * 4
    assert np.isnan(command.deviations(np.array([1.0, np.nan, 2.0]))[1])
    assert list(command.deviations(np.array([np.nan]))) == [0.0]


def test_the_command_names_the_odd_layer(tmp_path, capsys):
    store = str(tmp_path / "store.sqlite")
    weights = {f"layer{n}.weight": (1 + n / 10) * np.eye(8) for n in range(6)} | {"odd.weight": 50 * np.eye(8)}
    ww.analyze(weights, store=store, name="net", profile="pruning")
    assert run_app(command.app, ["nuclear_norm", "--profile", "pruning", "--store", store, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["model"], row["version"], row["layer"]) == ("net", "1", "odd")
    assert row["nuclear_norm"] == pytest.approx(400.0, rel=1e-12)
    # nuclear norms 8, 8.8, ..., 12 and 400: median 10.4, distances 2.4 1.6 0.8 0 0.8 1.6 389.6, their median 1.6
    assert row["deviations"] == pytest.approx(389.6 / (1.4826 * 1.6), rel=1e-9)
