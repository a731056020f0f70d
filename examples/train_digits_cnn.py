"""Train a small convolutional network on scikit-learn's digits, in NumPy alone, and save it as safetensors.

    python examples/train_digits_cnn.py --epochs 30 --out digits-cnn.safetensors

Two 3x3 convolutions (1 -> 32 -> 64 channels), each with ReLU and 2x2 max pooling, and a dense layer. scikit-learn is
needed for the data only.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors.numpy import save_file

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Array = npt.NDArray[np.float32]
    Backward = Callable[[Array], Array]
    Weights = dict[str, Array]

CHANNELS = (1, 32, 64)
CLASSES = 10
SIDE = 8  # of an image; two poolings leave 2 x 2


def initial_weights(rng: np.random.Generator) -> Weights:
    """Draw weights as He et al. do, zero biases; shapes (out, in, kh, kw) and (out, in)."""
    first, second, third = CHANNELS
    shapes = {
        "conv1": (second, first, 3, 3),
        "conv2": (third, second, 3, 3),
        "fc": (CLASSES, third * (SIDE // 4) ** 2),
    }
    weights: Weights = {}
    for name, shape in shapes.items():
        spread = np.sqrt(2 / np.prod(shape[1:]))
        weights[f"{name}.weight"] = rng.normal(0, spread, shape).astype(np.float32)
        weights[f"{name}.bias"] = np.zeros(shape[0], np.float32)
    return weights


def convolution(images: Array, name: str, weights: Weights, gradients: Weights) -> tuple[Array, Backward]:
    """Convolve ``images``, shape (n, in, h, w), with padding 1.

    Returns:
        The images of shape (n, out, h, w), and the function that takes their gradient, notes the gradients of weight
        and bias, and returns that of ``images``.
    """
    kernel = weights[f"{name}.weight"]
    n, channels, height, width = images.shape
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    columns = windows.transpose(0, 2, 3, 1, 4, 5).reshape(n * height * width, channels * 9)
    matrix = kernel.reshape(len(kernel), -1)
    output = columns @ matrix.T + weights[f"{name}.bias"]

    def backward(gradient: Array) -> Array:
        rows = gradient.transpose(0, 2, 3, 1).reshape(n * height * width, -1)
        gradients[f"{name}.weight"] = (rows.T @ columns).reshape(kernel.shape)
        gradients[f"{name}.bias"] = rows.sum(0)
        spread = (rows @ matrix).reshape(n, height, width, channels, 3, 3)
        total = np.zeros_like(padded)
        for row, column in np.ndindex(3, 3):
            piece = spread[..., row, column].transpose(0, 3, 1, 2)
            total[:, :, row : row + height, column : column + width] += piece
        return total[:, :, 1:-1, 1:-1]

    return output.reshape(n, height, width, -1).transpose(0, 3, 1, 2), backward


def rectified_pool(images: Array) -> tuple[Array, Backward]:
    """Take the largest positive value of every 2x2 square, else 0; the gradient goes where the value came from."""
    n, channels, height, width = images.shape
    squares = images.reshape(n, channels, height // 2, 2, width // 2, 2).transpose(0, 1, 2, 4, 3, 5)
    squares = squares.reshape(n, channels, height // 2, width // 2, 4)
    place = squares.argmax(-1)[..., None]
    largest = np.take_along_axis(squares, place, -1)

    def backward(gradient: Array) -> Array:
        spread = np.zeros_like(squares)
        np.put_along_axis(spread, place, gradient[..., None] * (largest > 0), -1)
        spread = spread.reshape(n, channels, height // 2, width // 2, 2, 2)
        return spread.transpose(0, 1, 2, 4, 3, 5).reshape(images.shape)

    return np.maximum(largest[..., 0], 0), backward


def scores(images: Array, weights: Weights, gradients: Weights) -> tuple[Array, Backward]:
    """Run the network: scores of shape (n, 10), and the function that takes their gradient backwards."""
    steps: list[Backward] = []
    for name in ("conv1", "conv2"):
        images, convolve_back = convolution(images, name, weights, gradients)
        images, pool_back = rectified_pool(images)
        steps += [convolve_back, pool_back]
    shape = images.shape
    features = images.reshape(len(images), -1)

    def backward(gradient: Array) -> Array:
        gradients["fc.weight"] = gradient.T @ features
        gradients["fc.bias"] = gradient.sum(0)
        gradient = (gradient @ weights["fc.weight"]).reshape(shape)
        for step in reversed(steps):
            gradient = step(gradient)
        return gradient

    return features @ weights["fc.weight"].T + weights["fc.bias"], backward


def loss_gradient(output: Array, labels: npt.NDArray[np.int64]) -> tuple[float, Array]:
    """Mean cross-entropy of the softmax, and its gradient."""
    shifted = output - output.max(1, keepdims=True)
    exponentials = np.exp(shifted)
    sums = exponentials.sum(1, keepdims=True)
    each = np.arange(len(labels))
    loss = float((np.log(sums[:, 0]) - shifted[each, labels]).mean())
    gradient = exponentials / sums
    gradient[each, labels] -= 1
    return loss, gradient / np.float32(len(labels))


class Adam:
    """The optimiser of Kingma and Ba, with their constants."""

    def __init__(self, weights: Weights, rate: float) -> None:
        self.rate = rate
        self.steps = 0
        self.mean = {name: np.zeros_like(weight) for name, weight in weights.items()}
        self.square = {name: np.zeros_like(weight) for name, weight in weights.items()}

    def step(self, weights: Weights, gradients: Weights) -> None:
        """Change ``weights`` in place."""
        self.steps += 1
        rate = self.rate * np.sqrt(1 - 0.999**self.steps) / (1 - 0.9**self.steps)
        for name, gradient in gradients.items():
            self.mean[name] += np.float32(0.1) * (gradient - self.mean[name])
            self.square[name] += np.float32(0.001) * (gradient**2 - self.square[name])
            weights[name] -= np.float32(rate) * self.mean[name] / (np.sqrt(self.square[name]) + np.float32(1e-8))


def accuracy(images: Array, labels: npt.NDArray[np.int64], weights: Weights) -> float:
    """Share of ``images`` that are told right."""
    return float((scores(images, weights, {})[0].argmax(1) == labels).mean())


def main() -> None:
    """Train, print, save."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--out", type=Path, default=Path("digits-cnn.safetensors"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate")
    parser.add_argument("--batch", type=int, default=64, help="images in a step")
    options = parser.parse_args()

    from sklearn.datasets import load_digits

    rng = np.random.default_rng(options.seed)
    images, labels = load_digits(return_X_y=True)
    order = rng.permutation(len(labels))
    images = (images[order] / 16).astype(np.float32).reshape(-1, 1, SIDE, SIDE)
    labels = labels[order]
    held_back = len(labels) // 5
    test_images, test_labels = images[:held_back], labels[:held_back]
    images, labels = images[held_back:], labels[held_back:]

    weights = initial_weights(rng)
    optimiser = Adam(weights, options.rate)
    began = time.perf_counter()
    for epoch in range(1, options.epochs + 1):
        losses = []
        for batch in np.array_split(rng.permutation(len(labels)), max(1, len(labels) // options.batch)):
            gradients: Weights = {}
            output, backward = scores(images[batch], weights, gradients)
            loss, gradient = loss_gradient(output, labels[batch])
            backward(gradient)
            optimiser.step(weights, gradients)
            losses.append(loss)
        print(f"epoch {epoch:3}  loss {np.mean(losses):.4f}  {time.perf_counter() - began:5.1f} s")
    reached = accuracy(test_images, test_labels, weights)
    told = {"data": "scikit-learn digits", "epochs": str(options.epochs), "seed": str(options.seed)}
    save_file(weights, options.out, metadata={**told, "test_accuracy": f"{reached:.4f}"})
    print(f"test accuracy {reached:.4f} on {held_back} images; wrote {options.out}")


if __name__ == "__main__":
    main()
