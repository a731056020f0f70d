"""A report in a notebook takes at most 15 lines that can be printed; a logger gets finite numbers, each by its name."""

import math
from dataclasses import replace

import numpy as np
import pytest

import ww_core as ww

RANDOM = np.random.Generator(np.random.Philox(20))
WEIGHTS = {
    "a.weight": RANDOM.standard_t(3, (30, 20)),
    "a.bias": RANDOM.standard_normal(30),
    "conv.weight": RANDOM.standard_t(3, (12, 10, 2, 2)),
    "zero.weight": np.zeros((5, 4)),
    "mean.weight": RANDOM.standard_t(3, (20, 20)),
}


@pytest.fixture(scope="module")
def report():
    return ww.analyze(WEIGHTS, name="net", version="3")


def test_a_number_of_the_model_is_there():
    own = ww.analyze({"a.weight": WEIGHTS["a.weight"]}, name="net", metrics=["log_prod_spectral_norm"])
    name = "log_prod_spectral_norm"
    assert own.flat() == {f"ww/{name}": own.model_metrics[name].number}


def test_a_report_is_shown_in_a_few_lines(report):
    lines = repr(report).splitlines()
    assert len(lines) <= 15
    assert lines[0] == f"AnalysisReport of net@3, digest {report.digest[:12]}, profile default"
    assert lines[1] == "layers: 4 analysed"
    assert lines[2] == "parameters: 1,500 of 1,530 have a spectrum"
    mean = report.summary["alpha"].mean
    assert lines[3:5] == ["means:", f"  alpha {mean:.4g} (of 3, 1 without a value)"]
    assert str(report) == repr(report)


def test_all_that_there_may_be_to_say_fits(report):
    hostile = "\x1b[31m\n\u202e" * 50
    failure = ww.Failure("metric", "plugin", hostile, hostile)
    columns = {f"{hostile}{number}": report.summary["alpha"] for number in range(20)}
    shown = replace(
        report,
        model=hostile * 99,
        version=hostile,
        run=replace(report.run, state="interrupted", profile=hostile),
        coverage=replace(report.coverage, refused=1, statistics_only=2, skipped=3, failed=4),
        summary=columns,
        headline=tuple(columns),
        warnings=(hostile, hostile),
        failures=(failure,),
    )
    lines = repr(shown).split("\n")
    assert len(lines) <= 15
    assert all(line.isprintable() and len(line) <= 100 for line in lines)
    assert "4 failed" in lines[1]
    assert lines[-2].startswith("warnings: 2, the first: ")
    assert lines[-1].startswith("failures: 1, the first: ")


def test_numbers_are_flat(report):
    numbers = report.flat()
    rows = {row.name: row.metrics for row in report.layers}
    assert numbers["ww/conv/alpha"] == rows["conv"]["alpha"].number
    assert numbers["ww/a/bias_mean"] == report.layer_metrics[0].metrics["bias_mean"].number
    assert numbers["ww/alpha"] == report.summary["alpha"].mean
    assert numbers["ww/mean/alpha"] == rows["mean"]["alpha"].number  # a layer of this name is no mean
    assert numbers["ww/mean/short_tail"] in {0.0, 1.0}
    assert not any(name.endswith("/warning") for name in numbers)


def test_only_finite_numbers_are_there(report):
    numbers = report.flat()
    assert all(type(own) is float and math.isfinite(own) for own in numbers.values())
    assert "ww/zero/alpha" not in numbers  # not applicable
    assert "ww/zero/log_norm" not in numbers  # -inf
    assert numbers["ww/zero/spectral_norm"] == 0.0


def test_the_prefix_is_chosen(report):
    assert report.flat("train/ww").keys() == {f"train/{name}" for name in report.flat()}
    assert report.flat("").keys() == {name.removeprefix("ww/") for name in report.flat()}


def test_every_matrix_has_a_name_of_its_own():
    weights = {"conv.weight": WEIGHTS["conv.weight"], "conv[1].weight": WEIGHTS["a.weight"]}
    report = ww.analyze(weights, name="net", extractors=["slice", "pool"], metrics=["spectral_norm"])
    numbers = report.flat()
    slices = [row for row in report.layers if row.extractor == "slice"]
    assert numbers == {
        "ww/spectral_norm": report.summary["spectral_norm"].mean,
        "ww/conv[1]/spectral_norm": next(row for row in report.layers if row.name == "conv[1]")
        .metrics["spectral_norm"]
        .number,
    } | {f"ww/conv/spectral_norm[{row.index}]": row.metrics["spectral_norm"].number for row in slices}
