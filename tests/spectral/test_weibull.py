import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import weibull_min

from ww_core.errors import NotApplicable, Refused
from ww_core.spectral.blocks import BLOCK_BYTES
from ww_core.spectral.weibull import fit_weibull


def drawn(n=400, seed=0):
    return np.random.default_rng(seed).standard_normal(n)


def exact_shape(magnitudes, near):
    """The root in fifty digits."""
    with mpmath.workdps(50):
        x = [mpmath.mpf(float(magnitude)) for magnitude in magnitudes]
        logs = [mpmath.log(each) for each in x]
        mean = mpmath.fsum(logs) / len(x)

        def slope(k):
            powers = [mpmath.exp(k * log) for log in logs]
            first = mpmath.fsum(p * log for p, log in zip(powers, logs, strict=True))
            return first / mpmath.fsum(powers) - 1 / k - mean

        return float(mpmath.findroot(slope, (mpmath.mpf(near), mpmath.mpf(near) * mpmath.mpf("1.001"))))


SAMPLES = {
    "Gaussian": drawn(200),
    "heavy": np.random.default_rng(1).standard_t(1.5, 200),
    "very heavy": np.random.default_rng(2).weibull(0.1, 200),
    "narrow": 1.0 + 1e-9 * drawn(50, 3),
    "two": np.array([1.0, 3.0]),
    "an outlier": np.array([1.0] * 30 + [1e300]),
    "both ends of float64": np.array([5e-324, 1.0, 1.7e308]),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
def test_it_is_the_root_of_the_likelihood(sample):
    fit = fit_weibull(sample)
    # Narrow data has few digits left in its logarithms: an error of 1e-16 in 1e-9.
    tolerance = 1e-6 if np.ptp(sample) < 1e-6 else 1e-12
    assert fit.shape == pytest.approx(exact_shape(np.abs(sample), fit.shape), rel=tolerance)
    with mpmath.workdps(50):
        k = mpmath.mpf(fit.shape)
        scale = (mpmath.fsum(mpmath.mpf(float(abs(x))) ** k for x in sample) / sample.size) ** (1 / k)
        assert fit.scale == pytest.approx(float(scale), rel=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_scipy_finds_the_same(seed):
    sample = np.abs(drawn(300, seed))
    shape, _, scale = weibull_min.fit(sample, floc=0)
    fit = fit_weibull(sample)
    assert (fit.shape, fit.scale) == pytest.approx((shape, scale), rel=1e-3)  # scipy stops early
    likelihood = weibull_min.logpdf(sample, fit.shape, scale=fit.scale).sum()
    assert likelihood >= weibull_min.logpdf(sample, shape, scale=scale).sum() - 1e-9


@pytest.mark.parametrize("shape", [0.4, 1.0, 2.5])
def test_what_was_planted_is_found(shape):
    sample = 0.02 * np.random.default_rng(5).weibull(shape, 100_000)
    fit = fit_weibull(np.where(np.arange(sample.size) % 2, sample, -sample))
    assert fit.shape == pytest.approx(shape, abs=4 * 0.78 * shape / math.sqrt(sample.size))
    assert fit.scale == pytest.approx(0.02, rel=0.02 / shape)


def test_constants_of_other_distributions():
    rng = np.random.default_rng(6)
    assert fit_weibull(rng.standard_normal(400_000)).shape == pytest.approx(1.262757, abs=0.006)
    assert fit_weibull(rng.uniform(-1, 1, 400_000)).shape == pytest.approx((1 + math.sqrt(5)) / 2, abs=0.006)
    assert fit_weibull(rng.laplace(size=400_000)).shape == pytest.approx(1.0, abs=0.006)


def test_zeros_are_left_out():
    sample = drawn()
    assert fit_weibull(np.append(sample, [0.0, -0.0, 0.0])) == fit_weibull(sample)
    assert fit_weibull(np.append(sample, [0.0])).n == sample.size


@settings(deadline=None)
@given(exponent=st.integers(-900, 900), seed=st.integers(0, 99))
def test_a_power_of_two_changes_no_digit(exponent, seed):
    sample = drawn(60, seed)
    fit, scaled = fit_weibull(sample), fit_weibull(np.ldexp(sample, exponent))
    assert scaled.shape == fit.shape
    assert scaled.scale == math.ldexp(fit.scale, exponent)


@settings(deadline=None)
@given(factor=st.floats(1e-6, 1e6), seed=st.integers(0, 99))
def test_neither_scale_nor_order_nor_sign_matters(factor, seed):
    sample = drawn(60, seed)
    fit = fit_weibull(sample)
    assert fit_weibull(-factor * np.sort(sample)).shape == pytest.approx(fit.shape, rel=1e-11)


def test_a_tensor_of_many_blocks_is_as_one_of_one():
    small = drawn(1000)
    many = np.tile(small, 5 * BLOCK_BYTES // 8 // small.size).astype(np.float32)
    fit = fit_weibull(small.astype(np.float32))
    assert fit_weibull(many).shape == pytest.approx(fit.shape, rel=1e-12)
    assert fit_weibull(many.reshape(1000, -1).T).scale == pytest.approx(fit.scale, rel=1e-12)


def test_what_has_no_shape():
    with pytest.raises(NotApplicable, match="no weight but zero"):
        fit_weibull(np.zeros(5))
    with pytest.raises(NotApplicable, match="all 3 weights that are not zero have one magnitude"):
        fit_weibull(np.array([2.0, -2.0, 0.0, 2.0]))
    with pytest.raises(Refused, match="1 of 2 weights are NaN or infinite"):
        fit_weibull(np.array([1.0, np.nan]))
    with pytest.raises(Refused, match="no more than rounding"):
        fit_weibull(np.array([1.0, 1.0 + 1e-9]), tolerance=1e-8)
