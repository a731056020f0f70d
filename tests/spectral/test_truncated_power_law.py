import itertools
import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ww_core.errors import NotApplicable, Refused
from ww_core.spectral import cut_off
from ww_core.spectral import truncated_power_law as tpl
from ww_core.spectral.distinct import Distinct
from ww_core.spectral.truncated_power_law import fit_truncated_power_law

mpmath.mp.dps = 30


def drawn(alpha, rate, n, seed):
    """Values of x**-alpha * exp(-rate * x) on x >= 1, by rejection."""
    random = np.random.default_rng(seed)
    found = np.empty(0)
    while found.size < n:
        x = (1 - random.random(4 * n)) ** (-1 / (alpha - 1))
        found = np.append(found, x[random.random(x.size) < np.exp(-rate * (x - 1))])
    return found[:n]


def log_integral(alpha, rate):
    """ln of the integral of x**-alpha * exp(-rate * (x - 1)) over x >= 1, to thirty digits."""
    return mpmath.log(mpmath.expint(alpha, rate)) + rate


def loss(alpha, rate, ratios):
    """Minus the mean log-likelihood of x / xmin, without the fit's own integrals."""
    total = mpmath.log(1 / mpmath.mpf(alpha - 1)) if rate == 0 else log_integral(alpha, rate)
    return float(alpha * np.log(ratios).mean() + rate * (ratios - 1).mean() + total)


RANDOM = np.random.default_rng(7)
SPECTRA = {
    "planted": drawn(2.5, 0.05, 128, 1),
    "pareto": (1 - RANDOM.random(90)) ** (-1 / 1.5),
    "gaussian": np.linalg.svd(RANDOM.standard_normal((100, 64)), compute_uv=False) ** 2,
    "student": np.linalg.svd(RANDOM.standard_t(2, (100, 64)), compute_uv=False) ** 2,
    "exponential": RANDOM.exponential(size=80),
    "geometric": np.geomspace(1, 1e25, 40),
    "tied": RANDOM.integers(1, 9, 70).astype(float),
    "narrow": 1 + 1e-3 * RANDOM.random(40),
    "almost equal": 1 + 1e-11 * RANDOM.random(40),
    "alpha just below 2": (1 - np.random.default_rng(51).random(80)) ** (-1 / 0.97),
    "two": np.array([1.0, 3.0]),
    "two, tied": np.array([1.0, 1.0, 3.0, 3.0, 3.0]),
}


@pytest.mark.parametrize("rate", [1e-25, 1e-3, 2.0, 1e6])
@pytest.mark.parametrize("alpha", [-2.0, 0.0, 1.0, 1.001, 2.5, 30.0])
def test_the_integral_is_that_of_mpmath(alpha, rate):
    found = cut_off.log_integrals_from_1(np.array([alpha]), np.array([rate]))[0]
    assert abs(found - float(log_integral(alpha, rate))) < 3e-14 * max(1.0, abs(found))


def assert_most_likely(data, fits, start):
    ratios = np.repeat(data.values, data.counts.astype(int))
    ratios = ratios[ratios >= data.values[start]] / data.values[start]
    alpha, rate = float(fits.alphas[start]), float(fits.rates[start])
    assert alpha >= 1.0
    assert rate >= 0.0
    least = loss(alpha, rate, ratios)
    assert fits.losses[start] == pytest.approx(least, abs=1e-9 * max(1.0, abs(least)))
    for alpha_step, rate_step in itertools.product([-1e-4, 0.0, 1e-4], repeat=2):
        near = max(1.0, alpha * (1 + alpha_step)), (rate or 1e-4) * (1 + rate_step)
        if near[0] > 1.0 or near[1] > 0.0:
            assert loss(*near, ratios) >= least - 1e-12 * max(1.0, abs(least))


@pytest.mark.parametrize("name", SPECTRA)
def test_every_fit_is_the_most_likely(name):
    """The likelihood is concave, so no neighbour within the bounds may be better."""
    data = Distinct.of(SPECTRA[name])
    fits = tpl._fits(data, 0, data.values.size - 1, 1.0)
    for start in range(0, data.values.size - 1, 5):
        assert_most_likely(data, fits, start)


@pytest.mark.parametrize("ks", ["lower", "two-sided"])
@pytest.mark.parametrize("name", SPECTRA)
def test_passing_over_starts_changes_nothing(name, ks):
    data = Distinct.of(SPECTRA[name])
    fits = tpl._fits(data, 0, data.values.size - 1, 1.0)
    distances = [tpl._distance(data, fits, tail, two_sided=ks == "two-sided")[0] for tail in range(fits.alphas.size)]
    best = int(np.argmin(distances))
    fit = fit_truncated_power_law(SPECTRA[name], ks=ks)
    assert (fit.D, fit.xmin, fit.n_tail) == (distances[best], data.values[best], data.n_tail[best])


@pytest.mark.parametrize("ks", ["lower", "two-sided"])
@pytest.mark.parametrize("name", sorted(SPECTRA.keys() - {"almost equal"}))
def test_the_distance_is_that_of_the_exact_distribution(name, ks):
    values = SPECTRA[name]
    fit = fit_truncated_power_law(values, ks=ks)
    tail = np.sort(values[values >= fit.xmin])
    rate = fit.Lambda * fit.xmin
    distances = []
    for value in np.unique(tail):
        ratio = value / fit.xmin
        above = mpmath.mpf(ratio) ** (1 - fit.alpha)
        if rate:
            above *= mpmath.expint(fit.alpha, rate * ratio) / mpmath.expint(fit.alpha, rate)
        fitted = 1 - float(above)
        distances.append(abs(fitted - np.mean(tail < value)))
        if ks == "two-sided":
            distances.append(abs(fitted - np.mean(tail <= value)))
    assert pytest.approx(max(distances), abs=1e-11) == fit.D


@given(exponent=st.integers(-300, 300), seed=st.integers(0, 3))
@settings(deadline=None, max_examples=30)
def test_the_unit_changes_xmin_and_the_rate_only(exponent, seed):
    values = drawn(2.0, 0.1, 60, seed)
    base, scaled = fit_truncated_power_law(values), fit_truncated_power_law(np.ldexp(values, exponent))
    assert (scaled.alpha, scaled.D, scaled.n_tail) == (base.alpha, base.D, base.n_tail)
    assert scaled.xmin == math.ldexp(base.xmin, exponent)
    assert scaled.Lambda == math.ldexp(base.Lambda, -exponent)


@given(seed=st.integers(0, 1000))
@settings(deadline=None, max_examples=20)
def test_the_order_of_the_values_does_not_matter(seed):
    values = SPECTRA["student"]
    assert fit_truncated_power_law(np.random.default_rng(seed).permutation(values)) == fit_truncated_power_law(values)


@pytest.mark.parametrize(("alpha", "rate"), [(1.5, 0.02), (2.0, 0.1), (2.5, 0.01)])
def test_what_was_planted_is_found(alpha, rate):
    values = drawn(alpha, rate, 20000, 3)
    fit = fit_truncated_power_law(values, between=(0.0, values.min()))
    assert fit.n_tail == values.size
    assert fit.alpha == pytest.approx(alpha, abs=0.05)
    assert fit.Lambda == pytest.approx(rate, rel=0.1)


def test_a_bound_is_reached_exactly():
    exponential = 1.0 - np.log(1.0 - (np.arange(60) + 0.5) / 60)
    whole = (0.0, exponential[0])
    assert fit_truncated_power_law(exponential, between=whole).alpha == 1.0
    assert fit_truncated_power_law(exponential, between=whole, min_alpha=-9.0).alpha == pytest.approx(0.0, abs=0.5)
    # Fewer large values than a power law with a cut-off could have would need Lambda < 0: then there is none.
    convex = np.exp(np.linspace(0.0, 1.0, 30) ** 4)
    fits = tpl._fits(Distinct.of(convex), 0, 29, 1.0)
    without = fits.rates == 0.0
    assert without.any()
    np.testing.assert_allclose(fits.alphas[without], 1 + 1 / fits.logs[without])


def test_the_start_can_be_kept_to_a_range():
    values = SPECTRA["student"]
    fit = fit_truncated_power_law(values, between=(50.0, 100.0))
    assert 50.0 <= fit.xmin <= 100.0
    with pytest.raises(NotApplicable, match="no eigenvalue in the range"):
        fit_truncated_power_law(values, between=(values.max(), math.inf))


def test_what_cannot_be_fitted_is_refused():
    with pytest.raises(NotApplicable, match="equal"):
        fit_truncated_power_law(np.ones(5))
    with pytest.raises(Refused, match="NaN"):
        fit_truncated_power_law(np.array([1.0, np.nan]))
    with pytest.raises(Refused, match="orders of magnitude"):
        fit_truncated_power_law(np.array([1e-200, 1.0, 1e200]))
    with pytest.raises(ValueError, match="at most 1"):
        fit_truncated_power_law(np.array([1.0, 2.0]), min_alpha=1.5)


@pytest.mark.filterwarnings("ignore")  # theirs, of parameters near a bound
def test_agrees_with_powerlaw():
    powerlaw = pytest.importorskip("powerlaw")
    values = SPECTRA["planted"]
    xmin = float(np.sort(values)[20])
    theirs = powerlaw.Fit(values, xmin=xmin, verbose=False).truncated_power_law
    fit = fit_truncated_power_law(values, between=(xmin, xmin))
    assert fit.alpha == pytest.approx(theirs.alpha, rel=2e-3)  # what their simplex leaves
    assert fit.Lambda == pytest.approx(theirs.Lambda, rel=2e-2)


@pytest.mark.stress
@pytest.mark.parametrize("seed", range(200))
def test_passing_over_starts_changes_nothing_on_many_spectra(seed):
    random = np.random.default_rng(seed)
    n = int(random.integers(2, 300))
    values = [
        lambda: random.exponential(size=n),
        lambda: (1 - random.random(n)) ** -random.uniform(0.1, 3),
        lambda: random.lognormal(0, random.uniform(0.05, 4), n),
        lambda: np.linalg.svd(random.standard_t(2, (n + 5, n)), compute_uv=False) ** 2,
        lambda: random.integers(1, 3 + n // 4, n).astype(float) + np.arange(n).clip(max=1),
    ][seed % 5]()
    data = Distinct.of(values)
    fits = tpl._fits(data, 0, data.values.size - 1, 1.0)
    for start in range(0, fits.alphas.size, 40):
        assert_most_likely(data, fits, start)
    distances = [tpl._distance(data, fits, tail, two_sided=False)[0] for tail in range(fits.alphas.size)]
    assert min(distances) == fit_truncated_power_law(values).D
