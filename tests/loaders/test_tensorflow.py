"""TensorFlow's checkpoints: what TensorFlow saves, names and kinds, and files that lie."""

from __future__ import annotations

import struct
import time

import numpy as np
import pytest
from hostile.tensorflow import DATA, GOOD, INDEX, NODE, REFUSED, TABLES
from naming import ByName
from protobuf_files import message, varint
from tensorflow_files import GRAPH, Lie, graph, in_layout_of_ww, normal, table, write_checkpoint

import ww_core as ww
from ww_plugins.loaders.tensorflow.loader import TensorFlowLoader

KIND = ww.LayerKind


@pytest.fixture(scope="module")
def loader():
    return ByName(TensorFlowLoader())


@pytest.fixture
def opened(loader, tmp_path):
    return lambda tensors, **more: loader.open(write_checkpoint(tmp_path / "net", tensors, **more))


@pytest.fixture(scope="module")
def saved(made_by_tensorflow):
    """A folder with what TensorFlow saved."""
    return made_by_tensorflow("saved_models.py")


def read(checkpoint, spec):
    with checkpoint.read(spec) as array:
        return np.array(array)


def layers(checkpoint):
    return {layer.name: layer for layer in checkpoint.layers}


@pytest.mark.stress
@pytest.mark.parametrize("name", ["full.index", "exported", "saved"])
def test_a_saved_network_has_its_layers(name, saved, loader):
    with np.load(saved / "arrays.npz") as held:
        arrays = {key.replace("|", "/"): held[key] for key in held}
    expected = in_layout_of_ww(arrays)
    with loader.open(saved / name) as checkpoint:
        told = layers(checkpoint)
        assert set(told) == set(expected)
        for layer, (weight, bias, kind, groups) in expected.items():
            assert (told[layer].kind, told[layer].groups) == (kind, groups), layer
            assert np.array_equal(read(checkpoint, told[layer].weight), weight), layer
            assert (told[layer].bias and told[layer].bias.name) == bias, layer
            if bias is not None:
                assert np.array_equal(read(checkpoint, told[layer].bias), arrays[bias].reshape(-1)), layer
        assert {buffer.name for buffer in checkpoint.buffers} == {
            "norm/moving_mean", "norm/moving_variance", "gru/gru_cell/bias",
        }  # fmt: skip
        assert all("seed" in tensor.name for tensor in checkpoint.skipped)
        [warning] = checkpoint.warnings
        assert warning.endswith("apart from those of an EinsumDense: 'line/kernel'")


@pytest.mark.stress
def test_a_checkpoint_of_tensorflow_1_has_its_layers_and_the_newest_of_a_folder_is_meant(saved, loader):
    with np.load(saved / "old.npz") as arrays, loader.open(saved / "old") as checkpoint:
        assert list(layers(checkpoint)) == ["net/fc"]
        [layer] = checkpoint.layers
        assert np.array_equal(read(checkpoint, layer.weight), arrays["kernel"].T)
        assert np.array_equal(read(checkpoint, layer.bias), arrays["bias"])
        assert [tensor.name for tensor in checkpoint.skipped] == ["net/part/kernel"]
        assert "stored in slices" in checkpoint.skipped[0].reason
        assert not checkpoint.buffers
    (saved / "old" / "checkpoint").unlink()
    with pytest.raises(ww.SourceError, match=r"holds 2 checkpoints; name one: 'model\.ckpt-3\.index', 'model\.ckpt-4"):
        loader.open(saved / "old")


@pytest.mark.parametrize("told", ["../outside/net-2", "/outside/net-2", "/outside/other-3", "a/../../net-2", "..", ""])
def test_what_is_told_of_the_newest_checkpoint_leads_to_no_other_folder(told, loader, tmp_path):
    for folder in ("outside", "inside"):
        (tmp_path / folder).mkdir()
        for step in (1, 2, 3):
            stem = "other" if (folder, step) == ("outside", 3) else "net"
            write_checkpoint(tmp_path / folder / f"{stem}-{step}", {f"{folder}/kernel": normal(step, 8)})
    (tmp_path / "inside" / "checkpoint").write_text(f'model_checkpoint_path: "{told}"\n')
    if told.endswith("net-2"):  # a folder that was moved: its checkpoints still lie beside the file that names them
        with loader.open(tmp_path / "inside") as opened:
            assert [(layer.name, layer.weight.shape) for layer in opened.layers] == [("inside", (8, 2))]
    else:
        with pytest.raises(ww.SourceError, match="holds 3 checkpoints; name one"):
            loader.open(tmp_path / "inside")


def test_results_and_digest_are_those_of_the_arrays(tmp_path):
    weights = {"fc.weight": normal(30, 40), "fc.bias": normal(30)}
    path = write_checkpoint(tmp_path / "net", {"fc/kernel": weights["fc.weight"].T, "fc/bias": weights["fc.bias"]})
    one, other = ww.analyze(path), ww.analyze(weights)
    assert [row.metrics for row in one.layers] == [row.metrics for row in other.layers]
    renamed = {"fc/kernel": weights["fc.weight"], "fc/bias": weights["fc.bias"]}
    assert one.digest == ww.analyze(renamed).digest


# ------------------------------------------------------------------------------------------------ names


def test_the_graph_of_objects_tells_names_and_leaves_the_optimizer_out(opened):
    weight, other, slot = normal(4, 8), normal(4, 8, seed=2), normal(4, 8, seed=3)
    objects = graph(
        ({"net": 1, "optimizer": 2, "save_counter": 5}, []),
        ({"layer": 3, "alias": 3, "again": 4}, []),
        ({"held": 3, "own": 6}, [], 6),
        ({}, [("dense/kernel", "optimizer/held")]),
        ({}, [("kernel", "net/again")]),
        ({}, [("save_counter", "save_counter")]),
        ({"slot": 7}, [("dense/kernel/m", "optimizer/own")]),
        ({}, []),
    )
    tensors = {"optimizer/held": weight, "net/again": other, "optimizer/own": slot, "save_counter": np.array(3)}
    with opened({**tensors, GRAPH: objects}) as checkpoint:
        told = layers(checkpoint)
        assert set(told) == {"kernel", "dense"}
        assert np.array_equal(read(checkpoint, told["dense"].weight), weight.T)
        assert np.array_equal(read(checkpoint, told["kernel"].weight), other.T)
        assert not checkpoint.skipped
        assert not checkpoint.buffers


def test_variables_of_one_name_have_the_ways_to_them_and_copies_are_one(opened):
    first, second = normal(4, 8), normal(4, 8, seed=2)
    objects = graph(
        ({"one": 1, "two": 2, "copy": 3}, []),
        ({}, [("dense/kernel", "a")]),
        ({}, [("dense/kernel", "b")]),
        ({}, [("dense/kernel", "c")]),
    )
    with opened({"a": first, "b": second, "c": first, GRAPH: objects}) as checkpoint:
        assert [layer.weight.name for layer in checkpoint.layers] == ["one", "two"]


def test_states_of_optimizers_of_tensorflow_1_are_left_out(opened):
    tensors = {"fc/kernel": normal(4, 8), "fc/kernel/Adam": normal(4, 8), "fc/kernel/Adam_1": normal(4, 8)}
    tensors |= {"beta1_power": normal(), "global_step": np.array(3), "alone/Momentum": normal(3, 4)}
    with opened(tensors) as checkpoint:
        assert {layer.weight.name for layer in checkpoint.layers} == {"fc/kernel", "alone/Momentum"}
        assert not checkpoint.buffers
        assert not checkpoint.skipped


# ------------------------------------------------------------------------------------------------ kinds

# names and arrays: {layer: (kind, shape, groups, bias)}, a part of the warning
KINDS = {
    "a matrix": ({"fc/kernel": (4, 8)}, {"fc": ("dense", (8, 4), 1, None)}, None),
    "slim": ({"a/weights": (4, 8), "a/biases": (8,)}, {"a": ("dense", (8, 4), 1, "a/biases")}, None),
    "no name": ({"a/proj": (4, 8)}, {"a": ("dense", (8, 4), 1, None)}, "taken for matrices"),
    "no module": ({"w": (4, 8), "b": (8,)}, {"w": ("dense", (8, 4), 1, "b")}, None),
    "a table": ({"bert/word_embeddings": (9, 4)}, {"bert": ("embedding", (9, 4), 1, None)}, None),
    "a cell": ({"basic_lstm_cell/kernel": (9, 4)}, {"basic_lstm_cell": ("recurrent", (4, 9), 1, None)}, None),
    "a convolution": (
        {"c/kernel": (3, 2, 4, 6), "c/bias": (6,)}, {"c": ("conv2d", (6, 4, 3, 2), 1, "c/bias")}, None,
    ),
    "without bias": ({"c/kernel": (3, 2, 4, 6)}, {"c": ("conv2d", (6, 4, 3, 2), 1, None)}, "taken for kernels"),
    "square": (
        {"c/kernel": (3, 2, 4, 4), "c/bias": (4,)}, {"c": ("conv2d", (4, 4, 3, 2), 1, "c/bias")}, "taken for kernels",
    ),
    "one channel": ({"c/kernel": (3, 2, 1, 6), "c/bias": (6,)}, {"c": ("conv2d", (6, 1, 3, 2), 1, "c/bias")}, None),
    "transposed": (
        {"c/kernel": (3, 2, 4, 6), "c/bias": (4,)}, {"c": ("conv2d", (6, 4, 3, 2), 1, "c/bias")}, None,
    ),
    "transposed by name": ({"up_transpose/kernel": (3, 4, 6)}, {"up_transpose": ("conv1d", (6, 4, 3), 1, None)}, None),
    "depthwise": (
        {"c/kernel": (3, 2, 4, 2), "c/bias": (8,)}, {"c": ("conv2d", (8, 1, 3, 2), 4, "c/bias")}, None,
    ),
    "depthwise by name": ({"c/depthwise_kernel": (3, 4, 2)}, {"c": ("conv1d", (8, 1, 3), 4, None)}, None),
    "depthwise, with a bias": (
        {"c/depthwise_kernel": (3, 4, 2), "c/bias": (8,)}, {"c": ("conv1d", (8, 1, 3), 4, "c/bias")}, None,
    ),
    "in two steps": (
        {"c/depthwise_kernel": (3, 4, 2), "c/pointwise_kernel": (1, 8, 5), "c/bias": (5,)},
        {
            "c/depthwise_kernel": ("conv1d", (8, 1, 3), 4, None),
            "c/pointwise_kernel": ("conv1d", (5, 8, 1), 1, "c/bias"),
        },
        None,
    ),
    "depthwise by its module": (
        {"depthwise/weights": (3, 2, 4, 1)}, {"depthwise": ("conv2d", (4, 1, 3, 2), 4, None)}, None,
    ),
    "depthwise by its bias alone": (
        {"c/kernel": (3, 2, 4, 1), "c/bias": (4,)}, {"c": ("conv2d", (4, 1, 3, 2), 4, "c/bias")},
        "kernels of depthwise convolutions",
    ),
    "a convolution with a name of attention": (
        {"c/key/kernel": (3, 8, 6), "c/key/bias": (6,)}, {"c/key": ("conv1d", (6, 8, 3), 1, "c/key/bias")},
        "taken for kernels of convolutions along one axis",
    ),
    "attention, by its attributes": (
        {"a/query_dense/kernel": (9, 2, 3), "a/query_dense/bias": (2, 3)},
        {"a/query_dense": ("dense", (6, 9), 1, "a/query_dense/bias")}, None,
    ),
    "a convolution along an axis, by its name": (
        {"conv1d_2/kernel": (3, 8, 6), "conv1d_2/bias": (6,)}, {"conv1d_2": ("conv1d", (6, 8, 3), 1, "conv1d_2/bias")},
        None,
    ),
    "three axes of any layer": (
        {"mix/kernel": (8, 2, 5), "mix/bias": (5,)}, {"mix": ("conv1d", (5, 2, 8), 1, "mix/bias")},
        "though nothing tells them apart from those of an EinsumDense: 'mix/kernel'",
    ),
    "an einsum": (
        {"einsum_dense/kernel": (8, 2, 5), "einsum_dense/bias": (5,)},
        {"einsum_dense": ("other", (8, 2, 5), 1, "einsum_dense/bias")},
        "their module is called an einsum, and nothing tells its equation: 'einsum_dense/kernel'",
    ),
    "a table that is called a weight": (
        {"bert/word_embeddings/weight": (9, 4)}, {"bert/word_embeddings": ("embedding", (9, 4), 1, None)}, None,
    ),
    "3-D": ({"c/kernel": (3, 3, 2, 4, 6), "c/bias": (6,)}, {"c": ("conv3d", (6, 4, 3, 3, 2), 1, "c/bias")}, None),
    "unknown": ({"c/mixing": (3, 4, 6)}, {"c": ("other", (3, 4, 6), 1, None)}, "nothing tells the order"),
    "six axes": ({"c/kernel": (1, 2, 3, 1, 2, 2)}, {"c": ("other", (1, 2, 3, 1, 2, 2), 1, None)}, "nothing tells"),
    "matrices with names of statistics": (
        {"a/mean": (4, 8), "b/total": (3, 4), "c/scale": (4, 4), "d/count": (1, 4), "d/beta": (4,)}, {},
        "names of statistics and scales, though they are matrices: 'a/mean', 'b/total', 'c/scale'",
    ),
    "a norm": ({"n/gamma": (4,), "n/beta": (4,)}, {"n": ("norm", (4,), 1, "n/beta")}, None),
    "a module that is a tensor": (
        {"a": (3, 4), "a/kernel": (4, 8)}, {"a": ("dense", (4, 3), 1, None), "a/kernel": ("dense", (8, 4), 1, None)},
        "taken for matrices",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", KINDS)
def test_names_and_shapes_tell_what_a_variable_is(case, opened):
    shapes, expected, warning = KINDS[case]
    with opened({name: normal(*shape) for name, shape in shapes.items()}) as checkpoint:
        told = {
            layer.name: (layer.kind, layer.weight.shape, layer.groups, layer.bias and layer.bias.name)
            for layer in checkpoint.layers
        }
        assert told == expected
        assert [warning in said for said in checkpoint.warnings] == ([True] if warning else [])


def test_channels_of_a_depthwise_kernel_lie_as_in_its_output(opened):
    kernel = normal(3, 2, 4, 5)
    with opened({"c/depthwise_kernel": kernel}) as checkpoint:
        [layer] = checkpoint.layers
        array = read(checkpoint, layer.weight)
        assert all(np.array_equal(array[c * 5 + m, 0], kernel[:, :, c, m]) for c in range(4) for m in range(5))


def test_big_endian_and_other_dtypes_are_read(opened):
    tensors = {"a/kernel": normal(4, 8).astype("f8"), "b/kernel": normal(4, 8).astype("f2"), "c": np.arange(5)}
    with opened({**tensors, "said": b"text"}, big_endian=True) as checkpoint:
        for layer in checkpoint.layers:
            assert np.array_equal(read(checkpoint, layer.weight), tensors[layer.weight.name].T)
        told = {tensor.name: tensor for tensor in checkpoint.skipped}
        assert "no type of numbers" in told["said"].reason
        with checkpoint.read_bytes(told["c"]) as content:
            assert content.tobytes() == tensors["c"].tobytes()


def test_one_in_several_shards_is_read(tmp_path, loader):
    first, second = normal(4, 8), normal(4, 8, seed=2)
    index = {b"": message((1, 2))}
    for shard, (name, array) in enumerate({"a/kernel": first, "b/kernel": second}.items()):
        index[name.encode()] = Lie(1, (4, 8), shard, 0, 128).entry
        (tmp_path / f"net.data-0000{shard}-of-00002").write_bytes(array.tobytes())
    (tmp_path / "net.index").write_bytes(table(sorted(index.items())))
    with loader.open(tmp_path) as checkpoint:
        assert np.array_equal(read(checkpoint, layers(checkpoint)["b"].weight), second.T)
    (tmp_path / "net.data-00001-of-00002").unlink()
    with pytest.raises(ww.SourceError, match="net.data-00001-of-00002"):  # noqa: RUF043 - a name
        loader.open(tmp_path)


# ------------------------------------------------------------------------------------------------ files that lie


def test_it_is_known_by_its_content(loader, tmp_path):
    index = write_checkpoint(tmp_path / "net", {"fc/kernel": normal(4, 8)})
    (tmp_path / "other.index").write_bytes(b"words")
    (tmp_path / "empty").mkdir()
    assert loader.probe(index) == 1.0
    assert loader.probe(tmp_path) == 0.8
    assert loader.probe(tmp_path / "other.index") == 0.1
    assert loader.probe(tmp_path / "net.data-00000-of-00001") == loader.probe(tmp_path / "empty") == 0
    assert loader.probe(object()) == loader.probe(tmp_path / "none") == 0
    assert [layer.name for layer in ww.describe(tmp_path).layers] == ["fc"]


def refusal(loader, path):
    began = time.monotonic()
    with pytest.raises(ww.SourceError) as caught:
        loader.open(path)
    assert time.monotonic() - began < 10
    message = str(caught.value)
    assert path.stem in message
    assert message.isprintable()
    assert len(message.replace(str(path.parent), "")) < 400
    return message


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_checkpoint_says_is_checked(case, loader, tmp_path):
    tensors, says = REFUSED[case]
    assert says in refusal(loader, write_checkpoint(tmp_path / "net", tensors))


@pytest.mark.parametrize("case", TABLES)
def test_the_table_is_checked(case, loader, tmp_path):
    content, says = TABLES[case]
    (tmp_path / "net.data-00000-of-00001").write_bytes(DATA)
    (tmp_path / "net.index").write_bytes(content)
    assert says in refusal(loader, tmp_path / "net.index")


def test_a_shard_is_no_checkpoint_and_an_index_needs_its_shard(loader, tmp_path):
    index = write_checkpoint(tmp_path / "net", GOOD)
    shard = tmp_path / "net.data-00000-of-00001"
    with pytest.raises(ww.SourceError, match=r"a shard of a checkpoint: name 'net\.index'"):
        loader.open(shard)
    shard.write_bytes(DATA[:-1])
    with pytest.raises(ww.CorruptFileError, match="cut short"):
        loader.open(index)
    shard.unlink()
    assert "net.data-00000" in refusal(loader, index)


def test_links_out_of_the_folder_are_not_followed(loader, tmp_path):
    inside = tmp_path / "model"
    (inside / "variables").mkdir(parents=True)
    (inside / "saved_model.pb").write_bytes(b"")
    write_checkpoint(tmp_path / "variables", GOOD)
    (inside / "variables" / "variables.index").symlink_to(tmp_path / "variables.index")
    with pytest.raises(ww.SourceError, match="leads out of its folder"):
        loader.open(inside)
    write_checkpoint(inside / "net", GOOD)
    shard = "variables.data-00000-of-00001"
    (inside / "variables" / shard).symlink_to(tmp_path / shard)
    (inside / "variables" / "variables.index").unlink()
    (inside / "variables" / "variables.index").write_bytes(INDEX)
    with pytest.raises(ww.SourceError, match="leads out of its folder"):
        loader.open(inside)


def test_an_index_that_is_cut_short_anywhere_is_refused(loader, tmp_path):
    path = write_checkpoint(tmp_path / "net", GOOD)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ww.CorruptFileError, match=r"net\.index"):
            loader.open(path)


def test_a_graph_without_end_is_refused(loader, tmp_path):
    """A chain of objects, whose ways grow; and a million objects of two bytes."""
    chain = graph(*[({"a" * 50: number + 1}, []) for number in range(4000)], NODE)
    for objects in (chain, message((1, b"")) * 2_500_000):
        path = write_checkpoint(tmp_path / "net", {**GOOD, GRAPH: objects})
        assert "it has more than" in refusal(loader, path)


def test_many_blocks_of_one_place_are_refused(loader, tmp_path):
    """An index whose entries all lead to one block."""
    held = table([(b"", message((1, 1)))])
    first = held.index(message((1, 1)))
    assert first
    handle = varint(0) + varint(held.index(b"\0\0\0\0\1\0\0\0") + 8)
    content = bytearray(held[: held.index(b"\0\0\0\0\1\0\0\0") + 13])
    entries = b"".join(varint(0) + varint(1) + varint(len(handle)) + b"a" + handle for _ in range(1000))
    entries += bytes(4) + struct.pack("<I", 1)
    place = varint(len(content)) + varint(len(entries))
    content += entries + bytes(5) + (varint(0) + varint(0) + place).ljust(40, b"\0") + held[-8:]
    (tmp_path / "net.index").write_bytes(content)
    assert "blocks overlap" in refusal(loader, tmp_path / "net.index")


def test_changed_bytes_give_ww_s_errors_and_no_others(loader, tmp_path):
    random = np.random.Generator(np.random.Philox(11))
    objects = graph(({"net": 1}, []), ({"a": 2, "b": 3}, []), NODE, ({}, [("b", "fc/bias")]))
    index = write_checkpoint(tmp_path / "net", {**GOOD, "steps": np.arange(3), GRAPH: objects})
    shard = tmp_path / "net.data-00000-of-00001"
    contents = {path: path.read_bytes() for path in (index, shard)}
    opened = 0
    for _ in range(500):
        for path, whole in contents.items():
            content = bytearray(whole)
            for _ in range(random.integers(0, 4)):
                content[random.integers(len(content))] = random.choice([0, 1, 2, 127, 128, 255, random.integers(256)])
            path.write_bytes(content)
        try:
            with loader.open(index) as checkpoint:
                opened += 1
                for layer in checkpoint.layers:
                    read(checkpoint, layer.weight)
        except ww.WWError as error:
            assert str(error).isprintable()  # noqa: PT017 - other exceptions must not be caught
    assert opened > 50
