import functools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ww_core as ww
from ww_core.errors import NotApplicable, Refused
from ww_plugins.metrics import phases
from ww_plugins.metrics.scaled import scaled_spectrum

EPSILON = float(np.finfo(np.float64).eps)
SHAPE = (300, 150)


def noise(seed, shape=SHAPE):
    return np.random.default_rng(seed).standard_normal(shape)


def with_spikes(seed, strengths):
    """Noise and a matrix of these singular values."""
    rng = np.random.default_rng(seed + 1000)
    left = np.linalg.qr(rng.standard_normal((SHAPE[0], len(strengths))))[0]
    right = np.linalg.qr(rng.standard_normal((SHAPE[1], len(strengths))))[0]
    return noise(seed) + (left * strengths) @ right.T


EDGE = np.sqrt(SHAPE[0]) + np.sqrt(SHAPE[1])
DETECTABLE = (SHAPE[0] * SHAPE[1]) ** 0.25


def heavy(seed, mu=1.0):
    rng = np.random.default_rng(seed)
    return rng.choice([-1.0, 1.0], SHAPE) * (rng.pareto(mu, SHAPE) + 1.0)


PLANTED = {
    "random-like": noise,
    "bleeding-out": lambda seed: with_spikes(seed, DETECTABLE * np.linspace(1.3, 1.6, 6)),
    "bulk-and-spikes": lambda seed: with_spikes(seed, EDGE * np.linspace(1.5, 3.0, 6)),
    "bulk-decay": lambda seed: with_spikes(seed, 2.0 * EDGE * np.exp(-np.arange(120) / 20.0)),
    "heavy-tailed": heavy,
    "rank-collapse": lambda seed: noise(seed, (300, 30)) @ noise(seed + 1, (30, 150)),
}


def values_of(matrix):
    return np.linalg.svd(matrix, compute_uv=False)


@functools.cache
def planted_values(phase, seed):
    return values_of(PLANTED[phase](seed))


def phase_of(values, shape=SHAPE, floor=1e-12, **parameters):
    return phases.phase(scaled_spectrum(values, floor * values[0], EPSILON, *shape), **parameters)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("phase", PLANTED)
def test_what_was_planted_is_found(phase, seed):
    found = phase_of(planted_values(phase, seed))
    assert found.phase == phase, found
    assert found.phase_evidence
    assert phase_of(planted_values(phase, seed), SHAPE[::-1]) == found


@pytest.mark.parametrize("alpha", [2.0, 3.0])
def test_a_spectrum_that_is_a_power_law_is_heavy(alpha):
    quantiles = (np.arange(150) + 0.5) / 150
    found = phase_of(np.sqrt(quantiles ** (-1.0 / (alpha - 1.0))))
    assert found.phase == "heavy-tailed"
    assert float(re.search(r"alpha (\S+)", found.phase_evidence)[1]) == pytest.approx(alpha, rel=0.01)


def test_a_tail_that_is_less_heavy_is_decay_and_one_at_the_limit_neither():
    quantiles = (np.arange(150) + 0.5) / 150
    values = np.sqrt(quantiles ** (-1.0 / 3.0))  # alpha = 4
    with pytest.raises(Refused, match=r"between heavy-tailed and bulk-decay: misfit .*, alpha 4"):
        phase_of(values)
    assert phase_of(values, heavy=3.0).phase == "bulk-decay"
    assert phase_of(values, heavy=5.0).phase == "heavy-tailed"


@settings(deadline=None, max_examples=20)
@given(exponent=st.integers(-400, 400), phase=st.sampled_from(sorted(PLANTED)))
def test_the_unit_does_not_matter(exponent, phase):
    values = planted_values(phase, 0)
    assert phase_of(np.ldexp(values, exponent)) == phase_of(values)


def test_what_is_between_is_refused():
    values = values_of(noise(0))
    values[100:] = 0.0
    with pytest.raises(Refused, match=r"between rank-collapse and the other phases: 66\.7 %"):
        phase_of(values)
    scaled = noise(0) * np.linspace(0.3, 1.7, SHAPE[1])  # a bulk, but of no one variance
    with pytest.raises(Refused, match="neither a bulk of noise nor a power law"):
        phase_of(values_of(scaled))
    far_and_near = with_spikes(1, [3.0 * EDGE, 1.4 * DETECTABLE])
    with pytest.raises(Refused, match=r"between bleeding-out, bulk-and-spikes and bulk-decay: .* 2 spikes"):
        phase_of(values_of(far_and_near))
    with pytest.raises(Refused, match="level is 2: a probability"):
        phase_of(values_of(noise(0)), level=2.0)


def test_what_has_no_phase():
    with pytest.raises(NotApplicable, match="zero"):
        phase_of(np.zeros(150), floor=0.0)
    with pytest.raises(NotApplicable, match="20 eigenvalues have no shape"):
        phase_of(values_of(noise(0, (40, 20))), (40, 20))
    with pytest.raises(NotApplicable, match="one row or one column"):
        phase_of(np.ones(200), (1, 3))
    with pytest.raises(NotApplicable):
        phase_of(np.ones(150))  # orthogonal


def test_layers_of_an_analysis():
    weights = {f"{name}.weight": make(3).astype(np.float32) for name, make in PLANTED.items()}
    weights["conv.weight"] = noise(0, (40, 32, 3, 3))
    report = ww.analyze(weights, metrics=["phase"])
    found = {row.name: row.metrics["phase"].text for row in report.layers}
    assert found == {name: name for name in PLANTED} | {"conv": "random-like"}


@pytest.mark.stress
def test_of_noise_nearly_all_is_random_like():
    shapes = [(100, 50), (200, 200), (400, 80)]
    outcomes = [_name(noise(seed, shape), shape) for shape in shapes for seed in range(100)]
    assert outcomes.count("random-like") >= 0.95 * len(outcomes)
    assert set(outcomes) <= {"random-like", "bleeding-out", "refused"}


def _name(matrix, shape):
    try:
        return phase_of(values_of(matrix), shape).phase
    except Refused:
        return "refused"
