"""Reach: against a slow loop, the rate at which networks of the zoo are flagged, laws, and odd networks."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ww_core as ww
from ww_plugins.predictors.reach import NEAREST, STEP_OUTSIDE, inside_of, reach_of


def rows(seed, count, columns=4):
    """Networks with features of very different scales, one of them with heavy tails."""
    rng = np.random.default_rng(seed)
    found = rng.normal(size=(count, columns)) * 10.0 ** np.arange(columns) + 3
    found[:, 0] = rng.standard_cauchy(count)
    return found


@pytest.fixture(scope="module")
def usual(predictor_of):
    return predictor_of(rows(0, 60), rows(1, 99))


# --- what is computed ---------------------------------------------------------------------------------------------


def slow_places(training, row):
    places = []
    for column, value in zip(training.T.tolist(), row.tolist(), strict=True):
        count = len(column)
        place = (sum(own < value for own in column) + 0.5 * sum(own == value for own in column)) / count
        middle, (low, high) = np.median(column), np.percentile(column, [25, 75])

        def bent(number, middle=middle, spread=high - low):
            return math.asinh((number - middle) / spread)

        if value > max(column):
            place += STEP_OUTSIDE + bent(value) - bent(max(column))
        if value < min(column):
            place -= STEP_OUTSIDE + bent(min(column)) - bent(value)
        places.append(place)
    return places


def slow_distances(training, networks):
    """Of each network: its distance, and how far its nearest training networks are, with their numbers."""
    theirs = [slow_places(training, other) for other in training]

    def apart(one, other):
        return sum(abs(a - b) for a, b in zip(one, other, strict=True)) / len(one)

    own = []
    for at, place in enumerate(theirs):
        far = sorted(apart(place, other) for number, other in enumerate(theirs) if number != at)
        own.append(np.mean(far[:NEAREST]))
    for row in networks:
        place = slow_places(training, row)
        by_distance = sorted((round(apart(place, theirs[at]), 12), round(own[at], 12), at) for at in range(len(theirs)))
        near = by_distance[:NEAREST]
        distance = np.mean([far for far, _, _ in near]) / np.mean([far for _, far, _ in near])
        yield distance, [(far, at) for far, _, at in near]


@pytest.mark.parametrize("stretch", [1, 4, -30])
def test_distance_nearest_networks_and_p_value_are_those_of_a_slow_loop(usual, stretch):
    training = usual.training.features
    row = rows(2, 1)[0] * stretch
    found = reach_of(row, usual)
    (distance, near), *others = slow_distances(training, [row, *usual.calibration.features])
    assert found.distance == pytest.approx(distance, rel=1e-10)
    assert [own.network for own in found.nearest] == [100 + at for _, at in near]
    assert [own.target for own in found.nearest] == [at / 10 for _, at in near]
    assert [own.distance for own in found.nearest] == pytest.approx([far for far, _ in near], rel=1e-10)
    assert found.p_value == (1 + sum(other >= distance for other, _ in others)) / 100


def test_features_outside_the_range_are_named_with_value_and_range(usual):
    training = usual.training.features
    row = np.median(training, axis=0)
    assert reach_of(row, usual).outside_ranges == ()
    row[[1, 3]] = training[:, 1].max() + 1, training[:, 3].min() - 1
    found = reach_of(row, usual)
    assert [(own.name, own.value, own.low, own.high) for own in found.outside_ranges] == [
        (f"f{at}", row[at], training[:, at].min(), training[:, at].max()) for at in (1, 3)
    ]
    edge = training.max(axis=0)
    assert reach_of(edge, usual).outside_ranges == ()


def test_a_training_network_is_its_own_nearest(usual):
    found = reach_of(usual.training.features[7], usual)
    assert (found.nearest[0].network, found.nearest[0].distance, found.nearest[0].target) == (107, 0, 0.7)
    assert len(found.nearest) == NEAREST
    assert found.inside
    assert (found.reasons, found.note) == ((), "")


def test_a_network_far_away_is_outside_and_the_reason_says_why(usual):
    found = reach_of(usual.training.features[7] + 1e6, usual)
    assert not found.inside
    assert found.p_value == 0.01
    assert "times as far from the nearest training networks" in found.reasons[0]
    assert "none of 99 calibration networks are as far; outside their range: f0, f1, f2 and 1 more" in found.reasons[0]


# --- rates --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("networks", "rate", "expected"), [(19, 0.05, 0.05), (49, 0.1, 0.1), (9, 0.01, 0.1)])
def test_networks_of_the_same_kind_are_flagged_at_the_rate(predictor_of, networks, rate, expected):
    """With 9 networks 1 % cannot be kept: 1 in 10 is farther than all of them, which the note says."""
    flagged = []
    for split in range(150):
        predictor = predictor_of(rows([split, 0], 30), rows([split, 1], networks))
        flagged += [not reach_of(row, predictor, rate).inside for row in rows([split, 2], 10)]
    assert np.mean(flagged) == pytest.approx(expected, abs=0.25 * expected)


def test_rates_on_a_zoo(predictor_of, small_zoo):
    features, _, untrained = small_zoo
    held_out, before, ten_times = [], [], []
    for split in range(20):
        training, calibration, held = np.split(np.random.default_rng(split).permutation(240), [100, 199])
        predictor = predictor_of(features[training], features[calibration])
        held_out += [reach_of(row, predictor, 0.05).inside for row in features[held]]
        before += [reach_of(row, predictor, 0.05).inside for row in untrained[held[:10]]]
        ten_times += [reach_of(row, predictor, 0.05).inside for row in 10 * features[held[:10]]]
    assert 1 - np.mean(held_out) == pytest.approx(0.05, abs=0.02)
    assert 1 - np.mean(before) > 0.3
    assert 1 - np.mean(ten_times) > 0.3


# --- laws ---------------------------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(st.integers(0, 99), st.lists(st.integers(-30, 30), min_size=4, max_size=4), st.floats(0.1, 20))
def test_scaling_features_leaves_the_p_value_alone(predictor_of, seed, exponents, stretch):
    training, calibration, row = rows(seed, 20), rows(seed + 100, 25), rows(seed + 200, 1)[0] * stretch
    scales = 2.0 ** np.array(exponents)
    one = reach_of(row, predictor_of(training, calibration))
    other = reach_of(row * scales, predictor_of(training * scales, calibration * scales))
    assert (one.p_value, one.distance) == (other.p_value, other.distance)
    assert one.nearest == other.nearest


@settings(max_examples=30)
@given(st.integers(0, 99), st.integers(0, 99))
def test_the_order_of_networks_does_not_matter(predictor_of, seed, order):
    training, calibration, row = rows(seed, 20), rows(seed + 100, 25), rows(seed + 200, 1)[0]
    rng = np.random.default_rng(order)
    one = reach_of(row, predictor_of(training, calibration))
    other = reach_of(row, predictor_of(rng.permutation(training), rng.permutation(calibration)))
    assert one.p_value == other.p_value
    assert one.distance == pytest.approx(other.distance, rel=1e-10)
    assert one.outside_ranges == other.outside_ranges


@settings(max_examples=30)
@given(st.integers(0, 99), st.floats(0.001, 0.5), st.floats(0.001, 0.5))
def test_who_is_outside_at_a_rate_is_outside_at_a_higher_one(predictor_of, seed, one, other):
    predictor, row = predictor_of(rows(seed, 20), rows(seed + 100, 25)), rows(seed + 200, 1)[0] * 2
    assert reach_of(row, predictor, min(one, other)).inside >= reach_of(row, predictor, max(one, other)).inside


# --- edges --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_features_that_are_not_finite_are_outside(usual, bad):
    row = np.median(usual.training.features, axis=0)
    row[2] = bad
    found = reach_of(row, usual)
    assert (found.inside, found.distance, found.reasons) == (False, math.inf, ("f2 is not finite.",))
    assert np.isfinite([own.distance for own in found.nearest]).all()
    everything = reach_of(np.full(4, bad), usual)
    assert everything.reasons == ("f0, f1, f2 and 1 more are not finite.",)


def test_of_features_without_spread_only_equality_counts(predictor_of):
    training, calibration = rows(0, 40), rows(1, 99)
    training[:, 1] = calibration[:, 1] = 0.1
    training[::2, 1] += 1e-17
    predictor = predictor_of(training, calibration)
    row = np.median(training, axis=0)
    assert reach_of(row, predictor).inside
    row[1] = 0.1 * (1 + 1e-13)
    assert reach_of(row, predictor).inside
    row[1] = 0.2
    found = reach_of(row, predictor)
    assert (found.inside, found.distance) == (False, math.inf)
    assert found.reasons == (
        "All training networks have one value where this network has another: f1 (0.2, there 0.1).",
    )
    assert [own.name for own in found.outside_ranges] == ["f1"]


def test_networks_that_are_all_alike(predictor_of):
    predictor = predictor_of(np.ones((10, 3)), np.ones((99, 3)))
    same, other = reach_of(np.ones(3), predictor), reach_of(np.array([1, 1, 2.0]), predictor)
    assert (same.inside, same.distance, same.p_value) == (True, 0, 1)
    assert (other.inside, other.p_value) == (False, 0.01)


def test_a_feature_that_most_networks_have_alike_still_has_a_scale(predictor_of):
    training, calibration = rows(0, 40), rows(1, 99)
    training[3:, 1] = 0
    calibration[:, 1] = 0
    found = reach_of(np.array([0, 1e9, 0, 0.0]), predictor_of(training, calibration))
    assert math.isfinite(found.distance)
    assert not found.inside


def test_one_network_of_each_kind(predictor_of):
    predictor = predictor_of(rows(0, 1), rows(0, 1))
    found = reach_of(rows(0, 1)[0], predictor)
    assert (found.inside, len(found.nearest), found.p_value) == (True, 1, 1)
    assert "A rate of 1 % takes 99 calibration networks, and there is 1" in found.note
    assert "as 50 % of the zoo's networks are" in found.note
    assert not reach_of(rows(5, 1)[0], predictor).inside


def test_without_calibration_networks_the_distance_is_not_judged(predictor_of):
    predictor = predictor_of(rows(0, 20), rows(0, 0))
    found = reach_of(rows(1, 1)[0] + 1e9, predictor)
    assert found.inside
    assert "so it is not judged" in found.note
    assert not reach_of(np.full(4, math.nan), predictor).inside


def test_enormous_features_raise_nothing(predictor_of):
    rng = np.random.default_rng(0)
    predictor = predictor_of(rng.choice([-1e308, 1e308, 0.5], (20, 3)), rng.choice([-1e308, 1e308], (9, 3)))
    for row in ([1.7e308] * 3, [-1.7e308] * 3, [0.0] * 3):
        assert reach_of(np.array(row), predictor).p_value > 0


def test_features_and_rates_that_do_not_fit_are_refused(usual):
    with pytest.raises(ww.UsageError, match="the network has 3 features, the predictor 4"):
        reach_of(np.zeros(3), usual)
    for rate in (0, 1, -1, math.nan):
        with pytest.raises(ww.UsageError, match=r"is not between 0 and 1: name a share such as 0\.01"):
            reach_of(np.zeros(4), usual, rate)


@pytest.mark.parametrize("calibration", [0, 5, 150])
@pytest.mark.parametrize("rate", [0.01, 0.3])
def test_many_networks_are_judged_as_one_by_one(predictor_of, calibration, rate):
    random = np.random.default_rng(calibration)
    known = random.normal(size=(60 + calibration, 4))
    known[:, 3] = 2.0  # one value in all
    asked = np.concatenate([random.normal(size=(40, 4)) * 2, known[:20], random.normal(size=(5, 4)) * 1e200])
    asked[:60:2, 3] = 2.0
    predictor = predictor_of(known[:60], known[60:])
    told = inside_of(asked, predictor, rate)
    assert told.tolist() == [reach_of(row, predictor, rate).inside for row in asked]
    assert 0 < told.sum() < len(told)
    with pytest.raises(ww.UsageError, match="not between 0 and 1"):
        inside_of(asked, predictor, 1.0)
