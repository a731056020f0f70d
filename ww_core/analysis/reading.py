"""Reading a tensor, and seeing to it that it is what the header said."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ww_core.errors import CorruptFileError, WWError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ww_core.domain.checkpoint import Checkpoint
    from ww_core.domain.layer import TensorSpec


@contextmanager
def read_tensor(checkpoint: Checkpoint, spec: TensorSpec) -> Iterator[npt.NDArray[Any]]:
    """Give a tensor as ``Checkpoint.read`` does, once its dtype and shape are what was promised.

    Raises:
        CorruptFileError: They are not.
    """
    with checkpoint.read(spec) as array:
        if (_name_of(array.dtype), array.shape) != (spec.dtype, spec.shape):
            raise CorruptFileError(
                f"tensor {spec.name} was announced as {spec.dtype} {spec.shape} and is {array.dtype} {array.shape}"
            )
        yield array


@functools.cache
def _name_of(dtype: np.dtype[Any]) -> str:
    return str(dtype)


def sentence_of(error: BaseException) -> str:
    """Return an error as one line; one of ww's own tree speaks for itself."""
    text = " ".join(str(error).split())
    return text if isinstance(error, WWError) else f"{type(error).__name__}: {text or 'no message'}"
