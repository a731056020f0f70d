from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import ww_core as ww

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
DIGITS = EXAMPLES / "digits-cnn.safetensors"
SHAPES = {
    "conv1.weight": (32, 1, 3, 3),
    "conv1.bias": (32,),
    "conv2.weight": (64, 32, 3, 3),
    "conv2.bias": (64,),
    "fc.weight": (10, 256),
    "fc.bias": (10,),
}


def run(script, *arguments, status=0):
    command = [sys.executable, EXAMPLES / script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr


def test_the_trained_network_is_small_and_as_the_page_says():
    assert DIGITS.stat().st_size <= 300_000
    tensors = load_file(DIGITS)
    assert {name: array.shape for name, array in tensors.items()} == SHAPES
    assert {array.dtype for array in tensors.values()} == {np.dtype(np.float32)}
    assert all(np.isfinite(array).all() for array in tensors.values())
    with safe_open(DIGITS, framework="np") as file:
        reached = float(file.metadata()["test_accuracy"])
    assert reached >= 0.97
    page = (EXAMPLES / "README.md").read_text()
    assert f"{reached:.1%}".replace("%", " %") in page
    assert f"{sum(array.size for array in tensors.values()):,}".replace(",", " ") in page
    assert all(file.name in page for file in EXAMPLES.iterdir() if file.is_file() and file.name != "README.md")


def test_a_second_version_of_the_digits(tmp_path):
    second = tmp_path / "second.safetensors"
    printed = run("derive_version.py", DIGITS, second)
    assert "conv2  64x32x3x3  re-initialised" in printed
    assert "fc  10x256  pruned by 50%" in printed
    before, after = load_file(DIGITS), load_file(second)
    changed = {name for name in before if before[name].tobytes() != after[name].tobytes()}
    assert changed == {"conv2.weight", "fc.weight"}
    assert after["conv2.weight"].std() == pytest.approx(before["conv2.weight"].std(), rel=0.05)
    gone = after["fc.weight"] == 0
    assert gone.sum() == 1280
    assert np.array_equal(after["fc.weight"][~gone], before["fc.weight"][~gone])
    assert np.abs(before["fc.weight"][gone]).max() <= np.abs(before["fc.weight"][~gone]).min()
    run("derive_version.py", DIGITS, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == second.read_bytes()
    run("derive_version.py", DIGITS, tmp_path / "other", "--seed", 1)
    assert (tmp_path / "other").read_bytes() != second.read_bytes()


def test_a_second_version_of_a_bert_touches_three_weights_and_no_other_byte(tmp_path):
    rng = np.random.default_rng(0)
    parts = ["attention.self.query", "attention.output.dense", "intermediate.dense", "output.dense"]
    tensors = {f"bert.encoder.layer.{i}.{part}.weight": rng.normal(0, 0.02, (8, 8)) for i in range(6) for part in parts}
    tensors = {name: array.astype(ml_dtypes.bfloat16) for name, array in tensors.items()}
    tensors["bert.encoder.layer.4.output.dense.bias"] = np.ones(8, np.float32)
    tensors["steps"] = np.arange(3)
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    save_file(tensors, first, metadata={"format": "pt"})
    run("derive_version.py", first, second)
    before, after = first.read_bytes(), second.read_bytes()
    assert len(before) == len(after)
    after_tensors = load_file(second)
    changed = {name for name in tensors if tensors[name].tobytes() != after_tensors[name].tobytes()}
    assert changed == {
        "bert.encoder.layer.2.attention.self.query.weight",
        "bert.encoder.layer.3.intermediate.dense.weight",
        "bert.encoder.layer.4.output.dense.weight",
    }
    assert sum(a != b for a, b in zip(before, after, strict=True)) <= 3 * 128


def test_layers_are_named_by_glob(tmp_path):
    second = tmp_path / "second.safetensors"
    printed = run("derive_version.py", DIGITS, second, "conv*", "--prune", "conv1", "fc", "--fraction", 0.25)
    assert re.findall(r"^(\w+)  \S+  (.*)$", printed, re.MULTILINE) == [
        ("conv1", "re-initialised"),
        ("conv2", "re-initialised"),
        ("fc", "pruned by 25%"),
    ]
    run("derive_version.py", DIGITS, second, "conv2", "--prune")
    before, after = load_file(DIGITS), load_file(second)
    assert [name for name in before if not np.array_equal(before[name], after[name])] == ["conv2.weight"]


def test_what_cannot_be_derived_is_said(tmp_path):
    second = tmp_path / "second.safetensors"
    assert "there are: conv1 conv2 fc" in run("derive_version.py", DIGITS, second, "nothing", "--prune", status=2)
    assert "is the source" in run("derive_version.py", DIGITS, DIGITS, status=2)
    assert "is no file" in run("derive_version.py", tmp_path / "missing", second, status=2)
    assert "from 0 to 1" in run("derive_version.py", DIGITS, second, "--fraction", 2, status=2)
    (tmp_path / "bad").write_bytes(b"no weights")
    printed = run("derive_version.py", tmp_path / "bad", second, status=1)
    assert "not safetensors" in printed
    assert "Traceback" not in printed
    assert not second.exists()


@pytest.mark.slow
def test_training_learns_and_writes_the_network(tmp_path):
    pytest.importorskip("sklearn")
    out = tmp_path / "trained.safetensors"
    printed = run("train_digits_cnn.py", "--epochs", 3, "--out", out)
    assert float(re.search(r"test accuracy ([0-9.]+)", printed)[1]) > 0.9
    assert {name: array.shape for name, array in load_file(out).items()} == SHAPES


@pytest.mark.stress  # docs/how-to/follow-a-model.md runs it as well
def test_the_history_of_the_digits_tells_what_went_wrong(tmp_path):
    pytest.importorskip("sklearn")
    store = tmp_path / "digits.sqlite"
    printed = run("digits_history.py", "--store", store)
    accuracy = {name: float(told) for name, told in re.findall(r"^(\S+) +held-out accuracy ([0-9.]+)", printed, re.M)}
    assert list(accuracy) == [*(f"epoch-{number}" for number in range(1, 13)), "redrawn", "pruned", "hot"]
    assert accuracy["epoch-12"] > 0.95
    assert max(accuracy["redrawn"], accuracy["pruned"], accuracy["hot"]) < 0.4
    history = ww.history("digits", store=store)
    assert [version.version for version in history.versions] == list(accuracy)
    assert [version.step for version in history.versions] == list(range(1, 16))
    assert ("hot", "conv2") in {(own.version, own.layer) for own in ww.regressions("digits", store=store).regressions}
    assert ww.blame("digits@pruned", "conv2", store=store).version == "redrawn"
    assert ww.blame("digits@pruned", "fc", store=store).version == "pruned"
    difference = ww.diff("digits@epoch-12", "digits@redrawn", store=store)
    assert difference.counts == {"same": 2, "changed": 1, "added": 0, "removed": 0}


def test_gradients_are_those_of_the_loss():
    """Each gradient of the network against a difference quotient, in float64."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("train_digits_cnn", EXAMPLES / "train_digits_cnn.py")
    train = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(train)
    rng = np.random.default_rng(0)
    weights = {name: array.astype(np.float64) for name, array in train.initial_weights(rng).items()}
    images, labels = rng.random((3, 1, 8, 8)), np.array([1, 7, 1])
    gradients = {}
    output, backward = train.scores(images, weights, gradients)
    backward(train.loss_gradient(output, labels)[1])

    def loss():
        return train.loss_gradient(train.scores(images, weights, {})[0], labels)[0]

    for name, weight in weights.items():
        place = tuple(rng.integers(0, weight.shape))
        sizes = []
        for step in (1e-6, -2e-6):
            weight[place] += step
            sizes.append(loss())
        weight[place] += 1e-6
        assert gradients[name][place] == pytest.approx((sizes[0] - sizes[1]) / 2e-6, rel=1e-4, abs=1e-8), name
