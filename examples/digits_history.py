"""Train the small network on digits, store every epoch, then three versions in which something went wrong.

    python examples/digits_history.py --store digits.sqlite

Versions epoch-1 to epoch-12 are a training without incident. Each of the others is made of the one before it: in
`redrawn` the weights of conv2 are drawn anew, in `pruned` the smallest half of fc is zero, and `hot` is an epoch of
training at a learning rate that is far too high. scikit-learn is needed for the data only.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

import ww_core as ww

sys.path.insert(0, str(Path(__file__).parent))
from derive_version import pruned, redrawn
from train_digits_cnn import SIDE, Adam, accuracy, initial_weights, loss_gradient, scores

if TYPE_CHECKING:
    import numpy.typing as npt
    from train_digits_cnn import Array, Weights

EPOCHS = 12
RATE = 1e-3
HOT = 0.05
BATCH = 64


def digits(rng: np.random.Generator) -> tuple[Array, npt.NDArray[np.int64], Array, npt.NDArray[np.int64]]:
    """Images, shape (n, 1, 8, 8), and labels; then those that are held out."""
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError:
        sys.exit("scikit-learn has the images, and is not installed: pip install scikit-learn")

    images, labels = load_digits(return_X_y=True)
    order = rng.permutation(len(labels))
    images = (images[order] / 16).astype(np.float32).reshape(-1, 1, SIDE, SIDE)
    held_out = len(labels) // 5
    return images[held_out:], labels[order][held_out:], images[:held_out], labels[order][:held_out]


def train_epoch(
    weights: Weights, optimiser: Adam, images: Array, labels: npt.NDArray[np.int64], rng: np.random.Generator
) -> None:
    """Train once through the images; ``weights`` change in place."""
    for batch in np.array_split(rng.permutation(len(labels)), max(1, len(labels) // BATCH)):
        gradients: Weights = {}
        output, backward = scores(images[batch], weights, gradients)
        backward(loss_gradient(output, labels[batch])[1])
        optimiser.step(weights, gradients)


def main() -> None:
    """Train, store, print what became of it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--store", default="digits.sqlite", help="the store (digits.sqlite)")
    parser.add_argument("--name", default="digits", help="name of the model (digits)")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="epochs without incident (12)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    rng = np.random.default_rng(options.seed)
    images, labels, test_images, test_labels = digits(rng)
    step = 0

    def store(version: str, weights: Weights) -> None:
        nonlocal step
        step += 1
        report = ww.analyze(weights, store=options.store, name=options.name, version=version)
        with ww.open_store(options.store) as opened:
            opened.set_step(f"{options.name}@{version}", step)
        told = accuracy(test_images, test_labels, weights)
        mean = report.summary["alpha"].mean
        print(f"{version:12}  held-out accuracy {told:.3f}  mean alpha {mean:.3f}")

    weights = initial_weights(rng)
    optimiser = Adam(weights, RATE)
    for epoch in range(1, options.epochs + 1):
        train_epoch(weights, optimiser, images, labels, rng)
        store(f"epoch-{epoch}", weights)
    weights["conv2.weight"] = redrawn(weights["conv2.weight"], rng)
    store("redrawn", weights)
    weights["fc.weight"] = pruned(weights["fc.weight"], 0.5)
    store("pruned", weights)
    train_epoch(weights, Adam(weights, HOT), images, labels, rng)
    store("hot", weights)


if __name__ == "__main__":
    with threadpool_limits(1):  # matrices are so small that threads would only wait for each other
        main()
