"""The workflows of docs/how-to/gate-a-model.md: YAML that parses, and steps that do what the page says."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import junitparser
import pytest

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/how-to/gate-a-model.md"


def block(title):
    return re.search(rf'^```\w+ title="{re.escape(title)}"\n(.*?)^```', PAGE.read_text(), re.DOTALL | re.MULTILINE)[1]


def steps_of_github():
    workflow = yaml.safe_load(block(".github/workflows/gate.yml"))
    (job,) = workflow["jobs"].values()
    assert job["runs-on"]
    assert all(("uses" in step) != ("run" in step) for step in job["steps"])
    return [step["run"] for step in job["steps"] if "run" in step]


def steps_of_gitlab():
    (job,) = yaml.safe_load(block(".gitlab-ci.yml")).values()
    assert job["artifacts"]["when"] == "always"
    assert job["artifacts"]["reports"]["junit"] in job["script"][-1]
    return job["script"]


@pytest.fixture
def repository(tmp_path):
    """A repository as the page makes it: weights, baseline and rules; and what runs a step in it."""
    shutil.copyfile(ROOT / "examples/digits-cnn.safetensors", tmp_path / "model.safetensors")
    (tmp_path / "pyproject.toml").write_text(block("pyproject.toml"))
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("WW_", "GITHUB_"))}
    environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environ['PATH']}"

    def run(command, **variables):
        own = environ | {"XDG_DATA_HOME": str(tmp_path / f"home {len(variables)}")} | variables
        return subprocess.run(
            ["bash", "-c", command], cwd=tmp_path, env=own, capture_output=True, text=True, check=False
        )

    made = run("ww analyze model.safetensors --name digits && ww show digits --json > baseline.json", MINE="1")
    assert made.returncode == 0, made.stderr
    run.folder = tmp_path
    return run


def spoil(repository):
    derive = f"{sys.executable} {ROOT / 'examples/derive_version.py'} model.safetensors new.safetensors"
    assert repository(f"{derive} && mv new.safetensors model.safetensors").returncode == 0


@pytest.mark.parametrize("steps", [steps_of_github, steps_of_gitlab])
def test_the_first_step_installs_and_the_rest_judge(steps):
    install, *rest = steps()
    assert install == 'pip install "$PACKAGE_OF_WW"'
    assert [step.split()[:2] for step in rest] == [["ww", "check"]]


def test_the_step_of_github_annotates_and_summarises(repository):
    step = steps_of_github()[-1]
    summary = repository.folder / "summary.md"
    held = repository(step, GITHUB_STEP_SUMMARY=str(summary))
    assert (held.returncode, "::error" in held.stdout) == (0, False), held.stderr
    assert summary.read_text().startswith("### ww check: passed")
    spoil(repository)
    broken = repository(step, GITHUB_STEP_SUMMARY=str(summary))
    assert (broken.returncode, broken.stdout.count("::error title=")) == (1, 3), broken.stderr
    assert "### ww check: failed" in summary.read_text()


def test_the_step_of_gitlab_leaves_a_test_report(repository):
    step = steps_of_gitlab()[-1]
    for spoilt, code, failures in ((False, 0, 0), (True, 1, 3)):
        if spoilt:
            spoil(repository)
        done = repository(step)
        assert done.returncode == code, done.stderr
        (suite,) = junitparser.JUnitXml.fromfile(str(repository.folder / "ww-check.xml"))
        assert (suite.tests, suite.failures) == (4, failures)
