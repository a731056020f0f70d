import math
import statistics
import tracemalloc
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ww_core.errors import NotApplicable, Refused
from ww_core.spectral import blocks as blocks_module
from ww_core.spectral import float64_blocks, moments, quantiles
from ww_core.spectral import statistics as statistics_module

DTYPES = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16, "float32": np.float32, "float64": np.float64}
PROBABILITIES = (0.0, 0.01, 0.25, 1 / 3, 0.5, 0.75, 0.9, 1.0)


@st.composite
def stored_arrays(draw):
    """Finite bit patterns of any stored dtype: zeros of both signs, subnormals, limits; and plain random numbers."""
    dtype = np.dtype(DTYPES[draw(st.sampled_from(sorted(DTYPES)))])
    size = draw(st.integers(1, 60))
    if draw(st.booleans()):
        bits = draw(hnp.arrays(np.dtype(f"u{dtype.itemsize}"), size))
        array = bits.view(dtype)
        with np.errstate(invalid="ignore"):  # of signalling NaNs
            array = np.where(np.isfinite(array), array, dtype.type(0))
    else:
        array = np.random.default_rng(draw(st.integers(0, 999))).standard_normal(size).astype(dtype)
    return array


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 5), (2, 3, 4, 5), (0,), (3, 0)])
def test_blocks_are_the_numbers_in_c_order(dtype, shape):
    array = np.random.default_rng(0).standard_normal(shape).astype(DTYPES[dtype])
    for view in (array, array.T):
        blocks = [block.copy() for block in float64_blocks(view)]
        assert all(block.dtype == np.float64 and block.ndim == 1 for block in blocks)
        np.testing.assert_array_equal(np.concatenate([[], *blocks]), view.ravel().astype(np.float64))


def test_blocks_are_small(monkeypatch):
    monkeypatch.setattr(blocks_module, "BLOCK_BYTES", 800)
    array = np.arange(1234, dtype=np.float32)
    blocks = [block.copy() for block in float64_blocks(array)]
    assert max(block.size for block in blocks) == 100
    np.testing.assert_array_equal(np.concatenate(blocks), array)


@given(array=stored_arrays(), block_bytes=st.sampled_from([0, statistics_module.BLOCK_BYTES]))
@settings(deadline=None, max_examples=300)
def test_quantiles_are_numpys_to_the_last_bit(array, block_bytes):
    wide = array.astype(np.float64)
    if np.abs(wide).max() > 1e307:
        wide = wide / 4  # numpy's own interpolation overflows
        array = wide
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(statistics_module, "BLOCK_BYTES", block_bytes)  # what is larger is counted by digits
        found = quantiles(array, PROBABILITIES)
    np.testing.assert_array_equal(found, np.quantile(wide, PROBABILITIES))


@pytest.mark.parametrize("dtype", DTYPES)
def test_quantiles_over_many_blocks_and_any_layout(dtype, monkeypatch):
    monkeypatch.setattr(blocks_module, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(statistics_module, "BLOCK_BYTES", 1000)
    array = np.random.default_rng(1).standard_t(2, (30, 40, 3)).astype(DTYPES[dtype])
    expected = np.quantile(array.astype(np.float64), (0.25, 0.5, 0.75))
    np.testing.assert_array_equal(quantiles(array), expected)
    np.testing.assert_array_equal(quantiles(array.transpose(2, 0, 1)), expected)


def test_quantiles_between_the_ends_of_float64_do_not_overflow():
    assert quantiles(np.array([-1.7e308, 1.7e308]), (0.0, 0.5, 1.0)) == (-1.7e308, 0.0, 1.7e308)


def test_zeros_of_both_signs_are_one_number():
    assert quantiles(np.array([-0.0, 0.0, -0.0, 0.0, -1.0, 1.0])) == (0.0, 0.0, 0.0)


@given(array=stored_arrays())
@settings(deadline=None)
def test_moments_are_those_of_exact_fractions(array):
    exact = [Fraction(float(value)) for value in array]
    found = moments(array)
    peak = float(np.abs(array.astype(np.float64)).max())
    mean = sum(exact) / len(exact)
    assert (found.min, found.max) == (min(exact), max(exact))
    assert abs(Fraction(found.mean) - mean) <= Fraction(peak) * Fraction(1, 10**14) + Fraction(5e-324)
    variance = sum((value - mean) ** 2 for value in exact) / len(exact)
    assert abs(Fraction(found.std) ** 2 - variance) <= Fraction(peak) ** 2 * Fraction(1, 10**14) + Fraction(5e-324)


@pytest.mark.parametrize("dtype", DTYPES)
def test_moments_over_many_blocks(dtype, monkeypatch):
    monkeypatch.setattr(blocks_module, "BLOCK_BYTES", 1000)
    array = (0.1 + np.random.default_rng(2).standard_normal((50, 60))).astype(DTYPES[dtype])
    wide = array.astype(np.float64)
    found = moments(array.T)
    assert found.mean == pytest.approx(math.fsum(wide.ravel()) / wide.size, rel=1e-14)
    assert found.std == pytest.approx(statistics.pstdev(wide.ravel().tolist()), rel=1e-14)
    assert (found.min, found.max) == (wide.min(), wide.max())


def test_a_mean_far_above_the_spread_costs_no_digits(monkeypatch):
    monkeypatch.setattr(blocks_module, "BLOCK_BYTES", 1000)
    array = 1e8 + np.random.default_rng(3).standard_normal(5000)
    found = moments(array)
    assert found.std == pytest.approx(statistics.pstdev(array.tolist()), rel=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.1, -1.7e308, 5e-324])
def test_a_constant_has_no_spread(value):
    found = moments(np.full(1001, value))
    assert (found.mean, found.std, found.min, found.max) == (value, 0.0, value, value)


@pytest.mark.parametrize("factor", [1e300, 1e-300])
def test_moments_neither_overflow_nor_vanish(factor):
    array = np.random.default_rng(4).standard_normal(1000)
    base, found = moments(array), moments(factor * array)
    assert found.mean == pytest.approx(factor * base.mean, rel=1e-12, abs=0)
    assert found.std == pytest.approx(factor * base.std, rel=1e-12, abs=0)


def test_moments_of_both_ends_of_float64():
    largest = np.finfo(np.float64).max
    found = moments(np.array([-largest, largest]))
    assert (found.mean, found.std) == (0.0, largest)
    assert moments(np.array([largest, np.nextafter(largest, 0)])).mean <= largest


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", [moments, quantiles])
def test_what_is_not_finite_is_refused_and_counted(function, dtype):
    array = np.ones((4, 5), dtype=DTYPES[dtype])
    array[1, 2], array[3, 0] = np.nan, -np.inf
    with pytest.raises(Refused, match="2 of 20 weights are NaN or infinite"):
        function(array)


@pytest.mark.parametrize("function", [moments, quantiles])
def test_nothing_has_no_statistics(function):
    with pytest.raises(NotApplicable):
        function(np.zeros((0, 3)))


@pytest.mark.parametrize("function", [moments, quantiles])
def test_memory_does_not_depend_on_the_size(function):
    array = np.random.default_rng(5).standard_normal((2048, 4096), dtype=np.float32).T
    tracemalloc.start()
    try:
        function(array)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6 * blocks_module.BLOCK_BYTES < array.nbytes
