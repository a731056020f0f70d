import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ww_core.domain.rounding import ROUNDINGS
from ww_core.errors import NotApplicable
from ww_core.spectral import spectrum_of
from ww_plugins.metrics import norms, ranks


def spectrum(matrix, **options):
    return spectrum_of(np.asarray(matrix)[np.newaxis], rounding=ROUNDINGS["float64"], **options)


def hard_rank(matrix):
    found = spectrum(matrix)
    return ranks.hard_rank(found.singular_values, found.noise_floor)


def low_rank(rank):
    rng = np.random.default_rng(rank)
    return rng.standard_normal((60, rank)) @ rng.standard_normal((rank, 40))


@pytest.mark.parametrize("rank", [1, 5, 40])
def test_the_hard_rank_counts_what_is_there(rank):
    assert hard_rank(low_rank(rank)) == rank
    assert isinstance(hard_rank(low_rank(rank)), int)


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [(np.zeros((5, 4)), 0), (np.eye(7), 7), (np.full((6, 9), 2.0), 1), (np.array([[1e-300, 0.0]]), 1)],
)
def test_the_hard_rank_of_plain_matrices(matrix, expected):
    assert hard_rank(matrix) == expected


def test_zero_and_repeated_rows_do_not_add_to_the_rank():
    matrix = np.random.default_rng(0).standard_normal((50, 80))
    matrix[:10] = 0.0
    matrix[10:20] = matrix[20:30]
    assert hard_rank(matrix) == 30


def test_the_stable_rank_lies_between_one_and_the_rank():
    for rank in (1, 5, 40):
        values = spectrum(low_rank(rank)).singular_values
        frobenius, spectral = norms.frobenius_norm(values), norms.spectral_norm(values)
        found = ranks.stable_rank(frobenius, spectral)
        assert found == pytest.approx(np.linalg.norm(low_rank(rank)) ** 2 / np.linalg.norm(low_rank(rank), 2) ** 2)
        assert 1 - 1e-12 <= found <= rank * (1 + 1e-12)
    assert ranks.stable_rank(3e300, 1e300) == pytest.approx(9)


def test_the_stable_rank_of_zeros_makes_no_sense():
    with pytest.raises(NotApplicable, match="zero"):
        ranks.stable_rank(0.0, 0.0)


@given(n=st.integers(2, 50), size=st.floats(1e-300, 1e300))
def test_the_entropy_of_equal_values_is_one(n, size):
    assert ranks.entropy(np.full(n, size), n) == pytest.approx(1.0, abs=1e-14)


def test_the_entropy_is_that_of_the_shares():
    values = np.array([4.0, 2.0, 1.0, 1e-20])
    shares = np.array([16, 4, 1]) / 21
    expected = -math.fsum(shares * np.log(shares)) / math.log(3)
    assert ranks.entropy(values, 3) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("rank", [0, 1])
def test_the_entropy_needs_two_values(rank):
    with pytest.raises(NotApplicable, match=f"the rank is {rank}"):
        ranks.entropy(np.array([1.0, 0.0]), rank)


@pytest.mark.parametrize("rank", [1, 5, 40])
def test_the_effective_rank_of_equal_values_is_their_number(rank):
    values = np.append(np.full(rank, 3e300), [1e280] * 3)
    entropy = ranks.spectral_entropy(values, rank)
    assert entropy == pytest.approx(math.log(rank), abs=1e-14)
    assert ranks.effective_rank(entropy) == pytest.approx(rank, rel=1e-13)


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=40))
def test_the_effective_rank_is_that_of_roy_and_vetterli(values):
    values = np.sort(values)[::-1]
    shares = values / math.fsum(values)
    entropy = -math.fsum(shares * np.log(shares))
    assert ranks.spectral_entropy(values, values.size) == pytest.approx(entropy, abs=1e-13)
    assert 1 - 1e-12 <= ranks.effective_rank(entropy) <= values.size * (1 + 1e-12)


def test_without_rank_there_is_no_spectral_entropy():
    with pytest.raises(NotApplicable, match="the rank is 0"):
        ranks.spectral_entropy(np.zeros(3), 0)


def test_the_smallest_singular_value_asks_for_full_resolution():
    assert ranks.smallest_singular_value.resolution == "full"
    assert ranks.smallest_singular_value.on_request
    values = spectrum(np.diag([1.0, 1e-12]), resolution="full").singular_values
    assert ranks.smallest_singular_value(values) == pytest.approx(1e-12, rel=1e-3)
