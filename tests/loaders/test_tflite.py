"""TensorFlow Lite: what its converter makes, what else a model may hold, and files that lie."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest
from naming import ByName

import ww_core as ww
from ww_plugins.loaders.tflite.loader import TFLiteLoader

pytest.importorskip("flatbuffers")
from hostile.tflite import FOUR, LISTED, NIBBLES, REFUSED, SCALES, SPARSE, WHOLE, packed
from tflite_files import RANDOM, Graph, Op, Sparse, T, Writer, X, model, normal, of_weights

KIND = ww.LayerKind


@pytest.fixture(scope="module")
def loader():
    return ByName(TFLiteLoader())


@pytest.fixture
def opened(loader, tmp_path):
    def open_(content):
        path = tmp_path / "net.tflite"
        path.write_bytes(content)
        return loader.open(path)

    return open_


@pytest.fixture(scope="module")
def converted(made_by_tensorflow):
    """A folder with models that TensorFlow Lite's own converter made."""
    return made_by_tensorflow("converted_models.py")


def read(checkpoint, spec):
    with checkpoint.read(spec) as array:
        return np.array(array)


def layers(checkpoint):
    return {layer.name: layer for layer in checkpoint.layers}


def skipped(checkpoint):
    return {tensor.name: tensor for tensor in checkpoint.skipped}


def only(checkpoint):
    (layer,) = checkpoint.layers
    return layer, read(checkpoint, layer.weight)


# ------------------------------------------------------------------------------------------------ of the converter


def in_layout_of_ww(arrays):
    """Weights of the network by a part of their names in the model, with kind and groups: (kernel, bias, ...)."""
    return {
        "convolution": (arrays["grouped/kernel"].transpose(3, 2, 0, 1), arrays["grouped/bias"], KIND.CONV2D, 2),
        "deep": (
            arrays["deep/kernel"].reshape(3, 2, 32).transpose(2, 0, 1)[:, None],
            arrays["deep/bias"],
            "conv2d",
            16,
        ),
        "up": (arrays["up/kernel"].transpose(3, 2, 0, 1), None, KIND.CONV2D, 1),
        "line": (arrays["line/kernel"].transpose(2, 1, 0)[:, :, None], arrays["line/bias"], KIND.CONV2D, 1),
        "table": (arrays["table/embeddings"], None, KIND.EMBEDDING, 1),
        "head": (arrays["head/kernel"].T, arrays["head/bias"], KIND.DENSE, 1),
    }


@pytest.mark.stress
@pytest.mark.parametrize(("name", "dtype"), [("float", "float32"), ("half", "float16")])
def test_a_converted_network_has_its_layers(name, dtype, converted, loader):
    with np.load(converted / "arrays.npz") as arrays:
        expected = in_layout_of_ww(arrays)
    with loader.open(converted / f"{name}.tflite") as checkpoint:
        assert len(checkpoint.layers) == len(expected)
        for part, (kernel, bias, kind, groups) in expected.items():
            [layer] = [
                layer for layer in checkpoint.layers if layer.name == part or f"functional_1/{part}_1" in layer.name
            ]
            assert (layer.kind, layer.groups, layer.weight.dtype) == (kind, groups, dtype), part
            assert np.array_equal(read(checkpoint, layer.weight), kernel.astype(dtype)), part
            assert (layer.bias is None) == (bias is None), part
            if bias is not None:
                assert np.array_equal(read(checkpoint, layer.bias), bias.astype(dtype)), part
        assert all("not floating point" in tensor.reason for tensor in checkpoint.skipped)


@pytest.mark.stress
def test_a_quantised_network_has_the_numbers_that_tensorflow_lite_computes_with(converted, loader):
    with np.load(converted / "whole.npz") as arrays:
        expected = {name.replace("|", "/"): array for name, array in arrays.items()}
    axes = {"conv": (0, 3, 1, 2), "deep": (3, 0, 1, 2), "dens": (0, 1)}
    with loader.open(converted / "whole.tflite") as checkpoint:
        assert len(checkpoint.layers) == 3
        for layer in checkpoint.layers:
            kernel = expected[layer.name].transpose(axes[layer.name.partition("/")[2][:4]])
            assert np.array_equal(read(checkpoint, layer.weight), kernel)
            assert np.array_equal(read(checkpoint, layer.bias), expected[layer.bias.name])
            assert layer.weight.rounding.row_step > 2**-20


@pytest.mark.stress
def test_a_converted_network_has_the_results_of_its_arrays(converted):
    with np.load(converted / "arrays.npz") as arrays:
        expected = in_layout_of_ww(arrays)
    named, groups = {}, {}
    for layer in ww.describe(converted / "float.tflite").layers:
        [part] = [part for part in expected if layer.name == part or f"functional_1/{part}_1" in layer.name]
        kernel, bias, *_ = expected[part]
        named[f"{layer.name}.weight"] = np.ascontiguousarray(kernel)
        named |= {} if bias is None else {f"{layer.name}.bias": bias}
        groups |= {layer.name: layer.groups} if layer.groups > 1 else {}
    reports = ww.analyze(converted / "float.tflite"), ww.analyze(named, groups=groups)
    ours, theirs = ({(row.name, row.index): row.metrics for row in report.layers} for report in reports)
    assert ours
    assert ours == theirs


def test_equal_content_has_one_digest(tmp_path):
    weights = {"fc.weight": normal(40, 30), "conv.weight": normal(16, 8, 3, 3), "fc.bias": normal(40)}
    (tmp_path / "net.tflite").write_bytes(of_weights(weights))
    assert ww.analyze(tmp_path / "net.tflite").digest == ww.analyze(weights).digest


# ------------------------------------------------------------------------------------------------ layouts and kinds


CONV = normal(12, 3, 2, 8)
CONV_3D = normal(2, 3, 4, 8, 6)

# name: (operator, shape of its input, weight, place of input and weight, axes, kind, groups, options)
LAYOUTS = {
    "dense": ("FULLY_CONNECTED", (1, 8), normal(5, 8), (0, 1), (0, 1), KIND.DENSE, 1, ()),
    "conv": ("CONV_2D", (1, 6, 6, 8), CONV, (0, 1), (0, 3, 1, 2), KIND.CONV2D, 1, ()),
    "groups": ("CONV_2D", (1, 6, 6, 32), CONV, (0, 1), (0, 3, 1, 2), KIND.CONV2D, 4, ()),
    "no groups": ("CONV_2D", (1, 6, 6, 40), CONV, (0, 1), (0, 3, 1, 2), KIND.CONV2D, 1, ()),
    "no input": ("CONV_2D", (), CONV, (0, 1), (0, 3, 1, 2), KIND.CONV2D, 1, ()),
    "depthwise": ("DEPTHWISE_CONV_2D", (1, 6, 6, 6), normal(1, 3, 2, 12), (0, 1), (3, 0, 1, 2), KIND.CONV2D, 6, ()),
    "multiplier": (
        "DEPTHWISE_CONV_2D", (), normal(1, 3, 2, 12), (0, 1), (3, 0, 1, 2), KIND.CONV2D, 4, [(3, "i", 3)],
    ),
    "transposed": ("TRANSPOSE_CONV", (1, 6, 6, 8), CONV, (2, 1), (3, 0, 1, 2), KIND.CONV2D, 1, ()),
    "3-D": ("CONV_3D", (1, 4, 6, 6, 16), CONV_3D, (0, 1), (4, 3, 0, 1, 2), KIND.CONV3D, 2, ()),
    "3-D, transposed": ("CONV_3D_TRANSPOSE", (1, 4, 6, 6, 6), CONV_3D, (2, 1), (4, 3, 0, 1, 2), KIND.CONV3D, 1, ()),
    "table": ("EMBEDDING_LOOKUP", (3,), normal(20, 4), (0, 1), (0, 1), KIND.EMBEDDING, 1, ()),
    "gathered": ("GATHER", (3,), normal(20, 4), (1, 0), (0, 1), KIND.EMBEDDING, 1, ()),
    "gathered along columns": ("GATHER", (3,), normal(20, 4), (1, 0), (0, 1), KIND.OTHER, 1, [(0, "i", 1)]),
    "right factor": ("BATCH_MATMUL", (1, 8), normal(8, 5), (0, 1), (1, 0), KIND.DENSE, 1, ()),
    "right factor, transposed": ("BATCH_MATMUL", (1, 8), normal(5, 8), (0, 1), (0, 1), KIND.DENSE, 1, [(1, "?", 1)]),
    "left factor": ("BATCH_MATMUL", (8, 1), normal(5, 8), (1, 0), (0, 1), KIND.DENSE, 1, ()),
    "many factors": ("BATCH_MATMUL", (3, 1, 8), normal(3, 8, 5), (0, 1), (0, 2, 1), KIND.EXPERT, 1, ()),
    "features": ("SVDF", (1, 8), normal(5, 8), (0, 1), (0, 1), KIND.RECURRENT, 1, ()),
    "of the state": ("RNN", (1, 8), normal(5, 5), (0, 2), (0, 1), KIND.RECURRENT, 1, ()),
    "added": ("ADD", (1, 8), normal(4, 8), (0, 1), (0, 1), KIND.OTHER, 1, ()),
    "in no operator": ("ADD", (1, 8), normal(2, 1, 4, 8), (0, 5), (0, 1, 2, 3), KIND.OTHER, 1, ()),
    "a kernel of three axes": ("CONV_2D", (1, 8), normal(3, 4, 8), (0, 1), (0, 1, 2), KIND.OTHER, 1, ()),
    "scales": ("MUL", (1, 8), normal(8), (0, 1), (0,), KIND.NORM, 1, ()),
}  # fmt: skip


@pytest.mark.parametrize("case", LAYOUTS)
def test_the_operator_tells_what_a_tensor_is(case, opened):
    code, shape, weight, (source, place), axes, kind, groups, options = LAYOUTS[case]
    inputs = [-1, -1, -1]
    inputs[source] = "x"
    if place < 3:
        inputs[place] = "w"
    with opened(model(T("x", shape=shape), T("w", weight), ops=[Op(code, inputs, (), options)])) as checkpoint:
        layer, array = only(checkpoint)
        assert (layer.name, layer.kind, layer.groups) == ("w", kind, groups)
        assert np.array_equal(array, weight.transpose(axes))


def test_scales_of_channels_and_matrices_alone_lose_axes_of_length_1(opened):
    gamma, matrix = normal(1, 1, 8), normal(1, 8, 5)
    ops = [Op("MUL", ("gamma", "x")), Op("BATCH_MATMUL", ("x", "m"))]
    with opened(model(X, T("gamma", gamma), T("m", matrix), ops=ops)) as checkpoint:
        told = layers(checkpoint)
        assert np.array_equal(read(checkpoint, told["gamma"].weight), gamma[0, 0])
        assert np.array_equal(read(checkpoint, told["m"].weight), matrix[0].T)


def test_what_no_operator_tells_is_other_or_a_buffer(opened):
    tensors = [T("table", normal(1, 6, 4)), T("slope", normal(1, 1, 8)), T("one", normal()), T("steps", np.arange(3))]
    with opened(model(X, *tensors, ops=[Op("PRELU", ("x", "slope"))])) as checkpoint:
        assert [(layer.name, layer.kind) for layer in checkpoint.layers] == [("table", KIND.OTHER)]
        assert {buffer.name for buffer in checkpoint.buffers} == {"slope", "one"}
        assert skipped(checkpoint)["steps"].readable


def test_an_lstm_has_a_layer_for_each_matrix(opened):
    names = [f"in{gate}" for gate in range(4)], [f"state{gate}" for gate in range(4)], [f"b{gate}" for gate in range(4)]
    tensors = [T(name, normal(5, 8)) for name in names[0]] + [T(name, normal(5, 5)) for name in names[1]]
    tensors += [T(name, normal(5)) for name in (*names[2], "peep")] + [T("out", normal(3, 5)), T("b_out", normal(3))]
    inputs = ["x", *names[0], *names[1], "peep", -1, -1, *names[2], "out", "b_out", "h", "c"]
    content = model(
        X, T("h", shape=(1, 5)), T("c", shape=(1, 5)), *tensors, ops=[Op("UNIDIRECTIONAL_SEQUENCE_LSTM", inputs)]
    )
    with opened(content) as checkpoint:
        told = {layer.name: (layer.kind, layer.bias and layer.bias.name) for layer in checkpoint.layers}
        assert told == {
            **{f"in{gate}": (KIND.RECURRENT, f"b{gate}") for gate in range(4)},
            **{f"state{gate}": (KIND.RECURRENT, None) for gate in range(4)},
            "out": (KIND.RECURRENT, "b_out"),
        }
        assert [buffer.name for buffer in checkpoint.buffers] == ["peep"]


def test_an_lstm_of_two_directions_and_one_of_one_matrix(opened):
    first = [T(f"f{n}", normal(5, 8)) for n in range(4)] + [T(f"b{n}", normal(5, 8)) for n in range(4)]
    more = [T("joined", normal(20, 13)), T("bias", normal(20)), T("fb", normal(5)), T("bb", normal(5))]
    inputs = [-1] * 48
    inputs[0], inputs[1:5], inputs[12], inputs[18:22], inputs[29] = (
        "x",
        [t.name for t in first[:4]],
        "fb",
        [t.name for t in first[4:]],
        "bb",
    )
    ops = [Op("BIDIRECTIONAL_SEQUENCE_LSTM", inputs), Op("LSTM", ("x", -1, "joined", "bias", -1))]
    with opened(model(X, *first, *more, ops=ops)) as checkpoint:
        told = {layer.name: layer.bias.name for layer in checkpoint.layers if layer.bias}
        assert told == {"f0": "fb", "b0": "bb", "joined": "bias"}
        assert {layer.kind for layer in checkpoint.layers} == {KIND.RECURRENT}


def test_layers_stand_in_the_order_of_the_operators(opened):
    tensors = [T(name, normal(4, 8)) for name in "dcba"]
    ops = [Op("FULLY_CONNECTED", ("x", name, -1)) for name in "abc"]
    with opened(model(X, *tensors, ops=ops)) as checkpoint:
        assert [layer.name for layer in checkpoint.layers] == ["a", "b", "c", "d"]


def test_a_kernel_that_several_operators_and_subgraphs_share_is_one_layer(opened):
    kernel, other = normal(4, 8), normal(4, 8)
    use = Op("FULLY_CONNECTED", ("x", "w", -1))
    body = Graph([X, T("kernel", 1, (4, 8)), T("w", other)], [use], "body")
    content = Writer().model(Graph([X, T("w", kernel)], [use, use]), body)
    with opened(content) as checkpoint:
        told = layers(checkpoint)
        assert list(told) == ["w", "w#2"]
        assert np.array_equal(read(checkpoint, told["w"].weight), kernel)
        assert np.array_equal(read(checkpoint, told["w#2"].weight), other)
        assert not checkpoint.skipped


def test_the_first_operator_that_knows_a_tensor_tells(opened):
    ops = [Op("ADD", ("x", "w")), Op("GATHER", ("w", "x")), Op("FULLY_CONNECTED", ("x", "w", "b"))]
    with opened(model(X, T("w", normal(4, 8)), T("b", normal(4)), ops=ops)) as checkpoint:
        layer, _ = only(checkpoint)
        assert (layer.kind, layer.bias.name) == (KIND.EMBEDDING, "b")


def test_names_that_are_missing_or_not_unique_are_made(opened):
    tensors = [T(None, normal(4, 8)), T("a", normal(4, 8)), T("a#2", normal(4, 8)), T("a", normal(4, 8))]
    with opened(model(*tensors)) as checkpoint:
        assert list(layers(checkpoint)) == ["tensor_0", "a", "a#2", "a#3"]


def test_numbers_may_lie_behind_the_flatbuffer(opened):
    weights = {"fc.weight": normal(40, 30), "fc.bias": normal(40)}
    tensors = [X, *(T(name, weight) for name, weight in weights.items())]
    ops = [Op("FULLY_CONNECTED", ("x", *weights))]
    with opened(model(*tensors, ops=ops, behind=True)) as checkpoint:
        layer, array = only(checkpoint)
        assert np.array_equal(array, weights["fc.weight"])
        assert np.array_equal(read(checkpoint, layer.bias), weights["fc.bias"])


def test_numbers_in_another_file_are_listed(opened):
    with opened(model(T("w", None, (4, 8), external=3), T("v", normal(4, 8)))) as checkpoint:
        assert "lie in another file" in skipped(checkpoint)["w"].reason
        assert not skipped(checkpoint)["w"].readable


# ------------------------------------------------------------------------------------------------ quantised and sparse


# name: (tensor, numbers that it stands for, steps)
QUANTISED = {
    "one scale": (T("w", WHOLE, scale=[0.25], zero=[3]), (WHOLE.astype("f4") - 3) * np.float32(0.25), 0.25),
    "no zero point": (T("w", WHOLE, scale=[0.1]), WHOLE * np.float32(0.1), np.float32(0.1)),
    "of rows": (T("w", WHOLE, scale=SCALES[:6], zero=[0] * 6), WHOLE * SCALES[:6, None], SCALES[:6, None]),
    "of columns": (T("w", WHOLE, scale=SCALES, axis=1), WHOLE * SCALES, SCALES[None]),
    "uint8": (T("w", WHOLE.view("u1"), scale=[2.0], zero=[128]), (WHOLE.view("u1").astype("f4") - 128) * 2, 2.0),
    "int16": (T("w", WHOLE.astype("i2") * 99, scale=[0.5]), WHOLE.astype("f4") * 99 * np.float32(0.5), 0.5),
    "int4": (T("w", packed(NIBBLES, 4), (5, 3), "int4", [0.5]), NIBBLES * np.float32(0.5), 0.5),
    "uint4": (T("w", packed(NIBBLES + 8, 4), (5, 3), "uint4", [0.5], [8]), NIBBLES * np.float32(0.5), 0.5),
    "int2": (T("w", packed(NIBBLES // 4, 2), (5, 3), "int2", [1.0]), (NIBBLES // 4).astype("f4"), 1.0),
}


@pytest.mark.parametrize("case", QUANTISED)
def test_quantised_weights_are_the_numbers_that_they_stand_for(case, opened):
    tensor, numbers, steps = QUANTISED[case]
    with opened(model(X, tensor, ops=[Op("FULLY_CONNECTED", ("x", "w", -1))])) as checkpoint:
        layer, array = only(checkpoint)
        assert (layer.kind, layer.weight.dtype) == (KIND.DENSE, "float32")
        assert np.array_equal(array, numbers)
        assert layer.weight.rounding == ww.Rounding(2.0**-23).with_at_least(ww.Rounding.of_steps(steps))


def test_scales_go_with_the_axes_of_a_kernel(opened):
    kernel = RANDOM.integers(-128, 128, (1, 3, 2, 8)).astype(np.int8)
    content = model(X, T("w", kernel, scale=SCALES, axis=3), ops=[Op("DEPTHWISE_CONV_2D", ("x", "w", -1))])
    with opened(content) as checkpoint:
        layer, array = only(checkpoint)
        assert np.array_equal(array, (kernel * SCALES).transpose(3, 0, 1, 2))
        steps = ww.Rounding.of_steps(SCALES.reshape(-1, 1, 1, 1))
        assert layer.weight.rounding == ww.Rounding(2.0**-23).with_at_least(steps)


def test_biases_of_32_bits_are_exact(opened):
    bias = np.array([2**31 - 1, -(2**31), 16777217, 3], "<i4")
    tensors = [X, T("w", WHOLE[:4], scale=[0.5]), T("b", bias, scale=[0.1])]
    with opened(model(*tensors, ops=[Op("FULLY_CONNECTED", ("x", "w", "b"))])) as checkpoint:
        layer, _ = only(checkpoint)
        assert np.array_equal(read(checkpoint, layer.bias), (bias * np.float64(np.float32(0.1))).astype("f4"))


def test_half_and_quantised_kernels_are_known_behind_their_dequantisation(opened):
    half = normal(4, 8, dtype="f2")
    tensors = [X, T("h", half), T("q", WHOLE, scale=[0.5]), T("b", half[0, :4])]
    tensors += [
        T(f"{name}_", shape=tensor.shape or tensor.data.shape) for name, tensor in zip("hqb", tensors[1:], strict=True)
    ]
    ops = [Op("DEQUANTIZE", (name,), (f"{name}_",)) for name in "hqb"]
    ops += [Op("FULLY_CONNECTED", ("x", "h_", "b_")), Op("FULLY_CONNECTED", ("x", "q_", -1))]
    with opened(model(*tensors, ops=ops)) as checkpoint:
        told = layers(checkpoint)
        assert {name: layer.kind for name, layer in told.items()} == {"h": KIND.DENSE, "q": KIND.DENSE}
        assert (told["h"].weight.dtype, told["h"].bias.name) == ("float16", "b")
        assert np.array_equal(read(checkpoint, told["h"].weight), half)


@pytest.mark.parametrize("case", LISTED)
def test_what_cannot_be_told_is_listed_and_has_its_bytes(case, opened):
    tensor, reason = LISTED[case]
    with opened(model(tensor, T("v", normal(4, 8)))) as checkpoint:
        told = skipped(checkpoint)["w"]
        assert reason in told.reason
        assert told.readable
        with checkpoint.read_bytes(told) as content:
            assert len(content)


def test_shuffled_numbers_are_listed(opened):
    op = Op("FULLY_CONNECTED", ("x", "w", -1), (), [(1, "b", 1)])
    with opened(model(X, T("w", WHOLE, scale=[1.0]), ops=[op])) as checkpoint:
        assert "shuffled" in skipped(checkpoint)["w"].reason


def test_quantised_weights_take_no_memory_before_they_are_read(loader, tmp_path):
    large = RANDOM.integers(-128, 128, (6000, 4000), np.int8)
    path = tmp_path / "net.tflite"
    path.write_bytes(model(T("w", large, scale=[0.5]), T("v", large[:3000], scale=[0.25])))
    tracemalloc.start()
    try:
        with loader.open(path) as checkpoint:
            assert list(layers(checkpoint)) == ["w", "v"]
            assert tracemalloc.get_traced_memory()[1] < 5e6
            with checkpoint.read(layers(checkpoint)["w"].weight) as array:
                assert np.array_equal(array, large * np.float32(0.5))
    finally:
        tracemalloc.stop()


def of_one_number(name, rows):
    """A sparse tensor of which one number is stored."""
    spread = Sparse([0, 1], [], [(rows,), (np.arange(rows + 1) > 0, [3])])
    return T(name, np.ones(1, "f4"), (rows, 450), sparse=spread)


def test_a_sparse_tensor_of_many_times_what_is_stored_is_listed(opened):
    """A megabyte may be made of nothing, and 64 bytes more of each one."""
    with opened(model(of_one_number("small", 600), of_one_number("large", 900))) as checkpoint:
        layer, array = only(checkpoint)
        assert (layer.name, array.sum(), array[0, 3]) == ("small", 1, 1)
        told = skipped(checkpoint)["large"]
        assert "it would take 1,620,000 bytes as float32, and 1,164,288 are the most for the 1,808" in told.reason
        assert told.readable


def test_a_file_whose_tensors_become_much_more_than_it_holds_is_refused(opened):
    with pytest.raises(ww.CorruptFileError, match="its tensors become 216,000,000 bytes"):
        opened(model(*(of_one_number(f"w{n}", 600) for n in range(200))))


def test_batch_norms_that_names_suggest_are_told(opened):
    """By the name of the kernel, of its bias or of what the operator makes; a norm alone is no kernel with one."""
    joined = "net/bn_1/batchnorm/mul_1;net/deep/depthwise;net/bn_1/batchnorm/Rsqrt1"
    fused = "net/Relu6;net/norm/FusedBatchNormV3;net/first/Conv2D"
    tensors = [
        X, T(joined, normal(12, 3, 2, 8)), T("k", normal(12, 3, 2, 8)), T("plain", normal(12, 3, 2, 8)),
        T("d", normal(5, 8)), T(f"{fused}1", normal(5)), T("net/norm/FusedBatchNormV31", normal(1, 1, 8)),
        T(fused, shape=(1, 4, 5, 12)), T("y", shape=(1, 4, 5, 12)), T("batchnorms/MatMul", shape=(1, 5)),
    ]  # fmt: skip
    ops = [
        Op("CONV_2D", ("x", joined, -1), ("y",)), Op("CONV_2D", ("x", "k", -1), (fused,)),
        Op("CONV_2D", ("x", "plain", -1), ("y",)), Op("FULLY_CONNECTED", ("x", "d", f"{fused}1"), ("y",)),
        Op("FULLY_CONNECTED", ("x", "plain", -1), ("batchnorms/MatMul",)),
        Op("MUL", ("x", "net/norm/FusedBatchNormV31")),
    ]  # fmt: skip
    with opened(model(*tensors, ops=ops)) as checkpoint:
        (said,) = checkpoint.warnings
    assert said.endswith(
        f": it seems that 3 kernels, '{joined}' and 'k' among them, hold a batch norm that the exporter folded into "
        "them: their spectra are those of the folded weights"
    )


def rows_of(dense):
    """The rows of a matrix as lists of places, and their numbers."""
    where = [np.flatnonzero(row) for row in dense]
    ends = np.cumsum([0, *map(len, where)])
    return (ends, np.concatenate(where)), np.concatenate([row[at] for row, at in zip(dense, where, strict=True)])


def test_sparse_kernels_are_made_dense(opened):
    dense = normal(6, 8) * (RANDOM.random((6, 8)) < 0.3)
    level, numbers = rows_of(dense)
    tensors = [X, T("w", numbers, (6, 8), sparse=Sparse([0, 1], [], [(6,), level])), T("dense", shape=(6, 8))]
    ops = [Op("DENSIFY", ("w",), ("dense",)), Op("FULLY_CONNECTED", ("x", "dense", -1))]
    with opened(model(*tensors, ops=ops)) as checkpoint:
        layer, array = only(checkpoint)
        assert (layer.name, layer.kind) == ("w", KIND.DENSE)
        assert np.array_equal(array, dense)


def test_sparse_kernels_in_blocks_along_turned_axes_are_made_dense(opened):
    """Blocks of 2 x 4, column by column of blocks."""
    which = np.array([[1, 0], [0, 1], [1, 1]])
    dense = RANDOM.integers(1, 99, (6, 8)).astype(np.int8) * np.kron(which, np.ones((2, 4), np.int8))
    level, _ = rows_of(which.T)
    blocks = dense.reshape(3, 2, 2, 4).transpose(2, 0, 1, 3)[which.T == 1]
    spread = Sparse([1, 0, 2, 3], [0, 1], [(2,), level, (2,), (4,)])
    with opened(model(T("w", blocks, (6, 8), scale=[0.5], sparse=spread))) as checkpoint:
        _, array = only(checkpoint)
        assert np.array_equal(array, dense * np.float32(0.5))


@pytest.mark.parametrize("case", SPARSE)
def test_sparse_kernels_that_contradict_themselves_are_listed(case, opened):
    spread, reason = SPARSE[case]
    shape = (6, 8) if "axes" not in reason or len(spread.order) < 20 else (1,) * 18 + (6, 8)
    with opened(model(T("w", FOUR, shape, sparse=spread), T("v", normal(4, 8)))) as checkpoint:
        assert reason in skipped(checkpoint)["w"].reason


# ------------------------------------------------------------------------------------------------ files that lie


def test_it_is_known_by_its_content_and_a_damaged_one_by_its_name(loader, tmp_path):
    content = of_weights({"fc.weight": normal(4, 8)})
    for name, held, sure in [
        ("net", content, 1.0),
        ("net.bin", content, 1.0),
        ("net.tflite", b"TFL", 0.1),
        ("other", b"TFL", 0),
        ("empty.tflite", b"", 0.1),
    ]:
        (tmp_path / name).write_bytes(held)
        assert loader.probe(tmp_path / name) == sure
    assert loader.probe(tmp_path) == loader.probe(object()) == loader.probe(tmp_path / "none") == 0
    assert [layer.name for layer in ww.describe(tmp_path / "net.bin").layers] == ["fc.weight"]


def refused(loader, path, content):
    path.write_bytes(content)
    tracemalloc.start()
    began = time.monotonic()
    try:
        with pytest.raises(ww.SourceError) as caught:
            loader.open(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.monotonic() - began < 20
    assert peak < 30e6
    message = str(caught.value)
    assert path.name in message
    assert message.isprintable()
    assert len(message.replace(str(path.parent), "")) < 400
    return message


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_file_says_is_checked(case, loader, tmp_path):
    content, says = REFUSED[case]
    assert says in refused(loader, tmp_path / "net.tflite", content)


def test_a_file_that_is_cut_short_anywhere_is_refused(loader, tmp_path):
    path = tmp_path / "net.tflite"
    for behind in (False, True):
        content = model(X, T("w", normal(4, 8)), ops=[Op("FULLY_CONNECTED", ("x", "w", -1))], behind=behind)
        for length in range(0, len(content), 3):
            path.write_bytes(content[:length])
            with pytest.raises(ww.CorruptFileError, match=r"net\.tflite"):
                loader.open(path)


def repeated(entry_of, count):
    """A model whose list of subgraphs, tensors, operators or buffers names one thing many times."""
    writer = Writer()
    made = writer._offsets

    def offsets(listed):
        return made(listed * count if len(listed) == entry_of else listed)

    writer._offsets = offsets
    tensors = [T(name, normal(4, 8) if name == "w" else None, (4, 8)) for name in ("w", "x", "y")]
    ops = [Op("FULLY_CONNECTED", ("x", "w", -1))] * 5
    return writer.model(Graph(tensors, ops))


@pytest.mark.parametrize("entry_of", [3, pytest.param(5, marks=pytest.mark.stress)])
def test_a_list_that_names_one_thing_without_end_is_refused(entry_of, loader, tmp_path):
    """Three tensors, five operators, each 600,000 times: the file has a few megabytes."""
    path = tmp_path / "net.tflite"
    path.write_bytes(repeated(entry_of, 600_000))
    began = time.monotonic()
    with pytest.raises(ww.SourceError, match="it has more than"):
        loader.open(path)
    assert time.monotonic() - began < 20


def test_many_large_sparse_tensors_cost_little(opened):
    """Each claims sixteen million places, and has hardly a byte."""
    spread = Sparse([0, 1], [], [(2000,), (2000,)])
    tensors = [T(f"w{n}", np.zeros(4, np.int8), (2000, 2000), sparse=spread) for n in range(300)]
    began = time.monotonic()
    with opened(model(*tensors)) as checkpoint:
        assert len(checkpoint.skipped) == 300
    assert time.monotonic() - began < 10


def test_changed_bytes_give_ww_s_errors_and_no_others(loader, tmp_path):
    random = np.random.Generator(np.random.Philox(11))
    level, numbers = rows_of(np.eye(6, 8, dtype="f4"))
    tensors = [X, T("w", WHOLE, scale=SCALES[:6]), T("b", normal(6)), T("n", packed(NIBBLES, 4), (5, 3), "int4", [0.5])]
    tensors += [T("s", numbers, (6, 8), sparse=Sparse([0, 1], [], [(6,), level])), T("k", normal(4, 3, 2, 8))]
    ops = [Op("FULLY_CONNECTED", ("x", "w", "b")), Op("CONV_2D", ("x", "k", -1)), Op("DENSIFY", ("s",), ("x",))]
    whole = model(*tensors, ops=ops)
    path = tmp_path / "net.tflite"
    opened = 0
    for _ in range(400):
        content = bytearray(whole)
        for _ in range(random.integers(1, 6)):
            content[random.integers(8, len(content))] = random.choice([0, 1, 2, 4, 127, 128, 255, random.integers(256)])
        path.write_bytes(content)
        try:
            with loader.open(path) as checkpoint:
                opened += 1
                for layer in checkpoint.layers:
                    read(checkpoint, layer.weight)
                for tensor in checkpoint.skipped:
                    if tensor.readable:
                        with checkpoint.read_bytes(tensor):
                            pass
        except ww.WWError as error:
            assert str(error).isprintable()  # noqa: PT017 - other exceptions must not be caught
    assert opened > 50
