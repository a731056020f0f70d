import dataclasses
import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import ww_core as ww
from ww_core.errors import NotApplicable, Refused
from ww_core.spectral.blocks import BLOCK_BYTES
from ww_core.spectral.weibull import fit_weibull
from ww_plugins.metrics import elements

COLUMNS = (
    "weibull_shape", "weibull_scale", "weibull_n", "skewness", "kurtosis", "sparsity", "dead_rows", "dead_cols",
    "norm_2_1", "norm_1_inf",
)  # fmt: skip


def drawn(shape=(12, 7, 3, 2), seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def content(weight, kind=ww.LayerKind.DENSE, groups=1):
    return ww.LayerContent(kind, weight.shape, str(weight.dtype), groups, has_bias=False)


def dead(weight, **options):
    return dataclasses.astuple(elements.dead_units(weight, content(weight, **options)))


def norms(weight, **options):
    return dataclasses.astuple(elements.row_norms(weight, content(weight, **options)))


def test_the_columns_of_a_layer():
    weight = drawn().astype(np.float32)
    weight[3] = 0.0
    (layer,) = ww.analyze({"w.weight": weight}, metrics=list(COLUMNS)).layer_metrics
    found = {column: layer.metrics[column].number for column in COLUMNS}
    wide = weight.astype(np.float64)
    rows = wide.reshape(12, -1)
    fit = fit_weibull(wide)
    assert found == {
        "weibull_shape": pytest.approx(fit.shape, rel=1e-12),
        "weibull_scale": pytest.approx(fit.scale, rel=1e-12),
        "weibull_n": weight.size - 42,
        "skewness": pytest.approx(stats.skew(wide, axis=None), rel=1e-12),
        "kurtosis": pytest.approx(stats.kurtosis(wide, axis=None, fisher=False), rel=1e-12),
        "sparsity": 42 / weight.size,
        "dead_rows": 1,
        "dead_cols": 0,
        "norm_2_1": pytest.approx(np.linalg.norm(rows, axis=1).sum(), rel=1e-12),
        "norm_1_inf": pytest.approx(np.linalg.norm(rows, np.inf), rel=1e-12),
    }


def test_none_of_them_is_in_the_default_profile():
    (layer,) = ww.analyze({"w.weight": drawn((8, 6))}).layer_metrics
    assert not set(COLUMNS) & set(layer.metrics)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
@pytest.mark.parametrize("transposed", [False, True])
def test_stored_numbers_in_any_layout(dtype, transposed):
    weight = drawn((9, 5)).astype(dtype)
    weight[2] = weight[:, 4] = 0
    weight = weight.T.copy().T if transposed else weight
    wide = weight.astype(np.float64)
    assert elements.sparsity(weight) == np.mean(wide == 0)
    assert dead(weight) == (1, 1)
    assert norms(weight) == pytest.approx((np.linalg.norm(wide, axis=1).sum(), np.linalg.norm(wide, np.inf)))
    moments = elements.standardized_moments(weight)
    assert moments.kurtosis == pytest.approx(stats.kurtosis(wide, axis=None, fisher=False), rel=1e-12)
    assert elements.weibull(weight).weibull_shape == pytest.approx(fit_weibull(wide).shape, rel=1e-12)


# --- moments ----------------------------------------------------------------------------------------------------------


def test_the_moments_of_a_gaussian_are_zero_and_three():
    moments = elements.standardized_moments(drawn((1000, 400)))
    assert moments.skewness == pytest.approx(0.0, abs=4 * math.sqrt(6 / 400_000))
    assert moments.kurtosis == pytest.approx(3.0, abs=4 * math.sqrt(24 / 400_000))


def test_the_moments_of_two_values():
    p = 0.1  # skewness (1 - 2p) / sqrt(pq), kurtosis 3 + (1 - 6pq) / (pq)
    moments = elements.standardized_moments(np.array([5.0] + [2.0] * 9))
    assert moments.skewness == pytest.approx((1 - 2 * p) / math.sqrt(p * (1 - p)))
    assert moments.kurtosis == pytest.approx(3 + (1 - 6 * p * (1 - p)) / (p * (1 - p)))


def test_a_mean_far_from_zero_costs_no_digits():
    weight = np.round(drawn(500) * 2**20) * 2.0**-20
    assert elements.standardized_moments(weight + 2.0**30).kurtosis == pytest.approx(
        elements.standardized_moments(weight).kurtosis, rel=1e-12
    )


@settings(deadline=None)
@given(exponent=st.integers(-900, 900), shift=st.floats(-10, 10), seed=st.integers(0, 99))
def test_shapes_have_no_unit_and_norms_have(exponent, shift, seed):
    weight = drawn((5, 4), seed) + shift
    scaled = np.ldexp(weight, exponent)
    assert elements.standardized_moments(scaled) == elements.standardized_moments(weight)
    assert norms(scaled) == tuple(math.ldexp(norm, exponent) for norm in norms(weight))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("unit", [1e300, 1e-300, 5e-324])
def test_the_ends_of_float64(unit):
    weight = np.round(8 * drawn((30, 20)))
    plain, extreme = elements.standardized_moments(weight), elements.standardized_moments(weight * unit)
    assert extreme.skewness == pytest.approx(plain.skewness, rel=1e-9)
    assert extreme.kurtosis == pytest.approx(plain.kurtosis, rel=1e-9)
    assert norms(weight * unit)[1] == pytest.approx(norms(weight)[1] * unit, rel=1e-9)


def test_a_norm_beyond_float64_is_refused_alone():
    weight = np.diag([1e308, 1e308, 1e308])
    total, largest = norms(weight)
    assert isinstance(total, Refused)
    assert largest == 1e308


# --- rows and columns -------------------------------------------------------------------------------------------------


def test_a_kernel_has_a_column_for_each_position():
    weight = drawn((4, 3, 2, 2))
    weight[:, 1] = 0.0
    weight[:, 2, 0, 1] = 0.0
    assert dead(weight, kind=ww.LayerKind.CONV2D) == (0, 5)


def test_groups_share_a_column():
    weight = drawn((4, 2, 3))  # two groups: input channels 0, 1 and 2, 3
    weight[:2, 1] = 0.0
    assert dead(weight, kind=ww.LayerKind.CONV1D, groups=2) == (0, 0)
    weight[2:, 1] = 0.0
    assert dead(weight, kind=ww.LayerKind.CONV1D, groups=2) == (0, 3)


def test_experts_stand_below_each_other():
    weight = drawn((3, 5, 4))
    weight[1, 2] = 0.0
    weight[:, :, 3] = 0.0
    assert dead(weight, kind=ww.LayerKind.EXPERT) == (1, 1)
    flat = weight.reshape(15, 4)
    assert norms(weight, kind=ww.LayerKind.EXPERT) == pytest.approx(norms(flat), rel=1e-14)


@pytest.mark.parametrize("groups", [1, 2])
def test_the_largest_row_is_how_far_a_convolution_can_enlarge(groups):
    weight = drawn((4, 6 // groups, 3))
    _, norm = norms(weight, kind=ww.LayerKind.CONV1D, groups=groups)
    best = 0.0
    for out in range(4):  # the input of magnitude 1 that suits this output
        group = out // (4 // groups)
        patch = np.zeros((6, 3))
        patch[group * (6 // groups) : (group + 1) * (6 // groups)] = np.sign(weight[out])
        best = max(best, float((patch[group * (6 // groups) : (group + 1) * (6 // groups)] * weight[out]).sum()))
    assert norm == pytest.approx(best)


def test_many_rows_are_taken_some_at_a_time():
    row = drawn((1, 64))
    weight = np.repeat(row, BLOCK_BYTES // 8 // 64 * 2 + 3, axis=0).astype(np.float32)
    weight[-1], weight[:, 5] = 0, 0
    wide = weight.astype(np.float64)
    assert dead(weight) == (1, 1)
    assert norms(weight) == pytest.approx((np.linalg.norm(wide, axis=1).sum(), np.abs(wide[0]).sum()), rel=1e-12)


# --- what has no value ------------------------------------------------------------------------------------------------


def test_zeros():
    weight = np.zeros((3, 4))
    assert elements.sparsity(weight) == 1.0
    assert dead(weight) == (3, 4)
    assert norms(weight) == (0.0, 0.0)
    for metric in (elements.weibull, elements.standardized_moments):
        with pytest.raises(NotApplicable):
            metric(weight)


def test_a_vector_has_no_rows():
    for metric in (dead, norms):
        with pytest.raises(NotApplicable, match="fewer than two axes"):
            metric(drawn(5))


def test_magnitudes_that_rounding_alone_parts_are_refused():
    weight = np.full((4, 4), 0.5, dtype=np.float32)
    weight[0, 0] = np.nextafter(np.float32(0.5), np.float32(1))
    with pytest.raises(Refused, match="no more than rounding"):
        elements.weibull(weight)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(wrong):
    weight = drawn((4, 3))
    weight[1, 1] = wrong
    for metric in (elements.weibull, elements.standardized_moments, elements.sparsity, dead, norms):
        with pytest.raises(Refused, match="1 of 12 weights are NaN or infinite"):
            metric(weight)
