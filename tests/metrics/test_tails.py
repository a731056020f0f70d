import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import ww_core as ww
from ww_core.domain.rounding import ROUNDINGS
from ww_core.errors import NotApplicable
from ww_core.spectral import fit_power_law, spectrum_of
from ww_plugins.metrics import tails


def fit_of(matrix, stored_dtype="float64", **parameters):
    spectrum = spectrum_of(matrix[np.newaxis], rounding=ROUNDINGS[stored_dtype])
    return tails.power_law(spectrum.singular_values, spectrum.noise_floor, EPS, *matrix.shape, **parameters)


EPS = 2.0**-52
HEAVY = 0.1 * np.random.default_rng(0).standard_t(2, (80, 60))


@pytest.mark.parametrize("ks", ["lower", "two-sided"])
def test_the_fit_is_that_of_the_eigenvalues(ks):
    eigenvalues = np.linalg.svd(HEAVY, compute_uv=False) ** 2
    direct, found = fit_power_law(eigenvalues, ks=ks), fit_of(HEAVY, ks=ks)
    for name in ("alpha", "D", "sigma", "xmin", "xmax", "n_tail"):
        assert getattr(found, name) == pytest.approx(getattr(direct, name), rel=1e-12), name
    assert isinstance(found.n_tail, int)


@given(exponent=st.integers(-900, 900))
@settings(deadline=None)
def test_alpha_does_not_depend_on_the_scale(exponent):
    base, found = fit_of(HEAVY), fit_of(np.ldexp(HEAVY, exponent))
    assert found.alpha == pytest.approx(base.alpha, rel=1e-12)
    assert (found.n_tail, found.D) == (base.n_tail, pytest.approx(base.D, abs=1e-12))
    in_range = isinstance(found.xmin, float) and math.isfinite(found.xmin) and found.xmin > 0
    assert in_range or isinstance(found.xmin, ww.Refused)


def test_the_unit_of_xmin_is_the_square_of_the_weights():
    base, huge, tiny = fit_of(HEAVY), fit_of(np.ldexp(HEAVY, 20)), fit_of(np.ldexp(HEAVY, 1000))
    assert huge.xmin == pytest.approx(math.ldexp(base.xmin, 40), rel=1e-12)
    assert huge.xmax == pytest.approx(math.ldexp(base.xmax, 40), rel=1e-12)
    assert isinstance(tiny.xmin, ww.Refused)
    assert isinstance(tiny.xmax, ww.Refused)
    assert isinstance(fit_of(np.ldexp(HEAVY, -1000)).xmax, ww.Refused)


def test_transposing_changes_nothing():
    assert fit_of(HEAVY.T).alpha == pytest.approx(fit_of(HEAVY).alpha, rel=1e-12)


def test_what_lies_below_the_noise_floor_is_no_tail():
    rng = np.random.default_rng(1)
    low_rank = rng.standard_normal((60, 12)) @ rng.standard_normal((12, 40))
    found = fit_of(low_rank)
    assert found.n_tail <= 12
    expected = fit_power_law(np.linalg.svd(low_rank, compute_uv=False)[:12] ** 2)
    assert found.alpha == pytest.approx(expected.alpha, rel=1e-12)


def test_equal_singular_values_are_one_value():
    rng = np.random.default_rng(2)
    left, right = (np.linalg.qr(rng.standard_normal((40, 40)))[0] for _ in range(2))
    values = np.repeat(np.sort(rng.pareto(3.0, 20) + 1)[::-1], 2)
    expected = fit_power_law(values**2)
    found = fit_of((left * values) @ right)
    assert found.n_tail == expected.n_tail
    assert found.alpha == pytest.approx(expected.alpha, rel=1e-11)


@given(exponent=st.integers(-480, 480))
@settings(deadline=None)
def test_a_cut_is_absolute(exponent):
    eigenvalues = np.linalg.svd(HEAVY, compute_uv=False) ** 2
    expected = fit_power_law(eigenvalues[:36])
    found = fit_of(np.ldexp(HEAVY, exponent), cut=math.ldexp(float(eigenvalues[35]) * 0.99, 2 * exponent))
    assert found.alpha == pytest.approx(expected.alpha, rel=1e-12)
    assert found.n_tail == expected.n_tail


def test_a_cut_holds_beyond_the_range_of_squares():
    assert fit_of(np.ldexp(HEAVY, 900), cut=1e-5).alpha == pytest.approx(fit_of(HEAVY, cut=0.0).alpha, rel=1e-12)
    with pytest.raises(NotApplicable, match="no eigenvalue is above the floor"):
        fit_of(np.ldexp(HEAVY, -900), cut=1e-5)


def test_a_cut_takes_the_place_of_the_noise_floor():
    singular_values = np.linalg.svd(HEAVY, compute_uv=False)
    eigenvalues = singular_values**2
    found = tails.power_law(singular_values, 1.01 * singular_values[20], EPS, *HEAVY.shape, cut=float(eigenvalues[40]))
    assert found.alpha == pytest.approx(fit_power_law(eigenvalues[:40]).alpha, rel=1e-12)  # the cut itself is cut
    with pytest.raises(NotApplicable, match="no eigenvalue is above the floor"):
        fit_of(HEAVY, cut=2.0 * float(eigenvalues[0]))


def test_the_smallest_can_be_dropped_wherever_they_lie():
    singular_values = np.linalg.svd(HEAVY, compute_uv=False)
    found = tails.power_law(singular_values, 0.0, EPS, *HEAVY.shape, drop_smallest=50)
    assert found.alpha == pytest.approx(fit_power_law(singular_values[:10] ** 2).alpha, rel=1e-12)
    with_zeros = np.append(singular_values, np.zeros(3))
    first = tails.power_law(with_zeros, 0.0, EPS, *HEAVY.shape, drop_smallest=2)
    assert first == tails.power_law(singular_values, 0.0, EPS, *HEAVY.shape)
    with pytest.raises(NotApplicable):
        tails.power_law(singular_values, 0.0, EPS, *HEAVY.shape, drop_smallest=61)


def test_ties_can_be_equal_ones_only():
    singular_values = np.sqrt([9.0, 4.0, 2.0 + 1e-13, 2.0, 2.0, 1.0])
    exact, merged = (tails.power_law(singular_values, 0.0, EPS, 100, 6, ties=ties).D for ties in ("exact", "rounding"))
    assert exact == pytest.approx(fit_power_law(singular_values**2).D, rel=1e-12)
    assert merged == pytest.approx(fit_power_law(np.array([9.0, 4.0, 2.0, 2.0, 2.0, 1.0])).D, rel=1e-12)
    assert merged != pytest.approx(exact, rel=1e-3)


@pytest.mark.parametrize(
    ("matrix", "reason"),
    [
        (np.zeros((4, 5)), "no eigenvalue"),
        (np.eye(6), "equal"),
        (np.linalg.qr(np.random.default_rng(3).standard_normal((30, 30)))[0], "equal"),
        (np.full((5, 5), 3.0), "equal"),
        (np.array([[1.0, 2.0, 3.0]]), "equal"),
    ],
)
def test_one_value_has_no_tail(matrix, reason):
    with pytest.raises(NotApplicable, match=reason):
        fit_of(matrix)


def test_alpha_weighted_is_a_product():
    assert tails.alpha_weighted(2.5, -1.5) == -3.75


@pytest.mark.parametrize(
    ("alpha", "sigma", "text"),
    [
        (1.981, 0.075, ""),  # beyond the threshold, and not by its error
        (1.84, 0.075, "over-trained"),
        (1.85, 0.075, ""),
        (4.0, 3.0, ""),
        (6.5, 0.25, ""),
        (6.51, 0.25, "under-trained"),
        (8.143, 2.7, ""),
        (1.99, 0.0, "over-trained"),
        (2.0, 0.0, ""),
        (6.0, 0.0, ""),
        (6.01, 0.0, "under-trained"),
    ],
)
def test_the_warning_is_given_where_the_interval_of_alpha_lies_beyond_a_threshold(alpha, sigma, text):
    assert tails.warning(alpha, sigma) == text


@given(alpha=st.floats(0, 20), sigma=st.floats(0, 10), sigmas=st.floats(0, 5))
def test_a_warning_by_evidence_is_one_by_the_number_too(alpha, sigma, sigmas):
    assert tails.warning(alpha, sigma, sigmas=sigmas) in {"", tails.warning(alpha, sigma, sigmas=0.0)}


def test_the_thresholds_are_parameters():
    assert tails.warning(3.0, 0.1, over_trained=3.5) == "over-trained"
    assert tails.warning(5.5, 0.1, under_trained=5.0) == "under-trained"
    assert tails.warning(1.981, 0.075, sigmas=0.0) == "over-trained"
    assert tails.short_tail(12, below=15) is True


def test_tails_under_ten_are_short():
    assert tails.short_tail(9) is True
    assert tails.short_tail(10) is False
    assert tails.num_pl_spikes(10) == 10
    assert tails.num_pl_spikes.on_request


def test_a_tail_that_rounding_made_is_refused():
    rng = np.random.default_rng(20)
    left, right = (np.linalg.qr(rng.normal(size=(n, 60)))[0] for n in (80, 60))
    for values in ([5, 4, 3, 2, 1, 0.5], [1] * 6):
        matrix = ((left * np.repeat(values, 10)) @ right.T).astype(np.float32)
        with pytest.raises(ww.Refused, match="no wider than the rounding"):
            fit_of(matrix, "float32", min_span=1.0)


ORTHOGONAL = [(64, 4), (4, 64), (8, 8), (32, 32), (33, 65), (128, 16), (20, 300), (100, 99), (256, 64), (200, 200)]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("shape", ORTHOGONAL)
def test_an_orthogonal_layer_has_no_tail_nor_has_it_after_a_small_step(shape, dtype):
    rng = np.random.default_rng(21)
    columns = np.linalg.qr(rng.normal(size=sorted(shape, reverse=True)))[0]
    matrix = columns if shape[0] >= shape[1] else columns.T
    for step in (0.0, 1e-6, 1e-5, 1e-4, 1e-3):
        moved = matrix + step * np.sqrt(np.square(matrix).mean()) * rng.normal(size=shape)
        with pytest.raises(ww.Refused, match="without width"):
            fit_of(moved.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype), dtype)


@pytest.mark.parametrize("draw", ["standard_normal", "pareto", "standard_t"])
def test_what_has_width_is_fitted_as_before(draw):
    rng = np.random.default_rng(22)
    for shape in [(12, 10), (64, 4), (200, 20), (90, 90)]:
        parameters = () if draw == "standard_normal" else (2.5,)
        matrix = getattr(rng, draw)(*parameters, size=shape).astype(np.float32)
        assert fit_of(matrix, "float32") == fit_of(matrix, "float32", min_span=1.0)


@given(span=st.floats(1.001, 1.1), min_span=st.floats(1.0, 1.1), exponent=st.integers(-400, 400))
@settings(deadline=None)
def test_the_span_is_that_of_the_eigenvalues_above_the_floor(span, min_span, exponent):
    assume(abs(span - min_span) > 1e-9)
    eigenvalues = [*np.geomspace(span, 1.0, 12), 0.25, 1e-6, 0.0]
    spectrum, floor = np.ldexp(np.sqrt(eigenvalues), exponent), math.ldexp(0.6, 2 * exponent)
    if span < min_span:
        with pytest.raises(ww.Refused, match="without width"):
            tails.power_law(spectrum, 0.0, EPS, 20, 15, cut=floor, min_span=min_span)
    else:
        assert tails.power_law(spectrum, 0.0, EPS, 20, 15, cut=floor, min_span=min_span).n_tail <= 12
    assert tails.power_law(spectrum, 0.0, EPS, 20, 15, min_span=min_span).n_tail >= 2  # with the small ones it is wide


def test_a_negative_cut_cuts_zeros_only():
    spectrum = np.array([3.0, 2.0, 1.0, 0.0, 0.0])
    assert tails.power_law(spectrum, 0.0, EPS, 5, 5, cut=-1.0) == tails.power_law(spectrum, 0.0, EPS, 5, 5, cut=0.0)
