"""Makes models by TensorFlow Lite's own converter, in a process of its own: TensorFlow warns much, and is slow.

Run with a folder: it gets ``float.tflite``, ``half.tflite`` and ``whole.tflite``, and ``arrays.npz`` with the weights
of the networks, and ``whole.npz`` with what TensorFlow Lite itself reads of the last one.
"""

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf


def network():
    """Layers of every kind that one converter makes operators of."""
    layers = tf.keras.layers
    image = tf.keras.Input((9, 9, 8), batch_size=1)
    x = layers.Conv2D(16, 3, groups=2, name="grouped", bias_initializer="normal")(image)
    x = layers.DepthwiseConv2D((3, 2), depth_multiplier=2, name="deep", bias_initializer="normal")(x)
    x = layers.Conv2DTranspose(6, (2, 3), name="up")(x)
    x = layers.Reshape((-1, 6))(layers.ReLU()(x))
    x = layers.GlobalMaxPooling1D()(layers.Conv1D(10, 3, name="line", bias_initializer="normal")(x))
    ids = tf.keras.Input((4,), dtype="int32", batch_size=1)
    y = layers.GlobalMaxPooling1D()(layers.Embedding(30, 10, name="table")(ids))
    head = layers.Dense(7, name="head", bias_initializer="normal")(layers.Add()([x, y]))
    return tf.keras.Model([image, ids], head)


def small_network():
    layers = tf.keras.layers
    image = tf.keras.Input((8, 8, 4), batch_size=1)
    x = layers.Conv2D(8, 3, name="conv", bias_initializer="normal")(image)
    x = layers.DepthwiseConv2D(3, name="deep", bias_initializer="normal")(x)
    return tf.keras.Model(image, layers.Dense(40, name="dense", bias_initializer="normal")(layers.Flatten()(x)))


def convert(net, path, **settings):
    converter = tf.lite.TFLiteConverter.from_keras_model(net)
    for name, value in settings.items():
        setattr(converter, name, value)
    path.write_bytes(converter.convert())


def samples():
    random = np.random.default_rng(1)
    for _ in range(3):
        yield [random.standard_normal((1, 8, 8, 4)).astype("f4")]


def main(folder):
    tf.keras.utils.set_random_seed(3)
    net, small = network(), small_network()
    arrays = {f"{layer.name}/{weight.name}": np.asarray(weight) for layer in net.layers for weight in layer.weights}
    np.savez(folder / "arrays.npz", **arrays)
    convert(net, folder / "float.tflite")
    half = tf.lite.TFLiteConverter.from_keras_model(net)
    half.optimizations = [tf.lite.Optimize.DEFAULT]
    half.target_spec.supported_types = [tf.float16]
    (folder / "half.tflite").write_bytes(half.convert())
    convert(small, folder / "whole.tflite", optimizations=[tf.lite.Optimize.DEFAULT], representative_dataset=samples)
    read = tf.lite.Interpreter(str(folder / "whole.tflite"))
    read.allocate_tensors()
    whole = {}
    for tensor in read.get_tensor_details():
        told = tensor["quantization_parameters"]
        if len(told["scales"]) > 1:
            along = np.ones(len(tensor["shape"]), int)
            along[told["quantized_dimension"]] = -1
            numbers = read.get_tensor(tensor["index"]) * told["scales"].astype("f8").reshape(along)
            whole[tensor["name"].replace("/", "|")] = numbers.astype("f4")
    np.savez(folder / "whole.npz", **whole)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
