"""The built-in estimators: the contract, and what others say of the same fit."""

import numpy as np
import pytest

import ww_core as ww
import ww_plugins.estimators
from ww_core.testing import EstimatorContract
from ww_core.testing.estimators import sample
from ww_plugins.estimators.dnn import DeepNetwork
from ww_plugins.estimators.forests import ExtraTrees, Forest
from ww_plugins.estimators.gbm import GradientBoosting, trees_of
from ww_plugins.estimators.logit_linear import LogitLinear, loss


class TestEstimators(EstimatorContract):
    plugin = ww_plugins.estimators


FEATURES, TARGETS = sample(400, 12)
OTHERS = np.random.default_rng(9).standard_normal((300, 12)) * np.logspace(-3, 3, 12)


def test_boosted_trees_predict_what_lightgbm_predicts():
    import lightgbm

    fitted = GradientBoosting(trees=150).fit(FEATURES, TARGETS, 1)
    own = lightgbm.Booster(model_str=fitted.text.decode()).predict(OTHERS)
    assert np.abs(fitted.predict(OTHERS) - own).max() < 1e-12
    on_zeros = np.zeros((2, 12))
    assert (
        np.abs(fitted.predict(on_zeros) - lightgbm.Booster(model_str=fitted.text.decode()).predict(on_zeros)).max()
        < 1e-12
    )


@pytest.mark.parametrize("name", ["forest", "extra-trees"])
def test_forests_predict_what_scikit_learn_predicts(name):
    from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor

    ours, theirs = {"forest": (Forest, RandomForestRegressor), "extra-trees": (ExtraTrees, ExtraTreesRegressor)}[name]
    fitted = ours(trees=20, columns=0.5).fit(FEATURES, TARGETS, 5)
    other = theirs(20, max_features=0.5, random_state=5).fit(FEATURES, TARGETS)
    assert np.abs(fitted.predict(OTHERS) - other.predict(OTHERS)).max() < 1e-12
    assert np.abs(fitted.predict(FEATURES) - other.predict(FEATURES)).max() < 1e-12


def test_the_gradient_of_the_line_is_right():
    rng = np.random.default_rng(0)
    features, targets, own = rng.normal(size=(30, 4)), rng.uniform(size=30), rng.normal(size=5)
    gradient = loss(own, features, targets, 0.3)[1]
    for place in range(5):
        step = np.zeros(5)
        step[place] = 1e-6
        slope = (loss(own + step, features, targets, 0.3)[0] - loss(own - step, features, targets, 0.3)[0]) / 2e-6
        assert gradient[place] == pytest.approx(slope, abs=1e-8)


def test_a_line_is_found_again():
    features = np.random.default_rng(0).normal(size=(500, 3)) * [1, 10, 0.1] + [0, 5, 2]
    slopes = np.array([0.5, -0.08, 3.0])
    targets = 1 / (1 + np.exp(-(features @ slopes - 6)))
    fitted = LogitLinear(l2=0.0).fit(features, targets, 0)
    assert np.abs(fitted.slopes - slopes).max() < 1e-3
    assert np.abs(fitted.predict(features) - targets).max() < 1e-4


def test_scaled_features_teach_the_line_the_same():
    scales = np.logspace(-4, 4, 12)
    one, other = (LogitLinear().fit(own, TARGETS, 0) for own in (FEATURES, FEATURES * scales))
    assert np.abs(one.predict(OTHERS) - other.predict(OTHERS * scales)).max() < 1e-3


@pytest.mark.parametrize("estimator", [LogitLinear(), DeepNetwork()])
def test_results_beyond_0_and_1_are_refused(estimator):
    with pytest.raises(ww.UsageError, match="between 0 and 1"):
        estimator.fit(FEATURES, TARGETS * 3, 0)


def test_the_network_learns():
    fitted = DeepNetwork().fit(FEATURES, TARGETS, 0)
    fresh, wanted = sample(800, 12)
    assert np.mean((fitted.predict(fresh[400:]) - wanted[400:]) ** 2) < 0.3 * np.var(wanted[400:])


TEXT = GradientBoosting(trees=4).fit(FEATURES, TARGETS, 1).text


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"version=v4", b"version=v9"),
        (b"num_cat=0", b"num_cat=1"),
        (b"is_linear=0", b"is_linear=1"),
        (b"num_tree_per_iteration=1", b"num_tree_per_iteration=3"),
        (b"end of trees", b"end of text"),
        (b"left_child=", b"left_child=0 "),
        (b"split_feature=", b"split_feature=99999999999999999999 "),
        (b"threshold=", b"threshold=x"),
        (b"decision_type=2", b"decision_type=1"),
        (b"decision_type=2", b"decision_type=6"),
        (b"leaf_value=", b"leaf_value=nan "),
        (b"tree\n", b"tree\xff\n"),
    ],
)
def test_a_text_model_that_was_changed_is_refused(old, new):
    assert old in TEXT
    with pytest.raises(ww.CorruptFileError):
        trees_of(TEXT.replace(old, new, 1), 12)


def test_a_text_model_that_was_cut_is_refused():
    end = TEXT.index(b"end of trees")
    for at in np.linspace(0, end, 60).astype(int):
        with pytest.raises(ww.CorruptFileError):
            trees_of(TEXT[:at], 12)


def test_a_way_round_among_nodes_is_refused():
    state = {name: own.copy() for name, own in Forest().state(Forest(trees=2).fit(FEATURES, TARGETS, 0)).items()}
    inner = int(np.flatnonzero(state["feature"] >= 0)[-1])
    state["left"][inner] = 0
    with pytest.raises(ww.CorruptFileError, match="leads nowhere"):
        Forest().from_state(state, 12)
