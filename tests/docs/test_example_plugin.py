"""The example package, installed as anybody's would be: built, put on the path, tested, listed, used."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "docs/plugins/example"
PLUGINS = tomllib.loads((EXAMPLE / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]["ww"]

pytestmark = pytest.mark.install


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The environment in which the package is installed; beside this one, so that no other test meets it."""
    source = shutil.copytree(
        EXAMPLE, tmp_path_factory.mktemp("source") / "example", ignore=shutil.ignore_patterns("__pycache__")
    )
    target = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--target", target, source], check=True)
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(target)]))
    return os.environ | {"PYTHONPATH": path, "WW_STORE": str(target / "store.sqlite"), "NO_COLOR": "1"}


def ww(environment, *arguments):
    command = [sys.executable, "-m", "ww_core", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    "chosen",
    # docs/how-to/test-a-plugin.md runs the contract of metrics, and that of loaders is the same in both layouts.
    [
        "not (TestNuclearNorm or TestWiderMetrics or TestJaxLayout) or test_value or dead or spread or loads",
        pytest.param("", marks=pytest.mark.stress),
    ],
    ids=["most", "all"],
)
def test_its_own_tests_pass(installed, tmp_path, chosen):
    tests = shutil.copy(EXAMPLE / "test_ww_example.py", tmp_path)
    # Where pytest's own files lie by default it may remove, for minutes, what earlier runs left.
    options = ["-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'files'}", "-k", chosen]
    command = [sys.executable, "-m", "pytest", *options, tests]
    done = subprocess.run(command, env=installed, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_ww_finds_every_plugin_by_its_entry_point(installed):
    found = {plugin["name"]: plugin for plugin in json.loads(ww(installed, "plugins", "--json"))}
    own = {name: plugin for name, plugin in found.items() if plugin["distribution"] == "ww-example"}
    assert set(PLUGINS) == set(own)
    assert all(plugin["state"] == "loaded" and not plugin["problems"] for plugin in own.values()), own


def test_an_analysis_uses_them_and_the_command_asks_for_what_it_stored(installed, tmp_path):
    log = tmp_path / "log.jsonl"
    source = ROOT / "examples/digits-cnn.safetensors"
    done = ww(
        installed | {"WW_EXAMPLE_LOG": str(log)},
        "analyze", source, "--json", "--profile", "pruning", "--executor", "polite[nice=3]",
    )  # fmt: skip
    report = json.loads(done)
    assert report["layers"][0]["metrics"]["nuclear_norm"] > 0
    assert report["layer_metrics"][0]["metrics"]["dead_outputs"] == 0
    assert report["model_metrics"]["norm_spread"] > 0
    assert [json.loads(line)["event"] for line in log.read_text().splitlines()] == ["start", *["layer"] * 3, "end"]
    command = ["outliers", "nuclear_norm", "--profile", "pruning", "--least", "0", "--csv"]
    assert ww(installed, *command).startswith("model,version,layer,nuclear_norm,deviations\ndigits-cnn,1,")


def test_help_names_the_command_and_imports_nothing_of_the_package(installed):
    command = [sys.executable, "-X", "importtime", "-m", "ww_core", "--help"]
    done = subprocess.run(command, env=installed, capture_output=True, text=True, check=True)
    assert re.search(r"^ +outliers +List the layers whose value", done.stdout, flags=re.MULTILINE)
    assert "ww_core" in done.stderr
    assert "ww_example" not in done.stderr


def test_the_page_shows_the_shortest_plugin_as_it_is():
    assert (EXAMPLE / "ww_example/nuclear_norm.py").read_text(encoding="utf-8") in (EXAMPLE / "README.md").read_text(
        encoding="utf-8"
    )
