import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ww_core.errors import UsageError
from ww_core.rank_statistics import resamples
from ww_core.rank_statistics.resamples import sample_and_resamples
from ww_core.rank_statistics.sample import Sample


def sample(*sizes):
    n = sum(sizes)
    return Sample(np.arange(n, dtype=float), np.arange(n, dtype=float), np.array(sizes, dtype=np.int64))


def drawn(models, seed=0, replicates=1000):
    return np.concatenate(list(sample_and_resamples(models, seed, replicates)), axis=1)


def philox(key, words):
    """Raw words of Philox4x64-10, written from its definition (Salmon et al. 2011), without NumPy."""
    mask = 2**64 - 1
    counter, found = 0, []
    while len(found) < words:
        counter += 1
        state = [counter & mask, counter >> 64, 0, 0]
        k0, k1 = key & mask, key >> 64
        for _ in range(10):
            low, high = state[0] * 0xD2E7470EE14C6C93, state[2] * 0xCA5A826395121157
            state = [(high >> 64) ^ state[1] ^ k0, high & mask, (low >> 64) ^ state[3] ^ k1, low & mask]
            k0, k1 = (k0 + 0x9E3779B97F4A7C15) & mask, (k1 + 0xBB67AE8584CAA73B) & mask
        found += state
    return found[:words]


@pytest.mark.parametrize("seed", [0, 7, -1, 2**70])
def test_draws_are_those_of_the_definition(seed):
    models = sample(3, 1, 5)
    key = int.from_bytes(hashlib.blake2b(str(seed).encode(), digest_size=16).digest(), "little")
    words = iter(philox(key, 9 * 20))
    expected = np.zeros((9, 20), dtype=int)
    for replicate in range(20):
        for start, size in ((0, 3), (3, 1), (4, 5)):
            for _ in range(size):
                expected[start + (next(words) >> 32) * size // 2**32, replicate] += 1
    found = drawn(models, seed, 20)
    assert found[:, 0].tolist() == [1] * 9
    assert found[:, 1:].tolist() == expected.tolist()


def test_frozen_draws():
    """Published intervals depend on these numbers: they must never change."""
    assert drawn(sample(6), 0, 3).T.tolist() == [
        [1, 1, 1, 1, 1, 1],
        [0, 3, 1, 2, 0, 0],
        [2, 1, 0, 2, 1, 0],
        [1, 1, 1, 1, 0, 2],
    ]


@given(sizes=st.lists(st.integers(1, 30), min_size=1, max_size=8), seed=st.integers(), replicates=st.integers(0, 40))
def test_every_group_keeps_its_size(sizes, seed, replicates):
    models = sample(*sizes)
    found = drawn(models, seed, replicates)
    assert found.shape == (sum(sizes), 1 + replicates)
    assert found.min() >= 0
    assert (np.add.reduceat(found, models.starts, axis=0) == np.array(sizes)[:, None]).all()


def test_every_model_is_as_likely_as_any():
    found = drawn(sample(7, 3), 1, 20000)[:, 1:]
    for group, size in ((found[:7], 7), (found[7:], 3)):
        deviations = group.sum(axis=1) - 20000
        assert np.abs(deviations).max() < 5 * np.sqrt(20000 * (1 - 1 / size))
        variances = group.var(axis=1)
        np.testing.assert_allclose(variances, 1 - 1 / size, rtol=0.05)


def test_replicates_are_made_in_chunks_of_any_size(monkeypatch):
    together = drawn(sample(40, 2), 5, 200)
    monkeypatch.setattr(resamples, "_CHUNK", 1)
    chunks = list(sample_and_resamples(sample(40, 2), 5, 200))
    assert len(chunks) > 10
    assert np.array_equal(np.concatenate(chunks, axis=1), together)
    assert np.array_equal(drawn(sample(40, 2), 5, 50), together[:, :51])


def test_other_seeds_give_other_resamples():
    assert len({drawn(sample(10), seed, 5).tobytes() for seed in range(100)}) == 100


def test_no_models_and_no_replicates():
    assert drawn(sample(), 0, 3).shape == (0, 4)
    assert drawn(sample(4), 0, 0).shape == (4, 1)
    with pytest.raises(UsageError, match="replicates is -1: 0 or more"):
        drawn(sample(4), 0, -1)
