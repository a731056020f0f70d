"""Laws of what is drawn: ranges, and that it depends on the seed, the purpose and the number alone."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ww_plugins.zoos.training import hyperparameters as ranges
from ww_plugins.zoos.training.draws import Draws
from ww_plugins.zoos.training.hyperparameters import drawn
from ww_plugins.zoos.training.initial import initial_weights
from ww_plugins.zoos.training.networks import network_of
from ww_plugins.zoos.training.request import ZooRequest, stacks_of
from ww_plugins.zoos.training.stack import Schedule, dropout_field, images_used, order_of, subset_of

SEEDS = st.integers(0, 2**63 - 1)
NUMBERS = st.integers(0, 999_999)
COUNTS = st.integers(1, 60)
MLP = network_of("mlp", (3, 4), 2, 8)


def asked(count, seed, *, fresh):
    return ZooRequest("zoo", "digits", count, "cnn", 0, seed, fresh, Schedule(1, (1,), 8), "cpu")


@given(SEEDS, NUMBERS, st.booleans())
def test_every_draw_is_in_its_range_and_comes_again(seed, number, fresh):
    own = drawn(seed, number, fresh_seed=fresh)
    assert own == drawn(seed, number, fresh_seed=fresh)
    assert own.optimizer in ranges.OPTIMIZERS
    assert own.activation in ranges.ACTIVATIONS
    assert own.train_fraction in ranges.TRAIN_FRACTIONS
    assert own.w_init in ranges.INITIALIZERS
    for value, (low, high) in (
        (own.learning_rate, ranges.LEARNING_RATES),
        (own.l2reg, ranges.L2_FACTORS),
        (own.init_std, ranges.INIT_STDS),
        (own.dropout, ranges.DROPOUT_RATES),
    ):
        assert low * (1 - 1e-12) <= value <= high * (1 + 1e-12)
    assert (own.dropout * 256).is_integer()
    assert 0 <= own.random_seed < (2**31 if fresh else 2**63)
    assert fresh or own.random_seed == seed


@given(COUNTS, COUNTS, SEEDS, st.booleans())
def test_a_larger_zoo_begins_with_the_networks_of_a_smaller_one(one, other, seed, fresh):
    few, many = sorted((one, other))
    assert asked(many, seed, fresh=fresh).chosen()[:few] == asked(few, seed, fresh=fresh).chosen()


@given(COUNTS, SEEDS)
def test_own_seeds_change_nothing_else(count, seed):
    shared, own = (asked(count, seed, fresh=fresh).chosen() for fresh in (False, True))
    for number in range(count):
        names = set(ranges.Hyperparameters.__slots__) - {"random_seed"}
        assert all(getattr(shared[number], name) == getattr(own[number], name) for name in names)
    assert len({network.random_seed for network in own}) == count


@given(COUNTS, SEEDS)
def test_every_network_is_in_one_stack_of_its_kind(count, seed):
    chosen = asked(count, seed, fresh=False).chosen()
    stacks = stacks_of(chosen)
    assert sorted(number for stack in stacks for number in stack) == list(range(count))
    assert all(len({chosen[number].stratum for number in stack}) == 1 for stack in stacks)


@given(SEEDS, st.integers(1, 300), st.integers(1, 300))
def test_a_stream_does_not_depend_on_how_much_is_taken_from_it(seed, one, other):
    few, many = sorted((one, other))
    for take in (Draws.uniform, Draws.normal, Draws.truncated_normal, Draws.bytes):
        part = take(Draws(seed, "any", 1), few)
        np.testing.assert_array_equal(take(Draws(seed, "any", 1), many)[:few], part)
    numbers = Draws(seed, "any", 1).uniform(many)
    assert numbers.min() > 0
    assert numbers.max() < 1


@given(SEEDS, st.integers(1, 90), st.integers(10, 300), st.sampled_from(ranges.TRAIN_FRACTIONS))
def test_subsets_are_nested_and_orders_are_of_all_that_is_used(seed, epoch, images, fraction):
    used = images_used(ranges.Hyperparameters("sgd", "relu", fraction, "orthogonal", 1, 0, 0, 1, seed), images)
    assert used == int(fraction * images)
    whole = subset_of(seed, images, images)
    assert sorted(whole.tolist()) == list(range(images))
    np.testing.assert_array_equal(subset_of(seed, images, used), whole[:used])
    assert sorted(order_of(seed, epoch, used).tolist()) == list(range(used))


@given(SEEDS, SEEDS, st.integers(1, 90), st.integers(1, 90))
def test_other_seeds_and_epochs_have_other_fields(seed, other, epoch, next_one):
    same = (seed, epoch) == (other, next_one)
    fields = [dropout_field(*own).bytes(32).tobytes() for own in ((seed, epoch), (other, next_one))]
    assert (fields[0] == fields[1]) == same


@given(SEEDS, st.sampled_from(["RandomNormal", "TruncatedNormal"]), st.floats(1e-3, 0.5))
def test_one_seed_gives_the_same_initial_draws_of_another_size(seed, w_init, std):
    one, other = (
        initial_weights(MLP, ranges.Hyperparameters("sgd", "relu", 1, w_init, 1, 0, 0, size, seed))
        for size in (1.0, std)
    )
    np.testing.assert_allclose(other, one * std, rtol=1e-12)
    assert np.isfinite(one).all()
