import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ww_core.errors import NotApplicable
from ww_core.spectral import fit_power_law
from ww_core.spectral.distinct import Distinct
from ww_core.spectral.power_law import fit_power_law_to
from ww_core.spectral.resamples import resampled_alphas, simulated_fits


def pareto(alpha, n, seed):
    return (1 - np.random.default_rng(seed).random(n)) ** (-1 / (alpha - 1))


@given(values=st.lists(st.integers(1, 60), min_size=2, max_size=40).filter(lambda v: len(set(v)) > 1))
@settings(deadline=None)
def test_counted_values_are_those_of_the_list(values):
    numbers, counts = np.unique(np.array(values, dtype=float), return_counts=True)
    with_zeros = np.append(numbers, [70.0, 80.0]), np.append(counts.astype(float), [0.0, 0.0])
    counted = Distinct.counted(*with_zeros)
    direct = Distinct.of(np.array(values, dtype=float))
    for one, other in zip(counted, direct, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("tied", [False, True])
def test_resamples_are_those_of_the_plain_bootstrap(tied):
    values = np.sort(pareto(2.5, 60, 1))
    if tied:
        values = np.repeat(values[::2], 2)
    found = resampled_alphas(Distinct.of(values), np.random.default_rng(3), replicas=20)
    rng = np.random.default_rng(3)
    expected = [fit_power_law(values[rng.integers(60, size=60)]).alpha for _ in range(20)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_resample_has_two_distinct_values():
    data = Distinct.of(np.array([1.0] * 9 + [2.0]))
    assert np.isfinite(resampled_alphas(data, np.random.default_rng(0), replicas=50)).all()


def test_simulated_samples_are_of_the_fit():
    values = np.append(pareto(2.5, 300, 2) * 2, np.random.default_rng(0).random(200))
    data = Distinct.of(values)
    fit = fit_power_law_to(data)
    fits = simulated_fits(data, fit, np.random.default_rng(1), replicas=100)
    assert np.median([one.alpha for one in fits]) == pytest.approx(fit.alpha, abs=0.1)
    assert {one.xmax for one in fits}.isdisjoint(values.tolist())


def test_a_fit_of_all_values_is_simulated_too():
    values = pareto(2.5, 50, 4)
    data = Distinct.of(values)
    fit = fit_power_law_to(data, between=(0.0, values.min()))
    assert fit.n_tail == 50
    fits = simulated_fits(data, fit, np.random.default_rng(1), replicas=5)
    assert all(one.xmin >= fit.xmin for one in fits)


@pytest.mark.parametrize("ks", ["lower", "two-sided"])
def test_a_range_for_xmin_is_kept(ks):
    values = np.sort(pareto(2.0, 80, 5))
    low, high = float(values[20]), float(values[40])
    fits = {x: fit_power_law(values[values >= x], ks=ks, between=(x, x)) for x in values[20:41].tolist()}
    best = min(fits.values(), key=lambda fit: fit.D)
    found = fit_power_law(values, ks=ks, between=(low, high))
    assert (found.xmin, found.n_tail) == (best.xmin, best.n_tail)
    assert found.alpha == pytest.approx(best.alpha, rel=1e-12)
    with pytest.raises(NotApplicable, match="no eigenvalue in the range"):
        fit_power_law(values, ks=ks, between=(2 * high, 2 * high))


def test_the_peak_is_that_of_the_histogram():
    values = np.sort(np.random.default_rng(6).lognormal(size=500))
    heights, edges = np.histogram(np.log10(values), bins=100)
    data = Distinct.of(values)
    assert data.peak() == pytest.approx(10 ** edges[np.argmax(heights)], rel=1e-12)
    low, high = data.around_peak()
    assert (low / data.peak(), high / data.peak()) == (pytest.approx(0.95), pytest.approx(1.5))


@pytest.mark.stress
@pytest.mark.parametrize("alpha", [2.0, 3.0])
@pytest.mark.parametrize("n", [100, 300, 1000])
def test_sigma_covers_where_xmin_is_known(n, alpha):
    hits = 0
    for seed in range(4000):
        values = pareto(alpha, n, [n, seed])
        fit = fit_power_law(values, between=(0.0, float(values.min())))
        assert fit.n_tail == n
        hits += abs(fit.alpha - alpha) <= fit.sigma
    assert hits / 4000 == pytest.approx(0.68, abs=0.04)


def coverage(draw, alpha, samples, replicas=100):
    """How often the middle 68 % of alpha over resamples hold this alpha."""
    hits = 0
    for number in range(samples):
        rng = np.random.default_rng(number)
        alphas = resampled_alphas(Distinct.of(draw(rng)), rng, replicas=replicas)
        low, high = np.quantile(alphas, [0.158655, 0.841345])
        hits += low <= alpha <= high
    return hits / samples


@pytest.mark.stress
@pytest.mark.parametrize("alpha", [2.0, 3.0])
@pytest.mark.parametrize(("n", "samples"), [(100, 800), (300, 400), (1000, 200)])
def test_resamples_cover_the_alpha_of_independent_values(n, samples, alpha):
    found = coverage(lambda rng: (1 - rng.random(n)) ** (-1 / (alpha - 1)), alpha, samples)
    assert 0.60 < found < 0.80


@pytest.mark.stress
def test_resamples_do_not_cover_the_alpha_of_matrices():
    """The reason why they are no interval: eigenvalues are not independent, and their tail is not yet its limit."""

    def draw(rng):
        weights = rng.choice([-1.0, 1.0], (200, 100)) * (1 - rng.random((200, 100))) ** (-1 / 2.5)
        return np.linalg.svd(weights, compute_uv=False) ** 2

    assert coverage(draw, 1 + 2.5 / 2, 100) < 0.3
