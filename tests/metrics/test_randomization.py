import math
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.special import rel_entr

import ww_core as ww
from ww_core.errors import NotApplicable
from ww_core.spectral import fit_marchenko_pastur
from ww_plugins.metrics import randomization

ONE = ("rand_distance", "ww_softrank", "ww_maxdist", "max_rand_eval")
BULK = ("rand_num_spikes", "rand_sigma_mp", "rand_mp_softrank", "rand_bulk_max", "rand_bulk_min")
TRAPS = ("num_traps", "num_traps_se", "trap_excess", "trap_permutation", "trap_seed")


def heavy(shape=(60, 50), seed=0):
    return 0.1 * np.random.default_rng(seed).standard_t(3, shape)


@ww.metric(version="1", on_request=True, needs={f"s{k}": f"randomized_singular_values[{k}]" for k in range(5)})
def seen(singular_values, s0, s1, s2, s3, s4) -> float:
    """Keep what the core gives."""
    SEEN[:] = [np.array(each) for each in (singular_values, s0, s1, s2, s3, s4)]
    return 0.0


@ww.metric(version="1", on_request=True, needs={"seed": "randomized_seed"})
def told(seed) -> int:
    """The seed of the first permutation."""
    return seed


@ww.hookimpl
def ww_register_metrics():
    return [seen, told]


SEEN = []


def analysed(weights, *columns, **options):
    """Values of the columns, the spectrum and the five permuted ones."""
    options = {"plugins": [sys.modules[__name__]]} | options
    (row,) = ww.analyze({"w.weight": weights}, metrics=[*columns, "seen"], **options).layers
    return {column: row.metrics[column].number for column in columns}, SEEN[0], SEEN[1:]


def compared(values, permuted):
    one, other = values**2, permuted**2
    return [
        jensenshannon(one, other),
        other[0] / one[0],
        one[0] - other[0],
        other[0],
    ]


@pytest.mark.parametrize("shape", [(60, 50), (40, 30, 3, 3)])
def test_the_first_permutation(shape):
    found, values, permuted = analysed(heavy(shape), *ONE)
    assert list(found.values()) == pytest.approx(compared(values, permuted[0]), rel=1e-9)


def test_the_means_and_their_errors():
    columns = [f"{name}{end}" for name in ONE for end in ("_mean", "_se")]
    found, values, permuted = analysed(heavy(), *columns)
    each = np.array([compared(values, other) for other in permuted])
    expected = np.stack([each.mean(axis=0), each.std(axis=0, ddof=1) / math.sqrt(5)], axis=1).ravel()
    assert list(found.values()) == pytest.approx(list(expected), rel=1e-9)


def test_the_bulk_of_the_permuted_weights():
    weights = heavy()
    found, _, (first, *_) = analysed(weights, *BULK)
    fit = fit_marchenko_pastur(first**2, 60, 50)
    scale = math.sqrt(50 / np.sum(weights**2))
    expected = [fit.num_spikes, fit.sigma * math.sqrt(60) * scale, fit.lambda_plus / first[0] ** 2]
    assert list(found.values()) == pytest.approx([*expected, fit.lambda_plus, fit.lambda_minus], rel=1e-9)


def test_gaussian_weights_have_no_trap_and_one_huge_weight_is_one():
    weights = np.random.default_rng(1).standard_normal((120, 100))
    clean, *_ = analysed(weights, *TRAPS)
    assert clean["num_traps"] == 0
    assert abs(clean["trap_excess"]) < 0.15
    weights[3, 5] = 100.0
    trapped, _, permuted = analysed(weights, *TRAPS, "rand_sigma_mp_mean", "rand_num_spikes")
    assert (trapped["num_traps"], trapped["num_traps_se"], trapped["rand_num_spikes"]) == (1, 0, 1)
    excesses = [other[0] ** 2 / fit_marchenko_pastur(other**2, 120, 100).lambda_plus - 1 for other in permuted]
    assert trapped["trap_excess"] == pytest.approx(max(excesses), rel=1e-9)
    assert trapped["trap_permutation"] == np.argmax(excesses)
    assert trapped["rand_sigma_mp_mean"] == pytest.approx(math.sqrt(12000 / (12000 + 100**2)), rel=0.02)


def test_the_seed_is_told_and_another_one_permutes_otherwise():
    first, *_ = analysed(heavy(), "trap_seed", "rand_distance")
    again, *_ = analysed(heavy(), "trap_seed", "rand_distance")
    other, *_ = analysed(heavy(), "trap_seed", "rand_distance", seed=7)
    assert first == again
    assert (first["trap_seed"], other["trap_seed"]) == (0, 7)
    assert first["rand_distance"] != other["rand_distance"]


def test_the_seed_is_told_of_a_stored_spectrum_too(tmp_path):
    options = {"store": tmp_path / "store.sqlite", "name": "net", "seed": 5, "plugins": [sys.modules[__name__]]}
    ww.analyze({"w.weight": heavy()}, metrics=["rand_distance"], **options)
    again = ww.analyze({"w.weight": heavy()}, metrics=["told"], **options)
    assert again.run.computed == 0
    assert [row.metrics["told"].number for row in again.layers] == [5]


def test_a_spectrum_of_correlations_is_far_from_a_random_one():
    rng = np.random.default_rng(2)
    product = rng.standard_normal((80, 4)) @ rng.standard_normal((4, 60))
    found, *_ = analysed(product, "rand_distance", "ww_softrank")
    assert 0.6 < found["rand_distance"] < math.sqrt(math.log(2))
    assert found["ww_softrank"] < 0.3


def test_entries_that_are_made_of_the_weights_are_not_permuted():
    weights = {"w.weight": heavy((40, 30, 3, 3))}
    (row,) = ww.analyze(weights, metrics=["rand_distance", "num_traps"], extractors=["fft[n=4]"]).layers
    assert {outcome.state for outcome in row.metrics.values()} == {ww.State.NOT_APPLICABLE}


def test_a_matrix_of_zeros_cannot_be_compared():
    with pytest.raises(NotApplicable, match="the matrix is zero"):
        randomization.randomization(np.zeros(3), np.zeros(3))


values = st.lists(st.sampled_from([0.0, 1e-170, 1e-9, 0.3, 1.0, 7.0]) | st.floats(0, 1), min_size=4, max_size=20)


@given(one=values, other=values)
def test_the_distance_is_that_of_jensen_and_shannon(one, other):
    size = min(len(one), len(other))
    one, other = (np.sort(np.array([9.0, *each[:size]]))[::-1] for each in (one, other))
    found = randomization.randomization(one, other).rand_distance
    p, q = (own**2 / np.sum(own**2) for own in (one, other))
    divergence = np.sum(rel_entr(p, (p + q) / 2) + rel_entr(q, (p + q) / 2)) / 2  # of equal ones it may be below zero
    assert found == pytest.approx(math.sqrt(max(0.0, divergence)), rel=1e-7, abs=3e-8)
    assert 0.0 <= found <= math.sqrt(math.log(2)) * (1 + 1e-12)
    assert randomization.randomization(one, one).rand_distance == 0.0
    assert randomization.randomization(other, one).rand_distance == pytest.approx(found, abs=1e-12)


def test_close_spectra_have_a_small_distance():
    one = np.array([2.0, 1.0])
    p, q = np.array([4.0, 1.0]) / 5, np.array([4 + 1e-6, 1 - 1e-6]) / 5
    expected = math.sqrt(np.sum((p - q) ** 2 / (8 * p)))
    found = randomization.randomization(one, np.sqrt(q)).rand_distance
    assert found == pytest.approx(expected, rel=1e-3)
