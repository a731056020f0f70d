import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import ww_core as ww
from ww_core.errors import NotApplicable, Refused
from ww_core.spectral import fit_marchenko_pastur
from ww_plugins.metrics import random_matrices
from ww_plugins.metrics.scaled import scaled_spectrum

EPSILON = float(np.finfo(np.float64).eps)


def drawn(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def values_of(matrix):
    return np.linalg.svd(matrix, compute_uv=False)


def outcomes(weights, *columns, **options):
    (row,) = ww.analyze({"w.weight": weights}, metrics=list(columns), **options).layers
    return {column: row.metrics[column] for column in columns}


def numbers(weights, *columns, **options):
    return {column: outcome.number for column, outcome in outcomes(weights, *columns, **options).items()}


# --- the bulk ---------------------------------------------------------------------------------------------------------

BULK = ("bulk_sigma", "lambda_minus", "lambda_plus", "num_spikes", "mp_softrank", "D_mp")


def test_the_columns_are_those_of_the_fit():
    weights = 0.3 * drawn((90, 60))
    weights[:, 0] *= 9.0
    eigenvalues = values_of(weights) ** 2
    fit = fit_marchenko_pastur(eigenvalues, 90, 60)
    expected = (fit.sigma, fit.lambda_minus, fit.lambda_plus, 1, fit.lambda_plus / eigenvalues[0], fit.D)
    assert tuple(numbers(weights, *BULK).values()) == pytest.approx(expected, rel=1e-9)


def test_kernel_slices_are_matrices_of_one_law():
    found = numbers(0.3 * drawn((40, 32, 3, 3)), *BULK)
    assert found["bulk_sigma"] == pytest.approx(0.3, rel=0.02)
    assert found["lambda_plus"] == pytest.approx(0.09 * (math.sqrt(40) + math.sqrt(32)) ** 2, rel=0.03)
    assert found["num_spikes"] == 0
    assert found["D_mp"] < 0.04


def test_the_entries_of_a_transform_have_the_law_too():
    found = numbers(0.3 * drawn((40, 32, 3, 3)), *BULK, extractors=["fft[n=3]"])
    assert found["bulk_sigma"] == pytest.approx(0.9, rel=0.02)  # a frequency is a sum of nine weights
    assert found["num_spikes"] == 0
    assert found["D_mp"] < 0.04


def test_the_level_is_a_parameter():
    spectrum = scaled_spectrum(values_of(drawn((60, 60), 3)), 0.0, EPSILON, 60, 60)
    some = [random_matrices.marchenko_pastur(spectrum, level=p).num_spikes for p in (0.5, 1e-9)]
    assert some[0] >= some[1] == 0


@pytest.mark.parametrize("exponent", [-996, -532, 532, 990])
def test_what_has_no_unit_does_not_depend_on_the_scale(exponent):
    free = ("num_spikes", "mp_softrank", "D_mp", "sigma_mp", "spacing_ratio", "effective_rank", "rand_distance")
    weights = drawn((56, 52))
    scaled = numbers(weights * 2.0**exponent, *free, "bulk_sigma")
    base = numbers(weights, *free, "bulk_sigma")
    assert {c: scaled[c] for c in free if c != "rand_distance"} == {c: base[c] for c in free if c != "rand_distance"}
    assert scaled["bulk_sigma"] == base["bulk_sigma"] * 2.0**exponent
    edges = outcomes(weights * 2.0**exponent, "lambda_plus", "bulk_max")
    assert "outside the range of float64" in edges["lambda_plus"].reason
    assert edges["bulk_max"].state == ww.State.REFUSED


def test_the_names_of_the_peer():
    weights = 0.3 * drawn((90, 60))
    found = numbers(weights, "bulk_sigma", "lambda_plus", "lambda_minus", "sigma_mp", "bulk_max", "bulk_min", "W_scale")
    eigenvalues = values_of(weights) ** 2
    assert found["W_scale"] == pytest.approx(eigenvalues.mean() ** -0.5, rel=1e-12)
    assert found["sigma_mp"] == pytest.approx(found["bulk_sigma"] * math.sqrt(90) * found["W_scale"], rel=1e-12)
    assert found["sigma_mp"] == pytest.approx(1.0, rel=1e-12)
    assert (found["bulk_max"], found["bulk_min"]) == (found["lambda_plus"], found["lambda_minus"])


def test_a_factor_beyond_float64_is_refused():
    with pytest.raises(Refused, match="outside the range"):
        random_matrices.W_scale(1e-310, np.array([1e-310]))
    with pytest.raises(NotApplicable, match="zero"):
        random_matrices.W_scale(0.0, np.zeros(3))


# --- Spectrum's ratio -------------------------------------------------------------------------------------------------


def snr(values, n_rows, n_cols):
    low, high = np.percentile(values, [25, 75])
    threshold = (high - low) / 1.349 * (1 + math.sqrt(min(n_rows, n_cols) / max(n_rows, n_cols)))
    return values[values > threshold].sum() / values[values <= threshold].sum() / values.max()


@pytest.mark.parametrize("shape", [(40, 40), (30, 80), (80, 30)])
def test_the_ratio_of_spectrum(shape):
    values = 0.1 * np.random.default_rng(1).pareto(2.0, min(shape))
    values[::-1].sort()
    assert random_matrices.spectrum_snr(values, 0.0, *shape) == pytest.approx(snr(values, *shape), rel=1e-12)
    assert (
        random_matrices.spectrum_snr(4 * values, 0.0, *shape) == random_matrices.spectrum_snr(values, 0.0, *shape) / 4
    )


@pytest.mark.parametrize("values", [np.ones(20), np.zeros(20), np.array([1.0] + [1e-17] * 19)])
def test_without_noise_there_is_no_ratio(values):
    with pytest.raises(NotApplicable, match="no noise"):
        random_matrices.spectrum_snr(values, 1e-15, 20, 20)


def test_a_ratio_beyond_float64_is_refused():
    with pytest.raises(Refused, match="outside the range"):
        random_matrices.spectrum_snr(np.arange(20.0, 0.0, -1.0) * 1e-310, 0.0, 20, 20)


# --- levels -----------------------------------------------------------------------------------------------------------


def spacing(values, *, floor=1e-13, n_entries=1, num_spikes=0):
    return random_matrices.level_spacing(values, floor, EPSILON, values.size, values.size, n_entries, num_spikes)


def test_the_ratios_are_those_of_neighbouring_spacings():
    values = np.sort(np.random.default_rng(2).random(30))[::-1]
    ratios = []
    for one, two, three in zip(values[3:], values[4:], values[5:], strict=False):
        first, second = one - two, two - three
        ratios.append(min(first, second) / max(first, second))
    found = spacing(values, num_spikes=3)
    assert found.spacing_ratio == pytest.approx(np.mean(ratios), rel=1e-12)
    assert found.spacing_ratio_se == pytest.approx(np.std(ratios, ddof=1) / math.sqrt(len(ratios)), rel=1e-12)


@pytest.mark.parametrize("shape", [(500, 500), (900, 400)])
def test_the_levels_of_noise_repel_each_other(shape):
    found = numbers(drawn(shape, 4), "spacing_ratio", "spacing_ratio_se")
    assert found["spacing_ratio"] == pytest.approx(0.5307, abs=3 * found["spacing_ratio_se"])
    assert found["spacing_ratio_se"] < 0.015


def test_levels_that_know_nothing_of_each_other():
    found = spacing(np.sort(np.random.default_rng(5).random(4000))[::-1])
    assert found.spacing_ratio == pytest.approx(2 * math.log(2) - 1, abs=3 * found.spacing_ratio_se)


def test_equal_levels_are_one():
    values = np.sort(np.random.default_rng(6).random(30))[::-1]
    assert spacing(np.repeat(values, 3)) == spacing(values)


@pytest.mark.parametrize(
    ("values", "options", "kind", "reason"),
    [
        (np.arange(20.0, 0.0, -1.0), {"n_entries": 9}, NotApplicable, "9 entries are pooled"),
        (np.arange(9.0, 0.0, -1.0), {}, NotApplicable, "9 levels"),
        (1.0 + np.arange(20.0, 0.0, -1.0) * 1e-15, {}, Refused, "no wider than the rounding"),
    ],
)
def test_levels_that_cannot_be_told_apart(values, options, kind, reason):
    with pytest.raises(kind, match=reason):
        spacing(values, **options)


@given(arrays(np.float64, st.integers(30, 50), elements=st.floats(0.01, 1.0)))
def test_the_mean_ratio_is_a_share(values):
    values = np.sort(np.array(values))[::-1]
    try:
        found = spacing(values)
    except (NotApplicable, Refused):
        return
    assert 0.0 <= found.spacing_ratio <= 1.0
    assert 0.0 <= found.spacing_ratio_se <= 1.0
