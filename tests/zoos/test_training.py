"""Training many networks at once: its gradients, steps and results against torch, one network at a time."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp
from slow_loop import SlowNetwork, train_independently, train_slowly
from torch.nn import functional

import ww_core as ww
from ww_plugins.zoos.data import ImageSet, Origin, image_set
from ww_plugins.zoos.training import hyperparameters as ranges
from ww_plugins.zoos.training.draws import Draws
from ww_plugins.zoos.training.engine import Engine, Layers, first_inputs, scales
from ww_plugins.zoos.training.hyperparameters import drawn
from ww_plugins.zoos.training.initial import initial_weights
from ww_plugins.zoos.training.networks import network_of
from ww_plugins.zoos.training.request import published_checkpoints, stacks_of
from ww_plugins.zoos.training.stack import Images, Schedule, train_stack

CNN = network_of("cnn", (15, 15), 10, 0)
OPTIMIZERS, ACTIVATIONS = ranges.OPTIMIZERS, ranges.ACTIVATIONS


@pytest.fixture(scope="module")
def digits():
    return image_set("digits")


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def few():
    """Few digits: an epoch has one to ten steps."""
    own = image_set("digits")
    arrays = own.x_train[:200], own.y_train[:200], own.x_test[:77], own.y_test[:77]
    return ImageSet("few", Origin("built-in", "few"), *arrays, classes=10)


def chosen_of(count, optimizer, activation, *, fresh=False, fraction=1.0, **others):
    return [
        replace(
            drawn(7, number, fresh_seed=fresh),
            optimizer=optimizer,
            activation=activation,
            train_fraction=fraction,
            **others,
        )
        for number in range(count)
    ]


def test_the_layout_is_the_published_one():
    assert CNN.parameters == 4970
    assert [(own.name, own.start, own.stop, own.shape) for own in CNN.tensors] == [
        ("sequential/conv2d/bias:0", 0, 16, (16,)),
        ("sequential/conv2d/kernel:0", 16, 160, (3, 3, 1, 16)),
        ("sequential/conv2d_1/bias:0", 160, 176, (16,)),
        ("sequential/conv2d_1/kernel:0", 176, 2480, (3, 3, 16, 16)),
        ("sequential/conv2d_2/bias:0", 2480, 2496, (16,)),
        ("sequential/conv2d_2/kernel:0", 2496, 4800, (3, 3, 16, 16)),
        ("sequential/dense/bias:0", 4800, 4810, (10,)),
        ("sequential/dense/kernel:0", 4810, 4970, (16, 10)),
    ]
    assert network_of("cnn", (28, 28), 10, 0).parameters == 4970
    assert network_of("mlp", (15, 15), 10, 8).parameters == 226 * 8 + 2 * 9 * 8 + 9 * 10


def test_a_cnn_needs_images_that_survive_three_convolutions():
    with pytest.raises(ww.UsageError, match="14 x 15 are too small"):
        network_of("cnn", (14, 15), 10, 0)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("drops", [False, True])
@pytest.mark.parametrize("own_images", [False, True])
@pytest.mark.parametrize(
    "network", [CNN, network_of("cnn", (17, 24), 3, 0), network_of("mlp", (6, 5), 4, 8)], ids=["15x15", "17x24", "mlp"]
)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-13)])
def test_gradients_are_those_of_autograd(network, activation, drops, own_images, dtype, tolerance):
    count, batch = 3, 5
    random = np.random.Generator(np.random.Philox(5))
    classes = network.layers[-1].outputs
    size = {"mlp": (6, 5), "cnn": (15, 15) if network is CNN else (17, 24)}[network.kind]
    many = count if own_images else 1
    images = random.uniform(-1, 1, (many * batch, *size)).astype(np.float32)
    labels = random.integers(0, classes, (many, batch))
    weights = torch.from_numpy(random.normal(0, 0.3, (count, network.parameters))).to(dtype)
    rates = np.array([0.25, 0.5, 0.0]) if drops else np.zeros(count)
    fields = random.integers(0, 256, (many, batch * network.hidden_units), dtype=np.uint8)

    engine = Engine(network, activation, count, dtype=dtype)
    factors = torch.from_numpy(scales(network, rates)).to(dtype)
    keep = None
    if drops:
        keep = engine.kept(torch.from_numpy(fields).to(dtype), torch.from_numpy(rates[:, None] * 256).to(dtype), batch)
    inputs = torch.from_numpy(first_inputs(network, images)).to(dtype)
    inputs = inputs.view(many, -1, inputs.shape[-1])
    gradients = torch.empty_like(weights)
    cut = Layers(network, weights * factors), Layers(network, gradients)
    engine.gradients(cut[0], inputs, torch.from_numpy(labels), keep, cut[1])
    gradients *= factors

    for number in range(count):
        at = number if own_images else 0
        model = SlowNetwork(network, activation, weights[number])
        own = torch.from_numpy(images[at * batch : (at + 1) * batch]).to(dtype)
        logits = model(own, rates[number], fields[at])
        functional.cross_entropy(logits, torch.from_numpy(labels[at])).backward()
        expected = torch.cat([parameter.grad.flatten() for parameter in model.tensors.values()])
        assert (gradients[number] - expected).abs().max() <= tolerance * expected.abs().max()


@pytest.mark.parametrize(("optimizer", "activation"), list(itertools.product(OPTIMIZERS, ACTIVATIONS)))
@pytest.mark.parametrize("fresh", [False, True])
def test_every_step_is_that_of_the_slow_loop(few, optimizer, activation, fresh):
    chosen = chosen_of(3, optimizer, activation, fresh=fresh, fraction=0.5)
    chosen[1] = replace(chosen[1], dropout=0.0)
    schedule = Schedule(2, (0, 1, 2), 25)
    stack = train_stack(CNN, Images(few, CNN, dtype=torch.float64), chosen, schedule, dtype=torch.float64)
    for number, own in enumerate(chosen):
        kept, measured = train_slowly(CNN, few, own, schedule, torch.float64)
        for weights, expected in zip(stack.weights[number], kept, strict=True):
            np.testing.assert_allclose(weights, expected.numpy(), rtol=1e-6, atol=1e-7)  # they are kept as float32
        np.testing.assert_allclose(stack.results[number, -1], measured, rtol=1e-8)
    assert (stack.diverged == -1).all()


def test_in_single_precision_an_epoch_stays_near_the_slow_loop(digits):
    (own,) = chosen = chosen_of(1, "adam", "relu", learning_rate=1e-3)
    schedule = Schedule(1, (1,), 32)
    stack = train_stack(CNN, Images(digits, CNN), chosen, schedule)
    (expected,), measured = train_slowly(CNN, digits, own, schedule)
    np.testing.assert_allclose(stack.weights[0, 0], expected.numpy(), atol=2e-3)
    np.testing.assert_allclose(stack.results[0, 0], measured, atol=0.02)


def test_who_is_in_the_stack_changes_no_network(few):
    chosen = chosen_of(4, "rmsprop", "tanh", fresh=True)
    images, schedule = Images(few, CNN, dtype=torch.float64), Schedule(1, (1,), 20)
    together = train_stack(CNN, images, chosen, schedule, dtype=torch.float64)
    alone = train_stack(CNN, images, chosen[2:3], schedule, dtype=torch.float64)
    np.testing.assert_allclose(together.weights[2], alone.weights[0], rtol=1e-6, atol=1e-7)


def test_a_network_that_diverges_disturbs_no_other(few):
    chosen = chosen_of(3, "sgd", "relu", dropout=0.25)
    chosen[1] = replace(chosen[1], learning_rate=1e30)
    stack = train_stack(CNN, Images(few, CNN), chosen, Schedule(3, (0, 3), 20))
    assert stack.diverged.tolist() == [-1, 1, -1]
    assert np.isfinite(stack.results[[0, 2]]).all()
    assert np.isfinite(stack.weights[[0, 2]]).all()


def test_a_stack_of_networks_that_all_diverged_ends_early(few):
    epochs = []
    chosen = chosen_of(2, "sgd", "relu", learning_rate=1e30)
    train_stack(CNN, Images(few, CNN), chosen, Schedule(50, (0, 50), 20), after_epoch=epochs.append)
    assert epochs == [0, 1]


def test_training_leaves_torch_as_it_was(few):
    threads = torch.get_num_threads()
    train_stack(CNN, Images(few, CNN), chosen_of(1, "sgd", "relu"), Schedule(1, (1,), 20))
    assert torch.get_num_threads() == threads
    assert torch.tensor([1e-40]) * 1 > 0  # denormal numbers are not flushed any more


def test_hyperparameters_are_those_of_the_paper_and_do_not_depend_on_the_count():
    many = [drawn(3, number, fresh_seed=False) for number in range(4000)]
    assert many[:10] == [drawn(3, number, fresh_seed=False) for number in range(10)]
    assert {own.random_seed for own in many} == {3}
    assert len({drawn(3, number, fresh_seed=True).random_seed for number in range(1000)}) == 1000
    for name, choices in (
        ("optimizer", OPTIMIZERS),
        ("activation", ACTIVATIONS),
        ("train_fraction", ranges.TRAIN_FRACTIONS),
        ("w_init", ranges.INITIALIZERS),
    ):
        counts = [sum(getattr(own, name) == choice for own in many) for choice in choices]
        assert sum(counts) == len(many)
        assert max(counts) < 1.25 * min(counts)
    for name, (low, high) in (
        ("learning_rate", ranges.LEARNING_RATES),
        ("l2reg", ranges.L2_FACTORS),
        ("init_std", ranges.INIT_STDS),
    ):
        places = [np.log(getattr(own, name) / low) / np.log(high / low) for own in many]
        assert min(places) >= 0
        assert max(places) <= 1
        assert abs(np.mean(places) - 0.5) < 0.02
    rates = np.array([own.dropout for own in many])
    assert rates.min() >= 0
    assert rates.max() <= 0.7
    assert (rates * 256 == np.rint(rates * 256)).all()


@pytest.mark.parametrize("w_init", ranges.INITIALIZERS)
def test_initial_weights_are_keras(w_init):
    chosen = replace(drawn(1, 0, fresh_seed=False), w_init=w_init, init_std=0.1)
    weights = initial_weights(CNN, chosen)
    kernel = weights[176:2480].reshape(144, 16)
    assert not weights[160:176].any()
    if w_init == "orthogonal":
        np.testing.assert_allclose(kernel.T @ kernel, np.eye(16), atol=1e-12)
        return
    fan_in, fan_out = 144, 144
    truncated = 0.1 * np.sqrt(0.7737413)  # variance of a standard normal number within two deviations
    expected = {"he_normal": np.sqrt(2 / fan_in), "glorot_normal": np.sqrt(2 / (fan_in + fan_out)), "RandomNormal": 0.1}
    std = expected.get(w_init, truncated)
    assert abs(kernel.std() / std - 1) < 0.05
    largest = np.abs(kernel).max() / std
    assert (largest > 2.5) == (w_init == "RandomNormal")


def test_draws_depend_on_seed_purpose_and_numbers():
    first = Draws(1, "order", 2)
    assert Draws(1, "order", 2).bytes(13).tolist() == first.bytes(13).tolist()
    others = [Draws(2, "order", 2), Draws(1, "dropout", 2), Draws(1, "order", 3), Draws(1, "order")]
    assert len({bytes(own.bytes(16)) for own in others}) == 4
    assert sorted(Draws(1, "a").permutation(50).tolist()) == list(range(50))
    assert np.abs(Draws(1, "b").truncated_normal(10_000)).max() <= 2
    # Fixed for ever: a zoo of a seed is the same zoo in every release.
    assert Draws(42, "order", 1).permutation(6).tolist() == [4, 3, 5, 0, 2, 1]
    assert Draws(42, "dropout", 1).bytes(4).tolist() == [68, 46, 72, 121]


def test_stacks_are_of_one_stratum_and_hold_every_network_once():
    chosen = [drawn(3, number, fresh_seed=False) for number in range(333)]
    stacks = stacks_of(chosen)
    assert sorted(itertools.chain(*stacks)) == list(range(333))
    assert all(len({chosen[number].stratum for number in stack}) == 1 for stack in stacks)
    assert max(map(len, stacks)) <= 12


def test_checkpoints_are_where_the_published_zoo_has_them():
    assert published_checkpoints(86) == (0, 1, 2, 3, 20, 40, 60, 80, 86)
    assert published_checkpoints(2) == (0, 1, 2)


@pytest.mark.stress
def test_accuracies_and_losses_are_distributed_as_those_of_torch_alone(digits):
    """Networks with seeds of their own on both sides, so that all are drawn independently; about two CPU minutes."""
    schedule = Schedule(10, (10,), 32)
    chosen = [drawn(11, number, fresh_seed=True) for number in range(300)]
    fast, images = np.empty((300, 4)), Images(digits, CNN)
    for numbers in stacks_of(chosen):
        fast[numbers] = train_stack(CNN, images, [chosen[number] for number in numbers], schedule).results[:, -1]
    others = [drawn(12, number, fresh_seed=True) for number in range(120)]
    slow = np.array([train_independently(CNN, digits, own, schedule) for own in others])
    assert np.isfinite(fast).all()
    for column, name in ((0, "test accuracy"), (3, "train loss")):
        test = ks_2samp(fast[:, column], slow[:, column])
        print(f"{name}: D {test.statistic:.4f}, p {test.pvalue:.4f}")
        assert test.pvalue > 0.01, name
