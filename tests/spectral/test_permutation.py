import hashlib

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ww_core.spectral import permutation, permuted
from ww_core.spectral.permutation import BUCKET, FEW, stable_order


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


def plain(words):
    """The definition: the stable order of the words."""
    return np.argsort(words, kind="stable")


def words_of(n, key):
    seed = int.from_bytes(hashlib.blake2b(key, digest_size=16).digest(), "little")
    return np.random.Philox(key=seed).random_raw(n)


@pytest.mark.parametrize("n", [FEW, FEW + 1, 10_007, BUCKET, BUCKET + 1, 2 * BUCKET + 5, 600_011])
def test_it_is_the_stable_order_of_the_words_of_any_number(n):
    key = str(n).encode()
    np.testing.assert_array_equal(permutation(n, key), plain(words_of(n, key)))


@pytest.mark.parametrize("different", [1, 2, 50, 5000, 2**40])
@pytest.mark.parametrize("shift", [0, 20, 31, 44])
def test_words_that_are_equal_in_part_or_altogether_keep_their_order(different, shift):
    words = np.random.default_rng(different).integers(0, different, 3 * FEW, dtype=np.uint64) << np.uint64(shift)
    np.testing.assert_array_equal(stable_order(words), plain(words))


@pytest.mark.parametrize("known", [1, 5, 20])
def test_first_bits_that_are_the_same_change_no_order(known):
    words = words_of(2 * FEW, b"known") >> np.uint64(known)
    words[::7] = words[3]
    np.testing.assert_array_equal(stable_order(words, known), plain(words))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.complex64, np.complex128])
def test_entries_of_every_size_go_where_the_permutation_says(dtype):
    entries = words_of(3 * BUCKET, b"entries").view(np.uint8)[: (BUCKET + 3) * np.dtype(dtype).itemsize].view(dtype)
    expected = entries[permutation(entries.size, b"key")]
    np.testing.assert_array_equal(permuted(entries, b"key").view(np.uint8), expected.view(np.uint8))


@pytest.mark.parametrize("dtype", ["S3", "S32"])
def test_entries_of_another_size_are_one_clear_error(dtype):
    with pytest.raises(
        TypeError, match=r"elements of type \|S\d+ cannot be permuted: those of 1, 2, 4, 8 or 16 bytes can"
    ):
        permuted(np.zeros(2, dtype), b"x")
