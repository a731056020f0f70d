"""The wheel on every Python that ww claims and that is at hand, and with the oldest versions that its bounds allow.

A quarter of a minute for each Python, one or two minutes for the oldest versions, where pip has the packages at hand.
"""

from __future__ import annotations

import json
import re

import pytest
from environments import PROJECT, PYTHONS, ROOT, Environment, oldest_versions, python_of

DIGITS = ROOT / "examples/digits-cnn.safetensors"
PART_OF_THE_TESTS = [
    "tests/cli/test_bad_input.py",
    "tests/cli/test_commands.py",
    "tests/contracts",
    "tests/loaders/test_npz.py",
    "tests/metrics/test_norms.py",
    "tests/metrics/test_tails.py",
    "tests/spectral/test_power_law.py",
    "tests/spectral/test_singular_values.py",
    "tests/store/test_open.py",
    "tests/store/test_results.py",
]
"""Where what ww uses of its dependencies is asked for: arrays, the command line, the store, plugins."""

pytestmark = [pytest.mark.acceptance, pytest.mark.install]


def main_commands_work(environment):
    """Run what a user runs first."""
    derived = environment.run("python", ROOT / "examples/derive_version.py", DIGITS, "2.safetensors")
    assert derived.returncode == 0, derived.stderr
    ww = environment.ww
    assert ww("--version") == f"ww {PROJECT['version']}\n"
    assert json.loads(ww("analyze", DIGITS, "--name", "digits", "--json"))["failures"] == []
    assert json.loads(ww("analyze", "2.safetensors", "--name", "digits", "--json"))["failures"] == []
    assert "conv2" in ww("show", "digits@2")
    assert "2 changed" in ww("diff", "digits@1", "digits@2")
    assert "mean alpha" in ww("history", "digits")
    assert "digits" in ww("leaderboard", "--metric", "alpha")
    assert "digits" in ww("sql", "SELECT DISTINCT model FROM v_metrics")
    assert not any(row["problems"] for row in json.loads(ww("plugins", "--json")))
    assert ww("db", "check").startswith("sound: ")


@pytest.mark.parametrize("version", PYTHONS)
def test_the_wheel_works_on_every_python(version, tmp_path, wheel):
    main_commands_work(Environment(tmp_path, wheel, python=python_of(version)))


def test_every_bound_has_an_oldest_version():
    assert PYTHONS[0] == PROJECT["requires-python"].removeprefix(">=")
    assert all(re.fullmatch(r"[\w-]+>=[\d.]+", requirement) for requirement in PROJECT["dependencies"])


def test_the_wheel_works_with_the_oldest_versions(tmp_path, wheel):
    oldest = oldest_versions(tmp_path)
    environment = Environment(tmp_path, wheel, python=python_of(PYTHONS[0]), constraints=oldest)
    main_commands_work(environment)
    environment.install("pytest", "hypothesis")
    for name in ("tests", "docs", "examples", "pyproject.toml"):  # beside no code: the wheel is tested
        (tmp_path / name).symlink_to(ROOT / name)
    # Dask is not installed, and a user without rights cannot run the Python of this folder.
    chosen = "not TestExecutors and not read_only"
    done = environment.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", chosen, *PART_OF_THE_TESTS)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
