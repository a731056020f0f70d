"""Subjects: what a value speaks of, named by the digest of its content."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ww_core.domain.identity import digest_of

if TYPE_CHECKING:
    from ww_core.domain.layer import Layer


@dataclass(frozen=True)
class MatrixSubject:
    """A matrix: a tensor, and how it was made of it.

    Attributes:
        tensor: Digest of the tensor.
        groups: Count of groups.
        split: Split rule.
        extractor: Identity of the extractor variant.
        index: Position among the matrices that the variant makes of the tensor.
        rows: Rows of an entry.
        cols: Columns of an entry.
        entries: Count of entries.
        context: Digest of the layer, for values that depend on more of it than the weight; empty for all others.
        rounding: How precisely the tensor was stored, as text; empty where its dtype says so.
    """

    tensor: str
    groups: int
    split: str
    extractor: str
    index: int
    rows: int
    cols: int
    entries: int
    context: str = ""
    rounding: str = ""

    kind = "matrix"

    @cached_property
    def digest(self) -> str:
        """Content address. Shape and entries follow from the rest, unless an extractor looks at what it should not."""
        content = {
            "tensor": self.tensor,
            "groups": self.groups,
            "split": self.split,
            "extractor": self.extractor,
            "index": self.index,
            "entries": [self.entries, self.rows, self.cols],
            "context": self.context,
        }
        return digest_of("matrix", content | _told(self.rounding))


@dataclass(frozen=True)
class LayerSubject:
    """A whole layer: weight, its rounding as text, bias, kind and groups; not its name."""

    layer_kind: str
    groups: int
    weight: str
    bias: str = ""
    rounding: str = ""

    kind = "layer"

    @cached_property
    def digest(self) -> str:
        """Content address."""
        content = {"kind": self.layer_kind, "groups": self.groups, "weight": self.weight, "bias": self.bias}
        return digest_of("layer", content | _told(self.rounding))


def _told(rounding: str) -> dict[str, str]:
    # Of the tensors whose dtype says it, which are nearly all, nothing is told.
    return {"rounding": rounding} if rounding else {}


@dataclass(frozen=True, slots=True)
class ModelSubject:
    """A checkpoint as one selection of layers and extractors sees it."""

    checkpoint: str
    digest: str

    kind = "model"

    @classmethod
    def of(
        cls,
        checkpoint: str,
        layers: Sequence[tuple[Layer, LayerSubject]],
        matrices: Sequence[tuple[Layer, MatrixSubject]],
    ) -> ModelSubject:
        """Return the subject that consists of these layers and matrices, in order."""
        return cls.named(
            checkpoint,
            [(layer.name, subject.digest) for layer, subject in layers],
            [(layer.name, subject.digest) for layer, subject in matrices],
        )

    @classmethod
    def named(
        cls, checkpoint: str, layers: Sequence[tuple[str, str]], matrices: Sequence[tuple[str, str]]
    ) -> ModelSubject:
        """Return the same, of the names of the layers and the digests of the subjects."""
        content: dict[str, Any] = {"checkpoint": checkpoint, "layers": list(layers), "matrices": list(matrices)}
        return cls(checkpoint, digest_of("model", content))


Subject = MatrixSubject | LayerSubject | ModelSubject


@dataclass(frozen=True, slots=True)
class MatrixPlace:
    """Where a matrix stands in a model: what the core input ``matrices`` gives to a model metric, one per matrix.

    Arrays of matrix columns are aligned with it.
    """

    layer: str
    kind: str
    shape: tuple[int, ...]
    groups: int
    extractor: str
    index: int
    rows: int
    cols: int
