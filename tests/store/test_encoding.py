"""Spectra go into bytes and come back bit for bit; damaged or hostile bytes are refused."""

from __future__ import annotations

import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ww_core.errors import StoreError
from ww_core.store.encoding import decode_spectrum, encode_spectrum


@given(arrays(np.float64, st.integers(0, 200)))
def test_round_trip_is_bit_exact(values):
    decoded = decode_spectrum(*encode_spectrum(values), len(values))
    assert decoded.dtype == np.float64
    assert decoded.tobytes() == values.tobytes()


def test_layout_of_the_source_does_not_matter():
    values = np.arange(10, dtype=">f8")[::-2]
    assert decode_spectrum(*encode_spectrum(values), 5).tolist() == [9, 7, 5, 3, 1]


def test_result_may_be_changed():
    for count in (0, 1, 2):
        assert decode_spectrum(*encode_spectrum(np.ones(count)), count).flags.writeable


def test_spectrum_of_a_random_matrix_gets_smaller():
    weights = np.random.default_rng(0).standard_normal((256, 512))
    values = np.linalg.svd(weights, compute_uv=False)
    assert len(encode_spectrum(values)[1]) < 0.87 * values.nbytes


@pytest.mark.parametrize("count", [1, 2, 4096, 4097])  # short ones are half compressed
def test_any_zlib_reads_a_spectrum(count):
    values = np.sort(np.random.default_rng(0).standard_normal(count))
    planes = np.frombuffer(zlib.decompress(encode_spectrum(values)[1]), np.uint8).reshape(8, -1)
    assert np.ascontiguousarray(planes.T).view("<f8").ravel().tolist() == values.tolist()


def test_numbers_of_single_precision_take_less_room():
    values = np.random.default_rng(0).standard_normal(1000).astype(np.float32).astype(np.float64)
    assert len(encode_spectrum(values)[1]) < 0.7 * values.nbytes


def test_two_dimensions_are_refused():
    with pytest.raises(ValueError, match="one dimension"):
        encode_spectrum(np.ones((2, 2)))


@pytest.mark.parametrize("count", [0, 1, 99, 101, -1, 2**62])
def test_wrong_count_is_refused(count):
    with pytest.raises(StoreError, match="damaged"):
        decode_spectrum(*encode_spectrum(np.arange(100.0)), count)


@given(st.binary(max_size=100), st.integers(0, 100))
def test_any_bytes_decode_or_are_refused(content, count):
    try:
        values = decode_spectrum("f8-shuffle-zlib", content, count)
    except StoreError:
        return
    assert len(values) == count


@pytest.mark.parametrize(
    "change", [lambda b: b[:-1], lambda b: b[:-4], lambda b: b + b"x", lambda b: b"", lambda b: b"x" + b]
)
@pytest.mark.parametrize("count", [0, 10])
def test_cut_or_longer_bytes_are_refused(change, count):
    encoding, content = encode_spectrum(np.arange(float(count)))
    with pytest.raises(StoreError, match="damaged"):
        decode_spectrum(encoding, change(content), count)


def test_unknown_encoding_is_refused():
    with pytest.raises(StoreError, match="upgrade ww"):
        decode_spectrum("f8-plain", b"", 0)


def test_a_bomb_is_not_inflated():
    bomb = zlib.compress(bytes(50_000_000))
    tracemalloc.start()
    with pytest.raises(StoreError, match="damaged"):
        decode_spectrum("f8-shuffle-zlib", bomb, 10)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000
