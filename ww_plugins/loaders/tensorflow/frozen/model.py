"""From what a graph says of its constants to tensors in ww's layout, each with its part."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import ww_core as ww
from ww_core.loading.mapped import MappedCheckpoint, MappedFile
from ww_core.loading.names import FreeNames, fault_of_name, listing
from ww_core.loading.protobuf import Reader
from ww_core.loading.state_dict import Part
from ww_plugins.loaders.tensorflow.frozen.claims import as_it_is
from ww_plugins.loaders.tensorflow.frozen.messages import read_graph
from ww_plugins.loaders.tensorflow.frozen.naming import layer_names
from ww_plugins.loaders.tensorflow.frozen.tensors import stored
from ww_plugins.loaders.tensorflow.frozen.walk import Walk

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ww_core.loading.mapped import StoredTensor
    from ww_plugins.loaders.tensorflow.frozen.claims import Claim
    from ww_plugins.loaders.tensorflow.frozen.values import Constant

_TEXT = 7
_VARIABLES = frozenset({"VarHandleOp", "VariableV2", "Variable"})
_SMALL = 16  # numbers of a constant that no layer takes: more may have been trained
_OTHERS = "taken for layers of no kind and read as they are stored, because no operator that is known takes them"
_NO_GROUPS = "taken for kernels of convolutions in one group, though nothing tells how many channels come in"


def open_graph(file: ww.Source) -> MappedCheckpoint:
    """Read a graph, and check where the numbers of its constants lie.

    Raises:
        SourceError: Its constants hold no weights, or it takes more than the budget.
        CorruptFileError: It is no graph, or contradicts itself.
    """
    reader = Reader(file, "no graph of TensorFlow")
    graph = read_graph(reader)
    walk = Walk(reader, graph)
    walk.go()
    model = _Model(walk)
    tensors = model.tensors()
    if not tensors:
        raise ww.SourceError(
            f"{file.label}: its graph holds no constants that could be weights: name the checkpoint of its variables"
        )
    warnings = [
        f"{file.label}: {said}: {listing(names)}"
        for said, constants in (
            (_OTHERS, model.others),
            (_NO_GROUPS, walk.claims.without_groups),
            *walk.claims.changed.items(),
        )
        if (names := [model.names[constant] for constant in constants if constant in model.names])
    ]
    variables = sum(node.op in _VARIABLES for node in graph.nodes)
    if variables:
        warnings.append(f"{file.label}: {variables} variables of the graph are not in it: name their checkpoint")
    if graph.more:
        warnings.append(f"{file.label}: the first graph in it is read, of {graph.more + 1}")
    return MappedCheckpoint("TensorFlow graph", [MappedFile(file, tensors)], warnings, ordered=True)


@dataclass(slots=True)
class _Model:
    """Puts the constants of a graph into their places.

    Attributes:
        walk: What the graph says.
        names: The name of each constant that is listed.
        others: Constants that are weights of no kind, because nothing tells more.
    """

    walk: Walk
    names: dict[Constant, str] = field(default_factory=dict)
    others: list[Constant] = field(default_factory=list)
    _layers: dict[Constant, str] = field(default_factory=dict)
    _layer_names: FreeNames = field(default_factory=FreeNames)

    def tensors(self) -> tuple[StoredTensor, ...]:
        """Return all constants that may be weights, in the order in which nodes take them; the others come last."""
        claims = {constant: claim for constant, claim in self.walk.claims.made.items() if constant in self.walk.paths}
        for constant in self.walk.paths:
            if constant not in claims and (claim := self._unclaimed(constant)):
                claims[constant] = claim
        self._name(claims)
        weights = [constant for constant, claim in claims.items() if claim.is_weight]
        wished = layer_names([self.names[constant] for constant in weights])
        for constant in weights:
            name = self.names[constant]
            self._layers[constant] = self._layer_names.first_free([wished[name], name])
        reader = self.walk.reader
        found = {constant: stored(reader, constant, self.names[constant]) for constant in claims}
        return tuple(self._placed(found, constant, claim) for constant, claim in claims.items())

    def _name(self, claims: Iterable[Constant]) -> None:
        free, reader = FreeNames(), self.walk.reader
        for constant in claims:
            path = self.walk.paths[constant]
            reader.budget.take("tensors")
            reader.budget.take("names", len(constant.name) + len(path))
            for name in (constant.name, path):
                if fault := fault_of_name(name or "graph"):
                    reader.refuse(fault)
            if not constant.name:
                reader.refuse("a constant has no name")
            inner = f"{path}/{constant.name}"
            wished = [constant.name, inner] if path and not fault_of_name(inner) else [constant.name]
            self.names[constant] = free.first_free(wished)

    def _unclaimed(self, constant: Constant) -> Claim | None:
        """Say what a constant is that no operator of a layer takes; nothing of a setting of an operator."""
        size = math.prod(constant.shape)
        if constant.code == _TEXT or size <= (1 if constant.is_float else _SMALL):
            return None
        if not constant.is_float or len(constant.shape) < 2 or size <= _SMALL:
            return as_it_is(constant, Part("buffer"))
        self.others.append(constant)
        return as_it_is(constant, Part("weight"))

    def _placed(self, found: dict[Constant, StoredTensor], constant: Constant, claim: Claim) -> StoredTensor:
        placed, part = claim.placed, claim.placed.part or Part("buffer")
        if claim.is_weight:
            part = part._replace(layer=self._layers[constant])
        elif claim.of in found and _is_analysed(found[claim.of]):
            part = part._replace(layer=self._layers[claim.of])
        elif claim.of is not None:
            part = Part("weight", self._layer_names.first_free([self.names[constant]]))
        tensor = found[constant]
        if tensor.fault:
            return tensor
        return replace(placed.of_file(replace(tensor, shape=claim.stored)), part=part)


def _is_analysed(tensor: StoredTensor) -> bool:
    return not tensor.fault and tensor.dtype in ww.ITEM_SIZES
