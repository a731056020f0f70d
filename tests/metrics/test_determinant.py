import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ww_core.errors import NotApplicable
from ww_plugins.metrics import determinant
from ww_plugins.metrics.scaled import scaled_spectrum


def condition(eigenvalues, floor=0.0):
    values = np.sqrt(np.sort(np.asarray(eigenvalues, dtype=float))[::-1])
    return determinant.determinant_condition(scaled_spectrum(values, floor, 2.0**-52, 1, values.size))


def test_the_product_is_first_below_one():
    # Of mean 1: 4 * 0.6 * 0.25 * 0.1 ... : 4, 2.4, 0.6
    found = condition(10 * np.array([4.0, 0.6, 0.25, 0.1, 0.05]))
    assert (found.detX_num, found.detX_val) == (3, pytest.approx(2.5))


@given(st.lists(st.floats(0.01, 100.0), min_size=3, max_size=60, unique=True))
def test_brute_force_by_exact_sums(eigenvalues):
    ordered = sorted(eigenvalues, reverse=True)
    if ordered[0] < 1.001 * ordered[-1]:
        return
    mean = math.fsum(ordered) / len(ordered)
    sums = [math.fsum(math.log(x / mean) for x in ordered[:k]) for k in range(1, len(ordered) + 1)]
    if min(map(abs, sums)) < 1e-9:
        return
    expected = next(k for k, total in enumerate(sums, 1) if total < 0)
    found = condition(eigenvalues)
    assert found.detX_num == expected
    assert found.detX_val == pytest.approx(ordered[expected - 1], rel=1e-12)
    assert condition([1e200 * x for x in eigenvalues]).detX_num == expected


@pytest.mark.parametrize("size", [4000, 20000])
def test_large_products_neither_overflow_nor_underflow(size):
    # The shares of a quarter circle: its logarithms, from the top, add up to zero at a fixed share.
    angles = np.pi * (np.arange(size) + 0.5) / size
    eigenvalues = 4 * np.cos(angles / 2) ** 2
    found = condition(eigenvalues).detX_num / size
    assert condition(eigenvalues[::4]).detX_num / (size // 4) == pytest.approx(found, abs=2 / size * 8)
    assert 0.6 < found < 0.99


def test_what_is_not_above_the_floor_is_no_part_of_the_product():
    found = condition([*[4.0, 3.0], *[1e-30] * 6], floor=1e-10)
    assert (found.detX_num, found.detX_val) == (2, pytest.approx(3.0))
    assert condition([5.0, 0.0, 0.0]).detX_num == 1
    assert condition([2.0, 2.0, 0.0]).detX_num == 2


@pytest.mark.parametrize(
    ("eigenvalues", "reason"), [(np.zeros(3), "zero"), (np.full(9, 2.5), "equal"), ([7.0], "equal")]
)
def test_where_there_is_no_condition(eigenvalues, reason):
    with pytest.raises(NotApplicable, match=reason):
        condition(eigenvalues, floor=1e-12)


def test_the_gap():
    assert determinant.ERG_gap(5, 7) == -2
