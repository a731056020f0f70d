import itertools
import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from ww_core.rank_statistics import chance, correlation, grouped_correlation
from ww_core.rank_statistics.chance import chance_of_order
from ww_core.rank_statistics.sample import grouped_sample, sample_of


def difference(x, y):
    return sum(int(np.sign(x[i] - x[j]) * np.sign(y[i] - y[j])) for i, j in itertools.combinations(range(len(x)), 2))


def distribution(x, y):
    """Exact chances of each difference, from all orders of y."""
    counts = Counter(difference(x, order) for order in itertools.permutations(y))
    return {value: Fraction(count, math.factorial(len(y))) for value, count in counts.items()}


few = st.integers(2, 6).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(0, 4), min_size=n, max_size=n).map(tuple)] * 2)
)


@given(few)
@settings(deadline=None)
def test_it_is_the_share_of_all_orders(points):
    x, y = points
    observed = difference(x, y)
    expected = sum(share for value, share in distribution(x, y).items() if abs(value) >= abs(observed))
    found = chance_of_order(observed, sample_of(x, y))
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(float(expected), rel=1e-14)


@given(st.lists(few, min_size=2, max_size=3))
@settings(deadline=None, max_examples=25)
def test_groups_are_shuffled_each_for_itself(groups):
    together = {0: Fraction(1)}
    for x, y in groups:
        product = Counter()
        for (one, share), (other, weight) in itertools.product(together.items(), distribution(x, y).items()):
            product[one + other] += share * weight
        together = product
    observed = sum(difference(x, y) for x, y in groups)
    expected = sum(share for value, share in together.items() if abs(value) >= abs(observed))
    labels = [label for label, (x, _) in enumerate(groups) for _ in x]
    x, y = (sum((points[side] for points in groups), ()) for side in (0, 1))
    found = chance_of_order(observed, grouped_sample(x, y, labels))
    if all(len(set(x)) == 1 or len(set(y)) == 1 for x, y in groups):
        assert math.isnan(found)
    else:
        assert found == pytest.approx(float(expected), rel=1e-13)


@pytest.mark.parametrize("n", range(2, 31))
def test_a_perfect_order_has_the_chance_two_over_n_factorial(n):
    for order in (np.arange(n), -np.arange(n)):
        found = correlation(np.arange(n), order, replicates=0).chance
        assert found == pytest.approx(2 / math.factorial(n), rel=1e-14)


@pytest.mark.parametrize("n", [3, 8, 15, 27, 40])
def test_it_is_scipys_exact_one(n):
    random = np.random.default_rng(n)
    for noise in (0.1, 1, 10):
        x = random.standard_normal(n)
        y = x + noise * random.standard_normal(n)
        expected = scipy.stats.kendalltau(x, y, method="exact").pvalue
        assert correlation(x, y, replicates=0).chance == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("n", [9, 41, 200])
def test_beyond_it_is_scipys_normal_one_under_ties_too(n):
    random = np.random.default_rng(n)
    x, y = random.integers(0, n // 2, n), random.integers(0, n // 3, n)
    expected = scipy.stats.kendalltau(x, y, method="asymptotic").pvalue
    assert correlation(x, y, replicates=0).chance == pytest.approx(expected, rel=1e-12)


def test_the_normal_one_goes_on_where_the_exact_one_ends(monkeypatch):
    random = np.random.default_rng(3)
    x = np.arange(40)
    y = np.round(x / 2 + random.standard_normal(40) * 15)
    exact = correlation(x, y, replicates=0).chance
    monkeypatch.setattr(chance, "_EXACT_PAIRS", 0)
    assert correlation(x, y, replicates=0).chance == pytest.approx(exact, rel=0.1)
    assert exact != correlation(x, y, replicates=0).chance


def test_many_groups_add_their_variances(monkeypatch):
    random = np.random.default_rng(4)
    labels = np.repeat(np.arange(12), 5)
    x = random.standard_normal(60)
    y = x + 2 * random.standard_normal(60)
    exact = grouped_correlation(x, y, labels.tolist(), replicates=0).inside.chance
    monkeypatch.setattr(chance, "_EXACT_PAIRS", 0)
    assert grouped_correlation(x, y, labels.tolist(), replicates=0).inside.chance == pytest.approx(exact, rel=0.15)


def test_between_groups_there_is_no_chance():
    assert math.isnan(grouped_correlation([1, 2, 3], [3, 1, 2], "abb", replicates=0).between.chance)
