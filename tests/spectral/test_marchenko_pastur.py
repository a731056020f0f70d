import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special

from ww_core.domain.rounding import ROUNDINGS
from ww_core.errors import NotApplicable, Refused
from ww_core.spectral import (
    fit_marchenko_pastur,
    marchenko_pastur_cdf,
    marchenko_pastur_edges,
    spectrum_of,
    tracy_widom_quantile,
)
from ww_core.spectral.marchenko_pastur import _largest_of_noise

SHAPES = [(500, 500), (600, 500), (1000, 500), (2500, 500), (10000, 500)]


def eigenvalues_of(entries):
    return np.sort((np.linalg.svd(entries, compute_uv=False) ** 2).ravel())[::-1]


def noise(rng, *shape):
    """Eigenvalues of Gaussian noise of unit variance, without the long side where that is much longer."""
    *entries, N, M = shape
    if entries or N < 3 * M:
        return eigenvalues_of(rng.standard_normal(shape))
    return np.sort(eigenvalues_of(bidiagonal(rng, N, M)))[::-1]


def bidiagonal(rng, N, M):
    """A matrix with the singular values of an N x M Gaussian one (Dumitriu and Edelman 2002)."""
    made = np.diag(np.sqrt(rng.chisquare(np.arange(N, N - M, -1))))
    made[np.arange(1, M), np.arange(M - 1)] = np.sqrt(rng.chisquare(np.arange(M - 1, 0, -1)))
    return made


def spiked(rng, N, M, strengths):
    """Noise with spikes, of singular values in units of the threshold of detectability, (N M)**(1/4)."""
    k = len(strengths)
    left, right = (np.linalg.qr(rng.standard_normal((side, k)))[0] for side in (N, M))
    return rng.standard_normal((N, M)) + left * (np.array(strengths) * (N * M) ** 0.25) @ right.T


# --- the law ----------------------------------------------------------------------------------------------------------


def density(x, N, M):
    low, high = marchenko_pastur_edges(N, M)
    return math.sqrt(max(0.0, (high - x) * (x - low))) / (2 * math.pi * M * x)


@pytest.mark.parametrize(("N", "M"), [(7.0, 7.0), (8.0, 7.9), (10.0, 5.0), (100.0, 5.0), (1e4, 3.0)])
def test_the_cdf_is_the_integral_of_the_density(N, M):
    low, high = marchenko_pastur_edges(N, M)
    for share in (0.02, 0.2, 0.5, 0.9, 0.999):
        x = low + share * (high - low)
        # with x = t**2 the density of a square matrix is finite at zero
        expected, _ = integrate.quad(
            lambda t: 2 * t * density(t * t, N, M), math.sqrt(low), math.sqrt(x), epsabs=1e-11, limit=200
        )
        assert marchenko_pastur_cdf(np.array([x]), N, M)[0] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("N", "M"), [(5, 5), (50, 5), (1e9, 1.0)])
def test_the_cdf_goes_from_zero_to_one(N, M):
    low, high = marchenko_pastur_edges(N, M, 2.0)
    points = np.array([0.0, low, low + 1e-9, high, 2 * high])
    assert marchenko_pastur_cdf(points, N, M, 2.0) == pytest.approx([0, 0, 0, 1, 1], abs=1e-4)
    grid = marchenko_pastur_cdf(np.linspace(low, high, 1001), N, M, 2.0)
    assert (np.diff(grid) >= -1e-9).all()


def test_a_square_matrix_has_the_law_of_the_quarter_circle():
    x = np.linspace(0.1, 3.9, 7)
    angles = 2 * np.arcsin(np.sqrt(x) / 2)
    assert marchenko_pastur_cdf(9 * x, 9, 9) == pytest.approx((angles + np.sin(angles)) / np.pi, rel=1e-12)


def exceeded(x):
    """Probability that the Tracy-Widom variable of real matrices exceeds x: 1 - det(1 - V) of Ferrari and Spohn."""
    nodes, weights = np.polynomial.legendre.leggauss(60)
    points, roots = x + 12.0 * (nodes + 1), np.sqrt(12.0 * weights)
    kernel = 0.5 * special.airy((points[:, None] + points) / 2)[0]
    values = np.linalg.eigvalsh(roots[:, None] * kernel * roots)
    return -math.expm1(float(np.log1p(-values).sum()))


@pytest.mark.parametrize("tail", [0.5, 0.3, 0.1, 0.03, 0.01, 3e-3, 1e-4, 3e-5, 1e-7, 3e-10, 1e-12])
def test_the_tracy_widom_quantiles(tail):
    quantile = tracy_widom_quantile(tail)
    assert exceeded(quantile + 0.004) < tail < exceeded(quantile - 0.004)


@pytest.mark.parametrize(("N", "M", "tail"), [(4, 4, 1e-7), (100, 100, 0.01), (500, 20, 1e-4), (50000, 20, 1e-4)])
def test_the_margin_is_where_the_work_is_that_of_tracy_and_widom(N, M, tail):
    quantile = tracy_widom_quantile(tail)
    found = _largest_of_noise(np.array([float(N)]), np.array([float(M)]), quantile)[0]
    low, high = marchenko_pastur_edges(N - 0.5, M - 0.5)
    work, _ = integrate.quad(lambda x: math.sqrt((x - low) * (x - high)) / (2 * x), high, found)
    assert work == pytest.approx(2 / 3 * quantile**1.5, rel=1e-8)
    scale = math.sqrt(high) * ((N - 0.5) ** -0.5 + (M - 0.5) ** -0.5) ** (1 / 3)
    assert found == pytest.approx(high + quantile * scale, rel=0.25 if M == 4 else 2e-3)


# --- noise ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("N", "M"), SHAPES)
def test_the_edge_of_noise_is_right_within_one_percent(N, M):
    rng = np.random.default_rng(N)
    for sigma in (1.0, 0.02):
        fit = fit_marchenko_pastur(sigma**2 * noise(rng, N, M), N, M)
        low, high = marchenko_pastur_edges(N, M, sigma)
        assert fit.lambda_plus == pytest.approx(high, rel=0.01)
        assert fit.lambda_minus == pytest.approx(low, rel=0.01)
        assert fit.sigma == pytest.approx(sigma, rel=0.005)
        assert fit.D < 0.01
        assert (fit.num_spikes, fit.n_bulk) == (0, M)


@pytest.mark.parametrize("shape", [(50, 50), (60, 30), (200, 20), (9, 16, 16), (9, 64, 3), (500, 4, 4)])
def test_noise_has_a_spike_no_more_often_than_the_level_says(shape):
    rng = np.random.default_rng(1)
    fits = [fit_marchenko_pastur(noise(rng, *shape), *shape[-2:], level=0.05) for _ in range(400)]
    assert sum(fit.num_spikes > 0 for fit in fits) <= 400 * 0.05 + 3 * math.sqrt(400 * 0.05)


@pytest.mark.stress
@pytest.mark.parametrize(
    "shape", [(50, 50), (300, 300), (200, 100), (1000, 100), (2000, 100), (9, 64, 64), (9, 32, 16)]
)
def test_noise_has_a_spike_in_one_of_a_hundred_matrices_at_most(shape):
    rng = np.random.default_rng(2)
    fits = [fit_marchenko_pastur(noise(rng, *shape), *shape[-2:]) for _ in range(2000)]
    assert sum(fit.num_spikes > 0 for fit in fits) <= 20 + 3 * math.sqrt(20)


def test_complex_noise_has_the_same_law():
    rng = np.random.default_rng(3)
    entries = rng.standard_normal((4, 200, 150, 2)) @ np.array([1, 1j]) * 3 / math.sqrt(2)
    fit = fit_marchenko_pastur(eigenvalues_of(entries), 200, 150)
    assert fit.sigma == pytest.approx(3.0, rel=0.01)
    assert fit.D < 0.01
    assert fit.num_spikes == 0


@pytest.mark.parametrize(("dead", "N", "M"), [(20, 100, 80), (50, 100, 100)])
def test_dead_columns_and_rows_of_the_shorter_side_do_not_count(dead, N, M):
    entries = np.random.default_rng(4).standard_normal((N, M))
    alive = fit_marchenko_pastur(eigenvalues_of(entries[:, dead:]), N, M - dead)
    entries[:, :dead] = 0.0
    fit = fit_marchenko_pastur(eigenvalues_of(entries), N, M, floor=1e-20)
    assert (fit.sigma, fit.lambda_plus, fit.D) == pytest.approx((alive.sigma, alive.lambda_plus, alive.D), rel=1e-9)


# --- spikes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("N", "M"), [(200, 200), (600, 200), (2000, 100)])
@pytest.mark.parametrize(
    "strengths", [[1.7], [30.0], [1e5], [2.0, 3.0, 4.0], [2.5] * 20, [1e3] * 20], ids=lambda s: f"{len(s)}x{s[0]:g}"
)
def test_planted_spikes_are_found_and_do_not_change_the_bulk(N, M, strengths):
    fit = fit_marchenko_pastur(eigenvalues_of(spiked(np.random.default_rng(5), N, M, strengths)), N, M)
    assert fit.num_spikes == len(strengths)
    assert fit.sigma == pytest.approx(1.0, rel=0.015)
    assert fit.lambda_plus == marchenko_pastur_edges(N - len(strengths), M - len(strengths), fit.sigma)[1]


@pytest.mark.parametrize("Q", [1, 4])
@pytest.mark.parametrize("strength", [3.0, 10.0, 1000.0])
def test_a_quarter_of_the_matrix_may_be_spikes_of_one_size(Q, strength):
    M = 160
    fit = fit_marchenko_pastur(eigenvalues_of(spiked(np.random.default_rng(6), Q * M, M, [strength] * 40)), Q * M, M)
    assert fit.num_spikes == 40
    assert fit.sigma == pytest.approx(1.0, rel=0.02)


def test_what_is_below_the_threshold_of_detectability_is_no_spike():
    rng = np.random.default_rng(7)
    found = [fit_marchenko_pastur(eigenvalues_of(spiked(rng, 150, 100, [0.8])), 150, 100) for _ in range(30)]
    assert sum(fit.num_spikes for fit in found) <= 2


@pytest.mark.parametrize("freedom", [1.5, 2.0])
def test_a_heavy_tailed_bulk_shows_its_misfit(freedom):
    M = 300
    entries = np.random.default_rng(8).standard_t(freedom, (300, M))
    fit = fit_marchenko_pastur(eigenvalues_of(entries), 300, M)
    assert 1.5 * (2.2 + math.log(M) / 2) / M < fit.D


def test_a_bulk_of_one_value_shows_its_misfit():
    assert pytest.approx((np.pi / 3 + np.sqrt(3) / 2) / np.pi) == fit_marchenko_pastur(np.ones(100), 100, 100).D


# --- laws -------------------------------------------------------------------------------------------------------------

spectra = st.tuples(st.integers(10, 60), st.integers(0, 60), st.integers(1, 3), st.floats(0.3, 30), st.integers(0, 99))


def drawn(M, more, n_matrices, shape, seed):
    """Eigenvalues from nearly equal ones to very heavy tails."""
    rng = np.random.default_rng(seed)
    return rng.pareto(shape, M * n_matrices) + 0.1, M + more, M


def fitted(*case, **options):
    try:
        return fit_marchenko_pastur(*case, **options)
    except Refused as refused:
        return str(refused)


@settings(max_examples=60, deadline=None)
@given(case=spectra, exponent=st.integers(-400, 400))
def test_scale_order_and_orientation_do_not_matter(case, exponent):
    values, N, M = drawn(*case)
    fit, turned = fitted(values, N, M), fitted(np.ldexp(values[::-1], 2 * exponent), M, N)
    if isinstance(fit, str):
        assert turned == fit
        return
    assert (turned.num_spikes, turned.n_bulk, turned.D) == (fit.num_spikes, fit.n_bulk, fit.D)
    assert turned.sigma == math.ldexp(fit.sigma, exponent)
    assert turned.lambda_plus == pytest.approx(math.ldexp(fit.lambda_plus, 2 * exponent), rel=1e-14)


@settings(max_examples=60, deadline=None)
@given(case=spectra, level=st.floats(1e-6, 0.2))
def test_a_fit_is_consistent(case, level):
    values, N, M = drawn(*case)
    fit = fitted(values, N, M, level=level)
    if isinstance(fit, str):
        return
    assert fit.num_spikes == np.count_nonzero(values > fit.threshold) <= values.size // 2
    assert fit.n_bulk == values.size - fit.num_spikes
    k = fit.num_spikes * M / values.size
    low, high = marchenko_pastur_edges(N - k, M - k, fit.sigma)
    assert (fit.lambda_minus, fit.lambda_plus) == pytest.approx((low, high), rel=1e-12)
    bulk = np.sort(values)[: fit.n_bulk]
    shares = marchenko_pastur_cdf(bulk, N - k, M - k, fit.sigma)
    steps = np.arange(bulk.size + 1) / bulk.size
    assert pytest.approx(max((steps[1:] - shares).max(), (shares - steps[:-1]).max()), abs=1e-12) == fit.D
    assert 0.0 < fit.D <= 1.0


# --- what has no bulk -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "shape", "reason"),
    [
        (np.arange(1.0, 10.0), (9, 9), "of 9 eigenvalues 9 are above the floor: a bulk needs 10"),
        (np.zeros(30), (40, 30), "of 30 eigenvalues 0 are above"),
        (np.ones(30), (5, 1), "one row or one column"),
    ],
)
def test_what_has_no_bulk_has_no_fit(values, shape, reason):
    with pytest.raises(NotApplicable, match=reason):
        fit_marchenko_pastur(values, *shape)


@pytest.mark.parametrize(
    ("values", "shape", "level", "reason"),
    [
        (10.0 ** np.arange(30.0), (30, 30), 0.01, "no bulk of noise"),
        (np.append(np.ones(29), np.nan), (30, 30), 0.01, "1 of 30 eigenvalues are NaN or infinite"),
        (np.append(np.ones(29), np.inf), (30, 30), 0.01, "1 of 30 eigenvalues are NaN or infinite"),
        (np.arange(1.0, 31.0), (40, 20), 0.01, "30 eigenvalues are not those of whole matrices, each with 20"),
        *((np.arange(1.0, 31.0), (30, 30), level, "is above 0 and below 1") for level in (0.0, 1.0, -3.0, np.nan)),
    ],
)
def test_what_has_no_sound_fit_is_refused(values, shape, level, reason):
    with pytest.raises(Refused, match=reason):
        fit_marchenko_pastur(values, *shape, level=level)


def test_it_agrees_on_the_spectrum_of_the_core():
    entries = np.random.default_rng(9).standard_normal((2, 40, 30))
    spectrum = spectrum_of(entries, rounding=ROUNDINGS["float64"])
    fit = fit_marchenko_pastur(spectrum.eigenvalues, 40, 30)
    assert fit.sigma == pytest.approx(math.sqrt(np.mean(entries**2)), rel=1e-12)
