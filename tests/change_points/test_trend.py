import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ww_core.change_points import find_steps, find_suspects
from ww_core.change_points.observations import observe
from ww_core.change_points.trend import detrend


def trainings(versions=14, series=60, seed=0, noise=0.02):
    """Values that move as in a training: fast at first, ever slower, with noise that adds up."""
    random = np.random.default_rng(seed)
    epochs = np.arange(versions)[:, None]
    smooth = 30.0 * np.exp(-epochs / random.uniform(4, 12, series)) * random.choice([-1, 1], series)
    return smooth + noise * random.standard_normal((versions, series)).cumsum(axis=0)


def places(found):
    return [(step.series, step.at) for step in found]


def freed(values):
    return detrend(observe(np.asarray(values, dtype=float).T, np.full(np.shape(values)[::-1], np.nan)))


def test_a_training_in_which_nothing_happens_has_no_step():
    for versions in (4, 6, 8, 14, 30):
        for seed in range(5):
            assert find_steps(trainings(versions, seed=seed), groups=np.arange(60) // 3) == ()


@pytest.mark.parametrize("at", [7, 10, 13])
def test_a_step_that_is_small_beside_the_drift_is_found_against_its_trend(at):
    values = trainings()
    values[at:, 4] += 5.0
    drift = values[:, 4].max() - values[:, 4].min()
    (step,) = find_steps(values)
    assert (step.series, step.previous, step.at) == (4, at - 1, at)
    assert abs(step.change - 5.0) < 1.0 < drift / 5
    assert step.after == pytest.approx(values[at, 4])  # in the unit of the values, where the trend leads to
    assert step.before == pytest.approx(values[at, 4] - step.change)


def test_three_layers_are_enough():
    values = trainings(series=120, noise=0.2)
    values[12:, 4] += 8.0
    (step,) = find_steps(values, groups=np.arange(120) // 3)
    assert (step.series, step.at) == (4, 12)
    assert step.needed < 40


def test_a_change_of_slope_is_no_step():
    values = trainings(20)
    values += np.maximum(0, np.arange(20) - 10)[:, None] * np.random.default_rng(1).uniform(-3, 3, 60)
    assert find_steps(values) == ()


def test_the_first_versions_of_a_training_are_judged_by_each_other():
    random = np.random.default_rng(3)
    values = (random.standard_normal((14, 60)) * np.geomspace(30, 0.3, 14)[:, None]).cumsum(axis=0)
    assert find_steps(values) == ()
    values[3:, 5] += 2000
    assert places(find_steps(values)) == [(5, 3)]


def test_what_is_taken_off_is_the_slope_beside():
    line = 3.0 * np.arange(10)[:, None] + np.random.default_rng(0).standard_normal((10, 1)) * 1e-3
    line[6:] += 5.0
    one = freed(line / 64)
    assert one.drifts.all()
    left = np.diff(one.observed.values[0]) * 64
    assert left[5] == pytest.approx(5.0, abs=0.01)
    assert np.abs(np.delete(left, 5)).max() < 0.01
    assert one.observed.values + one.trend == pytest.approx(line.T / 64)


@pytest.mark.parametrize("kind", ["white", "walk"])
def test_noise_and_random_walks_rarely_look_like_a_drift(kind):
    values = np.random.default_rng(0).standard_normal((20, 2000))
    values = values if kind == "white" else values.cumsum(axis=0)
    assert freed(values / 128).drifts.mean() < (0.01 if kind == "white" else 0.08)
    assert not freed(values[:5] / 128).drifts.any()


def test_a_version_that_one_series_lacks_bends_no_trend():
    values = np.arange(12)[:, None] * np.linspace(3, 9, 60) + 0.1 * np.random.default_rng(2).standard_normal((12, 60))
    values[7, 4] = np.nan
    assert find_steps(values) == ()


def test_a_dip_before_a_larger_rise_is_a_step_of_its_own():
    values = np.random.default_rng(0).standard_normal((12, 60))
    values[10, 3] -= 60
    values[11, 3] += 400
    assert places(find_steps(values)) == [(3, 10), (3, 11)]


@given(
    seed=st.integers(0, 10**6), shift=st.floats(-1e3, 1e3), scale=st.floats(1e-3, 1e3), sign=st.sampled_from([-1, 1])
)
@settings(deadline=None, max_examples=15)
def test_shift_scale_and_order(seed, shift, scale, sign):
    values = trainings(seed=seed)
    values[9:, 7] += 12.0
    found = find_steps(values)
    order = np.random.default_rng(seed).permutation(60)
    moved = find_steps((sign * scale * values + shift)[:, order])
    assert sorted((int(order[step.series]), step.at) for step in moved) == places(found)
    by_series = {int(order[step.series]): step for step in moved}
    for step in found:
        other = by_series[step.series]
        assert other.change == pytest.approx(sign * scale * step.change, rel=1e-6)
        assert other.after == pytest.approx(sign * scale * step.after + shift, rel=1e-6, abs=1e-6 * (1 + abs(shift)))
        assert other.evidence == pytest.approx(step.evidence, rel=1e-5)


def test_versions_without_any_value_are_as_if_not_there():
    values = trainings()
    values[9:, 7] += 12.0
    kept = np.array([0, 1, 2, 4, 5, 6, 8, 10, 11, 13, 14, 17, 18, 19])
    spread = np.full((20, 60), np.nan)
    spread[kept] = values
    moved = [
        dataclasses.replace(step, at=int(kept[step.at]), previous=int(kept[step.previous]))
        for step in find_steps(values)
    ]
    assert list(find_steps(spread)) == moved != []


def test_suspects_are_no_steps_and_the_likeliest_is_first():
    values = np.random.default_rng(0).standard_normal((12, 60))
    values[7:, 3] += 40.0
    values[7:, 5] += 4.0
    steps, suspects = find_suspects(values)
    assert steps == find_steps(values)
    assert places(steps) == [(3, 7)]
    assert (5, 7) in places(suspects)
    shares = [step.evidence / step.needed for step in suspects]
    assert shares == sorted(shares, reverse=True)
    assert all(share < 1 for share in shares)
    assert len(suspects) <= 40


def test_nothing_suspect_where_nothing_changes():
    assert find_suspects(np.full((12, 3), 7.0)) == ((), ())
    assert find_suspects(np.zeros((0, 3))) == ((), ())


def test_a_column_that_jumps_by_itself_raises_its_own_bar_only():
    random = np.random.default_rng(0)
    values = trainings(16, 120, noise=0.2)
    jumps = random.choice([0, 0, 0, 20.0], (16, 3)) * random.choice([-1, 1], (16, 3))
    values[:, :3] = 0.1 * random.standard_normal((16, 3)).cumsum(axis=0) + jumps.cumsum(axis=0)
    values[14:, 10] += 40.0
    values[14:, 1] += 40.0
    (step,) = find_steps(values, groups=np.arange(120) // 3)
    assert (step.series, step.at) == (10, 14)
