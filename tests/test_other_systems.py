"""What a system without POSIX lacks, taken away here: everything can be imported, and what needs it says so.

Windows and macOS are untested; this is what can be known of them without one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ww_core as ww
from ww_core.loading.files import FileSource
from ww_plugins.loaders.pytorch import weights_only
from ww_plugins.zoos.places import held
from ww_plugins.zoos.training.parts import Parts

ROOT = Path(__file__).resolve().parents[1]
WITHOUT = '''
import builtins, os, signal

ABSENT = {"fcntl", "resource", "pwd", "grp", "termios"}
whole = builtins.__import__


def lacking(name, globals=None, *rest, **named):
    """Python's own modules still find what they take for granted on this system."""
    if name in ABSENT and (globals or {}).get("__name__", "").startswith(("ww_", "__main__")):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return whole(name, globals, *rest, **named)


builtins.__import__ = lacking
del os.sched_getaffinity, os.fork, signal.pthread_sigmask
'''
IMPORT_ALL = """
import importlib, pkgutil
import ww_core, ww_plugins
count = 0
for package in (ww_core, ww_plugins):
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
            count += 1
print(count)
"""


@pytest.fixture
def elsewhere(tmp_path):
    """Run Python in a folder, and all processes that it starts, without what other systems lack."""
    (tmp_path / "sitecustomize.py").write_text(WITHOUT)
    path = os.pathsep.join(filter(None, [str(tmp_path), str(ROOT), os.environ.get("PYTHONPATH")]))

    def run(*arguments):
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": path, "WW_STORE": "store.sqlite"},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_every_module_can_be_imported(elsewhere):
    done = elsewhere("-c", IMPORT_ALL)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > 400


def test_a_model_is_analysed_and_a_query_answered(elsewhere):
    digits = ROOT / "examples/digits-cnn.safetensors"
    done = elsewhere("-m", "ww_core", "analyze", digits, "--executor", "processes", "--jobs", "1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "3 analysed" in done.stdout
    done = elsewhere("-m", "ww_core", "sql", "SELECT DISTINCT model FROM v_metrics", "--csv")
    assert (done.returncode, done.stdout, done.stderr) == (0, "model\ndigits-cnn\n", "")


def test_a_zoo_is_refused_in_one_sentence(elsewhere, tmp_path):
    images = {"x_train": np.zeros((80, 15, 15)), "y_train": np.arange(80) % 2}
    np.savez(tmp_path / "own.npz", **images, x_test=images["x_train"], y_test=images["y_train"])
    asked = ["--data", "own.npz", "--count", "2", "--epochs", "1", "--batch", "8", "--out", "zoo"]
    done = elsewhere("-m", "ww_core", "zoo", "train", *asked)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: the folder of a zoo is locked while it is written, and this system cannot lock a folder: "
        "train and import zoos on Linux\n"
    )
    assert not (tmp_path / "zoo").exists()


@pytest.mark.parametrize("holding", [held, lambda folder: Parts(folder).alone()], ids=["import", "train"])
def test_no_zoo_is_written_where_folders_cannot_be_locked(holding, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with pytest.raises(ww.UsageError, match="this system cannot lock a folder"), holding(tmp_path / "zoos"):
        pass
    assert not (tmp_path / "zoos").exists()


def test_pytorch_is_given_no_file_where_its_memory_cannot_be_limited(monkeypatch, tmp_path):
    path = tmp_path / "sparse.pt"
    path.write_bytes(b"anything")
    monkeypatch.setattr(weights_only, "version", lambda _: "2.13.0")
    assert weights_only.unavailable(FileSource(path)) == ""
    monkeypatch.setattr(weights_only, "HAS_LIMITS", False)
    assert "this system sets none for a process" in weights_only.unavailable(FileSource(path))
