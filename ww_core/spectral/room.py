"""Memory for arrays that are needed for a moment, again and again."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

Make = Callable[[tuple[int, ...], str], "npt.NDArray[Any]"]
"""Makes an array of a shape and a type, by NumPy's letter, as ``numpy.empty`` does: whatever is in it."""


class Room(threading.local):
    """Memory of each thread for one array at a time.

    What is allocated and freed is given back to the system sooner or later, and got from it anew page by page, out of
    every cache: for a stack of small matrices that takes longer than what is to be done with them.

    Args:
        nbytes: Arrays that take more are made as usual.
    """

    def __init__(self, nbytes: int) -> None:
        self._nbytes = nbytes
        self._kept: npt.NDArray[np.uint8] | None = None

    def take(self, shape: tuple[int, ...], letter: str) -> npt.NDArray[Any]:
        """Return an array that is valid until this thread takes the next."""
        if math.prod(shape) * np.dtype(letter).itemsize > self._nbytes:
            return np.empty(shape, letter)
        if self._kept is None:
            self._kept = np.empty(self._nbytes, np.uint8)
        return np.ndarray(shape, letter, self._kept)
