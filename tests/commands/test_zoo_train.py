"""``ww zoo train``, as a user runs it: the folder, going on after an end, processes, bad arguments."""

import csv
import gzip
import json
import os
import resource
import signal
import subprocess
import sys
import time
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import ww_core as ww
from ww_core.command import run_app
from ww_plugins.commands.zoo.command import app
from ww_plugins.zoos.training import hyperparameters, request
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
def run(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        code = run_app(app, ["train", *map(str, arguments)], name="ww zoo")
        output = capfd.readouterr()
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
    fails(run("--data", own_data, *ARGUMENTS, "--out", "zoo"), PLACE, "networks that diverged")


def without(name):
    return lambda folder: (folder / name).unlink()


def cut(name):
    def spoil(folder):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])

    return spoil


@pytest.mark.parametrize(
    "spoil",
    [
        without("weights.npy"),
        without("metrics.csv.gz"),
        without("layout.csv"),
        cut("weights.npy"),
        cut("layout.csv"),
        cut("metrics.csv.gz"),
    ],
)
def test_a_finished_folder_of_which_a_file_is_gone_is_trained_again(run, own_data, tmp_path, spoil):
    arguments = ("--data", own_data, "--count", 2, "--epochs", 1, "--batch", 8, "--jobs", 1, "--out", "zoo")
    assert run(*arguments).returncode == 0
    before = content_of(tmp_path / "zoo")
    spoil(tmp_path / "zoo")
    result = run(*arguments)
    assert result.returncode == 0, result.stderr
    assert "2 trained now" in result.stdout
    assert content_of(tmp_path / "zoo") == before


def test_one_training_at_a_time_in_a_folder(run, own_data, tmp_path):
    arguments = ("--data", own_data, "--count", 2, "--epochs", 1, "--batch", 8, "--jobs", 1, "--out", "zoo")
    with Parts(tmp_path / "zoo").alone():
        fails(run(*arguments), PLACE, "zoo: another training runs in this folder", "wait for its end")
    assert run(*arguments).returncode == 0
    with Parts(tmp_path / "zoo").alone():
        fails(run(*arguments), PLACE, "another training runs in this folder")
    assert run(*arguments).returncode == 0


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
        (("--seed", 1), "seed 42, not 1"),
        (("--fresh-seeds",), 'seeds "one", not "fresh"'),
        (("--network", "mlp"), 'network "cnn", not "mlp"'),
        (("--name", "x"), 'name "own", not "x"'),
        (("--checkpoints", "1"), "checkpoints [0, 1, 2], not [1, 2]"),
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
    fails(run("--data", own_data, *ARGUMENTS, "--out", "zoo"), PLACE, "zoo.json is not JSON")


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
        (("--name", "a/b"), ("name of a zoo",)),
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


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        (("--count", 0), ("--count",)),
        (("--count", -1), ("--count",)),
        (("--count", "1e9"), ("--count",)),
        (("--count", 10**9), ("1 to 1000000 networks",)),
        (("--count", 10**40), ("1 to 1000000 networks",)),
        (("--epochs", 0), ("--epochs",)),
        (("--epochs", -3), ("--epochs",)),
        (("--checkpoints", "3"), ("--checkpoints 3", "0 (before the training) to 2")),
        (("--checkpoints", "-1"), ("'-1' is no epoch",)),
        (("--checkpoints", "1e0"), ("'1e0' is no epoch",)),
        (("--checkpoints", "99999999999999999999"), ("is no epoch",)),
        (("--checkpoints", ""), ("--checkpoints",)),
        (("--width", 16), ("--width is for --network mlp",)),
        (("--batch", 0), ("--batch",)),
        (("--seed", -1), ("--seed",)),
        (("--seed", 2**63), ("63 bits",)),
        (("--network", "rnn"), ("--network",)),
        (("--device", "cpu:1"), ("cpu, cuda or cuda:N",)),
        (("--device", "cuda:-1"), ("cpu, cuda or cuda:N",)),
        (("--name", ""), ("--name",)),
        (("--name", " "), ("name of a zoo",)),
        (("--name", ".."), ("name of a zoo",)),
        (("--name", "a@b"), ("name of a zoo",)),
        (("--name", "a\\b"), ("name of a zoo",)),
        (("--name", "a\nb"), ("name of a zoo",)),
        (("--name", "a" * 101), ("name of a zoo",)),
    ],
)
def test_numbers_and_names_that_cannot_be(run, own_data, tmp_path, arguments, texts):
    fails(run("--data", own_data, *ARGUMENTS, "--out", "zoo", *arguments), USAGE, *texts)
    assert not (tmp_path / "zoo").exists()


@pytest.mark.parametrize(
    ("spoil", "code", "text"),
    [
        (lambda own: own | {"x_train": own["x_train"].astype(object)}, PLACE, "images and labels are numbers"),
        (lambda own: own | {"x_train": own["x_train"] * np.nan}, PLACE, "pixels go from nan"),
        (lambda own: own | {"x_train": own["x_train"] * 1e30}, PLACE, "pixels go from"),
        (lambda own: own | {"y_test": own["y_test"] - 1}, PLACE, "y_test has the label -1"),
        (lambda own: own | {name: own[name] * 0 for name in ("y_train", "y_test")}, PLACE, "it has one class"),
        (lambda _: {}, PLACE, "no array x_train is in it"),
        (lambda own: {name: values[:9] for name, values in own.items()}, USAGE, "which are 0"),
        (lambda own: {name: values[:0] for name, values in own.items()}, PLACE, "there are no images"),
        (
            lambda own: own | {name: own[name][:, :10, :10] for name in ("x_train", "x_test")},
            USAGE,
            "images of 10 x 10 are too small for a cnn",
        ),
    ],
)
def test_wrong_images(run, own_data, tmp_path, spoil, code, text):
    np.savez(own_data, **spoil(dict(np.load(own_data))))
    fails(run("--data", own_data, *ARGUMENTS, "--out", "zoo"), code, text)
    assert not (tmp_path / "zoo").exists()


def test_colours_are_averaged(run, own_data, tmp_path):
    arrays = dict(np.load(own_data))
    arrays |= {name: np.stack([own, own / 2, own / 4], 3) for name, own in arrays.items() if name[0] == "x"}
    np.savez(own_data, **arrays)
    assert run("--data", own_data, *ARGUMENTS, "--count", 1, "--out", "zoo").returncode == 0
    assert json.loads((tmp_path / "zoo/zoo.json").read_text())["data"]["image"] == [15, 15]


def test_a_zoo_of_one_network_is_the_first_of_any(run, own_data, tmp_path):
    for count in (1, 14):
        assert run("--data", own_data, *ARGUMENTS, "--count", count, "--out", f"zoo{count}").returncode == 0
    one, many = (np.load(tmp_path / f"zoo{count}/weights.npy") for count in (1, 14))
    assert one.shape == (3, 4851)
    np.testing.assert_allclose(many[:3], one, rtol=1e-3, atol=1e-5)  # beside others, products are rounded differently
    first = metrics_of(tmp_path / "zoo14")[0]
    assert {name: cell for name, cell in metrics_of(tmp_path / "zoo1")[0].items() if name.startswith("config.")} == {
        name: cell for name, cell in first.items() if name.startswith("config.")
    }


def test_where_all_networks_diverge_there_is_no_zoo(run, own_data, tmp_path, monkeypatch):
    draw = hyperparameters.drawn

    def wild(*arguments, **named):
        return replace(draw(*arguments, **named), optimizer="sgd", learning_rate=1e30, dropout=0.0)

    monkeypatch.setattr(request, "drawn", wild)
    for _ in range(2):  # nor does the same command make one
        fails(run("--data", own_data, *ARGUMENTS, "--out", "zoo"), LOST, "all 14 networks diverged", "another --seed")
    assert [path.name for path in (tmp_path / "zoo").iterdir()] == ["parts"]


@pytest.mark.parametrize("package", ["torch", "sklearn.datasets"])
def test_without_the_extra(run, own_data, tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    name, data = {"torch": ("torch", own_data), "sklearn.datasets": ("scikit-learn", "digits")}[package]
    result = run("--data", data, *ARGUMENTS, "--out", "zoo")
    fails(result, PLACE, f"error: {name} is not installed: pip install 'ww-core[zoo]'")
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "zoo").exists()


def test_places_that_cannot_be_written(run, own_data, tmp_path):
    (tmp_path / "file").write_text("mine")
    for out in ("file", "file/zoo", "/proc/zoo", "z" * 300):
        result = fails(run("--data", own_data, *ARGUMENTS, "--out", out), PLACE, "cannot be written")
        assert len(result.stderr.splitlines()) == 1
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_of_an_other_program_is_left_alone(run, own_data, tmp_path):
    for name, content in (("zoo.json", "[1]"), ("zoo.json", "x"), ("parts/asked.json", "null"), ("parts/mine", "")):
        folder = tmp_path / f"foreign{len(list(tmp_path.iterdir()))}"
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(content)
        result = run("--data", own_data, *ARGUMENTS, "--out", folder)
        fails(result, USAGE if name == "parts/mine" else PLACE)
        assert content_of(folder) == {name: content.encode()}


@pytest.mark.parametrize("limit", [2_000, 100_000, 300_000])
def test_a_full_disk_is_named_and_the_training_goes_on(run, own_data, tmp_path, limit):
    """At a part, and at the file of all weights; a limit of the size of files stands for the disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        result = run("--data", own_data, *ARGUMENTS, "--out", "zoo")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    fails(result, PLACE, "zoo", "cannot be written: File too large")
    assert not list((tmp_path / "zoo").rglob("*.unfinished"))
    for name in ("zoo", "whole"):
        assert run("--data", own_data, *ARGUMENTS, "--out", name).returncode == 0
    assert content_of(tmp_path / "zoo") == content_of(tmp_path / "whole")


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


@pytest.mark.stress
def test_a_killed_process_is_told_and_the_same_command_goes_on(tmp_path):
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    command = [sys.executable, script, "train", "--data", "textures", "--count", "36", "--epochs", "6", "--out"]
    main = subprocess.Popen([*command, "zoo", "--jobs", "2"], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    while main.poll() is None and not list((tmp_path / "zoo").glob("parts/*.part")):
        time.sleep(0.05)
    children = [path.read_text().split() for path in Path(f"/proc/{main.pid}/task").glob("*/children")]
    workers = [
        int(pid) for pids in children for pid in pids if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    os.kill(workers[0], signal.SIGKILL)
    _, messages = main.communicate()
    assert main.returncode == LOST, messages
    assert "Traceback" not in messages
    sentences = [line for line in messages.splitlines() if line.startswith("error: ")]
    assert len(sentences) == 1
    assert "a process ended too early" in sentences[0]
    assert "repeat the command" in sentences[0]
    for name in ("zoo", "whole"):
        again = subprocess.run(
            [*command, name, "--jobs", "1"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert again.returncode == 0, again.stderr
    assert " 36 trained now" in again.stdout
    assert content_of(tmp_path / "zoo") == content_of(tmp_path / "whole")
