"""The example plugin, installed as a stranger's would be: built, put on the path, tested, listed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "docs/plugins/example"

pytestmark = pytest.mark.install


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The environment in which the plugin is installed; beside this one, so that no other test meets it."""
    source = shutil.copytree(EXAMPLE, tmp_path_factory.mktemp("source") / "example")
    target = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--target", target, source], check=True)
    path = os.pathsep.join(filter(None, [str(target), os.environ.get("PYTHONPATH")]))
    return os.environ | {"PYTHONPATH": path, "WW_STORE": str(target / "store.sqlite"), "NO_COLOR": "1"}


def ww(environment, *arguments):
    program = Path(sys.executable).with_name("ww")
    return subprocess.run([program, *arguments], env=environment, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    "chosen",
    ["test_value or loads", pytest.param("", marks=pytest.mark.stress)],  # all are run by a page
    ids=["some", "all"],
)
def test_its_own_tests_pass(installed, tmp_path, chosen):
    tests = shutil.copy(EXAMPLE / "test_ww_nuclear_norm.py", tmp_path)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", chosen, tests]
    done = subprocess.run(command, env=installed, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_ww_finds_it_by_its_entry_point(installed):
    assert "nuclear-norm" in ww(installed, "plugins")
    assert "nuclear_norm" in ww(installed, "metrics")


def test_every_analysis_computes_it(installed):
    assert '"nuclear_norm"' in ww(installed, "analyze", ROOT / "examples/digits-cnn.safetensors", "--json")
