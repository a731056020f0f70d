"""Drawn shapes: ten figures of random place, size and brightness, under noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ww_plugins.zoos.data.digits import split
from ww_plugins.zoos.data.image_set import ImageSet, Origin
from ww_plugins.zoos.training.draws import Draws

if TYPE_CHECKING:
    import numpy.typing as npt

SIDE = 15
TRAIN, TEST = 1600, 1000
RADIUS = (3.5, 6.0)
"""Pixels from the middle of a shape to its border."""

LINE = 0.3
"""Half the width of a line, as a part of the radius."""

NOISE = 0.2


def shapes() -> ImageSet:
    """Return 1600 shapes for training and 1000 for test, 15 x 15.

    The classes: disc, ring, square, frame, diamond, plus, cross, triangle, bar that lies, bar that stands.
    """
    count = TRAIN + TEST
    draws = Draws(0, "shapes")
    labels = np.arange(count, dtype=np.int64)[draws.permutation(count)] % 10
    across, down, size, contrast, polarity = draws.uniform(5 * count).reshape(5, count, 1, 1)
    radius = RADIUS[0] + size * (RADIUS[1] - RADIUS[0])
    room = (SIDE - 1) / 2 - radius + 1
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    u = (x - (2 * across - 1) * room) / radius
    v = (y - (2 * down - 1) * room) / radius
    outside = np.take_along_axis(_distances(u, v), labels[None, :, None, None], 0)[0]
    drawn = np.clip(0.5 - outside * radius, 0, 1)  # a border of one pixel, so that edges are smooth
    level = (0.6 + 0.6 * contrast) * np.where(polarity < 0.5, -1, 1)
    noise = draws.normal(count * SIDE * SIDE).reshape(drawn.shape) * NOISE
    images = np.clip(level * (drawn - 0.5) + noise, -1, 1).astype(np.float32)
    return ImageSet("shapes", Origin("built-in", "shapes"), *split(images, labels, TRAIN), classes=10)


def _distances(u: npt.NDArray[np.float64], v: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """How far a point lies outside of each shape of radius 1, about; negative inside. Shape (10, *u.shape)."""
    a, b = np.abs(u), np.abs(v)
    from_middle, largest = np.hypot(u, v), np.maximum(a, b)
    slant_1, slant_2 = np.abs(u + v) / np.sqrt(2), np.abs(u - v) / np.sqrt(2)
    return np.stack(
        [
            from_middle - 1,
            np.abs(from_middle - (1 - LINE)) - LINE,
            largest - 0.9,
            np.abs(largest - (0.9 - LINE)) - LINE,
            (a + b - 1.15) / np.sqrt(2),
            np.maximum(np.minimum(a, b) - LINE, largest - 1),
            np.maximum(np.minimum(slant_1, slant_2) - LINE, largest - 1),
            np.maximum(v - 0.8, (2 * a - v - 1) / np.sqrt(5)),
            np.maximum(a - 1, b - LINE),
            np.maximum(b - 1, a - LINE),
        ]
    )
