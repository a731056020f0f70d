"""Has Keras make the network of ``one_network.py``, in a process of its own: run with the folder to write to.

It gets ``net.keras``, ``net.weights.h5``, ``net.h5``, a checkpoint of TensorFlow ``net.index`` and a SavedModel
``saved``. ``held.json`` tells what ww says of the model in memory: kind, groups and digest of each layer.
"""

import json
import os
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import tensorflow as tf
from keras import Input, layers
from one_network import keras_variables

from ww_core.contracts.source import ObjectSource
from ww_core.sources.digests import digest_tensor
from ww_plugins.loaders.keras.models import KerasModelLoader


def network():
    x, line, image, volume = Input((4, 5)), Input((8, 4)), Input((8, 8, 4)), Input((4, 4, 4, 4))
    wide, six, tokens, ids = Input((8, 8, 8)), Input((6,)), Input((3, 8)), Input((4,), dtype="int32")
    heads = layers.MultiHeadAttention(2, 4, name="heads")
    outputs = [
        layers.Dense(7, name="dense")(x),
        layers.Conv1D(6, 3, name="line")(line),
        layers.Conv2D(6, (3, 2), name="plane")(image),
        layers.Conv3D(6, (2, 3, 2), name="volume")(volume),
        layers.Conv2D(6, 3, groups=2, name="grouped")(wide),
        layers.DepthwiseConv2D((3, 2), depth_multiplier=2, name="deep")(image),
        layers.Conv2D(5, 3, dilation_rate=2, name="dilated")(image),
        layers.Conv1DTranspose(6, 3, name="up_line")(line),
        layers.Conv2DTranspose(6, (3, 2), name="up_plane")(image),
        layers.Embedding(11, 5, name="table_embed")(ids),
        layers.LSTM(3, name="lstm")(x),
        layers.GRU(4, name="gru")(x),
        layers.SimpleRNN(6, name="rnn")(x),
        layers.LayerNormalization(name="norm")(x),
        layers.BatchNormalization(name="bn")(six),
        heads(tokens, tokens),
    ]
    return keras.Model([x, line, image, volume, wide, six, tokens, ids], outputs, name="net")


def main(folder):
    net = network()
    arrays = keras_variables()
    arrays["deep/kernel"] = arrays.pop("deep/depthwise_kernel")
    variables = [variable for variable in net.variables if "seed" not in variable.path]
    assert sorted(arrays) == sorted(variable.path for variable in variables)
    for variable in variables:
        variable.assign(arrays[variable.path])
    net.save(folder / "net.keras")
    net.save_weights(folder / "net.weights.h5")
    net.save(folder / "net.h5")
    tf.train.Checkpoint(model=net).write(str(folder / "net"))
    tf.saved_model.save(net, str(folder / "saved"))
    told = {}
    with KerasModelLoader().open(ObjectSource(net)) as held:
        for layer in held.layers:
            with held.read(layer.weight) as array:
                told[layer.name] = [layer.kind, layer.groups, digest_tensor(array, layer.weight.dtype)]
    (folder / "held.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
