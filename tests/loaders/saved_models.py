"""Saves a network by TensorFlow in every way, in a process of its own: TensorFlow warns much, and is slow.

Run with a folder: it gets ``full.index`` (a checkpoint with an optimizer), the SavedModels ``exported`` and ``saved``,
``old/`` (a checkpoint of TensorFlow 1), and ``arrays.npz`` with the weights of the network.
"""

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf


def network():
    layers = tf.keras.layers
    image = tf.keras.Input((9, 9, 8))
    x = layers.Conv2D(16, 3, groups=2, name="grouped", bias_initializer="normal")(image)
    x = layers.DepthwiseConv2D((3, 2), depth_multiplier=2, name="deep", bias_initializer="normal")(x)
    x = layers.BatchNormalization(name="norm")(layers.SeparableConv2D(8, 2, name="apart")(x))
    x = layers.Reshape((-1, 6))(layers.Conv2DTranspose(6, (2, 3), name="up")(x))
    x = layers.Bidirectional(layers.LSTM(7), name="both")(layers.Conv1D(5, 3, name="line")(x))
    ids = tf.keras.Input((4,), dtype="int32")
    y = layers.Embedding(30, 10, name="table")(ids)
    y = layers.GRU(14, name="gru")(layers.MultiHeadAttention(2, 5, name="heads")(y, y))
    return tf.keras.Model([image, ids], layers.Dense(3, name="out", bias_initializer="normal")(layers.Add()([x, y])))


def save_old(folder):
    old = tf.compat.v1
    with tf.Graph().as_default(), old.Session() as session:
        with old.variable_scope("net"):
            first = old.get_variable("fc/kernel", (8, 5))
            bias = old.get_variable("fc/bias", (5,), initializer=old.random_normal_initializer())
            old.get_variable("part/kernel", (20, 4), partitioner=old.fixed_size_partitioner(2))
        old.train.get_or_create_global_step()
        old.train.AdamOptimizer().minimize(tf.reduce_sum(first) + tf.reduce_sum(bias))
        session.run(old.global_variables_initializer())
        saver = old.train.Saver()
        for step in (3, 4):
            saver.save(session, str(folder / "old" / "model.ckpt"), global_step=step)
        np.savez(folder / "old.npz", kernel=session.run(first), bias=session.run(bias))


def main(folder):
    tf.keras.utils.set_random_seed(3)
    net = network()
    net.compile("adam", "mse")
    net.train_on_batch([np.zeros((2, 9, 9, 8), "f4"), np.zeros((2, 4), "i4")], np.zeros((2, 3), "f4"))
    np.savez(folder / "arrays.npz", **{weight.path.replace("/", "|"): np.asarray(weight) for weight in net.weights})
    tf.train.Checkpoint(model=net, optimizer=net.optimizer).write(str(folder / "full"))
    net.export(str(folder / "exported"), verbose=False)
    tf.saved_model.save(net, str(folder / "saved"))
    save_old(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
