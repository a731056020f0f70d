"""Globs choose layers by name, and a glob that matches nothing is told."""

from types import SimpleNamespace

import pytest

import ww_core as ww


def named(*names):
    return [SimpleNamespace(name=name) for name in names]


@pytest.mark.parametrize(
    ("globs", "chosen"),
    [
        ((), ["conv1", "conv2", "fc", "conv[1]"]),
        (("conv?",), ["conv1", "conv2"]),
        (("fc", "conv1"), ["conv1", "fc"]),  # in the order of the layers
        (("conv[1]",), ["conv1", "conv[1]"]),
        (("*",), ["conv1", "conv2", "fc", "conv[1]"]),
    ],
)
def test_layers_by_globs(globs, chosen):
    layers = named("conv1", "conv2", "fc", "conv[1]")
    assert [layer.name for layer in ww.choose_layers(layers, globs)] == chosen


@pytest.mark.parametrize("glob", ["fcc", "FC", ""])
def test_a_glob_that_matches_nothing(glob):
    with pytest.raises(ww.UnknownNameError, match="unknown layer"):
        ww.choose_layers(named("fc"), [glob])


def test_rows_of_a_report_are_chosen_too(weights):
    report = ww.analyze(weights)
    assert {row.name for row in ww.choose_layers(report.layers, ["f*"])} == {"first"}
