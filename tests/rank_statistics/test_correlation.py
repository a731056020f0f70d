import math
import tracemalloc

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from ww_core.errors import UsageError
from ww_core.rank_statistics import Undefined, correlation, grouped_correlation
from ww_core.rank_statistics.resamples import sample_and_resamples
from ww_core.rank_statistics.sample import grouped_sample

tied = st.integers(0, 6).map(float)
spread = st.floats(-1e9, 1e9).map(lambda value: round(value, 3))
points = st.one_of(*(st.lists(st.tuples(number, number), min_size=2, max_size=25) for number in (tied, spread)))
labelled = st.lists(st.tuples(tied, tied, st.sampled_from("abcd")), min_size=2, max_size=30)
"""Models: x, y, group."""


def columns(rows):
    return [np.array(column) if not isinstance(column[0], str) else list(column) for column in zip(*rows, strict=True)]


def same(one, other):
    return one == other or (math.isnan(one) and math.isnan(other))


def parts(correlated):
    """All numbers of a correlation, so that two can be compared bit by bit."""
    statistics = (correlated.tau, correlated.rho)
    numbers = [number for statistic in statistics for number in (statistic.value, statistic.low, statistic.high)]
    return np.array([*numbers, correlated.chance]).tobytes(), correlated.pairs, [(s.n, s.reason) for s in statistics]


def all_parts(grouped):
    return {name: parts(getattr(grouped, name)) for name in ("inside", "between", "overall")}


def scipy_tau(x, y):
    return scipy.stats.kendalltau(x, y).statistic if len(x) > 1 else math.nan


def scipy_rho(x, y):
    if len(set(x)) < 2 or len(set(y)) < 2:
        return math.nan
    return scipy.stats.spearmanr(x, y).statistic


@given(points)
@settings(deadline=None)
def test_the_values_are_scipys(rows):
    x, y = columns(rows)
    found = correlation(x, y, replicates=0)
    assert found.tau.value == pytest.approx(scipy_tau(x, y), abs=1e-12, nan_ok=True)
    assert found.rho.value == pytest.approx(scipy_rho(x, y), abs=1e-12, nan_ok=True)


@given(labelled)
@settings(deadline=None)
def test_pairs_are_counted_one_by_one(rows):
    x, y, groups = columns(rows)
    found = grouped_correlation(x, y, groups, replicates=0)
    counts = {"inside": np.zeros(5, dtype=int), "between": np.zeros(5, dtype=int)}
    for i in range(len(x)):
        for j in range(i):
            by_x, by_y = np.sign(x[i] - x[j]), np.sign(y[i] - y[j])
            where = counts["inside" if groups[i] == groups[j] else "between"]
            where += np.array([1, by_x * by_y > 0, by_x * by_y < 0, by_x != 0, by_y != 0])
    counts["overall"] = counts["inside"] + counts["between"]
    for name, (compared, concordant, discordant, untied_x, untied_y) in counts.items():
        part = getattr(found, name)
        pairs = part.pairs
        assert (pairs.compared, pairs.concordant, pairs.discordant, pairs.untied_x, pairs.untied_y) == (
            compared, concordant, discordant, untied_x, untied_y,
        )  # fmt: skip
        if untied_x and untied_y:
            assert part.tau.value == pytest.approx(
                (concordant - discordant) / math.sqrt(untied_x * untied_y), abs=1e-14
            )
        else:
            assert math.isnan(part.tau.value)


def order_statistics(values, confidence):
    """Ends of the interval, found by counting."""
    values = sorted(value for value in values if not math.isnan(value))
    outside = math.floor((len(values) - 1) * (1 - confidence) / 2)
    return values[outside], values[len(values) - 1 - outside]


def resampled(x, y, groups, seed, replicates):
    """The models of each resample: x, y, group."""
    models = grouped_sample(x, y, groups)
    draws = np.concatenate(list(sample_and_resamples(models, seed, replicates)), axis=1)[:, 1:]
    for column in draws.T:
        drawn = np.repeat(np.arange(models.n), column)
        yield models.x[drawn], models.y[drawn], models.group[drawn]


def pooled_rho(x, y, groups):
    """Pearson's correlation of ranks in groups, from its definition."""
    ranks = []
    for values in (x, y):
        scaled = np.zeros(len(values))
        for label in set(groups):
            inside = np.array([group == label for group in groups])
            m = inside.sum()
            scaled[inside] = (scipy.stats.rankdata(values[inside]) - (m + 1) / 2) / math.sqrt(m * (m + 1) / 12)
        ranks.append(scaled)
    norms = [np.sqrt((r**2).sum()) for r in ranks]
    return (ranks[0] * ranks[1]).sum() / (norms[0] * norms[1]) if all(norms) else math.nan


def rho_of_means(x, y, groups):
    groups = np.asarray(groups)
    ranks = [scipy.stats.rankdata(values) for values in (x, y)]
    return scipy_rho(*([own[groups == label].mean().round(9) for label in sorted(set(groups))] for own in ranks))


def tau_of(x, y, kept):
    by_x, by_y = (np.sign(values[:, None] - values[None])[kept] for values in (x, y))
    size = math.sqrt((by_x != 0).sum() * (by_y != 0).sum())
    return (by_x * by_y).sum() / size if size else math.nan


def statistics_of(x, y, groups):
    groups = np.asarray(groups)
    inside = groups[:, None] == groups[None]
    return {
        "inside": (tau_of(x, y, inside), pooled_rho(x, y, groups)),
        "between": (tau_of(x, y, ~inside), rho_of_means(x, y, groups)),
        "overall": (scipy_tau(x, y), scipy_rho(x, y)),
    }


@pytest.mark.parametrize(("n", "ties", "confidence"), [(5, 0, 0.95), (12, 3, 0.95), (40, 0, 0.9), (33, 5, 0.5)])
def test_intervals_are_those_of_scipy_on_every_resample(n, ties, confidence):
    random = np.random.default_rng(n)
    x = random.integers(0, ties, n).astype(float) if ties else random.standard_normal(n)
    y = x + random.standard_normal(n).round(0 if ties else 9)
    found = correlation(x, y, seed=9, replicates=300, confidence=confidence)
    samples = list(resampled(x, y, [0] * n, 9, 300))
    for statistic, oracle in ((found.tau, scipy_tau), (found.rho, scipy_rho)):
        expected = order_statistics([oracle(*drawn[:2]) for drawn in samples], confidence)
        assert (statistic.low, statistic.high) == pytest.approx(expected, abs=1e-12)
        assert statistic.n == n
        assert statistic.reason is None


@pytest.mark.parametrize("ties", [0, 6])
def test_grouped_intervals_are_those_of_the_definitions_on_every_resample(ties):
    random = np.random.default_rng(ties)
    groups = ["a"] * 9 + ["b"] * 4 + ["c"] * 1 + ["d"] * 7
    x = random.integers(0, ties, 21).astype(float) if ties else random.standard_normal(21)
    y = -x + random.standard_normal(21).round(0 if ties else 9)
    found = grouped_correlation(x, y, groups, seed=4, replicates=200)
    for name, expected in statistics_of(x, y, groups).items():
        part = getattr(found, name)
        assert (part.tau.value, part.rho.value) == pytest.approx(expected, abs=1e-12)
    samples = [statistics_of(*drawn) for drawn in resampled(x, y, groups, 4, 200)]
    for name in ("inside", "between", "overall"):
        for place, statistic in enumerate((getattr(found, name).tau, getattr(found, name).rho)):
            expected = order_statistics([own[name][place] for own in samples], 0.95)
            assert (statistic.low, statistic.high) == pytest.approx(expected, abs=1e-12), (name, place)
    assert (found.inside.tau.n, found.between.tau.n, found.between.rho.n, found.overall.tau.n) == (20, 21, 4, 21)


def test_without_ties_rho_inside_is_the_mean_of_the_groups():
    random = np.random.default_rng(0)
    groups = np.repeat(list("abc"), (3, 8, 20)).tolist()
    x, y = random.standard_normal((2, 31))
    found = grouped_correlation(x, y, groups, replicates=0)
    each = [found.groups[label].rho.value for label in "abc"]
    assert found.inside.rho.value == pytest.approx(np.average(each, weights=[2, 7, 19]), abs=1e-14)


@given(labelled, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_order_of_models_and_the_names_of_groups_change_no_bit(rows, random):
    x, y, groups = columns(rows)
    found = grouped_correlation(x, y, groups, replicates=50)
    shuffled = random.sample(rows, len(rows))
    x, y, other = columns(shuffled)
    renamed = [{"a": (1, "z"), "b": 7, "c": None, "d": "a"}[label] for label in other]
    again = grouped_correlation(x, y, renamed, replicates=50)
    assert all_parts(again) == all_parts(found)
    for (_, _, label), name in zip(shuffled, renamed, strict=True):
        assert parts(again.groups[name]) == parts(found.groups[label])
    assert list(again.groups) == list(dict.fromkeys(renamed))


@given(labelled)
@settings(deadline=None)
def test_increasing_functions_change_no_bit(rows):
    x, y, groups = columns(rows)
    found = grouped_correlation(x, y, groups, replicates=50)
    again = grouped_correlation(np.exp(x), 1e3 * y**3 - 7, groups, replicates=50)
    assert all_parts(again) == all_parts(found)


@given(labelled)
@settings(deadline=None)
def test_x_and_y_change_places_and_a_negation_changes_the_sign(rows):
    x, y, groups = columns(rows)
    found = grouped_correlation(x, y, groups, replicates=0)
    swapped, negated = (grouped_correlation(*axes, groups, replicates=0) for axes in ((y, x), (-x, y)))
    for name in ("inside", "between", "overall"):
        own, other, opposite = (getattr(each, name) for each in (found, swapped, negated))
        for statistic in ("tau", "rho"):
            value = getattr(own, statistic).value
            assert same(getattr(other, statistic).value, value)
            assert same(getattr(opposite, statistic).value, -value)
        assert own.pairs.concordant == opposite.pairs.discordant
        assert own.chance == pytest.approx(other.chance, rel=1e-12, nan_ok=True)
        assert own.chance == pytest.approx(opposite.chance, rel=1e-12, nan_ok=True)


@given(points)
@settings(deadline=None)
def test_one_group_is_all(rows):
    x, y = columns(rows)
    alone = correlation(x, y, replicates=50)
    grouped = grouped_correlation(x, y, ["one"] * len(x), replicates=50)
    assert parts(grouped.inside) == parts(grouped.overall) == parts(grouped.groups["one"]) == parts(alone)
    assert math.isnan(grouped.between.tau.value)
    assert math.isnan(grouped.between.rho.value)
    assert grouped.between.tau.reason is Undefined.NO_PAIR


@given(labelled)
@settings(deadline=None)
def test_a_group_answers_as_if_it_were_alone(rows):
    x, y, groups = columns(rows)
    found = grouped_correlation(x, y, groups, replicates=40, seed=3)
    for label, own in found.groups.items():
        members = np.array([group == label for group in groups])
        assert parts(own) == parts(correlation(x[members], y[members], replicates=40, seed=3))


@given(labelled)
@settings(deadline=None)
def test_what_is_missing_has_a_reason(rows):
    x, y, groups = columns(rows)
    found = grouped_correlation(x, y, groups, replicates=30)
    for part in (found.inside, found.between, found.overall, *found.groups.values()):
        for statistic in (part.tau, part.rho):
            missing = [math.isnan(number) for number in (statistic.value, statistic.low, statistic.high)]
            assert any(missing) == (statistic.reason is not None)
            if not any(missing):
                assert -1 <= statistic.low <= statistic.high <= 1
                assert -1 <= statistic.value <= 1


@pytest.mark.parametrize(
    ("x", "y", "reason"),
    [
        ([], [], Undefined.TOO_FEW),
        ([1], [2], Undefined.TOO_FEW),
        ([1, 1, 1], [1, 2, 3], Undefined.X_TIED),
        ([1, 2, 3], [5, 5, 5], Undefined.Y_TIED),
        ([0.0, -0.0, 0.0], [1, 2, 3], Undefined.X_TIED),
    ],
)
def test_degenerate_models(x, y, reason):
    found = correlation(x, y)
    for statistic in (found.tau, found.rho):
        assert math.isnan(statistic.value)
        assert math.isnan(statistic.low)
        assert math.isnan(statistic.high)
        assert statistic.reason is reason
    assert math.isnan(found.chance)
    assert found.tau.n == len(x)


def test_intervals_that_resamples_cannot_give():
    two = correlation([1, 2], [1, 2])
    assert (two.tau.value, two.tau.reason) == (1.0, Undefined.TOO_FEW_TO_RESAMPLE)
    assert math.isnan(two.tau.low)
    assert correlation([1, 2, 3], [1, 2, 4], replicates=0).tau.reason is Undefined.NO_RESAMPLES
    one_differs = correlation([0, 0, 1], [0, 1, 0])  # x differs in 18 of 27 resamples, y in as many, both in 12
    assert one_differs.tau.value == pytest.approx(-0.5)
    assert one_differs.tau.reason is Undefined.UNDEFINED_IN_RESAMPLES
    assert math.isnan(one_differs.tau.high)


def test_groups_of_one_model_have_no_inside():
    found = grouped_correlation([1, 2, 3, 4], [1, 3, 2, 4], "abcd")
    assert found.inside.tau.reason is found.inside.rho.reason is Undefined.TOO_FEW
    assert found.between.pairs == found.overall.pairs
    assert found.between.rho.value == found.overall.rho.value == 0.8
    assert found.between.tau.low == found.between.tau.high == found.between.tau.value  # nothing can be drawn but itself


def test_a_perfect_order_is_exactly_one():
    for n in (2, 3, 10, 57, 1000):
        x = np.random.default_rng(n).standard_normal(n)
        groups = (np.arange(n) % 3).tolist()
        found, opposite = (grouped_correlation(x, y, groups, replicates=20) for y in (np.exp(x), -x))
        for name in ("inside", "overall") if n > 3 else ("overall",):
            for statistic in ("tau", "rho"):
                assert getattr(getattr(found, name), statistic).value == 1.0
                assert getattr(getattr(opposite, name), statistic).value == -1.0


def test_no_number_is_too_large_or_too_small():
    x = [-1.7e308, -5e-324, 0.0, 5e-324, 1.7e308]
    found = correlation(x, [1, 2, 3, 4, 5])
    assert (found.tau.value, found.rho.value) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("x", "y", "sentence"),
    [
        ([1, math.nan], [1, 2], r"x\[1\] is nan: leave out models without a finite number"),
        ([1, 2], [math.inf, 2], r"y\[0\] is inf: leave out"),
        ([[1, 2]], [1, 2], r"x has shape \(1, 2\): one number for each model is needed"),
        ([1, 2, 3], [1, 2], "x has 3 numbers, y has 2: each model needs one of each"),
    ],
)
def test_wrong_arrays_are_refused(x, y, sentence):
    with pytest.raises(UsageError, match=sentence):
        correlation(x, y)


def test_wrong_options_are_refused():
    with pytest.raises(UsageError, match="confidence is 95: a number between 0 and 1"):
        correlation([1, 2], [1, 2], confidence=95)
    with pytest.raises(UsageError, match="replicates is -5"):
        grouped_correlation([1, 2], [1, 2], "ab", replicates=-5)
    with pytest.raises(UsageError, match="x has 2 numbers, y has 2, and there are 3 groups: each model"):
        grouped_correlation([1, 2], [1, 2], "abc")


def test_ten_thousand_models_are_exact_and_need_little_memory():
    random = np.random.default_rng(0)
    x = random.standard_normal(10_000).round(3)
    y = (x + random.standard_normal(10_000)).round(2)
    groups = random.integers(0, 40, 10_000).tolist()
    tracemalloc.start()
    found = grouped_correlation(x, y, groups, replicates=100)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.overall.tau.value == pytest.approx(scipy_tau(x, y), abs=1e-14)
    assert found.overall.rho.value == pytest.approx(scipy_rho(x, y), abs=1e-12)
    assert found.overall.tau.low < found.overall.tau.value < found.overall.tau.high
    assert peak < 100 << 20
