"""Digits of random size, place and polarity, each with another digit at its side: hard, as house numbers are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ww_plugins.zoos.data.digits import TRAIN as TRAIN_DIGITS
from ww_plugins.zoos.data.digits import small_digits
from ww_plugins.zoos.data.image_set import ImageSet, Origin
from ww_plugins.zoos.training.draws import Draws

if TYPE_CHECKING:
    import numpy.typing as npt

SIDE = 15
TRAIN, TEST = 1600, 1000
HEIGHT = (10.0, 14.0)
"""Pixels."""

APART = 0.75
"""Distance of a digit's neighbour, as a part of its height."""

NOISE = 0.1


def clutter() -> ImageSet:
    """Return 1600 images for training and 1000 for test, 15 x 15; the class is that of the digit in the middle.

    Digits of the test images stand in no training image.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    digits, labels = small_digits()
    train = _drawn(digits[:TRAIN_DIGITS], labels[:TRAIN_DIGITS], TRAIN, Draws(0, "clutter", 0))
    test = _drawn(digits[TRAIN_DIGITS:], labels[TRAIN_DIGITS:], TEST, Draws(0, "clutter", 1))
    return ImageSet("clutter", Origin("built-in", "clutter"), *train, *test, classes=10)


def _drawn(
    digits: npt.NDArray[np.float64], labels: npt.NDArray[np.int64], count: int, draws: Draws
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    chosen, beside = (draws.uniform(2 * count).reshape(2, count) * len(digits)).astype(np.int64)
    across, down, size, side, polarity, contrast = draws.uniform(6 * count).reshape(6, count, 1, 1)
    ink = (digits + 1) / 2
    height = HEIGHT[0] + size * (HEIGHT[1] - HEIGHT[0])
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    u = (x - (across - 0.5) * 3) / height
    v = (y - (down - 0.5) * 3) / height
    neighbour = np.where(side < 0.5, -APART, APART)
    drawn = np.maximum(_sampled(ink[chosen], u, v), _sampled(ink[beside], u + neighbour, v))
    level = (0.5 + 0.5 * contrast) * np.where(polarity < 0.5, -2, 2)
    noise = draws.normal(count * SIDE * SIDE).reshape(drawn.shape) * NOISE
    images = np.clip(level * (drawn - 0.5) + noise, -1, 1).astype(np.float32)
    return images, labels[chosen]


def _sampled(
    images: npt.NDArray[np.float64], u: npt.NDArray[np.float64], v: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Read images at places from -0.5 (first pixel) to 0.5 (last), by linear interpolation; outside is 0.

    Args:
        images: Shape (n, 8, 8).
        u: Places across, shape (n, height, width).
        v: Places down.
    """
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    last = padded.shape[1] - 2
    column = np.clip((u + 0.5) * (images.shape[2] - 1) + 1, 0, last + 0.999)
    row = np.clip((v + 0.5) * (images.shape[1] - 1) + 1, 0, last + 0.999)
    left, top = np.floor(column).astype(np.int64), np.floor(row).astype(np.int64)
    right, low = column - left, row - top
    which = np.arange(len(images))[:, None, None]
    upper = padded[which, top, left] * (1 - right) + padded[which, top, left + 1] * right
    lower = padded[which, top + 1, left] * (1 - right) + padded[which, top + 1, left + 1] * right
    return np.asarray(upper * (1 - low) + lower * low)
