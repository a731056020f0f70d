"""Fitting: who is held out, who is seen, what is searched, and how agreement is counted."""

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

import ww_core as ww
from ww_core.testing.feature_sets import sample_zoo
from ww_plugins.predictors.agreement import agreement_of, spread_of
from ww_plugins.predictors.fitting import FitRequest, fit_predictor


@dataclass(frozen=True)
class Line(ww.Estimator):
    """Least squares with a ridge, which notes what it is given."""

    name: ClassVar[str] = "line"
    version: ClassVar[str] = "1"
    description: ClassVar[str] = "least squares"
    seen: ClassVar[list[np.ndarray]] = []

    ridge: float = 1.0
    unused: int = 3

    def ranges(self, columns):
        return {"ridge": ww.Between(1e-6, 1e3, log=True), "unused": ww.Among((3, 4))}

    def fit(self, features, targets, seed):
        self.seen.append(features.copy())
        centre, mean = features.mean(axis=0), targets.mean()
        own = features - centre
        slopes = np.linalg.solve(own.T @ own + self.ridge * np.eye(own.shape[1]), own.T @ (targets - mean))
        return SimpleNamespace(predict=lambda others: (others - centre) @ slopes + mean)


def registry(estimator=Line):
    return ww.load_plugins(objects=[SimpleNamespace(ww_register_estimators=ww.hookimpl(lambda: [estimator()]))])


@pytest.fixture(autouse=True)
def _nothing_seen():
    Line.seen.clear()


def learnable(networks=80, **changes):
    """A zoo whose accuracies are a line in statistics of its weights."""
    zoo = sample_zoo(networks)
    scales = np.random.default_rng(1).uniform(0.2, 2.0, networks)
    weights = (zoo.stored * scales[:, None]).astype(np.float32)
    return replace(zoo, stored=weights, results={"test_accuracy": 0.1 + 0.4 * scales}, **changes)


def fit(zoo, **options):
    return fit_predictor(zoo, FitRequest(**({"estimator": "line"} | options)), registry=registry())


def test_half_is_held_out_a_fifth_of_the_rest_calibrates_and_no_network_is_twice():
    predictor = fit(learnable())
    parts = [predictor.training.networks, predictor.calibration.networks, predictor.held_out]
    assert [len(own) for own in parts] == [32, 8, 40]
    assert sorted(np.concatenate(parts).tolist()) == list(range(80))
    assert predictor.held_out_score.networks == 40
    assert predictor.held_out_score.r2 > 0.9
    assert predictor.held_out_score.kendall_tau > 0.8


def test_the_estimator_never_sees_who_is_held_out_or_calibrates():
    zoo = learnable()
    predictor = fit(zoo, trials=4)
    features = ww.zoo_features(zoo, "statistics", registry=registry()).values
    allowed = {row.tobytes() for row in features[np.isin(zoo.networks, predictor.training.networks)]}
    assert len(Line.seen) == 3 * 5 + 1
    assert {row.tobytes() for own in Line.seen for row in own} == allowed


def test_networks_of_one_configuration_stand_on_one_side():
    zoo = learnable()
    four = np.arange(80) // 4
    own = {name: values[four] for name, values in zoo.hyperparameters.items()} | {"random_seed": np.arange(80.0)}
    predictor = fit(replace(zoo, hyperparameters=own))
    sides = [
        set(four[part].tolist())
        for part in (predictor.training.networks, predictor.calibration.networks, predictor.held_out)
    ]
    assert sum(map(len, sides)) == 20
    assert len(set.union(*sides)) == 20


def test_the_same_seed_gives_the_same_and_another_seed_another():
    one, other, third = fit(learnable(), trials=3), fit(learnable(), trials=3), fit(learnable(), trials=3, seed=1)
    assert one.estimator == other.estimator
    assert one.fold_scores == other.fold_scores
    assert one.held_out_score == other.held_out_score
    assert np.array_equal(one.calibrated, other.calibrated)
    assert one.held_out.tolist() != third.held_out.tolist()


def test_the_order_of_rows_does_not_matter():
    zoo = learnable()
    turned = zoo.chosen(np.arange(80)[::-1])
    one, other = fit(zoo), fit(turned)
    assert one.held_out.tolist() == other.held_out.tolist()
    assert one.held_out_score == other.held_out_score


def test_a_search_is_never_worse_in_its_folds_and_keeps_what_was_given():
    plain, searched = fit(learnable(), estimator="line[ridge=1000]"), fit(learnable(), estimator="line", trials=20)
    errors = [np.mean([own.mse for own in predictor.fold_scores]) for predictor in (plain, searched)]
    assert errors[1] < errors[0]
    kept = fit(learnable(), estimator="line[ridge=2.5]", trials=10)
    assert "ridge=2.5" in kept.estimator


def test_calibrated_is_what_the_predictor_says_of_those_that_calibrate():
    predictor = fit(learnable())
    assert np.array_equal(predictor.predict(predictor.calibration.features), predictor.calibrated)


def test_families_are_told():
    predictor = fit(learnable(), family_by="optimizer")
    assert set(predictor.calibration.families.tolist()) <= {"adam", "rmsprop", "sgd"}
    with pytest.raises(ww.UsageError, match="has no hyperparameter 'colour'"):
        fit(learnable(), family_by="colour")


def test_what_cannot_be_learned_is_one_sentence():
    zoo = learnable()
    with pytest.raises(
        ww.UsageError, match="a predictor needs 20 networks with features and a result, and there are 1"
    ):
        fit(zoo.chosen(np.array([3])))
    with pytest.raises(ww.UsageError, match=r"the same result, 0\.1"):
        fit(replace(zoo, results={"test_accuracy": np.full(80, 0.1)}))
    with pytest.raises(ww.UsageError, match="has no 'top5': it has test_accuracy"):
        fit(zoo, target="top5")
    with pytest.raises(ww.UsageError, match="estimator"):
        fit(zoo, estimator="lime")
    with pytest.raises(ww.UsageError, match="folds need as many"):
        fit(zoo, folds=40)
    for wrong in ({"held_out": 1.0}, {"calibration": 0.0}, {"folds": 1}, {"trials": -1}, {"held_out": float("nan")}):
        with pytest.raises(ww.UsageError):
            fit(zoo, **wrong)


def test_networks_without_a_result_are_left_out():
    zoo = learnable()
    measured = zoo.results["test_accuracy"].copy()
    measured[:10] = np.nan
    predictor = fit(replace(zoo, results={"test_accuracy": measured}))
    assert len(predictor.training) + len(predictor.calibration) + len(predictor.held_out) == 70


@pytest.mark.parametrize("wrong", [np.nan, "shape", "raise"])
def test_an_estimator_that_fails_is_named(wrong):
    @dataclass(frozen=True)
    class Broken(Line):
        name: ClassVar[str] = "broken"

        def fit(self, features, targets, seed):
            if wrong == "raise":
                raise ZeroDivisionError("of nothing")
            return SimpleNamespace(
                predict=lambda others: np.full(len(others) + (wrong == "shape"), wrong if wrong != "shape" else 0.0)
            )

    with pytest.raises(ww.PluginError, match=":broken failed"):
        fit_predictor(learnable(), FitRequest(estimator="broken"), registry=registry(Broken))


def test_agreement_is_what_others_count():
    from scipy.stats import kendalltau
    from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

    rng = np.random.default_rng(0)
    targets = rng.uniform(size=50).round(1)
    predictions = targets + rng.normal(0, 0.1, 50)
    own = agreement_of(predictions, targets)
    assert own.r2 == pytest.approx(r2_score(targets, predictions), abs=1e-12)
    assert own.mse == pytest.approx(mean_squared_error(targets, predictions), abs=1e-15)
    assert own.mad == pytest.approx(mean_absolute_error(targets, predictions), abs=1e-15)
    assert own.kendall_tau == pytest.approx(kendalltau(targets, predictions).statistic, abs=1e-12)
    assert np.isnan(
        [agreement_of(targets, np.full(50, 0.3)).r2, agreement_of(np.full(50, 0.3), targets).kendall_tau]
    ).all()
    assert spread_of([own])["r2_std"] != spread_of([own])["r2_std"]
    assert spread_of([own, agreement_of(targets, targets)])["mad_std"] == pytest.approx(own.mad / np.sqrt(2))


def test_copies_of_a_network_stand_on_one_side():
    zoo = learnable()
    halves = np.concatenate([zoo.stored[:40], zoo.stored[:40]])
    predictor = fit(replace(zoo, stored=halves))
    sides = [
        set((own % 40).tolist())
        for own in (predictor.training.networks, predictor.calibration.networks, predictor.held_out)
    ]
    assert sum(map(len, sides)) == 40


def test_accuracies_are_shares():
    @dataclass(frozen=True)
    class Wild(Line):
        name: ClassVar[str] = "wild"

        def fit(self, features, targets, seed):
            learned = super().fit(features, targets, seed)
            return SimpleNamespace(predict=lambda others: 40 * (learned.predict(others) - 0.5))

    predictor = fit_predictor(learnable(), FitRequest(estimator="wild"), registry=registry(Wild))
    told = predictor.predict(predictor.calibration.features)
    assert (told.min(), told.max()) == (0.0, 1.0)
    assert np.array_equal(told, predictor.calibrated)


@pytest.mark.parametrize("fault", ["ranges", "between", "state", "no from_state", "other", "huge", "complex"])
def test_a_faulty_estimator_is_named_before_anything_is_written(fault):
    @dataclass(frozen=True)
    class Faulty(Line):
        name: ClassVar[str] = "faulty"

        def ranges(self, columns):
            if fault == "ranges":
                raise ZeroDivisionError("of nothing")
            return {"unused": ww.Between(9, 1)} if fault == "between" else {}

        def fit(self, features, targets, seed):
            learned = super().fit(features, targets, seed)
            factor = {"huge": 1e200, "complex": 1j}.get(fault, 1.0)
            return SimpleNamespace(predict=lambda others: learned.predict(others) * factor)

        def state(self, fitted):
            return {"state": 7, "no from_state": {"a": np.ones(3)}, "other": {"a": np.ones(3)}}.get(fault)

        def from_state(self, state, columns):
            if fault == "no from_state":
                return super().from_state(state, columns)
            return SimpleNamespace(predict=lambda others: np.zeros(len(others)))

    with pytest.raises(ww.PluginError, match="faulty"):
        fit_predictor(learnable(), FitRequest(estimator="faulty", trials=1), registry=registry(Faulty))


def test_a_seed_that_no_file_can_hold_is_refused_at_once():
    with pytest.raises(ww.UsageError, match="is not from 0 to"):
        fit(learnable(), seed=2**63)
    assert not Line.seen
