"""What is read from sound models of ONNX: names, kinds, layouts and numbers, by what the nodes say."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from naming import ByName
from onnx_files import node, saved

import ww_core as ww
from ww_plugins.loaders.onnx.loader import OnnxLoader
from ww_plugins.loaders.onnx.naming import is_made_up, layer_of_bias, module_of_node

onnx = pytest.importorskip("onnx")
LOADER = ByName(OnnxLoader())
RANDOM = np.random.Generator(np.random.Philox(3))


def normal(*shape, dtype=np.float32):
    return RANDOM.standard_normal(shape).astype(dtype)


def whole(*shape, dtype=np.int8):
    kind = np.iinfo(dtype)
    return RANDOM.integers(kind.min, kind.max, shape, dtype=dtype, endpoint=True)


def read(path):
    """Return layers by name, and all numbers that were read, by the tensor's name."""
    with LOADER.open(path) as checkpoint:
        tensors = [*checkpoint.buffers]
        for layer in checkpoint.layers:
            tensors += [layer.weight, *([layer.bias] if layer.bias else [])]
        numbers = {}
        for tensor in tensors:
            with checkpoint.read(tensor) as array:
                assert array.shape == tensor.shape
                numbers[tensor.name] = np.array(array)
        names = [layer.name for layer in checkpoint.layers]
        assert len(names) == len(set(names))
        return {layer.name: layer for layer in checkpoint.layers}, numbers, checkpoint


def told(path):
    layers, _, _ = read(path)
    return {
        name: (str(layer.kind), layer.shape, layer.groups, layer.bias.name if layer.bias else "")
        for name, layer in layers.items()
    }


ARRAYS = {
    "embed.weight": normal(50, 24),
    "conv1.weight": normal(12, 8, 3),
    "conv1.bias": normal(12),
    "conv2.weight": normal(16, 4, 3, 5),
    "conv3.weight": normal(4, 2, 2, 3, 2),
    "depthwise.weight": normal(16, 1, 3, 3),
    "up.weight": normal(8, 3, 3, 3),
    "up.bias": normal(6),
    "fc.weight": normal(20, 30),
    "fc.bias": normal(20),
    "gemm_in_out": normal(30, 20),
    "left": normal(20, 30),
    "left_turned": normal(30, 20),
    "matmul": normal(30, 10),
    "matmul_bias": normal(10),
    "matmul_left": normal(7, 30),
    "lstm_W": normal(2, 32, 5),
    "lstm_R": normal(2, 32, 8),
    "lstm_B": normal(2, 64),
    "gru_W": normal(1, 24, 5),
    "gru_R": normal(1, 24, 8),
    "bn.weight": normal(16),
    "bn.bias": normal(16),
    "bn.running_mean": normal(16),
    "bn.running_var": normal(16),
    "ln.weight": normal(24),
    "ln.bias": normal(24),
    "half.weight": normal(6, 4, dtype=np.float16),
    "table": normal(1, 40, 24),
    "scalar": np.float32(3),
    "eps": normal(2),
    "vector": normal(24),
    "shape": np.array([2, 3]),
}

NODES = [
    node("Gather", "embed.weight ids", "a0"),
    node("Conv", "a0 conv1.weight conv1.bias", "a1"),
    node("Conv", "a1 conv2.weight", "a2", group=2),
    node("Conv", "a2 conv3.weight", "a3"),
    node("Conv", "a3 depthwise.weight", "a4", group=16),
    node("ConvTranspose", "a4 up.weight up.bias", "a5", group=2),
    node("Gemm", "a5 fc.weight fc.bias", "a6", transB=1),
    node("Gemm", "a6 gemm_in_out", "a7"),
    node("Gemm", "left a7", "a8"),
    node("Gemm", "left_turned a8", "a9", transA=1),
    node("MatMul", "a9 matmul", "a10"),
    node("Add", "matmul_bias a10", "a11"),
    node("MatMul", "matmul_left a11", "a12"),
    node("LSTM", "a12 lstm_W lstm_R lstm_B", "a13", hidden_size=8, direction="bidirectional"),
    node("GRU", "a13 gru_W gru_R", "a14", hidden_size=8),
    node("BatchNormalization", "a14 bn.weight bn.bias bn.running_mean bn.running_var", "a15"),
    node("LayerNormalization", "a15 ln.weight ln.bias", "a16"),
    node("Gemm", "a16 half.weight", "a17", transB=1),
    node("Add", "a17 table", "a18"),
    node("Reshape", "a18 shape", "a19"),
]


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("onnx") / "net.onnx", NODES, ARRAYS)


def test_nodes_tell_what_tensors_are(network):
    assert told(network) == {
        "embed": ("embedding", (50, 24), 1, ""),
        "conv1": ("conv1d", (12, 8, 3), 1, "conv1.bias"),
        "conv2": ("conv2d", (16, 4, 3, 5), 2, ""),
        "conv3": ("conv3d", (4, 2, 2, 3, 2), 1, ""),
        "depthwise": ("conv2d", (16, 1, 3, 3), 16, ""),
        "up": ("conv2d", (8, 3, 3, 3), 2, "up.bias"),
        "fc": ("dense", (20, 30), 1, "fc.bias"),
        "gemm_in_out": ("dense", (20, 30), 1, ""),
        "left": ("dense", (20, 30), 1, ""),
        "left_turned": ("dense", (20, 30), 1, ""),
        "matmul": ("dense", (10, 30), 1, "matmul_bias"),
        "matmul_left": ("dense", (7, 30), 1, ""),
        "lstm_W.forward": ("recurrent", (32, 5), 1, "lstm_B.W.forward"),
        "lstm_W.reverse": ("recurrent", (32, 5), 1, "lstm_B.W.reverse"),
        "lstm_R.forward": ("recurrent", (32, 8), 1, "lstm_B.R.forward"),
        "lstm_R.reverse": ("recurrent", (32, 8), 1, "lstm_B.R.reverse"),
        "gru_W": ("recurrent", (24, 5), 1, ""),
        "gru_R": ("recurrent", (24, 8), 1, ""),
        "bn": ("norm", (16,), 1, "bn.bias"),
        "ln": ("norm", (24,), 1, "ln.bias"),
        "half": ("dense", (6, 4), 1, ""),
        "table": ("other", (1, 40, 24), 1, ""),
        "vector": ("other", (24,), 1, ""),
    }
    _, _, checkpoint = read(network)
    assert {buffer.name for buffer in checkpoint.buffers} == {"bn.running_mean", "bn.running_var", "scalar", "eps"}
    assert {skipped.name for skipped in checkpoint.skipped} == {"shape"}


def in_the_layout_of_ww():
    arrays = dict(ARRAYS)
    for name in ("gemm_in_out", "left_turned", "matmul"):
        arrays[name] = np.ascontiguousarray(arrays[name].T)
    for name in ("gru_W", "gru_R"):
        arrays[name] = arrays[name][0]
    for name in ("lstm_W", "lstm_R"):
        forward, reverse = arrays.pop(name)
        arrays |= {f"{name}.forward": forward, f"{name}.reverse": reverse}
    biases = arrays.pop("lstm_B").reshape(2, 2, 32)
    for direction, suffix in enumerate(("forward", "reverse")):
        for place, letter in enumerate("WR"):
            arrays[f"lstm_B.{letter}.{suffix}"] = biases[direction, place]
    return arrays


def test_numbers_are_those_of_the_library_in_the_layout_of_ww(network):
    expected = in_the_layout_of_ww()
    _, numbers, _ = read(network)
    assert set(numbers) == set(expected) - {"shape"}
    for name, array in numbers.items():
        assert array.tobytes() == expected[name].tobytes(), name
        assert array.dtype == expected[name].dtype


def test_an_analysis_is_that_of_the_same_arrays(network, tmp_path):
    store = str(tmp_path / "store.sqlite")
    ours = ww.analyze(network, store=store)
    plain = ww.analyze(in_the_layout_of_ww(), name="plain", store=store, groups={"conv2": 2, "depthwise": 16, "up": 2})
    assert ours.digest == plain.digest
    assert ours.run.computed
    rows = {(row.name, row.extractor, row.index): row for row in plain.layers}
    for row in ours.layers:
        if row.kind in {"dense", "conv1d", "conv2d", "conv3d"}:  # the names tell the same kind
            assert dict(row.metrics) == dict(rows[row.name, row.extractor, row.index].metrics), row.name


def test_peers_layout_is_not_ours(tmp_path):
    """Peers take every tensor of 2 or 4 axes for a layer, and its channels for the last axis."""
    path = saved(
        tmp_path / "net.onnx",
        [node("Conv", "x k", "y"), node("Add", "y position", "z"), node("Gemm", "z fc", "u", transB=1)],
        {"k": normal(6, 3, 2, 2), "position": normal(1, 6, 4, 4), "fc": normal(5, 7), "mask": np.ones((4, 4), bool)},
    )
    assert told(path) == {
        "k": ("conv2d", (6, 3, 2, 2), 1, ""),
        "fc": ("dense", (5, 7), 1, ""),
        "position": ("other", (1, 6, 4, 4), 1, ""),
    }


def test_what_only_passes_a_weight_on_is_looked_through(tmp_path):
    weight = normal(20, 30)
    path = saved(
        tmp_path / "net.onnx",
        [
            node("Identity", "fc.weight", "i"),
            node("Cast", "i", "c", to=1),
            node("Transpose", "c", "t", perm=[1, 0]),
            node("MatMul", "x t", "y"),
            node("Transpose", "k", "kt", perm=[3, 2, 0, 1]),
            node("Conv", "y kt", "z"),
            node("Reshape", "r shape", "rr"),
            node("MatMul", "z rr", "u"),
        ],
        {"fc.weight": weight, "k": normal(3, 3, 4, 6), "r": normal(4, 6), "shape": np.array([6, 4])},
    )
    assert told(path) == {
        "fc": ("dense", (20, 30), 1, ""),
        "k": ("conv2d", (6, 4, 3, 3), 1, ""),
        "r": ("other", (4, 6), 1, ""),
    }
    _, numbers, _ = read(path)
    assert np.array_equal(numbers["fc.weight"], weight)


def test_constants_are_weights_too(tmp_path):
    weight = normal(4, 6)
    constant = node("Constant", "_", "fc.weight", value=onnx.numpy_helper.from_array(weight))
    constant.ClearField("input")
    floats = onnx.helper.make_node("Constant", [], ["fc.bias"], value_floats=[1.0, 2, 3, 4])
    single = onnx.helper.make_node("Constant", [], ["eps"], value_float=0.5)
    text = onnx.helper.make_node("Constant", [], ["text"], value=onnx.helper.make_tensor("t", 8, [1], [b"x"]))
    path = saved(
        tmp_path / "net.onnx", [constant, floats, single, text, node("Gemm", "x fc.weight fc.bias", transB=1)], {}
    )
    assert told(path) == {"fc": ("dense", (4, 6), 1, "fc.bias")}
    _, numbers, checkpoint = read(path)
    assert np.array_equal(numbers["fc.weight"], weight)
    assert numbers["fc.bias"].tolist() == [1, 2, 3, 4]
    assert numbers["eps"] == 0.5
    assert [(skipped.name, skipped.reason) for skipped in checkpoint.skipped] == [("text", "it holds texts")]


def test_a_weight_that_many_nodes_share_is_one_layer(tmp_path):
    path = saved(
        tmp_path / "net.onnx",
        [
            node("Gather", "embed.weight x", "e"),
            node("Conv", "e k", "a"),
            node("Conv", "a k", "b"),
            node("Transpose", "embed.weight", "t"),
            node("MatMul", "b t", "logits"),
            node("Add", "logits head.bias"),
        ],
        {"embed.weight": normal(50, 24), "k": normal(4, 4, 3), "head.bias": normal(50)},
    )
    assert told(path) == {"embed": ("embedding", (50, 24), 1, "head.bias"), "k": ("conv1d", (4, 4, 3), 1, "")}


def test_graphs_within_graphs_are_read(tmp_path):
    def branch(name, bias):
        nodes = [node("Gemm", f"x w {bias}", f"{name}_out", transB=1), node("MatMul", f"{name}_out outer", f"{name}_2")]
        tensors = [onnx.numpy_helper.from_array(normal(4, 6), "w"), onnx.numpy_helper.from_array(normal(4), bias)]
        return onnx.helper.make_graph(nodes, name, [], [], tensors)

    choice = onnx.helper.make_node(
        "If", ["c"], ["y"], name="choice", then_branch=branch("then", "b"), else_branch=branch("else", "b")
    )
    body = onnx.helper.make_graph([choice], "body", [], [])
    loop = onnx.helper.make_node("Loop", ["n", "c"], ["z"], name="loop", body=body)
    path = saved(tmp_path / "net.onnx", [loop], {"outer": normal(4, 3)})
    deep = "loop/body/choice/else_branch/"
    first = {"w": ("dense", (4, 6), 1, "b"), "outer": ("dense", (3, 4), 1, "")}
    assert told(path) in (
        {**first, f"{deep}w": ("dense", (4, 6), 1, f"{deep}b")},
        {**first, "loop/body/choice/then_branch/w": ("dense", (4, 6), 1, "loop/body/choice/then_branch/b")},
    )


def test_functions_of_the_model_are_followed(tmp_path):
    inner = onnx.helper.make_function(
        "own", "turned", ["w"], ["t"], [node("Transpose", "w", "t", perm=[1, 0])], [onnx.helper.make_opsetid("", 21)]
    )
    gemm = node("Gemm", "x w b", "y")
    reference = onnx.AttributeProto(name="transB", ref_attr_name="turn", type=onnx.AttributeProto.INT)
    gemm.attribute.append(reference)
    outer = onnx.helper.make_function(
        "own", "linear", ["x", "w", "b"], ["y"], [gemm], [onnx.helper.make_opsetid("", 21)], attributes=["turn"]
    )
    path = saved(
        tmp_path / "net.onnx",
        [
            node("linear", "x fc.weight fc.bias", "y", name="fc", domain="own", turn=1),
            node("turned", "out.weight", "t", domain="own"),
            node("MatMul", "y t"),
        ],
        {"fc.weight": normal(5, 8), "fc.bias": normal(5), "out.weight": normal(3, 5)},
        functions=[inner, outer],
        opsets=(("", 21), ("own", 1)),
    )
    assert told(path) == {"fc": ("dense", (5, 8), 1, "fc.bias"), "out": ("dense", (3, 5), 1, "")}


def test_layers_without_a_name_take_that_of_their_module(tmp_path):
    scoped = node("MatMul", "j val_9", "k", name="node_linear_4")
    scoped.metadata_props.add(key="pkg.torch.onnx.stack_trace", value="x" * 999)
    scoped.metadata_props.add(key="pkg.torch.onnx.name_scopes", value="['', 'layers.0', 'linear_4']")
    path = saved(
        tmp_path / "net.onnx",
        [
            node("MatMul", "x onnx::MatMul_1", "a", name="/encoder/layer.0/fc/MatMul"),
            node("MatMul", "a onnx::MatMul_2", "b", name="/encoder/layer.0/fc/MatMul_1"),
            node("MatMul", "b onnx::MatMul_3", "c", name="/elsewhere/MatMul"),
            node("Add", "proj.bias c", "d"),
            node("Conv", "d 17 18", "e", name="/layer1/layer1.0/conv1/Conv"),
            node("MatMul", "e onnx::MatMul_4", "f", name="MatMul_77"),
            node("MatMul", "f onnx::MatMul_5", "g"),
            node("MatMul", "g onnx::MatMul_6", "h", name="/attn/MatMul"),
            node("Add", "h attn.in_proj_bias", "i"),
            node("LSTM", "i onnx::LSTM_7 onnx::LSTM_8", "j", name="/lstm/LSTM"),
            scoped,
        ],
        {
            **{f"onnx::MatMul_{place}": normal(4, 4) for place in range(1, 7)},
            "proj.bias": normal(4), "attn.in_proj_bias": normal(4), "17": normal(4, 4, 3), "18": normal(4),
            "val_9": normal(4, 4), "onnx::LSTM_7": normal(1, 8, 4), "onnx::LSTM_8": normal(1, 8, 2),
        },
    )  # fmt: skip
    assert list(told(path)) == [
        "encoder.layer.0.fc", "encoder.layer.0.fc.MatMul_1", "proj", "layer1.0.conv1", "MatMul_77", "onnx::MatMul_5",
        "attn.in_proj_weight", "lstm.W", "lstm.R", "layers.0",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "made_up"),
    [("onnx::MatMul_126", True), ("126", True), ("/a/Constant_3_output_0", True), ("fc.weight", False), ("w", False)],
)
def test_made_up_names_are_known(name, made_up):
    assert is_made_up(name) is made_up


def test_modules_are_told_by_nodes_and_biases():
    assert module_of_node("/encoder/layer.0/fc/MatMul") == "encoder.layer.0.fc"
    assert module_of_node("MatMul_3") == ""
    assert layer_of_bias("a.b.bias") == "a.b"
    assert layer_of_bias("a.in_proj_bias") == "a.in_proj_weight"
    assert layer_of_bias("b") == ""


def test_batch_norms_that_pytorch_folded_are_told(tmp_path):
    """Where all names are made up, or a norm stands by itself, nothing tells it."""
    torch = pytest.importorskip("torch")
    nn = torch.nn
    folded = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
    alone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4))
    said = []
    for number, net in enumerate([nn.Sequential(*folded, nn.Conv2d(4, 2, 1)), alone, folded]):
        path = tmp_path / f"{number}.onnx"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(net.eval(), torch.zeros(1, 3, 8, 8), path, dynamo=False)
        with LOADER.open(path) as checkpoint:
            said.append(list(checkpoint.warnings))
    (told,) = said[0]
    assert told == (
        f"{tmp_path / '0.onnx'}: it seems that 2 kernels, '0' and '2', hold a batch norm that the exporter folded into "
        "them: their spectra are those of the folded weights"
    )
    assert said[1:] == [[], []]


def test_batch_norms_that_names_tell_are_told(tmp_path):
    arrays = {
        "ConvBnFusion_W_features.0.weight": normal(4, 3, 1), "net/stem/Conv2D_weights_fused_bn": normal(4, 3, 1),
        "const_fold_opt__9": normal(4, 3, 1), "conv_batchnorm.weight": normal(4, 3, 1),
    }  # fmt: skip
    outputs = ["a", "b", "net/bn/FusedBatchNormV3:0", "/conv_batchnorm/Conv_output_0"]
    nodes = [node("Conv", f"x {name}", output) for name, output in zip(arrays, outputs, strict=True)]
    path = saved(tmp_path / "net.onnx", nodes, arrays)
    with LOADER.open(path) as checkpoint:
        known, likely = checkpoint.warnings
    assert known == (
        f"{path}: 2 kernels, 'ConvBnFusion_W_features.0' and 'net/stem/Conv2D_weights_fused_bn', hold a batch norm "
        "that the exporter folded into them: their spectra are those of the folded weights"
    )
    assert likely == (
        f"{path}: it seems that 1 kernel, 'const_fold_opt__9', holds a batch norm "
        "that the exporter folded into it: its spectrum is that of the folded weights"
    )


def test_norms_that_are_spelled_out_are_norms(tmp_path):
    path = saved(
        tmp_path / "net.onnx",
        [
            node("Div", "x sigma", "n"), node("Mul", "n ln.weight", "s"), node("Add", "s ln.bias", "y"),
            node("Mul", "y r", "m"), node("Cast", "m", "mm", to=1), node("Mul", "rms.weight mm", "z"),
            node("Mul", "gamma z", "u"),
        ],
        {"ln.weight": normal(24), "ln.bias": normal(24), "rms.weight": normal(24), "gamma": normal(24)},
    )  # fmt: skip
    assert told(path) == {
        "ln": ("norm", (24,), 1, "ln.bias"),
        "rms": ("norm", (24,), 1, ""),
        "gamma": ("other", (24,), 1, ""),
    }


def evaluated(path):
    """Return the output of a model without inputs, by the library."""
    from onnx.reference import ReferenceEvaluator

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ReferenceEvaluator(str(path)).run(None, {})[0]


SCALED = {
    "per tensor": ({"q": whole(12, 10), "s": np.float32(0.25), "z": np.int8(3)}, {}),
    "per axis 1": ({"q": whole(12, 10), "s": abs(normal(10)), "z": whole(10)}, {}),
    "per axis 0": (
        {"q": whole(12, 10, dtype=np.uint8), "s": abs(normal(12)), "z": whole(12, dtype=np.uint8)}, {"axis": 0},
    ),
    "per last axis": ({"q": whole(12, 10), "s": abs(normal(10)), "z": whole(10)}, {"axis": -1}),
    "blocks": ({"q": whole(12, 10), "s": abs(normal(3, 10)), "z": whole(3, 10)}, {"axis": 0, "block_size": 4}),
    "int16": ({"q": whole(12, 10, dtype=np.int16), "s": np.float32(0.5), "z": np.int16(-4)}, {}),
}  # fmt: skip


@pytest.mark.parametrize("case", SCALED)
def test_quantized_weights_are_what_the_library_makes_of_them(case, tmp_path):
    arrays, attributes = SCALED[case]
    dequantize = node("DequantizeLinear", "q s z", "w", **attributes)
    output = onnx.helper.make_tensor_value_info("w", 1, [12, 10])
    expected = evaluated(saved(tmp_path / "oracle.onnx", [dequantize], arrays, graph=([], [output])))
    path = saved(tmp_path / "net.onnx", [dequantize, node("MatMul", "x w")], arrays)
    layers, numbers, _ = read(path)
    assert np.allclose(numbers["q"], expected.T, rtol=1e-6)
    layer = layers["q"]
    assert (str(layer.kind), layer.shape) == ("dense", (10, 12))
    steps = arrays["s"]
    canonical = {"per axis 1": steps.reshape(-1, 1), "per axis 0": steps.reshape(1, -1), "blocks": steps.T}
    canonical["per last axis"] = canonical["per axis 1"]
    told = ww.Rounding.of_steps(canonical.get(case, steps) if steps.ndim else steps)
    assert layer.weight.rounding == ww.ROUNDINGS["float32"].with_at_least(told)


def test_the_largest_of_very_many_scales_tells_the_rounding(tmp_path):
    rows, cols = 1100, 8000
    scale = np.full((rows, cols // 8), 0.25, np.float32)
    scale[7, 9] = 0.5
    arrays = {"q": np.ones((rows, cols), np.int8), "s": scale}
    nodes = [node("DequantizeLinear", "q s", "w", axis=1, block_size=8), node("Gemm", "x w", transB=1)]
    with LOADER.open(saved(tmp_path / "net.onnx", nodes, arrays)) as checkpoint:
        (layer,) = checkpoint.layers
        told = ww.Rounding.of_steps(0.5)
        assert layer.weight.rounding == ww.ROUNDINGS["float32"].with_at_least(told)


@pytest.mark.parametrize("code", ["INT4", "UINT4", "FLOAT8E4M3FN", "FLOAT8E5M2"])
def test_numbers_of_less_than_a_byte_and_short_floats_are_made_too(code, tmp_path):
    values = RANDOM.integers(0, 8, (5, 7)).astype(np.float32)
    q = onnx.helper.make_tensor("q", getattr(onnx.TensorProto, code), [5, 7], values.ravel())
    arrays = {"q": q, "s": np.float32(0.5)}
    path = saved(tmp_path / "net.onnx", [node("DequantizeLinear", "q s", "w"), node("Gemm", "x w", transB=1)], arrays)
    layers, numbers, _ = read(path)
    assert np.array_equal(numbers["q"], values * np.float32(0.5))
    assert layers["q"].weight.told_rounding


EXACT = {
    "one scale": (np.int8, (700, 500), (), {}),
    "rows, a scale of 64 bits": (np.uint8, (40, 30), (40,), {"axis": 0, "scale": np.float64}),
    "a scale of 16 bits for each column": (np.int8, (40, 30), (30,), {"axis": 1, "scale": np.float16}),
    "blocks that do not fill the last axis": (np.int8, (12, 10), (12, 3), {"axis": 1, "block_size": 4}),
    "blocks that do not fill the first axis": (np.uint8, (10, 3, 4), (4, 3, 4), {"axis": -3, "block_size": 3}),
    "a block beyond the axis": (np.int8, (12, 10), (1, 10), {"axis": 0, "block_size": 99}),
    "32 bits": (np.int32, (30, 20), (20,), {"axis": 1}),
}  # fmt: skip


@pytest.mark.parametrize("with_zeros", [False, True])
@pytest.mark.parametrize("case", EXACT)
def test_quantized_weights_are_exact(case, with_zeros, tmp_path):
    kind, shape, of_scale, told = EXACT[case]
    scale = abs(normal(*of_scale, dtype=told.get("scale", np.float32)))
    arrays = {"q": whole(*shape, dtype=kind), "s": scale}
    arrays |= {"z": RANDOM.integers(0, 9, of_scale).astype(kind)} if with_zeros else {}
    attributes = {name: value for name, value in told.items() if name != "scale"}
    dequantize = node("DequantizeLinear", " ".join(arrays), "w", **attributes)
    layer = node("Conv", "x w") if len(shape) > 2 else node("Gemm", "x w", transB=1)
    _, numbers, _ = read(saved(tmp_path / "net.onnx", [dequantize, layer], arrays))

    exact = np.float64 if kind is np.int32 else np.float32
    axis, block = told.get("axis", 0) % len(shape), told.get("block_size", 0)

    def spread(values):
        if block:
            return values.repeat(min(block, shape[axis]), axis)[tuple(map(slice, shape))].astype(exact)
        if not values.ndim:
            return values.astype(exact)
        return values.reshape([-1 if place == axis else 1 for place in range(len(shape))]).astype(exact)

    expected = (arrays["q"].astype(exact) - spread(arrays.get("z", np.zeros_like(scale)))) * spread(scale)
    assert np.array_equal(numbers["q"], expected.astype(np.float32))


def test_what_is_quantized_on_the_way_is_looked_through(tmp_path):
    arrays = {
        "fc.weight": normal(5, 4), "s": np.float32(0.5), "z": np.uint8(3), "b": whole(4, dtype=np.int32),
        "c_quantized": whole(4, 6), "c_scale": np.float32(0.25), "m_quantized": whole(4, 6),
    }  # fmt: skip
    path = saved(
        tmp_path / "net.onnx",
        [
            node("QuantizeLinear", "fc.weight s z", "wq"),
            node("DequantizeLinear", "wq s z", "w"),
            node("MatMul", "x w", "y"),
            node("QuantizeLinear", "y s z", "yq"),
            node("DequantizeLinear", "yq s z", "yd"),
            node("DequantizeLinear", "b s", "bd"),
            node("Add", "yd bd", "u"),
            node("Mul", "s c_scale", "both"),
            node("MatMulInteger", "u c_quantized", "v"),
            node("Mul", "v both", "n"),
            node("MatMulInteger", "n m_quantized", "o"),
            node("Mul", "o both", "p"),
        ],
        arrays,
    )
    assert told(path) == {"fc": ("dense", (4, 5), 1, "b"), "c": ("dense", (6, 4), 1, "")}
    _, numbers, checkpoint = read(path)
    rounded = np.clip(np.rint(arrays["fc.weight"] / 0.5) + 3, 0, 255)
    assert np.array_equal(numbers["fc.weight"], ((rounded - 3) * 0.5).T.astype("f4"))
    assert np.array_equal(numbers["b"], (arrays["b"] * 0.5).astype("f4"))
    assert np.array_equal(numbers["c_quantized"], arrays["c_quantized"].T * np.float32(0.25))
    assert "m_quantized" in {skipped.name for skipped in checkpoint.skipped}


def quantized(q="s z", dq="s z", **attributes):
    """Nodes that round ``W``, and give it a scale again, under the name ``w``."""
    return [
        node("QuantizeLinear", f"W {q}", "wq", **attributes),
        node("DequantizeLinear", f"wq {dq}", "w", **attributes),
    ]


def multiplied(*steps, q="q", to=1):
    """Nodes that spell out what whole numbers mean, under the name ``w``."""
    names = [f"step{place}" for place in range(len(steps))] + ["w"]
    nodes = [node("Cast", q, names[0], to=to)]
    for place, (op, other) in enumerate(steps):
        nodes.append(node(op, f"{names[place]} {other}", names[place + 1]))
    return nodes


TIES = np.float32([[0.75, 2.25, -0.75, 3.75], [-2.25, 500, -500, 0.1], [1, 2, 3, 4]])
ACTING = {
    "few levels": ({"W": normal(6, 4), "s": np.float32(1.5), "z": np.int8(0)}, quantized(), "s"),
    "halves are rounded to even, and clipped": ({"W": TIES, "s": np.float32(1.5), "z": np.int8(3)}, quantized(), "s"),
    "another scale": (
        {"W": normal(6, 4), "s": np.float32(0.01), "t": np.float32(0.1), "z": np.int8(0)}, quantized(dq="t z"), "t",
    ),
    "another zero point": (
        {"W": normal(6, 4), "s": np.float32(0.5), "z": np.int8(0), "y": np.int8(2)}, quantized(dq="s y"), "s",
    ),
    "per axis 0": ({"W": normal(6, 4), "s": abs(normal(6)), "z": whole(6)}, quantized(axis=0), "s0"),
    "per axis 1, other scales": (
        {"W": normal(6, 4), "s": abs(normal(4)), "t": abs(normal(4)), "z": whole(4)}, quantized(dq="t z", axis=1), "t1",
    ),
    "bytes without a zero point": ({"W": normal(6, 4), "s": np.float32(0.25)}, quantized("s", "s"), "s"),
    "bytes with a zero point": (
        {"W": normal(6, 4), "s": np.float32(0.25), "z": np.uint8(128)}, quantized(), "s",
    ),
    "sixteen bits": ({"W": normal(6, 4), "s": np.float32(1e-4), "z": np.int16(9)}, quantized(), "s"),
    "half precision": (
        {"W": normal(6, 4, dtype=np.float16), "s": np.float16(0.3), "z": np.int8(1)}, quantized(), "s",
    ),
    "blocks": (
        {"W": normal(6, 4), "s": abs(normal(3, 4)), "z": whole(3, 4)}, quantized(axis=0, block_size=2), "s",
    ),
    "turned between": (
        {"W": normal(4, 6), "s": abs(normal(4)), "z": np.zeros(4, np.int8)},
        [
            node("QuantizeLinear", "W s z", "wq", axis=0), node("Transpose", "wq", "wt", perm=[1, 0]),
            node("DequantizeLinear", "wt s z", "w", axis=1),
        ],
        "s1",
    ),
    "a zero point that is cast": (
        {"W": normal(6, 4), "s": np.float32(0.5), "z": np.int64(-3)},
        [node("Cast", "z", "zc", to=3), *quantized("s zc", "s zc")], "s",
    ),
    "rounded, and the scale of a product": (
        {"W": normal(6, 4), "s": np.float32(0.5), "z": np.int8(0), "t": abs(normal(4))},
        [*quantized()[:1], node("DequantizeLinear", "wq s z", "d"), node("Mul", "t d", "w")], "s t1",
    ),
    "twice the same": (
        {"W": normal(6, 4), "s": np.float32(0.5), "z": np.int8(0)},
        [
            *quantized()[:1], node("DequantizeLinear", "wq s z", "wd"), node("QuantizeLinear", "wd s z", "we"),
            node("DequantizeLinear", "we s z", "w"),
        ],
        "s",
    ),
    "twice, and another scale then": (
        {"W": normal(6, 4), "s": np.float32(0.5), "t": np.float32(2), "z": np.int8(0)},
        [
            *quantized()[:1], node("DequantizeLinear", "wq s z", "wd"), node("QuantizeLinear", "wd s z", "we"),
            node("DequantizeLinear", "we t z", "w"),
        ],
        "t",
    ),
    "whole numbers, and another scale then": (
        {"q": whole(6, 4), "s": np.float32(0.5), "t": np.float32(2), "z": np.int8(0)},
        [
            node("DequantizeLinear", "q s z", "wd"), node("QuantizeLinear", "wd s z", "we"),
            node("DequantizeLinear", "we t z", "w"),
        ],
        "t",
    ),
    "a product with one scale": ({"q": whole(6, 4), "s": np.float32(0.5)}, multiplied(("Mul", "s")), "s"),
    "a product with a row": ({"q": whole(6, 4), "s": abs(normal(4))}, multiplied(("Mul", "s")), "s1"),
    "a product with a matrix of one row": ({"q": whole(6, 4), "s": abs(normal(1, 4))}, multiplied(("Mul", "s")), "s1"),
    "a product with a matrix of one column": (
        {"q": whole(6, 4), "s": abs(normal(6, 1))}, multiplied(("Mul", "s")), "s0",
    ),
    "a scale that comes first": (
        {"q": whole(6, 4), "s": abs(normal(6, 1))},
        [node("Cast", "q", "f", to=1), node("Mul", "s f", "w")],
        "s0",
    ),
    "a zero point before": (
        {"q": whole(6, 4, dtype=np.uint8), "z": np.float32(128), "s": abs(normal(6, 1))},
        multiplied(("Sub", "z"), ("Mul", "s")), "s0",
    ),
    "zero points before": (
        {"q": whole(6, 4), "z": normal(6, 1), "s": abs(normal(6, 1))}, multiplied(("Sub", "z"), ("Mul", "s")), "s0",
    ),
    "zero points that are whole": (
        {"q": whole(6, 4, dtype=np.uint8), "z": whole(4, dtype=np.uint8), "s": np.float32(0.5)},
        [node("Cast", "z", "zf", to=1), *multiplied(("Sub", "zf"), ("Mul", "s"))], "s",
    ),
    "scales of half precision": (
        {"q": np.int8([[1, -2], [3, 4]]), "s": np.float16([0.5, 0.25])}, multiplied(("Mul", "s"), to=10), "s1",
    ),
    "a scale and a factor": (
        {"q": whole(6, 4), "t": np.float32(0.1), "s": abs(normal(6, 1))},
        [node("DequantizeLinear", "q t", "d"), node("Mul", "d s", "w")], "t s0",
    ),
    "scales and factors along different axes": (
        {"q": whole(6, 4), "t": abs(normal(4)), "s": abs(normal(6, 1))},
        [node("DequantizeLinear", "q t", "d"), node("Mul", "d s", "w")], "t1 s0",
    ),
    "turned before the scale": (
        {"q": whole(4, 6), "s": abs(normal(6, 1))},
        [node("Transpose", "q", "t", perm=[1, 0]), *multiplied(("Mul", "s"), q="t")], "s0",
    ),
    "rounded, and then spelled out": (
        {"W": normal(6, 4), "s": np.float32(0.5), "z": np.int8(1), "zero": np.float32(1)},
        [*quantized()[:1], *multiplied(("Sub", "zero"), ("Mul", "s"), q="wq")], "s",
    ),
}  # fmt: skip


@pytest.mark.parametrize("is_turned", [False, True])
@pytest.mark.parametrize("case", ACTING)
def test_weights_are_those_that_act(case, is_turned, tmp_path):
    arrays, nodes, which = ACTING[case]
    kind = 10 if arrays["s"].dtype == np.float16 else 1
    output = onnx.helper.make_tensor_value_info("w", kind, None)
    expected = evaluated(saved(tmp_path / "oracle.onnx", nodes, arrays, graph=([], [output]))).astype(np.float32)
    layer = [node("Transpose", "w", "v", perm=[1, 0]), node("MatMul", "x v")] if is_turned else [node("MatMul", "x w")]
    path = saved(tmp_path / "net.onnx", [*nodes, *layer], arrays)
    layers, numbers, checkpoint = read(path)
    (name,) = {"q", "W"} & set(arrays)
    assert np.allclose(numbers[name], expected if is_turned else expected.T, rtol=1e-3 if kind == 10 else 1e-6)
    assert list(layers) == [name]
    assert checkpoint.warnings == ()
    steps = np.float64(1)
    for each in which.split():
        scale = arrays[each[0]].astype("f8")
        steps = steps * scale.reshape({"0": (-1, 1), "1": (1, -1)}.get(each[1:], scale.shape))
    known = ww.Rounding.of_steps(steps if is_turned else steps.T)
    assert layers[name].weight.rounding == ww.ROUNDINGS["float32"].with_at_least(known)


def test_kernels_tables_and_biases_get_the_scales_that_multiply_them(tmp_path):
    arrays = {
        "k": whole(4, 3, 3, 3), "ks": abs(normal(4, 1, 1, 1)), "t": whole(9, 4), "ts": np.float32(0.5),
        "r": whole(9, 4), "rs": abs(normal(4)), "g": whole(5, 4), "gs": abs(normal(5, 1)),
        "b": whole(5), "bs": np.float32(0.25), "R": normal(9, 4), "Rs": np.float32(0.5),
    }  # fmt: skip
    nodes = [
        node("Cast", "k", "k1", to=1), node("Mul", "k1 ks", "k2"), node("Conv", "x k2"),
        node("Cast", "t", "t1", to=1), node("Mul", "t1 ts", "t2"), node("Gather", "t2 x"),
        node("Gather", "r x", "r1"), node("Cast", "r1", "r2", to=1), node("Mul", "r2 rs", "r3"),
        node("Cast", "g", "g1", to=1), node("Mul", "g1 gs", "g2"),
        node("Cast", "b", "b1", to=1), node("Mul", "b1 bs", "b2"), node("Gemm", "x g2 b2", transB=1),
        node("QuantizeLinear", "R Rs", "R1"), node("Gather", "R1 x", "R2"), node("DequantizeLinear", "R2 Rs", "R3"),
    ]  # fmt: skip
    path = saved(tmp_path / "net.onnx", nodes, arrays)
    assert told(path) == {
        "k": ("conv2d", (4, 3, 3, 3), 1, ""),
        "t": ("embedding", (9, 4), 1, ""),
        "r": ("embedding", (9, 4), 1, ""),
        "g": ("dense", (5, 4), 1, "b"),
        "R": ("embedding", (9, 4), 1, ""),
    }
    _, numbers, checkpoint = read(path)
    for name in "ktrgb":
        assert np.array_equal(numbers[name], (arrays[name] * arrays[f"{name}s"]).astype("f4"))
    assert np.array_equal(numbers["R"], np.clip(np.rint(arrays["R"] / 0.5), 0, 255) * np.float32(0.5))
    assert {"ks", "ts", "rs", "gs", "bs"} <= {buffer.name for buffer in checkpoint.buffers}
    assert checkpoint.warnings == ()


@pytest.mark.parametrize("code", [17, 18, 19, 20, 22, 21])
def test_weights_may_be_rounded_to_few_bits(code, tmp_path):
    weight = 40 * normal(6, 4)
    weight[0, 0] = 1e6
    arrays = {"W": weight, "s": np.float32(0.5)}
    nodes = [node("QuantizeLinear", "W s", "wq", output_dtype=code), node("DequantizeLinear", "wq s", "w")]
    output = onnx.helper.make_tensor_value_info("w", 1, None)
    expected = evaluated(saved(tmp_path / "oracle.onnx", nodes, arrays, graph=([], [output]), opsets=(("", 23),)))
    path = saved(tmp_path / "net.onnx", [*nodes, node("Gemm", "x w", transB=1)], arrays, opsets=(("", 23),))
    layers, numbers, _ = read(path)
    assert np.array_equal(numbers["W"], expected)
    assert layers["W"].weight.told_rounding


def test_kernels_and_matrices_of_recurrent_layers_may_be_rounded(tmp_path):
    arrays = {
        "K": normal(4, 3, 3, 3), "s": abs(normal(4)), "z": np.zeros(4, np.int8), "W": normal(2, 16, 5),
        "t": np.float32(1.5), "R": normal(2, 16, 4),
    }  # fmt: skip
    nodes = [
        node("QuantizeLinear", "K s z", "k1", axis=0), node("DequantizeLinear", "k1 s z", "k2", axis=0),
        node("Conv", "x k2"), *quantized("t", "t"), node("LSTM", "x w R", direction="bidirectional", hidden_size=4),
    ]  # fmt: skip
    layers, numbers, _ = read(saved(tmp_path / "net.onnx", nodes, arrays))
    scale = arrays["s"].reshape(4, 1, 1, 1)
    assert np.allclose(numbers["K"], np.clip(np.rint(arrays["K"] / scale), -128, 127) * scale, rtol=1e-6)
    steps = ww.ROUNDINGS["float32"].with_at_least(ww.Rounding.of_steps(scale.astype("f8")))
    assert layers["K"].weight.rounding == steps
    rounded = np.clip(np.rint(arrays["W"] / np.float32(1.5)), 0, 255) * np.float32(1.5)
    assert np.array_equal(numbers["W.forward"], rounded[0])
    assert np.array_equal(numbers["W.reverse"], rounded[1])
    assert np.array_equal(numbers["R.reverse"], arrays["R"][1])


def test_a_rounded_weight_that_no_operator_takes_is_what_acts_too(tmp_path):
    arrays = {"W": normal(6, 4), "s": np.float32(1.5), "z": np.int8(0), "shape": np.array([4, 6])}
    path = saved(tmp_path / "net.onnx", [*quantized(), node("Reshape", "w shape", "r"), node("MatMul", "x r")], arrays)
    assert told(path) == {"W": ("other", (6, 4), 1, "")}
    assert np.array_equal(read(path)[1]["W"], np.rint(arrays["W"] / np.float32(1.5)) * np.float32(1.5))


NOT_READ = {
    "scales along two axes": ({"s": normal(6, 4)}, multiplied(("Mul", "s")), "its scales do not lie along one axis"),
    "scales of another length": ({"s": normal(3)}, multiplied(("Mul", "s")), "its scales do not lie along one axis"),
    "more axes than it has": ({"s": normal(1, 1, 1)}, multiplied(("Mul", "s")), "its scales do not lie along one axis"),
    "other axes for zero points": (
        {"z": normal(6, 1), "s": normal(4)}, multiplied(("Sub", "z"), ("Mul", "s")),
        "its scales lie along another axis than its zero points",
    ),
    "a scale that is computed": (
        {}, [node("DequantizeLinear", "q computed", "w")], "its scale is not known before the model runs",
    ),
    "a zero point that is computed": (
        {"s": np.float32(1)}, [node("DequantizeLinear", "q s computed", "w")],
        "its scale is not known before the model runs",
    ),
    "no layer behind the scale": (
        {"s": np.float32(1), "shape": np.array([4, 6])},
        [node("Cast", "q", "f", to=1), node("Mul", "f s", "r"), node("Reshape", "r shape", "w")],
        "no operator of a layer takes what its scale makes of it",
    ),
    "a scale behind the product": (
        {"s": normal(4)}, [node("Cast", "q", "f", to=1), node("MatMul", "x f", "y"), node("Mul", "y s")],
        "its scale follows the product, and may be that of the input",
    ),
    "a scale that divides": ({"s": normal(4)}, multiplied(("Div", "s")), "a scale divides it, which is not read"),
    "many factors": (
        {"s": normal(4)}, multiplied(*[("Mul", "s")] * 6), "too many factors multiply it",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", NOT_READ)
def test_whole_numbers_whose_scales_do_not_fit_are_listed(case, tmp_path):
    arrays, nodes, why = NOT_READ[case]
    path = saved(tmp_path / "net.onnx", [*nodes, node("MatMul", "x w")], {"q": whole(6, 4), **arrays})
    _, _, checkpoint = read(path)
    (skipped,) = (skipped for skipped in checkpoint.skipped if skipped.name == "q")
    assert skipped.reason == f"it is quantized: {why}"
    assert skipped.readable
    with checkpoint.read_bytes(skipped) as content:
        assert len(content) > 24


def test_operators_with_scales_of_their_own(tmp_path):
    arrays = {
        "k_quantized": whole(6, 2, 3), "k_scale": abs(normal(6)), "k_zero": np.zeros(6, np.int8),
        "m": whole(8, 5), "m_scale": abs(normal(5)), "m_zero": whole(5),
        "fc.weight_quantized": whole(5, 4, dtype=np.uint8), "fc.weight_scale": np.float32(0.5),
        "fc.weight_zero_point": np.uint8(100), "fc.bias": normal(4), "s": np.float32(1), "z": np.uint8(0),
        "unknown": whole(4, 4), "table": whole(9, 4), "table_scale": np.float32(0.25),
    }  # fmt: skip
    path = saved(
        tmp_path / "net.onnx",
        [
            node("QLinearConv", "x s z k_quantized k_scale k_zero s z", "a"),
            node("QLinearMatMul", "a s z m m_scale m_zero s z", "b"),
            node("DynamicQuantizeLinear", "b", "c c_scale c_zero"),
            node("MatMulInteger", "c fc.weight_quantized c_zero fc.weight_zero_point", "d"),
            node("Cast", "d", "e", to=1),
            node("Mul", "c_scale fc.weight_scale", "f"),
            node("Mul", "e f", "g"),
            node("Add", "fc.bias g", "h"),
            node("MatMulInteger", "h unknown", "i"),
            node("Gather", "table i", "j"),
            node("DequantizeLinear", "j table_scale", "k"),
        ],
        arrays,
    )
    assert told(path) == {
        "k": ("conv1d", (6, 2, 3), 1, ""),
        "m": ("dense", (5, 8), 1, ""),
        "fc": ("dense", (4, 5), 1, "fc.bias"),
        "table": ("embedding", (9, 4), 1, ""),
    }
    _, numbers, checkpoint = read(path)
    assert np.allclose(numbers["k_quantized"], arrays["k_quantized"] * arrays["k_scale"][:, None, None])
    assert np.allclose(numbers["m"], ((arrays["m"] - arrays["m_zero"].astype("f4")) * arrays["m_scale"]).T)
    assert np.allclose(numbers["fc.weight_quantized"], (arrays["fc.weight_quantized"].T - np.float32(100)) * 0.5)
    assert np.allclose(numbers["table"], arrays["table"] * 0.25)
    assert "unknown" in {skipped.name for skipped in checkpoint.skipped}
    assert {"k_scale", "m_scale", "fc.weight_scale"} <= {buffer.name for buffer in checkpoint.buffers}


def test_the_scale_of_a_product_of_whole_numbers_may_follow_alone(tmp_path):
    """It is the one with the name of the weight, if there is such a one, else the first one that fits."""
    arrays = {
        "a_quantized": whole(4, 6), "a_scale": abs(normal(6)), "x_scale": np.float32(9), "b": whole(6, 5),
        "b_s": np.float32(0.5), "c": whole(5, 4), "gamma": normal(4), "other": normal(3), "a_bias": normal(6),
    }  # fmt: skip
    nodes = [
        node("MatMulInteger", "x a_quantized", "a1"), node("Cast", "a1", "a2", to=1), node("Mul", "a2 x_scale", "a3"),
        node("Mul", "a_scale a3", "a4"), node("Add", "a4 a_bias", "a5"),
        node("MatMulInteger", "a5 b", "b1"), node("Cast", "b1", "b2", to=1), node("Mul", "b2 b_s", "b3"),
        node("MatMulInteger", "b3 c", "c1"), node("Mul", "c1 other", "c2"),
    ]  # fmt: skip
    layers, numbers, checkpoint = read(saved(tmp_path / "net.onnx", nodes, arrays))
    assert list(layers) == ["a", "b"]
    assert layers["a"].bias.name == "a_bias"
    assert np.array_equal(numbers["a_quantized"], (arrays["a_quantized"] * arrays["a_scale"]).T)
    assert np.array_equal(numbers["b"], (arrays["b"] * np.float32(0.5)).T)
    assert [skipped.name for skipped in checkpoint.skipped] == ["c"]
    assert checkpoint.warnings == ()


WITHOUT_ALPHA = "a node multiplies a weight by its alpha; the weight is read as it is stored, without the factor"
FIRST_SCALES = "a quantized weight is used with different scales; it is read with those of its first use"
ROUNDED = "a QuantizeLinear rounds a weight in a way that is not known; the weight is read as it was before"
OTHERS = {
    "two scales": (
        {"q": whole(4, 4), "s": np.float32(1), "t": np.float32(2)},
        [
            node("DequantizeLinear", "q s", "a"), node("MatMul", "x a"),
            node("DequantizeLinear", "q t", "b"), node("MatMul", "x b"),
        ],
        f"{FIRST_SCALES}: 'q'",
    ),
    "two zero points": (
        {"q": whole(4, 4), "s": np.float32(1), "z": np.int8(0), "y": np.int8(1)},
        [
            node("DequantizeLinear", "q s z", "a"), node("MatMul", "x a"),
            node("DequantizeLinear", "q s y", "b"), node("MatMul", "x b"),
        ],
        f"{FIRST_SCALES}: 'q'",
    ),
    "two axes": (
        {"q": whole(4, 4), "s": abs(normal(4))},
        [
            node("DequantizeLinear", "q s", "a", axis=0), node("MatMul", "x a"),
            node("DequantizeLinear", "q s", "b", axis=1), node("MatMul", "x b"),
        ],
        f"{FIRST_SCALES}: 'q'",
    ),
    "two scales behind products": (
        {"q": whole(4, 4), "s": np.float32(1), "t": np.float32(2)},
        [
            node("MatMulInteger", "x q", "a"), node("Mul", "a s", "b"),
            node("MatMulInteger", "x q", "c"), node("Mul", "c t", "d"),
        ],
        f"{FIRST_SCALES}: 'q'",
    ),
    "equal scales": (
        {"q": whole(4, 4), "s": np.float32(1), "t": np.ones(1, "f4"), "z": np.int8(0)},
        [
            node("DequantizeLinear", "q s", "a"), node("MatMul", "x a"),
            node("DequantizeLinear", "q t z", "b"), node("MatMul", "x b"),
        ],
        "",
    ),
    "a scale that is computed": (
        {"W": normal(6, 4), "z": np.int8(0)}, [*quantized("computed z", "computed z"), node("MatMul", "x w")],
        f"{ROUNDED}: 'W'",
    ),
    "a computed scale of what was rounded": (
        {"W": normal(6, 4), "s": np.float32(1)}, [*quantized("s", "computed"), node("MatMul", "x w")],
        f"{ROUNDED}: 'W'",
    ),
    "a zero point that is computed": (
        {"W": normal(6, 4), "s": np.float32(1)}, [*quantized("s computed", "s computed"), node("MatMul", "x w")],
        f"{ROUNDED}: 'W'",
    ),
    "rounded, and clipped": (
        {"W": normal(6, 4), "s": np.float32(1)},
        [*quantized("s", "s")[:1], node("Clip", "wq", "c"), node("DequantizeLinear", "c s", "w")],
        f"{ROUNDED}: 'W'",
    ),
    "products of what was rounded": (
        {"W": normal(6, 4), "s": np.float32(1), "x_scale": np.float32(2), "W_scale": np.float32(3)},
        [*quantized("s", "s")[:1], node("MatMulInteger", "x wq", "y"), node("Mul", "x_scale W_scale", "t")],
        f"{ROUNDED}: 'W'",
    ),
    "rounded twice": (
        {"W": normal(6, 4), "s": np.float32(1), "t": np.float32(1.5)},
        [*quantized("s", "s"), node("QuantizeLinear", "w t", "v"), node("DequantizeLinear", "v t", "u"),
         node("MatMul", "x u")],
        f"{ROUNDED}: 'W'",
    ),
    "rounded and not": (
        {"W": normal(6, 4), "s": np.float32(1)}, [*quantized("s", "s"), node("MatMul", "x w"), node("MatMul", "y W")],
        "a weight is used as it is stored, and rounded by a QuantizeLinear; it is read as in its first use: 'W'",
    ),
    "rounded in two ways": (
        {"W": normal(6, 4), "s": np.float32(1), "t": np.float32(2)},
        [*quantized("s", "t"), node("MatMul", "x w"), node("QuantizeLinear", "W t", "u"),
         node("DequantizeLinear", "u t", "v"), node("MatMul", "x v")],
        f"{FIRST_SCALES}: 'W'",
    ),
    "rounded in equal ways": (
        {"W": normal(6, 4), "s": np.float32(2), "t": np.float32([2])},
        [*quantized("s", "s"), node("MatMul", "x w"), node("QuantizeLinear", "W t", "u"),
         node("DequantizeLinear", "u t", "v"), node("MatMul", "x v")],
        "",
    ),
    "two factors": (
        {"q": whole(4, 4), "s": np.float32(1), "t": np.float32(2)},
        [
            node("DequantizeLinear", "q s", "a"), node("MatMul", "x a"), node("Mul", "a t", "b"), node("MatMul", "x b"),
        ],
        f"{FIRST_SCALES}: 'q'",
    ),
    "whole numbers on the way": (
        {"fc.weight": normal(4, 4)},
        [node("Cast", "fc.weight", "a", to=3), node("Cast", "a", "b", to=1), node("MatMul", "x b")],
        "a Cast turns a floating-point weight into whole numbers; the weight is read as it was before: 'fc.weight'",
    ),
    "half precision on the way": (
        {"fc.weight": normal(4, 4)}, [node("Cast", "fc.weight", "a", to=10), node("MatMul", "x a")], "",
    ),
    "groups": (
        {"k": normal(6, 1, 3), "l": normal(6, 2, 3)},
        [node("Conv", "x k", group=4), node("Conv", "x l", group=3)],
        "a convolution has groups that do not fit its kernel; the kernel is read as one group: 'k' (4 groups)",
    ),
    "alpha": (
        {name: normal(4, 4) for name in "abcde"},
        [node("Gemm", f"x {name}", alpha=0.5) for name in "abcd"] + [node("Gemm", "x e", alpha=1.0)],
        f"{WITHOUT_ALPHA}: 'a' (alpha 0.5), 'b' (alpha 0.5), 'c' (alpha 0.5), and 1 more",
    ),
    "alpha of a product": (
        {"w": normal(4, 4)},
        [node("FusedMatMul", "w x", domain="com.microsoft", alpha=2.0)],
        f"{WITHOUT_ALPHA}: 'w' (alpha 2)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", OTHERS)
def test_what_the_graph_does_to_a_weight_besides_is_told(case, tmp_path):
    arrays, nodes, said = OTHERS[case]
    path = saved(tmp_path / "net.onnx", nodes, arrays)
    with LOADER.open(path) as checkpoint:
        assert list(checkpoint.warnings) == ([f"{path}: {said}"] if said else [])


def test_a_bias_whose_weight_cannot_be_read_is_a_layer_of_its_own(tmp_path):
    arrays = {"fc.weight": whole(5, 4), "fc.bias": normal(4), "s": whole(1)}
    nodes = [node("DequantizeLinear", "fc.weight s", "w"), node("MatMul", "x w", "y"), node("Add", "y fc.bias")]
    path = saved(tmp_path / "net.onnx", nodes, arrays)
    assert told(path) == {"fc.bias": ("other", (4,), 1, "")}
    assert {skipped.name for skipped in read(path)[2].skipped} == {"fc.weight", "s"}


@pytest.mark.parametrize(("kind", "order"), [("LSTM", [0, 3, 1, 2]), ("GRU", [1, 0, 2]), ("RNN", [0])])
def test_gates_are_stacked_along_the_first_axis_of_each_matrix(kind, order, tmp_path):
    """ONNX has the gates i, o, f, c and z, r, h; PyTorch i, f, g, o and r, z, n: ww changes no order."""
    torch = pytest.importorskip("torch")
    net = getattr(torch.nn, kind)(3, 5, bidirectional=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, torch.zeros(2, 1, 3), tmp_path / "net.onnx", dynamo=False)
    layers, numbers, _ = read(tmp_path / "net.onnx")
    assert [(layer.kind, layer.shape) for layer in layers.values()] == [
        (ww.LayerKind.RECURRENT, (5 * len(order), cols)) for cols in (3, 3, 5, 5)
    ]
    theirs = {name: parameter.detach().numpy() for name, parameter in net.named_parameters() if "bias" not in name}
    matrices = [numbers[layer.weight.name] for layer in layers.values()]
    names = ["weight_ih_l0", "weight_ih_l0_reverse", "weight_hh_l0", "weight_hh_l0_reverse"]
    for ours, name in zip(matrices, names, strict=True):
        gates = theirs[name].reshape(len(order), 5, -1)
        assert np.array_equal(ours, gates[order].reshape(ours.shape))


def test_pieces_take_no_name_of_another_tensor(tmp_path):
    arrays = {"W": normal(2, 4, 3), "R": normal(2, 4, 1), "W.forward": normal(4, 4)}
    path = saved(tmp_path / "net.onnx", [node("LSTM", "x W R", "y"), node("MatMul", "y W.forward")], arrays)
    layers, numbers, _ = read(path)
    assert set(layers) == {"W.forward", "W.reverse", "R.forward", "R.reverse", "W.forward (1)"}
    assert {"W.forward", "W.forward (piece)"} <= set(numbers)


@pytest.mark.parametrize("directions", [1, 2])
def test_recurrent_layers_of_whole_numbers(directions, tmp_path):
    arrays = {
        "W": whole(directions, 5, 12), "R": whole(directions, 3, 12), "B": normal(directions, 24),
        "ws": abs(normal(directions)), "wz": whole(directions), "rs": abs(normal(directions)), "rz": whole(directions),
    }  # fmt: skip
    lstm = node("DynamicQuantizeLSTM", "x W R B _ _ _ _ ws wz rs rz", "y", domain="com.microsoft", hidden_size=3)
    layers, numbers, _ = read(saved(tmp_path / "net.onnx", [lstm], arrays))
    suffixes = [""] if directions == 1 else [".forward", ".reverse"]
    assert [(name, layer.shape) for name, layer in layers.items()] == [
        *((f"W{suffix}", (12, 5)) for suffix in suffixes), *((f"R{suffix}", (12, 3)) for suffix in suffixes),
    ]  # fmt: skip
    for place, suffix in enumerate(suffixes):
        expected = (arrays["R"][place].T - np.float32(arrays["rz"][place])) * arrays["rs"][place]
        assert np.array_equal(numbers[f"R{suffix}"], expected)
        assert layers[f"R{suffix}"].bias.name == f"B.R{suffix}"
        assert np.array_equal(numbers[f"B.R{suffix}"], arrays["B"][place, 12:])


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("with_zeros", [False, True])
def test_products_of_n_bits(bits, with_zeros, tmp_path):
    rows, cols, block = 6, 40, 16
    blocks = 3
    q = RANDOM.integers(0, 1 << bits, (rows, blocks, block)).astype(np.uint8)
    zeros = RANDOM.integers(0, 1 << bits, (rows, blocks)).astype(np.uint8)
    scale = abs(normal(rows, blocks))

    def packed(numbers):
        per_byte = 8 // bits
        padded = np.concatenate([numbers, np.zeros((*numbers.shape[:-1], -numbers.shape[-1] % per_byte), np.uint8)], -1)
        parts = padded.reshape(*padded.shape[:-1], -1, per_byte)
        return sum(parts[..., place] << np.uint8(place * bits) for place in range(per_byte)).astype(np.uint8)

    arrays = {"q": packed(q), "s": scale.ravel(), **({"z": packed(zeros).ravel()} if with_zeros else {})}
    product = node(
        "MatMulNBits", "x q s z" if with_zeros else "x q s", "y", domain="com.microsoft",
        N=rows, K=cols, bits=bits, block_size=block,
    )  # fmt: skip
    path = saved(tmp_path / "net.onnx", [product], arrays, opsets=(("", 21), ("com.microsoft", 1)))
    layers, numbers, _ = read(path)
    middle = zeros if with_zeros else np.full((rows, blocks), 1 << (bits - 1), np.uint8)
    expected = ((q.astype("f4") - middle[:, :, None].astype("f4")) * scale[:, :, None]).reshape(rows, -1)[:, :cols]
    assert (str(layers["q"].kind), layers["q"].shape) == ("dense", (rows, cols))
    assert np.array_equal(numbers["q"], expected)


TYPED = {
    "float32": ("FLOAT", [1.5, -2, 3, 4, 5, 6]), "float64": ("DOUBLE", [1.5, -2, 3, 4, 5, 6]),
    "float16": ("FLOAT16", [1.5, -2, 3, 4, 5, 6]), "bfloat16": ("BFLOAT16", [1.5, -2, 3, 4, 5, 6]),
}  # fmt: skip


@pytest.mark.parametrize("dtype", TYPED)
def test_numbers_that_stand_as_protobufs_own(dtype, tmp_path):
    code, values = TYPED[dtype]
    tensor = onnx.helper.make_tensor("w", getattr(onnx.TensorProto, code), [2, 3], values)
    assert not tensor.raw_data
    layers, numbers, _ = read(saved(tmp_path / "net.onnx", [node("MatMul", "x w")], {"w": tensor}))
    assert layers["w"].weight.dtype == dtype
    assert numbers["w"].astype("f8").tolist() == np.reshape(values, (2, 3)).T.tolist()


@pytest.mark.parametrize("code", ["INT8", "UINT8", "INT16", "INT32", "INT64", "UINT64", "BOOL", "COMPLEX64"])
def test_content_of_what_is_skipped_is_the_same_however_it_is_stored(code, tmp_path):
    kind = onnx.helper.tensor_dtype_to_np_dtype(getattr(onnx.TensorProto, code))
    values = np.array([1, 0, 1, 0, 1, 1]).astype(kind)
    if kind.kind == "i":
        values = values * -3
    typed = onnx.helper.make_tensor("w", getattr(onnx.TensorProto, code), [6], values)
    raw = onnx.numpy_helper.from_array(values, "w")
    digests = []
    for place, tensor in enumerate((typed, raw)):
        with LOADER.open(saved(tmp_path / f"{place}.onnx", [], {"w": tensor})) as checkpoint:
            (skipped,) = checkpoint.skipped
            assert skipped.dtype == kind.name
            with checkpoint.read_bytes(skipped) as content:
                digests.append(content.tobytes())
    assert digests == [values.tobytes()] * 2


def test_sparse_tensors_are_listed_with_their_parts(tmp_path):
    sparse = onnx.helper.make_sparse_tensor(
        onnx.helper.make_tensor("s", 1, [2], [1.0, 2]), onnx.helper.make_tensor("i", 7, [2], [0, 5]), [3, 4]
    )
    graph = onnx.helper.make_graph([], "net", [], [], sparse_initializer=[sparse])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "net.onnx")
    with LOADER.open(tmp_path / "net.onnx") as checkpoint:
        assert [(s.name, s.shape, s.reason, s.readable) for s in checkpoint.skipped] == [
            ("s", (3, 4), "it is sparse", True)
        ]


def test_data_beside_the_model_are_read_where_they_lie(network, tmp_path):
    inside = ww.analyze(network, store=str(tmp_path / "a.sqlite"))
    model = onnx.load(network)
    (tmp_path / "model").mkdir()
    path = tmp_path / "model" / "net.onnx"
    onnx.save(model, path, save_as_external_data=True, location="data.bin", size_threshold=64)
    assert path.stat().st_size < network.stat().st_size / 4
    with LOADER.open(path) as checkpoint:
        (embed,) = [layer.weight for layer in checkpoint.layers if layer.name == "embed"]
        assert checkpoint.locate(embed).source.name == "data.bin"
    beside = ww.analyze(path.parent, store=str(tmp_path / "b.sqlite"))
    assert beside.digest == inside.digest
    assert [row.name for row in beside.layers] == [row.name for row in inside.layers]


def test_a_model_on_another_machine_is_read_with_its_data(network, tmp_path):
    fsspec = pytest.importorskip("fsspec")
    path = tmp_path / "net.onnx"
    onnx.save(onnx.load(network), path, save_as_external_data=True, location="data.bin", size_threshold=64)
    for name in ("net.onnx", "data.bin"):
        with fsspec.open(f"memory://onnx/{name}", "wb") as file:
            file.write((tmp_path / name).read_bytes())
    there = ww.analyze("memory://onnx/net.onnx", store=str(tmp_path / "there.sqlite"))
    here = ww.analyze(network, store=str(tmp_path / "here.sqlite"))
    assert (there.digest, there.layers) == (here.digest, here.layers)


def test_a_small_model_with_large_data_is_read(tmp_path):
    """What its tensors take is more than many times the model's own size, and no overlap."""
    arrays = {"fc.weight": normal(1500, 1500)}
    path = saved(tmp_path / "net.onnx", [node("Gemm", "x fc.weight", transB=1)], arrays)
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="data.bin")
    _, numbers, _ = read(path)
    assert np.array_equal(numbers["fc.weight"], arrays["fc.weight"])


@pytest.mark.parametrize("opset", [7, 9, 13, 17, 21, 25])
def test_opsets(opset, tmp_path):
    arrays = {"bn.weight": normal(4), "bn.bias": normal(4), "m": normal(4), "v": normal(4), "w": normal(4, 3)}
    nodes = [node("BatchNormalization", "x bn.weight bn.bias m v"), node("MatMul", "y w")]
    assert list(told(saved(tmp_path / "net.onnx", nodes, arrays, opsets=(("", opset),)))) == ["bn", "w"]


def test_models_are_known_by_their_content(network, tmp_path):
    renamed = tmp_path / "weights.bin"
    renamed.write_bytes(network.read_bytes())
    assert LOADER.probe(renamed) == 1.0
    assert ww.describe(renamed).layers[0].name == "embed"
    core_ml = tmp_path / "net.mlmodel"
    core_ml.write_bytes(b"\x08\x04\x12\x10\x0a\x0e\x0a\x05input\x1a\x05\x2a\x03\x0a\x01\x02\xa2\x1f\x04abcd")
    tensorflow = tmp_path / "graph.pb"
    tensorflow.write_bytes(b"\x0a\x10\x0a\x01x\x12\x0bPlaceholder" + bytes(50))
    for other in (core_ml, tensorflow):
        assert LOADER.probe(other) == 0


PROGRAM = """
import sys, time
import numpy, ml_dtypes
from pathlib import Path
from ww_core.loading.files import FileSource
from ww_plugins.loaders.onnx.loader import OnnxLoader
begin = time.perf_counter()
checkpoint = OnnxLoader().open(FileSource(Path(sys.argv[1])))
seconds = time.perf_counter() - begin
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(len(checkpoint.layers), seconds, status["VmHWM"].split()[0])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
@pytest.mark.parametrize("beside", [False, True])
def test_a_model_of_two_gigabytes_is_told_in_little_time_and_memory(beside, tmp_path):
    from onnx_files import external, model, tensor
    from protobuf_files import part, varint

    length, count = 5_000_000, 100
    path = tmp_path / "net.onnx"
    nodes = b"".join(
        part(1, part(1, "x") + part(1, f"w{place}") + part(2, f"y{place}") + part(4, "MatMul"))
        for place in range(count)
    )
    if beside:
        told_of = [
            external(f"w{place}", (1000, 5000), location="data", offset=place * length * 4, length=length * 4)
            for place in range(count)
        ]
        path.write_bytes(model(*told_of, graph=nodes))
        with (tmp_path / "data").open("wb") as file:
            file.truncate(length * 4 * count)
    else:
        heads = [
            tensor(f"w{place}", (1000, 5000), raw=None) + varint(9 << 3 | 2) + varint(length * 4)
            for place in range(count)
        ]
        heads = [varint(5 << 3 | 2) + varint(len(head) + length * 4) + head for head in heads]
        size = len(nodes) + sum(map(len, heads)) + length * 4 * count
        with path.open("wb") as file:
            file.write(b"\x08\x08" + varint(7 << 3 | 2) + varint(size) + nodes)
            for head in heads:
                file.write(head)
                file.seek(length * 4, 1)
            file.write(part(8, b"\x10\x11"))
    done = subprocess.run([sys.executable, "-c", PROGRAM, path], capture_output=True, text=True, check=True, timeout=60)
    layers, seconds, kilobytes = done.stdout.split()
    assert (int(layers), float(seconds) < 2, int(kilobytes) < 300_000) == (count, True, True), done.stdout


def test_what_pytorch_exports_has_the_layers_of_the_module(tmp_path):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = torch.nn.Embedding(50, 24)
            self.conv = torch.nn.Conv1d(24, 32, 3, groups=2)
            self.blocks = torch.nn.ModuleList([torch.nn.Linear(32, 32, bias=place > 0) for place in range(2)])
            self.norm = torch.nn.LayerNorm(32)
            self.head = torch.nn.Linear(32, 10)

        def forward(self, ids):
            hidden = self.conv(self.embed(ids).transpose(1, 2)).transpose(1, 2)
            for block in self.blocks:
                hidden = block(hidden)
            return self.head(self.norm(hidden))

    net = Net().eval()
    path = tmp_path / "net.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, (torch.zeros(2, 9, dtype=torch.long),), path, opset_version=17, dynamo=False)
    layers, numbers, _ = read(path)
    state = net.state_dict()
    assert set(layers) == {name.removesuffix(".weight") for name in state if name.endswith(".weight")}
    for name, layer in layers.items():
        assert np.array_equal(numbers[layer.weight.name], state[f"{name}.weight"].numpy()), name
        assert (layer.bias is not None) == (f"{name}.bias" in state)
    assert layers["conv"].groups == 2


def test_names_tell_a_fourier_basis_and_a_recurrent_layer_that_was_put_together(tmp_path):
    arrays = {
        "stft.forward_basis_buffer": normal(20, 1, 16),
        "rnn.weight_ih": normal(16, 5),
        "rnn.weight_hh": normal(16, 4),
        "rnn.bias_ih": normal(16 + 4),
        "fc.weight": normal(5, 5),
    }
    nodes = [
        node("Conv", "x stft.forward_basis_buffer", "spectrum"),
        node("Unsqueeze", "rnn.weight_ih axes", "w"),
        node("Unsqueeze", "rnn.weight_hh axes", "r"),
        node("Unsqueeze", "rnn.bias_ih axes", "b"),
        node("LSTM", "spectrum w r b", "y", hidden_size=4),
        node("Gemm", "y fc.weight", "z", transB=1),
    ]
    path = saved(tmp_path / "net.onnx", nodes, {**arrays, "axes": np.array([0])})
    assert told(path) == {
        "fc": ("dense", (5, 5), 1, ""),
        "rnn.weight_ih": ("recurrent", (16, 5), 1, "rnn.bias_ih"),
        "rnn.weight_hh": ("recurrent", (16, 4), 1, ""),
    }
    assert [own.name for own in read(path)[2].buffers] == ["stft.forward_basis_buffer"]


@pytest.mark.parametrize("order", ["", " order"])
def test_packed_columns_in_an_order_of_their_own_are_listed(tmp_path, order):
    arrays = {
        "w_Q4": whole(8, 2, 16, dtype=np.uint8),
        "w_scales": np.abs(normal(16)),
        "zero": np.full((8, 1), 0x88, np.uint8),
        "order": np.arange(64, dtype=np.int32)[::-1] // 32,
        "fc": normal(8, 8),
    }
    product = node(
        "MatMulNBits", f"x w_Q4 w_scales zero{order}", "y", domain="com.microsoft", N=8, K=64, bits=4, block_size=32
    )
    opsets = (("", 21), ("com.microsoft", 1))
    path = saved(tmp_path / "net.onnx", [product, node("MatMul", "y fc", "z")], arrays, opsets=opsets)
    assert set(told(path)) == ({"fc"} if order else {"w", "fc"})
