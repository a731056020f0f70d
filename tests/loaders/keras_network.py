"""Writes one small network with every kind of layer, by Keras itself: run as a program, with the folder to write to.

Keras stays out of the process of the tests, which must not need it.
"""

import importlib.util
import json
import os
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow" if importlib.util.find_spec("tensorflow") else "torch"

import h5py
import keras
import numpy as np
from keras import layers
from keras.src.legacy.saving import legacy_h5_format

import ww_core as ww
from ww_core.contracts.source import ObjectSource
from ww_plugins.loaders.keras.models import KerasModelLoader


@keras.saving.register_keras_serializable("tests")
class Odd(layers.Layer):
    """A class that nobody knows, with variables of usual and of other shapes and a layer within."""

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 5), name="kernel", initializer="glorot_uniform")
        self.bias = self.add_weight(shape=(5,), name="bias", initializer="glorot_uniform")
        self.cube = self.add_weight(shape=(3, 4, 5), name="cube", initializer="glorot_uniform")
        self.inner = layers.Dense(3, name="inner_dense")
        self.inner.build((None, 5))

    def call(self, x):
        return self.inner(keras.ops.matmul(x, self.kernel) + self.bias)


def network():
    image, ids, volume = keras.Input((8, 8, 4)), keras.Input((10,)), keras.Input((5, 5, 5, 2))
    x = layers.Conv2D(8, 3, groups=2, name="c2", padding="same")(image)
    x = layers.BatchNormalization(name="bn")(x)
    x = layers.BatchNormalization(name="bn_unscaled", scale=False)(x)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, name="dw2")(x)
    x = layers.SeparableConv2D(6, 3, depth_multiplier=2, name="sep2")(x)
    x = layers.Conv2DTranspose(5, 3, name="ct2")(x)
    x = layers.LayerNormalization(name="ln")(x)
    x = keras.Sequential([keras.Input((6, 6, 5)), layers.Conv2D(7, 1, name="inner"), layers.Flatten()], name="sub")(x)
    x = layers.Dense(9, name="head")(x)
    x = layers.Dense(9, name="no_bias", use_bias=False)(x)
    x = Odd(name="odd")(x)
    y = layers.Embedding(20, 6, name="emb")(ids)
    y = layers.LSTM(5, return_sequences=True, name="lstm")(y)
    y = layers.GRU(4, return_sequences=True, name="gru")(y)
    y = layers.Bidirectional(layers.SimpleRNN(3, return_sequences=True, name="rnn"), name="bi")(y)
    y = layers.TimeDistributed(layers.Dense(4, name="step"), name="td")(y)
    y = layers.MultiHeadAttention(2, 3, name="mha")(y, y)
    y = layers.EinsumDense("abc,cde->abde", output_shape=(10, 2, 3), bias_axes="de", name="einsum")(y)
    y = layers.EinsumDense("abde,dec->abc", output_shape=(10, 6), name="einsum_out")(y)
    y = layers.Dropout(0.3, seed=1)(y)
    y = layers.Conv1D(3, 2, name="c1")(y)
    y = layers.SeparableConv1D(4, 2, name="sep1")(y)
    y = layers.DepthwiseConv1D(2, name="dw1")(y)
    y = layers.Flatten()(layers.Conv1DTranspose(3, 2, name="ct1")(y))
    z = layers.Conv3DTranspose(2, 2, name="ct3")(layers.Conv3D(3, 2, name="c3")(volume))
    z = layers.PReLU(name="prelu")(layers.Flatten()(z))
    z = layers.GroupNormalization(1, name="gn")(z)
    return keras.Model([image, ids, volume], layers.Dense(2, name="out")(layers.Concatenate()([x, y, z])), name="net")


class Subclassed(keras.Model):
    """Its configuration lists no layers."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.grouped = layers.Conv2D(8, 3, groups=2, name="grouped")
        self.scaled = layers.DepthwiseConv2D(3, name="scaled")
        self.head = layers.Dense(3, name="head")

    def call(self, x):
        return self.head(self.scaled(self.grouped(x)))


def block():
    return keras.Sequential([keras.Input((8, 8, 4)), layers.Conv2D(4, 3, groups=2, padding="same", name="conv")])


def deep_block():
    return keras.Sequential([keras.Input((8, 8, 4)), block(), block()])


def told_of(model):
    with KerasModelLoader().open(ObjectSource(model)) as held:
        return [[layer.name, layer.kind, layer.groups] for layer in held.layers]


def others(folder):
    """Write models whose layers have equal names, and one of a class of its own."""
    nested = keras.Sequential([keras.Input((8, 8, 4)), block(), deep_block(), block()])
    for name in ("nested.keras", "nested.h5"):
        nested.save(folder / name)
    nested.save_weights(folder / "nested.weights.h5")
    subclassed = Subclassed()
    subclassed(np.zeros((1, 8, 8, 4), "float32"))
    subclassed.save(folder / "subclassed.keras")
    told = {"nested": told_of(nested), "subclassed": told_of(subclassed)}
    (folder / "others_in_memory.json").write_text(json.dumps(told))


def wrapped(folder):
    """Write a model of whose variables some are in no file, some twice, and some put together."""
    normed = layers.SpectralNormalization(layers.Dense(6, name="inner"), name="sn")
    block = keras.Sequential([keras.Input((5, 8)), layers.TimeDistributed(normed, name="td")], name="block")
    both = layers.Bidirectional(layers.GRU(4, name="gru"), name="bi")
    adapted = layers.Dense(3, name="adapted")
    model = keras.Sequential([keras.Input((5, 8)), block, both, layers.Dropout(0.3), adapted])
    model.save(folder / "wrapped.h5")
    told = {"h5": digest_of(model)}
    adapted.enable_lora(2)
    adapted.lora_kernel_b.assign(np.ones((2, 3)))
    with KerasModelLoader().open(ObjectSource(model)) as held:
        told["made"] = {own.name: [own.reason, own.tied_to] for own in held.skipped}
        [layer] = (own for own in held.layers if own.name == "adapted")
        with held.read(layer.weight) as array:
            assert np.array_equal(array.T, keras.ops.convert_to_numpy(adapted.kernel))
    told["keras"] = digest_of(model)
    model.save(folder / "wrapped.keras")
    model.save_weights(folder / "wrapped.weights.h5")
    (folder / "wrapped.json").write_text(json.dumps(told))


def digest_of(model):
    return ww.analyze(model, metrics=["spectral_norm"]).digest


def main(folder):
    others(folder)
    wrapped(folder)
    keras.utils.set_random_seed(1)
    net = network()
    random = np.random.default_rng(0)
    for variable in net.variables:
        if "seed" not in variable.path:
            variable.assign(random.standard_normal(variable.shape))
    net.compile("adam", "mse")
    net.optimizer.build(net.trainable_variables)
    net.save(folder / "net.keras")
    net.save_weights(folder / "net.weights.h5")
    (folder / "shards").mkdir()
    net.save_weights(folder / "shards" / "net.weights.json", max_shard_size=10 / 1024**2)  # GB
    net.save(folder / "full.h5")
    with h5py.File(folder / "weights_only.h5", "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, net)
    half = keras.Sequential([keras.Input((6,)), layers.Dense(4, name="fc", dtype="bfloat16")], name="half")
    half.save(folder / "half.keras")
    np.savez(folder / "variables.npz", **{v.path.replace("/", "|"): np.asarray(v.value) for v in net.variables})
    # What ww tells of the model in memory, where it is analysed too.
    with KerasModelLoader().open(ObjectSource(net)) as held:
        told = [[layer.name, layer.kind, layer.groups, layer.bias is not None] for layer in held.layers]
        (folder / "in_memory.json").write_text(json.dumps([told, [spec.name for spec in held.buffers]]))
        arrays = {}
        for layer in held.layers:
            with held.read(layer.weight) as array:
                arrays[layer.name.replace("/", "|")] = np.array(array)
        np.savez(folder / "in_memory.npz", **arrays)
    with KerasModelLoader().open(ObjectSource(half)) as held, held.read(held.layers[0].weight) as array:
        assert str(array.dtype) == "bfloat16"
    np.savez(folder / "half.npz", kernel=np.asarray(half.variables[0].value).astype("float32"))


main(Path(sys.argv[1]))
