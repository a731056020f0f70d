"""The commands of the page of figures, on numbers of the same form, since the papers' own are no part of ww."""

from __future__ import annotations

import shlex
from itertools import product

import numpy as np
import pytest

pytest.importorskip("matplotlib")
from matplotlib.figure import Figure
from safetensors.numpy import save_file

from docs import make_figures

PAGE = make_figures.PAGE.read_text(encoding="utf-8")
RANDOM = np.random.Generator(np.random.Philox(17))
MODELS = {
    "VGG": ("vgg11", "vgg19"),
    "ResNet": ("resnet18", "resnet152"),
    "DenseNet": ("densenet121", "densenet161"),
    "GPT2": ("gpt2 small", "gpt2 medium", "gpt2 large", "gpt2 xl"),
}


def random(*shape):
    return RANDOM.standard_normal(shape).astype(np.float32)


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    folder = tmp_path_factory.mktemp("given")
    rows = [
        f"{series},{model},{layer},{RANDOM.uniform(2, 7)},{RANDOM.uniform(1, 3)},{RANDOM.uniform(5, 9)},9"
        for series, models in MODELS.items()
        for model, layer, _ in product(models, range(1, 5), range(2))
    ]
    header = "series,model,layer_id,alpha,log_spectral_norm,log_alpha_norm,n_slices"
    (folder / "layers.csv.gz").write_text("\n".join([header, *rows]) + "\n")
    save_file({"layer2.0.conv1.weight": random(20, 15, 3, 3), "fc.weight": random(30, 20)}, folder / "net.safetensors")
    encoder = {f"encoder.layer.0.{part}.dense.weight": random(40, 20) for part in ("intermediate", "output")}
    save_file({"embeddings.word.weight": random(90, 20), **encoder}, folder / "minilm.safetensors")
    return folder


def test_the_commands_of_the_page_run(given, ww_here, tmp_path, monkeypatch):
    # The layout of a picture is what takes long; that pictures can be saved is tested where they are drawn.
    monkeypatch.setattr(Figure, "savefig", lambda _, file, **__: file.touch())
    for name, text in make_figures.files_of(PAGE).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    net, minilm = given / "net.safetensors", given / "minilm.safetensors"
    commands = make_figures.commands_of(PAGE)
    assert len(commands) == 14
    pictures = set()
    for command in commands:
        told = command.replace("$TRENDS/layers.csv.gz", f"{given}/layers.csv.gz").replace("$MINILM", str(minilm))
        arguments = [
            str(net)
            if part.startswith("$CHECKPOINTS")
            else str(tmp_path / part)
            if part.endswith((".png", ".toml"))
            else part
            for part in shlex.split(told)
        ]
        done = ww_here(*arguments[1:], "--store", tmp_path / "s.sqlite")
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        pictures |= {path.name for path in tmp_path.glob("*.png")}
    assert pictures == {path.name for path in make_figures.PICTURES.glob("*.png")}


def test_pictures_are_small():
    for picture in make_figures.PICTURES.glob("*.png"):
        assert picture.stat().st_size < make_figures.LARGEST
