"""Several predictors: transfer, comparison, invariance."""

from dataclasses import replace

import numpy as np
import pytest
from test_fitting import Line, learnable, registry

import ww_core as ww
from ww_plugins.predictors.agreement import agreement_of
from ww_plugins.predictors.comparing import compared
from ww_plugins.predictors.evaluating import evaluated
from ww_plugins.predictors.fitting import FitRequest, fit_predictor
from ww_plugins.predictors.invariance import deviations
from ww_plugins.predictors.transferring import transferred

REQUEST = FitRequest(estimator="line")


def test_each_zoo_predicts_what_each_held_out():
    one, other = learnable(), replace(learnable(), name="other")
    found = {
        (own.fitted_on, own.tested_on): own.agreement for own in transferred([one, other], REQUEST, registry=registry())
    }
    assert list(found) == [("sample", "sample"), ("sample", "other"), ("other", "sample"), ("other", "other")]
    predictor = fit_predictor(one, REQUEST, registry=registry())
    assert found["sample", "sample"] == predictor.held_out_score
    held_out = one.chosen(predictor.held_out)
    values = ww.zoo_features(held_out, "statistics", registry=registry()).values
    assert found["sample", "other"] == agreement_of(predictor.predict(values), held_out.results["test_accuracy"])


def test_a_transfer_takes_several_zoos():
    with pytest.raises(ww.UsageError, match="two zoos or more"):
        transferred([learnable()], REQUEST, registry=registry())
    with pytest.raises(ww.UsageError, match="the name 'sample'"):
        transferred([learnable(), learnable()], REQUEST, registry=registry())


def test_all_that_are_compared_hold_out_the_same():
    told = compared(
        learnable(),
        ["statistics", "norms+hyperparameters"],
        ["line", "line[ridge=9]"],
        REQUEST,
        seeds=2,
        registry=registry(),
    )
    assert [(own.features, own.estimator) for own in told] == [
        ("statistics", "line"), ("statistics", "line[ridge=9]"),
        ("norms+hyperparameters", "line"), ("norms+hyperparameters", "line[ridge=9]"),
    ]  # fmt: skip
    for place in (0, 1):
        assert len({tuple(own.predictors[place].held_out.tolist()) for own in told}) == 1
    scores = [own.held_out_score.r2 for own in told[0].predictors]
    assert told[0].mean("r2") == pytest.approx(np.mean(scores))
    assert told[0].deviation("r2") == pytest.approx(abs(scores[0] - scores[1]) / np.sqrt(2))


def test_an_unknown_estimator_is_told_before_the_first_is_fitted():
    Line.seen.clear()
    with pytest.raises(ww.UsageError):
        compared(learnable(), ["statistics"], ["line", "lime"], REQUEST, registry=registry())
    assert not Line.seen


def test_what_does_not_change_features_changes_no_prediction():
    zoo = learnable()
    told = {
        own.change: own
        for own in deviations(fit_predictor(zoo, REQUEST, registry=registry()), zoo, registry=registry())
    }
    assert {own.networks for own in told.values()} == {40}
    for same in ("each layer", "the convolutions", "the dense layers"):
        assert told[f"permuted within {same}, biases apart"].greatest < 1e-9  # statistics do not know the order
    assert told["all weights permuted, with biases"].mad > 1e-3
    assert told["all times 10"].mad > told["all times 1.1"].mad > 1e-3
    for own in told.values():
        assert 0 <= own.mad <= own.greatest
    weights = replace(REQUEST, features="weights")
    flat = deviations(fit_predictor(zoo, weights, registry=registry()), zoo, registry=registry(), most=7)
    assert {own.networks for own in flat} == {7}
    assert min(own.mad for own in flat if own.change.startswith("permuted")) > 0


def test_scaled_predictions_are_those_of_scaled_weights():
    zoo = learnable()
    predictor = fit_predictor(zoo, REQUEST, registry=registry())
    told = {own.change: own for own in deviations(predictor, zoo, registry=registry())}
    held_out = zoo.chosen(predictor.held_out)
    scaled = replace(held_out, stored=zoo.stored.astype(np.float64) * 2.0)
    before, after = (
        predictor.predict(ww.zoo_features(own, "statistics", registry=registry()).values) for own in (held_out, scaled)
    )
    assert told["all times 2"].mad == pytest.approx(np.abs(after - before).mean(), rel=1e-9)


def test_of_a_zoo_that_was_seen_nothing_is_left():
    zoo = learnable()
    predictor = fit_predictor(zoo, REQUEST, registry=registry())
    seen = zoo.chosen(predictor.training.networks)
    with pytest.raises(ww.UsageError, match="has seen all"):
        deviations(predictor, seen, registry=registry())


def test_earlier_checkpoints_of_who_was_seen_are_left_out_too():
    zoo = learnable()
    predictor = fit_predictor(zoo, REQUEST, registry=registry())
    both = replace(
        zoo,
        stored=np.concatenate([zoo.stored * 0.5, zoo.stored]),
        rows=np.arange(160),
        networks=np.tile(zoo.networks, 2),
        epochs=np.repeat([3, 20], 80),
        hyperparameters={},
        results={"test_accuracy": np.tile(zoo.results["test_accuracy"], 2)},
    )
    told = evaluated(predictor, both, epoch=3, registry=registry())
    assert told.zoo.networks.tolist() == sorted(predictor.held_out.tolist())
    assert told.agreement != predictor.held_out_score
    assert evaluated(predictor, both, registry=registry()).agreement.r2 == pytest.approx(predictor.held_out_score.r2)
    with pytest.raises(ww.UsageError, match="no checkpoint of epoch 4: it has 3, 20"):
        evaluated(predictor, both, epoch=4, registry=registry())


def test_networks_without_biases_are_permuted_and_scaled_too():
    zoo = learnable()
    bare = replace(zoo, tensors=tuple(own for own in zoo.tensors if own.role == "weight"))
    predictor = fit_predictor(bare, REQUEST, registry=registry())
    told = {own.change: own for own in deviations(predictor, bare, registry=registry())}
    assert told["all times 2, biases by depth"].mad == told["all times 2"].mad > 0


def test_ranges_hold_their_ends():
    rng = np.random.default_rng(0)
    for where, whole in (
        (ww.Between(3, 5), True),
        (ww.Between(1, 100, log=True), True),
        (ww.Between(0.1, 0.1, log=True), False),
    ):
        drawn = [where.draw(rng, whole=whole) for _ in range(300)]
        assert where.low <= min(drawn) <= max(drawn) <= where.high
        assert {type(own) for own in drawn} == {int if whole else float}
    assert np.median([ww.Between(1, 100, log=True).draw(rng, whole=True) for _ in range(999)]) < 20
