import dataclasses
import math
from fractions import Fraction

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from ww_core.errors import UsageError
from ww_core.rank_statistics import Undefined, correlation, fit_line
from ww_core.rank_statistics.resamples import sample_and_resamples
from ww_core.rank_statistics.sample import sample_of

STATISTICS = ("slope", "intercept", "rmse", "mse", "r2")
number = st.one_of(st.integers(-20, 20).map(float), st.floats(-1e6, 1e6).map(lambda value: round(value, 2)))
points = st.lists(st.tuples(number, number), min_size=3, max_size=20)


def numbers(line):
    return np.array(
        [
            part
            for name in STATISTICS
            for part in (getattr(getattr(line, name), end) for end in ("value", "low", "high"))
        ]
        + [line.slope.standard_error, line.slope.t_low, line.intercept.standard_error, line.intercept.t_high]
    )


def exact(x, y):
    """Slope, intercept, SSE and SST as fractions."""
    x, y = ([Fraction(value) for value in values] for values in (x, y))
    n = len(x)
    middle_x, middle_y = sum(x) / n, sum(y) / n
    sxx = sum((value - middle_x) ** 2 for value in x)
    slope = sum((a - middle_x) * (b - middle_y) for a, b in zip(x, y, strict=True)) / sxx
    intercept = middle_y - slope * middle_x
    sse = sum((b - slope * a - intercept) ** 2 for a, b in zip(x, y, strict=True))
    return slope, intercept, sse, sum((b - middle_y) ** 2 for b in y)


@given(points, st.integers(0, 2))
@settings(deadline=None)
def test_it_is_the_exact_line(rows, ddof):
    x, y = (list(column) for column in zip(*rows, strict=True))
    if len(set(x)) == 1:
        return
    line = fit_line(x, y, ddof=ddof, replicates=0)
    slope, intercept, sse, sst = exact(x, y)
    size_x, size_y = max(map(abs, x)), max(map(abs, y))
    spread, rounding = max(x) - min(x), 1e-14 * size_y
    reach = 1e-13 * size_y * (1 + size_x / spread)
    assert line.slope.value == pytest.approx(float(slope), rel=1e-12, abs=reach / spread)
    assert line.intercept.value == pytest.approx(float(intercept), rel=1e-12, abs=reach * (1 + size_x / spread))
    if len(x) == ddof:
        assert line.rmse.reason is line.mse.reason is Undefined.NO_FREEDOM
    else:
        rmse = math.sqrt(sse / (len(x) - ddof))
        assert line.rmse.value == pytest.approx(rmse, rel=1e-12, abs=rounding)
        assert line.mse.value == pytest.approx(rmse**2, rel=1e-12, abs=3 * rounding * (rmse + rounding))
    if sst:
        assert line.r2.value == pytest.approx(float(1 - sse / sst), abs=1e-12 + 4 * rounding / math.sqrt(sst / len(y)))
        assert 0 <= line.r2.value <= 1
    else:
        assert (line.r2.reason, line.slope.value, line.rmse.value) == (Undefined.Y_TIED, 0.0, 0.0)


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
@pytest.mark.parametrize("n", [3, 4, 20, 500])
def test_errors_and_t_intervals_are_scipys(n, confidence):
    random = np.random.default_rng(n)
    x = random.standard_normal(n) + 3
    y = 2 * x + random.standard_normal(n)
    line = fit_line(x, y, replicates=0, confidence=confidence)
    theirs = scipy.stats.linregress(x, y)
    t = scipy.stats.t.ppf((1 + confidence) / 2, n - 2)
    for own, value, error in (
        (line.slope, theirs.slope, theirs.stderr),
        (line.intercept, theirs.intercept, theirs.intercept_stderr),
    ):
        expected = (value, error, value - t * error, value + t * error)
        assert (own.value, own.standard_error, own.t_low, own.t_high) == pytest.approx(expected, rel=1e-9)
    assert line.r2.value == pytest.approx(theirs.rvalue**2, rel=1e-11)
    slope, intercept = np.polyfit(x, y, 1)
    assert (line.slope.value, line.intercept.value) == pytest.approx((slope, intercept), rel=1e-10)
    assert line.rmse.value == pytest.approx(np.sqrt(np.mean((y - slope * x - intercept) ** 2)), rel=1e-10)


@pytest.mark.parametrize(("n", "ties", "ddof"), [(11, 1, 0), (5, 3, 0), (12, 0, 2), (40, 8, 1)])
def test_intervals_are_those_of_polyfit_on_every_resample(n, ties, ddof):
    random = np.random.default_rng(n)
    x = random.integers(0, ties, n) / 10 + 0.01 if ties else random.standard_normal(n)
    x[0] += 0.1  # where it alone differs, x is constant in a third of the resamples, but for rounding
    y = 3 - x + random.standard_normal(n).round(1)
    line = fit_line(x, y, ddof=ddof, seed=2, replicates=300)
    models = sample_of(x, y)
    found = []
    for draws in np.concatenate(list(sample_and_resamples(models, 2, 300)), axis=1)[:, 1:].T:
        a, b = np.repeat(models.x, draws), np.repeat(models.y, draws)
        if len(set(a)) > 1:
            slope, intercept = np.polyfit(a, b, 1)
            sse, sst = ((b - slope * a - intercept) ** 2).sum(), ((b - b.mean()) ** 2).sum()
            mse = sse / (n - ddof)
            found.append((slope, intercept, math.sqrt(mse), mse, 1 - sse / sst if len(set(b)) > 1 else math.nan))
    assert (len(found) < 300) == (ties in (1, 3))
    for name, values in zip(STATISTICS, zip(*found, strict=True), strict=True):
        values = sorted(value for value in values if not math.isnan(value))
        outside = math.floor((len(values) - 1) * 0.025)
        expected = (values[outside], values[len(values) - 1 - outside])
        statistic = getattr(line, name)
        assert (statistic.low, statistic.high) == pytest.approx(expected, rel=1e-7, abs=1e-7), name
        assert (statistic.n, statistic.reason) == (n, None)


def test_the_correlation_is_that_of_the_same_resamples():
    x, y = np.random.default_rng(0).standard_normal((2, 30))
    line = fit_line(x, y, seed=5, replicates=80, confidence=0.8)
    assert line.correlation == correlation(x, y, seed=5, replicates=80, confidence=0.8)
    assert (line.n, line.ddof) == (30, 0)


@given(points, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_order_of_models_changes_no_bit(rows, random):
    lines = [
        fit_line(*(list(column) for column in zip(*models, strict=True)), replicates=40)
        for models in (rows, random.sample(rows, len(rows)))
    ]
    assert numbers(lines[0]).tobytes() == numbers(lines[1]).tobytes()


@given(points, st.integers(-400, 400), st.integers(-400, 400))
@settings(deadline=None)
def test_powers_of_two_change_no_digit(rows, by_x, by_y):
    x, y = (np.array(column) for column in zip(*rows, strict=True))
    line = fit_line(x, y, replicates=40)
    scaled = fit_line(np.ldexp(x, by_x), np.ldexp(y, by_y), replicates=40)
    exponents = {"slope": by_y - by_x, "intercept": by_y, "rmse": by_y, "mse": 2 * by_y, "r2": 0}
    for name, exponent in exponents.items():
        own, other = getattr(line, name), getattr(scaled, name)
        assert own.reason == other.reason
        for end in ("value", "low", "high"):
            np.testing.assert_array_equal(getattr(other, end), np.ldexp(getattr(own, end), exponent))
    np.testing.assert_array_equal(scaled.slope.standard_error, np.ldexp(line.slope.standard_error, by_y - by_x))
    np.testing.assert_array_equal(scaled.intercept.t_high, np.ldexp(line.intercept.t_high, by_y))


def test_an_offset_costs_no_digits():
    x = [1e9 + value for value in (0.0, 1.0, 2.0, 3.0, 5.0)]
    y = [-1e9 + value for value in (1.0, 3.0, 4.0, 8.0, 9.0)]
    line = fit_line(x, y, replicates=0)
    slope, intercept, sse, sst = exact(x, y)
    assert line.slope.value == pytest.approx(float(slope), rel=1e-15)
    assert line.intercept.value == pytest.approx(float(intercept), rel=1e-15)
    assert line.mse.value == pytest.approx(float(sse / 5), rel=1e-14)
    assert line.r2.value == pytest.approx(float(1 - sse / sst), rel=1e-14)


def test_nothing_overflows_that_has_a_value():
    y = [1e308, -1.7e308, 1.2e308, 1.6e308]
    line = fit_line([-1e-300, 1e-300, 0.0, 2e-300], y)
    assert math.isfinite(line.rmse.value)
    assert line.rmse.value == pytest.approx(
        1e300 * fit_line([-1, 1, 0, 2], [1e8, -1.7e8, 1.2e8, 1.6e8]).rmse.value, rel=1e-12
    )
    assert math.isfinite(line.intercept.value)
    assert 0 < line.r2.value < 1
    for too_large in (line.slope, line.mse):
        assert too_large.reason is Undefined.TOO_LARGE
        assert math.isnan(too_large.value)
        assert math.isnan(too_large.high)
    assert math.isnan(line.slope.standard_error)
    assert math.isnan(line.slope.t_low)
    tiny = fit_line([5e-324, 1e-323, 2e-323], [1, 2, 4])
    assert tiny.r2.value == pytest.approx(1.0)


def test_a_line_through_all_points():
    x = np.array([0.1, 0.4, 0.9, 1.6, 7.0])
    line = fit_line(x, 3 * x - 2)
    assert line.slope.value == pytest.approx(3, rel=1e-15)
    assert line.r2.value == pytest.approx(1, abs=1e-15)
    assert line.rmse.value < 1e-15
    assert line.rmse.high < 1e-14
    assert (line.slope.low, line.slope.high) == pytest.approx((3, 3))


@pytest.mark.parametrize(
    ("x", "y", "reason"),
    [
        ([], [], Undefined.TOO_FEW),
        ([1], [2], Undefined.TOO_FEW),
        ([2, 2, 2], [1, 2, 3], Undefined.X_TIED),
        ([0.1] * 3, [0.1] * 3, Undefined.X_TIED),
    ],
)
def test_no_line(x, y, reason):
    line = fit_line(x, y)
    assert np.isnan(numbers(line)).all()
    assert {getattr(line, name).reason for name in STATISTICS} == {reason}


@pytest.mark.parametrize("level", [0.0, 0.1, 1e300, -7e-310])
def test_a_constant_y(level):
    line = fit_line([0.1, 0.2, 0.7, 0.9], [level] * 4)
    assert (line.slope.value, line.slope.low, line.slope.high) == (0, 0, 0)
    assert (line.intercept.value, line.intercept.low, line.intercept.high) == (level, level, level)
    assert (line.rmse.value, line.rmse.high, line.mse.value, line.mse.high) == (0, 0, 0, 0)
    assert (line.r2.reason, line.correlation.tau.reason) == (Undefined.Y_TIED, Undefined.Y_TIED)
    assert math.isnan(line.r2.value)


def test_rounding_makes_no_r2_below_0():
    line = fit_line([8.9, -4.9, -5.1, 8.9, -4.9, -5.1], [4.6, 4.6, 4.6, 0.7, 0.7, 0.7], replicates=0)
    assert line.r2.value == 0


def test_two_models():
    line = fit_line([1, 3], [5, 9])
    assert (line.slope.value, line.intercept.value, line.r2.value) == pytest.approx((2, 3, 1))
    assert line.rmse.value == pytest.approx(0, abs=1e-15)
    assert {getattr(line, name).reason for name in STATISTICS} == {Undefined.TOO_FEW_TO_RESAMPLE}
    assert math.isnan(line.slope.standard_error)
    assert math.isnan(line.slope.t_high)
    assert fit_line([1, 3], [5, 9], ddof=2).mse.reason is Undefined.NO_FREEDOM


def test_wrong_options_are_refused():
    with pytest.raises(UsageError, match="ddof is -1: 0 or more"):
        fit_line([1, 2], [1, 2], ddof=-1)
    with pytest.raises(UsageError, match="confidence is 1"):
        fit_line([1, 2], [1, 2], confidence=1)
    with pytest.raises(UsageError, match=r"y\[1\] is nan"):
        fit_line([1, 2], [1, math.nan])


def test_answers_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        fit_line([1, 2, 3], [1, 2, 4]).slope.value = 3
