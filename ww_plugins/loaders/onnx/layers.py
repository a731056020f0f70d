"""From what a graph says of its tensors to tensors in ww's layout, each with its part."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import ww_core as ww
from ww_core.loading.folded import names_batch_norm, sentences_of_folded
from ww_core.loading.mapped import StoredTensor, transposed
from ww_core.loading.names import FreeNames
from ww_core.loading.state_dict import Part, is_named_buffer, is_named_recurrent, plain_names
from ww_plugins.loaders.onnx.claims import Claim, Piece
from ww_plugins.loaders.onnx.equal import are_equal
from ww_plugins.loaders.onnx.messages import Node
from ww_plugins.loaders.onnx.naming import (
    is_made_up,
    layer_of,
    layer_of_bias,
    module_of_node,
    module_of_scopes,
    suggests_folding,
    tells_folding,
)
from ww_plugins.loaders.onnx.quantized import dequantized, listed
from ww_plugins.loaders.onnx.remarks import Remark
from ww_plugins.loaders.onnx.tensors import Tensors, slice_of
from ww_plugins.loaders.onnx.values import Packed, Quantization, Value

if TYPE_CHECKING:
    from ww_plugins.loaders.onnx.graph import Walk
    from ww_plugins.loaders.onnx.messages import Tensor

_SMALL = 16  # numbers of a constant that no operator of a layer uses: more are a vector that was trained, perhaps


@dataclass(slots=True)
class Layers:
    """Puts the tensors of a model into their places.

    Attributes:
        walk: What the graphs say.
        tensors: Finds the numbers of tensors.
    """

    walk: Walk
    tensors: Tensors
    _names: dict[Tensor, str] = field(default_factory=dict)
    _of: dict[tuple[Tensor, str], str] = field(default_factory=dict)
    _bias_of: dict[Tensor, str] = field(default_factory=dict)
    _layer_names: FreeNames = field(default_factory=FreeNames)
    _tensor_names: set[str] = field(default_factory=set)
    _not_analysed: set[Tensor] = field(default_factory=set)

    def all(self) -> tuple[StoredTensor, ...]:
        """Return all tensors, in the order in which nodes use them; those that none uses come last.

        Raises:
            CorruptFileError: What is told of a tensor contradicts the file.
            SourceError: It takes more than the budget.
        """
        plain = plain_names(list(self.walk.names.values()))
        self._names = {tensor: plain[name] for tensor, name in self.walk.names.items()}
        self._tensor_names = set(self._names.values())
        claims = {tensor: claim for tensor, claim in self.walk.claims.made.items() if tensor in self._names}
        for tensor in self._names:
            if tensor not in claims:
                claims[tensor] = _unclaimed(tensor, self.walk.claims.rounded.get(tensor))
        self._bias_of = {claim.of: self._names[tensor] for tensor, claim in claims.items() if claim.of is not None}
        self._name_layers(claims)
        found: list[StoredTensor] = []
        for tensor, claim in claims.items():
            found += self._placed(tensor, claim)
        return tuple(found)

    def warnings(self) -> tuple[str, ...]:
        """Return what the user should know of the tensors; ask for them before."""
        claims = self.walk.claims
        for tensor, others in claims.rescaled.items():
            meant = claims.made[tensor].value.quantization
            if meant is not None and not all(are_equal(meant, other, self._stored) for other in others.values()):
                claims.remarks.add(Remark.RESCALED, tensor)
        label = self.walk.reader.file.label
        said = claims.remarks.sentences(lambda tensor: self._names.get(tensor, tensor.name))
        return tuple(f"{label}: {sentence}" for sentence in [*said, *self._folded()])

    def _folded(self) -> list[str]:
        """Say which kernels hold batch norms, as far as names tell it: the graph is the same as without them."""
        some_are_named = not all(map(is_made_up, self._tensor_names))
        known, likely = [], []
        for tensor, claim in self.walk.claims.made.items():
            if claim.kind not in _MAY_HOLD_NORMS or tensor in self._not_analysed:
                continue
            kernel, bias, node = self._names.get(tensor, ""), self._bias_of.get(tensor, ""), claim.node
            is_torchs = some_are_named and node.op == "Conv" and suggests_folding(kernel, bias)
            if tells_folding(kernel):
                known.append(self._of[tensor, ""])
            elif is_torchs or any(map(names_batch_norm, (kernel, bias, node.name, *node.outputs[:1]))):
                likely.append(self._of[tensor, ""])
        return sentences_of_folded(known, likely)

    def _stored(self, value: Value) -> StoredTensor:
        return self.tensors.stored(value.tensor, self._names.get(value.tensor, value.tensor.name))

    def _name_layers(self, claims: dict[Tensor, Claim]) -> None:
        """Name all layers: those first whose tensors have names that the model gave them."""
        weights = [(tensor, claim) for tensor, claim in claims.items() if claim.kind is not None]
        for made_up in (False, True):
            for tensor, claim in weights:
                name = self._names[tensor]
                if is_made_up(name) is made_up:
                    wished = self._wished(tensor, name, claim) if made_up else [layer_of(name), name]
                    self._name(tensor, claim, wished)

    def _name(self, tensor: Tensor, claim: Claim, wished: list[str]) -> None:
        for suffix in [piece.suffix for piece in claim.pieces] or [""]:
            self._of[tensor, suffix] = self._layer_names.first_free([f"{name}{suffix}" for name in wished])

    def _wished(self, tensor: Tensor, name: str, claim: Claim) -> list[str]:
        node, scope = claim.node.name, module_of_scopes(claim.node.scopes) or module_of_node(claim.node.name)
        path = ".".join(part for part in node.split("/") if part)
        if claim.pieces:
            return [*(f"{each}.{claim.letter}" for each in (scope, path) if each), name]
        wished = [layer_of_bias(self._bias_of.get(tensor, "")), scope, path, name]
        return [each for each in wished if each]

    def _placed(self, tensor: Tensor, claim: Claim) -> list[StoredTensor]:
        value = claim.value
        if isinstance(value.quantization, Quantization) and value.quantization.scale.tensor is tensor:
            value = value.without_scale  # it was not found
        if value.rounded is not None:
            self.walk.claims.remarks.add(Remark.ROUNDED, tensor)
        order = claim.order or tuple(range(len(value.axes)))
        axes = order if isinstance(value.quantization, Packed) else tuple(value.axes[axis] for axis in order)
        found = dequantized(value, axes, self._stored)
        why = self.walk.claims.unread.get(tensor)
        if why and value.quantization is None and not found.fault:
            found = listed(value, found, why)
        if found.fault or found.dtype not in ww.ITEM_SIZES:
            self._not_analysed.add(tensor)
        if found.fault:
            return [found]
        if claim.pieces:
            return [self._piece(found, tensor, claim, piece) for piece in claim.pieces]
        if axes != tuple(range(len(axes))) and found.dtype not in _NOT_TURNED:
            found = transposed(found, axes)
        return [replace(found, part=self._part(tensor, claim))]

    def _part(self, tensor: Tensor, claim: Claim) -> Part | None:
        name = self._names[tensor]
        if is_named_buffer(name):  # as a Fourier basis is, whatever takes it
            return Part("buffer")
        if claim.kind is ww.LayerKind.OTHER and is_named_recurrent(name):
            return None  # a recurrent layer that was put together from pieces: names tell what they are
        if claim.kind is not None:
            return Part("weight", self._of[tensor, ""], claim.kind, claim.groups)
        return Part("buffer") if claim.of is None else self._part_of_bias(name, (claim.of, ""))

    def _part_of_bias(self, name: str, weight: tuple[Tensor, str]) -> Part:
        """Say what a bias is: a layer of its own where its weight is not analysed. Weights come before their biases."""
        if weight in self._of and weight[0] not in self._not_analysed:
            return Part("bias", self._of[weight])
        return Part("weight", self._layer_names.first_free([name]))

    def _piece(self, found: StoredTensor, tensor: Tensor, claim: Claim, piece: Piece) -> StoredTensor:
        name = f"{found.name}{piece.suffix}"
        while piece.suffix and name in self._tensor_names:
            name += " (piece)"
        self._tensor_names.add(name)
        part = slice_of(replace(found, name=name), piece.first, piece.shape)
        if piece.of is None:
            part = transposed(part, piece.order) if piece.order else part
            layer = self._of[tensor, piece.suffix]
            return replace(part, part=Part("weight", layer, claim.kind or ww.LayerKind.RECURRENT))
        return replace(part, part=self._part_of_bias(part.name, piece.of))


_MAY_HOLD_NORMS = frozenset({ww.LayerKind.CONV1D, ww.LayerKind.CONV2D, ww.LayerKind.CONV3D, ww.LayerKind.DENSE})

_NOT_TURNED = frozenset({"int4", "uint4", "int2", "uint2", "float4_e2m1fn"})
"""Dtypes whose numbers do not lie in bytes of their own."""


def _unclaimed(tensor: Tensor, rounded: Value | None) -> Claim:
    """Say what a tensor is that no operator of a layer uses: a weight of no special kind, unless it is small."""
    value = Value.of(tensor)
    if value.is_float and (len(tensor.shape) > 1 or math.prod(tensor.shape) > _SMALL):
        meant = value if rounded is None else replace(rounded, axes=value.axes)
        return Claim(meant, Node(), ww.LayerKind.OTHER)
    return Claim(value, Node())
