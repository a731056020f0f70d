"""Models that people ship, read as they are: `make acceptance` fetches them by the names of their packages."""

from __future__ import annotations

import zipfile
from collections import Counter
from pathlib import Path

import pytest

import ww_core as ww

SHIPPED = Path(__file__).parents[2] / ".cache" / "shipped"

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.skipif(not SHIPPED.exists(), reason="`make acceptance` fetches the files"),
]


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """The folder with what the packages hold."""
    folder = tmp_path_factory.mktemp("shipped")
    for wheel in SHIPPED.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
    return folder


def kinds_of(path):
    return Counter(layer.kind for layer in ww.describe(path).layers)


def spectral_norm(path, layer, **options):
    (row,) = ww.analyze(path, layers=[layer], metrics=["spectral_norm"], **options).layers
    return row.metrics["spectral_norm"].number


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_spliceai(shipped, number):
    path = shipped / "spliceai" / "models" / f"spliceai{number}.h5"
    assert kinds_of(path)["conv1d"] == 39
    if number == 1:
        assert spectral_norm(path, "conv1d_1") == pytest.approx(3.295305, abs=5e-7)


def test_silero_vad_in_torchscript(shipped):
    path = shipped / "silero_vad" / "data" / "silero_vad.jit"
    kinds = kinds_of(path)
    assert (kinds["conv1d"], kinds["recurrent"]) == (10, 4)
    assert spectral_norm(path, "_model.encoder.0.reparam_conv") == pytest.approx(42.978187, abs=5e-7)


def test_silero_vad_in_safetensors(shipped):
    kinds = kinds_of(shipped / "silero_vad" / "data" / "silero_vad_16k.safetensors")
    assert (kinds["conv1d"], kinds["recurrent"]) == (6, 2)


@pytest.mark.parametrize("name", ["silero_vad", "silero_vad_half", "silero_vad_16k_op15", "silero_vad_16k_sequence"])
def test_silero_vad_in_onnx(shipped, name):
    path = shipped / "silero_vad" / "data" / f"{name}.onnx"
    networks = 2 if name == "silero_vad" else 1  # of two rates, each in a branch of an If
    kinds = kinds_of(path)
    assert (kinds["conv1d"], kinds["recurrent"]) == (5 * networks, 2 * networks)
    if name != "silero_vad_half":
        report = ww.analyze(path, metrics=["spectral_norm"], layers=["*encoder.0*"])
        norms = [row.metrics["spectral_norm"].number for row in report.layers]
        assert any(own == pytest.approx(42.978187, abs=5e-6) for own in norms)


def test_rapidocr(shipped):
    kinds = kinds_of(shipped / "rapidocr_onnxruntime" / "models" / "ch_PP-OCRv4_rec_infer.onnx")
    assert (kinds["conv2d"], kinds["dense"]) == (38, 9)


@pytest.mark.parametrize("suffix", ["onnx", "tflite"])
def test_basic_pitch(shipped, suffix):
    path = shipped / "basic_pitch" / "saved_models" / "icassp_2022" / f"nmp.{suffix}"
    assert kinds_of(path)["conv2d"] == 9


def test_basic_pitch_as_a_saved_model(shipped):
    assert kinds_of(shipped / "basic_pitch" / "saved_models" / "icassp_2022" / "nmp")["conv2d"] == 6


def test_what_tflite_and_onnx_hold_of_basic_pitch_are_the_same_kernels(shipped):
    folder = shipped / "basic_pitch" / "saved_models" / "icassp_2022"
    norms = []
    for suffix in ("onnx", "tflite"):
        report = ww.analyze(folder / f"nmp.{suffix}", metrics=["spectral_norm"])
        norms.append(sorted(row.metrics["spectral_norm"].number for row in report.layers if row.kind == "conv2d"))
    assert norms[0] == pytest.approx(norms[1], rel=1e-5)
