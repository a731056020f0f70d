"""The contract of feature sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ww_core.domain.zoo import Zoo, ZooTensor
from ww_core.testing.plugins import PluginContract

if TYPE_CHECKING:
    from ww_core.contracts.feature_set import FeatureSet
    from ww_core.plugins.registry import Owned

NETWORKS = 7


class FeatureSetContract(PluginContract):
    """Tests that every feature set of a plugin must pass. Set ``plugin``; override ``zoo`` if they need another one."""

    def zoo(self) -> Zoo:
        """Return the zoo under test: small convolutional networks with the paper's hyperparameters."""
        return sample_zoo(NETWORKS)

    def owned(self) -> list[Owned[FeatureSet]]:
        """Return the plugin's feature sets."""
        return self.own(self.registry().feature_sets)

    def test_every_feature_set_says_what_it_is(self) -> None:
        """It has one line, and a version."""
        for owned in self.owned():
            assert owned.object.description.isprintable()
            assert owned.object.description
            assert owned.object.version

    def test_names_and_features_fit(self) -> None:
        """One name for each feature, none twice; float64; of all checkpoints."""
        zoo = self.zoo()
        for owned in self.owned():
            names, values = owned.object.names(zoo), owned.object.features(zoo)
            assert len(set(names)) == len(names), owned.qualified
            assert values.shape == (len(zoo), len(names)), owned.qualified
            assert values.dtype == np.float64, owned.qualified
            assert np.isfinite(values).all(), owned.qualified

    def test_a_checkpoint_has_its_features_in_any_company(self) -> None:
        """Those of one do not depend on the others, nor on their order; of none there are none."""
        zoo = self.zoo()
        for owned in self.owned():
            whole = owned.object.features(zoo)
            order = np.arange(len(zoo))[::-1]
            assert np.array_equal(owned.object.features(zoo.chosen(order)), whole[order]), owned.qualified
            assert np.array_equal(owned.object.features(zoo.chosen(order[:1])), whole[order[:1]]), owned.qualified
            assert owned.object.features(zoo.chosen(order[:0])).shape == (0, whole.shape[1]), owned.qualified

    def test_weights_are_left_as_they_are(self) -> None:
        """Nothing is written into them."""
        zoo = self.zoo()
        before = zoo.weights().copy()
        for owned in self.owned():
            owned.object.features(zoo)
            assert np.array_equal(zoo.weights(), before), owned.qualified


def sample_zoo(networks: int, seed: int = 0, **changes: Any) -> Zoo:
    """Return a zoo of random networks with two convolutions and a dense layer, stored as Keras does.

    Args:
        networks: How many.
        seed: Of the random numbers.
        changes: Fields of the zoo that are others.
    """
    generator = np.random.default_rng(seed)
    shapes = {"conv2d": (3, 3, 1, 4), "conv2d_1": (3, 3, 4, 5), "dense": (5, 10)}
    tensors: list[ZooTensor] = []
    for layer, shape in shapes.items():
        for role, last, own in (("bias", "bias:0", shape[-1:]), ("weight", "kernel:0", shape)):
            start = tensors[-1].stop if tensors else 0
            tensors.append(ZooTensor(f"{layer}/{last}", layer, role, start, start + int(np.prod(own)), own))  # type: ignore[arg-type]
    hyperparameters: dict[str, Any] = {
        "learning_rate": generator.uniform(1e-4, 1e-1, networks),
        "l2reg": generator.uniform(1e-8, 1e-2, networks),
        "dropout": generator.uniform(0.0, 0.7, networks),
        "init_std": generator.uniform(1e-3, 0.5, networks),
        "train_fraction": generator.choice([0.1, 0.25, 0.5, 1.0], networks),
        "activation": generator.choice(["relu", "tanh"], networks).astype(object),
        "w_init": generator.choice(["he_normal", "orthogonal"], networks).astype(object),
        "optimizer": generator.choice(["adam", "rmsprop", "sgd"], networks).astype(object),
    }
    fields: dict[str, Any] = {
        "name": "sample",
        "tensors": tuple(tensors),
        "layout": "keras",
        "stored": generator.standard_normal((networks, tensors[-1].stop)).astype(np.float32),
        "rows": np.arange(networks),
        "networks": np.arange(networks),
        "epochs": np.full(networks, 20),
        "hyperparameters": hyperparameters,
        "results": {"test_accuracy": generator.uniform(0.1, 1.0, networks)},
    }
    return Zoo(**(fields | changes))
