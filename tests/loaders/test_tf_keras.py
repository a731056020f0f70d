"""Models of tf_keras, the Keras 2 that lives on, in memory: where it is installed, which ww does not ask for."""

from __future__ import annotations

import numpy as np
import pytest
from naming import ByName

import ww_core as ww
from ww_plugins.loaders.keras.loader import KerasLoader
from ww_plugins.loaders.keras.models import KerasModelLoader

keras = pytest.importorskip("tf_keras")

pytestmark = pytest.mark.filterwarnings("ignore")


def told(checkpoint):
    return {layer.name: (str(layer.kind), layer.groups, layer.weight.shape) for layer in checkpoint.layers}


def block():
    layer = keras.layers.Conv2D(4, 3, groups=2, padding="same", name="conv")
    return keras.Sequential([keras.Input((8, 8, 4)), layer])


def test_a_model_in_memory_is_what_its_file_is(tmp_path):
    layers = keras.layers
    given = keras.Input((8, 8, 4))
    found = layers.BatchNormalization(name="bn")(layers.DepthwiseConv2D(3, name="dw")(block()(block()(given))))
    found = layers.Reshape((36, 4))(found)
    found = layers.LSTM(5, name="lstm")(layers.MultiHeadAttention(2, 4, name="mha")(found, found))
    model = keras.Model(given, layers.Dense(3, name="head")(found))
    model.compile("adam", "mse", metrics=["mae"])
    model.fit(np.zeros((2, 8, 8, 4)), np.zeros((2, 3)), verbose=0)
    model.save(tmp_path / "net.h5", include_optimizer=False)
    held = ByName(KerasModelLoader()).open(model)
    assert told(held) == told(ByName(KerasLoader()).open(tmp_path / "net.h5"))
    assert told(held)["sequential/conv"] == told(held)["sequential_1/conv"] == ("conv2d", 2, (4, 2, 3, 3))
    store = tmp_path / "s.sqlite"
    in_memory, in_file = (ww.analyze(own, store=store, name="net") for own in (model, tmp_path / "net.h5"))
    assert in_memory.digest == in_file.digest


class Own(keras.Model):
    def __init__(self):
        super().__init__()
        self.conv = keras.layers.Conv2D(8, 3, groups=2)
        self.head = keras.layers.Dense(3, name="head")
        self.scale = self.add_weight(name="scale", shape=(3, 3))

    def call(self, given):
        return self.head(self.conv(given)) @ self.scale


def test_a_class_of_ones_own_tells_its_layers():
    model = Own()
    model(np.zeros((1, 8, 8, 4), "float32"))
    found = told(ByName(KerasModelLoader()).open(model))
    assert found["conv2d"] == ("conv2d", 2, (8, 2, 3, 3))
    assert found["head"] == ("dense", 1, (3, 8))


def test_a_model_that_is_not_built_is_said_to_be_none_yet():
    with pytest.raises(ww.SourceError, match="has no weights yet: call it once, or build it"):
        ByName(KerasModelLoader()).open(keras.Sequential([keras.layers.Dense(3)]))
