"""Arrays from Python: a mapping of tensor names to arrays."""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import ww_core as ww
from ww_plugins.loaders.names import fault_of_name, quoted
from ww_plugins.loaders.state_dict import sort_state_dict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt


class ArraysLoader(ww.Loader):
    """Reads a mapping of names to arrays, named and laid out as in a state dict: (out, in, *kernel).

    NumPy arrays, those of ml_dtypes too, are read where they lie. What offers ``__array__`` or DLPack, such as a tensor
    of PyTorch, is read through it.
    """

    name = "arrays"
    description = "a Python mapping of tensor names to arrays"

    def probe(self, source: Path | object) -> float:
        """Judge by the first value, if there is one: an array or something that offers itself as one."""
        if not isinstance(source, Mapping):
            return 0.0
        try:
            first = next(iter(source), None)
            return 0.9 if first is not None and _offers_array(source[first]) else 0.3
        except Exception:  # noqa: BLE001 - somebody's mapping; what is wrong with it is said when it is opened
            return 0.3

    def open(self, source: Path | object) -> ArraysCheckpoint:
        """Look at every value.

        Raises:
            SourceError: ``source`` is no mapping, a key is not fit to name a tensor, or a value is not to be had.
        """
        if not isinstance(source, Mapping):
            raise ww.SourceError(f"an object of type {type(source).__name__} is no mapping of names to arrays")
        return ArraysCheckpoint(source)


class ArraysCheckpoint(ww.Checkpoint):
    """The arrays of a mapping, in its order. The mapping is kept, and its values are looked up when they are read."""

    format = "arrays"

    def __init__(self, arrays: Mapping[Any, Any]) -> None:
        """Look at every value of ``arrays``.

        Raises:
            SourceError: A key is not fit to name a tensor, or a value is not to be had.
        """
        self._arrays = arrays
        tensors = []
        for key in arrays:
            if not isinstance(key, str):
                raise ww.SourceError(
                    f"the key {quoted(key)} of the mapping is of type {type(key).__name__}, not a text"
                )
            if fault := fault_of_name(key):
                raise ww.SourceError(f"a key of the mapping is not fit: {fault}")
            array = self._array(key)
            tensors.append((key, _name_of(array.dtype), array.shape))
        state = sort_state_dict(tensors)
        self.layers, self.buffers, self.skipped = state.layers, state.buffers, state.skipped

    @contextmanager
    def read(self, tensor: ww.TensorSpec) -> Iterator[npt.NDArray[Any]]:
        """Give a read-only view, or a copy where the array is not contiguous and little-endian."""
        import numpy as np

        array = self._array(tensor.name)
        if (_name_of(array.dtype), array.shape) != (tensor.dtype, tensor.shape):
            raise ww.CorruptFileError(
                f"array {quoted(tensor.name)} is now {array.dtype} {array.shape}; "
                f"it was {tensor.dtype} {tensor.shape} when the mapping was opened"
            )
        canonical = np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C").view()
        canonical.flags.writeable = False
        yield canonical

    def _array(self, key: str) -> npt.NDArray[Any]:
        try:
            return _as_numpy(self._arrays[key])
        except Exception as error:
            raise ww.SourceError(f"array {quoted(key)} cannot be read: {type(error).__name__}: {error}") from error


@functools.cache
def _name_of(dtype: np.dtype[Any]) -> str:
    return dtype.name  # NumPy puts it together each time


def _offers_array(value: object) -> bool:
    return hasattr(value, "__array__") or hasattr(value, "__dlpack__")


def _as_numpy(value: Any) -> npt.NDArray[np.generic]:
    import numpy as np

    torch = sys.modules.get("torch")  # a tensor can only come from a torch that is already imported
    if torch is not None and isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        if value.dtype == torch.bfloat16:
            import ml_dtypes

            bits: npt.NDArray[np.int16] = value.contiguous().view(torch.int16).numpy()
            return bits.view(ml_dtypes.bfloat16)
    if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
        return np.from_dlpack(value)
    return np.asarray(value)
