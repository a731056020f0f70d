"""What a loader is and what it opens."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from ww_core.contracts.variant import Variant
from ww_core.domain.layer import ITEM_SIZES
from ww_core.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Hashable
    from contextlib import AbstractContextManager

    import numpy as np
    import numpy.typing as npt

    from ww_core.contracts.source import Source
    from ww_core.domain.layer import Layer, SkippedTensor, TensorSpec


@dataclass(frozen=True, slots=True)
class FileRange:
    """Where the bytes of a tensor lie: what a cached digest is keyed by, with the stamp of the file."""

    source: Source
    offset: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class Checksum:
    """What a container says of some of its bytes: it is compared where they are read for a digest, and never before.

    Attributes:
        range: Where the bytes lie.
        crc32: The CRC-32 that they should have.
        entry: How messages name them, as ``entry 'archive/data/0'``.
    """

    range: FileRange
    crc32: int
    entry: str


class Checkpoint(ABC):
    """An opened set of weights: layers told from headers, one tensor read at a time.

    Attributes:
        format: Name of the format, as people know it.
        layers: All layers, in the order of the source. Weights that are tied make one layer, under the first name.
        buffers: Floating-point tensors of no layer, such as running means: digested, not analysed.
        skipped: Tensors that are not analysed, each with its reason; the other names of tied weights too.
        warnings: Sentences the user should see.
    """

    format: str
    layers: tuple[Layer, ...]
    buffers: tuple[TensorSpec, ...] = ()
    skipped: tuple[SkippedTensor, ...] = ()
    warnings: tuple[str, ...] = ()

    @abstractmethod
    def read(self, tensor: TensorSpec) -> AbstractContextManager[npt.NDArray[Any]]:
        """Give one tensor as a read-only array in its stored dtype and canonical shape; leaving the context frees it.

        Several threads may read at once.

        Raises:
            CorruptFileError: The bytes cannot be had; the message names file and tensor.
        """

    def read_bytes(self, tensor: SkippedTensor) -> AbstractContextManager[npt.NDArray[np.uint8]]:
        """Give the content of a skipped tensor that is readable, for its digest; leaving the context frees it.

        That is its bytes as a read-only array of shape (n,): its numbers little-endian and in C order. Where no row of
        numbers makes the tensor, it is whatever does, the same for equal tensors and for no others. Several threads may
        read at once.

        Raises:
            CorruptFileError: The bytes cannot be had; the message names file and tensor.
            SourceError: This checkpoint cannot read what is skipped.
        """
        raise SourceError(f"the content of tensor {tensor.name} cannot be read from {self.format}")

    def locate(self, tensor: TensorSpec | SkippedTensor) -> FileRange | None:  # noqa: ARG002 - it knows no file
        """Tell where the bytes lie, if that is one range of one file; else None, and its digest is not cached."""
        return None

    def nbytes(self, tensor: TensorSpec | SkippedTensor) -> int:
        """Return the bytes that are read of a tensor: where this is not overridden, those of all its numbers."""
        return tensor.size * ITEM_SIZES.get(tensor.dtype, 8)

    def making_bytes(self, tensor: TensorSpec) -> int:  # noqa: ARG002 - nothing is made
        """Return the bytes that are held while a tensor is made, besides its numbers; 0 where it is only read."""
        return 0

    def checksums(self, tensor: TensorSpec | SkippedTensor) -> tuple[Checksum, ...]:  # noqa: ARG002 - it knows none
        """Return what the container says of the bytes in which a tensor lies; nothing where it says nothing."""
        return ()

    def content_key(self, tensor: TensorSpec | SkippedTensor) -> Hashable:  # noqa: ARG002 - it knows no places
        """Return what is equal for tensors of the same bytes, which are digested once; None where that is not known."""
        return None

    def close(self) -> None:
        """Free what is held open."""
        return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Loader(Variant):
    """A format that can be read.

    Attributes:
        name: Its name.
        description: One line for ``ww loaders``.
        extra: The extra of ww that installs what it needs; empty if nothing is needed.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    extra: ClassVar[str] = ""

    @abstractmethod
    def probe(self, source: Source) -> float:
        """Tell by content, not by suffix, how sure it is that ``source`` is of this format: 0 no, 1 certain.

        Cheap, and never raises for a source of another kind.
        """

    @abstractmethod
    def open(self, source: Source) -> Checkpoint:
        """Open the source and read its headers.

        Raises:
            CorruptFileError: The headers contradict the file.
            MissingExtraError: What reads the format is not installed.
        """
