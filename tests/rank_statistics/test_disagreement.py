import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ww_core.rank_statistics import Disagreement, disagreement, grouped_correlation


def families(*, groups, models, inside, between, noise, seed=0):
    """Models of several groups: slopes inside each group and between the groups' middles."""
    random = np.random.default_rng(seed)
    middles = np.repeat(np.arange(groups) * 10.0, models)
    offsets = np.tile(np.arange(models) - (models - 1) / 2, groups)
    x = middles + offsets
    y = between * middles + inside * offsets + noise * random.standard_normal(len(x))
    return x, y, np.repeat(np.arange(groups), models).tolist()


def judged(**family):
    return disagreement(grouped_correlation(*families(**family), replicates=300))


def test_opposite_directions_are_clear():
    assert judged(groups=4, models=8, inside=-1, between=1, noise=0.5) is Disagreement.CLEAR
    assert judged(groups=4, models=8, inside=1, between=-1, noise=0.5) is Disagreement.CLEAR


def test_the_same_direction_is_none():
    for sign in (1, -1):
        assert judged(groups=4, models=8, inside=sign, between=sign, noise=0.5) is Disagreement.NONE


def test_few_models_in_line_may_be_luck():
    """The interval of tau inside has no width; but two groups of three are in reversed order by luck 1 time in 18."""
    family = families(groups=2, models=3, inside=-1, between=1, noise=0)
    correlated = grouped_correlation(*family)
    assert correlated.inside.tau.low == correlated.inside.tau.high == -1
    assert correlated.inside.chance == pytest.approx(2 / 36)
    assert disagreement(correlated) is Disagreement.LIKELY
    assert disagreement(grouped_correlation(*family, confidence=0.9)) is Disagreement.CLEAR


def test_a_direction_between_groups_that_is_not_sure_makes_it_likely():
    x, y, groups = families(groups=2, models=12, inside=-1, between=0, noise=0.3)
    y = y + np.where(np.array(groups) == 1, 1.0, 0.0)
    correlated = grouped_correlation(x, y, groups)
    assert correlated.between.tau.low < 0 < correlated.between.tau.value < correlated.between.tau.high
    assert disagreement(correlated) is Disagreement.LIKELY


def test_no_direction_is_opposite_to_none():
    correlated = grouped_correlation(*families(groups=4, models=8, inside=-1, between=1, noise=0.5))
    between = dataclasses.replace(correlated.between, tau=dataclasses.replace(correlated.between.tau, value=0.0))
    assert disagreement(dataclasses.replace(correlated, between=between)) is Disagreement.NONE


def test_without_an_order_inside_a_false_alarm_is_rare():
    grades = [judged(groups=4, models=8, inside=0, between=1, noise=3, seed=seed) for seed in range(60)]
    assert grades.count(Disagreement.NONE) >= 54


@pytest.mark.parametrize(
    ("x", "y", "groups"),
    [
        ([], [], ""),
        ([1], [1], "a"),
        ([1, 2, 3], [1, 3, 2], "aaa"),
        ([1, 2, 3], [1, 3, 2], "abc"),
        ([1] * 4, [1, 2] * 2, "aabb"),
    ],
)
def test_where_one_of_the_two_is_undefined_nothing_disagrees(x, y, groups):
    assert disagreement(grouped_correlation(x, y, groups)) is Disagreement.NONE


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.sampled_from("abc")), min_size=2, max_size=25))
@settings(deadline=None)
def test_tau_between_is_opposite_wherever_tau_overall_is(rows):
    correlated = grouped_correlation(*(list(column) for column in zip(*rows, strict=True)), replicates=0)
    inside, between, overall = (part.tau.value for part in (correlated.inside, correlated.between, correlated.overall))
    assert not inside * overall < 0 or inside * between < 0
