"""``ww zoo`` killed at random moments: the same command again does what an undisturbed one does."""

import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from ww_core.testing.feature_sets import sample_zoo
from ww_plugins.zoos.exporting import export_zoo

WW = [sys.executable, "-c", "import sys; from ww_core.cli.main import main; sys.exit(main())", "zoo"]


def content_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def again(tmp_path):
    """Kill a command some time after a moment, and let it run again."""
    own = random.Random(18)

    def call(*arguments, begun=lambda: True, within=2.0):
        command = [*WW, *map(str, arguments)]
        process = subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        while process.poll() is None and not begun():
            time.sleep(0.01)
        time.sleep(own.uniform(0, within))
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert "Traceback" not in result.stderr
        return result

    return call


@pytest.mark.stress
def test_training(again, tmp_path):
    rng = np.random.default_rng(2)
    made = {}
    for part, count in (("train", 80), ("test", 20)):
        made[f"y_{part}"] = np.arange(count) % 3
        made[f"x_{part}"] = rng.uniform(0, 1, (count, 15, 15))
    np.savez(tmp_path / "own.npz", **made)
    arguments = ("train", "--data", "own.npz", "--count", 48, "--epochs", 8, "--batch", 8, "--jobs", 1, "--out")
    whole = subprocess.run([*WW, *map(str, arguments), "whole"], cwd=tmp_path, check=False)
    assert whole.returncode == 0
    for number in range(5):
        folder = tmp_path / f"zoo{number}"
        result = again(*arguments, folder.name, begun=folder.exists)
        assert result.returncode == 0, result.stderr
        assert content_of(folder) == content_of(tmp_path / "whole")


@pytest.mark.stress
def test_import_export_and_analysis(again, tmp_path):
    export_zoo(sample_zoo(40), tmp_path / "zoo", {})
    before = content_of(tmp_path / "zoo")
    for number in range(3):
        store = f"s{number}.sqlite"
        assert again("import", "zoo", "--name", "z", "--store", store).returncode == 0
        assert content_of(tmp_path / f"{store}.zoos/z") == before
        assert again("analyze", "zoo", "--store", store, "--jobs", 1, within=4.0).returncode == 0
        target = tmp_path / f"out{number}"
        result = again("export", "zoo", "-o", target)
        assert result.returncode == 0 or "exists already" in result.stderr
        assert content_of(target) == before
