"""Reading a tensor, and seeing to it that it is what the header said."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ww_core.domain.read_only import read_only
from ww_core.errors import CorruptFileError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ww_core.contracts.loader import Checkpoint
    from ww_core.domain.layer import SkippedTensor, TensorSpec


@contextmanager
def read_tensor(checkpoint: Checkpoint, spec: TensorSpec) -> Iterator[npt.NDArray[Any]]:
    """Give a tensor as ``Checkpoint.read`` does, once its dtype and shape are what was promised.

    Whoever is handed it cannot write to it, also where the loader gave memory of its own or of its user.

    Raises:
        CorruptFileError: They are not.
    """
    with checkpoint.read(spec) as array:
        if (_name_of(array.dtype), array.shape) != (spec.dtype, spec.shape):
            raise CorruptFileError(
                f"tensor {spec.name} was announced as {spec.dtype} {spec.shape} and is {array.dtype} {array.shape}"
            )
        yield read_only(array)


@contextmanager
def read_content(checkpoint: Checkpoint, tensor: SkippedTensor) -> Iterator[npt.NDArray[np.uint8]]:
    """Give the content of a skipped tensor as ``Checkpoint.read_bytes`` does, once it is a row of bytes.

    Raises:
        CorruptFileError: It is none.
    """
    with checkpoint.read_bytes(tensor) as content:
        if (_name_of(content.dtype), content.ndim) != ("uint8", 1):
            raise CorruptFileError(
                f"the content of tensor {tensor.name} should be a row of bytes and is {content.dtype} {content.shape}"
            )
        yield content


@functools.cache
def _name_of(dtype: np.dtype[Any]) -> str:
    return str(dtype)
