"""Layers as a person asks for them: buffers among them, gates of recurrent layers, and a layout that nothing tells."""

from __future__ import annotations

import numpy as np
import pytest

import ww_core as ww

RNG = np.random.default_rng(4)
LSTM = {
    "lstm.weight_ih_l0": RNG.standard_normal((40, 8)).astype(np.float32),
    "lstm.weight_hh_l0": RNG.standard_normal((40, 10)).astype(np.float32),
    "lstm.bias_ih_l0": RNG.standard_normal(40).astype(np.float32),
}
FOURIER = {
    "fc.weight": RNG.standard_normal((12, 9)).astype(np.float32),
    "stft.forward_basis": RNG.standard_normal((12, 1, 16)).astype(np.float32),
    "bn.running_mean": RNG.standard_normal(9).astype(np.float32),
}


def largest(weight):
    return np.linalg.svd(weight.astype(np.float64), compute_uv=False)[0]


def test_each_gate_has_a_spectrum_of_its_own():
    whole = ww.analyze(LSTM, metrics=["spectral_norm"])
    assert [layer.metrics["spectral_norm"].value for layer in whole.layers] == pytest.approx(
        [largest(LSTM["lstm.weight_ih_l0"]), largest(LSTM["lstm.weight_hh_l0"])]
    )
    gates = ww.analyze(LSTM, metrics=["spectral_norm"], splits={"lstm.*": 4})
    told = {(own.name, own.index): own.metrics["spectral_norm"].value for own in gates.layers}
    assert told == pytest.approx(
        {(name, gate): largest(LSTM[name][10 * gate : 10 * gate + 10]) for name in list(LSTM)[:2] for gate in range(4)}
    )
    assert {own.split for own in gates.layers} == {"rows/4"}
    assert whole.digest == gates.digest


def test_gates_and_the_whole_stand_side_by_side_in_a_store(tmp_path):
    store = tmp_path / "s.db"
    for splits in ({}, {"*": 4}, {}):
        ww.analyze(LSTM, store=store, name="rnn", version="a" if not splits else "b", splits=splits)
    with ww.open_store(store) as opened:
        whole, gates = (opened.report(f"rnn@{version}") for version in ("a", "b"))
    assert [len(own.layers) for own in (whole, gates)] == [2, 8]


@pytest.mark.parametrize(
    ("splits", "said"),
    [
        ({"lstm.*": 3}, "has 40 rows: they do not fall into 3 equal blocks"),
        ({"lstm.*": 0}, "do not fall into 0 equal blocks"),
        ({"nothing*": 4}, "nothing*"),
        ({"conv": 4}, "only matrices, such as recurrent ones, fall into blocks"),
    ],
)
def test_blocks_that_do_not_fit_are_refused(splits, said):
    with pytest.raises(ww.UsageError) as caught:
        ww.describe({**LSTM, "conv.weight": np.ones((4, 4, 3, 3))}, splits=splits)
    assert said in str(caught.value)


def test_buffers_are_layers_if_a_person_says_so():
    plain, whole = (ww.describe(FOURIER, include_buffers=asked) for asked in (False, True))
    assert [layer.name for layer in plain.layers] == ["fc"]
    assert {own[0] for own in plain.skipped} == {"stft.forward_basis", "bn.running_mean"}
    assert {layer.name: layer.kind for layer in whole.layers} == {
        "fc": "dense",
        "stft.forward_basis": "conv1d",
        "bn.running_mean": "norm",
    }
    assert whole.skipped == ()
    report = ww.analyze(FOURIER, metrics=["spectral_norm"], include_buffers=True)
    basis = FOURIER["stft.forward_basis"]
    (own,) = (layer for layer in report.layers if layer.name == "stft.forward_basis")
    assert own.metrics["spectral_norm"].value == pytest.approx(max(np.linalg.norm(basis[:, 0, k]) for k in range(16)))
    assert report.digest == ww.analyze(FOURIER, metrics=["spectral_norm"]).digest


def test_a_buffer_that_shares_a_layers_name_gets_another():
    state = {"inv_freq.weight": np.ones((4, 3), np.float32), "inv_freq": np.ones(4, np.float32)}
    described = ww.describe(state, include_buffers=True)
    assert sorted(layer.name for layer in described.layers) == ["inv_freq", "inv_freq (buffer)"]


@pytest.mark.parametrize("layout", ["mlx", "flax", "keras"])
def test_a_layout_is_told_from_python(tmp_path, layout):
    kernel = RNG.standard_normal((24, 16, 3, 3)).astype(np.float32)
    stored = np.ascontiguousarray(np.moveaxis(kernel, 1, -1) if layout == "mlx" else kernel.transpose(2, 3, 1, 0))
    name = "conv.weight" if layout == "mlx" else "conv.kernel"
    np.savez(tmp_path / "net.npz", **{name: stored})
    wanted = ww.analyze({"conv.weight": kernel}, metrics=["spectral_norm"]).layers
    for source in ({name: stored}, tmp_path / "net.npz"):
        assert ww.analyze(source, metrics=["spectral_norm"], layout=layout).layers == wanted
        assert ww.describe(source, layout=layout).layers[0].shape == (24, 16, 3, 3)


def test_a_layout_that_cannot_be_is_refused(tmp_path):
    with pytest.raises(ww.UsageError, match="layout"):
        ww.describe(LSTM, layout="caffe")
    with pytest.raises(ww.UsageError, match="layout is empty"):
        ww.analyze(LSTM, layout="")
    torch = pytest.importorskip("torch")
    with pytest.raises(ww.UsageError, match="loader torch-module has no option 'layout'"):
        ww.describe(torch.nn.Linear(3, 4), layout="mlx")


@pytest.mark.parametrize(
    "state",
    [
        LSTM,
        FOURIER,
        {"conv.weight": np.ones((4, 4, 3, 3), np.float32), "q.weight": np.ones((3, 3), np.int8), "n": np.array(7)},
        {"c.weight_g": np.ones((3, 1), np.float32), "c.weight_v": np.arange(1.0, 13).reshape(3, 4)},
    ],
)
def test_describe_and_analyze_count_the_same_parameters(state):
    described = ww.describe(state)
    report = ww.analyze(state)
    counted = (report.coverage.parameters, report.coverage.parameters_analyzed)
    assert (described.parameters, described.parameters_analyzed) == counted


def test_weights_with_and_without_buffers_are_not_compared_as_wholes(tmp_path):
    store = tmp_path / "s.db"
    for version, asked in (("1", False), ("2", True), ("3", True)):
        ww.analyze(FOURIER, store=store, name="net", version=version, include_buffers=asked)
    difference = ww.diff("net@1", "net@2", store=store)
    assert "is a buffer in net@1, and a layer in net@2" in difference.summary["log_spectral_norm"].not_comparable
    assert ww.diff("net@2", "net@3", store=store).summary["log_spectral_norm"].not_comparable == ""
    with ww.open_store(store) as opened:
        track = opened.history("net", ["log_spectral_norm"]).tracks["log_spectral_norm"]
    assert np.isnan(track.means).tolist() == [True, False, False]
    assert track.not_comparable == {"1": "buffers are none there, and layers in the newest version"}


def test_means_over_gates_and_over_wholes_are_not_compared(tmp_path):
    store = tmp_path / "s.db"
    weights = {**LSTM, "fc.weight": RNG.standard_normal((12, 9)).astype(np.float32)}
    for version, splits in (("1", {}), ("2", {"lstm.*": 4})):
        ww.analyze(weights, store=store, name="net", version=version, splits=splits)
    with ww.open_store(store) as opened:
        history = opened.history("net", ["log_spectral_norm"])
    track = history.tracks["log_spectral_norm"]
    assert np.isnan(track.means).tolist() == [True, False]
    assert np.isnan(track.mean_changes).all()
    assert "has split none there, and rows/4 in the newest version" in track.not_comparable["1"]
    lasting = track.lasting()
    assert [str(place) for place in lasting.places] == ["fc"]
    assert np.isfinite(lasting.means).all()


def test_means_of_layers_that_are_the_same_everywhere_are_compared(tmp_path):
    store = tmp_path / "s.db"
    weights = {**LSTM, **FOURIER}
    for version, asked in (("1", {}), ("2", {"splits": {"lstm.*": 4}, "include_buffers": True})):
        ww.analyze(weights, store=store, name="net", version=version, **asked)
    with ww.open_store(store) as opened:
        fc, lstm = (
            opened.history("net", ["log_spectral_norm"], layers=[glob]).tracks["log_spectral_norm"]
            for glob in ("fc", "lstm*")
        )
    assert np.isfinite(fc.means).all()
    assert np.isnan(lstm.means).tolist() == [True, False]


def test_buffers_that_are_asked_for_and_are_not_there_change_nothing(tmp_path):
    store = tmp_path / "s.db"
    for version, asked in (("1", True), ("2", False)):
        scaled = {name: array * float(version) for name, array in LSTM.items()}
        ww.analyze(scaled, store=store, name="net", version=version, include_buffers=asked)
    with ww.open_store(store) as opened:
        track = opened.history("net", ["log_spectral_norm"]).tracks["log_spectral_norm"]
    assert np.isfinite(track.means).all()
    assert track.not_comparable == {}


def test_a_buffer_with_the_name_of_a_layer_is_no_reason_against_a_comparison(tmp_path):
    store = tmp_path / "s.db"
    state = {"inv_freq.weight": RNG.standard_normal((12, 9)), "inv_freq": np.ones(4, np.float32)}
    for version in ("1", "2"):
        ww.analyze(state | {"a.weight": RNG.standard_normal((9, 8))}, store=store, name="net", version=version)
    assert ww.diff("net@1", "net@2", store=store).summary["log_spectral_norm"].not_comparable == ""
