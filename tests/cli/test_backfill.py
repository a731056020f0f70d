"""``ww backfill``, as a user runs it."""

import json
import os
import shlex
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

from ww_core.store.store import open_store

DONE, USAGE, PLACE, LOST = 0, 2, 3, 4
SOURCE, VERSIONS = "my net's.safetensors", ("1", "2", "3")

PLUGIN = '''
import os
import signal
from pathlib import Path

import ww_core as ww


@ww.metric(version="1", better="lower")
def nuclear(singular_values):
    """Sum of the singular values."""
    print("computing")
    if Path("die").exists() and len(list(Path("seen").iterdir())) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    Path("seen", str(singular_values[0])).touch()
    return singular_values.sum()


@ww.metric(version="1")
def per_alpha(nuclear, alpha):
    """Of a new value and a stored one."""
    return nuclear / alpha


@ww.metric(version="1", scope="model")
def all_nuclear(nuclear):
    """Of the whole model."""
    return nuclear.sum()
'''
HEAVY = '''

@ww.metric(version="1", scope="layer")
def peak(weight):
    """Needs the weights."""
    return weight.max()
'''
MOODY = '''

@ww.metric(version="1")
def moody(n_rows):
    """Fails on convolutions."""
    if n_rows == 16:
        raise ValueError("not this one")
    return n_rows
'''


def write_plugin(folder, *more):
    names = ["nuclear", "per_alpha", "all_nuclear", *(text.split("def ")[1].split("(")[0] for text in more)]
    ending = f"\n\n@ww.hookimpl\ndef ww_register_metrics():\n    return [{', '.join(names)}]\n"
    (folder / "late plugin.py").write_text(PLUGIN + "".join(more) + ending)
    (folder / "seen").mkdir(exist_ok=True)
    return "--plugin", "late plugin.py"


def ends(result, code):
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    return result.stdout


def analyze_versions(program, weights, plugin=(), store="store.sqlite"):
    """Analyse three versions, under a name that needs quotes, from files that are gone afterwards."""
    for version in VERSIONS:
        save_file(version_of(weights, version), program.folder / SOURCE)
        ends(program(*plugin, "analyze", SOURCE, "--version", version, "--store", store), DONE)
        (program.folder / SOURCE).unlink()


def version_of(weights, version):
    first = weights["first.weight"]
    for _ in range(VERSIONS.index(version)):
        first = first * np.float32(1.5)
    return weights | {"first.weight": first}


@pytest.fixture
def stored(ww_here, weights):
    """The program, with a store of three versions."""
    analyze_versions(ww_here, weights)
    return ww_here


def shown(program, version, store="store.sqlite"):
    return json.loads(ends(program("show", f"my net's@{version}", "--json", "--store", store), DONE))


def test_new_metrics_are_filled_in_without_a_file(stored, weights, tmp_path):
    plugin = write_plugin(tmp_path)
    result = stored(*plugin, "backfill")
    assert ends(result, DONE) == "13 values filled in, for 3 of 3 versions\n"
    assert "computing" in result.stderr
    assert ends(stored(*plugin, "backfill"), DONE) == "everything is up to date, for 3 versions\n"
    assert ends(stored("db", "check"), DONE).startswith("sound")
    analyze_versions(stored, weights, plugin, "fresh.sqlite")
    for version in VERSIONS:
        filled, fresh = shown(stored, version), shown(stored, version, "fresh.sqlite")
        assert filled["layers"][0]["metrics"]["nuclear"] > 0
        for key in ("version", "digest", "layers", "layer_metrics", "model_metrics", "summary", "coverage"):
            assert filled[key] == fresh[key]


def test_the_command_that_is_printed_computes_the_rest(stored, weights, tmp_path):
    plugin = write_plugin(tmp_path, HEAVY)
    lines = ends(stored(*plugin, "backfill"), DONE).splitlines()
    assert lines[:2] == ["13 values filled in, for 3 of 3 versions", "the rest needs the weights:"]
    assert len(lines) == 5
    assert all(line.endswith("  # peak (4 layers)") for line in lines[2:])
    assert shlex.split(lines[2], comments=True) == [
        "ww", "--plugin", str(tmp_path / "late plugin.py"), "analyze", SOURCE,
        "--name", "my net's", "--version", "1",
    ]  # fmt: skip
    (tmp_path / "ww").write_text(f'#!/bin/sh\nexec {sys.executable} -m ww_core "$@"\n')
    (tmp_path / "ww").chmod(0o755)
    variables = os.environ | {"WW_STORE": str(stored.store), "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    for version, line in zip(VERSIONS, lines[2:], strict=True):
        save_file(version_of(weights, version), tmp_path / SOURCE)
        done = subprocess.run(["bash", "-c", line], cwd=tmp_path, env=variables, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        assert {row["metrics"]["peak"] for row in shown(stored, version)["layer_metrics"]} > {1.0}
    assert ends(stored(*plugin, "backfill"), DONE) == "everything is up to date, for 3 versions\n"


def test_json_says_all_of_it(stored, tmp_path):
    plugin = write_plugin(tmp_path, HEAVY)
    report = json.loads(ends(stored(*plugin, "backfill", "my net's@2", "--json"), DONE))
    assert report.keys() == {
        "versions", "versions_filled", "values", "filled", "needs_weights", "not_repeatable", "warnings",
    }  # fmt: skip
    assert (report["versions"], report["versions_filled"], report["values"]) == (1, 1, 7)
    (filled,) = report["filled"]
    assert filled == {
        "model": "my net's", "version": "2", "profile": "default", "run": filled["run"], "values": 7, "failures": [],
    }  # fmt: skip
    (needed,) = report["needs_weights"]
    assert needed["metrics"] == {"peak": 4}
    assert (needed["model"], needed["version"], needed["profile"]) == ("my net's", "2", "default")


def test_what_is_lost_to_an_exception_ends_in_4_and_the_rest_is_there(stored, tmp_path):
    plugin = write_plugin(tmp_path, MOODY)
    result = stored(*plugin, "backfill", "my net's@1")
    assert ends(result, LOST).startswith("9 values filled in, for 1 of 1 version")
    failed = "failed: my net's@1 conv pool 0 (metric, late plugin): moody: ValueError: not this one (late plugin.py:"
    assert failed in result.stderr
    assert "1 of the missing results failed with exceptions" in result.stderr
    assert shown(stored, "1")["layers"][1]["metrics"]["moody"] == 40


def test_killed_in_the_middle_it_goes_on_from_there(stored, ww_program, tmp_path):
    plugin = write_plugin(tmp_path)
    (tmp_path / "die").touch()
    killed = ww_program(*plugin, "backfill", "--jobs", "1")
    assert killed.returncode == -9
    (tmp_path / "die").unlink()
    assert "nuclear" in shown(stored, "1")["summary"]
    assert "nuclear" not in shown(stored, "3")["summary"]
    text = ends(stored(*plugin, "backfill"), DONE)
    assert text.endswith("for 2 of 3 versions\n")
    assert 0 < int(text.split()[0]) < 13
    assert len(list((tmp_path / "seen").iterdir())) == 5  # each spectrum once
    for version in VERSIONS:
        assert shown(stored, version)["summary"]["nuclear"]["count"] == 3
    assert "up to date" in ends(stored(*plugin, "backfill"), DONE)
    assert ends(stored("db", "check"), DONE).startswith("sound")


def test_what_cannot_be_repeated_is_one_line(stored, weights, tmp_path):
    plugin = write_plugin(tmp_path)
    save_file(weights, tmp_path / SOURCE)
    ends(stored(*plugin, "analyze", SOURCE, "--metrics", "nuclear"), DONE)
    text = ends(stored("backfill"), DONE)
    assert "nothing could be filled in, for 3 versions\n" in text
    assert "cannot be repeated, for 1 of 3 versions: unknown metric 'late plugin:nuclear'" in text


def test_an_empty_store_says_how_to_begin(ww_here):
    with open_store(ww_here.store):
        pass
    assert "nothing is stored yet" in ends(ww_here("backfill"), DONE)


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--metrics", "nuklear"], USAGE, "unknown metric 'nuklear'"),
        (["--metrics", ""], USAGE, "--metrics is empty"),
        (["--profile", "defualt"], USAGE, "did you mean default?"),
        (["--profile", "weightwatcher"], PLACE, "nothing was analysed under profile 'weightwatcher': there is default"),
        (["nets"], PLACE, "no model 'nets' in this store"),
        (["my net's@9"], PLACE, "has no version '9'"),
        (["--store", "missing.sqlite"], PLACE, "there is no store at"),
        (["--store", "late plugin.py"], PLACE, "is not a ww store"),
    ],
)
def test_bad_input_is_one_sentence(stored, tmp_path, arguments, code, sentence):
    write_plugin(tmp_path)
    result = stored("backfill", *arguments)
    assert ends(result, code) == ""
    assert sentence in result.stderr
    assert not (tmp_path / "missing.sqlite").exists()
