"""Files that Keras wrote, and those of its older versions made here as they were written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from naming import ByName

import ww_core as ww
from ww_core.sources.digests import tensors_of
from ww_plugins.loaders.keras.loader import KerasLoader
from ww_plugins.loaders.keras.models import KerasModelLoader

h5py = pytest.importorskip("h5py")

DENSE, RECURRENT, NORM, OTHER = "dense", "recurrent", "norm", "other"
# layer: (kind, groups, its weight among Keras's variables, its bias there, from the variable to ww's layout)
FLAT = np.ravel


def turned(array):
    return array.transpose(array.ndim - 1, array.ndim - 2, *range(array.ndim - 2))


def depthwise(array):
    *kernel, channels, multiplier = array.shape
    flat = array.reshape(*kernel, channels * multiplier)
    return np.moveaxis(flat, -1, 0)[:, None]


def inward(array):
    return array.reshape(len(array), -1).T


def outward(array):
    return array.reshape(-1, array.shape[-1]).T


def same(array):
    return array


LAYERS = {
    "emb": ("embedding", 1, "emb/embeddings", "", same),
    "lstm/lstm_cell/kernel": (RECURRENT, 1, "lstm/lstm_cell/kernel", "lstm/lstm_cell/bias", turned),
    "lstm/lstm_cell/recurrent_kernel": (RECURRENT, 1, "lstm/lstm_cell/recurrent_kernel", "", turned),
    "gru/gru_cell/kernel": (RECURRENT, 1, "gru/gru_cell/kernel", "gru/gru_cell/bias", turned),
    "gru/gru_cell/recurrent_kernel": (
        RECURRENT, 1, "gru/gru_cell/recurrent_kernel", "gru/gru_cell/recurrent_bias", turned,
    ),
    **{
        f"bi/{way}_rnn/simple_rnn_cell/{name}kernel": (
            RECURRENT, 1, f"bi/{way}_rnn/simple_rnn_cell/{name}kernel",
            "" if name else f"bi/{way}_rnn/simple_rnn_cell/bias", turned,
        )
        for way in ("forward", "backward")
        for name in ("", "recurrent_")
    },
    "td/step": (DENSE, 1, "td/step/kernel", "td/step/bias", turned),
    "mha/query": (DENSE, 1, "mha/query/kernel", "mha/query/bias", inward),
    "mha/key": (DENSE, 1, "mha/key/kernel", "mha/key/bias", inward),
    "mha/value": (DENSE, 1, "mha/value/kernel", "mha/value/bias", inward),
    "mha/attention_output": (DENSE, 1, "mha/attention_output/kernel", "mha/attention_output/bias", outward),
    "einsum": (DENSE, 1, "einsum/kernel", "einsum/bias", inward),
    "einsum_out": (DENSE, 1, "einsum_out/kernel", "", outward),
    "c1": ("conv1d", 1, "c1/kernel", "c1/bias", turned),
    "c2": ("conv2d", 2, "c2/kernel", "c2/bias", turned),
    "c3": ("conv3d", 1, "c3/kernel", "c3/bias", turned),
    "ct1": ("conv1d", 1, "ct1/kernel", "ct1/bias", turned),
    "ct2": ("conv2d", 1, "ct2/kernel", "ct2/bias", turned),
    "ct3": ("conv3d", 1, "ct3/kernel", "ct3/bias", turned),
    "dw1": ("conv1d", 4, "dw1/kernel", "dw1/bias", depthwise),
    "dw2": ("conv2d", 8, "dw2/kernel", "dw2/bias", depthwise),
    "sep1/depthwise_kernel": ("conv1d", 3, "sep1/depthwise_kernel", "", depthwise),
    "sep1/pointwise_kernel": ("conv1d", 1, "sep1/pointwise_kernel", "sep1/bias", turned),
    "sep2/depthwise_kernel": ("conv2d", 16, "sep2/depthwise_kernel", "", depthwise),
    "sep2/pointwise_kernel": ("conv2d", 1, "sep2/pointwise_kernel", "sep2/bias", turned),
    "bn": (NORM, 1, "bn/gamma", "bn/beta", same),
    "bn_unscaled/beta": (OTHER, 1, "bn_unscaled/beta", "", same),
    "ln": (NORM, 1, "ln/gamma", "ln/beta", same),
    "gn": (NORM, 1, "gn/gamma", "gn/beta", same),
    "sub/inner": ("conv2d", 1, "sub/inner/kernel", "sub/inner/bias", turned),
    "head": (DENSE, 1, "head/kernel", "head/bias", turned),
    "no_bias": (DENSE, 1, "no_bias/kernel", "", turned),
    "out": (DENSE, 1, "out/kernel", "out/bias", turned),
    "prelu/alpha": (OTHER, 1, "prelu/alpha", "", same),
    "odd": (DENSE, 1, "odd/kernel", "odd/bias", turned),
    "odd/cube": (OTHER, 1, "odd/cube", "", same),
    "odd/inner_dense": (DENSE, 1, "odd/inner_dense/kernel", "odd/inner_dense/bias", turned),
}  # fmt: skip
BUFFERS = {f"{layer}/moving_{what}" for layer in ("bn", "bn_unscaled") for what in ("mean", "variance")}
WITH_CONFIG, WITHOUT = ["net.keras", "full.h5"], ["net.weights.h5", "weights_only.h5"]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder with the files of ``keras_network.py``."""
    pytest.importorskip("keras")
    folder = tmp_path_factory.mktemp("keras")
    program = Path(__file__).with_name("keras_network.py")
    root = str(Path(ww.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": root, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, program, folder], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.fixture(scope="module")
def variables(written):
    with np.load(written / "variables.npz") as stored:
        found = {name.replace("|", "/"): stored[name] for name in stored}
    found["gru/gru_cell/bias"], found["gru/gru_cell/recurrent_bias"] = found["gru/gru_cell/bias"]
    return found


@pytest.fixture
def loader():
    return ByName(KerasLoader())


def read(checkpoint, spec):
    with checkpoint.read(spec) as array:
        return np.array(array)


def same_layer(checkpoint, layer, variables, told=None):
    kind, groups, weight, bias, arranged = told or LAYERS[layer.name]
    assert (layer.kind, layer.groups) == (kind, groups), layer.name
    expected = arranged(variables[weight])
    assert layer.weight.shape == expected.shape, layer.name
    assert read(checkpoint, layer.weight).tobytes() == np.ascontiguousarray(expected).tobytes(), layer.name
    assert (layer.bias is not None) == bool(bias), layer.name
    if bias:
        assert read(checkpoint, layer.bias).tobytes() == FLAT(variables[bias]).tobytes()


@pytest.mark.parametrize("name", WITH_CONFIG)
def test_every_class_is_read_as_it_is(name, written, variables, loader):
    assert loader.probe(written / name) >= 0.9
    with loader.open(written / name) as checkpoint:
        layers = {layer.name: layer for layer in checkpoint.layers}
        renamed = {"odd/2": "odd/cube"}  # Keras 3 numbers the variables of a class that nobody knows
        assert {renamed.get(layer, layer) for layer in layers} == set(LAYERS)
        for layer in layers.values():
            same_layer(checkpoint, layer, variables, LAYERS[renamed.get(layer.name, layer.name)])
        assert {spec.name for spec in checkpoint.buffers} == BUFFERS
        for spec in checkpoint.buffers:
            assert read(checkpoint, spec).tobytes() == variables[spec.name].tobytes()
        assert not checkpoint.warnings
        assert not [skipped for skipped in checkpoint.skipped if "seed" not in skipped.name]
        # The order is the model's: 40 layers are too many to be in it by chance.
        order = [layer for layer in layers if layer in {"emb", "lstm/lstm_cell/kernel", "c2", "bn", "dw2", "ln", "out"}]
        assert order == ["emb", "lstm/lstm_cell/kernel", "c2", "bn", "dw2", "ln", "out"]


@pytest.mark.parametrize("name", WITHOUT)
def test_weights_alone_are_told_by_names_and_shapes(name, written, variables, loader):
    """Without a configuration nobody knows groups, nor which axes a kernel of an equation sums over."""
    renamed = {"odd/2": "odd/cube", "bn_unscaled/0": "bn_unscaled/beta"}
    untold = {"c2": ("conv2d", turned), "einsum": (OTHER, same)}
    with loader.open(written / name) as checkpoint:
        layers = {renamed.get(layer.name, layer.name): layer for layer in checkpoint.layers}
        assert set(layers) == set(LAYERS)
        for layer in set(layers) - {"einsum_out"}:
            kind, groups, weight, bias, arranged = LAYERS[layer]
            if layer in untold:
                (kind, arranged), groups = untold[layer], 1
            same_layer(checkpoint, layers[layer], variables, (kind, groups, weight, bias, arranged))
        assert any(
            "no equation tells" in said and "'einsum' is left as it is stored" in said for said in checkpoint.warnings
        )


def test_a_model_in_memory_is_what_its_file_is(written, variables, loader):
    """It was read by ``keras_network.py``, where Keras is."""
    layers, buffers = json.loads((written / "in_memory.json").read_text())
    with np.load(written / "in_memory.npz") as arrays:
        for name, kind, groups, has_bias in layers:
            told = LAYERS[name]
            assert (kind, groups, has_bias) == (told[0], told[1], bool(told[3])), name
            expected = np.ascontiguousarray(told[4](variables[told[2]]))
            assert (arrays[name.replace("/", "|")].shape, arrays[name.replace("/", "|")].tobytes()) == (
                expected.shape, expected.tobytes(),
            )  # fmt: skip
    assert {layer[0] for layer in layers} == set(LAYERS)
    assert set(buffers) == BUFFERS


def told(checkpoint):
    return [[layer.name, str(layer.kind), layer.groups] for layer in checkpoint.layers]


@pytest.mark.parametrize("name", ["nested.keras", "nested.h5", "nested.weights.h5"])
def test_layers_of_equal_names_in_nested_models_are_told_apart(name, written, loader):
    found = told(loader.open(written / name))
    assert len({layer for layer, _, _ in found}) == 4
    assert all(layer.endswith("conv") for layer, _, _ in found)
    groups = 1 if name == "nested.weights.h5" else 2
    assert {(kind, own) for _, kind, own in found} == {("conv2d", groups)}


def test_layers_of_equal_names_in_a_model_in_memory_are_told_apart(written):
    found = json.loads((written / "others_in_memory.json").read_text())["nested"]
    assert len({layer for layer, _, _ in found}) == 4
    assert {(kind, own) for _, kind, own in found} == {("conv2d", 2)}


def test_groups_that_a_configuration_does_not_tell_are_named(written, loader):
    checkpoint = loader.open(written / "subclassed.keras")
    assert sorted(told(checkpoint)) == [["grouped", "conv2d", 1], ["head", "dense", 1], ["scaled", "conv2d", 8]]
    (warning,) = checkpoint.warnings
    assert "does not give the groups of 'grouped': they are 1 unless --groups says more" in warning
    in_memory = json.loads((written / "others_in_memory.json").read_text())["subclassed"]
    assert in_memory == [["grouped", "conv2d", 2], ["scaled", "conv2d", 8], ["head", "dense", 1]]


def test_what_is_in_no_file_twice_in_it_or_put_together_there_leaves_one_digest(written):
    """Seeds, the kernel under a spectral norm, and what LoRA updates: the model was read in memory too."""
    told = json.loads((written / "wrapped.json").read_text())
    for name in ("wrapped.h5", "wrapped.keras", "wrapped.weights.h5"):
        found = ww.analyze(written / name, metrics=["spectral_norm"])
        assert found.digest == told["h5" if name == "wrapped.h5" else "keras"], name
        assert {layer.name for layer in found.layers if layer.kind == DENSE} == {"block/td/sn/inner", "adapted"}
    made = ["LoRA makes adapted/kernel of it", "adapted/kernel"]
    assert told["made"] == {"adapted/lora_kernel_a": made, "adapted/lora_kernel_b": made}


@pytest.mark.parametrize("name", ["shards", "shards/net.weights.json"])
def test_shards_are_one_model(name, written, loader):
    whole, checkpoint = loader.open(written / "net.weights.h5"), loader.open(written / name)
    assert len(list((written / "shards").glob("*.h5"))) > 2
    assert sorted(told(checkpoint)) == sorted(told(whole))
    assert len(checkpoint.warnings) == len(whole.warnings)
    weights = {layer.name: layer for layer in whole.layers}
    for layer in checkpoint.layers:
        other = weights[layer.name]
        assert np.array_equal(read(checkpoint, layer.weight), read(whole, other.weight))
        assert (layer.bias is None) == (other.bias is None)
    assert loader.probe(written / name) > 0.3


def test_one_shard_is_said_to_be_one(written, loader):
    (first, *_) = sorted((written / "shards").glob("*.h5"))
    assert any("one of several shards" in said for said in loader.open(first).warnings)


def test_what_is_no_model_is_none():
    loader = ByName(KerasModelLoader())
    assert (loader.probe(3), loader.probe({})) == (0, 0)
    with pytest.raises(ww.SourceError, match=r"is no keras\.Model"):
        loader.open(3)


def test_results_are_those_of_a_dict_of_the_same_arrays(written, variables, tmp_path):
    arrays = {}
    for layer, (_, _, weight, bias, arranged) in LAYERS.items():
        arrays[f"{layer}.weight"] = np.ascontiguousarray(arranged(variables[weight]))
        if bias:
            arrays[f"{layer}.bias"] = FLAT(variables[bias])
    groups = {name: told[1] for name, told in LAYERS.items() if told[1] > 1}
    store = tmp_path / "s.sqlite"
    by_file = ww.analyze(written / "full.h5", store=store, name="net")
    by_dict = ww.analyze(arrays, store=tmp_path / "other.sqlite", name="net", groups=groups)
    usual = {"dense", "conv1d", "conv2d", "conv3d"}
    ours = {row.name: row.metrics for row in by_file.layers if row.kind in usual}
    theirs = {row.name: row.metrics for row in by_dict.layers if row.name in ours}
    assert set(ours) == set(theirs)
    for name, metrics in ours.items():
        assert repr(metrics) == repr(theirs[name]), name
    again = ww.analyze(written / "net.keras", store=store, name="net3")
    assert again.run.computed <= 1  # but for the one whose variable has no name there, all are known by content


def test_bfloat16_is_known(written, loader):
    with loader.open(written / "half.keras") as checkpoint, np.load(written / "half.npz") as stored:
        [layer] = checkpoint.layers
        assert (layer.weight.dtype, layer.weight.shape) == ("bfloat16", (4, 6))
        assert np.array_equal(read(checkpoint, layer.weight).astype("float32"), stored["kernel"].T)


def test_keras_is_not_imported(written, loader):
    loader.open(written / "net.keras").close()
    assert "keras" not in sys.modules or "tensorflow" in sys.modules


# Files made here, as older versions of Keras write them.


def old_file(path, layers, config=None, under="model_weights"):
    """A file of Keras 1 or 2: ``layers`` are dicts of names and arrays, by the name of the group."""
    with h5py.File(path, "w") as file:
        root = file.create_group(under) if under else file
        if config is not None:
            file.attrs["model_config"] = json.dumps(config)
        root.attrs["layer_names"] = np.array([name.encode() for name in layers])
        for layer, weights in layers.items():
            group = root.create_group(layer)
            group.attrs["weight_names"] = np.array([name.encode() for name in weights])
            for name, array in weights.items():
                group.create_dataset(name, data=array)
        file.create_group("optimizer_weights").create_dataset("momentum", data=np.zeros(3))
    return path


def numbers(*shape, dtype="float32"):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(dtype)


def layer_config(class_name, name, **settings):
    return {"class_name": class_name, "config": {"name": name, **settings}}


def test_keras_2_is_read_by_names(tmp_path, loader):
    layers = {
        "z_first": {"z_first/kernel:0": numbers(6, 4), "z_first/bias:0": numbers(4)},
        "sub": {"a_conv/kernel:0": numbers(3, 3, 2, 5), "a_conv/bias:0": numbers(5)},
        "dw": {"dw/depthwise_kernel:0": numbers(3, 3, 4, 2), "dw/bias:0": numbers(8)},
        "lstm": {"lstm/lstm_cell_3/kernel:0": numbers(3, 8), "lstm/lstm_cell_3/recurrent_kernel:0": numbers(2, 8)},
        "dropout": {},
    }
    config = {
        "class_name": "Functional",
        "config": {
            "name": "net",
            "layers": [
                layer_config("Dense", "z_first"),
                layer_config("Sequential", "sub", layers=[layer_config("Conv2D", "a_conv", groups=5)]),
            ],
        },
    }
    with loader.open(old_file(tmp_path / "n.h5", layers, config)) as checkpoint:
        told = [(layer.name, layer.kind, layer.weight.shape, layer.groups) for layer in checkpoint.layers]
    assert told == [
        ("z_first", "dense", (4, 6), 1),
        ("sub/a_conv", "conv2d", (5, 2, 3, 3), 5),
        ("dw", "conv2d", (8, 1, 3, 3), 4),
        ("lstm/lstm_cell_3/kernel", "recurrent", (8, 3), 1),
        ("lstm/lstm_cell_3/recurrent_kernel", "recurrent", (8, 2), 1),
    ]


def test_keras_1_is_read_by_names_and_its_ordering_of_axes(tmp_path, loader):
    layers = {
        "conv_1": {"conv_1_W": numbers(5, 2, 3, 3), "conv_1_b": numbers(5)},
        "conv_2": {"conv_2_W": numbers(3, 3, 2, 5)},
        "dense_1": {"dense_1_W": numbers(6, 4), "dense_1_b": numbers(4)},
        "table": {"table_W": numbers(9, 4)},
        "lstm_1": {"lstm_1_W_i": numbers(3, 2), "lstm_1_U_i": numbers(2, 2), "lstm_1_b_i": numbers(2)},
        "bn_1": {f"bn_1_{name}": numbers(4) for name in ("gamma", "beta", "running_mean", "running_std")},
    }
    config = {
        "class_name": "Sequential",
        "config": [
            layer_config("Convolution2D", "conv_1", dim_ordering="th"),
            layer_config("Convolution2D", "conv_2", dim_ordering="tf"),
            layer_config("Dense", "dense_1"),
            layer_config("Embedding", "table"),
        ],
    }
    with loader.open(old_file(tmp_path / "n.h5", layers, config)) as checkpoint:
        told = [(layer.name, layer.kind, layer.weight.shape, layer.bias is not None) for layer in checkpoint.layers]
        assert len(checkpoint.buffers) == 2
    assert told == [
        ("conv_1", "conv2d", (5, 2, 3, 3), True),
        ("conv_2", "conv2d", (5, 2, 3, 3), False),
        ("dense_1", "dense", (4, 6), True),
        ("table", "embedding", (9, 4), False),
        ("lstm_1/W_i", "recurrent", (2, 3), True),
        ("lstm_1/U_i", "recurrent", (2, 2), False),
        ("bn_1", "norm", (4,), True),
    ]


def new_file(path, groups, config=None):
    """A file of Keras 3: ``groups`` are lists of arrays, or pairs of a name and such a list, by the path of a group."""
    inside = path if config is None else path.with_suffix(".inside")
    with h5py.File(inside, "w") as file:
        for place, held in groups.items():
            name, arrays = held if isinstance(held, tuple) else ("", held)
            group = file.create_group(f"{place}/vars")
            if name:
                group.attrs["name"] = name
            for number, array in enumerate(arrays):
                group.create_dataset(str(number), data=array)
    if config is not None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("metadata.json", "{}")
            archive.writestr("config.json", json.dumps(config))
            archive.write(inside, "model.weights.h5")
        inside.unlink()
    return path


def test_layers_without_a_name_are_told_by_their_class_and_number(tmp_path, loader):
    """So the first files of Keras 3 are: the configuration names the layers of a class in the order of numbers."""
    groups = {
        "layers/dense": [numbers(6, 4)],
        "layers/dense_1": [numbers(4, 3)],
        "layers/conv2d": [numbers(1, 1, 2, 3)],
    }
    order = [("Dense", "first"), ("Conv2D", "second"), ("Dense", "third")]
    config = {"config": {"name": "net", "layers": [layer_config(*told) for told in order]}}
    with loader.open(new_file(tmp_path / "n.keras", groups, config)) as checkpoint:
        assert [layer.name for layer in checkpoint.layers] == ["first", "second", "third"]
    with loader.open(new_file(tmp_path / "n.weights.h5", groups)) as checkpoint:
        assert {layer.name for layer in checkpoint.layers} == {"dense", "dense_1", "conv2d"}


def test_names_that_layers_share_become_the_paths_of_their_groups(tmp_path, loader):
    groups = {"a/dense": ("same", [numbers(6, 4)]), "b/dense": ("same", [numbers(6, 4)])}
    with loader.open(new_file(tmp_path / "n.weights.h5", groups)) as checkpoint:
        assert [layer.name for layer in checkpoint.layers] == ["a/dense", "b/dense"]


def test_what_is_no_weight_is_none(tmp_path, loader):
    groups = {
        "layers/dense": ("fc", [numbers(6, 4), numbers(4)]),
        "layers/dense_1": ("int8", [np.ones((6, 4), np.int8), numbers(4), numbers(4)]),
        "layers/dropout/seed_generator": ("seed_generator", [np.zeros(2, np.uint32)]),
        "layers/normalization": ("scaled", [numbers(4), numbers(4), np.int32(0)]),
        "loss_tracker": ("loss", [np.float32(1), np.float32(2)]),
        "optimizer": ("adam", [np.int64(7), numbers(6, 4), numbers(6, 4)]),
    }
    with loader.open(new_file(tmp_path / "n.weights.h5", groups)) as checkpoint:
        assert [layer.name for layer in checkpoint.layers if layer.kind != "other"] == ["fc"]
        assert {spec.name for spec in checkpoint.buffers} == {
            "int8/2", "scaled/mean", "scaled/variance", "loss/0", "loss/1",
        }  # fmt: skip
        # The state of a seed is no part of the model: memory and other files do not have it, or by another name.
        assert {tensor.name for tensor in checkpoint.skipped} == {"int8/kernel", "scaled/count"}


def test_a_shift_without_a_scale_is_no_norm(tmp_path, loader):
    """As any bias without a weight, it is a layer of its own; nothing tells it from a scale without a configuration."""
    groups = {
        "layers/batch_normalization": ("bn", [numbers(4), numbers(4), numbers(4)]),
        "layers/batch_normalization_1": ("scaled", [numbers(4), numbers(4), numbers(4)]),
        "layers/layer_normalization": ("ln", [numbers(4)]),
    }
    shift, scale = {"scale": False, "center": True}, {"scale": True, "center": False}
    config = {
        "config": {
            "name": "net",
            "layers": [
                layer_config("BatchNormalization", "bn", **shift),
                layer_config("BatchNormalization", "scaled", **scale),
                layer_config("LayerNormalization", "ln", **shift),
            ],
        }
    }
    with loader.open(new_file(tmp_path / "n.keras", groups, config)) as checkpoint:
        assert told(checkpoint) == [["bn/beta", OTHER, 1], ["scaled", NORM, 1], ["ln/beta", OTHER, 1]]
    with loader.open(new_file(tmp_path / "n.weights.h5", groups)) as checkpoint:
        assert told(checkpoint) == [["bn/0", OTHER, 1], ["scaled/0", OTHER, 1], ["ln/0", OTHER, 1]]
    old = {"bn": {f"bn/{name}:0": numbers(4) for name in ("beta", "moving_mean", "moving_variance")}}
    with loader.open(old_file(tmp_path / "n.h5", old)) as checkpoint:
        assert told(checkpoint) == [["bn/beta", OTHER, 1]]


@pytest.mark.parametrize("place", ["layers/spectral_normalization", "layers/wrapper_of_mine", "norm"])
def test_the_kernel_that_a_wrapper_holds_too_is_one(place, tmp_path, loader):
    """Keras writes it twice: as the wrapper's and as that of the layer in it, which is the one that it reads."""
    kernel = numbers(3, 3, 2, 6)
    groups = {
        place: ("sn", [kernel + 1, numbers(1, 6)]),
        f"{place}/layer": ("inner", [kernel, numbers(6)]),
        "layers/dense": ("fc", [numbers(6, 4), numbers(4)]),
    }
    inner = layer_config("Conv2D", "inner", groups=2)
    config = {"config": {"name": "net", "layers": [layer_config("SpectralNormalization", "sn", layer=inner)]}}
    with loader.open(new_file(tmp_path / "n.weights.h5", groups)) as checkpoint:
        assert sorted(layer.name for layer in checkpoint.layers) == ["fc", "sn/inner"]
        assert [spec.name for spec in checkpoint.buffers] == ["sn/vector_u"]
        assert not checkpoint.warnings
        (own,) = (layer for layer in checkpoint.layers if layer.name == "sn/inner")
        assert np.array_equal(read(checkpoint, own.weight), turned(kernel))
    with loader.open(new_file(tmp_path / "n.keras", groups, config)) as checkpoint:
        assert ["sn/inner", "conv2d", 2] in told(checkpoint)
    named = {
        "sn": {
            "net/sn/inner/kernel": kernel, "net/sn/vector_u": numbers(1, 6), "net/sn/inner/bias": numbers(6),
        },
        "fc": {"net/fc/kernel": numbers(6, 4), "net/fc/bias": numbers(4)},
    }  # fmt: skip
    old_file(tmp_path / "n.h5", named, config)
    described = [ww.describe(tmp_path / name) for name in ("n.keras", "n.h5")]
    assert [own.parameters for own in described] == [kernel.size + 6 + 6 + 24 + 4] * 2
    names = {
        ww.analyze(tmp_path / name, metrics=["spectral_norm"]).digest for name in ("n.keras", "n.h5", "n.weights.h5")
    }
    assert len(names) == 1


def test_a_layer_with_a_wrapper_s_shapes_that_is_none_is_read_as_it_is(tmp_path, loader):
    groups = {"a": ("sn", [numbers(8, 6), numbers(6)]), "a/layer": ("inner", [numbers(8, 6)])}
    with loader.open(new_file(tmp_path / "n.weights.h5", groups)) as checkpoint:
        assert {layer.name for layer in checkpoint.layers} == {"sn", "sn/inner/0"}


def test_the_name_of_the_model_before_those_of_layers_is_left_out(tmp_path, loader):
    """So Keras 3 writes a Sequential to ``.h5``; a model in it may have been named before it was in there."""
    layers = {
        "block": {"block/fc/kernel": numbers(6, 4)},
        "head": {"net/head/kernel": numbers(4, 3)},
        "own": {"net/own/inner/kernel": numbers(4, 3)},
    }
    with loader.open(old_file(tmp_path / "n.h5", layers)) as checkpoint:
        assert [layer.name for layer in checkpoint.layers] == ["block/fc", "head", "own/inner"]
    layers["other"] = {"net2/other/kernel": numbers(4, 3)}
    with loader.open(old_file(tmp_path / "n.h5", layers)) as checkpoint:
        assert "head/net/head" in {layer.name for layer in checkpoint.layers}


def test_updates_by_lora_that_lie_apart_are_a_warning(tmp_path, loader):
    held = {"kernel": numbers(6, 4), "bias": numbers(4), "lora_kernel_a": numbers(6, 2), "lora_kernel_b": numbers(2, 4)}
    layers = {"fc": {f"fc/{name}": array for name, array in held.items()}}
    with loader.open(old_file(tmp_path / "n.h5", layers)) as checkpoint:
        (warning,) = checkpoint.warnings
    assert "the updates by LoRA of 'fc' are not in their weights" in warning


def test_an_einsum_of_which_no_equation_tells_is_named(tmp_path, loader):
    groups = {
        "layers/einsum_dense": ("a", [numbers(8, 2, 5), numbers(5)]),
        "layers/einsum_dense_1": ("b", [numbers(2, 5)]),
        "layers/einsum_dense_2": ("c", [numbers(8, 6, 5), numbers(6, 5)]),
        "layers/einsum_dense_3": ("d", [numbers(2, 5), numbers(5)]),
        "layers/einsum_dense_4": ("e", [numbers(2, 5), numbers(2)]),
        "layers/einsum_dense_5": ("f", [numbers(5, 5), numbers(5)]),
        "layers/dense": ("fc", [numbers(6, 4)]),
    }
    with loader.open(new_file(tmp_path / "n.weights.h5", groups)) as checkpoint:
        found = {layer.name: (layer.kind, layer.weight.shape) for layer in checkpoint.layers}
        (warning,) = checkpoint.warnings
    assert found == {
        "a": (OTHER, (8, 2, 5)), "b": (OTHER, (2, 5)), "c": (OTHER, (8, 6, 5)), "d": (DENSE, (5, 2)),
        "e": (OTHER, (2, 5)), "f": (OTHER, (5, 5)), "fc": (DENSE, (4, 6)),
    }  # fmt: skip
    assert "'a' is left as it is stored" in warning
    assert "'d' is taken for a matrix (in, out)" in warning
    assert warning.endswith("and 1 more")


@pytest.mark.parametrize(
    "how", [{"chunks": True}, {"compression": "gzip", "shuffle": True}, {"compression": "gzip", "fletcher32": True}]
)
def test_chunks_are_decoded_when_they_are_read(how, tmp_path, loader):
    kernel, bias = numbers(300, 40), numbers(2, 120, dtype=">f8")
    with h5py.File(tmp_path / "n.h5", "w") as file:
        held = file.create_group("layers/gru/cell/vars")
        for number, array in enumerate((numbers(40, 120), kernel[:40, :].repeat(3, 1), bias)):
            held.create_dataset(str(number), data=array, **how)
    with loader.open(tmp_path / "n.h5") as checkpoint:
        for layer in checkpoint.layers:
            assert checkpoint.locate(layer.weight) is None
            with checkpoint.read(layer.weight) as array:
                assert not array.flags.writeable
                stored = numbers(40, 120) if "recurrent" not in layer.name else kernel[:40, :].repeat(3, 1)
                assert np.array_equal(array, stored.T)
            assert np.array_equal(read(checkpoint, layer.bias), bias[int("recurrent" in layer.name)])
    assert ww.analyze(tmp_path / "n.h5", name="n").layers


def test_digests_of_chunks_are_remembered(tmp_path):
    path, table = tmp_path / "n.h5", numbers(300, 40)
    with h5py.File(path, "w") as file:
        file.create_dataset("layers/embedding/vars/0", data=table, compression="gzip", chunks=(70, 40))
    first = ww.analyze(path, store=tmp_path / "s.sqlite", name="n")
    again = ww.analyze({"embedding/embeddings": table}, store=tmp_path / "s.sqlite", name="m")
    assert (first.run.computed, again.run.computed) == (1, 0)
    assert ww.analyze(path, store=tmp_path / "s.sqlite", name="n").digest == first.digest
    with h5py.File(path, "r+") as file:
        file["layers/embedding/vars/0"][0, 0] = 7
    assert ww.analyze(path, store=tmp_path / "s.sqlite", name="n2").digest != first.digest


def test_numbers_lie_where_the_file_says(tmp_path, loader):
    """Whatever is not compressed is mapped, in an archive too, and its digest may be remembered."""
    path = new_file(tmp_path / "n.keras", {"layers/embedding": ("e", [numbers(6, 4)])}, {"config": {}})
    with loader.open(path) as checkpoint:
        where = checkpoint.locate(checkpoint.layers[0].weight)
        assert path.read_bytes()[where.offset : where.offset + where.nbytes] == numbers(6, 4).tobytes()


def test_dtypes(tmp_path, loader):
    kinds = ["<f2", ">f4", "<f8", "<i4", ">u8", "?", "<c8", "S3"]
    with h5py.File(tmp_path / "n.h5", "w") as file:
        for number, kind in enumerate(kinds):
            stored = np.arange(6).reshape(2, 3).astype(kind)
            file.create_group(f"x{number}/vars").create_dataset("0", data=stored)
        file.create_group("empty/vars").create_dataset("0", data=h5py.Empty("f4"))
        file.create_group("none/vars").create_dataset("0", data=np.zeros((0, 3), "f4"))
    with loader.open(tmp_path / "n.h5") as checkpoint:
        assert {spec.dtype for spec in tensors_of(checkpoint)} == {"float16", "float32", "float64"}
        for spec in tensors_of(checkpoint):
            if spec.size:
                assert read(checkpoint, spec).tolist() == [[0, 1, 2], [3, 4, 5]]
        told = {tensor.dtype: tensor.readable for tensor in checkpoint.skipped}
        assert told == {
            "int32": True, "uint64": True, "bool": True, "unknown": False, "float32": False,
        }  # fmt: skip


def test_a_folder_with_one_file_is_read(tmp_path, loader):
    new_file(tmp_path / "net.weights.h5", {"layers/dense": ("fc", [numbers(6, 4)])})
    assert 0 < loader.probe(tmp_path) < 0.9
    assert [layer.name for layer in loader.open(tmp_path).layers] == ["fc"]
