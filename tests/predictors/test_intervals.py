"""Conformal intervals: against crepes, by simulation, on a zoo, and where there are few networks."""

import math

import numpy as np
import pytest
from crepes import ConformalRegressor
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.ensemble import ExtraTreesRegressor

import ww_core as ww
from ww_plugins.predictors.intervals import families_of, half_width, interval_of, networks_needed

RESIDUALS = arrays(np.float64, st.integers(1, 40), elements=st.floats(-1e6, 1e6))
CONFIDENCES = st.floats(0.01, 0.99)


def calibrated(predictor_of, residuals, *, families=None, **others):
    count = len(residuals)
    others.setdefault("target", "test_loss")
    return predictor_of(np.zeros((3, 1)), np.zeros((count, 1)), targets=residuals, families=families, **others)


# --- against another program --------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:the no. of calibration examples is too small")
@pytest.mark.parametrize("networks", [1, 5, 23, 24, 120, 1001])
@pytest.mark.parametrize("confidence", [0.51, 0.777, 0.887, 0.9013, 0.993])
def test_split_intervals_are_those_of_crepes(predictor_of, networks, confidence):
    rng = np.random.default_rng(networks)
    residuals = rng.standard_t(3, networks)
    theirs = ConformalRegressor().fit(residuals).predict_int(np.array([0.25]), confidence=confidence)[0]
    found = interval_of(0.25, calibrated(predictor_of, residuals), confidence)
    np.testing.assert_allclose([found.low, found.high], theirs, rtol=1e-12)
    assert (found.networks, found.confidence, found.family) == (networks, confidence, "")


@pytest.mark.parametrize("confidence", [0.6, 0.777, 0.9013])
def test_intervals_of_a_family_are_those_of_crepes(predictor_of, confidence):
    rng = np.random.default_rng(5)
    families = rng.choice(["adam", "rmsprop", "sgd"], 150, p=[0.5, 0.4, 0.1])
    residuals = rng.normal(size=150) * np.where(families == "sgd", 5, 1)
    regressor = ConformalRegressor().fit(residuals, bins=families)
    predictor = calibrated(predictor_of, residuals, families=families)
    assert families_of(predictor) == ["adam", "rmsprop", "sgd"]
    for family in families_of(predictor):
        theirs = regressor.predict_int(np.array([1.5]), bins=np.array([family]), confidence=confidence)[0]
        found = interval_of(1.5, predictor, confidence, family)
        np.testing.assert_allclose([found.low, found.high], theirs, rtol=1e-12)
        assert (found.networks, found.family) == ((families == family).sum(), family)


# --- coverage -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("networks", "confidence"), [(9, 0.9), (19, 0.9), (24, 0.9), (99, 0.99), (40, 0.5)])
def test_coverage_of_exchangeable_networks_is_what_the_rank_says(networks, confidence):
    """With n networks the interval of rank k holds a new one with probability k / (n + 1)."""
    rng = np.random.default_rng(networks)
    splits = 20_000
    residuals = np.abs(rng.standard_cauchy((splits, networks + 1)))
    widths = np.array([half_width(row[:-1], confidence) for row in residuals])
    expected = math.ceil(round((networks + 1) * confidence, 9)) / (networks + 1)
    error = math.sqrt(expected * (1 - expected) / splits)
    assert (residuals[:, -1] <= widths).mean() == pytest.approx(expected, abs=4 * error)
    assert confidence <= expected < confidence + 1 / (networks + 1)


def test_each_family_is_covered_where_all_together_are_only_on_average(predictor_of):
    rng = np.random.default_rng(8)
    inside = {"": [], "hard": [], "easy": []}
    for _ in range(400):
        families = np.repeat(["hard", "easy"], [39, 39])
        noise = rng.normal(size=80) * np.repeat([5, 1], 40)
        held, hard, easy = noise[[39, 79]], noise[:39], noise[40:79]
        predictor = calibrated(predictor_of, np.concatenate([hard, easy]), families=families)
        for residual, family in zip(held, ("hard", "easy"), strict=True):
            found = interval_of(0, predictor, 0.9, family)
            inside[family].append(found.low <= residual <= found.high)
        together = interval_of(0, predictor, 0.9)
        inside[""].append(together.low <= held[0] <= together.high)
    assert np.mean(inside["hard"]) == pytest.approx(0.9, abs=0.06)
    assert np.mean(inside["easy"]) == pytest.approx(0.9, abs=0.06)
    assert np.mean(inside[""]) < 0.86


def test_coverage_on_a_zoo(predictor_of, small_zoo):
    features, targets, _ = small_zoo
    covered, widths = [], []
    for split in range(20):
        order = np.random.default_rng(split).permutation(len(targets))
        training, calibration, held = np.split(order, [80, 179])
        forest = ExtraTreesRegressor(20, random_state=split).fit(features[training], targets[training])
        predictor = predictor_of(
            features[training],
            features[calibration],
            targets=targets[calibration],
            calibrated=forest.predict(features[calibration]),
        )
        found = [interval_of(value, predictor, 0.9) for value in forest.predict(features[held])]
        low, high = np.array([(own.low, own.high) for own in found]).T
        covered.append(np.mean((low <= targets[held]) & (targets[held] <= high)))
        widths.append(np.mean(high - low))
    assert 0.87 < np.mean(covered) < 0.93
    assert np.mean(widths) < 0.7


# --- laws ---------------------------------------------------------------------------------------------------------


@given(RESIDUALS, CONFIDENCES, CONFIDENCES)
def test_an_interval_grows_with_the_confidence(residuals, one, other):
    assert half_width(residuals, min(one, other)) <= half_width(residuals, max(one, other))


@given(RESIDUALS, CONFIDENCES, st.integers(0, 99))
def test_neither_order_nor_sign_of_the_residuals_matters(residuals, confidence, seed):
    shuffled = np.random.default_rng(seed).permutation(residuals)
    assert half_width(shuffled, confidence) == half_width(-residuals, confidence)


@given(RESIDUALS, CONFIDENCES)
def test_so_many_residuals_are_within_as_the_rank_says(residuals, confidence):
    width = half_width(residuals, confidence)
    if math.isinf(width):
        assert len(residuals) < networks_needed(confidence)
    else:
        assert width in np.abs(residuals)
        assert (np.abs(residuals) <= width).sum() >= confidence * (len(residuals) + 1) * (1 - 1e-12)


@given(st.integers(1, 998))
def test_networks_needed_is_the_least_number(thousandths):
    confidence = thousandths / 1000
    needed = networks_needed(confidence)
    assert math.isfinite(half_width(np.ones(needed), confidence))
    assert needed == 1 or math.isinf(half_width(np.ones(needed - 1), confidence))


def test_the_rank_is_that_of_the_written_number():
    """0.9 * 10 is 9, 0.55 * 20 is 11 and 0.07 * 100 is 7, which floats miss."""
    assert half_width(np.arange(1.0, 10), 0.9) == 9
    assert half_width(np.arange(1.0, 20), 0.55) == 11
    assert half_width(np.arange(1.0, 100), 0.07) == 7
    assert networks_needed(0.9) == 9
    assert networks_needed(0.95) == 19
    assert networks_needed(0.99) == 99


# --- edges --------------------------------------------------------------------------------------------------------


def test_accuracies_are_cut_to_their_range(predictor_of):
    predictor = calibrated(predictor_of, np.full(9, 0.3), target="train_accuracy")
    assert (interval_of(0.9, predictor, 0.9).low, interval_of(0.9, predictor, 0.9).high) == (pytest.approx(0.6), 1.0)
    assert interval_of(0.1, predictor, 0.9).low == 0.0
    assert interval_of(1.7, predictor, 0.9).low == interval_of(1.7, predictor, 0.9).high == 1.0
    loss = interval_of(0.1, calibrated(predictor_of, np.full(9, 0.3)), 0.9)
    assert (loss.low, loss.high, loss.note) == (pytest.approx(-0.2), pytest.approx(0.4), "")


def test_too_few_networks_give_the_whole_range_and_say_so(predictor_of):
    found = interval_of(0.5, calibrated(predictor_of, [0.1], target="test_accuracy"), 0.9)
    assert (found.low, found.high, found.networks, bool(found.note)) == (0, 1, 1, True)
    assert "0.9 takes 9 calibration networks, and there is 1." in found.note
    families = ["sgd"] * 3 + ["adam"] * 9
    predictor = calibrated(predictor_of, np.ones(12), families=families)
    sgd, adam = interval_of(0.5, predictor, 0.9, "sgd"), interval_of(0.5, predictor, 0.9, "adam")
    assert (sgd.low, sgd.high) == (-math.inf, math.inf)
    assert "9 calibration networks of family sgd, and there are 3." in sgd.note
    assert (adam.low, adam.high, adam.note) == (-0.5, 1.5, "")


def test_one_network_is_enough_for_half_confidence():
    assert half_width(np.array([-0.25]), 0.5) == 0.25


def test_no_network_is_never_enough(predictor_of):
    assert interval_of(0.5, calibrated(predictor_of, []), 0.5).note


def test_a_residual_that_is_no_number_counts_as_the_largest(predictor_of):
    residuals = np.array([math.nan] + [1.0] * 9)
    assert half_width(residuals, 0.8) == 1
    found = interval_of(0.5, calibrated(predictor_of, residuals, target="test_accuracy"), 0.9)
    assert (found.low, found.high) == (0, 1)
    assert "no residual" in found.note


def test_an_unknown_family_is_refused_with_those_that_are_known(predictor_of):
    predictor = calibrated(predictor_of, np.ones(2), families=["sgd", "adam"], family_by="optimizer")
    with pytest.raises(ww.UsageError, match=r"family 'adamw' is unknown; this predictor \(optimizer\) knows adam, sgd"):
        interval_of(0, predictor, 0.9, "adamw")
    with pytest.raises(ww.UsageError, match="have no families, so leave it out"):
        interval_of(0, calibrated(predictor_of, np.ones(2)), 0.9, "sgd")
    many = calibrated(predictor_of, np.ones(30), families=[f"f{at:02}" for at in range(30)])
    with pytest.raises(ww.UsageError, match=r"f09 and 20 more$"):
        interval_of(0, many, 0.9, "sgd")


@pytest.mark.parametrize("confidence", [0, 1, -0.1, 90, math.nan])
def test_a_confidence_is_a_share(confidence):
    with pytest.raises(ww.UsageError, match=r"is not between 0 and 1: name a share such as 0\.9"):
        half_width(np.ones(5), confidence)
