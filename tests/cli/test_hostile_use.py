"""Names, options and signals that nobody means well with, given to the commands on scores, tables and exports."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from safetensors.numpy import save_file

import ww_core as ww
from ww_core.store.new_files import new_folder

LONG = "x" * 300


@pytest.fixture
def scored(ww_here):
    """The program, with four models in a series, two of which are the same weights, and scores on no dataset too."""
    drawn = np.random.default_rng(0)
    for name in ("one", "two", "three"):
        save_file({"w.weight": drawn.standard_normal((12, 20)).astype(np.float32)}, ww_here.folder / "net.safetensors")
        ww.analyze(ww_here.folder / "net.safetensors", store=ww_here.store, name=name)
    ww.analyze(ww_here.folder / "net.safetensors", store=ww_here.store, name="twin")
    with ww.open_store(ww_here.store) as store:
        store.add_to_series("family", ["one", "two", "three", "twin"])
        store.add_scores(
            [
                ww.Score(name, "error", dataset, value + at, "me", better="lower")
                for dataset, value in (("", 1.0), ("digits", 2.0))
                for at, name in enumerate(("one", "two", "three"))
            ]
        )
    return ww_here


def fails(result, code, *words):
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr, result.stderr


@pytest.mark.parametrize(
    "command", [["import", f"{LONG}.csv"], ["export", "-o", f"{LONG}.csv"], ["export", "-o", LONG]], ids=str
)
def test_a_name_that_is_too_long_for_a_file(scored, ww_program, command):
    assert scored.store == ww_program.store
    fails(ww_program(*command), 3, "error: ", LONG)


def test_scores_on_no_dataset_are_told_in_words(scored):
    fails(scored("leaderboard", "--metric", "log_norm", "--score", "error"), 2, "is reported on no dataset, digits: ")
    fails(scored("trend", "--metric", "log_norm", "--score", "error"), 2, "is reported on no dataset, digits: ")
    fails(scored("leaderboard", "--metric", "log_norm", "--dataset", "letters"), 2, "'letters': known: digits")


def test_one_group_of_all_models_is_by_nothing_else(scored):
    result = scored("trend", "--metric", "log_norm", "--score", "error", "--dataset", "digits", "--by", "none,series")
    fails(result, 2, "give none, or series and dataset")


@pytest.mark.parametrize("question", [["leaderboard"], ["trend"], ["trend", "--by", "none"]], ids=str)
def test_the_same_weights_under_two_names_are_told(scored, question):
    asked = [*question, "--metric", "log_norm", "--score", "error", "--dataset", "digits"]
    told = scored(*asked)
    assert told.returncode == 0, told.stderr
    assert "three@1, twin@1 are the same weights, and each is counted" in told.stderr
    assert "same weights" not in scored(*asked, "--without", "twin").stderr


def test_a_number_of_ten_thousand_digits(scored):
    (scored.folder / "scores.json").write_text(f'[{{"model": "one", "name": "error", "value": {"9" * 10_000}}}]')
    fails(scored("scores", "import", "scores.json"), 3, "scores.json", "a number has thousands of digits")


def test_a_folder_that_is_replaced_survives_an_interrupt(tmp_path, monkeypatch):
    target = tmp_path / "export"
    target.mkdir()
    (target / "manifest.json").write_text("what was there")
    renamed = type(target).rename

    def interrupted(self, other):
        if self.name == "new":
            raise KeyboardInterrupt
        return renamed(self, other)

    monkeypatch.setattr(type(target), "rename", interrupted)
    with pytest.raises(KeyboardInterrupt), new_folder(target, replace=True) as folder:
        (folder / "manifest.json").write_text("what comes")
    assert (target / "manifest.json").read_text() == "what was there"
    assert [own.name for own in tmp_path.iterdir()] == ["export"]


SLOW = """
import time
from pathlib import Path

import ww_core as ww

@ww.metric(version="1")
def slow(singular_values):
    "Takes its time."
    Path(__file__).with_suffix(".begun").touch()
    time.sleep(2)
    return singular_values[0]

@ww.hookimpl
def ww_register_metrics():
    return [slow]
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_request_to_terminate_is_one_sentence_and_code_143(scored):
    (scored.folder / "team.py").write_text(SLOW)
    command = ["analyze", "net.safetensors", "--name", "slow", "--metrics", "slow", "--plugin", "team.py"]
    program = subprocess.Popen(
        [sys.executable, "-m", "ww_core", *command, "--store", str(scored.store)],
        cwd=scored.folder,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 30
    while not (scored.folder / "team.begun").exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    program.send_signal(signal.SIGTERM)
    _, said = program.communicate(timeout=30)
    assert program.returncode == 143
    assert said.splitlines()[-1].startswith("interrupted: ")
    assert "Traceback" not in said


@pytest.fixture(scope="module")
def one_model(tmp_path_factory):
    """A store of one model."""
    path = tmp_path_factory.mktemp("stored") / "store.sqlite"
    with ww.open_store(path) as store:
        ww.analyze({"w.weight": np.eye(4)}, store=store, name="one", metrics=["stable_rank"])
        store.backup(path.with_name("copy.sqlite"))
    return path.with_name("copy.sqlite")


@pytest.fixture
def stored(one_model, ww_here):
    """The program, with a store of one model."""
    shutil.copyfile(one_model, ww_here.store)
    return ww_here


ADDRESSES = [
    "postgresql://me:hunter2@host/ww",
    "postgresql:/me:hunter2@host",
    "https:/host/x?sig=hunter2",
    "s3://key:hunter2@bucket/x.csv",
    "me:hunter2@host.csv",
]


def says_no_secret(done, code):
    assert done.returncode == code, done.stderr
    assert "hunter2" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["export -o", "export --metrics alpha -o", "db backup"])
def test_an_address_is_no_place_for_a_file(stored, command):
    for address in ADDRESSES:
        done = stored(*command.split(), address)
        says_no_secret(done, 2)
        said = ("this looks like an address, not like a file", "where none is expected")
        assert any(words in done.stderr for words in said)
    assert not [path for path in stored.folder.iterdir() if not path.name.startswith("store")]


@pytest.mark.parametrize("name", ["me:x@host.sqlite", "file:x.sqlite", "port=1.sqlite"])
def test_a_file_may_be_called_like_an_address_after_a_folder(stored, name):
    assert stored("db", "backup", f"./{name}").returncode == 0
    assert (stored.folder / name).exists()


@pytest.mark.parametrize(
    "command", ["show {}", "describe {}", "analyze {}", "compare-svd {}", "import {}", "diff {} one", "forget {}"]
)
def test_an_address_of_a_store_is_no_model_and_no_file(stored, command):
    for address in ADDRESSES[:2]:
        done = stored(*command.format(address).split())
        says_no_secret(done, 2)
        assert done.stderr.count("\n") == 1
        assert "an address stands among the arguments" in done.stderr


MISPLACED = [
    "check one --rules {}",
    "check one --rules={}",
    "analyze w.safetensors --profile {}",
    "analyze w.safetensors --executor {}",
    "analyze w.safetensors --loader {}",
    "analyze w.safetensors --metrics {}",
    "analyze w.safetensors --metrics=alpha,{}",
    "analyze w.safetensors --layers {}",
    "analyze w.safetensors --name {}",
    "analyze w.safetensors --memory {}",
    "analyze w.safetensors --param {}",
    "analyze w.safetensors --param alpha.floor={}",
    "--plugin {} show",
    "show one --metric {}",
    "rename one {}",
    "series add {} one",
    "db distrust {}",
    "scores add one --dataset {}",
]


@pytest.mark.parametrize("command", MISPLACED)
def test_an_address_that_was_put_in_the_wrong_place_is_not_repeated(stored, command):
    for address in [*ADDRESSES[:2], "host=h,password=hunter2", "postgresql://me:hunt,hunter2@host/ww"]:
        done = stored(*command.format(address).split())
        says_no_secret(done, 2)
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["{}", "db info {}", "show one {}", "show --scope {}", "check one --format {}"])
def test_wrong_usage_repeats_no_secret(stored, command):
    for address in ADDRESSES[:3]:
        says_no_secret(stored(*command.format(address).split()), 2)


def test_a_port_is_no_password(stored):
    source = "https://data.example:8080/tables/v2@main"
    done = stored("scores", "add", "one", "--name", "top1", "--value", "1", "--source", source)
    assert "an address stands" not in done.stderr


@pytest.mark.parametrize("command", ["export -o", "db backup"])
def test_the_folder_of_a_user_who_is_not_there(stored, command):
    for name in ("x.csv", "x"):
        done = stored(*command.split(), f"~nobody-of-this-name/{name}")
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
