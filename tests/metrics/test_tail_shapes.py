import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ww_core as ww
from ww_core.spectral.alternatives import compare_alternatives
from ww_core.spectral.submatrices import singular_values_of_parts
from ww_core.spectral.truncated_power_law import fit_truncated_power_law
from ww_plugins.metrics import estimators, tail_shapes, tails, uncertainty
from ww_plugins.metrics.scaled import scaled_spectrum

EPS = 2.0**-52
HEAVY = 0.1 * np.random.default_rng(0).standard_t(2, (80, 60))
SINGULAR_VALUES = np.linalg.svd(HEAVY, compute_uv=False)
EIGENVALUES = SINGULAR_VALUES**2
SHAPE = (0.0, EPS, 80, 60)
SPECTRUM = scaled_spectrum(SINGULAR_VALUES, *SHAPE)


def rng():
    return np.random.default_rng(9)


METRICS = {
    "truncated_power_law": tail_shapes.truncated_power_law,
    "truncated_power_law[peak]": lambda spectrum: tail_shapes.truncated_power_law(spectrum, xmin="peak"),
    "tail_alternatives": lambda spectrum: tail_shapes.tail_alternatives(spectrum, 30),
    "alpha_mid": estimators.alpha_mid,
    "power_law_at_peak": estimators.power_law_at_peak,
    "clipped_power_law": estimators.clipped_power_law,
    "alpha_resamples": lambda spectrum: uncertainty.alpha_resamples(spectrum, rng(), replicas=20),
    "power_law_p": lambda spectrum: uncertainty.power_law_p(spectrum, rng(), replicas=20),
}
UNITS = {"tpl_xmin": 2, "tpl_Lambda": -2, "xmin_peak": 2, "exponential_Lambda": -2, "cut_off_Lambda": -2}


def of_values(name, values):
    return METRICS[name](scaled_spectrum(values, *SHAPE))


def columns(result):
    return result if isinstance(result, dict) else vars(result) if hasattr(result, "__dict__") else {"value": result}


@pytest.mark.parametrize("name", METRICS)
@given(exponent=st.integers(-900, 900))
@settings(deadline=None, max_examples=10)
def test_what_has_no_unit_does_not_depend_on_the_scale(name, exponent):
    base, scaled = (columns(of_values(name, np.ldexp(SINGULAR_VALUES, e))) for e in (0, exponent))
    for column, value in base.items():
        if column in UNITS and isinstance(scaled[column], ww.Refused):
            assert abs(exponent) > 400
        elif column in UNITS:
            assert scaled[column] == math.ldexp(value, UNITS[column] * exponent)
        elif column == "lognormal_mu":
            assert scaled[column] == pytest.approx(value + 2 * exponent * math.log(2), rel=1e-12, abs=1e-9)
        else:
            assert scaled[column] == value, column


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("values", [np.zeros(12), np.full(12, 0.3), np.ones(1)], ids=["zeros", "equal", "one"])
def test_no_tail_is_not_applicable(name, values):
    with pytest.raises(ww.NotApplicable):
        of_values(name, values)


def test_a_spectrum_without_width_is_refused():
    values = np.sqrt(np.linspace(1.0, 0.99, 30))
    for name in METRICS.keys() - {"tail_alternatives"}:
        with pytest.raises(ww.Refused, match="without width"):
            of_values(name, values)


@pytest.mark.parametrize("ks", ["lower", "two-sided"])
def test_the_truncated_fit_is_that_of_the_eigenvalues(ks):
    fit = fit_truncated_power_law(EIGENVALUES, ks=ks)
    found = tail_shapes.truncated_power_law(SPECTRUM, ks=ks)
    assert found.tpl_alpha == pytest.approx(fit.alpha, rel=1e-9)
    assert found.tpl_Lambda == pytest.approx(fit.Lambda, rel=1e-9)
    assert found.tpl_D == pytest.approx(fit.D, abs=1e-11)
    assert (found.tpl_xmin, found.tpl_n_tail) == (pytest.approx(fit.xmin, rel=1e-14), fit.n_tail)


def test_the_noise_floor_cuts():
    floor = float(SINGULAR_VALUES[29] + SINGULAR_VALUES[30]) / 2
    cut = scaled_spectrum(SINGULAR_VALUES, floor, EPS, 80, 60)
    found = tail_shapes.truncated_power_law(cut)
    fit = fit_truncated_power_law(EIGENVALUES[:30])
    assert (found.tpl_n_tail, found.tpl_D) == (fit.n_tail, pytest.approx(fit.D, abs=1e-11))
    middle = estimators.alpha_mid(cut)
    assert middle == pytest.approx(1 + 15 / np.log(EIGENVALUES[:15] / EIGENVALUES[14]).sum(), rel=1e-12)


def test_a_bound_above_one_is_refused():
    with pytest.raises(ww.Refused, match="at most 1"):
        tail_shapes.truncated_power_law(SPECTRUM, min_alpha=2.0)


def test_alternatives_speak_of_the_tail_of_the_power_law():
    values = np.linalg.svd(np.random.default_rng(4).standard_normal((80, 60)), compute_uv=False)
    fit = tails.power_law(values, *SHAPE)
    tail = values[values**2 >= fit.xmin * (1 - 1e-12)] ** 2
    assert fit.n_tail == tail.size
    direct = compare_alternatives(tail)
    found = tail_shapes.tail_alternatives(scaled_spectrum(values, *SHAPE), fit.n_tail)
    assert found.exponential_Lambda == pytest.approx(direct.rate, rel=1e-12)
    assert found.exponential_R == pytest.approx(direct.exponential_over.R, rel=1e-9)
    assert found.lognormal_mu == pytest.approx(direct.lognormal.mu, rel=1e-8)
    assert found.lognormal_sigma == pytest.approx(direct.lognormal.sigma, rel=1e-8)
    assert found.cut_off_alpha == pytest.approx(direct.truncated.alpha, rel=1e-8)
    assert found.cut_off_Lambda == pytest.approx(direct.truncated.Lambda, rel=1e-8)
    assert found.preferred_tail == (direct.preferred(0.1) or "power_law")


def alternatives(tail):
    """Of descending eigenvalues that all are in the tail."""
    return tail_shapes.tail_alternatives(scaled_spectrum(np.sqrt(tail), 0.0, EPS, 1, tail.size), tail.size)


def test_the_preferred_tail_has_the_name_of_its_metric():
    random = np.random.default_rng(1)
    x = (1 - random.random(30000)) ** -2.0
    cut_off = np.sort(x[random.random(x.size) < np.exp(-0.02 * (x - 1))])[::-1]
    assert alternatives(cut_off).preferred_tail == "truncated_power_law"
    power_law = np.sort(x[:500])[::-1]
    assert alternatives(power_law).preferred_tail == "power_law"


def test_a_lognormal_that_there_is_not_has_its_reason():
    logs = (-np.log(1 - (np.arange(50) + 0.5) / 50)) ** 1.5
    found = alternatives(np.exp(np.append(logs[::-1], 0.0)))
    assert isinstance(found.lognormal_mu, ww.NotApplicable)
    assert isinstance(found.lognormal_sigma, ww.NotApplicable)
    assert (found.lognormal_R, found.lognormal_p) == (0.0, 1.0)


@pytest.mark.parametrize("n", [2, 3, 10, 11, 60])
def test_the_middle_is_hills_estimate_of_the_upper_half(n):
    values = np.sort(EIGENVALUES[:n])
    upper = values[n // 2 :]
    if upper.size < 2:
        with pytest.raises(ww.NotApplicable, match="upper half"):
            estimators.alpha_mid(scaled_spectrum(SINGULAR_VALUES[:n], *SHAPE))
    else:
        expected = 1 + upper.size / np.log(upper / upper[0]).sum()
        assert estimators.alpha_mid(scaled_spectrum(SINGULAR_VALUES[:n], *SHAPE)) == pytest.approx(expected, rel=1e-12)


def test_the_start_at_the_peak_is_near_the_peak():
    found = estimators.power_law_at_peak(SPECTRUM)
    heights, edges = np.histogram(np.log10(EIGENVALUES), bins=100)
    peak = 10 ** edges[np.argmax(heights)]
    assert 0.95 * peak <= found.xmin_peak <= 1.5 * peak
    tail = EIGENVALUES[found.xmin_peak * (1 - 1e-12) <= EIGENVALUES]
    assert found.n_tail_peak == tail.size
    assert found.alpha_peak == pytest.approx(1 + tail.size / np.log(tail / found.xmin_peak).sum(), rel=1e-9)
    assert found.D_peak >= tails.power_law(SINGULAR_VALUES, *SHAPE).D


BODY = ((np.arange(200) + 0.5) / 200) ** (-1 / 2.0)
"""Quantiles of a density ~ x**-3."""


@pytest.mark.parametrize(("seed", "fingers"), [(0, 0), (2, 2), (7, 1), (9, 9), (42, 10)])
def test_fingers_are_as_few_as_lower_alpha_enough(seed, fingers):
    values = np.linalg.svd(np.random.default_rng(seed).standard_normal((60, 40)), compute_uv=False)
    alphas = [tails.power_law(values[left_out:], 0.0, EPS, 60, 40, min_span=1.0).alpha for left_out in range(11)]
    assert fingers == next(f for f in range(11) if alphas[f] - min(alphas[f:]) < 1.0)
    found = estimators.clipped_power_law(scaled_spectrum(values, 0.0, EPS, 60, 40))
    assert found.num_fingers == fingers
    assert found.alpha_clipped == pytest.approx(alphas[fingers], rel=1e-12)


def test_no_fingers_in_a_clean_tail():
    found = estimators.clipped_power_law(scaled_spectrum(np.sqrt(BODY), 0.0, EPS, 300, 200))
    assert found.num_fingers == 0
    assert found.alpha_clipped == pytest.approx(tails.power_law(np.sqrt(BODY), 0.0, EPS, 300, 200).alpha)


def test_at_most_so_many_fingers_and_half_of_the_values():
    most = estimators.clipped_power_law(SPECTRUM, max_fingers=3, threshold=1e-9)
    assert most.num_fingers <= 3
    few = estimators.clipped_power_law(scaled_spectrum(SINGULAR_VALUES[:4], *SHAPE), threshold=1e-9)
    assert few.num_fingers <= 2
    for parameters in ({"threshold": 0.0}, {"max_fingers": -1}):
        with pytest.raises(ww.Refused, match="above 0"):
            estimators.clipped_power_law(SPECTRUM, **parameters)


def farms(matrix, **parameters):
    batch = matrix if matrix.ndim == 3 else matrix[np.newaxis]
    return estimators.farms(batch, np.ones(batch.shape[0], np.int64), 0.0, EPS, rng(), **parameters)


def test_square_parts_of_a_square_matrix_are_the_matrix():
    square = np.random.default_rng(1).standard_t(3, (40, 40))
    values = np.linalg.svd(square, compute_uv=False)
    found = farms(square, samples=1, share=1.0)
    assert found.farms_n == 40
    assert found.alpha_farms == pytest.approx(tails.power_law(values, 0.0, EPS, 40, 40).alpha, rel=1e-9)


def test_parts_are_square_and_seeded_and_pooled():
    found = farms(HEAVY)
    assert found == farms(HEAVY)
    assert found.farms_n == 16 * 30
    generator = rng()
    pooled = []
    for _ in range(16):
        rows = generator.choice(80, 30, replace=False)
        cols = generator.choice(60, 30, replace=False)
        pooled.append(np.linalg.svd(HEAVY[np.ix_(rows, cols)], compute_uv=False))
    expected = tails.power_law(np.sort(np.concatenate(pooled))[::-1], 0.0, EPS, 30, 30)
    assert found.alpha_farms == pytest.approx(expected.alpha, rel=1e-9)


@pytest.mark.parametrize("exponent", [-1000, 1000])
def test_parts_of_any_scale_and_complex_ones(exponent):
    assert farms(np.ldexp(HEAVY, exponent)).alpha_farms == pytest.approx(farms(HEAVY).alpha_farms, rel=1e-9)
    batch = HEAVY.reshape(4, 20, 60) * (1 + 1j)
    assert farms(batch).farms_n == 4 * 4 * 10
    counted = estimators.farms(batch, np.array([1, 2, 2, 1]), 0.0, EPS, rng())
    assert counted.farms_n == 4 * 6 * 10


def test_the_ratio_of_sides_does_not_enter():
    """Of Gaussian matrices the spectrum depends on N / M; that of square parts of the same side does not."""
    random = np.random.default_rng(2)
    square, tall = random.standard_normal((100, 100)), random.standard_normal((1000, 100))
    whole, parts = [], []
    for matrix in (square, tall):
        values = np.linalg.svd(matrix, compute_uv=False)
        whole.append(estimators.alpha_mid(scaled_spectrum(values, 0.0, EPS, *matrix.shape)))
        values = singular_values_of_parts(matrix[np.newaxis], rng(), side=50, samples=16)[0].ravel()
        parts.append(estimators.alpha_mid(scaled_spectrum(np.sort(values)[::-1], 0.0, EPS, 50, 50)))
    assert whole[1] > 1.5 * whole[0]
    assert parts[1] == pytest.approx(parts[0], rel=0.05)


@pytest.mark.parametrize("parameters", [{"share": 0.0}, {"share": 1.5}, {"samples": 0}])
def test_parts_out_of_range_are_refused(parameters):
    with pytest.raises(ww.Refused, match="above 0"):
        farms(HEAVY, **parameters)


def test_resamples_lie_around_alpha():
    found = uncertainty.alpha_resamples(SPECTRUM, rng())
    assert found.alpha_q16 < tails.power_law(SINGULAR_VALUES, *SHAPE).alpha < found.alpha_q84
    assert found.alpha_spread == (found.alpha_q84 - found.alpha_q16) / 2
    assert found == uncertainty.alpha_resamples(SPECTRUM, rng())


def test_a_power_law_is_plausible_and_a_uniform_distribution_is_not():
    random = np.random.default_rng(3)
    heavy = np.sort((1 - random.random(300)) ** (-1 / 1.5))[::-1]
    comb = np.sort(np.append(np.full(100, 1.0) + 1e-9 * np.arange(100), np.full(100, 5.0) + 1e-9 * np.arange(100)))[
        ::-1
    ]
    plausible, implausible = (
        uncertainty.power_law_p(scaled_spectrum(np.sqrt(values), 0.0, EPS, values.size, values.size), rng())
        for values in (heavy, comb)
    )
    assert plausible > 0.1
    assert implausible < 0.05


def test_few_eigenvalues_are_not_resampled():
    for metric in (uncertainty.alpha_resamples, uncertainty.power_law_p):
        with pytest.raises(ww.NotApplicable, match="resampling needs 10"):
            metric(scaled_spectrum(SINGULAR_VALUES[:9], *SHAPE), rng())
        with pytest.raises(ww.Refused, match="replicas have no"):
            metric(SPECTRUM, rng(), replicas=0)
