import hashlib

import mpmath
import numpy as np
import pytest
from scipy import stats

from ww_core.spectral import normal_blocks


def drawn(n, key, **options):
    return np.concatenate([np.empty(0), *normal_blocks(n, key, **options)])


def test_frozen_deviates():
    """Stored results depend on these numbers: they must never change."""
    np.testing.assert_allclose(drawn(4, b"ww"), FROZEN, rtol=1e-14)


FROZEN = [-0.6527252917864727, -1.600676811767262, 1.2262073423157873, -0.7360093429166604]


def test_each_is_the_inverse_normal_at_its_word():
    words = np.random.Philox(key=int.from_bytes(hashlib.blake2b(b"key", digest_size=16).digest(), "little"))
    for deviate, word in zip(drawn(20, b"key"), words.random_raw(20), strict=True):
        at = (mpmath.mpf(int(word) >> 12) + mpmath.mpf("0.5")) / 2**52
        assert float(mpmath.ncdf(deviate)) == pytest.approx(float(at), rel=1e-13)


@pytest.mark.parametrize("block", [1, 7, 64, 1000])
def test_no_deviate_depends_on_the_blocks(block):
    np.testing.assert_array_equal(drawn(200, b"key", block=block), drawn(200, b"key"))


def test_fewer_are_the_first_of_more():
    np.testing.assert_array_equal(drawn(10, b"key"), drawn(50, b"key")[:10])
    assert drawn(0, b"key").size == 0


def test_they_are_normal_and_independent():
    deviates = drawn(400_000, b"normal")
    assert stats.kstest(deviates, "norm").pvalue > 1e-3
    assert abs(deviates.mean()) < 4 / np.sqrt(deviates.size)
    assert abs(deviates.var() - 1) < 4 * np.sqrt(2 / deviates.size)
    assert abs(np.mean(deviates[1:] * deviates[:-1])) < 4 / np.sqrt(deviates.size)
    assert abs(np.mean(deviates * drawn(deviates.size, b"other"))) < 4 / np.sqrt(deviates.size)


class Ends:
    def __init__(self, **_):
        pass

    def random_raw(self, n):
        return np.array([0, 2**64 - 1, 2**63], np.uint64)[:n]


def test_the_ends_are_finite(monkeypatch):
    monkeypatch.setattr(np.random, "Philox", Ends)
    low, high, middle = drawn(3, b"")
    assert (low, high) == (pytest.approx(-8.2, abs=0.1), pytest.approx(8.2, abs=0.1))
    assert low == -high
    assert 0 < middle < 1e-15
