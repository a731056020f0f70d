import numpy as np
import pytest

import ww_core as ww
from ww_core.domain.layer import LayerKind
from ww_core.spectral import fit_power_law
from ww_plugins.profiles import TRENDS_2020

RNG = np.random.default_rng(0)
DENSE, KERNEL = 0.1 * RNG.standard_t(3, (80, 60)), 0.1 * RNG.standard_t(3, (70, 50, 3, 2))


def analysed(weights):
    return ww.analyze(weights, profile="trends-2020")


def test_every_slice_is_a_matrix_and_every_weight_has_the_factor():
    rows = analysed({"fc.weight": DENSE, "conv.weight": KERNEL}).layers
    slices = [KERNEL[..., i, j] for i in range(3) for j in range(2)]
    assert [(row.name, row.index) for row in rows] == [("fc", 0), *(("conv", index) for index in range(6))]
    for row, weight, factor in zip(rows, [DENSE, *slices], [1 / 2] + 6 * [6 / 2], strict=True):
        eigenvalues = factor * np.linalg.svd(weight, compute_uv=False) ** 2
        fit = fit_power_law(eigenvalues[:-1], xmax="largest")
        expected = {
            "alpha": fit.alpha,
            "D": fit.D,
            "xmin": fit.xmin,
            "xmax": eigenvalues[0],
            "n_tail": fit.n_tail,
            "log_norm": np.log10(eigenvalues.sum()),
            "log_spectral_norm": np.log10(eigenvalues[0]),
            "alpha_weighted": fit.alpha * np.log10(eigenvalues[0]),
            "log_alpha_norm": np.log10(np.sum(eigenvalues**fit.alpha)),
            "stable_rank": eigenvalues.sum() / eigenvalues[0],
        }
        assert {name: row.metrics[name].value for name in expected} == pytest.approx(expected, rel=1e-9)


def test_means_are_over_slices():
    report = analysed({"fc.weight": DENSE, "conv.weight": KERNEL})
    assert report.summary["alpha"].count == 7
    assert report.summary["alpha"].mean == pytest.approx(np.mean([row.metrics["alpha"].value for row in report.layers]))


def test_matrices_with_a_side_below_50_are_left_out():
    report = analysed({"fc.weight": DENSE, "head.weight": DENSE[:49], "conv.weight": KERNEL[:, :49]})
    assert {row.name for row in report.layers} == {"fc"}
    assert {skip.name: skip.reason for skip in report.coverage.reasons} == {
        "head": "the shorter side is 49, and this variant of matrix takes 50 or more",
        "conv": "the shorter side is 49, and this variant of slice takes 50 or more",
    }


def test_embeddings_are_matrices():
    assert TRENDS_2020.extractor_for(LayerKind.EMBEDDING) == TRENDS_2020.extractor_for(LayerKind.DENSE)


def test_labels_are_plain_within_the_profile():
    rows = analysed({"fc.weight": DENSE, "conv.weight": KERNEL}).layers
    assert {row.extractor for row in rows} == {"matrix", "slice"}
    assert list(rows[0].metrics) == list(TRENDS_2020.metrics)
