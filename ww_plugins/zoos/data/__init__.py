"""Image sets that a zoo is trained on: scikit-learn's digits, drawn ones, and arrays of the user."""

from ww_plugins.zoos.data.image_set import ImageSet, Origin
from ww_plugins.zoos.data.named import BUILT_IN, image_set

__all__ = ["BUILT_IN", "ImageSet", "Origin", "image_set"]
