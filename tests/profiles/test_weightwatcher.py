import numpy as np
import pytest

import ww_core as ww
from ww_plugins.profiles import WEIGHTWATCHER

RNG = np.random.default_rng(0)
DENSE, KERNEL = 0.1 * RNG.standard_t(3, (60, 40)), 0.1 * RNG.standard_t(3, (30, 20, 3, 3))


def peers_fit(eigenvalues):
    """The peer's rule in its plainest form: every value above 1e-5 but the largest as xmin, the first smallest D."""
    x = np.sort(eigenvalues[eigenvalues > 1e-5])
    best = (np.inf,)
    for i, xmin in enumerate(x[:-1]):
        tail = x[i:]
        alpha = 1 + tail.size / np.log(tail / xmin).sum()
        distance = np.abs(1 - (tail / xmin) ** (1 - alpha) - np.arange(tail.size) / tail.size).max()
        best = min(best, (distance, i, alpha, xmin, tail.size))
    return dict(zip(("D", "alpha", "xmin", "num_pl_spikes"), (best[0], *best[2:]), strict=True))


def analysed(weights):
    return {row.name: row for row in ww.analyze(weights, profile="weightwatcher").layers}


@pytest.mark.parametrize("scale", [1.0, 0.01, 0.005])
def test_the_fit_is_the_peers_at_every_scale(scale):
    rows = analysed({"fc.weight": scale * DENSE, "conv.weight": scale * KERNEL})
    eigenvalues = {
        "fc": scale**2 * np.linalg.svd(DENSE, compute_uv=False) ** 2,
        "conv": scale**2 * np.linalg.svd(KERNEL.transpose(2, 3, 0, 1), compute_uv=False).ravel() ** 2 / 2,
    }
    assert all((values.min() <= 1e-5) == (scale < 1) for values in eigenvalues.values())
    for name, values in eigenvalues.items():
        found = {column: rows[name].metrics[column].value for column in ("D", "alpha", "xmin", "num_pl_spikes")}
        assert found == pytest.approx(peers_fit(values), rel=1e-9), name


def test_pooled_eigenvalues_are_halved_and_those_of_matrices_are_not():
    rows = analysed({"fc.weight": DENSE, "conv.weight": KERNEL})
    for name, squares in {"fc": np.square(DENSE).sum(), "conv": np.square(KERNEL).sum() / 2}.items():
        assert rows[name].metrics["frobenius_norm"].value ** 2 == pytest.approx(squares, rel=1e-12)
        assert rows[name].metrics["log_norm"].value == pytest.approx(np.log10(squares), rel=1e-12)


def test_what_no_fit_can_say_is_a_state_and_not_a_number():
    (row,) = analysed({"fc.weight": 1e-4 * DENSE}).values()
    assert row.metrics["alpha"].value is None
    assert row.metrics["alpha"].explain().startswith("not_applicable: no eigenvalue is above the floor")
    assert row.metrics["stable_rank"].is_ok


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ((9, 100), "the number of eigenvalues is 9, and this variant of matrix takes 10 or more"),
        ((10, 100), ""),
        ((64, 1, 3, 3), "the number of eigenvalues is 9, and this variant of pool takes 10 or more"),
        ((64, 3, 3, 3), ""),
        ((15_001, 15_001), "the number of eigenvalues is 15001, and this variant of matrix takes 15000 or less"),
        ((1_700, 1_700, 3, 3), "the number of eigenvalues is 15300, and this variant of pool takes 15000 or less"),
        ((50_001, 768), "the longer side is 50001, and this variant of matrix takes 50000 or less"),
        ((50_000, 768), ""),
    ],
)
def test_layers_that_the_peer_leaves_out_are_left_out(shape, reason):
    weight = np.broadcast_to(np.float32(0), shape)
    (layer,) = ww.describe({"a.weight": weight}, profile="weightwatcher").layers
    assert [made.reason for made in layer.matrices] == [reason]


def test_labels_are_plain_within_the_profile():
    rows = analysed({"fc.weight": DENSE, "conv.weight": KERNEL})
    assert (rows["fc"].extractor, rows["conv"].extractor) == ("matrix", "pool")
    assert list(rows["fc"].metrics) == list(WEIGHTWATCHER.metrics)


@pytest.mark.parametrize(("profile", "is_fitted"), [("default", False), ("weightwatcher", True), ("trends-2020", True)])
def test_a_spectrum_without_width_is_fitted_where_others_fit_it(profile, is_fitted):
    rng = np.random.default_rng(1)
    moved = np.linalg.qr(rng.standard_normal((80, 60)))[0] + 1e-4 * rng.standard_normal((80, 60))
    (row,) = ww.analyze({"q.weight": moved.astype(np.float32)}, profile=profile).layers
    assert row.metrics["alpha"].is_ok is is_fitted
