"""Drawn textures: waves in five directions and two frequencies, under noise."""

from __future__ import annotations

import numpy as np

from ww_plugins.zoos.data.digits import split
from ww_plugins.zoos.data.image_set import ImageSet, Origin
from ww_plugins.zoos.training.draws import Draws

SIDE = 15
TRAIN, TEST = 1200, 1000
DIRECTIONS = 5
WAVELENGTHS = (7.0, 4.0)
"""Pixels."""

DIRECTION_JITTER = np.pi / 20
NOISE = 0.4
"""Standard deviation, beside waves of amplitude 0.3 to 0.8."""


def textures() -> ImageSet:
    """Return 1200 textures for training and 1000 for test, 15 x 15: five directions times two wavelengths.

    The phase is random, and so is the amplitude; directions and wavelengths vary by some per cent.
    """
    count = TRAIN + TEST
    draws = Draws(0, "textures")
    labels = np.arange(count, dtype=np.int64)[draws.permutation(count)] % (DIRECTIONS * len(WAVELENGTHS))
    phase, turn, stretch, contrast = draws.uniform(4 * count).reshape(4, count, 1, 1)
    angle = (labels % DIRECTIONS)[:, None, None] * np.pi / DIRECTIONS + (turn - 0.5) * 2 * DIRECTION_JITTER
    wavelength = np.array(WAVELENGTHS)[labels // DIRECTIONS][:, None, None] * (0.9 + 0.2 * stretch)
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    along = x * np.cos(angle) + y * np.sin(angle)
    waves = (0.3 + 0.5 * contrast) * np.sin(2 * np.pi * (along / wavelength + phase))
    noise = draws.normal(count * SIDE * SIDE).reshape(waves.shape) * NOISE
    images = np.clip(waves + noise, -1, 1).astype(np.float32)
    return ImageSet("textures", Origin("built-in", "textures"), *split(images, labels, TRAIN), classes=10)
