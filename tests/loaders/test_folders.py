"""Folders: the one model in them is read, and of several a person chooses."""

from __future__ import annotations

import json

import numpy as np
import pytest
from onnx_files import node, saved
from safetensors.numpy import save_file

import ww_core as ww

WEIGHT = np.random.default_rng(1).standard_normal((8, 6)).astype(np.float32)


def onnx_model(path):
    saved(path, [node("MatMul", "x w")], {"w": WEIGHT})


def safetensors_model(path):
    save_file({"fc.weight": WEIGHT}, path)


def pytorch_model(path):
    torch = pytest.importorskip("torch")
    torch.save({"fc.weight": torch.ones(8, 6)}, path)


def numpy_model(path):
    np.savez(path, **{"fc.weight": WEIGHT})


WRITERS = {
    ".onnx": onnx_model,
    ".safetensors": safetensors_model,
    ".pt": pytorch_model,
    ".bin": pytorch_model,
    ".npz": numpy_model,
    ".npy": lambda path: path.write_text("text") if path.stem == "damaged" else np.save(path, WEIGHT),
    ".tflite": lambda path: path.write_bytes(bytes(4) + b"TFL3" + bytes(24)),
    ".txt": lambda path: path.write_text("read me"),
    ".json": lambda path: path.write_text("{}"),
}


@pytest.fixture
def folder(tmp_path):
    def made(*names):
        for name in names:
            path = tmp_path / "net" / name
            path.parent.mkdir(exist_ok=True)
            WRITERS[path.suffix](path)
        return tmp_path / "net"

    return made


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["a.npz"], "npz"),
        (["a.npz", "README.txt", "config.json"], "npz"),
        (["a.onnx", "README.txt"], "onnx"),
        (["a.onnx", "weights.bin"], "onnx"),
        (["model.safetensors", "pytorch_model.bin", "model.onnx", "config.json"], "safetensors"),
        (["pytorch_model.bin", "model.onnx"], "pytorch"),
        (["model.safetensors", "other.safetensors"], "safetensors"),
        (["net.safetensors", "optimizer.pt", "rng_state.pt"], "safetensors"),
        (["net.pt", "optimizer.pt", "scheduler.pt"], "pytorch"),
        (["optimizer.pt"], "pytorch"),
    ],
)
def test_the_one_model_of_a_folder_is_read(folder, names, wanted):
    assert ww.describe(folder(*names)).format == wanted


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a.npz", "b.npz"], "the folder holds several models; name one: a.npz, b.npz"),
        (["a.onnx", "b.onnx"], "name one: a.onnx, b.onnx"),
        (["a.onnx", "b.pt"], "name a file in it, or choose by --loader ww.loaders:pytorch or ww.loaders:onnx"),
        (["a.onnx", "b.safetensors"], "choose by --loader ww.loaders:safetensors or ww.loaders:onnx"),
    ],
)
def test_of_several_models_one_is_asked_for(folder, names, said):
    with pytest.raises((ww.SourceError, ww.UsageError)) as caught:
        ww.describe(folder(*names))
    assert said in str(caught.value)


def of_a_trainer(folder, *names):
    """Add what a training leaves beside its model."""
    import torch

    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin"):
        torch.save({"x": torch.ones(2)}, folder / name)
    return folder


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (
            ["model.safetensors", "pytorch_model.bin", "model.onnx", "config.json"],
            [
                (
                    "net: it holds models in several formats: safetensors is read, and not pytorch, onnx: "
                    "to read another, name its file, or give --loader pytorch"
                )
            ],
        ),
        (["model.safetensors", "README.txt"], []),
        (
            ["model.safetensors", "b.npz", "a.npz", "c.tflite", "d.npy", "damaged.npy", "config.json"],
            ["net: safetensors is read, and not a.npz, b.npz, c.tflite, d.npy: to read another, name its file"],
        ),
        (["a.pt", "a.npz"], ["net: pytorch is read, and not a.npz: to read another, name its file"]),
        (
            ["model.safetensors", "ema.safetensors", "a.safetensors"],
            ["net: model.safetensors is read, and not a.safetensors, ema.safetensors: to read another, name its file"],
        ),
        (
            ["pytorch_model.bin", "best.pt"],
            ["net: pytorch_model.bin is read, and not best.pt: to read another, name its file"],
        ),
    ],
)
def test_what_is_not_read_of_a_folder_is_said(folder, names, said, ww_here):
    net = of_a_trainer(folder(*names))
    assert [own.replace(str(net.parent) + "/", "") for own in ww.describe(net).warnings] == said
    shown = ww_here("analyze", net, "--metrics", "spectral_norm", "--json")
    assert json.loads(shown.stdout)["warnings"] == list(ww.describe(net).warnings)
    assert [line for line in shown.stderr.splitlines() if line.startswith("warning: ")] == [
        f"warning: {own}" for own in ww.describe(net).warnings
    ]


def test_who_chose_is_not_told_what_else_there_is(folder):
    net = folder("model.safetensors", "pytorch_model.bin")
    assert ww.describe(net, loader="pytorch").warnings == ()
    assert ww.describe(net / "model.safetensors").warnings == ()


def test_of_many_files_of_another_format_some_are_named(folder):
    (warning,) = ww.describe(folder("model.safetensors", *(f"{number}.npz" for number in range(12)))).warnings
    assert "and not 0.npz, 1.npz, 2.npz, 3.npz, 4.npz, 5.npz, 6.npz, 7.npz, ...: " in warning


def test_what_stands_beside_an_index_is_said_but_for_the_state_of_a_training(folder):
    torch = pytest.importorskip("torch")
    net = of_a_trainer(folder("README.txt"))
    for name in ("pytorch_model-00001-of-00001.bin", "best.pt"):
        torch.save({"fc.weight": torch.ones(8, 6)}, net / name)
    told = {"weight_map": {"fc.weight": "pytorch_model-00001-of-00001.bin"}}
    (net / "pytorch_model.bin.index.json").write_text(json.dumps(told))
    (warning,) = ww.describe(net).warnings
    assert warning.endswith(
        "pytorch_model.bin.index.json: the index does not name these files, which are not read: best.pt"
    )


def test_a_folder_without_a_model_says_what_it_holds(folder):
    with pytest.raises(ww.SourceError, match=r"no loader recognises this folder \(it holds a.txt, b.txt\)"):
        ww.describe(folder("b.txt", "a.txt"))


def test_a_link_out_of_a_folder_is_not_followed(folder, tmp_path):
    numpy_model(tmp_path / "elsewhere.npz")
    net = folder("a.txt")
    (net / "b.npz").symlink_to(tmp_path / "elsewhere.npz")
    with pytest.raises(ww.SourceError, match="no loader recognises this folder"):
        ww.describe(net)


def test_the_model_of_a_folder_has_the_folders_name(folder):
    report = ww.analyze(folder("a.npz"), metrics=["spectral_norm"])
    assert report.model == "net"
    assert report.layers == ww.analyze({"fc.weight": WEIGHT}, metrics=["spectral_norm"]).layers


def test_a_loader_that_is_named_finds_its_model_in_a_folder(folder):
    net = folder("a.npz", "b.onnx")
    assert ww.describe(net, loader="npz").format == "npz"
    assert ww.describe(net, loader="onnx").format == "onnx"


@pytest.mark.filterwarnings("ignore")
def test_another_process_finds_the_model_of_a_folder(folder):
    report = ww.analyze(folder("a.npz"), metrics=["spectral_norm"], executor="processes", jobs=1)
    assert report.failures == ()
    assert report.summary["spectral_norm"].count == 1
