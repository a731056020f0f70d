"""Spectra in single precision and on other devices: which results are new ones, which are the same, what is refused."""

import json
import sqlite3
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

import ww_core as ww
from ww_core.errors import MissingExtraError, UnknownNameError

LABEL = "[precision=float32]"


class Counting:
    """A plugin with a metric of each kind; it counts their calls."""

    def __init__(self):
        self.calls = {"of_spectrum": 0, "of_full_spectrum": 0, "of_weights": 0, "of_layer": 0}

    @ww.hookimpl
    def ww_register_metrics(self):
        def counted(name, value):
            self.calls[name] += 1
            return float(value)

        @ww.metric(version="1")
        def of_spectrum(singular_values):
            """Largest singular value."""
            return counted("of_spectrum", singular_values[0])

        @ww.metric(version="1", resolution="full")
        def of_full_spectrum(singular_values):
            """Smallest singular value."""
            return counted("of_full_spectrum", singular_values[-1])

        @ww.metric(version="1", batched=True)
        def of_weights(matrix):
            """Sum of the weights."""
            return counted("of_weights", matrix.sum())

        @ww.metric(version="1", scope="layer")
        def of_layer(stored_weight):
            """Mean of the weights."""
            return counted("of_layer", stored_weight.mean())

        return [of_spectrum, of_full_spectrum, of_weights, of_layer]


@pytest.fixture
def store(tmp_path):
    return tmp_path / "s.sqlite"


def by_name(report):
    return {row.name: row.metrics for row in report.layers}


def test_both_precisions_are_in_one_store_each_with_results_of_its_own(weights, store):
    double = ww.analyze(weights, store=store, name="net")
    single = ww.analyze(weights, store=store, name="net", precision="float32")
    assert (double.run.computed, single.run.computed, single.run.reused) == (3, 3, 0)
    assert single.digest == double.digest
    for precision, before in (("float64", double), ("float32", single)):
        again = ww.analyze(weights, store=store, name="net", precision=precision)
        assert (again.run.computed, again.run.reused) == (0, 3)
        assert again.layers == before.layers
    with ww.open_store(store, mode="read") as opened:
        assert opened.info().counts["spectrum"] == 6
        assert opened.report("net").layers == double.layers  # the profile's own
        assert opened.report("net", run=again.run.id).layers == single.layers


def test_a_label_says_which_precision_its_spectrum_has(weights):
    metrics = ["alpha", "alpha_weighted", "warning", "stable_rank", "weight_mean", "log_prod_spectral_norm"]
    report = ww.analyze(weights, metrics=metrics, precision="float32")
    assert list(report.layers[0].metrics) == [f"{name}{LABEL}" for name in metrics[:4]]
    assert list(report.layer_metrics[0].metrics) == ["weight_mean"]
    assert list(report.model_metrics) == [f"log_prod_spectral_norm{LABEL}"]
    both = ww.analyze(weights, metrics=["alpha"], precision="float32", parameters={"power_law.ks": "two-sided"})
    assert list(both.layers[0].metrics) == ["alpha[ks=two-sided,precision=float32]"]


@pytest.mark.parametrize("extractor", ["pool", "slice", "stack", "fft[n=8]"])
def test_the_numbers_are_those_of_float64_but_for_its_rounding(weights, extractor):
    double = ww.analyze(weights, extractors=[extractor])
    single = ww.analyze(weights, extractors=[extractor], precision="float32")
    assert len(double.layers) == len(single.layers)
    for one, other in zip(double.layers, single.layers, strict=True):
        for label in ("alpha", "spectral_norm", "frobenius_norm", "stable_rank"):
            here, there = one.metrics[label], other.metrics[f"{label}{LABEL}"]
            assert there.number == pytest.approx(here.number, rel=1e-4)
            assert there.number != here.number  # it was done in another arithmetic


def test_what_float32_cannot_tell_apart_is_below_the_floor():
    rng = np.random.default_rng(0)
    left, right = (np.linalg.qr(rng.standard_normal((side, 40)))[0] for side in (60, 40))
    weight = left @ np.diag([*np.linspace(2, 1, 30), *[1e-5] * 10]) @ right.T
    double, single = (ww.analyze({"fc.weight": weight}, precision=p).layers[0] for p in ("float64", "float32"))
    assert double.metrics["hard_rank"].number == 40
    assert single.metrics[f"hard_rank{LABEL}"].number == 30


def test_what_does_not_depend_on_the_precision_is_shared(weights, store):
    plugin = Counting()
    chosen = {"store": store, "name": "net", "plugins": [plugin], "metrics": list(plugin.calls)}
    double = ww.analyze(weights, **chosen)
    assert plugin.calls == {"of_spectrum": 3, "of_full_spectrum": 3, "of_weights": 3, "of_layer": 4}
    single = ww.analyze(weights, **chosen, precision="float32")
    assert plugin.calls == {"of_spectrum": 6, "of_full_spectrum": 3, "of_weights": 3, "of_layer": 4}
    for name, metrics in by_name(single).items():
        assert metrics["of_full_spectrum"] == by_name(double)[name]["of_full_spectrum"]
        assert metrics["of_weights"] == by_name(double)[name]["of_weights"]
    assert single.layer_metrics == double.layer_metrics


def test_a_full_spectrum_is_in_float64_whatever_is_asked(weights, store):
    names = ["first", "second"]
    single = ww.analyze(
        weights, store=store, metrics=["smallest_singular_value", "alpha"], layers=names, precision="float32"
    )
    for name in names:
        expected = np.linalg.svd(weights[f"{name}.weight"].astype(np.float64), compute_uv=False)[-1]
        assert by_name(single)[name]["smallest_singular_value"].number == pytest.approx(expected, rel=1e-12)


def test_processes_take_precision_and_device_along(ww_program, model_file):
    reports = []
    for executor in ("threads", "processes"):
        options = ("--precision", "float32", "--store", f"{executor}.sqlite", "--executor", executor)
        result = ww_program("analyze", model_file, "--json", *options)
        assert result.returncode == 0, result.stderr
        reports.append(json.loads(result.stdout))
    assert reports[0]["layers"] == reports[1]["layers"]
    assert reports[0]["layers"][0]["metrics"][f"alpha{LABEL}"] > 1


@pytest.mark.parametrize("precision", ["float16", "", "FLOAT32", None])
def test_a_precision_that_is_none(weights, store, precision):
    with pytest.raises(UnknownNameError, match="unknown precision"):
        ww.analyze(weights, store=store, precision=precision)
    assert not store.exists()


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        (("--precision", "flaot32"), "error: unknown precision 'flaot32': did you mean float32?"),
        (("--precision", "half"), "error: unknown precision 'half': known: float32, float64"),
    ],
)
def test_a_bad_name_is_one_sentence_and_nothing_is_stored(ww_here, model_file, option, sentence):
    result = ww_here("analyze", model_file, *option)
    assert (result.returncode, result.stderr.splitlines()) == (2, [sentence])
    assert not ww_here.store.exists()


@pytest.mark.parametrize("command", ["analyze", "compare-svd"])
def test_a_device_without_torch(ww_program, model_file, command):
    (ww_program.folder / "torch.py").write_text("raise ImportError('blocked')\n")
    result = ww_program(command, model_file, "--device", "cuda")
    sentence = "error: device 'cuda' needs torch: pip install 'ww-core[torch]', or take cpu"
    assert (result.returncode, result.stderr.splitlines()) == (3, [sentence])
    assert not ww_program.store.exists()
    assert ww_program(command, model_file, "--device", "cpu").returncode == 0


class TestTorch:
    """Torch's own routines on the CPU: the code that a GPU runs, too."""

    @pytest.fixture(autouse=True)
    def _torch(self):
        pytest.importorskip("torch")

    @pytest.mark.parametrize("precision", ["float64", "float32"])
    def test_a_device_is_no_part_of_the_identity_and_agrees(self, weights, store, precision):
        here = ww.analyze(weights, precision=precision, extractors=["pool", "fft[n=8]"])
        there = ww.analyze(weights, precision=precision, extractors=["pool", "fft[n=8]"], device="torch", store=store)
        assert not there.failures
        tolerance = 1e-10 if precision == "float64" else 1e-4
        label = "" if precision == "float64" else LABEL
        for one, other in zip(here.layers, there.layers, strict=True):
            for name in ("alpha", "spectral_norm", "frobenius_norm"):
                found, expected = other.metrics[f"{name}{label}"].number, one.metrics[f"{name}{label}"].number
                assert found == pytest.approx(expected, rel=tolerance)
        again = ww.analyze(weights, precision=precision, extractors=["pool", "fft[n=8]"], store=store)
        assert again.run.computed == 0

    @pytest.mark.parametrize(
        ("device", "sentence"),
        [
            ("cuda:77", r"device 'cuda\[index=77\]' cannot be used: .*take cpu"),
            ("torch[on=gpu]", r"device 'torch\[on=gpu\]' cannot be used: .*take cpu"),
            ("gpu", r"unknown device 'gpu': give one of cpu \(.*, cuda \(A graphics card of NVIDIA's.*, xpu \("),
            ("gpu:1", "unknown device 'gpu': give one of"),
            ("cuda[index=x]", "parameter index takes int, not 'x'"),
            ("cuda[card=1]", "unknown parameter of cuda 'card'"),
            ("cuda[1]", "is not of the form"),
            ("", "is not of the form"),
        ],
    )
    def test_a_device_that_is_not_there(self, weights, store, device, sentence):
        with pytest.raises(ww.UsageError, match=sentence) as caught:
            ww.analyze(weights, store=store, device=device)
        assert "\n" not in str(caught.value)
        assert not store.exists()


def test_a_missing_torch_is_told_from_python_too(weights, monkeypatch):
    from ww_plugins.devices import torch

    torch._tried.cache_clear()
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match="needs torch"):
        ww.analyze(weights, device="torch")


def test_a_source_of_float32_needs_no_more(weights, tmp_path):
    path = tmp_path / "net.safetensors"
    save_file({name: array for name, array in weights.items() if array.ndim > 1}, path)
    report = ww.analyze(path, precision="float32", metrics=["alpha"])
    assert (report.run.computed, report.failures) == (3, ())


def test_the_precision_stands_in_a_label_once():
    report = ww.analyze(
        {"a.weight": np.eye(5)[:4]}, name="a", precision="float32", parameters={"power_law.ks": "two-sided"}
    )
    assert all(label.count("precision") == 1 for row in report.layers for label in row.metrics)


def test_single_precision_does_not_join_what_is_apart():
    """Ties chain: with a bound that grows with N, the bulk of a tall matrix became one value."""
    rng = np.random.default_rng(5)
    tall = (rng.standard_t(4, size=(20000, 200)) * np.arange(1, 201) ** -0.35).astype(np.float32)
    double = ww.analyze({"a.weight": tall}, name="a", metrics=["alpha", "n_tail"]).layers[0].metrics
    single = (
        ww.analyze({"a.weight": tall}, name="a", metrics=["alpha", "n_tail"], precision="float32").layers[0].metrics
    )
    assert single["alpha[precision=float32]"].value == pytest.approx(double["alpha"].value, rel=1e-3)


def test_a_decomposition_that_fails_is_said_once(monkeypatch):
    from ww_core.spectral import cpu

    def exhausted(*_):
        raise MemoryError("no more")

    monkeypatch.setattr(cpu, "_gram", exhausted)
    report = ww.analyze({"a.weight": np.eye(5)[:4]}, name="a", metrics=["alpha", "spectral_norm", "hard_rank"])
    assert [failure.message for failure in report.failures] == ["spectrum: MemoryError: no more"]
    assert report.run.computed == 0


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_the_device_arrives_where_spectra_are_made(tmp_path, executor):
    pytest.importorskip("torch")
    save_file({"a.weight": np.random.default_rng(0).standard_normal((8, 6))}, tmp_path / "a.safetensors")
    ww.analyze(str(tmp_path / "a.safetensors"), store=tmp_path / "s.sqlite", device="torch", executor=executor, jobs=1)
    with sqlite3.connect(tmp_path / "s.sqlite") as store:
        assert {route for (route,) in store.execute("SELECT route FROM spectrum")} == {"gram+eigvalsh on torch"}


def test_a_spectrum_of_another_precision_is_not_reused(monkeypatch, tmp_path):
    from ww_core.spectral import cpu

    weights = {"a.weight": np.random.default_rng(0).standard_normal((8, 6))}
    ww.analyze(weights, store=tmp_path / "s.sqlite", name="a")

    def exhausted(*_):
        raise MemoryError

    monkeypatch.setattr(cpu, "_gram", exhausted)
    run = ww.analyze(weights, store=tmp_path / "s.sqlite", name="a", precision="float32").run
    assert (run.computed, run.reused) == (0, 0)
