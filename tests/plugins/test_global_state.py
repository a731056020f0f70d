"""What a plugin changes of the process costs the others neither a value nor the output."""

import json

import numpy as np
import pytest

import ww_core as ww

MEDDLING = """
import decimal
import os
import random
import sys
import warnings
import numpy as np
import ww_core as ww

def meddle():
    print("not data")
    np.seterr(all="raise")
    np.random.seed(0)
    random.seed(0)
    decimal.getcontext().prec = 1
    warnings.simplefilter("error")
    os.environ["WW_STORE"] = "elsewhere.sqlite"
    os.environ["OMP_NUM_THREADS"] = "64"
    sys.stdout = open(os.devnull, "w")
    os.chdir("/")

AT_IMPORT

@ww.metric(version="1")
def early(singular_values):
    "Comes first."
    AT_WORK
    return 1.0

@ww.metric(version="1")
def late(early, matrix):
    "Divides by zero, and is told so by a state."
    return matrix[0, 0] / 0.0

@ww.hookimpl
def ww_register_metrics():
    return [early, late]
"""


@pytest.mark.parametrize(
    ("when", "executor"),
    [
        ("AT_IMPORT", "threads"),
        pytest.param("AT_WORK", "threads", marks=pytest.mark.stress),
        ("AT_WORK", "processes"),
    ],
)
def test_what_a_plugin_changes_of_the_process(when, executor, ww_program, model_file):
    plugin = MEDDLING.replace(when, "meddle()").replace("AT_IMPORT", "").replace("AT_WORK", "pass")
    (ww_program.folder / "mine.py").write_text(plugin)
    names = "stable_rank,entropy,alpha,late"
    command = ("analyze", "net.safetensors", "--plugin", "mine.py", "--store", "here.sqlite", "--json")
    result = ww_program(*command, "--metrics", names, "--executor", executor, "--jobs", "1", store=False)
    assert result.returncode == 0, result.stderr
    said = json.loads(result.stdout)
    assert said["failures"] == []
    assert {row["states"]["late"].partition(":")[0] for row in said["layers"]} <= {"inf", "-inf", "not_applicable"}
    expected = ww.analyze(model_file, metrics=["stable_rank", "entropy", "alpha"]).to_dict()
    for row, other in zip(said["layers"], expected["layers"], strict=True):
        assert row["metrics"] | other["metrics"] == row["metrics"]
    assert (ww_program.folder / "here.sqlite").exists()


def test_the_handling_of_errors_is_everybodys_own():
    @ww.metric(version="1")
    def early(singular_values):
        """Comes first."""
        np.seterr(all="raise")
        return 0.0

    @ww.metric(version="1", scope="model", needs={"given": "early"})
    def late(given):
        """Divides."""
        return np.float64(1.0) / given[0]

    @ww.metric(version="1")
    def beside(early, singular_values):
        """Divides."""
        return singular_values[0] / np.float64(early)

    class Plugin:
        @ww.hookimpl
        def ww_register_metrics(self):
            return [early, late, beside]

    before = np.geterr()
    report = ww.analyze({"fc.weight": np.eye(5)}, plugins=[Plugin()], metrics=["late", "beside"])
    assert not report.failures
    assert str(report.layers[0].metrics["beside"].state) == "inf"
    assert np.geterr() == before
