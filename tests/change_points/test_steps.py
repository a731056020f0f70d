import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ww_core.change_points import Step, find_steps
from ww_core.errors import UsageError


def noise(versions, series, seed=0):
    return np.random.default_rng(seed).standard_normal((versions, series))


def history(versions=12, series=60, seed=0, **stepped):
    """Noise of deviation 1; ``s3=(7, 40.0)`` adds 40 to series 3 from version 7 on."""
    values = noise(versions, series, seed)
    for name, (at, size) in stepped.items():
        values[at:, int(name[1:])] += size
    return values


def places(found):
    return [(step.series, step.at) for step in found]


def same(found, other, rel=1e-6):
    return len(found) == len(other) and all(
        dataclasses.astuple(one) == pytest.approx(dataclasses.astuple(two), rel=rel, abs=1e-9)
        for one, two in zip(found, other, strict=True)
    )


def test_a_step_is_told_with_direction_versions_and_evidence():
    (step,) = find_steps(history(s3=(7, -40.0)))
    assert (step.series, step.previous, step.at) == (3, 6, 7)
    assert (step.versions_before, step.versions_after) == (7, 5)
    assert step.before == pytest.approx(0, abs=1.5)
    assert step.after == pytest.approx(-40, abs=1.5)
    assert step.change == step.after - step.before
    assert step.evidence == abs(step.change) / step.uncertainty
    assert step.evidence >= step.needed
    assert 0 < step.p_value <= 0.01
    assert step.tests == 60 * 11


def test_a_step_at_the_newest_version_is_found_from_one_value():
    (step,) = find_steps(history(s3=(11, 60.0)))
    assert (step.series, step.previous, step.at, step.versions_after) == (3, 10, 11, 1)


def test_a_step_after_the_first_version_is_found():
    assert places(find_steps(history(s3=(1, 60.0)))) == [(3, 1)]


@pytest.mark.parametrize("at", range(1, 5))
def test_five_versions_are_enough_where_many_series_tell_the_noise(at):
    assert places(find_steps(history(5, 200, s3=(at, 60.0)))) == [(3, at)]


def test_a_step_of_the_whole_model_is_found_in_every_series():
    values = noise(8, 100)
    values[5:] += 60
    assert places(find_steps(values)) == [(series, 5) for series in range(100)]


def test_several_steps_of_one_series():
    values = history(30, 60, s3=(10, 30.0))
    values[20:, 3] -= 50
    assert [(step.at, step.change > 0) for step in find_steps(values)] == [(10, True), (20, False)]


@pytest.mark.parametrize("kind", ["gaussian", "student", "walk", "drift"])
@pytest.mark.parametrize("versions", [2, 3, 5, 10, 30])
def test_noise_is_no_step(kind, versions):
    random = np.random.default_rng(5)
    shape = (versions, 400)
    values = random.standard_t(3, shape) if kind == "student" else random.standard_normal(shape)
    if kind == "walk":
        values = values.cumsum(axis=0)
    if kind == "drift":
        values += np.arange(versions)[:, None] * random.choice([0.1, 0.5, 3.0, 50.0], 400)
    assert find_steps(values, groups=np.arange(400) // 100) == ()


def test_an_outlier_that_returns_is_no_step():
    values = noise(12, 60)
    values[6, 3] += 1000
    assert find_steps(values) == ()


def test_an_outlier_beside_a_step_does_not_hide_it():
    values = history(s3=(7, 60.0))
    values[3, 3] += 1000
    values[7, 3] += 40  # it overshoots, and still is the version of the step
    assert places(find_steps(values)) == [(3, 7)]


def test_what_lasts_two_versions_is_a_step_and_another():
    values = noise(20, 60)
    values[9:11, 3] += 200
    assert places(find_steps(values)) == [(3, 9), (3, 11)]


def test_a_constant_series_has_no_step():
    assert find_steps(np.full((12, 3), 7.0)) == ()
    assert find_steps(np.zeros((12, 3)), np.ones((12, 3))) == ()


def test_versions_that_left_a_layer_as_it_was_say_nothing_of_noise():
    values = noise(12, 60)
    frozen = np.zeros(12)
    frozen[8:] = 40.0
    values[:, 3] = frozen
    (step,) = find_steps(values)
    assert (step.series, step.at, step.previous) == (3, 8, 7)
    assert (step.versions_before, step.versions_after) == (1, 1)
    values[:, 3] /= 20
    assert find_steps(values) == ()  # as large as noise elsewhere


def test_a_frozen_series_alone_has_no_yardstick():
    assert find_steps(np.repeat([0.0, 40.0], 6)[:, None]) == ()


def test_an_unchanged_run_of_versions_lasted():
    values = noise(12, 60)
    values[5:8, 3] = 60.0
    assert places(find_steps(values)) == [(3, 5), (3, 8)]


def test_standard_errors_tell_the_noise_of_one_series():
    values = noise(3, 1)
    values[2] += 50
    assert find_steps(values) == ()
    (step,) = find_steps(values, np.ones((3, 1)))
    assert step.at == 2


def test_no_step_is_surer_than_the_standard_errors():
    values = history(s3=(7, 40.0))
    assert find_steps(values, np.full(values.shape, 30.0)) == ()
    assert find_steps(values, np.full(values.shape, 1.0))[0].uncertainty > 0
    errors = np.full(values.shape, 1.0)
    errors[7:, 3] = 30.0
    assert find_steps(values, errors) == ()


def test_some_standard_errors_may_be_missing():
    values = history(s3=(7, 40.0))
    errors = np.where(np.arange(60) % 2, np.nan, 1.0) * np.ones(values.shape)
    assert places(find_steps(values, errors)) == [(3, 7)]


def test_groups_of_other_units_do_not_disturb_each_other():
    values = history(8, 200, s3=(6, 60.0))
    mixed = np.concatenate([values, 1e6 * noise(8, 200, seed=1)], axis=1)
    assert places(find_steps(mixed, groups=np.arange(400) // 200)) == [(3, 6)]


SIZES = {f"s{series}": (at, size) for series, at, size in [(3, 7, 40.0), (11, 11, -60.0), (20, 1, 90.0), (40, 9, 25.0)]}


@given(
    seed=st.integers(0, 10**6), shift=st.floats(-1e3, 1e3), scale=st.floats(1e-3, 1e3), sign=st.sampled_from([-1, 1])
)
@settings(deadline=None, max_examples=15)
def test_shift_and_scale(seed, shift, scale, sign):
    values = history(seed=seed, **SIZES)
    found = find_steps(values)
    moved = find_steps(sign * scale * values + shift)
    back = [
        dataclasses.replace(
            step,
            before=sign * (step.before - shift) / scale,
            after=sign * (step.after - shift) / scale,
            change=sign * step.change / scale,
            uncertainty=step.uncertainty / scale,
        )
        for step in moved
    ]
    assert same(back, found)
    assert same(
        find_steps(2.0**900 * values),
        [
            dataclasses.replace(
                step,
                **{name: math.ldexp(getattr(step, name), 900) for name in ("before", "after", "change", "uncertainty")},
            )
            for step in found
        ],
    )


@given(seed=st.integers(0, 10**6))
@settings(deadline=None, max_examples=15)
def test_time_may_run_backwards(seed):
    values = history(seed=seed, **SIZES)
    last = len(values) - 1
    mirrored = [
        (step.series, last - step.previous, last - step.at, -step.change, step.evidence, step.versions_after)
        for step in find_steps(values[::-1])
    ]
    assert sorted(mirrored) == [
        (
            step.series,
            step.at,
            step.previous,
            pytest.approx(step.change),
            pytest.approx(step.evidence),
            step.versions_before,
        )
        for step in find_steps(values)
    ]


@given(seed=st.integers(0, 10**6))
@settings(deadline=None, max_examples=15)
def test_the_order_of_series_does_not_matter(seed):
    values = history(seed=seed, **SIZES)
    order = np.random.default_rng(seed).permutation(values.shape[1])
    back = [dataclasses.replace(step, series=int(order[step.series])) for step in find_steps(values[:, order])]
    assert same(sorted(back, key=lambda step: (step.series, step.at)), find_steps(values))


@given(seed=st.integers(0, 10**6), gap=st.sampled_from([np.nan, np.inf, -np.inf]))
@settings(deadline=None, max_examples=15)
def test_a_version_without_a_value_is_as_if_not_there(seed, gap):
    random = np.random.default_rng(seed)
    values = history(seed=seed, **SIZES)
    kept = np.sort(random.permutation(30)[:12])
    spread = np.full((30, values.shape[1]), gap)
    spread[kept] = values
    moved = [
        dataclasses.replace(step, at=int(kept[step.at]), previous=int(kept[step.previous]))
        for step in find_steps(values)
    ]
    assert same(find_steps(spread), moved)


def test_series_may_lack_versions_of_their_own():
    values = history(s3=(7, 40.0))
    values[[2, 7], 3] = np.nan
    values[:9, 5] = np.nan
    values[:, 6] = np.nan
    (step,) = find_steps(values)
    assert (step.series, step.previous, step.at) == (3, 6, 8)


@given(
    st.lists(
        st.lists(st.floats(allow_nan=True, allow_infinity=True, width=64), min_size=3, max_size=3),
        min_size=0,
        max_size=8,
    )
)
@settings(deadline=None, max_examples=100)
def test_any_numbers_are_taken_without_a_warning(rows):
    values = np.array(rows, dtype=float).reshape(len(rows), 3)
    for errors in (None, np.abs(values)):
        for step in find_steps(values, errors):
            assert isinstance(step, Step)
            assert step.evidence >= step.needed


def test_nothing_is_found_in_nothing():
    assert find_steps(np.zeros((0, 4))) == ()
    assert find_steps(np.zeros((4, 0))) == ()
    assert find_steps(np.zeros((1, 4))) == ()


def test_weaker_evidence_is_told_to_who_bears_more_false_alarms():
    values = history(s3=(7, 6.0))
    sure, likely = find_steps(values), find_steps(values, false_alarms=20)
    assert {(step.series, step.at) for step in sure} <= {(step.series, step.at) for step in likely}
    assert (3, 7) in places(likely)
    assert all(step.needed < 5 for step in likely)
    assert len(find_steps(values, false_alarms=1e9)) >= len(likely)


def test_memory_is_bounded_by_chunks(monkeypatch):
    values = history(**SIZES)
    found = find_steps(values)
    monkeypatch.setattr("ww_core.change_points.evidence._GATHERED_BYTES", 1)
    assert same(find_steps(values), found)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"values": np.zeros(3)}, r"values have shape \(3,\): \(versions, series\) is needed"),
        ({"values": np.zeros((3, 2)), "errors": np.zeros((2, 3))}, "errors have shape"),
        ({"values": np.zeros((3, 2)), "groups": [1]}, "one number for each series"),
        ({"values": np.zeros((3, 2)), "false_alarms": 0.0}, "a number above 0"),
    ],
)
def test_what_does_not_fit_is_said(arguments, message):
    with pytest.raises(UsageError, match=message):
        find_steps(**arguments)
