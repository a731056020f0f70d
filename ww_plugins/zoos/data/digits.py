"""Handwritten digits that scikit-learn comes with, made larger; nothing is downloaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import ww_core as ww
from ww_plugins.zoos.data.image_set import ImageSet, Origin
from ww_plugins.zoos.training.draws import Draws

if TYPE_CHECKING:
    import numpy.typing as npt

TRAIN = 1197
DARKEST = 16.0
"""Pixels of scikit-learn's digits go from 0 to 16."""


def digits() -> ImageSet:
    """Return 1197 digits for training and 600 for test, 15 x 15, in a random order that is always the same.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    images, labels = small_digits()
    large = _doubled(_doubled(images, 1), 2).astype(np.float32)
    return ImageSet("digits", Origin("built-in", "digits"), *split(large, labels, TRAIN), classes=10)


def small_digits() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return the digits as they are, (1797, 8, 8) in [-1, 1], and which ones they are, in the order of ``digits``.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise ww.MissingExtraError("scikit-learn is not installed: pip install 'ww-core[zoo]'") from None
    bunch = load_digits()
    order = Draws(0, "digits").permutation(len(bunch.target))
    return bunch.images[order] / DARKEST * 2 - 1, bunch.target[order].astype(np.int64)


def split(
    images: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], train: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Split images and labels: the first ones for training, the others for test."""
    return images[:train], labels[:train], images[train:], labels[train:]


def _doubled(images: npt.NDArray[np.float64], axis: int) -> npt.NDArray[np.float64]:
    """Put the mean of two neighbours between them: n pixels become 2 n - 1, by linear interpolation."""
    pixels = np.moveaxis(images, axis, 0)
    larger = np.empty((2 * len(pixels) - 1, *pixels.shape[1:]))
    larger[::2] = pixels
    larger[1::2] = (pixels[1:] + pixels[:-1]) / 2
    return np.moveaxis(larger, 0, axis)
