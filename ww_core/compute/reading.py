"""Reading the tensors of a task so that they are those that were digested: else results would get a wrong address."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from ww_core.errors import SourceError
from ww_core.sources.digests import digest_tensor, stamp_of
from ww_core.sources.reading import read_tensor

if TYPE_CHECKING:
    import numpy.typing as npt

    from ww_core.compute.task import LayerTask
    from ww_core.contracts.loader import Checkpoint
    from ww_core.domain.layer import TensorSpec

GONE = "gone"
"""Stands for the stamp of a file that is no longer there."""

CHANGED = "the file changed while it was analysed"


class Reading(Protocol):
    """Reads the tensors of one task."""

    def check(self) -> None:
        """Tell whether the tensors are those that were digested; called before they are read, and after.

        Raises:
            SourceError: They are not.
        """

    def read(self, spec: TensorSpec) -> AbstractContextManager[npt.NDArray[Any]]:
        """Give a tensor, as ``Checkpoint.read`` does.

        Raises:
            SourceError: It is not the one that was digested.
        """


@dataclass(frozen=True, slots=True, eq=False)
class ReadingByStamp:
    """Reads where the tensors were digested: their stamps are still the same."""

    checkpoint: Checkpoint
    loader: str
    task: LayerTask

    def check(self) -> None:
        """Compare the stamps with those under which the tensors were digested."""
        if _stamps(self.checkpoint, self.loader, self.task) != self.task.stamps:
            raise SourceError(f"{CHANGED}: analyse it again")

    def read(self, spec: TensorSpec) -> AbstractContextManager[npt.NDArray[Any]]:
        """Give a tensor."""
        return read_tensor(self.checkpoint, spec)


@dataclass(frozen=True, slots=True, eq=False)
class ReadingByContent:
    """Reads where a stamp says nothing, as on another host: what is read has the digest that it should have.

    Attributes:
        checkpoint: The opened checkpoint.
        loader: Qualified name of its loader.
        label: How the source is named to people.
        there: Dtype and shape of the tensors that the checkpoint has.
        task: The task.
    """

    checkpoint: Checkpoint
    loader: str
    label: str
    there: Mapping[str, tuple[str, tuple[int, ...]]]
    task: LayerTask
    _stamps: dict[str, str] = field(default_factory=dict)

    def check(self) -> None:
        """Look for the tensors; and see that between hashing and computing nothing changed."""
        for spec in self.task.layer.tensors:
            if self.there.get(spec.name) != (spec.dtype, spec.shape):
                raise self._other(f"there is no tensor {spec.name} of {spec.dtype} {spec.shape}")
        stamps = _stamps(self.checkpoint, self.loader, self.task)
        if (self._stamps or stamps) != stamps:
            raise SourceError(f"{CHANGED}: analyse it again")
        self._stamps.update(stamps)

    @contextmanager
    def read(self, spec: TensorSpec) -> Iterator[npt.NDArray[Any]]:
        """Give a tensor once it was hashed."""
        subject = self.task.subject
        digest = subject.weight if spec == self.task.layer.weight else subject.bias
        with read_tensor(self.checkpoint, spec) as array:
            if digest_tensor(array, spec.dtype) != digest:
                raise self._other(f"tensor {spec.name} is not the one that was digested")
            yield array

    def _other(self, what: str) -> SourceError:
        return SourceError(f"{self.label}: {what}: {CHANGED}, or the worker sees another file under this name")


def _stamps(checkpoint: Checkpoint, loader: str, task: LayerTask) -> dict[str, str]:
    return {spec.name: _stamp(checkpoint, loader, spec) for spec in task.layer.tensors}


def _stamp(checkpoint: Checkpoint, loader: str, spec: TensorSpec) -> str:
    try:
        return stamp_of(checkpoint, spec, loader)
    except OSError:
        return GONE
