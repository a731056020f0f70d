import itertools

import numpy as np
import pytest
import ruptures
from hypothesis import given, settings
from hypothesis import strategies as st

from ww_core.change_points import piecewise, piecewise_constant


def fit(values, penalty):
    """Starts of the segments of one series."""
    row = np.asarray(values, dtype=float)[None]
    starts = piecewise_constant(row, np.array([penalty]), np.array([row.shape[1]]))
    return tuple(np.flatnonzero(starts[0]).tolist())


def cost_of(values, starts, penalty):
    pieces = np.split(np.asarray(values, dtype=float), starts)
    return sum(np.abs(piece - np.median(piece)).sum() for piece in pieces) + penalty * len(starts)


def every_segmentation(length):
    for size in range(length):
        yield from itertools.combinations(range(1, length), size)


@given(
    values=st.lists(st.integers(-9, 9), min_size=1, max_size=9),
    penalty=st.sampled_from([0.25, 0.5, 1.0, 2.0, 3.5, 7.0, 20.0]),
)
@settings(deadline=None, max_examples=60)
def test_no_segmentation_costs_less(values, penalty):
    costs = {starts: cost_of(values, starts, penalty) for starts in every_segmentation(len(values))}
    least = min(costs.values())
    best = [starts for starts, cost in costs.items() if cost == least]  # eighths are exact
    found = fit(values, penalty)
    assert costs[found] == least
    if len(best) == 1:
        assert found == best[0]


@pytest.mark.parametrize("seed", range(12))
def test_agrees_with_ruptures(seed):
    random = np.random.default_rng(seed)
    length = int(random.integers(10, 60))
    values = random.standard_normal(length).cumsum() if seed % 2 else random.standard_t(3, length)
    values[length // 3 :] += random.integers(0, 5)
    penalty = float(random.uniform(0.3, 6))
    cost = ruptures.costs.CostL1()
    cost.min_size = 1  # of its own accord it takes segments of two values at least
    exact = ruptures.Pelt(custom_cost=cost, min_size=1, jump=1).fit(values)
    theirs = tuple(exact.predict(pen=penalty)[:-1])
    ours = fit(values, penalty)
    assert cost_of(values, ours, penalty) <= cost_of(values, theirs, penalty) + 1e-9
    assert ours == theirs
    if ours:
        best = ruptures.Dynp(custom_cost=cost, min_size=1, jump=1).fit(values).predict(n_bkps=len(ours))
        assert tuple(best[:-1]) == ours


def test_series_are_fitted_each_for_itself_in_chunks_of_any_size(monkeypatch):
    random = np.random.default_rng(1)
    values = random.standard_normal((40, 25)).cumsum(axis=1)
    counts, penalty = random.integers(1, 26, 40), random.uniform(0.5, 3, 40)
    together = piecewise_constant(values, penalty, counts)
    for row, own, size, starts in zip(values, penalty, counts, together, strict=True):
        assert tuple(np.flatnonzero(starts)) == fit(row[:size], own)
    monkeypatch.setattr(piecewise, "_CHUNK_BYTES", 1)
    assert np.array_equal(piecewise_constant(values, penalty, counts), together)


def test_one_level_is_kept_where_two_cost_the_same():
    assert fit([0.0, 0.0, 1.0], 1.0) == ()
    assert fit([0.0, 0.0, 1.0], 0.99) == (2,)
