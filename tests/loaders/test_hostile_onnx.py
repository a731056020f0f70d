"""Models of ONNX that lie: each is refused by one sentence, in little time and memory, or read as what it holds."""

from __future__ import annotations

import random
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hostile.onnx import BESIDE, LIES, OUTSIDE, beside
from naming import ByName
from onnx_files import external, model, node, saved, tensor
from protobuf_files import number, part

import ww_core as ww
from ww_core.sources.digests import tensors_of
from ww_plugins.loaders.onnx.loader import OnnxLoader

LOADER = ByName(OnnxLoader())


def opened(path):
    """Open a model and read all that is in it."""
    with LOADER.open(path) as checkpoint:
        for spec in tensors_of(checkpoint):
            with checkpoint.read(spec) as array:
                array.tobytes()
        for skipped in checkpoint.skipped:
            if skipped.readable:
                with checkpoint.read_bytes(skipped) as content:
                    content.tobytes()
        return checkpoint


@pytest.mark.parametrize("case", LIES)
def test_lies_are_refused_in_one_sentence(case, tmp_path):
    content, says = LIES[case]
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    begin = time.process_time()
    with pytest.raises(ww.SourceError, match=says) as caught:
        opened(path)
    assert time.process_time() - begin < 5
    assert "net.onnx" in str(caught.value)
    assert str(caught.value).isprintable()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("location", OUTSIDE)
def test_data_outside_of_the_folder_are_not_read(location, tmp_path):
    (tmp_path / "outside").write_bytes(bytes(24))
    (tmp_path / "model").mkdir()
    path = tmp_path / "model" / "net.onnx"
    path.write_bytes(model(external(location=location)))
    with pytest.raises(ww.CorruptFileError, match="no path inside of the model's folder"):
        opened(path)


@pytest.mark.parametrize("case", BESIDE)
def test_data_beside_the_model_are_checked(case, tmp_path):
    told, says = BESIDE[case]
    with pytest.raises(ww.SourceError, match=says) as caught:
        opened(beside(tmp_path, told))
    assert "bad.onnx" in str(caught.value)
    assert "'w'" in str(caught.value)


def test_data_may_lie_in_folders_within(tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "data").write_bytes(bytes(8) + np.arange(6, dtype="<f4").tobytes())
    path = tmp_path / "net.onnx"
    path.write_bytes(model(external(location="parts/data", offset=8)))
    with LOADER.open(path) as checkpoint, checkpoint.read(checkpoint.layers[0].weight) as array:
        assert array.ravel().tolist() == [0, 1, 2, 3, 4, 5]


def test_data_that_overlap_without_end_are_refused(tmp_path):
    (tmp_path / "data").write_bytes(bytes(1 << 20))
    length = (1 << 20) - 4000
    each = [external(f"w{at}", (length // 4,), location="data", offset=4 * at, length=length) for at in range(1000)]
    (tmp_path / "net.onnx").write_bytes(model(*each))
    with pytest.raises(ww.CorruptFileError, match="its tensors overlap"):
        opened(tmp_path / "net.onnx")


def test_odd_names_are_kept(tmp_path):
    names = ["a\x1b[2J", "../b", "c d", "/", "\u202e", "\\", "module.x", "a" * 1999]
    path = tmp_path / "net.onnx"
    path.write_bytes(model(*(tensor(name) for name in names)))
    assert {layer.weight.name for layer in opened(path).layers} == set(names)


ODD_GRAPHS = {
    "a permutation that is none": [("Transpose", "w", "t", {"perm": [0, 0]}), ("MatMul", "x t", "y", {})],
    "a permutation out of bounds": [("Transpose", "w", "t", {"perm": [0, 7]}), ("MatMul", "x t", "y", {})],
    "many groups": [("Conv", "x k", "y", {"group": 1 << 40})],
    "no groups": [("Conv", "x k", "y", {"group": 0})],
    "a kernel of two axes": [("Conv", "x w", "y", {})],
    "no inputs": [(op, "_", "y", {}) for op in ("Conv", "Gemm", "MatMul", "Gather", "LSTM", "BatchNormalization")],
    "scales of another count": [("DequantizeLinear", "q v", "t", {}), ("MatMul", "x t", "y", {})],
    "scales along no axis": [("DequantizeLinear", "q v", "t", {"axis": 9}), ("MatMul", "x t", "y", {})],
    "blocks of another count": [("DequantizeLinear", "q w", "t", {"block_size": 7}), ("MatMul", "x t", "y", {})],
    "a huge block": [("DequantizeLinear", "q w", "t", {"block_size": 1 << 62}), ("MatMul", "x t", "y", {})],
    "scales that are whole": [("DequantizeLinear", "q q", "t", {}), ("MatMul", "x t", "y", {})],
    "scales that are infinite": [("DequantizeLinear", "q inf", "t", {}), ("MatMul", "x t", "y", {})],
    "its own scale": [("DequantizeLinear", "w w", "t", {}), ("MatMul", "x t", "y", {})],
    "bits that fill no bytes": [
        ("MatMulNBits", "x q v", "y", {"domain": "com.microsoft", "N": 3, "K": 4, "block_size": 17}),
    ],
    "rounded by scales of another count": [
        ("QuantizeLinear", "w v", "q1", {}), ("DequantizeLinear", "q1 inf", "t", {}), ("MatMul", "x t", "y", {}),
    ],
    "rounded by an infinite scale along no axis": [
        ("QuantizeLinear", "w inf", "q1", {"axis": 9}), ("DequantizeLinear", "q1 v", "t", {}),
        ("MatMul", "x t", "y", {}),
    ],
    "rounded in blocks, to texts": [
        ("QuantizeLinear", "w w", "q1", {"block_size": 1 << 62, "output_dtype": 8, "precision": 99}),
        ("DequantizeLinear", "q1 w", "t", {"block_size": 1 << 62}), ("MatMul", "x t", "y", {}),
    ],
    "rounded by itself": [
        ("QuantizeLinear", "w w", "q1", {"block_size": 1, "precision": 99}),
        ("DequantizeLinear", "q1 w", "t", {"block_size": 1}), ("MatMul", "x t", "y", {}),
    ],
    "very many factors": [
        ("Cast", "q", "c", {"to": 1}), *[("Mul", "c inf", "c", {})] * 9, ("Sub", "c v", "c", {}),
        ("MatMul", "x c", "y", {}),
    ],
    "itself less itself": [
        ("Cast", "q", "c", {"to": 1}), ("Sub", "c c", "d", {}), ("Mul", "d d", "e", {}), ("MatMul", "x e", "y", {}),
    ],
    "a recurrent layer of other shapes": [("LSTM", "x k w", "y", {}), ("GRU", "x r r w", "z", {})],
    "an output that is an input": [("Identity", "w", "w", {}), ("MatMul", "x w", "w", {}), ("Add", "w v", "w", {})],
    "a table of whole numbers": [("Gather", "q x", "y", {}), ("DequantizeLinear", "y v", "z", {})],
    "whole numbers without a scale": [("MatMulInteger", "x q", "y", {}), ("ConvInteger", "x q", "z", {})],
}  # fmt: skip


@pytest.mark.parametrize("case", ODD_GRAPHS)
def test_graphs_that_make_no_sense_are_read_as_far_as_they_do(case, tmp_path):
    pytest.importorskip("onnx")
    arrays = {
        "w": np.ones((3, 4), "f4"), "k": np.ones((6, 1, 3), "f4"), "q": np.ones((3, 4), "i1"), "v": np.ones(7, "f4"),
        "r": np.ones((1, 6, 2), "f4"), "inf": np.float32(np.inf),
    }  # fmt: skip
    nodes = [node(op, inputs, outputs, **attributes) for op, inputs, outputs, attributes in ODD_GRAPHS[case]]
    checkpoint = opened(saved(tmp_path / "net.onnx", nodes, arrays))
    listed = [spec.name for spec in tensors_of(checkpoint)] + [skipped.name for skipped in checkpoint.skipped]
    assert sorted(listed) == sorted(arrays)


def test_quantized_weights_take_no_memory_before_they_are_read(tmp_path):
    pytest.importorskip("onnx")
    arrays = {name: np.ones((5000, 4000), "i1") for name in "abc"} | {"s": np.float32(1)}
    nodes = [node("DequantizeLinear", f"{name} s", f"{name}1") for name in "abc"]
    nodes += [node("MatMul", f"x {name}1", "y") for name in "abc"]
    path = saved(tmp_path / "net.onnx", nodes, arrays)
    tracemalloc.start()
    try:
        with LOADER.open(path) as checkpoint:
            assert [layer.name for layer in checkpoint.layers] == ["a", "b", "c"]
            assert [buffer.name for buffer in checkpoint.buffers] == ["s"]
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()


def test_a_file_whose_weights_become_much_more_than_it_holds_is_refused(tmp_path):
    """A hundred weights of two bits stand for the same bytes beside the model, each for others."""
    (tmp_path / "data.bin").write_bytes(bytes(1 << 20))
    count = 100
    weights = [external(f"w{n}", (1 << 16, 64), location="data.bin") for n in range(count)]
    typed = [each.replace(number(2, 1), number(2, 26), 1) for each in weights]
    scales = [tensor(f"s{n}", (), raw=np.float32(n + 1).tobytes()) for n in range(count)]
    nodes = b"".join(
        part(1, part(1, f"w{n}") + part(1, f"s{n}") + part(2, f"d{n}") + part(4, "DequantizeLinear"))
        + part(1, part(1, "x") + part(1, f"d{n}") + part(2, "y") + part(4, "MatMul"))
        for n in range(count)
    )
    (tmp_path / "net.onnx").write_bytes(model(*typed, *scales, graph=nodes))
    with pytest.raises(ww.CorruptFileError, match=r"net\.onnx: its tensors overlap"):
        LOADER.open(tmp_path / "net.onnx")


def packed_bomb() -> bytes:
    """Rows of bits that claim to be many numbers."""
    attributes = b"".join(
        part(5, part(1, name) + number(3, value))
        for name, value in {"N": 2**31 - 1, "K": 2**31 - 1, "bits": 4, "block_size": 16}.items()
    )
    product = (
        part(1, "x") + part(1, "w") + part(1, "s") + part(4, "MatMulNBits") + part(7, "com.microsoft") + attributes
    )
    scale = tensor("s")
    return model(tensor(code=2, raw=bytes(6)), scale, graph=part(1, product))


def test_weights_that_claim_to_be_larger_than_they_are_take_nothing(tmp_path):
    (tmp_path / "net.onnx").write_bytes(packed_bomb())
    assert [skipped.name for skipped in opened(tmp_path / "net.onnx").skipped] == ["w"]


def mutants(content: bytes, count: int, seed: int):
    chance = random.Random(seed)
    for _ in range(count):
        changed = bytearray(content)
        for _ in range(chance.choice([1, 1, 2, 5])):
            at = chance.randrange(len(changed))
            match chance.randrange(4):
                case 0:
                    changed[at] = chance.randrange(256)
                case 1:
                    changed[at] ^= 1 << chance.randrange(8)
                case 2:
                    del changed[at : at + chance.randrange(1, 9)]
                case _:
                    changed[at:at] = bytes(chance.choices([0, 1, 8, 0x0A, 0x80, 0xFF], k=chance.randrange(1, 9)))
        yield bytes(changed)


def small_model(path):
    arrays = {
        "fc.weight": np.ones((3, 4), "f4"), "fc.bias": np.ones(3, "f4"), "k": np.ones((2, 1, 3), "f4"),
        "q": np.ones((3, 4), "i1"), "s": np.ones(4, "f4"), "z": np.zeros(4, "i1"), "W": np.ones((2, 4, 3), "f4"),
        "R": np.ones((2, 4, 1), "f4"), "B": np.ones((2, 8), "f4"), "p": np.ones((4, 2, 8), "u1"),
        "ps": np.ones(8, "f4"), "pz": np.ones(4, "u1"),
    }  # fmt: skip
    nodes = [
        node("Gemm", "x fc.weight fc.bias", "a", transB=1),
        node("Conv", "a k", "b", group=2),
        node("DequantizeLinear", "q s z", "d", axis=1),
        node("Transpose", "d", "t", perm=[1, 0]),
        node("MatMul", "b t", "c"),
        node("LSTM", "c W R B", "e", direction="bidirectional", hidden_size=1),
        node("MatMulNBits", "e p ps pz", "f", domain="com.microsoft", N=4, K=32, bits=4, block_size=16),
    ]
    return saved(path, nodes, arrays)


def rounded_model(path):
    arrays = {
        "g": np.ones((3, 4), "u1"), "gz": np.ones((3, 1), "f4"), "gs": np.ones((3, 1), "f4"),
        "r": np.ones((3, 4), "f4"), "s": np.ones(4, "f4"), "z": np.zeros(4, "i1"), "t": np.ones(4, "f4"),
    }  # fmt: skip
    nodes = [
        node("Cast", "g", "g1", to=1),
        node("Sub", "g1 gz", "g2"),
        node("Mul", "g2 gs", "g3"),
        node("MatMul", "x g3", "h"),
        node("QuantizeLinear", "r s z", "r1"),
        node("DequantizeLinear", "r1 s z", "r2"),
        node("Mul", "r2 t", "r3"),
        node("MatMul", "h r3", "i"),
    ]
    return saved(path, nodes, arrays)


@pytest.mark.parametrize("write", [small_model, rounded_model])
def test_mutated_models_give_errors_of_ww_or_numbers(write, tmp_path):
    pytest.importorskip("onnx")
    path = write(tmp_path / "net.onnx")
    said = []
    for mutant in mutants(path.read_bytes(), 250, seed=5):
        path.write_bytes(mutant)
        assert 0 <= LOADER.probe(path) <= 1
        try:
            opened(path)
        except ww.SourceError as error:
            said.append(str(error))
    assert all("net.onnx" in message and message.isprintable() for message in said)
    assert 50 < len(said) < 240


def test_every_cut_is_refused(tmp_path):
    pytest.importorskip("onnx")
    path = small_model(tmp_path / "net.onnx")
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(ww.SourceError, match=r"net\.onnx"):
            opened(path)


PROGRAM = """
import sys, time
import numpy, ml_dtypes, ww_core as ww
from pathlib import Path
from ww_core.loading.files import FileSource
from ww_plugins.loaders.onnx.loader import OnnxLoader
begin = time.process_time()
try:
    OnnxLoader().open(FileSource(Path(sys.argv[1])))
except ww.SourceError:
    pass
seconds = time.process_time() - begin
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(seconds, status["VmHWM"].split()[0])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
@pytest.mark.parametrize("case", ["nodes", "values", "tensors", "numbers", "packed"])
def test_small_files_cost_little(case, tmp_path):
    content = {
        "nodes": lambda: model(tensor(), graph=part(1, b"") * 4_000_000),
        "values": lambda: model(tensor(), graph=part(1, part(1, "ab") * 2_000_000)),
        "tensors": lambda: model(*(tensor(f"{place:06}" + "x" * 90) for place in range(49_000))),
        "numbers": lambda: model(tensor(code=7, shape=(7_900_000,), raw=None, more=part(7, b"\1" * 7_900_000))),
        "packed": lambda: model(tensor(more=part(99, bytes(9_000_000)))),
    }[case]()
    (tmp_path / "net.onnx").write_bytes(content)
    _check_cost(tmp_path / "net.onnx")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_scales_that_are_a_hole_cost_little(tmp_path):
    """They are 400 million, and tell the rounding at opening; on disk they take nothing."""
    count = 400_000_000
    with (tmp_path / "data.bin").open("wb") as file:
        file.truncate(8 * count)
    weight = external("w", (8, count), location="data.bin", length=8 * count).replace(number(2, 1), number(2, 3), 1)
    scale = external("s", (count,), location="data.bin", length=4 * count)
    nodes = part(1, part(1, "w") + part(1, "s") + part(2, "d") + part(4, "DequantizeLinear"))
    nodes += part(1, part(1, "x") + part(1, "d") + part(2, "y") + part(4, "MatMul"))
    (tmp_path / "net.onnx").write_bytes(model(weight, scale, graph=nodes))
    _check_cost(tmp_path / "net.onnx")


def _check_cost(path):
    done = subprocess.run([sys.executable, "-c", PROGRAM, path], capture_output=True, text=True, check=True, timeout=60)
    seconds, kilobytes = map(float, done.stdout.split())
    assert (seconds < 5, kilobytes < 300_000) == (True, True), done.stdout
