"""Layouts that are told: the same kernel in each framework's order of axes is the same layer."""

from __future__ import annotations

import numpy as np
import pytest
from naming import ByName
from safetensors.numpy import save_file

import ww_core as ww
from ww_plugins.loaders.arrays import ArraysLoader
from ww_plugins.loaders.npz import NpzLoader
from ww_plugins.loaders.safetensors import SafetensorsLoader

RNG = np.random.default_rng(3)
CONV = {n: RNG.standard_normal((24, 16, *[3] * n)).astype(np.float32) for n in (1, 2, 3)}
DENSE = RNG.standard_normal((20, 12)).astype(np.float32)
BIAS = RNG.standard_normal(24).astype(np.float32)
TABLE = RNG.standard_normal((50, 8)).astype(np.float32)


def torch_like(kernel=lambda own: own):
    return {
        **{f"conv{n}.weight": kernel(own) for n, own in CONV.items()},
        "conv2.bias": BIAS,
        "fc.weight": DENSE,
        "tokens_embed.weight": TABLE,
        "norm.weight": np.ones(4, np.float32),
    }


def channels_last(dot=".", end=""):
    return {
        **{f"conv{n}{dot}kernel{end}": np.moveaxis(own, (0, 1), (-1, -2)) for n, own in CONV.items()},
        f"conv2{dot}bias{end}": BIAS,
        f"fc{dot}kernel{end}": DENSE.T,
        f"tokens_embed{dot}embedding{end}": TABLE,
        f"norm{dot}scale{end}": np.ones(4, np.float32),
    }


STORED = {
    "pytorch": torch_like(),
    "mlx": torch_like(lambda own: np.moveaxis(own, 1, -1)),
    "flax": channels_last(),
    "keras": channels_last("/", ":0"),
}


def whole(arrays):
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def layers_of(checkpoint):
    found = {}
    for layer in checkpoint.layers:
        with checkpoint.read(layer.weight) as weight:
            found[layer.name] = (str(layer.kind), layer.bias is not None, weight.copy())
    return found


def opened(way, layout, folder):
    arrays, told = whole(STORED[layout]), f"[layout={layout}]"
    if way == "arrays":
        return ByName(ArraysLoader(layout=layout)).open(STORED[layout])
    if way == "npz":
        np.savez(folder / "net.npz", **arrays)
        return ByName(NpzLoader(layout=layout)).open(folder / "net.npz")
    said = {"pytorch": "pt", "keras": "tf"}.get(layout, layout)
    metadata = {"format": said} if way == "safetensors that say so" else None
    save_file(arrays, folder / "net.safetensors", metadata)
    own = SafetensorsLoader(layout="" if metadata else layout)
    assert told
    return ByName(own).open(folder / "net.safetensors")


@pytest.mark.parametrize("layout", STORED)
@pytest.mark.parametrize("way", ["arrays", "npz", "safetensors", "safetensors that say so"])
def test_one_network_is_the_same_layers_in_every_layout(tmp_path, way, layout):
    checkpoint = opened(way, layout, tmp_path)
    found = layers_of(checkpoint)
    wanted = layers_of(ByName(ArraysLoader()).open(STORED["pytorch"]))
    assert found.keys() == wanted.keys()
    for name, (kind, has_bias, weight) in wanted.items():
        assert found[name][:2] == (kind, has_bias)
        np.testing.assert_array_equal(found[name][2], weight)
    assert not checkpoint.warnings


def test_values_belong_to_content_whatever_the_layout(tmp_path):
    reports = {
        layout: ww.analyze(STORED[layout], loader=f"arrays[layout={layout}]", store=tmp_path / "s.sqlite", name=layout)
        for layout in STORED
    }
    assert reports["pytorch"].run.computed > 0
    assert [report.run.computed for report in list(reports.values())[1:]] == [0, 0, 0]


def test_kernels_of_attention_are_matrices():
    kernels = {name: RNG.standard_normal((12, 3, 4)) for name in ("query", "key", "value")}  # (in, heads, size)
    out = RNG.standard_normal((3, 4, 12))
    arrays = {f"attn.{name}.kernel": own for name, own in kernels.items()} | {"attn.out.kernel": out}
    arrays["attn.query.bias"] = RNG.standard_normal((3, 4))
    found = layers_of(ByName(ArraysLoader(layout="flax")).open(arrays))
    for name, own in kernels.items():
        np.testing.assert_array_equal(found[f"attn.{name}"][2], own.reshape(12, 12).T)
        assert found[f"attn.{name}"][0] == "dense"
    np.testing.assert_array_equal(found["attn.out"][2], out.reshape(12, 12).T)
    assert found["attn.query"][1]


def test_what_comes_out_of_attention_may_have_another_width_than_its_heads():
    out = RNG.standard_normal((3, 4, 10))
    found = layers_of(ByName(ArraysLoader(layout="keras")).open({"heads/attention_output/kernel": out}))
    kind, _, weight = found["heads/attention_output"]
    assert kind == "dense"
    np.testing.assert_array_equal(weight, out.reshape(12, 10).T)


@pytest.mark.parametrize("name", ["moving_var", "variance"])
def test_statistics_are_buffers(name):
    checkpoint = ByName(ArraysLoader(layout="keras")).open({"n/gamma": np.ones(4), f"n/{name}": np.ones(4)})
    assert [own.name for own in checkpoint.buffers] == [f"n/{name}"]


def test_a_shift_without_a_scale_is_a_layer_of_its_own():
    checkpoint = ByName(ArraysLoader(layout="keras")).open({"bn/beta": np.ones(4), "bn/moving_mean": np.ones(4)})
    assert [(own.name, own.kind) for own in checkpoint.layers] == [("bn/beta", "other")]


def test_keras_parts_of_a_layer():
    depthwise, pointwise = RNG.standard_normal((3, 3, 5, 2)), RNG.standard_normal((1, 1, 10, 7))
    arrays = {
        "sep/depthwise_kernel": depthwise,
        "sep/pointwise_kernel": pointwise,
        "rnn/kernel": RNG.standard_normal((6, 16)),
        "rnn/recurrent_kernel": RNG.standard_normal((4, 16)),
        "bn/gamma": np.ones(7),
        "bn/beta": np.ones(7),
        "bn/moving_mean": np.ones(7),
    }
    checkpoint = ByName(ArraysLoader(layout="keras")).open(arrays)
    layers = {layer.name: layer for layer in checkpoint.layers}
    assert (layers["sep"].shape, layers["sep"].groups, layers["sep"].kind) == ((10, 1, 3, 3), 5, "conv2d")
    assert layers["sep/pointwise_kernel"].shape == (7, 10, 1, 1)
    assert (layers["rnn/recurrent_kernel"].shape, layers["rnn/recurrent_kernel"].kind) == ((16, 4), "recurrent")
    assert (layers["bn"].kind, layers["bn"].bias.name) == ("norm", "bn/beta")
    assert [own.name for own in checkpoint.buffers] == ["bn/moving_mean"]
    with checkpoint.read(layers["sep"].weight) as weight:
        for channel in range(5):
            for which in range(2):
                np.testing.assert_array_equal(weight[2 * channel + which, 0], depthwise[:, :, channel, which])


LOOKS = {
    (3, 3, 64, 128): "flax",
    (7, 7, 3, 64): "flax",
    (64, 3, 3, 32): "mlx",
    (64, 32, 3, 3): "",
    (3, 3, 7, 7): "",
    (64, 3, 16, 16): "",
    (8, 1, 1, 64): "",
    (16, 16, 3, 5): "",
    (3, 64, 128): "",
}


@pytest.mark.parametrize("shape", LOOKS)
def test_a_shape_that_looks_like_another_layout_is_a_warning_and_no_guess(shape):
    checkpoint = ByName(ArraysLoader()).open({"c.weight": np.ones(shape, np.float32), "d.weight": np.ones(shape, "f")})
    assert checkpoint.layers[0].shape == shape
    if LOOKS[shape]:
        (warning,) = checkpoint.warnings
        assert f"c.weight has the shape {' x '.join(map(str, shape))}, as have 1 more" in warning
        assert f"say loader='arrays[layout={LOOKS[shape]}]'" in warning
    else:
        assert not checkpoint.warnings


def test_a_file_that_says_nothing_is_asked_about_and_one_that_says_pt_is_not(tmp_path):
    arrays = {"c.weight": np.ones((3, 3, 32, 64), np.float32)}
    save_file(arrays, tmp_path / "a.safetensors")
    (warning,) = ByName(SafetensorsLoader()).open(tmp_path / "a.safetensors").warnings
    assert "--loader 'safetensors[layout=flax]'" in warning
    np.savez(tmp_path / "a.npz", **arrays)
    (warning,) = ByName(NpzLoader()).open(tmp_path / "a.npz").warnings
    assert "--loader 'npz[layout=flax]'" in warning


@pytest.mark.parametrize("loader", ["arrays", "npz", "safetensors"])
def test_a_layout_that_is_none_is_wrong_usage(tmp_path, loader):
    np.savez(tmp_path / "net.npz", a=np.eye(3))
    save_file({"a": np.eye(3)}, tmp_path / "net.safetensors")
    source = {"arrays": {"a": np.eye(3)}, "npz": tmp_path / "net.npz", "safetensors": tmp_path / "net.safetensors"}
    with pytest.raises(ww.UsageError, match=r"unknown layout 'mxl'.*mlx"):
        ww.analyze(source[loader], loader=f"{loader}[layout=mxl]")


@pytest.mark.parametrize(
    "arrays",
    [
        {"d.kernel": DENSE, "d.scale": np.ones(20, np.float32), "d.bias": np.ones(20, np.float32)},
        {"a/kernel": DENSE, "a.kernel": 2 * DENSE},
        {"c/kernel": DENSE, "c/kernel:0": 2 * DENSE},
        {"e/kernel": DENSE, "e/embedding": TABLE, "e/gamma": np.ones(3, np.float32)},
    ],
)
@pytest.mark.parametrize("layout", ["flax", "keras"])
def test_two_weights_of_a_module_are_two_layers_of_two_names(tmp_path, arrays, layout):
    loader, store = f"arrays[layout={layout}]", tmp_path / "s.sqlite"
    report = ww.analyze(arrays, loader=loader, store=store, name="net", metrics=["spectral_norm"])
    names = [row.name for row in report.layers if row.N]
    assert len(names) == len(set(names))
    for row in report.layers:
        weight = next(layer.weight.name for layer in opened_as(arrays, layout).layers if layer.name == row.name)
        if arrays[weight].ndim == 2:
            assert row.metrics["spectral_norm"].number == pytest.approx(np.linalg.norm(arrays[weight], 2), rel=1e-6)
    with ww.open_store(store, mode="read") as opened:
        assert not opened.verify().faults


def opened_as(arrays, layout):
    return ByName(ArraysLoader(layout=layout)).open(arrays)


def test_a_convolution_may_be_called_as_a_part_of_attention():
    arrays = {"enc/key/kernel": RNG.standard_normal((5, 16, 32)), "dec/out/kernel": RNG.standard_normal((3, 16, 32))}
    checkpoint = ByName(ArraysLoader(layout="flax")).open(arrays)
    assert {layer.name: (str(layer.kind), layer.shape) for layer in checkpoint.layers} == {
        "enc/key": ("conv1d", (32, 16, 5)),
        "dec/out": ("conv1d", (32, 16, 3)),
    }


def test_a_bias_of_two_rows_is_no_matrix():
    arrays = {"gru/cell/kernel": DENSE, "gru/cell/bias:0": np.ones((2, 30)), "word_embeddings/weight:0": TABLE}
    checkpoint = ByName(ArraysLoader(layout="keras")).open(arrays)
    assert {layer.name: str(layer.kind) for layer in checkpoint.layers} == {
        "gru/cell": "dense",
        "word_embeddings": "embedding",
    }


def test_a_file_whose_shapes_deny_what_it_says_is_a_warning(tmp_path):
    save_file({"c.weight": np.ones((64, 32, 3, 3), np.float32)}, tmp_path / "a.safetensors", {"format": "mlx"})
    (warning,) = ByName(SafetensorsLoader()).open(tmp_path / "a.safetensors").warnings
    assert "64 x 32 x 3 x 3, which looks like (out, in, *kernel) and is read as (out, *kernel, in)" in warning
    assert "say --loader 'safetensors[layout=pytorch]'" in warning
