import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ww_core.errors import NotApplicable, Refused
from ww_core.spectral import fit_power_law


def slow_fit(values, ks):
    """The definition in plain Python: one loop for each candidate, one for each value of its tail."""
    data = sorted(values)
    best = None
    for xmin in sorted(set(data))[:-1]:
        tail = [x for x in data if x >= xmin]
        alpha = 1 + len(tail) / math.fsum(math.log(x / xmin) for x in tail)
        distance = 0.0
        for x in set(tail):
            fitted = 1 - (x / xmin) ** (1 - alpha)
            distance = max(distance, abs(fitted - sum(t < x for t in tail) / len(tail)))
            if ks == "two-sided":
                distance = max(distance, abs(fitted - sum(t <= x for t in tail) / len(tail)))
        if best is None or distance < best[1]:
            best = (alpha, distance, xmin, len(tail))
    return best


def pareto(alpha, n, seed):
    return (1 - np.random.default_rng(seed).random(n)) ** (-1 / (alpha - 1))


def marchenko_pastur(rows, cols, seed):
    return np.linalg.svd(np.random.default_rng(seed).standard_normal((rows, cols)), compute_uv=False) ** 2


SPECTRA = {
    "pareto": pareto(2.5, 120, 0),
    "gaussian": marchenko_pastur(90, 60, 1),
    "square": marchenko_pastur(50, 50, 2),
    "lognormal": np.random.default_rng(3).lognormal(size=80),
    "tied": np.random.default_rng(4).integers(1, 9, 70).astype(float),
    "two": np.array([1.0, 3.0]),
    "two-tied": np.array([1.0, 1.0, 3.0, 3.0, 3.0]),
}


@pytest.mark.parametrize("ks", ["lower", "two-sided"])
@pytest.mark.parametrize("name", SPECTRA)
def test_agrees_with_the_definition_in_plain_python(name, ks):
    values = SPECTRA[name]
    alpha, distance, xmin, n_tail = slow_fit(values.tolist(), ks)
    fit = fit_power_law(values, ks=ks)
    assert (fit.xmin, fit.n_tail, fit.xmax) == (xmin, n_tail, values.max())
    assert fit.alpha == pytest.approx(alpha, rel=1e-12)
    assert abs(fit.D - distance) < 1e-13
    assert fit.sigma == pytest.approx((alpha - 1) / math.sqrt(n_tail), rel=1e-12)


@given(
    values=st.lists(st.integers(1, 1000), min_size=2, max_size=25).filter(lambda v: len(set(v)) > 1),
    ks=st.sampled_from(["lower", "two-sided"]),
)
@settings(deadline=None)
def test_agrees_with_the_definition_on_any_whole_numbers(values, ks):
    fit = fit_power_law(np.array(values, dtype=float), ks=ks)
    alpha, distance, xmin, n_tail = slow_fit([float(value) for value in values], ks)
    assert abs(fit.D - distance) < 1e-12
    if (fit.xmin, fit.n_tail) == (xmin, n_tail):  # else two candidates whose D differ by rounding
        assert fit.alpha == pytest.approx(alpha, rel=1e-11)


@pytest.mark.parametrize("name", [name for name in SPECTRA if not name.startswith("two")])
def test_agrees_with_the_powerlaw_package(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what powerlaw and its own imports warn of is not ours
        powerlaw = pytest.importorskip("powerlaw")
        # powerlaw 2.0 looks for alpha between 1 and 3 unless told otherwise
        theirs = powerlaw.Fit(SPECTRA[name], verbose=False, parameter_ranges={"alpha": [1, 1e9]})
        theirs_alpha, theirs_sigma, theirs_distance = (
            theirs.power_law.alpha,
            theirs.power_law.sigma,
            theirs.power_law.D,
        )
    fit = fit_power_law(SPECTRA[name])
    assert fit.xmin == pytest.approx(theirs.xmin, rel=1e-14)
    assert fit.alpha == pytest.approx(theirs_alpha, rel=1e-13)
    assert fit.sigma == pytest.approx(theirs_sigma, rel=1e-13)
    assert abs(fit.D - theirs_distance) < 1e-13


@pytest.mark.parametrize("name", [name for name in SPECTRA if "tied" not in name])
def test_two_sided_distance_is_that_of_scipy(name):
    scipy_stats = pytest.importorskip("scipy.stats")
    fit = fit_power_law(SPECTRA[name], ks="two-sided")
    tail = SPECTRA[name][SPECTRA[name] >= fit.xmin]
    theirs = scipy_stats.kstest(tail, lambda x: 1 - (x / fit.xmin) ** (1 - fit.alpha))
    assert abs(fit.D - theirs.statistic) < 1e-13


@pytest.mark.parametrize("alpha", [1.5, 2.0, 3.5, 6.0])
def test_pareto_values_give_their_exponent_back(alpha):
    fit = fit_power_law(pareto(alpha, 3000, seed=5))
    assert abs(fit.alpha - alpha) < 4 * fit.sigma
    assert fit.sigma < 0.1 * alpha


@given(exponent=st.integers(-990, 990), name=st.sampled_from(sorted(SPECTRA)))
@settings(deadline=None)
def test_scaling_by_a_power_of_two_changes_xmin_and_xmax_only(exponent, name):
    base = fit_power_law(SPECTRA[name])
    fit = fit_power_law(np.ldexp(SPECTRA[name], exponent))
    assert (fit.alpha, fit.D, fit.sigma, fit.n_tail) == (base.alpha, base.D, base.sigma, base.n_tail)
    assert (fit.xmin, fit.xmax) == (math.ldexp(base.xmin, exponent), math.ldexp(base.xmax, exponent))


@given(values=st.lists(st.floats(5e-324, 1e308), min_size=2, max_size=40), ks=st.sampled_from(["lower", "two-sided"]))
@settings(deadline=None)
def test_no_positive_floats_make_it_warn_or_leave_its_range(values, ks):
    if len(set(values)) < 2:
        return
    with np.errstate(all="raise"):
        fit = fit_power_law(np.array(values), ks=ks)
    assert 1 < fit.alpha < math.inf
    assert 0 <= fit.D <= 1
    assert fit.xmin < fit.xmax == max(values)
    assert fit.n_tail == sum(value >= fit.xmin for value in values)


def test_neighbouring_doubles_are_told_apart():
    low, high = 0.1, math.nextafter(0.1, 1)
    fit = fit_power_law(np.array([low, high]))
    assert fit.alpha == pytest.approx(1 + 2 / math.log1p((high - low) / low), rel=1e-12)


def test_the_order_of_the_values_does_not_matter():
    values = SPECTRA["gaussian"]
    assert fit_power_law(values) == fit_power_law(values[::-1]) == fit_power_law(np.sort(values))


def test_values_not_above_the_floor_are_cut():
    values = np.concatenate([SPECTRA["pareto"], [0.0, 0.25, 0.5]])
    assert fit_power_law(values, floor=0.5) == fit_power_law(SPECTRA["pareto"])
    assert fit_power_law(np.append(SPECTRA["pareto"], 0.0)) == fit_power_law(SPECTRA["pareto"])


def test_rounding_of_equal_values_is_merged():
    values = np.repeat(SPECTRA["pareto"], 2)
    noisy = values * (1 + 1e-13 * np.random.default_rng(6).standard_normal(values.size))
    merged = fit_power_law(noisy, tie_tolerance=1e-11 * values.max())
    exact = fit_power_law(values)
    assert merged.n_tail == exact.n_tail
    assert merged.alpha == pytest.approx(exact.alpha, rel=1e-11)
    assert merged.xmax == noisy.max()
    assert fit_power_law(noisy).n_tail != exact.n_tail


def test_a_group_of_ties_is_its_smallest_member():
    fit = fit_power_law(np.array([1.0, 1.25, 1.5, 4.0]), tie_tolerance=0.25)
    assert (fit.xmin, fit.n_tail) == (1.0, 4)
    assert fit.alpha == pytest.approx(1 + 4 / math.log(4))


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([], "no eigenvalue is above the floor"),
        ([0.0, 0.0], "no eigenvalue is above the floor"),
        ([2.0], "all eigenvalues above the floor are equal"),
        ([0.0, 2.0, 2.0], "all eigenvalues above the floor are equal"),
    ],
)
def test_fewer_than_two_distinct_values_have_no_tail(values, reason):
    with pytest.raises(NotApplicable, match=reason):
        fit_power_law(np.array(values))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_is_refused(bad):
    with pytest.raises(Refused, match="1 of 3 eigenvalues"):
        fit_power_law(np.array([1.0, 2.0, bad]))
