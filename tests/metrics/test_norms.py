import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ww_core.domain.rounding import ROUNDINGS
from ww_core.spectral import spectrum_of
from ww_plugins.metrics import norms

SPECTRUM = np.sort(np.random.default_rng(0).lognormal(size=40))[::-1]


def test_agree_with_numpys_norms():
    matrix = np.random.default_rng(1).standard_normal((30, 20))
    values = spectrum_of(matrix[np.newaxis], rounding=ROUNDINGS["float64"]).singular_values
    frobenius, spectral = np.linalg.norm(matrix), np.linalg.norm(matrix, 2)
    assert norms.frobenius_norm(values) == pytest.approx(frobenius, rel=1e-14)
    assert norms.spectral_norm(values) == pytest.approx(spectral, rel=1e-14)
    assert norms.log_norm(frobenius) == pytest.approx(math.log10(np.square(matrix).sum()), rel=1e-13)
    assert norms.log_spectral_norm(spectral) == pytest.approx(math.log10(spectral**2), rel=1e-13)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.3, 7.0])
def test_alpha_norms_are_sums_of_powers(alpha):
    total = math.fsum((SPECTRUM**2) ** alpha)
    norm = norms.alpha_norm(SPECTRUM, alpha)
    assert norm == pytest.approx(total ** (1 / (2 * alpha)), rel=1e-13)
    assert norms.log_alpha_norm(norm, alpha) == pytest.approx(math.log10(total), rel=1e-13, abs=1e-13)


def test_the_alpha_norm_of_order_two_is_the_frobenius_norm():
    assert norms.alpha_norm(SPECTRUM, 1.0) == norms.frobenius_norm(SPECTRUM)


@pytest.mark.parametrize("alpha", [1e3, 1e15])
def test_a_huge_alpha_leaves_the_largest_singular_value(alpha):
    norm = norms.alpha_norm(SPECTRUM, alpha)
    assert norm == pytest.approx(SPECTRUM[0], rel=1e-3)
    assert norms.log_alpha_norm(norm, alpha) == pytest.approx(2 * alpha * math.log10(SPECTRUM[0]), rel=1e-3)


@given(exponent=st.integers(-1000, 900))
def test_norms_have_the_unit_of_the_weights(exponent):
    with np.errstate(all="raise"):
        for norm in (norms.frobenius_norm, norms.spectral_norm, lambda values: norms.alpha_norm(values, 3.7)):
            assert norm(np.ldexp(SPECTRUM, exponent)) == math.ldexp(norm(SPECTRUM), exponent)
    scaled = norms.log_norm(math.ldexp(3.0, exponent))
    assert scaled == pytest.approx(2 * math.log10(3) + 2 * exponent * math.log10(2), abs=1e-11)


def test_a_matrix_of_zeros():
    zeros = np.zeros(4)
    assert norms.frobenius_norm(zeros) == norms.spectral_norm(zeros) == 0.0
    assert norms.log_norm(0.0) == norms.log_spectral_norm(0.0) == -math.inf
