"""The weights that a run is about: of a source that was opened and digested, or as the store knows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ww_core.compute.evaluate import Lost
from ww_core.contracts.loader import Checkpoint
from ww_core.domain.subject import LayerSubject
from ww_core.planning.records import skipped_tensors
from ww_core.sources.digests import tensors_of
from ww_core.store.records import CheckpointRecord

if TYPE_CHECKING:
    import numpy.typing as npt

    from ww_core.contracts.source import Source
    from ww_core.domain.layer import Layer, SkippedTensor, TensorSpec
    from ww_core.domain.report import Failure
    from ww_core.sources.digests import Digests
    from ww_core.store.records import StoredStructure


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """Layers with what they consist of, and where their tensors are read.

    Attributes:
        source: How the source is named to people.
        checkpoint: Where tensors are read from.
        digest: Content address of the checkpoint.
        provisional: Whether the content of some tensor could not be read.
        layers: Every layer, in order.
        contents: What the layers consist of, by name; without those that could not be read.
        loader: Qualified name of the loader; empty if none was needed.
        address: Where another process can open the source; empty if it cannot.
        stamps: Stamps of the tensors that lie in files, by name, under which they were digested.
        failures: What could not be read.
    """

    source: str
    checkpoint: Checkpoint
    digest: str
    provisional: bool
    layers: Sequence[Layer]
    contents: Mapping[str, LayerSubject]
    loader: str = ""
    address: str = ""
    stamps: Mapping[str, str] = field(default_factory=dict)
    failures: Sequence[Failure] = ()


def opened_weights(
    source: Source, checkpoint: Checkpoint, loader: str, layers: Sequence[Layer], digests: Digests
) -> Weights:
    """Return the weights of an opened checkpoint, the layers as the user wants to see them."""
    contents = {layer.name: _content(layer, digests.tensors) for layer in layers}
    return Weights(
        source=source.label,
        checkpoint=checkpoint,
        digest=digests.checkpoint,
        provisional=digests.provisional,
        layers=layers,
        contents={name: content for name, content in contents.items() if content is not None},
        loader=loader,
        address=source.address,
        stamps=digests.stamps,
        failures=digests.failures,
    )


def all_tensors(checkpoint: Checkpoint) -> dict[str, TensorSpec | SkippedTensor]:
    """Return every tensor of a checkpoint by name."""
    found: dict[str, TensorSpec | SkippedTensor] = {spec.name: spec for spec in checkpoint.skipped}
    return found | {spec.name: spec for spec in tensors_of(checkpoint)}


def parameters_of(checkpoint: Checkpoint) -> int:
    """Return the count of numbers in all tensors, those that are tied once."""
    return sum(spec.size for spec in all_tensors(checkpoint).values())


def checkpoint_record(weights: Weights, digests: Digests) -> CheckpointRecord:
    """Return what the store is told of an opened checkpoint."""
    checkpoint = weights.checkpoint
    specs = all_tensors(checkpoint)
    contents = [(layer, weights.contents.get(layer.name)) for layer in weights.layers]
    return CheckpointRecord(
        digest=weights.digest,
        provisional=weights.provisional,
        parameters=parameters_of(checkpoint),
        tensors={digest: specs[name] for name, digest in digests.tensors.items()},
        layers=[(layer, own.weight, own.bias) if own else (layer, "", "") for layer, own in contents],
        skipped=[(tensor, digests.tensors.get(tensor.name, "")) for tensor in skipped_tensors(checkpoint)],
    )


def stored_weights(structure: StoredStructure, source: str) -> Weights:
    """Return the weights of a stored checkpoint, of which no tensor can be read."""
    return Weights(
        source=source,
        checkpoint=StoredCheckpoint(structure),
        digest=structure.digest,
        provisional=structure.provisional,
        layers=structure.layers,
        contents=structure.contents,
    )


class StoredCheckpoint(Checkpoint):
    """A checkpoint of which the store has the layers, and nobody the tensors."""

    def __init__(self, structure: StoredStructure) -> None:
        self.format = "stored"
        self.layers = structure.layers

    def read(self, tensor: TensorSpec) -> AbstractContextManager[npt.NDArray[Any]]:
        """Raise Lost: a spectrum may be wanted that nothing will ask for, because another need has no value."""
        raise Lost(f"the numbers of {tensor.name}")


def _content(layer: Layer, read: Mapping[str, str]) -> LayerSubject | None:
    """What a layer consists of; None if its weight or its bias could not be read."""
    weight = read.get(layer.weight.name, "")
    bias = read.get(layer.bias.name, "") if layer.bias else ""
    readable = bool(weight) and (layer.bias is None or bool(bias))
    if not readable:
        return None
    return LayerSubject(str(layer.kind), layer.groups, weight, bias, layer.weight.told_rounding)
