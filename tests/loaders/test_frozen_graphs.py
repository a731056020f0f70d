"""Frozen graphs of TensorFlow: what TensorFlow writes, what nodes say of constants, and files that lie."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest
from graph_files import constant, function, graph, node, picture, saved_model, tensor
from hostile.graphs import HALVES, HELD, REFUSED, ROW, holder, weight
from naming import ByName
from protobuf_files import message, number, part
from tensorflow_files import in_layout_of_ww, normal, write_checkpoint

import ww_core as ww
from ww_plugins.loaders.tensorflow.frozen.operators import OPERATORS
from ww_plugins.loaders.tensorflow.loader import TensorFlowLoader


@pytest.fixture(scope="module")
def loader():
    return ByName(TensorFlowLoader())


@pytest.fixture
def opened(loader, tmp_path):
    def open_(*nodes, **more):
        path = tmp_path / "net.pb"
        path.write_bytes(nodes[0] if len(nodes) == 1 else graph(*nodes, **more))
        return loader.open(path)

    return open_


def read(checkpoint, spec):
    with checkpoint.read(spec) as array:
        return np.array(array)


def told(checkpoint):
    return {
        layer.name: (str(layer.kind), layer.weight.shape, layer.groups, layer.bias and layer.bias.name)
        for layer in checkpoint.layers
    }


# ------------------------------------------------------------------------------------------------ what is written

RENAMED = {
    "apart/separable_conv2d": "apart/depthwise_kernel",
    "apart/separable_conv2d/ReadVariableOp_1": "apart/pointwise_kernel",
    **{
        f"{cell}/{frozen}": f"{cell}/{own}"
        for cell in ("both/forward_lstm/lstm_cell", "both/backward_lstm/lstm_cell", "gru/gru_cell")
        for frozen, own in (("Cast", "kernel"), ("Cast_1", "recurrent_kernel"))
    },
}
"""Layers that have other names in a checkpoint: nodes do not tell those of their variables."""


@pytest.fixture(scope="module")
def frozen(made_by_tensorflow):
    """A folder with graphs that TensorFlow froze."""
    return made_by_tensorflow("saved_graphs.py")


@pytest.mark.stress
@pytest.mark.parametrize("name", ["frozen.pb", "saved"])
def test_a_frozen_network_has_the_layers_of_its_checkpoint(name, frozen, loader):
    with np.load(frozen / "arrays.npz") as held:
        arrays = {key.replace("|", "/"): held[key] for key in held}
    expected = in_layout_of_ww(arrays)
    expected["grouped"] = (*expected["grouped"][:3], 2)  # of a checkpoint nothing tells groups
    with loader.open(frozen / name) as checkpoint:
        found = {RENAMED.get(layer.name, layer.name): layer for layer in checkpoint.layers}
        assert set(found) == set(expected)
        for layer, (array, bias, kind, groups) in expected.items():
            assert (found[layer].kind, found[layer].groups) == (kind, groups), layer
            assert np.array_equal(read(checkpoint, found[layer].weight), array), layer
            assert (found[layer].bias is None) is (bias is None), layer
            if bias is not None:
                assert np.array_equal(read(checkpoint, found[layer].bias), arrays[bias].reshape(-1)), layer
        assert len(checkpoint.buffers) == 3
        assert not checkpoint.skipped
        assert all("line" in warning for warning in checkpoint.warnings)  # a convolution behind a Reshape


@pytest.mark.stress
def test_a_frozen_graph_of_tensorflow_1_is_its_checkpoint(frozen, loader):
    with loader.open(frozen / "old.pb") as graph_, loader.open(frozen / "old.index") as checkpoint:
        assert told(graph_) == told(checkpoint)
        others = {layer.name: layer for layer in checkpoint.layers}
        for layer in graph_.layers:
            assert np.array_equal(read(graph_, layer.weight), read(checkpoint, others[layer.name].weight))
        assert {buffer.name for buffer in graph_.buffers} == {buffer.name for buffer in checkpoint.buffers}


# ------------------------------------------------------------------------------------------------ what nodes say


def ints(name, *numbers):
    return constant(name, np.array(numbers, "i4"))


BATCH_NORM = [
    constant("n/gamma", normal(4)), constant("n/beta", normal(4)), constant("n/mean", normal(4)),
    constant("n/variance", normal(4)), constant("n/epsilon", np.float32(1e-3)),
    node("n/add", "AddV2", "n/variance", "n/epsilon"), node("n/rsqrt", "Rsqrt", "n/add"),
]  # fmt: skip
REST = [
    node("n/mul_1", "Mul", "x", "n/mul"), node("n/mul_2", "Mul", "n/mean", "n/mul"),
    node("n/sub", "Sub", "n/beta", "n/mul_2"), node("n/add_1", "AddV2", "n/mul_1", "n/sub"),
]  # fmt: skip
CONV = weight(3, 2, 4, 6, name="c/kernel")
CELL = "rnn/lstm_cell"

# nodes: {layer: (kind, shape, groups, bias)}
KINDS = {
    "a product": (
        [weight(4, 8), constant("fc/bias", normal(8)), node("m", "MatMul", "x", "fc/kernel"),
         node("a", "BiasAdd", "m", "fc/bias")],
        {"fc": ("dense", (8, 4), 1, "fc/bias")},
    ),
    "through a node that reads it": (
        [weight(4, 8), node("r", "Identity", "fc/kernel"), node("m", "MatMul", "x", "r:0", "^x")],
        {"fc": ("dense", (8, 4), 1, None)},
    ),
    "transposed": ([weight(8, 4), node("m", "MatMul", "x", "fc/kernel", transpose_b=True)],
                   {"fc": ("dense", (8, 4), 1, None)}),
    "on the left": ([weight(8, 4), node("m", "MatMul", "fc/kernel", "x")], {"fc": ("dense", (8, 4), 1, None)}),
    "transposed, on the left": (
        [weight(4, 8), node("m", "MatMul", "fc/kernel", "x", transpose_a=True)], {"fc": ("dense", (8, 4), 1, None)},
    ),
    "of many matrices": (
        [weight(3, 4, 8), node("m", "BatchMatMulV2", "x", "fc/kernel")], {"fc": ("expert", (3, 8, 4), 1, None)},
    ),
    "of one of many": (
        [weight(1, 8, 4), node("m", "BatchMatMul", "x", "fc/kernel", adj_y=True)],
        {"fc": ("dense", (8, 4), 1, None)},
    ),
    "of heads": (
        [weight(9, 2, 3), ints("s", 9, -1), node("r", "Reshape", "fc/kernel", "s"),
         node("m", "BatchMatMulV2", "x", "r"), node("t", "Reshape", "m", "s"), constant("fc/bias", normal(2, 3)),
         node("a", "AddV2", "t", "fc/bias")],
        {"fc": ("dense", (6, 9), 1, "fc/bias")},
    ),
    "transposed before": (
        [weight(8, 4), ints("p", 1, 0), node("t", "Transpose", "fc/kernel", "p"), node("m", "MatMul", "x", "t")],
        {"fc": ("dense", (8, 4), 1, None)},
    ),
    "an equation": (
        [weight(9, 2, 3), node("e", "Einsum", "x", "fc/kernel", equation="abc,cde->abde")],
        {"fc": ("dense", (6, 9), 1, None)},
    ),
    "an equation, on the left": (
        [weight(2, 3, 9), node("e", "Einsum", "fc/kernel", "x", equation="dec,abc->abde")],
        {"fc": ("dense", (6, 9), 1, None)},
    ),
    "a convolution": (
        [CONV, constant("c/bias", normal(6)), ints("s", 1, 1, 1, 6), node("r", "Reshape", "c/bias", "s"),
         node("q", "Squeeze", "r", squeeze_dims=(0, 1, 2)), node("c", "Conv2D", "x", "c/kernel"),
         node("a", "BiasAdd", "c", "q")],
        {"c": ("conv2d", (6, 4, 3, 2), 1, "c/bias")},
    ),
    "one in groups": (
        [weight(3, 2, 2, 6, name="c/kernel"), ints("w", 0, 0, 1, 2, 1, 2, 0, 0), node("p", "Pad", "x", "w"),
         node("c", "Conv2D", "p", "c/kernel")],
        {"c": ("conv2d", (6, 2, 3, 2), 2, None)},
    ),
    "one behind another": (
        [CONV, weight(3, 3, 3, 6, name="d/kernel"), node("c", "Conv2D", "x", "c/kernel"), node("r", "Relu", "c"),
         node("d", "Conv2D", "r", "d/kernel")],
        {"c": ("conv2d", (6, 4, 3, 2), 1, None), "d": ("conv2d", (6, 3, 3, 3), 2, None)},
    ),
    "one with channels first": (
        [picture("y", -1, 4, 8, 8), weight(3, 3, 2, 6, name="c/kernel"),
         node("c", "Conv2D", "y", "c/kernel", data_format="NCHW")],
        {"c": ("conv2d", (6, 2, 3, 3), 2, None)},
    ),
    "one along an axis": (
        [weight(3, 4, 6, name="c/kernel"), ints("d", 0), node("e", "ExpandDims", "c/kernel", "d"),
         node("c", "Conv2D", "x", "e")],
        {"c": ("conv1d", (6, 4, 3), 1, None)},
    ),
    "one with its bias": (
        [CONV, constant("c/bias", normal(6)),
         node("c", "_FusedConv2D", "x", "c/kernel", "c/bias", fused_ops={"texts": ["BiasAdd", "Relu"]})],
        {"c": ("conv2d", (6, 4, 3, 2), 1, "c/bias")},
    ),
    "3-D": ([picture("y", -1, 8, 8, 8, 4), weight(3, 3, 2, 4, 6, name="c/kernel"),
             node("c", "Conv3D", "y", "c/kernel")], {"c": ("conv3d", (6, 4, 3, 3, 2), 1, None)}),
    "depthwise": (
        [weight(3, 2, 4, 2, name="c/depthwise_kernel"), constant("c/bias", normal(8)),
         node("c", "DepthwiseConv2dNative", "x", "c/depthwise_kernel"), node("a", "Add", "c/bias", "c")],
        {"c": ("conv2d", (8, 1, 3, 2), 4, "c/bias")},
    ),
    "a transposed convolution": (
        [weight(3, 2, 6, 4, name="c/kernel"), constant("c/bias", normal(6)),
         node("c", "Conv2DBackpropInput", "s", "c/kernel", "x"), node("a", "BiasAdd", "c", "c/bias")],
        {"c": ("conv2d", (4, 6, 3, 2), 1, "c/bias")},
    ),
    "a table": ([weight(9, 4, name="t/embeddings"), ints("d", 0), node("g", "GatherV2", "t/embeddings", "i", "d")],
                {"t": ("embedding", (9, 4), 1, None)}),
    "a fused norm": (
        [*BATCH_NORM[:4], node("n", "FusedBatchNormV3", "x", "n/gamma", "n/beta", "n/mean", "n/variance")],
        {"n": ("norm", (4,), 1, "n/beta")},
    ),
    "a norm that is spelled out": (
        [*BATCH_NORM, node("n/mul", "Mul", "n/rsqrt", "n/gamma"), *REST], {"n": ("norm", (4,), 1, "n/beta")},
    ),
    "one without a scale": ([*BATCH_NORM[1:], node("n/mul", "Identity", "n/rsqrt"), *REST], {}),
    "a cell in a loop": (
        [weight(5, 28, name=f"{CELL}/kernel"), weight(7, 28, name=f"{CELL}/recurrent_kernel"),
         constant(f"{CELL}/bias", normal(28)), node("m", "Merge", "x", "next"), node("e", "Enter", f"{CELL}/kernel"),
         node("p", "MatMul", "m", "e"), node("q", "MatMul", "m", f"{CELL}/recurrent_kernel"),
         node("s", "AddV2", "p", "q"), node("b", "BiasAdd", "s", f"{CELL}/bias"), node("next", "NextIteration", "b")],
        {f"{CELL}/kernel": ("recurrent", (28, 5), 1, f"{CELL}/bias"),
         f"{CELL}/recurrent_kernel": ("recurrent", (28, 7), 1, None)},
    ),
    "a cell in one node": (
        [weight(12, 28, name=f"{CELL}/kernel"), constant(f"{CELL}/bias", normal(28)),
         node("c", "LSTMBlockCell", "x", "x", "x", f"{CELL}/kernel", "x", "x", "x", f"{CELL}/bias")],
        {CELL: ("recurrent", (28, 12), 1, f"{CELL}/bias")},
    ),
    "names of nodes that read variables": (
        [weight(4, 8, name="m_1/fc_1/MatMul/ReadVariableOp/resource"),
         node("r", "Identity", "m_1/fc_1/MatMul/ReadVariableOp/resource"), node("p", "MatMul", "x", "r"),
         weight(3, 4, 6, name="m_1/c_1/conv1d/ExpandDims_1/ReadVariableOp/resource"), ints("d", 0),
         node("e", "ExpandDims", "m_1/c_1/conv1d/ExpandDims_1/ReadVariableOp/resource", "d"),
         node("c", "Conv2D", "x", "e")],
        {"fc": ("dense", (8, 4), 1, None), "c": ("conv1d", (6, 4, 3), 1, None)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", KINDS)
def test_nodes_tell_what_a_constant_is(case, opened):
    nodes, expected = KINDS[case]
    with opened(picture(), *nodes[::-1]) as checkpoint:  # nodes stand in any order
        assert told(checkpoint) == expected
        assert not checkpoint.warnings
        assert not checkpoint.skipped


def test_numbers_are_those_of_the_layer(opened):
    matrix, kernel, deep, heads = normal(4, 8), normal(3, 2, 4, 6), normal(3, 2, 4, 2), normal(2, 3, 9)
    arrays = {"a/kernel": matrix, "b/kernel": kernel, "c/kernel": deep, "d/kernel": heads}
    nodes = [
        *(constant(name, array) for name, array in arrays.items()), ints("s", -1, 9),
        node("a", "MatMul", "x", "a/kernel"), node("b", "Conv2D", "x", "b/kernel"),
        node("c", "DepthwiseConv2dNative", "x", "c/kernel"), node("r", "Reshape", "d/kernel", "s"),
        node("d", "MatMul", "x", "r"),
    ]  # fmt: skip
    with opened(picture(), *nodes) as checkpoint:
        found = {layer.name: read(checkpoint, layer.weight) for layer in checkpoint.layers}
    assert np.array_equal(found["a"], matrix.T)
    assert np.array_equal(found["b"], kernel.transpose(3, 2, 0, 1))
    assert np.array_equal(found["c"], deep.reshape(3, 2, 8).transpose(2, 0, 1)[:, None])
    assert np.array_equal(found["d"], heads.reshape(6, 9).T)


def test_what_no_known_operator_takes_is_of_no_kind_and_named(opened):
    nodes = [weight(4, 8, name="a"), weight(4, 4, name="b"), constant("c", normal(40)), constant("steps", np.arange(3))]
    with opened(picture(), *nodes, node("o", "Mystery", "a", "b", "c")) as checkpoint:
        assert told(checkpoint) == {"a": ("other", (4, 8), 1, None)}
        assert [buffer.name for buffer in checkpoint.buffers] == ["b", "c"]
        assert [warning.endswith("no operator that is known takes them: 'a'") for warning in checkpoint.warnings] == [
            True
        ]


def test_groups_that_nothing_tells_are_a_warning(opened):
    with opened(CONV, node("c", "Conv2D", "y", "c/kernel")) as checkpoint:
        assert told(checkpoint) == {"c": ("conv2d", (6, 4, 3, 2), 1, None)}
        [warning] = checkpoint.warnings
        assert "in one group, though nothing tells how many channels come in: 'c/kernel'" in warning


def block(op, rank=4, out=8):
    """A convolution of one pixel in ``out`` channels, whatever comes in: what it makes is ``b``."""
    pictures = picture("y", *[-1] * (rank - 1), 4)
    return [pictures, weight(*[1] * (rank - 2), 4, out, name="b/kernel"), node("b", op, "y", "b/kernel")]


TWO = block("Conv2D")
THREE = block("Conv3D", 5)
FIRST = [picture("y", -1, 4, -1, -1), weight(1, 1, 4, 8, name="b/kernel"),
         node("b", "Conv2D", "y", "b/kernel", data_format="NCHW")]  # fmt: skip
LINE = [ints("low", -3), node("l", "Squeeze", "b", squeeze_dims=(-3,))]
CHANNELS_FIRST = {"data_format": "NCHW"}

# nodes that make t, channels of the kernel, attributes of the convolution, and groups; 0 where a warning names it
GROUPS = {
    "all that keep the last axis": (
        [*TWO, constant("a/bias", normal(8)), node("p", "BiasAdd", "b", "a/bias"), node("q", "Relu", "p"),
         ints("w", 0, 0, 1, 1, 1, 1, 0, 0), node("r", "Pad", "q", "w"), node("o", "MaxPool", "r", ksize=(1, 3, 3, 1)),
         ints("block", 2, 2), node("u", "SpaceToBatchND", "o", "block", "w"), node("t", "ResizeBilinear", "u", "s")],
        4, {}, 2,
    ),
    "a line": ([*TWO, *LINE, node("r", "Relu", "l"), node("t", "ExpandDims", "r", "low")], 4, {}, 2),
    "a given line": ([picture("y", -1, 9, 8), ints("low", 1), node("t", "ExpandDims", "y", "low")], 4, {}, 2),
    "a line as a picture": (
        [*TWO, *LINE, ints("at", -1), node("t", "ExpandDims", "l", "at")], 1, {}, 1,
    ),
    "a given line as a picture": (
        [picture("y", -1, 9, 8), ints("at", 3), node("t", "ExpandDims", "y", "at")], 1, {}, 1,
    ),
    "an axis that nothing tells": ([*TWO, *LINE, node("t", "ExpandDims", "l", "any")], 4, {}, 0),
    "rows as a picture": (
        [weight(4, 8, name="b/kernel"), node("b", "BatchMatMulV2", "x", "b/kernel"), ints("at", 2),
         node("t", "ExpandDims", "b", "at")], 4, {}, 0,
    ),
    "axes in another order": ([*TWO, ints("order", 0, 1, 3, 2), node("t", "Transpose", "b", "order")], 4, {}, 0),
    "axes in an order that keeps the last": (
        [*TWO, ints("order", 0, 2, 1, 3), node("t", "Transpose", "b", "order")], 4, {}, 2,
    ),
    "an order that nothing tells": ([*TWO, node("t", "Transpose", "b", "order")], 4, {}, 0),
    "channels that become the first": (
        [*TWO, ints("order", 0, 3, 1, 2), node("t", "Transpose", "b", "order")], 4, CHANNELS_FIRST, 2,
    ),
    "channels that were the first": (
        [*FIRST, ints("order", 0, 2, 3, 1), node("t", "Transpose", "b", "order")], 4, {}, 2,
    ),
    "channels that are the first": ([*FIRST, node("t", "Relu", "b")], 4, {}, 0),
    "given ones in another order": (
        [picture("y", -1, 8, 8, 3), ints("order", 0, 3, 1, 2), node("t", "Transpose", "y", "order")], 1,
        CHANNELS_FIRST, 3,
    ),
    "pooled height as channels": (
        [picture("y", -1, 8, 8, 3), node("p", "MaxPool", "y", ksize=(1, 2, 2, 1)), ints("order", 0, 3, 2, 1),
         node("t", "Transpose", "p", "order")], 4, {}, 0,
    ),
    "pooled channels": ([*TWO, node("t", "MaxPool", "b", ksize=(1, 1, 1, 2))], 4, {}, 0),
    "more channels by a pad": ([*TWO, ints("w", 0, 0, 0, 0, 0, 0, 4, 4), node("t", "Pad", "b", "w")], 8, {}, 2),
    "a pad that nothing tells": ([*TWO, node("t", "Pad", "b", "w")], 4, {}, 0),
    "another shape": ([*TWO, ints("s", -1, 16, 8, 4), node("t", "Reshape", "b", "s")], 4, {}, 1),
    "another shape, which nothing tells": ([*TWO, node("t", "Reshape", "b", "s")], 4, {}, 0),
    "another shape, of a product": (
        [weight(4, 48, name="b/kernel"), node("b", "MatMul", "x", "b/kernel"), ints("s", -1, 4, 4, 3),
         node("t", "Reshape", "b", "s")], 3, {}, 1,
    ),
    "behind each other": ([*TWO, ints("axis", 3), node("t", "ConcatV2", "b", "b", "axis")], 8, {}, 2),
    "beside each other": ([*TWO, ints("axis", 2), node("t", "ConcatV2", "b", "b", "axis")], 4, {}, 2),
    "one of unknown channels": ([*TWO, ints("axis", -1), node("t", "ConcatV2", "b", "z", "axis")], 4, {}, 0),
    "one channel, and many": (
        [*TWO, weight(1, 1, 4, 1, name="g/kernel"), node("g", "Conv2D", "y", "g/kernel"), node("t", "Mul", "g", "b")],
        4, {}, 2,
    ),
    "one channel, and what nothing tells": (
        [*block("Conv2D", out=1), node("t", "Mul", "b", "z")], 1, {}, 0,
    ),
    "a constant for each channel": (
        [*block("Conv2D", out=1), constant("g", normal(8)), node("t", "Maximum", "b", "g")], 4, {}, 2,
    ),
    "an equation": (
        [weight(4, 2, 8, name="b/kernel"), node("t", "Einsum", "x", "b/kernel", equation="xyc,cde->xyde")], 4, {}, 2,
    ),
    **{
        op: ([*TWO, node("t", op, "b", "at", "more")], 4, {}, 0)
        for op in ("Tile", "SpaceToDepth", "DepthToSpace", "Split", "Pack", "Unpack", "StridedSlice", "Mean", "MatMul")
    },
}  # fmt: skip


@pytest.mark.parametrize("case", GROUPS)
def test_groups_are_told_only_by_channels_that_are_sure(case, opened):
    nodes, channels, attributes, groups = GROUPS[case]
    kernel = [weight(3, 3, channels, 24, name="c/kernel"), node("c", "Conv2D", "t", "c/kernel", **attributes)]
    with opened(picture(), *nodes, *kernel) as checkpoint:
        assert told(checkpoint)["c"][2] == (groups or 1)
        warned = [warning for warning in checkpoint.warnings if "in one group" in warning and "c/kernel" in warning]
        assert bool(warned) is (groups == 0)


@pytest.mark.parametrize(("axis", "groups"), [(3, 1), (4, 2), (-1, 2)])
def test_of_pictures_in_3d_the_fourth_axis_is_a_width(axis, groups, opened):
    nodes = [*THREE, ints("axis", axis), node("t", "ConcatV2", "b", "b", "axis")]
    kernel = [weight(3, 3, 3, 8, 6, name="c/kernel"), node("c", "Conv3D", "t", "c/kernel")]
    with opened(*nodes, *kernel) as checkpoint:
        assert told(checkpoint)["c"][2] == groups
        assert not checkpoint.warnings


# name: nodes that make k of fc/kernel, and what a warning says
CHANGES = {
    "cut": ([node("i", "Cast", "fc/kernel", DstT=number(6, 3)), node("k", "Cast", "i", DstT=number(6, 1))],
            "before a Cast turns them into whole numbers: 'fc/kernel'"),
    "in another precision": (
        [node("i", "Cast", "fc/kernel", DstT=number(6, 19)), node("k", "Cast", "i", DstT=number(6, 1))], None,
    ),
    **{
        op: ([node("r", op, "fc/kernel", "low", "high"), node("k", "Identity", "r")],
             "before a FakeQuant operator rounds them and cuts them off: 'fc/kernel'")
        for op in ("FakeQuantWithMinMaxArgs", "FakeQuantWithMinMaxVars", "FakeQuantWithMinMaxVarsPerChannel")
    },
}  # fmt: skip


@pytest.mark.parametrize("case", CHANGES)
def test_what_the_graph_makes_of_a_weight_besides_is_a_warning(case, opened):
    nodes, says = CHANGES[case]
    with opened(picture(), weight(4, 8), *nodes, node("m", "MatMul", "x", "k")) as checkpoint:
        assert told(checkpoint) == {"fc": ("dense", (8, 4), 1, None)}
        assert [says in warning for warning in checkpoint.warnings] == ([True] if says else [])


@pytest.mark.parametrize("shape", [(48,), (6, 8), (4, 12), (2, 3, 8)])
def test_a_constant_is_cut_into_the_matrix_that_acts(shape, opened):
    array = normal(*shape)
    nodes = [constant("fc/kernel", array), ints("s", 8, -1), node("r", "Reshape", "fc/kernel", "s")]
    with opened(picture(), *nodes, node("m", "MatMul", "x", "r")) as checkpoint:
        [layer] = checkpoint.layers
        assert np.array_equal(read(checkpoint, layer.weight), array.reshape(8, 6).T)
        assert not checkpoint.warnings


def test_what_lies_in_another_order_is_not_cut(opened):
    nodes = [weight(6, 8), ints("p", 1, 0), node("t", "Transpose", "fc/kernel", "p"), ints("s", 12, 4)]
    nodes += [node("r", "Reshape", "t", "s"), node("m", "MatMul", "x", "r")]
    with opened(picture(), *nodes) as checkpoint:
        assert told(checkpoint) == {"fc": ("other", (6, 8), 1, None)}
        assert len(checkpoint.warnings) == 1


def test_an_attribute_may_tell_channels(opened):
    shapes = part(1, part(7, message(*((2, message((1, 8))) for _ in range(4)))))
    nodes = [CONV, node("y", "Mystery", _output_shapes=shapes), node("c", "Conv2D", "y", "c/kernel")]
    with opened(*nodes) as checkpoint:
        assert told(checkpoint)["c"][2] == 2
        assert not checkpoint.warnings


def test_results_are_those_of_the_arrays(tmp_path):
    weights = {"fc.weight": normal(30, 40), "fc.bias": normal(30)}
    path = tmp_path / "net.pb"
    nodes = [constant("fc/kernel", weights["fc.weight"].T.copy()), constant("fc/bias", weights["fc.bias"])]
    nodes += [node("m", "MatMul", "x", "fc/kernel"), node("a", "BiasAdd", "m", "fc/bias")]
    path.write_bytes(graph(*nodes))
    one, other = ww.analyze(path), ww.analyze(weights)
    assert [row.metrics for row in one.layers] == [row.metrics for row in other.layers]


# ------------------------------------------------------------------------------------------------ numbers

FORMS = {
    "packed": (part(5, ROW.tobytes()), "float32", ROW),
    "the last one stands for the rest": (part(5, ROW.tobytes()[:8]), "float32", np.array([[0, 1, 1], [1, 1, 1]], "f4")),
    "one for all": (part(5, np.float32(3).tobytes()), "float32", np.full((2, 3), 3, "f4")),
    "none at all": (b"", "float32", np.zeros((2, 3), "f4")),
    "one by one": (b"".join(b"\x2d" + one.tobytes() for one in ROW.flat), "float32", ROW),
    "in two pieces": (part(5, ROW.tobytes()[:8]) + part(5, ROW.tobytes()[8:]), "float32", ROW),
    "doubles": (part(6, ROW.astype("f8").tobytes()[:24]), "float64", np.array([[0, 1, 2], [2, 2, 2]], "f8")),
    "halves": (b"".join(number(13, int(one)) for one in HALVES.view("u2").flat), "float16", HALVES),
}


@pytest.mark.parametrize("form", FORMS)
def test_numbers_are_read_in_every_form(form, opened):
    content, dtype, array = FORMS[form]
    nodes = [constant("k", tensor(ROW, content, dtype=dtype)), node("m", "MatMul", "x", "k")]
    with opened(*nodes) as checkpoint:
        [layer] = checkpoint.layers
        assert layer.weight.dtype == dtype
        assert np.array_equal(read(checkpoint, layer.weight), array.T)


def test_a_short_list_for_a_large_tensor_is_within_the_budget(loader, tmp_path):
    path = tmp_path / "net.pb"
    path.write_bytes(graph(constant("k", tensor(0, part(5, bytes(4)), (2**14, 2**14), 1)), node("m", "Relu", "k")))
    tracemalloc.start()
    assert "bytes of numbers that are not stored as they are" in refusal(loader, path)
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


# ------------------------------------------------------------------------------------------------ functions


def call(name, to, *inputs, op="StatefulPartitionedCall", attribute="f"):
    return node(name, op, *inputs, **{attribute: {"function": to}})


def test_functions_see_what_they_are_given_and_give_it_back(opened):
    conv = function("conv", ["a", "k"], [node("c", "Conv2D", "a", "k")], out="c:output:0")
    nodes = [
        picture(), weight(3, 3, 2, 6, name="c/kernel"), constant("c/bias", normal(6)),
        call("called", "conv", "x", "c/kernel"), node("a", "BiasAdd", "called:0", "c/bias"),
    ]  # fmt: skip
    with opened(*nodes, functions=[conv]) as checkpoint:
        assert told(checkpoint) == {"c": ("conv2d", (6, 2, 3, 3), 2, "c/bias")}


@pytest.mark.parametrize(("op", "attribute", "first"), [("While", "body", ()), ("If", "then_branch", ("x",))])
def test_loops_and_branches_are_functions(op, attribute, first, opened):
    body = function("body", ["k"], [node("m", "MatMul", "y", "k")], out="m:product:0")
    nodes = [weight(4, 8), call("loop", "body", *first, "fc/kernel", op=op, attribute=attribute)]
    with opened(picture(), *nodes, functions=[body]) as checkpoint:
        assert told(checkpoint) == {"fc": ("dense", (8, 4), 1, None)}


def test_other_traces_of_a_function_are_left_out_and_functions_that_nothing_calls_are_read(opened):
    functions = [holder("f_1"), holder("f_2"), holder("g_3", 5), function("outer", ["a"], [call("c", "h", "a")])]
    functions.append(holder("h", 6))
    with opened(picture(), call("c", "f_1", "x"), functions=functions) as checkpoint:
        assert {layer.weight.name: layer.weight.shape for layer in checkpoint.layers} == {
            "k": (8, 4), "g_3/k": (5, 4), "c/k": (6, 4),
        }  # fmt: skip


def test_a_trace_that_differs_in_a_bias_keeps_it(opened):
    def trace(name, length):
        bias = [constant("b", normal(length)), node("m", "Conv2D", "a", "k"), node("s", "BiasAdd", "m", "b")]
        return function(name, ["a"], [weight(3, 2, 4, 6, name="k"), *bias], out="s:output:0")

    functions = [trace("f_1", 6), trace("f_2", 6), trace("f_3", 1)]
    functions[2] = functions[2].replace(b"BiasAdd", b"Unknown")
    with opened(picture(), call("c", "f_1", "x"), functions=functions) as checkpoint:
        assert told(checkpoint) == {"k": ("conv2d", (6, 4, 3, 2), 1, "b")}
        assert not checkpoint.warnings
    narrow = function("g_2", ["a"], [weight(4, 1, name="k"), constant("b", normal(1, 1)), node("m", "MatMul", "a", "k"),
                                     node("s", "AddV2", "m", "b")])  # fmt: skip
    wide = function("g_1", ["a"], [weight(4, 1, name="k"), node("m", "MatMul", "a", "k")])
    with opened(picture(), call("c", "g_1", "x"), functions=[wide, narrow]) as checkpoint:
        assert list(told(checkpoint)) == ["k", "b"]


def test_functions_without_end_are_refused(loader, tmp_path):
    """A chain of functions; and some that call others again and again, each time with what a layer made anew."""
    deep = [function(f"f{n}", ["a"], [call("c", f"f{n + 1}", "a")]) for n in range(200)]
    made = [node(f"r{m}", "MatMul", "a", "k") for m in range(9)]
    many = [
        function(f"f{n}", ["a", "k"], [*made, *(call(f"c{m}", f"f{n + 1}", f"r{m}", "k") for m in range(9))])
        for n in range(40)
    ]
    path = tmp_path / "net.pb"
    for functions, says in ((deep, "nested more than 64 deep"), (many, "it has more than")):
        path.write_bytes(graph(picture(), weight(4, 8, name="k"), call("c", "f0", "x", "k"), functions=functions))
        assert says in refusal(loader, path)


def test_a_function_that_calls_itself_ends(opened):
    own = function("f", ["a"], [weight(4, 8, name="k"), node("m", "MatMul", "a", "k"), call("c", "f", "a")])
    with opened(picture(), call("c", "f", "x"), functions=[own]) as checkpoint:
        assert told(checkpoint) == {"k": ("dense", (8, 4), 1, None)}


# ------------------------------------------------------------------------------------------------ where graphs lie


def test_it_is_known_by_its_content(loader, tmp_path):
    for name, content, sure in [
        ("a.pb", HELD, 1.0), ("a", HELD, 0.7), ("b.pb", saved_model(HELD), 1.0), ("c.pb", b"words " * 99, 0.1),
        ("d.bin", b"\n\5words", 0), ("e", b"\x08\x01\x12\x05words", 0), ("f", b"", 0),
    ]:  # fmt: skip
        (tmp_path / name).write_bytes(content)
        assert loader.probe(tmp_path / name) == sure, name
    assert [layer.name for layer in ww.describe(tmp_path / "a").layers] == ["fc"]
    with pytest.raises(ww.SourceError, match="no graph of TensorFlow, or damaged"):
        loader.open(tmp_path / "c.pb")


def test_a_saved_model_without_variables_is_its_graph(loader, tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(saved_model(HELD, HELD))
    with loader.open(tmp_path) as checkpoint:
        assert told(checkpoint) == {"fc": ("dense", (8, 4), 1, None)}
        assert [warning.endswith("the first graph in it is read, of 2") for warning in checkpoint.warnings] == [True]
    (tmp_path / "variables").mkdir()
    write_checkpoint(tmp_path / "variables" / "variables", {"steps": np.arange(3)})
    with loader.open(tmp_path) as checkpoint:
        assert list(told(checkpoint)) == ["fc"]
    write_checkpoint(tmp_path / "variables" / "variables", {"other/kernel": normal(3, 4)})
    for named in (tmp_path, tmp_path / "saved_model.pb"):
        with loader.open(named) as checkpoint:
            assert list(told(checkpoint)) == ["other"]


def test_variables_that_are_not_in_the_graph_are_a_warning(opened):
    with opened(HELD + graph(node("v", "VarHandleOp"), node("w", "VariableV2"))) as checkpoint:
        [warning] = checkpoint.warnings
        assert "2 variables of the graph are not in it" in warning


def test_a_saved_model_may_lie_on_another_machine(tmp_path):
    fsspec = pytest.importorskip("fsspec")
    with fsspec.open("memory://frozen/saved_model.pb", "wb") as file:
        file.write(saved_model(HELD))
    assert [layer.name for layer in ww.describe("memory://frozen").layers] == ["fc"]


# ------------------------------------------------------------------------------------------------ files that lie


def refusal(loader, path):
    began = time.monotonic()
    with pytest.raises(ww.SourceError) as caught:
        loader.open(path)
    assert time.monotonic() - began < 20
    said = str(caught.value)
    assert path.stem in said
    assert said.isprintable()
    assert len(said.replace(str(path.parent), "")) < 400
    return said


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_graph_says_is_checked(case, loader, tmp_path):
    content, says = REFUSED[case]
    path = tmp_path / "net.pb"
    path.write_bytes(content)
    assert says in refusal(loader, path)


def test_a_long_chain_and_a_circle_are_gone_through_once(opened):
    chain = [node(f"r{n}", "Identity", f"r{n - 1}" if n else "k") for n in range(20_000)]
    circle = [node("a", "Relu", "b"), node("b", "Relu", "a"), node("c", "AddV2", "c", "c")]
    nodes = [*chain[::-1], *circle, weight(4, 8, name="k"), node("m", "MatMul", "x", "r19999")]
    with opened(picture(), *nodes) as checkpoint:
        assert told(checkpoint) == {"k": ("dense", (8, 4), 1, None)}


@pytest.mark.stress
def test_a_graph_of_countless_nodes_is_refused(loader, tmp_path):
    path = tmp_path / "net.pb"
    path.write_bytes(HELD + part(1, node("n", "Relu", "n")) * 300_000)
    assert "it has more than" in refusal(loader, path)


def random_nodes(random, names, given):
    ops = [*OPERATORS, "NextIteration", "Mystery", "StatefulPartitionedCall", "While"]
    flags = ("transpose_a", "transpose_b", "adj_x", "adj_y")
    for name in names:
        if random.random() < 0.3:
            shape = random.choice([0, 1, 2, 3, 4], random.integers(5))
            yield constant(name, random.standard_normal(tuple(shape)).astype("f4"))
        elif random.random() < 0.2:
            yield ints(name, *random.choice([-5, -1, 0, 1, 2, 4, 2**31 - 1], random.integers(4)))
        else:
            inputs = [f"{random.choice([*names, *given])}{random.choice(['', ':0', ':1', ':out:0'])}" for _ in range(6)]
            more = {
                str(random.choice(flags)): True,
                "equation": str(random.choice(["ab,bc->ac", "abc,cde->abde", ",->", "aa,ab->b"])),
                "squeeze_dims": tuple(map(int, random.choice([-9, -1, 0, 5], random.integers(3)))),
                "shape": {"shape": tuple(map(int, random.choice([-1, 0, 4], random.integers(5))))},
                "f": {"function": str(random.choice(["f", "g", "h"]))},
            }
            told = {key: value for key, value in more.items() if random.random() < 0.3}
            yield node(name, str(random.choice(ops)), *inputs[: random.integers(7)], **told)


def test_nodes_that_make_no_sense_give_ww_s_errors_and_no_others(loader, tmp_path):
    random = np.random.Generator(np.random.Philox(12))
    path = tmp_path / "net.pb"
    opened = 0
    for _ in range(100):
        functions = [
            function(
                name, ["p", "q"], random_nodes(random, [f"{name}{n}" for n in range(5)], "pq"), out=f"{name}0:out:0"
            )
            for name in "fg"
        ]
        path.write_bytes(graph(*random_nodes(random, [f"n{n}" for n in range(25)], ()), functions=functions))
        try:
            with loader.open(path) as checkpoint:
                opened += len(checkpoint.layers)
                for layer in checkpoint.layers:
                    assert read(checkpoint, layer.weight).shape == layer.weight.shape
        except ww.WWError as error:
            assert str(error).isprintable()  # noqa: PT017 - other exceptions must not be caught
    assert opened > 50


def test_changed_bytes_give_ww_s_errors_and_no_others(loader, tmp_path):
    random = np.random.Generator(np.random.Philox(11))
    nodes = [*KINDS["a convolution"][0], *KINDS["a table"][0], *KINDS["a fused norm"][0], *KINDS["a product"][0][:3]]
    functions = [holder("f_1"), function("g", ["a"], [call("c", "f_1", "a")], out="c:out:0")]
    whole = graph(picture(), *nodes, call("call", "g", "x"), functions=functions)
    path = tmp_path / "net.pb"
    opened = 0
    for turn in range(300):
        content = bytearray(saved_model(whole) if turn % 2 else whole)
        for _ in range(random.integers(0, 4)):
            content[random.integers(len(content))] = random.choice([0, 1, 2, 127, 128, 255, random.integers(256)])
        path.write_bytes(content)
        try:
            with loader.open(path) as checkpoint:
                opened += 1
                for layer in checkpoint.layers:
                    read(checkpoint, layer.weight)
        except ww.WWError as error:
            assert str(error).isprintable()  # noqa: PT017 - other exceptions must not be caught
    assert opened > 50
