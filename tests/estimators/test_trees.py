"""Trees as arrays: against a slow loop, scikit-learn and LightGBM, and damaged."""

import lightgbm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor

import ww_core as ww
from ww_core.testing.estimators import sample_problem
from ww_plugins.estimators.forests import ExtraTrees, Forest
from ww_plugins.estimators.gbm import GradientBoosting
from ww_plugins.estimators.lightgbm_text import trees_of_text
from ww_plugins.estimators.trees import MOST_LEVELS, Trees, joined

COLUMNS = 4


def random_tree(generator, splits):
    """Any leaf is split, again and again: chains and bushes."""
    feature, threshold, left, right = [-1], [0.0], [-1], [-1]
    for _ in range(splits):
        node = generator.choice(np.flatnonzero(np.array(feature) == -1))
        feature[node], threshold[node] = generator.integers(COLUMNS), generator.integers(-2, 3) / 2
        left[node], right[node] = len(feature), len(feature) + 1
        for array, empty in ((feature, -1), (threshold, 0.0), (left, -1), (right, -1)):
            array.extend([empty, empty])
    value = np.where(np.array(feature) == -1, generator.standard_normal(len(feature)), 0.0)
    return {
        name: np.array(a)
        for name, a in zip(("feature", "threshold", "left", "right"), (feature, threshold, left, right), strict=True)
    } | {"value": value}


def slow(tree, row):
    node = 0
    while tree["feature"][node] != -1:
        side = "left" if row[tree["feature"][node]] <= tree["threshold"][node] else "right"
        node = tree[side][node]
    return tree["value"][node]


@given(seed=st.integers(0, 2**32), trees=st.integers(1, 12), rows=st.integers(0, 40))
@settings(max_examples=40, deadline=None)
def test_all_at_once_is_one_by_one(seed, trees, rows):
    generator = np.random.default_rng(seed)
    forest = [random_tree(generator, generator.integers(0, 20)) for _ in range(trees)]
    features = generator.integers(-4, 5, (rows, COLUMNS)) / 2  # many are thresholds themselves
    wanted = [sum((slow(tree, row) for tree in forest), 0.0) for row in features]
    whole = joined(COLUMNS, [dict(tree) for tree in forest], rounding="zero")
    whole.check()
    assert np.array_equal(whole.predict(features), np.array(wanted, float))
    assert np.array_equal(Trees.from_state(whole.state(), COLUMNS).predict(features), np.array(wanted, float))


@pytest.mark.parametrize("rows", [1, 3, 700, 40_000])
def test_a_network_has_its_bits_in_any_company(rows):
    features, targets = sample_problem(200, COLUMNS)
    fitted = Forest(trees=9).fit(features, targets, 1)
    many = np.random.default_rng(2).standard_normal((rows, COLUMNS))
    whole = fitted.predict(many)
    assert np.array_equal(fitted.predict(many[::-1]), whole[::-1])
    assert np.array_equal(fitted.predict(np.asfortranarray(many)), whole)
    assert [fitted.predict(many[i : i + 1])[0] for i in range(0, rows, 1 + rows // 50)] == list(
        whole[:: 1 + rows // 50]
    )


# --- scikit-learn -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (Forest(trees=8, max_depth=5, max_features=0.5), RandomForestRegressor),
        (Forest(trees=8), RandomForestRegressor),
        (ExtraTrees(trees=8, min_samples_leaf=3), ExtraTreesRegressor),
        (ExtraTrees(trees=8), ExtraTreesRegressor),
    ],
)
def test_forests_are_scikit_learns(mine, theirs):
    features, targets = sample_problem(300, COLUMNS, seed=3)
    features[:, 2] = features[:, 2].round(1)
    oracle = theirs(
        n_estimators=8,
        random_state=5,
        max_depth=mine.max_depth or None,
        max_features=mine.max_features,
        min_samples_leaf=mine.min_samples_leaf,
    ).fit(features, targets)
    fitted = mine.fit(features, targets, 5)
    thresholds = np.concatenate([tree.tree_.threshold for tree in oracle])
    others = np.random.default_rng(1).choice(thresholds, (500, COLUMNS))  # as close as it gets
    others *= 1.0 + np.random.default_rng(2).uniform(-1e-7, 1e-7, others.shape)  # and lost in float32
    for rows in (features, others):
        assert np.allclose(fitted.predict(rows), oracle.predict(rows), rtol=0.0, atol=1e-12)


def test_float32_has_an_end_and_forests_do_not_mind():
    features, targets = sample_problem(50, 2)
    features[:, 1] *= 1e60
    fitted = Forest(trees=3).fit(features, targets, 0)
    assert np.isfinite(fitted.predict(features)).all()


# --- LightGBM ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [{}, {"max_depth": 0, "num_leaves": 40, "subsample": 1.0}, {"max_bin": 7, "reg_alpha": 0.01, "colsample": 0.3}],
)
def test_boosted_trees_are_lightgbms(options):
    features, targets = sample_problem(400, COLUMNS, seed=4)
    features[::3, 1] = 0.0
    features[:, 3] = features[:, 3].round(1)
    estimator = GradientBoosting(trees=60, **options)
    fitted = estimator.fit(features, targets, 5)
    oracle = lightgbm.Booster(model_str=estimator.state(fitted)["model"].tobytes().decode())
    others = np.random.default_rng(1).choice(fitted.trees.threshold, (500, COLUMNS))
    others[::4, 0] = [0.0, -0.0, 1e-40, -1e-300] * 31 + [1e-35]
    for rows in (features, others, np.nextafter(others, np.inf), 1e9 * others):
        assert np.allclose(fitted.predict(rows), oracle.predict(rows), rtol=0.0, atol=1e-12)


def test_boosting_does_not_depend_on_threads(monkeypatch):
    features, targets = sample_problem(700, 20)
    texts = []
    options = GradientBoosting._options
    for threads in (1, 2):
        monkeypatch.setattr(
            GradientBoosting, "_options", lambda self, *given, n=threads: {**options(self, *given), "num_threads": n}
        )
        text = GradientBoosting(trees=10).fit(features, targets, 5).text
        texts.append(text.replace(f"[num_threads: {threads}]", ""))
    assert texts[0] == texts[1]


def test_seeds_differ_and_may_be_large():
    features, targets = sample_problem(100, COLUMNS)
    for estimator in (GradientBoosting(trees=9), Forest(trees=3), ExtraTrees(trees=3)):
        found = [estimator.fit(features[:90], targets[:90], seed).predict(features[90:]) for seed in (0, 1, 2**64 - 1)]
        assert not np.array_equal(found[0], found[1])
        assert not np.array_equal(found[0], found[2])


@pytest.mark.parametrize("rows", [1, 2, 3])
@pytest.mark.parametrize("estimator", [GradientBoosting(trees=9), Forest(trees=3), ExtraTrees(trees=3)])
def test_few_networks_and_constant_features_are_learned(estimator, rows):
    features, targets = np.ones((rows, 2)), np.linspace(0.0, 1.0, rows)
    found = estimator.fit(features, targets, 0).predict(features)
    assert np.allclose(found, found[0])
    assert 0.0 <= found[0] <= 1.0


def text_of(trees=3):
    features, targets = sample_problem(100, COLUMNS)
    return GradientBoosting(trees=trees).fit(features, targets, 0).text


TEXT = text_of()


def line(name):
    return next(line for line in TEXT.split("\n") if line.startswith(f"{name}="))


def edited(name, value):
    return TEXT.replace(line(name), f"{name}={value}", 1)


def with_first(name, value):
    return edited(name, " ".join([value, *line(name).partition("=")[2].split()[1:]]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "its end is missing"),
        (TEXT[:-1], "its end is missing"),
        (TEXT.replace("end of trees", "end of tree"), "the line 'end of trees' is missing"),
        (TEXT.replace("tree\n", "wood\n", 1), "does not start with 'tree'"),
        (edited("version", "v9"), "its version must be v3 or v4"),
        (edited("num_class", "2"), "its num_class must be 1"),
        (edited("objective", "regression sqrt"), "its objective must be regression"),
        (edited("objective", "binary sigmoid:1"), "its objective must be regression"),
        (edited("max_feature_idx", "9"), "it is not over 4 features"),
        (edited("tree_sizes", "1 2"), "its number of trees is not that of its head"),
        (TEXT.replace("feature_names=", "average_output\nfeature_names=", 1), "a line is not known"),
        (TEXT.replace("feature_names=", "average_output=1\nfeature_names=", 1), "a line that is not known"),
        (TEXT.replace("num_class=1\n", "num_class=1\nnum_class=1\n", 1), "comes twice"),
        (TEXT.replace("Tree=1", "Tree=7", 1), "tree 1 has another number"),
        (edited("num_leaves", "3"), "has not as many leaves as it says"),
        (edited("num_cat", "1"), "num_cat other than 0"),
        (edited("is_linear", "1"), "is_linear other than 0"),
        (with_first("decision_type", "1"), "decisions other than <="),
        (with_first("decision_type", "10"), "decisions other than <="),
        (with_first("split_feature", "4"), "a feature that is none of the 4"),
        (with_first("split_feature", "-1"), "a feature that is none"),
        (with_first("split_feature", "99999999999"), "no number, or too large"),
        (with_first("split_feature", "9" * 6000), "no number, or too large"),
        (with_first("left_child", "0"), "a child does not come after its parent"),
        (with_first("left_child", "-99"), "a child that is none of its nodes"),
        (with_first("left_child", "99"), "a child that is none of its nodes"),
        (with_first("left_child", "-2"), "a node has no parent, or two"),
        (with_first("threshold", "nan"), "a number that no fit gives"),
        (with_first("threshold", "1e999"), "a number that no fit gives"),
        (with_first("leaf_value", "inf"), "a number that no fit gives"),
        (with_first("leaf_value", "x"), "no number, or too large"),
        (edited("threshold", "1"), "has not as many decisions"),
    ],
)
def test_a_damaged_model_of_lightgbm_is_refused(text, message):
    with pytest.raises(ww.CorruptFileError, match=message):
        trees_of_text(text, COLUMNS)


@given(
    place=st.floats(0, 1), cut=st.integers(0, 9), put=st.text(st.sampled_from("0123456789-.e \n=naif\x00"), max_size=6)
)
@settings(max_examples=150, deadline=None)
def test_a_model_that_is_changed_anywhere_is_refused_or_read(place, cut, put):
    at = int(place * len(TEXT))
    try:
        trees = trees_of_text(TEXT[:at] + put + TEXT[at + cut :], COLUMNS)
    except ww.CorruptFileError:
        return
    assert np.isfinite(trees.predict(np.zeros((3, COLUMNS)))).all()


# --- damaged tables ---------------------------------------------------------------------------------------------------


def chain(levels):
    """A tree that is a chain."""
    nodes = 2 * levels + 1
    inner = np.arange(nodes) % 2 == 0
    inner[-1] = False
    left = np.where(inner, np.arange(nodes) + 1, -1)
    return {
        "feature": np.where(inner, 0, -1),
        "threshold": np.zeros(nodes),
        "left": left,
        "right": np.where(inner, left + 1, -1),
        "value": np.where(inner, 0.0, 1.0),
    }


def test_trees_that_are_too_deep_or_too_many_are_refused():
    for levels in (1, MOST_LEVELS - 1):
        joined(1, [chain(levels)], rounding="zero").check()
    with pytest.raises(ww.CorruptFileError, match="levels"):
        joined(1, [chain(MOST_LEVELS)], rounding="zero").check()
    leaves = np.full(100_001, -1, np.int32)
    many = Trees(1, np.arange(100_001), leaves, np.zeros(100_001), leaves, leaves, np.ones(100_001), "zero")
    with pytest.raises(ww.CorruptFileError, match="100001 trees"):
        many.check()


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_table_that_is_changed_anywhere_is_refused_or_evaluated(data):
    generator = np.random.default_rng(data.draw(st.integers(0, 99)))
    state = joined(COLUMNS, [random_tree(generator, 4) for _ in range(3)], rounding="zero").state()
    name = data.draw(st.sampled_from(sorted(state)))
    changed = state[name].copy()
    changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(
        st.integers(-2, 30).filter(lambda n: n >= 0 or name != "rounding")
    )
    try:
        trees = Trees.from_state({**state, name: changed}, COLUMNS)
    except ww.CorruptFileError:
        return
    assert np.isfinite(trees.predict(np.zeros((3, COLUMNS)))).all()


def test_other_columns_are_refused():
    trees = joined(COLUMNS, [chain(2)], rounding="zero")
    for shape in ((3, COLUMNS - 1), (3, COLUMNS + 1), (COLUMNS,)):
        with pytest.raises(ww.UsageError, match=r"shape \(n, 4\)"):
            trees.predict(np.zeros(shape))
    with pytest.raises(ww.CorruptFileError, match="whatever"):
        Trees.from_state({**trees.state(), "whatever": np.zeros(1)}, COLUMNS)
