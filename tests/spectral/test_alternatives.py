import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, optimize, stats

from ww_core.errors import NotApplicable
from ww_core.spectral import alternatives
from ww_core.spectral.alternatives import compare_alternatives

RANDOM = np.random.default_rng(5)


def upper_half(values):
    return np.sort(values)[len(values) // 2 :]


TAILS = {
    "pareto": (1 - RANDOM.random(80)) ** (-1 / 1.5),
    "lognormal": upper_half(RANDOM.lognormal(0, 0.5, 120)),
    "wide lognormal": upper_half(RANDOM.lognormal(2, 2.0, 120)),
    "gaussian": upper_half(np.linalg.svd(RANDOM.standard_normal((150, 100)), compute_uv=False) ** 2),
    "student": upper_half(np.linalg.svd(RANDOM.standard_t(2, (150, 100)), compute_uv=False) ** 2),
    "far from the start": 1 + RANDOM.normal(1000, 1, 60).clip(min=1),
}


@pytest.mark.parametrize("name", TAILS)
def test_likelihoods_are_those_of_scipy(name):
    """R and p by their definition, from scipy's densities at the fitted parameters."""
    tail = TAILS[name]
    found, xmin, n = compare_alternatives(tail), tail.min(), tail.size
    power_law = stats.pareto(n / np.log(tail / xmin).sum(), scale=xmin).logpdf(tail)
    densities = {"exponential_over": stats.expon(loc=xmin, scale=1 / found.rate).logpdf(tail)}
    if found.lognormal is not None:
        mu, sigma = found.lognormal.mu, found.lognormal.sigma
        whole = stats.norm(mu, sigma)
        densities["lognormal_over"] = whole.logpdf(np.log(tail)) - np.log(tail) - whole.logsf(math.log(xmin))
    for comparison, density in densities.items():
        ratios = power_law - density
        one = getattr(found, comparison)
        assert pytest.approx(ratios.sum(), rel=1e-9, abs=1e-8) == one.R
        assert one.p == pytest.approx(2 * stats.norm.sf(abs(ratios.sum()) / (ratios.std() * math.sqrt(n))), rel=1e-7)
    cut_off = found.truncated
    total = integrate.quad(
        lambda v: math.exp((1 - cut_off.alpha) * v - cut_off.Lambda * xmin * math.expm1(v)), 0, 60, epsabs=0, limit=500
    )[0]
    ratios = tail / xmin
    density = -cut_off.alpha * np.log(ratios) - cut_off.Lambda * xmin * (ratios - 1) - math.log(total) - math.log(xmin)
    assert pytest.approx((power_law - density).sum(), rel=1e-6, abs=1e-7) == found.truncated_over.R
    if found.truncated_over.R < 0:
        assert found.truncated_over.p == pytest.approx(stats.chi2.sf(-2 * found.truncated_over.R, 1) / 2, rel=1e-9)


@pytest.mark.parametrize("name", TAILS)
def test_the_lognormal_is_the_most_likely(name):
    tail = TAILS[name]
    found = compare_alternatives(tail).lognormal
    logs, start = np.log(tail), math.log(tail.min())
    spread = 1 + logs.var() if found is None else found.sigma

    def loss(parameters):
        mu, log_sigma = parameters
        whole = stats.norm(mu, math.exp(log_sigma))
        return -(whole.logpdf(logs) - whole.logsf(start)).sum()

    if found is None:  # the farther below the tail, the more likely
        slope = 1 / (logs - start).mean()
        losses = [loss((start - slope * sigma**2, math.log(sigma))) for sigma in (spread, 3 * spread, 9 * spread)]
        assert losses == sorted(losses, reverse=True)
    else:
        best = loss((found.mu, math.log(found.sigma)))
        better = optimize.minimize(loss, (found.mu, math.log(found.sigma)), method="Nelder-Mead")
        assert better.fun >= best - 1e-8 * abs(best)


def test_a_lognormal_without_a_maximum_is_told():
    """The logarithms spread more than exponential ones, so that no lognormal is the most likely."""
    logs = -(np.log(1 - (np.arange(50) + 0.5) / 50) ** 1)
    tail = np.exp(np.append(0.0, logs**1.5))
    found = compare_alternatives(tail)
    assert found.lognormal is None
    assert (found.lognormal_over.R, found.lognormal_over.p) == (0.0, 1.0)


@pytest.mark.parametrize("start", [-300.0, -30.0, -3.0, 0.0, 3.0, 30.0, 1e4])
def test_moments_of_a_normal_that_is_cut_off(start):
    log_total, mean, ratio = alternatives._moments(start)
    cut = stats.truncnorm(start, math.inf, loc=-start)
    if abs(start) <= 30:
        assert mean == pytest.approx(cut.mean(), rel=1e-9)
        assert ratio == pytest.approx(1 + cut.var() / cut.mean() ** 2, rel=1e-7)
    expected = stats.norm.logsf(start) + start**2 / 2 + math.log(2 * math.pi) / 2
    assert log_total == pytest.approx(expected, rel=1e-9, abs=1e-7)
    assert 1 < ratio < 2


@pytest.mark.parametrize(
    ("values", "preferred"),
    [
        (np.exp(np.random.default_rng(0).exponential(0.5, 2000)), None),
        (1 + np.random.default_rng(0).exponential(1, 2000), "exponential"),
        (np.exp(1 + 0.5 * np.abs(np.random.default_rng(0).standard_normal(2000))), "lognormal"),
    ],
)
def test_what_was_planted_is_preferred(values, preferred):
    assert compare_alternatives(values).preferred(0.1) == preferred


def test_a_cut_off_is_preferred_where_it_was_planted():
    random = np.random.default_rng(1)
    x = (1 - random.random(30000)) ** -2.0
    x = x[random.random(x.size) < np.exp(-0.02 * (x - 1))]
    assert compare_alternatives(x).preferred(0.1) == "truncated"


@given(exponent=st.integers(-300, 300))
@settings(deadline=None, max_examples=20)
def test_the_unit_changes_rates_and_mu_only(exponent):
    tail = TAILS["student"]
    base, scaled = compare_alternatives(tail), compare_alternatives(np.ldexp(tail, exponent))
    assert scaled.exponential_over == base.exponential_over
    assert scaled.lognormal_over == base.lognormal_over
    assert scaled.truncated_over == base.truncated_over
    assert scaled.rate == math.ldexp(base.rate, -exponent)
    assert scaled.lognormal.mu == pytest.approx(base.lognormal.mu + exponent * math.log(2), rel=1e-12)


def test_two_equal_values_are_no_tail():
    with pytest.raises(NotApplicable, match="equal"):
        compare_alternatives(np.ones(4))


@pytest.mark.parametrize("name", ["pareto", "lognormal", "student", "gaussian"])
@pytest.mark.filterwarnings("ignore")  # theirs, of parameters near a bound
def test_agrees_with_powerlaw(name):
    powerlaw = pytest.importorskip("powerlaw")
    tail = TAILS[name]
    found = compare_alternatives(tail)
    fit = powerlaw.Fit(tail, xmin=tail.min(), verbose=False)
    assert fit.exponential.Lambda == pytest.approx(found.rate, rel=1e-2)  # theirs is what a simplex leaves
    if found.lognormal is not None:
        assert fit.lognormal.mu == pytest.approx(found.lognormal.mu, rel=1e-3)
        assert fit.lognormal.sigma == pytest.approx(found.lognormal.sigma, rel=1e-3)
    if fit.power_law.alpha < 2.999:  # powerlaw 2 has a bound at 3
        compared = {"exponential": found.exponential_over}
        if found.lognormal is not None:  # else theirs is far below the tail, where its likelihood has lost its digits
            compared["lognormal"] = found.lognormal_over
        for other, comparison in compared.items():
            ratio, p = fit.distribution_compare("power_law", other)
            assert pytest.approx(ratio, abs=2e-2) == comparison.R
            assert p == pytest.approx(comparison.p, abs=2e-2)
