"""From what a person names to an image set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import ww_core as ww
from ww_plugins.zoos.data.arrays import SUFFIX, image_set_of_file
from ww_plugins.zoos.data.clutter import clutter
from ww_plugins.zoos.data.digits import digits
from ww_plugins.zoos.data.image_set import ImageSet
from ww_plugins.zoos.data.shapes import shapes
from ww_plugins.zoos.data.textures import textures

BUILT_IN: Mapping[str, Callable[[], ImageSet]] = MappingProxyType(
    {"clutter": clutter, "digits": digits, "shapes": shapes, "textures": textures}
)
"""The built-in sets by name. Each has images of 15 x 15 and ten classes, and is the same every time."""


def image_set(name: str) -> ImageSet:
    """Return the image set of a name, or of a file ``.npz``.

    Raises:
        UnknownNameError: No set has this name.
        SourceError: The file is not there or cannot be read, or holds no image set.
        MissingExtraError: The set needs scikit-learn.
    """
    if name.endswith(SUFFIX):
        return image_set_of_file(Path(name))
    if name not in BUILT_IN:
        raise ww.UnknownNameError("image set", name, BUILT_IN, f"a file of your own ends in {SUFFIX}; the help")
    return BUILT_IN[name]()
