"""Reading the tensors of a task so that they are those that were digested: else results would get a wrong address."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from ww_core.errors import SourceError
from ww_core.sources.digests import digest_tensor, stamp_of, tensors_of
from ww_core.sources.reading import read_tensor

if TYPE_CHECKING:
    import numpy.typing as npt

    from ww_core.compute.task import LayerTask
    from ww_core.contracts.loader import Checkpoint
    from ww_core.domain.layer import TensorSpec

GONE = "gone"
"""Stands for the stamp of a file that is no longer there."""

Read = Callable[["TensorSpec"], AbstractContextManager["npt.NDArray[Any]"]]
"""Gives a tensor, as ``Checkpoint.read`` does."""

Reading = Callable[["LayerTask"], AbstractContextManager[Read]]
"""Gives what reads the tensors of a task. It raises SourceError where they are other ones, at the latest on leaving."""


def by_stamp(checkpoint: Checkpoint, loader: str) -> Reading:
    """Read where the tensors were digested: their stamps are still the same, before and after.

    Args:
        checkpoint: The opened checkpoint.
        loader: Qualified name of its loader.
    """

    @contextmanager
    def reading(task: LayerTask) -> Iterator[Read]:
        _refuse_change(checkpoint, loader, task, task.stamps)
        yield partial(read_tensor, checkpoint)
        _refuse_change(checkpoint, loader, task, task.stamps)

    return reading


def by_content(checkpoint: Checkpoint, loader: str, label: str) -> Reading:
    """Read where a stamp says nothing, as on another host: each tensor that is read has the digest of the task.

    Args:
        checkpoint: The opened checkpoint.
        loader: Qualified name of its loader.
        label: How the source is named to people.
    """
    there = {spec.name: (spec.dtype, spec.shape) for spec in tensors_of(checkpoint)}
    other = "the file changed while it was analysed, or the worker sees another file under this name"

    @contextmanager
    def read(digests: Mapping[str, str], spec: TensorSpec) -> Iterator[npt.NDArray[Any]]:
        with read_tensor(checkpoint, spec) as array:
            if digest_tensor(array, spec.dtype) != digests[spec.name]:
                raise SourceError(f"{label}: tensor {spec.name} is not the one that was digested: {other}")
            yield array

    @contextmanager
    def reading(task: LayerTask) -> Iterator[Read]:
        specs = task.layer.tensors
        for spec in specs:
            if there.get(spec.name) != (spec.dtype, spec.shape):
                raise SourceError(f"{label}: there is no tensor {spec.name} of {spec.dtype} {spec.shape}: {other}")
        before = {spec.name: _stamp(checkpoint, spec, loader) for spec in specs}
        digests = dict(zip((spec.name for spec in specs), (task.subject.weight, task.subject.bias), strict=False))
        yield partial(read, digests)
        _refuse_change(checkpoint, loader, task, before)  # between hashing and computing

    return reading


def _refuse_change(checkpoint: Checkpoint, loader: str, task: LayerTask, stamps: Mapping[str, str]) -> None:
    """Raise unless the tensors of a task have these stamps.

    Raises:
        SourceError: The file is no longer the one that was digested.
    """
    if any(_stamp(checkpoint, spec, loader) != stamps[spec.name] for spec in task.layer.tensors):
        raise SourceError("the file changed while it was analysed: analyse it again")


def _stamp(checkpoint: Checkpoint, spec: TensorSpec, loader: str) -> str:
    try:
        return stamp_of(checkpoint, spec, loader)
    except OSError:
        return GONE
