import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ww_core.spectral import permutation, permuted


def test_a_frozen_permutation():
    """Stored results depend on these numbers: they must never change."""
    assert permutation(12, b"ww").tolist() == [1, 5, 3, 0, 10, 6, 8, 11, 9, 7, 2, 4]
    assert permutation(5, b"").tolist() == [4, 3, 1, 2, 0]


@given(n=st.integers(0, 300), key=st.binary(max_size=40))
def test_every_index_once(n, key):
    drawn = permutation(n, key)
    assert drawn.dtype == np.int64
    assert sorted(drawn.tolist()) == list(range(n))


def test_other_keys_give_other_permutations():
    drawn = {tuple(permutation(50, f"key {index}".encode())) for index in range(100)}
    assert len(drawn) == 100


def test_every_place_is_as_likely_as_any():
    counts = np.zeros((8, 8))
    for index in range(4000):
        counts[np.arange(8), permutation(8, index.to_bytes(4, "little"))] += 1
    assert np.abs(counts - 500).max() < 5 * np.sqrt(500)


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16, np.complex128])
def test_all_elements_of_a_batch_are_permuted_together(dtype):
    entries = np.arange(60).reshape(3, 4, 5).astype(dtype)
    shuffled = permuted(entries.transpose(0, 2, 1), b"key")
    assert shuffled.shape == (3, 5, 4)
    assert shuffled.dtype == entries.dtype
    assert sorted(shuffled.astype(np.complex128).real.ravel().tolist()) == list(range(60))
    np.testing.assert_array_equal(shuffled, entries.mT.reshape(-1)[permutation(60, b"key")].reshape(3, 5, 4))
    assert entries[0, 0, 1] == 1
