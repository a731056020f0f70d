"""Freezes networks by TensorFlow, in a process of its own: TensorFlow warns much, and is slow.

Run with a folder: it gets ``frozen.pb`` and the SavedModel ``saved`` (a network whose variables became constants),
``arrays.npz`` with its weights, and ``old.pb`` beside ``old.index``, a graph of TensorFlow 1 and its checkpoint.
"""

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
from saved_models import network
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2


def freeze_new(folder):
    net = network()
    for weight in net.weights:
        if weight.dtype == "float32":
            weight.assign(tf.random.normal(weight.shape))
    np.savez(folder / "arrays.npz", **{weight.path.replace("/", "|"): np.asarray(weight) for weight in net.weights})
    inputs = [tf.TensorSpec((None, 9, 9, 8)), tf.TensorSpec((None, 4), tf.int32)]
    frozen = convert_variables_to_constants_v2(tf.function(lambda *given: net(given)).get_concrete_function(*inputs))
    (folder / "frozen.pb").write_bytes(frozen.graph.as_graph_def().SerializeToString())
    module = tf.Module()
    module.run = frozen
    tf.saved_model.save(module, str(folder / "saved"), signatures=frozen)


def freeze_old(folder):
    old = tf.compat.v1
    with tf.Graph().as_default() as graph, old.Session() as session:
        image = old.placeholder(tf.float32, (None, 9, 9, 8), name="image")
        random = old.random_normal_initializer()

        def made(name, *shape):
            return old.get_variable(name, shape, initializer=random)

        x = tf.nn.conv2d(image, made("conv/weights", 3, 2, 8, 16), 1, "SAME") + made("conv/biases", 16)
        x = tf.nn.depthwise_conv2d(x, made("deep/depthwise_weights", 3, 2, 16, 2), [1, 1, 1, 1], "SAME")
        norm = [made(f"norm/{name}", 32) for name in ("gamma", "beta", "moving_mean", "moving_variance")]
        x = old.nn.fused_batch_norm(x, *norm, is_training=False)[0]
        x = tf.matmul(tf.reduce_mean(x, [1, 2]), made("fc/kernel", 32, 10)) + made("fc/bias", 10)
        ids = old.placeholder(tf.int32, (None,), name="ids")
        x = tf.matmul(x + tf.gather(made("table/embeddings", 50, 10), ids), made("out/kernel", 10, 7)) + made(
            "out/bias", 7
        )
        tf.identity(x, name="result")
        session.run(old.global_variables_initializer())
        old.train.Saver().save(session, str(folder / "old"), write_meta_graph=False)
        frozen = old.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), ["result"])
        (folder / "old.pb").write_bytes(frozen.SerializeToString())


def main(folder):
    tf.keras.utils.set_random_seed(3)
    freeze_new(folder)
    freeze_old(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
