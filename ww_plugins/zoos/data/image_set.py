"""What an image set is."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt


class Origin(NamedTuple):
    """Where an image set is from, so that another process finds it too.

    Attributes:
        kind: ``built-in`` or ``file``.
        name: Its name, or the path of the file.
    """

    kind: Literal["built-in", "file"]
    name: str


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Gray images of one size with a class each, for training and for test.

    Attributes:
        name: Its name.
        origin: Where it is from.
        x_train: Images, float32 in [-1, 1], shape (n, height, width).
        y_train: Their classes from 0 on, int64, shape (n,).
        x_test: The same for test.
        y_test: Their classes.
        classes: How many classes there are.
    """

    name: str
    origin: Origin
    x_train: npt.NDArray[np.float32]
    y_train: npt.NDArray[np.int64]
    x_test: npt.NDArray[np.float32]
    y_test: npt.NDArray[np.int64]
    classes: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of an image."""
        return self.x_train.shape[1], self.x_train.shape[2]

    @functools.cached_property
    def digest(self) -> str:
        """Hash of all images and classes, in hexadecimal."""
        from blake3 import blake3

        hasher = blake3()
        for array in (self.x_train, self.y_train, self.x_test, self.y_test):
            hasher.update(repr(array.shape).encode())
            hasher.update(np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes())
        return str(hasher.hexdigest())

    def about(self) -> dict[str, Any]:
        """Describe it for ``zoo.json``."""
        return {
            "name": self.name,
            "train": len(self.x_train),
            "test": len(self.x_test),
            "image": list(self.size),
            "classes": self.classes,
            "digest": self.digest,
        }
