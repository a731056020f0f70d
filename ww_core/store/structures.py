"""Checkpoints as their sources present them: tensors, layers, and what belongs to no layer."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, bindparam, select

from ww_core.domain.identity import canonical_json, digest_of
from ww_core.domain.layer import Layer, LayerKind, TensorSpec
from ww_core.domain.rounding import Rounding
from ww_core.domain.subject import LayerSubject
from ww_core.store import tables as t
from ww_core.store.keys import Keys
from ww_core.store.records import StoredLayer, StoredStructure, StoredTensor
from ww_core.store.rows import clean, execute, insert_missing, keys_by_digest, now, record_by_digest

if TYPE_CHECKING:
    from ww_core.store.records import CheckpointRecord


def record_checkpoint(connection: Connection, record: CheckpointRecord) -> tuple[str, Keys]:
    """Store a checkpoint with its tensors and layers; return the digest of its structure, and all keys."""
    keys = Keys()
    keys.tensors = record_by_digest(
        connection,
        t.tensor,
        [
            {"digest": digest, "dtype": spec.dtype, "shape": _shape_text(spec.shape), "size": spec.size}
            for digest, spec in record.tensors.items()
        ],
    )
    row: dict[str, Any] = {"digest": record.digest, "provisional": record.provisional, "created_at": now()}
    keys.checkpoint = record_by_digest(connection, t.checkpoint, [row])[record.digest]
    layers = [_layer_fields(*layer) for layer in record.layers]
    skipped = [
        {
            "name": clean(tensor.name),
            "dtype": clean(tensor.dtype),
            "shape": _shape_text(tensor.shape),
            "reason": clean(tensor.reason),
            "tied_to": clean(tensor.tied_to),
        }
        for tensor, _ in record.skipped
    ]
    structure = structure_digest(record.digest, layers, skipped)
    row = {"digest": structure, "checkpoint_id": keys.checkpoint, "parameters": record.parameters}
    stored = keys_by_digest(connection, t.structure, [structure])
    keys.structure = (stored or record_by_digest(connection, t.structure, [row]))[structure]
    if not stored:
        rows = []
        for position, fields in enumerate(layers):
            weight, bias = fields.pop("weight"), fields.pop("bias")
            ids = {"weight_id": keys.tensors.get(weight), "bias_id": keys.tensors.get(bias)}
            rows.append({"structure_id": keys.structure, "position": position, **fields, **ids})
        insert_missing(connection, t.layer, rows)
        rows = [
            {"structure_id": keys.structure, "position": position, **fields, "tensor_id": keys.tensors.get(digest)}
            for position, (fields, (_, digest)) in enumerate(zip(skipped, record.skipped, strict=True))
        ]
        insert_missing(connection, t.skipped_tensor, rows)
    keys.layers = dict(execute(connection, _LAYER_KEYS, {"structure": keys.structure}))
    return structure, keys


_LAYER_KEYS = select(t.layer.c.name, t.layer.c.id).where(t.layer.c.structure_id == bindparam("structure"))


def structure_digest(checkpoint: str, layers: Sequence[Mapping[str, Any]], skipped: Sequence[Mapping[str, Any]]) -> str:
    """Return the content address of a structure: of its layers and skipped tensors, whatever their order.

    Args:
        checkpoint: Digest of the checkpoint.
        layers: Columns of the layers, short of keys and positions; ``weight`` and ``bias`` are digests, or empty.
        skipped: Columns of the skipped tensors; the sentences on why they are skipped do not count.
    """
    ordered = sorted((dict(layer) for layer in layers), key=itemgetter("name"))
    names = sorted([own["name"], own["dtype"], own["shape"], own["tied_to"]] for own in skipped)
    return digest_of("structure", {"checkpoint": checkpoint, "layers": ordered, "skipped": names})


def _layer_fields(layer: Layer, weight: str, bias: str) -> dict[str, Any]:
    return {
        "name": clean(layer.name),
        "kind": str(layer.kind),
        "groups": layer.groups,
        "split": layer.split,
        "rounding": layer.weight.told_rounding,
        "shape": _shape_text(layer.shape),
        "size": layer.size,
        "weight_name": clean(layer.weight.name),
        "bias_name": clean(layer.bias.name) if layer.bias else "",
        "weight": weight,
        "bias": bias,
    }


@functools.lru_cache(maxsize=1024)
def _shape_text(shape: tuple[int, ...]) -> str:
    return canonical_json(list(shape))


def stored_layers(connection: Connection, structure: str) -> list[StoredLayer]:
    """List the layers of a structure, named by its digest, in order."""
    return [
        StoredLayer(
            name=row.name,
            kind=row.kind,
            groups=row.groups,
            shape=shape_of(row.shape),
            weight=row.weight or "",
            bias=row.bias or "",
            is_read=row.weight is not None and (row.bias is not None or not row.bias_name),
        )
        for row in execute(connection, _LAYERS, {"structure": structure})
    ]


def stored_tensors(connection: Connection, structure: str) -> list[StoredTensor]:
    """List the tensors of a structure that belong to no layer, in order."""
    rows = execute(connection, _SKIPPED, {"structure": structure})
    return [StoredTensor(row.name, row.reason, row.digest or row.tied_to) for row in rows]


_key = select(t.structure.c.id).where(t.structure.c.digest == bindparam("structure")).scalar_subquery()
_weight, _bias = t.tensor.alias("weight"), t.tensor.alias("bias")
_LAYERS = (
    select(
        t.layer,
        _weight.c.digest.label("weight"),
        _weight.c.dtype.label("weight_dtype"),
        _bias.c.digest.label("bias"),
        _bias.c.dtype.label("bias_dtype"),
        _bias.c.shape.label("bias_shape"),
    )
    .outerjoin(_weight, _weight.c.id == t.layer.c.weight_id)
    .outerjoin(_bias, _bias.c.id == t.layer.c.bias_id)
    .where(t.layer.c.structure_id == _key)
    .order_by(t.layer.c.position)
)
_SKIPPED = (
    select(t.skipped_tensor.c.name, t.skipped_tensor.c.reason, t.skipped_tensor.c.tied_to, t.tensor.c.digest)
    .outerjoin(t.tensor, t.tensor.c.id == t.skipped_tensor.c.tensor_id)
    .where(t.skipped_tensor.c.structure_id == _key)
    .order_by(t.skipped_tensor.c.position)
)


def stored_structure(connection: Connection, structure: str) -> StoredStructure:
    """Return the structure of a digest, which is stored."""
    head = connection.execute(_STRUCTURE, {"structure": structure}).one()
    layers, contents = [], {}
    for row in execute(connection, _LAYERS, {"structure": structure}):
        bias = TensorSpec(row.bias_name, row.bias_dtype, shape_of(row.bias_shape)) if row.bias_id is not None else None
        if row.weight_id is not None:
            contents[row.name] = LayerSubject(row.kind, row.groups, row.weight, row.bias or "", row.rounding)
        rounding = Rounding.parse(row.rounding)
        weight = TensorSpec(row.weight_name, row.weight_dtype or "", shape_of(row.shape), rounding)
        layers.append(Layer(row.name, LayerKind(row.kind), weight, bias, row.groups, row.split))
    return StoredStructure(head.checkpoint, head.provisional, tuple(layers), contents)


def stored_keys(connection: Connection, structure: str) -> Keys:
    """Return the keys of a structure, named by its digest, and of what it consists of."""
    head = connection.execute(_STRUCTURE, {"structure": structure}).one()
    keys = Keys(head.checkpoint_id, head.id)
    for row in execute(connection, _LAYERS, {"structure": structure}):
        keys.layers[row.name] = row.id
        tensors = {row.weight: row.weight_id, row.bias: row.bias_id}
        keys.tensors |= {digest: key for digest, key in tensors.items() if digest}
    return keys


_STRUCTURE = (
    select(
        t.structure.c.id,
        t.structure.c.checkpoint_id,
        t.checkpoint.c.digest.label("checkpoint"),
        t.checkpoint.c.provisional,
    )
    .join(t.checkpoint, t.checkpoint.c.id == t.structure.c.checkpoint_id)
    .where(t.structure.c.digest == bindparam("structure"))
)


@functools.lru_cache(maxsize=1024)
def shape_of(text: str) -> tuple[int, ...]:
    """Return a shape as it is stored.

    Raises:
        ValueError: It is no list of whole numbers.
    """
    shape = json.loads(text)
    if not (isinstance(shape, list) and all(type(side) is int and side >= 0 for side in shape)):
        raise ValueError(f"{text[:40]!r} is no shape")
    return tuple(shape)
