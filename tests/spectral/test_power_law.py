import dataclasses
import math
import warnings

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ww_core.errors import NotApplicable, Refused
from ww_core.spectral import fit_power_law, power_law


def brute_force(values, floor=0.0, tie_tolerance=0.0, ks="lower", xmax="none"):
    """The scan without any bound: every start is evaluated, in the same arithmetic. None where there is no tail."""
    data = np.asarray(values)
    kept = np.sort(data[data > floor])
    starts = np.flatnonzero(np.diff(kept, prepend=-np.inf) > tie_tolerance)
    distinct = kept[starts]
    counts = np.diff(starts, append=kept.size).astype(np.float64)
    best = None
    for start in range(distinct.size - 1):
        tail, n_tail = distinct[start:], kept.size - int(starts[start])
        with np.errstate(over="ignore"):
            excess = (tail - tail[0]) / tail[0]
        logs = np.log(tail) - np.log(tail[0]) if np.isinf(excess[-1]) else np.log1p(excess)
        exponent = n_tail / float(counts[start:] @ logs)
        fitted = -np.expm1(-exponent * logs)
        if xmax == "largest":
            fitted /= fitted[-1]
        below = (starts[start:] - starts[start]) / n_tail
        distance = float(np.abs(fitted - below).max())
        if ks == "two-sided":
            distance = max(distance, float(np.abs(fitted - below - counts[start:] / n_tail).max()))
        if best is None or distance < best[1]:
            alpha = 1.0 + exponent
            sigma = (alpha - 1.0) / math.sqrt(n_tail)
            best = (alpha, distance, sigma, float(tail[0]), float(kept[-1]), n_tail)
    return best


def slow_fit(values, ks, xmax="none"):
    """The definition in plain Python: one loop for each candidate, one for each value of its tail."""
    data = sorted(values)
    best = None
    for xmin in sorted(set(data))[:-1]:
        tail = [x for x in data if x >= xmin]
        alpha = 1 + len(tail) / math.fsum(math.log(x / xmin) for x in tail)
        distance = 0.0
        total = 1 if xmax == "none" else 1 - (data[-1] / xmin) ** (1 - alpha)
        for x in set(tail):
            fitted = (1 - (x / xmin) ** (1 - alpha)) / total
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


@pytest.mark.parametrize("xmax", ["none", "largest"])
@pytest.mark.parametrize("ks", ["lower", "two-sided"])
@pytest.mark.parametrize("name", SPECTRA)
def test_agrees_with_the_definition_in_plain_python(name, ks, xmax):
    values = SPECTRA[name]
    alpha, distance, xmin, n_tail = slow_fit(values.tolist(), ks, xmax)
    fit = fit_power_law(values, ks=ks, xmax=xmax)
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


DRAWS = {
    "uniform": lambda random, n: random.random(n),
    "lognormal": lambda random, n: random.lognormal(0, random.uniform(0.1, 5), n),
    "pareto": lambda random, n: (1 - random.random(n)) ** -random.uniform(0.2, 3),
    "gaussian": lambda random, n: (
        np.linalg.svd(random.standard_normal((n // 30 + 1, 45, 30)), compute_uv=False).ravel()[:n] ** 2
    ),
    "student": lambda random, n: (
        np.linalg.svd(random.standard_t(2, (n // 30 + 1, 45, 30)), compute_uv=False).ravel()[:n] ** 2
    ),
    "even": lambda random, n: np.arange(1.0, n + 1) ** random.uniform(0.1, 3),
    "geometric": lambda random, n: np.geomspace(1, random.uniform(1.1, 1e9), n),
    "quantiles": lambda random, n: ((np.arange(n) + 0.5) / n) ** -random.uniform(0.2, 3),
    "tied": lambda random, n: random.integers(1, 3 + n // 4, n).astype(float),
    "pairs": lambda random, n: np.repeat(random.exponential(size=n // 2 + 1), 2),
    "nearly tied": lambda random, n: 1 + random.integers(0, n, n) * 10 ** random.uniform(-15, -9),
    "nearly tied but one": lambda random, n: np.append(1 + random.random(n) * 10 ** random.uniform(-15, -9), 100),
    "nearly tied to the next": lambda random, n: np.cumprod(1 + random.random(n) * 10 ** random.uniform(-15, -9)),
    "neighbours": lambda random, n: 0.7 + random.integers(0, n, n) * 2.0**-53,
    "clusters": lambda random, n: random.choice([1e-9, 1, 7], n) * (1 + 1e-11 * random.random(n)),
    "tiny": lambda random, n: random.random(n) * 1e-300,
    "subnormal": lambda random, n: random.integers(1, 3 + 2 * n, n) * 5e-324,
    "huge": lambda random, n: random.random(n) * 1e300,
    "wide": lambda random, n: np.exp(random.uniform(-690, 690, n)),
    "two ends": lambda random, n: np.where(random.random(n) < 0.5, 1e-300, 1e300) * (1 + 1e-12 * random.random(n)),
}


@given(
    kind=st.sampled_from(sorted(DRAWS)),
    n=st.one_of(st.integers(2, 60), st.integers(2, 1500)),
    seed=st.integers(0, 2**32),
    ks=st.sampled_from(["lower", "two-sided"]),
    xmax=st.sampled_from(["none", "largest"]),
    cut=st.sampled_from([None, None, 0.1, 0.7]),
    tolerance=st.sampled_from([0.0, 0.0, 1e-15, 1e-11, 1e-3]),
)
@settings(deadline=None, max_examples=500)
def test_is_the_fit_of_the_scan_without_bounds(kind, n, seed, ks, xmax, cut, tolerance):
    values = DRAWS[kind](np.random.default_rng(seed), n)
    options = {
        "floor": 0.0 if cut is None else float(np.quantile(values, cut, method="nearest")),
        "tie_tolerance": tolerance * float(values.max()),
        "ks": ks,
        "xmax": xmax,
    }
    expected = brute_force(values, **options)
    if expected is None:
        with pytest.raises(NotApplicable):
            fit_power_law(values, **options)
        return
    with np.errstate(all="raise"):
        assert dataclasses.astuple(fit_power_law(values, **options)) == expected


@pytest.mark.parametrize(("ks", "xmax"), [("lower", "none"), ("lower", "largest"), ("two-sided", "none")])
@pytest.mark.parametrize("kind", DRAWS)
@pytest.mark.parametrize("size", [1500, pytest.param(3500, marks=pytest.mark.stress)])
def test_is_the_fit_of_the_scan_without_bounds_on_larger_spectra(kind, ks, xmax, size):
    values = DRAWS[kind](np.random.default_rng(7), size)
    assert dataclasses.astuple(fit_power_law(values, ks=ks, xmax=xmax)) == brute_force(values, ks=ks, xmax=xmax)


def test_the_longer_of_two_tails_with_equal_distances_wins():
    longer = fit_power_law(np.array([1.0, 1.0, 2.0, 4.0]), ks="two-sided")
    shorter = fit_power_law(np.array([2.0, 4.0]), ks="two-sided")
    assert longer.D == shorter.D
    assert (longer.xmin, longer.n_tail) == (1.0, 4)


@pytest.mark.parametrize("allowance", [1e-9, 1e-6, 1.0])
@pytest.mark.parametrize("kind", DRAWS)
def test_fitting_more_tails_changes_nothing(kind, allowance, monkeypatch):
    values = DRAWS[kind](np.random.default_rng(8), 500)
    monkeypatch.setattr(power_law, "EPS", allowance)
    assert dataclasses.astuple(fit_power_law(values)) == brute_force(values)


@pytest.mark.parametrize("ks", ["lower", "two-sided"])
@pytest.mark.parametrize("kind", ["pareto", "gaussian", "student", "lognormal", "nearly tied", "wide"])
def test_few_tails_are_evaluated(kind, ks, monkeypatch):
    evaluated, fitted = [], []

    def counting_misfits(tails, points, function=power_law._misfits):
        evaluated.extend(tails[0])
        return function(tails, points)

    def counting_fit(*arguments, function=power_law._fit_tail, **options):
        fitted.append(arguments)
        return function(*arguments, **options)

    monkeypatch.setattr(power_law, "_misfits", counting_misfits)
    monkeypatch.setattr(power_law, "_fit_tail", counting_fit)
    fit_power_law(DRAWS[kind](np.random.default_rng(9), 20_000), ks=ks)
    assert len(evaluated) < 150
    assert len(fitted) < 5


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


@pytest.mark.parametrize(
    ("name", "alpha", "distance", "xmin", "n_tail"),
    [
        ("pareto", 2.2329853775568345, 0.04289595742656749, 1.0282836615457043, 112),
        ("gaussian", 3.9716109236215154, 0.22235796159512589, 132.05282867423637, 17),
        ("square", 3.5006296175331446, 0.265914315717012, 75.61056474288264, 15),
        ("lognormal", 2.6275565558022573, 0.0711607452102472, 1.5190708221583071, 27),
        ("tied", 3.5302251658958674, 0.3417323722461148, 4.0, 50),
    ],
)
def test_agrees_with_powerlaw_1_5_when_told_its_xmax(name, alpha, distance, xmin, n_tail):
    # By powerlaw.Fit(values, xmax=max(values)) of 1.5; 2.0 also estimates alpha for the bounded tail.
    fit = fit_power_law(SPECTRA[name], xmax="largest")
    assert fit.alpha == pytest.approx(alpha, rel=1e-12)
    assert abs(fit.D - distance) < 1e-12
    assert fit.xmin == pytest.approx(xmin, rel=1e-12)
    assert fit.n_tail == n_tail


def test_xmax_changes_d_alone_of_a_tail():
    fit, bounded = fit_power_law(SPECTRA["two"]), fit_power_law(SPECTRA["two"], xmax="largest")
    assert dataclasses.replace(bounded, D=fit.D) == fit
    assert abs(fit.D - (0.5 - math.exp(-2))) < 1e-15
    assert abs(bounded.D - 0.5) < 1e-15


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


@given(
    values=st.lists(st.floats(5e-324, 1e308), min_size=2, max_size=40),
    ks=st.sampled_from(["lower", "two-sided"]),
    xmax=st.sampled_from(["none", "largest"]),
)
@example(values=[5e-324, 1.7e308], ks="lower", xmax="largest")
@settings(deadline=None)
def test_no_positive_floats_make_it_warn_or_leave_its_range(values, ks, xmax):
    if len(set(values)) < 2:
        return
    with np.errstate(all="raise"):
        fit = fit_power_law(np.array(values), ks=ks, xmax=xmax)
    assert 1 < fit.alpha < math.inf
    assert 0 <= fit.D <= 1
    assert fit.xmin < fit.xmax == max(values)
    assert fit.n_tail == sum(value >= fit.xmin for value in values)
    assert dataclasses.astuple(fit) == brute_force(values, ks=ks, xmax=xmax)


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
