"""``ww zoo train``, as a user runs it: the folder, going on after an end, processes, bad arguments."""

import csv
import gzip
import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest

import ww_core as ww
from ww_core.command import run_app
from ww_plugins.commands.zoo.command import app
from ww_plugins.zoos.training import train as training
from ww_plugins.zoos.training.parts import Parts

USAGE, PLACE, LOST, INTERRUPTED = 2, 3, 4, 130
PROGRAM = """
import sys
from ww_core.command import run_app
from ww_plugins.commands.zoo.command import app

if __name__ == "__main__":
    sys.exit(run_app(app, name="ww zoo"))
"""


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        code = run_app(app, ["train", *map(str, arguments)], name="ww zoo")
        output = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, code, output.out, output.err)

    return call


@pytest.fixture
def own_data(tmp_path):
    """Few images, so that training takes no time."""
    random = np.random.Generator(np.random.Philox(2))
    made = {}
    for part, count in (("train", 80), ("test", 20)):
        made[f"y_{part}"] = np.arange(count) % 3
        made[f"x_{part}"] = random.uniform(0, 0.5, (count, 15, 15)) + made[f"y_{part}"][:, None, None] / 4
    np.savez(tmp_path / "own.npz", **made)
    return "own.npz"


ARGUMENTS = ("--count", 14, "--epochs", 2, "--batch", 8, "--jobs", 1)


def fails(result, code, *texts):
    assert result.returncode == code, (result.returncode, result.stderr)
    assert "Traceback" not in result.stderr
    for text in texts:
        assert text in " ".join(result.stderr.split()), result.stderr
    return result


def content_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def metrics_of(folder):
    return list(csv.DictReader(gzip.decompress((folder / "metrics.csv.gz").read_bytes()).decode().splitlines()))


def test_the_entry_point_and_the_extra_are_declared():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["ww.commands"]["zoo"] == "ww_plugins.commands.zoo.command:app"
    assert project["optional-dependencies"]["zoo"] == ["torch>=2.4", "scikit-learn>=1.5"]


def test_a_zoo_of_own_data(run, own_data, tmp_path):
    result = run("--data", own_data, *ARGUMENTS, "--out", "zoo", "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == {
        "folder": "zoo",
        "name": "own",
        "networks": 14,
        "trained": 14,
        "parameters": 4800 + 17 * 3,
        "diverged": [],
    }
    folder = tmp_path / "zoo"
    assert sorted(content_of(folder)) == ["layout.csv", "metrics.csv.gz", "weights.npy", "zoo.json"]
    weights = np.load(folder / "weights.npy")
    assert weights.shape == (14 * 3, 4851)
    assert np.isfinite(weights).all()
    about = json.loads((folder / "zoo.json").read_text())
    assert (about["format"], about["name"], about["network"], about["layout"]) == (1, "own", "cnn", "keras")
    assert (about["count"], about["epochs"], about["checkpoints"], about["batch"]) == (14, 2, [0, 1, 2], 8)
    assert (about["seed"], about["seeds"], about["diverged"]) == (42, "one", [])
    assert about["data"]["train"] == 80
    assert set(about["made_by"]) == {"ww", "python", "numpy", "torch"}
    assert {"learning_rate", "optimizer", "dropout"} <= set(about["ranges"])
    rows = metrics_of(folder)
    assert [row["modeldir"] for row in rows] == [f"{number:05d}" for number in range(14) for _ in range(3)]
    assert {row["config.random_seed"] for row in rows} == {"42"}
    assert {row["config.dataset"] for row in rows} == {"own"}
    assert all(0 <= float(row["test_accuracy"]) <= 1 for row in rows)


def test_the_same_command_again_trains_nothing_and_changes_nothing(run, own_data, tmp_path):
    for trained in (14, 0):
        result = run("--data", own_data, *ARGUMENTS, "--out", "zoo")
        assert result.returncode == 0
        assert result.stdout == f"own: 14 networks of 4851 parameters in zoo, {trained} trained now\n"
        before = content_of(tmp_path / "zoo")
    assert content_of(tmp_path / "zoo") == before
    note = tmp_path / "zoo/zoo.json"
    note.write_text(note.read_text().replace('"diverged": []', '"diverged": [3]'))
    fails(run("--data", own_data, *ARGUMENTS, "--out", "zoo"), PLACE, "does not list the networks that diverged")


def test_an_interrupted_training_goes_on_and_gives_the_same_bytes(run, own_data, tmp_path, monkeypatch):
    assert run("--data", own_data, *ARGUMENTS, "--out", "whole").returncode == 0
    train, left = training.train_stack, 3

    def interrupted(*arguments, **named):
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        return train(*arguments, **named)

    monkeypatch.setattr(training, "train_stack", interrupted)
    result = fails(run("--data", own_data, *ARGUMENTS, "--out", "zoo"), INTERRUPTED, "of 14 networks are finished")
    assert "the same command trains the others" in result.stderr
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    parts = sorted((tmp_path / "zoo/parts").glob("*.part"))
    assert len(parts) == 3
    parts[0].write_bytes(parts[0].read_bytes()[:-1] + b"?")  # damaged: it is trained again
    parts[1].write_bytes(b"")
    (tmp_path / "zoo/parts/00007.part.1.unfinished").write_bytes(b"half")
    result = run("--data", own_data, *ARGUMENTS, "--out", "zoo", "--json")
    assert result.returncode == 0
    assert json.loads(result.stdout)["trained"] < 14
    assert content_of(tmp_path / "zoo") == content_of(tmp_path / "whole")


def test_other_arguments_on_a_folder_that_was_begun_are_refused(run, own_data, tmp_path, monkeypatch):
    def ended(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(training, "train_stack", ended)
        run("--data", own_data, *ARGUMENTS, "--out", "zoo")
    for arguments, text in (
        (("--seed", 1), "seed 42, and 1 is asked"),
        (("--fresh-seeds",), 'seeds "one", and "fresh"'),
        (("--network", "mlp"), 'network "cnn", and "mlp"'),
        (("--name", "x"), 'name "own", and "x"'),
        (("--checkpoints", "1"), "checkpoints [0, 1, 2], and [1, 2]"),
    ):
        fails(run("--data", own_data, *ARGUMENTS, *arguments, "--out", "zoo"), USAGE, text, "name a new folder")
    arrays = dict(np.load(own_data))
    np.savez(own_data, **(arrays | {"x_test": arrays["x_test"] / 2}))
    fails(run("--data", own_data, *ARGUMENTS, "--out", "zoo"), USAGE, "is a zoo with data")


def test_a_folder_of_other_files_is_left_alone(run, own_data, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter.txt").write_text("dear")
    fails(run("--data", own_data, *ARGUMENTS, "--out", "mine"), USAGE, "holds other files")
    with pytest.raises(ww.OutputError, match="cannot be written"):
        Parts(tmp_path / own_data).begin({})
    (tmp_path / "zoo").mkdir()
    (tmp_path / "zoo/zoo.json").write_text('{"format": 1')
    fails(run("--data", own_data, *ARGUMENTS, "--out", "zoo"), PLACE, "zoo.json is no JSON")


def test_networks_that_diverge_are_listed_and_left_out(run, own_data, tmp_path, monkeypatch):
    train = training.train_stack

    def diverging(network, images, chosen, schedule):
        stack = train(network, images, chosen, schedule)
        stack.diverged[0] = 2
        return stack

    monkeypatch.setattr(training, "train_stack", diverging)
    result = run("--data", own_data, *ARGUMENTS, "--out", "zoo")
    assert result.returncode == 0
    about = json.loads((tmp_path / "zoo/zoo.json").read_text())
    numbers = [own["network"] for own in about["diverged"]]
    assert numbers == sorted(numbers)
    assert {own["epoch"] for own in about["diverged"]} == {2}
    assert f"network {numbers[0]} diverged in epoch 2 and is left out" in result.stdout
    rest = {f"{number:05d}" for number in set(range(14)) - set(numbers)}
    assert {row["modeldir"] for row in metrics_of(tmp_path / "zoo")} == rest
    assert len(np.load(tmp_path / "zoo/weights.npy")) == 3 * len(rest)


def test_an_mlp_with_fresh_seeds_and_chosen_checkpoints(run, own_data, tmp_path):
    arguments = (*ARGUMENTS, "--network", "mlp", "--width", 8, "--fresh-seeds", "--checkpoints", "1", "--name", "small")
    assert run("--data", own_data, *arguments, "--out", "zoo").returncode == 0
    about = json.loads((tmp_path / "zoo/zoo.json").read_text())
    assert (about["network"], about["width"], about["seeds"], about["name"]) == ("mlp", 8, "fresh", "small")
    rows = metrics_of(tmp_path / "zoo")
    assert [row["step"] for row in rows[:2]] == ["1", "2"]
    assert len({row["config.random_seed"] for row in rows}) == 14
    assert np.load(tmp_path / "zoo/weights.npy").shape == (28, 226 * 8 + 2 * 9 * 8 + 9 * 3)


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        (("--data", "digit"), ("unknown image set 'digit'", "did you mean digits?")),
        (("--batch", 9), ("--batch 9", "10% of the images, which are 8")),
        (("--width", 8), ("--width is for --network mlp",)),
        (("--network", "mlp", "--width", 9), ("the widths are 8, 16, 32, 64",)),
        (("--checkpoints", "0,3"), ("--checkpoints 3", "to 2")),
        (("--checkpoints", "0,x"), ("'x' is no epoch",)),
        (("--name", "a/b"), ("cannot name a zoo",)),
        (("--device", "tpu"), ("cpu, cuda or cuda:N",)),
        (("--device", "cuda:99"), ("no such device",)),
        (("--count", 2_000_000), ("1 to 1000000 networks",)),
    ],
)
def test_wrong_arguments(run, own_data, tmp_path, arguments, texts):
    fails(run("--data", own_data, *ARGUMENTS, "--out", "zoo", *arguments), USAGE, *texts)
    assert not (tmp_path / "zoo").exists()


def test_images_that_are_too_small_for_a_cnn(run, own_data):
    arrays = dict(np.load(own_data))
    np.savez(own_data, **(arrays | {"x_train": arrays["x_train"][:, :9], "x_test": arrays["x_test"][:, :9]}))
    fails(run("--data", own_data, *ARGUMENTS, "--out", "zoo"), USAGE, "9 x 15 are too small", "--network mlp")
    assert run("--data", own_data, *ARGUMENTS, "--network", "mlp", "--out", "zoo").returncode == 0


@pytest.mark.stress
def test_two_processes_and_kill_9_give_the_same_bytes(own_data, tmp_path):
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    command = [sys.executable, script, "train", "--data", "digits", "--count", "48", "--epochs", "6", "--out"]

    def trained(name, *options):
        return subprocess.run([*command, name, *options], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert trained("one", "--jobs", "1").returncode == 0
    killed = subprocess.Popen([*command, "two", "--jobs", "2"], cwd=tmp_path)
    while killed.poll() is None and len(list((tmp_path / "two").glob("parts/*.part"))) < 4:
        time.sleep(0.05)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "two/zoo.json").exists()
    interrupted = subprocess.Popen([*command, "two", "--jobs", "2"], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    while interrupted.poll() is None and len(list((tmp_path / "two").glob("parts/*.part"))) < 8:
        time.sleep(0.05)
    interrupted.send_signal(signal.SIGINT)
    _, messages = interrupted.communicate()
    assert interrupted.returncode == INTERRUPTED, messages
    assert "of 48 networks are finished" in messages
    assert trained("two", "--jobs", "2").returncode == 0
    assert content_of(tmp_path / "two") == content_of(tmp_path / "one")
