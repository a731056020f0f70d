"""Permutation importance: against its expectation, against scikit-learn's, and of features that say the same."""

from dataclasses import replace

import numpy as np
import pytest
from linear_predictor import predictor_for, registry_of

import ww_core as ww
from ww_plugins.predictors.importance import groups_of, importances
from ww_plugins.predictors.predictor import Learned

TENSORS = (
    ww.ZooTensor("a/kernel:0", "a", "weight", 0, 6, (2, 3)),
    ww.ZooTensor("a/bias:0", "a", "bias", 6, 9, (3,)),
    ww.ZooTensor("b/kernel:0", "b", "weight", 9, 15, (3, 2)),
    ww.ZooTensor("b/bias:0", "b", "bias", 15, 17, (2,)),
)
ROWS = 60


class Rule:
    """Predicts by a formula of the features' columns."""

    def __init__(self, formula):
        self.formula = formula

    def predict(self, features):
        return self.formula(features)


@pytest.fixture(scope="module")
def registry():
    return registry_of()


@pytest.fixture
def zoo():
    random = np.random.default_rng(3)
    weights = random.normal(size=(ROWS, 17))
    numbers = np.arange(ROWS)
    result = weights[:, 6:9].max(axis=1) + 0.3 * random.normal(size=ROWS)
    return ww.Zoo("own", TENSORS, "keras", weights, numbers, numbers, numbers, results={"test_loss": result})


@pytest.fixture
def predictor(registry, zoo):
    """One that has seen other networks: it predicts by what the test says."""
    features = ww.zoo_features(zoo, "statistics", registry=registry)
    made = predictor_for(registry, columns=len(features.names), tensors=TENSORS)
    return replace(made, names=features.names, fitted=Rule(lambda rows: rows @ np.linspace(-1, 1, rows.shape[1])))


def columns(predictor, *names):
    return [predictor.names.index(name) for name in names]


def test_the_mean_is_what_all_permutations_give_on_average(predictor, zoo, registry):
    features = ww.zoo_features(zoo, "statistics", registry=registry).values
    targets = zoo.results["test_loss"]
    found = importances(predictor, zoo, repeats=40, registry=registry)
    assert (found.networks, len(found.groups)) == (ROWS, 28)
    assert found.mse == pytest.approx(float(np.mean((predictor.predict(features) - targets) ** 2)))
    for own in found.groups:
        column = predictor.names.index(own.name)
        # Each network has the value of each other one, and its own, equally often.
        swapped = np.repeat(features, ROWS, axis=0)
        swapped[:, column] = np.tile(features[:, column], ROWS)
        expected = np.mean((predictor.predict(swapped) - np.repeat(targets, ROWS)) ** 2) - found.mse
        assert own.importance == pytest.approx(expected, abs=5 * own.importance_std / np.sqrt(40) + 1e-12)


def test_it_is_what_scikit_learn_says_of_the_same_forest(predictor, zoo, registry):
    ensemble = pytest.importorskip("sklearn.ensemble")
    from sklearn.inspection import permutation_importance

    features, targets = ww.zoo_features(zoo, "statistics", registry=registry).values, zoo.results["test_loss"]
    forest = ensemble.RandomForestRegressor(10, random_state=0, max_depth=4).fit(features[::2], targets[::2])
    found = importances(replace(predictor, fitted=forest), zoo, repeats=20, registry=registry)
    theirs = permutation_importance(
        forest, features, targets, scoring="neg_mean_squared_error", n_repeats=20, random_state=1
    )
    own = {one.name: one for one in found.groups}
    for at, name in enumerate(predictor.names):
        spread = np.hypot(own[name].importance_std, np.std(theirs.importances[at], ddof=1)) / np.sqrt(20)
        assert own[name].importance == pytest.approx(theirs.importances_mean[at], abs=5 * spread + 1e-12)
    assert found.groups[0].name == predictor.names[int(np.argmax(theirs.importances_mean))]
    assert found.groups[0].importance_std == pytest.approx(np.std(theirs.importances, axis=1).max(), rel=0.5)


def test_what_the_predictor_does_not_look_at_has_no_importance_and_a_seed_gives_the_same(predictor, zoo, registry):
    (used,) = columns(predictor, "layer1.bias.q100")
    only = replace(predictor, fitted=Rule(lambda rows: rows[:, used]))
    found = importances(only, zoo, registry=registry)
    assert found.groups[0].name == "layer1.bias.q100"
    assert [own.importance for own in found.groups[1:]] == [0.0] * 27
    assert importances(only, zoo, registry=registry) == found
    assert importances(only, zoo, seed=1, registry=registry).groups[0] != found.groups[0]
    assert np.isnan(importances(only, zoo, repeats=1, registry=registry).groups[0].importance_std)


def test_features_that_say_the_same_are_told_by_their_layer(predictor, zoo, registry):
    """Half of a sum that two features say: each alone matters a quarter, both together are what one would be."""
    first, second = columns(predictor, "layer1.bias.q100", "layer1.bias.q75")

    def of(rule, by):
        own = replace(predictor, fitted=Rule(rule))
        return {one.name: one.importance for one in importances(own, zoo, by=by, registry=registry).groups}

    alone = of(lambda rows: rows[:, first] + 0 * rows[:, second], "feature")
    both = of(lambda rows: (rows[:, first] + rows[:, second]) / 2, "layer")
    shared = of(lambda rows: (rows[:, first] + rows[:, second]) / 2, "feature")
    assert both["layer2"] == 0.0
    assert shared["layer1.bias.q100"] < both["layer1"] < 1.5 * alone["layer1.bias.q100"]


def test_permuting_a_group_keeps_its_rows_together(predictor, zoo, registry):
    """A difference of two columns of one layer that is the same in all networks stays so."""
    first, second = columns(predictor, "layer1.bias.q0", "layer1.bias.q50")
    shifted = Rule(lambda rows: (rows[:, first] - rows[:, second]) > 0)  # never: a minimum is below a median
    told = replace(predictor, fitted=Rule(lambda rows: shifted.predict(rows).astype(float)))
    assert {own.importance for own in importances(told, zoo, by="layer", registry=registry).groups} == {0.0}
    assert {own.importance for own in importances(told, zoo, registry=registry).groups} != {0.0}


@pytest.mark.parametrize(
    ("name", "layer", "statistic"),
    [
        ("layer1.weight.q75", "layer1", "weight.q75"),
        ("last.bias.mean", "last", "bias.mean"),
        ("relative.layer1.bias.q0", "relative.layer1", "relative.bias.q0"),
        ("all.variance", "all", "variance"),
        ("layer3.weight.norm2", "layer3", "weight.norm2"),
        ("a/kernel:0[5]", "a", "weight"),
        ("sorted.b/bias:0[1]", "sorted.b", "sorted.bias"),
        ("features.0.alpha", "features.0", "alpha"),
        ("conv1.slice[3].alpha", "conv1", "alpha"),
        ("optimizer=adam", "optimizer", "optimizer"),
        ("learning_rate", "learning_rate", "learning_rate"),
    ],
)
def test_features_are_put_together_by_their_names(predictor, name, layer, statistic):
    own = replace(predictor, names=(name,))
    assert groups_of(own, "feature") == {name: [0]}
    assert groups_of(own, "layer") == {layer: [0]}
    assert groups_of(own, "statistic") == {statistic: [0]}


def test_every_feature_is_in_one_group(predictor):
    for by, count in (("feature", 28), ("layer", 2), ("statistic", 14)):
        groups = groups_of(predictor, by)
        assert len(groups) == count
        assert sorted(place for own in groups.values() for place in own) == list(range(28))


def test_networks_that_were_seen_are_left_out(predictor, zoo, registry):
    found = ww.zoo_features(zoo, "statistics", registry=registry)
    seen = Learned(zoo.networks, found.values, zoo.results["test_loss"], np.full(ROWS, "", object))

    def having(count):
        own = Learned(*(part[:count] for part in (seen.networks, seen.features, seen.targets, seen.families)))
        return replace(predictor, training=own)

    assert importances(having(40), zoo, registry=registry).networks == 20
    assert importances(predictor, zoo, most=30, registry=registry).networks == 30
    with pytest.raises(ww.UsageError, match="has seen all of its networks"):
        importances(having(ROWS), zoo, registry=registry)
    with pytest.raises(ww.UsageError, match="it takes two"):
        importances(having(ROWS - 1), zoo, registry=registry)
    with pytest.raises(ww.UsageError, match="put features together"):
        importances(predictor, zoo, by="colour", registry=registry)
