"""Our metrics against numbers of WeightWatcher 0.7.7, made by benchmarks/peer/make_golden.py."""

import json
import math
import runpy
from pathlib import Path

import numpy as np
import pytest

from ww_core.spectral import spectrum_of
from ww_plugins.metrics import norms, ranks, tails

ROOT = Path(__file__).parents[2]
GOLDEN = json.loads((ROOT / "tests" / "golden" / "weightwatcher_0.7.7.json").read_text())["results"]
WEIGHTS = runpy.run_path(str(ROOT / "benchmarks" / "peer" / "make_golden.py"))["weights"]


def ours(name):
    weights = WEIGHTS(GOLDEN[name]["recipe"])
    slices = weights.reshape(*weights.shape[:2], -1).transpose(2, 0, 1)
    if weights.ndim == 4:
        slices = slices * math.sqrt(1 / 2)  # the peer halves every eigenvalue of a pooled convolution
    spectrum = spectrum_of(slices, stored_dtype="float64")
    values = spectrum.singular_values
    fit = tails.power_law(values, spectrum.noise_floor, *slices.shape[1:])
    frobenius, spectral = norms.frobenius_norm(values), norms.spectral_norm(values)
    log_spectral_norm = norms.log_spectral_norm(spectral)
    return {
        "alpha": fit.alpha,
        "D": fit.D,
        "sigma": fit.sigma,
        "xmin": fit.xmin,
        "xmax": fit.xmax,
        "num_pl_spikes": tails.num_pl_spikes(fit.n_tail),
        "norm": frobenius**2,  # theirs is squared
        "log_norm": norms.log_norm(frobenius),
        "spectral_norm": spectral**2,  # theirs is lambda_max
        "log_spectral_norm": log_spectral_norm,
        "stable_rank": ranks.stable_rank(frobenius, spectral),
        "alpha_weighted": tails.alpha_weighted(fit.alpha, log_spectral_norm),
        "log_alpha_norm": norms.log_alpha_norm(norms.alpha_norm(values, fit.alpha), fit.alpha),
        "num_evals": values.size,
    }


@pytest.mark.parametrize("name", GOLDEN)
def test_agrees_with_the_peer(name):
    theirs = GOLDEN[name]["values"]
    for column, value in ours(name).items():
        assert value == pytest.approx(theirs[column], rel=1e-9), column


@pytest.mark.parametrize("name", GOLDEN)
def test_the_entropy_differs_by_the_peers_shift_of_every_share_only(name):
    weights = WEIGHTS(GOLDEN[name]["recipe"])
    slices = weights.reshape(*weights.shape[:2], -1).transpose(2, 0, 1)
    values = spectrum_of(slices, stored_dtype="float64").singular_values
    shares = values**2 / np.sum(values**2) + 1e-10
    theirs = -math.fsum(shares * np.log(shares)) / math.log(values.size + 1e-10)
    assert theirs == pytest.approx(GOLDEN[name]["values"]["entropy"], rel=1e-9)
    assert ranks.entropy(values, values.size) == pytest.approx(theirs, rel=1e-7)
