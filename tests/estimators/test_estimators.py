"""What estimators ask for, the functions through a sigmoid, and what loading needs."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import ww_core as ww
from ww_core.testing.estimators import sample_problem
from ww_plugins.estimators import ww_register_estimators
from ww_plugins.estimators.dnn import Network
from ww_plugins.estimators.forests import Forest
from ww_plugins.estimators.gbm import GradientBoosting
from ww_plugins.estimators.logit_linear import LogitLinear, loss_and_gradient, sigmoid
from ww_plugins.estimators.training import Scaling

ALL = ww_register_estimators()
FEATURES, TARGETS = sample_problem(30, 3)


# --- what they ask for ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", ALL, ids=lambda own: own.name)
@pytest.mark.parametrize(
    ("features", "targets", "message"),
    [
        (FEATURES, TARGETS[:-1], "do not fit"),
        (FEATURES[:, 0], TARGETS, "do not fit"),
        (FEATURES[:0], TARGETS[:0], "nothing to learn from"),
        (FEATURES[:, :0], TARGETS, "nothing to learn from"),
        (np.where(FEATURES > 1, np.nan, FEATURES), TARGETS, "a feature is not a finite number"),
        (np.where(FEATURES > 1, np.inf, FEATURES), TARGETS, "a feature is not a finite number"),
        (FEATURES, np.where(TARGETS > 0.5, np.nan, TARGETS), "a target is not a finite number"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(estimator, features, targets, message):
    with pytest.raises(ww.UsageError, match=f"estimator {estimator.name}: .*{message}"):
        estimator.fit(features, targets, 0)


@pytest.mark.parametrize("estimator", [LogitLinear(), Network()])
@pytest.mark.parametrize("targets", [TARGETS + 1.0, TARGETS - 1.0, 100.0 * TARGETS])
def test_a_sigmoid_has_targets_from_0_to_1(estimator, targets):
    with pytest.raises(ww.UsageError, match=r"predicts numbers from 0 to 1.*take gbm"):
        estimator.fit(FEATURES, targets, 0)


def test_targets_that_lightgbm_cannot_hold_are_refused():
    with pytest.raises(ww.UsageError, match="a target is beyond 1e"):
        GradientBoosting().fit(FEATURES, 1e30 * TARGETS, 0)


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (GradientBoosting, {"trees": 0}, "trees=0 is not possible: it is from 1 to 100000"),
        (GradientBoosting, {"num_leaves": 1}, "num_leaves=1"),
        (GradientBoosting, {"reg_lambda": -1.0}, "reg_lambda=-1 is not possible: it is 0 or more"),
        (Forest, {"max_features": 0.0}, "max_features=0"),
        (LogitLinear, {"l2": -1e-3}, "l2=-0.001"),
        (Network, {"dropout": 1.0}, "dropout=1"),
        (Network, {"layers": 21}, "layers=21"),
    ],
)
def test_options_that_are_not_possible_are_refused(make, options, message):
    with pytest.raises(ww.UsageError, match=f"estimator {make.name}: {message}"):
        make(**options)


@pytest.mark.parametrize("estimator", ALL, ids=lambda own: own.name)
def test_predictions_of_other_columns_are_refused(estimator):
    fitted = quick(estimator).fit(FEATURES, TARGETS, 0)
    with pytest.raises(ww.UsageError, match=r"features of shape \(n, 3\)"):
        fitted.predict(FEATURES[:, :2])
    assert fitted.predict(FEATURES[:0]).shape == (0,)


def quick(estimator):
    fast = {"gbm": {"trees": 5}, "dnn": {"epochs": 3}, "extra-trees": {"trees": 5}}
    return type(estimator)(**fast.get(estimator.name, {}))


@pytest.mark.parametrize(("name", "package"), [("gbm", "lightgbm"), ("forest", "sklearn.ensemble"), ("dnn", "torch")])
def test_what_is_not_installed_is_named_with_its_extra(name, package, monkeypatch):
    estimator = next(own for own in ALL if own.name == name)
    monkeypatch.setitem(sys.modules, package, None)
    for ask in (estimator.check, lambda: estimator.fit(FEATURES, TARGETS, 0)):
        with pytest.raises(ww.MissingExtraError, match=rf"estimator '{name}' needs .*'ww-core\[predictors\]'"):
            ask()


def test_loading_needs_nothing_that_fitting_needs(tmp_path):
    for estimator in ALL:
        fitted = quick(estimator).fit(FEATURES, TARGETS, 0)
        np.savez(
            tmp_path / f"{estimator.name}.npz", predictions=fitted.predict(FEATURES), features=FEATURES,
            **{f"state_{name}": array for name, array in estimator.state(fitted).items()},
        )  # fmt: skip
    script = """
import sys
for package in ("lightgbm", "sklearn", "torch", "scipy.optimize"):
    sys.modules[package] = None
import numpy as np
from ww_plugins.estimators import ww_register_estimators
for estimator in ww_register_estimators():
    arrays = np.load(f"{estimator.name}.npz")
    state = {name.removeprefix("state_"): arrays[name] for name in arrays if name.startswith("state_")}
    found = estimator.from_state(state, 3).predict(arrays["features"])
    assert np.array_equal(found, arrays["predictions"]), estimator.name
    print(estimator.name)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.split() == [estimator.name for estimator in ALL], done.stderr


# --- standardised features --------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 2**32), power=st.integers(-300, 100))
@settings(max_examples=40, deadline=None)
def test_scaling_is_numpys_whatever_the_size(seed, power):
    numbers = np.random.default_rng(seed).uniform(-1, 1, (9, 3))
    numbers[:, 1] = numbers[0, 1]
    found = Scaling.of(numbers * 10.0**power).applied(numbers * 10.0**power)
    wanted = (numbers - numbers.mean(axis=0)) / np.where([1, 0, 1], numbers.std(axis=0), 1.0)
    wanted[:, 1] = 0.0
    assert np.allclose(found, wanted, atol=1e-9)


def test_what_is_far_away_stays_finite():
    scaling = Scaling.of(FEATURES * 1e-300)
    assert np.abs(scaling.applied(FEATURES * 1e300)).max() == 1e6
    for estimator in (LogitLinear(), quick(Network())):
        found = estimator.fit(FEATURES * 1e-300, TARGETS, 0).predict(FEATURES * 1e300)
        assert np.isfinite(found).all()


# --- logit-linear -----------------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 2**32), l2=st.sampled_from([0.0, 1e-3, 1.0]))
@settings(max_examples=25, deadline=None)
def test_the_gradient_is_that_of_autograd_and_of_differences(seed, l2):
    generator = np.random.default_rng(seed)
    features, targets = generator.standard_normal((12, 4)), generator.uniform(size=12)
    parameters = generator.standard_normal(5)
    loss, gradient = loss_and_gradient(parameters, features, targets, l2)
    p = torch.tensor(parameters, requires_grad=True)
    error = torch.sigmoid(torch.tensor(features) @ p[:-1] + p[-1]) - torch.tensor(targets)
    wanted = (error**2).mean() + l2 * (p[:-1] ** 2).sum()
    wanted.backward()
    assert loss == pytest.approx(float(wanted.detach()), rel=1e-12)
    assert np.allclose(gradient, p.grad.numpy(), rtol=1e-10, atol=1e-13)
    for at, step in enumerate(1e-6 * np.eye(5)):
        higher, lower = (loss_and_gradient(parameters + s, features, targets, l2)[0] for s in (step, -step))
        assert gradient[at] == pytest.approx((higher - lower) / 2e-6, abs=1e-7)


def test_it_is_fitted_in_full():
    generator = np.random.default_rng(0)
    features = generator.standard_normal((500, 6)) * [1, 10, 0.1, 3, 1e-5, 1e5] + 2.0
    weight = generator.standard_normal(6)
    targets = 1 / (1 + np.exp(-(Scaling.of(features).applied(features) @ weight - 0.3)))
    exact = LogitLinear(l2=0.0).fit(features, targets, 0)
    assert np.allclose(exact.weight, weight, atol=1e-4)
    assert np.allclose(exact.predict(features), targets, atol=1e-5)
    penalised = LogitLinear(l2=1e-3).fit(features, targets, 0)
    parameters = np.append(penalised.weight, penalised.bias)
    _, gradient = loss_and_gradient(parameters, penalised.scaling.applied(features), targets, 1e-3)
    assert np.abs(gradient).max() < 1e-6


def test_the_sigmoid_has_no_overflow():
    numbers = np.array([-1e308, -800.0, -1.5, 0.0, 1.5, 800.0, 1e308])
    found = sigmoid(numbers)
    assert np.allclose(found, [0.0, 0.0, 1 / (1 + np.exp(1.5)), 0.5, 1 / (1 + np.exp(-1.5)), 1.0, 1.0])


# --- dnn --------------------------------------------------------------------------------------------------------------


def test_a_network_is_pytorchs():
    fitted = Network(layers=4, units=33, epochs=5).fit(FEATURES, TARGETS, 0)
    modules = []
    for weight, bias in zip(fitted.weights, fitted.biases, strict=True):
        linear = torch.nn.Linear(*weight.shape).double()
        linear.weight.data, linear.bias.data = torch.tensor(weight.T).double(), torch.tensor(bias).double()
        modules += [linear, torch.nn.ReLU()]
    net = torch.nn.Sequential(*modules[:-1], torch.nn.Sigmoid())
    with torch.no_grad():
        wanted = net(torch.tensor((FEATURES - FEATURES.mean(axis=0)) / FEATURES.std(axis=0)))[:, 0].numpy()
    assert np.allclose(fitted.predict(FEATURES), wanted, rtol=0.0, atol=1e-12)


@pytest.mark.parametrize("estimator", [LogitLinear(), Network(epochs=4, units=67)], ids=lambda own: own.name)
def test_a_network_of_a_zoo_has_its_bits_in_any_company(estimator):
    features, targets = sample_problem(300, 57)
    fitted = estimator.fit(features, targets, 0)
    whole = fitted.predict(features)
    assert np.array_equal(fitted.predict(features[::-1]), whole[::-1])
    assert np.array_equal(fitted.predict(np.asfortranarray(features)), whole)
    assert [fitted.predict(features[i : i + 1])[0] for i in range(0, 300, 7)] == list(whole[::7])


def test_training_leaves_pytorch_as_it_is():
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        first = Network(epochs=2, dropout=0.1).fit(FEATURES, TARGETS, 3).predict(FEATURES)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(Network(epochs=2, dropout=0.1).fit(FEATURES, TARGETS, 3).predict(FEATURES), first)
    assert not np.array_equal(Network(epochs=2, dropout=0.1).fit(FEATURES, TARGETS, 4).predict(FEATURES), first)


def test_it_stops_early_and_takes_the_best_epoch():
    features, targets = sample_problem(200, 5)
    noise = np.random.default_rng(1).uniform(size=200)
    long, longer = (Network(epochs=epochs, units=32).fit(features, noise, 0) for epochs in (150, 300))
    assert np.array_equal(long.predict(features), longer.predict(features))  # there is nothing to learn
    learned = Network(units=64).fit(features, targets, 0)
    assert np.corrcoef(learned.predict(features), targets)[0, 1] > 0.97


def test_a_rate_that_is_too_high_still_predicts_numbers():
    fitted = Network(learning_rate=10.0, epochs=20, units=32).fit(FEATURES, TARGETS, 0)
    assert np.isfinite(fitted.predict(FEATURES)).all()
    again = Network().from_state(Network().state(fitted), 3)
    assert np.isfinite(again.predict(FEATURES)).all()


@pytest.mark.parametrize("estimator", [LogitLinear(), Network(units=64, epochs=60)], ids=lambda own: own.name)
@pytest.mark.parametrize("target", [0.0, 0.1, 1.0])
def test_constant_targets_at_the_ends(estimator, target):
    found = estimator.fit(FEATURES, np.full(30, target), 0).predict(FEATURES)
    assert np.allclose(found, target, atol=0.02)
    assert np.isfinite(estimator.fit(FEATURES[:1], np.full(1, target), 0).predict(FEATURES)).all()
