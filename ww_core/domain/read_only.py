"""Arrays that are handed out over memory that somebody else relies on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing as npt


def read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a view of the same numbers that cannot be made writable again, as one with a flag could by its holder."""
    import numpy as np

    try:
        memory = np.asarray(array).data
    except ValueError:  # of a dtype that Python has no letter for, such as bfloat16
        row = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        return np.asarray(row.data.toreadonly()).view(array.dtype).reshape(array.shape)
    return np.asarray(memory.toreadonly())
