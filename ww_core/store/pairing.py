"""Networks and their controls: the names and versions by which they belong together.

A control stands under the version of its network, in a model of its own whose name tells the network's. So whoever
numbers a new version, of either, looks at the versions of all of them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import Connection, and_, bindparam, func, or_, select

from ww_core.domain.control import MARK, TRANSFORM, is_control_of
from ww_core.domain.name import LONGEST_NAME
from ww_core.store import tables as t
from ww_core.store.labels import StoredLabel, labels_of
from ww_core.store.rows import clean, execute

if TYPE_CHECKING:
    from ww_core.domain.layer import Layer

View = frozenset[tuple[str, str, int, str, str, str]]


class Paired(NamedTuple):
    """A version of a network, or of one of its controls."""

    model_id: int
    model: str
    version: str
    control: str
    structure_id: int
    digest: str


def family_of(connection: Connection, network: str, *, lock: bool = False) -> list[Paired]:
    """List the versions of a model, and those of all its controls, each model's in the order of recording.

    Args:
        connection: An open transaction.
        network: Name of the model.
        lock: Keep other processes on a server from numbering versions of them until the transaction ends.
    """
    network = clean(network)
    # The name of a control is that of its network with a mark; a long one is cut. Which they are, Python tells.
    half = LONGEST_NAME // 2
    begin = network + MARK if len(network) <= half else network[:half]
    near = _NEAR_BY_BYTES if connection.dialect.name == "sqlite" else _NEAR
    rows = execute(connection, near, {"network": network, "begin": begin, "end": begin + chr(sys.maxunicode)})
    found = [
        Paired(row.id, row.name, row.version, _control_in(row.options), row.structure_id, row.digest) for row in rows
    ]
    family = [own for own in found if own.model == network or is_control_of(own.model, network, own.control)]
    if lock:
        execute(connection, _LOCKED, {"names": sorted({own.model for own in family})})
    return family


def version_of_control(connection: Connection, network: str, control: str, digest: str, layers: Sequence[Layer]) -> str:
    """Return the version under which the control of a network stands, or is to stand.

    That is the version of the network, if its weights are stored under its model with the same layers; else the one
    that a control of these has already, if no other network has it; else the next integer of all these models.

    Args:
        connection: An open transaction.
        network: Name of the network's model.
        control: Name of the control's model.
        digest: Content address of the network's checkpoint.
        layers: Its layers.
    """
    family = family_of(connection, network, lock=True)
    view = view_of(layers)
    networks = [own for own in family if not own.control and own.model == clean(network)]
    same = [own.version for own in networks if own.digest == digest and _view(connection, own.structure_id) == view]
    if same:
        return same[-1]
    paired = controls_of(connection, family, digest, view)
    stored = [own.version for own in paired if own.model == clean(control)]
    if stored:
        return stored[0]
    taken = {own.version for own in family if not own.control or own.model == clean(control)}
    return next((own.version for own in paired if own.version not in taken), str(next_integer(family)))


def controls_of(connection: Connection, family: Iterable[Paired], digest: str, view: View) -> list[Paired]:
    """List those versions that are controls of a network, made from a checkpoint with the same layers."""
    made = {row.digest for row in execute(connection, _MADE_OF, {"parent": digest, "transform": TRANSFORM})}
    return [own for own in family if own.control and own.digest in made and _view(connection, own.structure_id) == view]


def network_of(connection: Connection, digest: str, structure: int) -> StoredLabel | None:
    """Return the newest label of a network that a control was made of, with its layers if there is one.

    Args:
        connection: An open transaction.
        digest: Content address of the network's checkpoint.
        structure: Key of the control's structure.
    """
    labels = labels_of(connection, digest)
    if len({own.structure_id for own in labels}) > 1:
        view = _view(connection, structure)
        labels = [own for own in labels if _view(connection, own.structure_id) == view] or labels
    return labels[-1] if labels else None


def next_integer(family: Iterable[Paired]) -> int:
    """Return the integer after all that are versions."""
    return max((int(own.version) for own in family if own.version.isascii() and own.version.isdigit()), default=0) + 1


def view_of(layers: Iterable[Layer]) -> View:
    """Return what a network and its control have in common: their layers, whatever the numbers in them."""
    return frozenset(
        (
            clean(layer.name),
            str(layer.kind),
            layer.groups,
            layer.split,
            clean(layer.weight.name),
            clean(layer.bias.name) if layer.bias else "",
        )
        for layer in layers
    )


def control_of_model(connection: Connection, model: str) -> str:
    """Return which control the versions of a model are, as ``random-seed1``; empty if they are none, or not there."""
    return next((own.control for own in family_of(connection, model) if own.model == clean(model)), "")


def _control_in(options: str) -> str:
    return str(json.loads(options or "{}").get("control", ""))


def _view(connection: Connection, structure: int) -> View:
    return frozenset(tuple(row) for row in execute(connection, _LAYERS, {"structure": structure}))


_VERSIONS = (
    select(
        t.model.c.id,
        t.model.c.name,
        t.label.c.name.label("version"),
        t.label.c.options,
        t.label.c.structure_id,
        t.checkpoint.c.digest,
    )
    .join(t.model, t.model.c.id == t.label.c.model_id)
    .join(t.structure, t.structure.c.id == t.label.c.structure_id)
    .join(t.checkpoint, t.checkpoint.c.id == t.structure.c.checkpoint_id)
    .order_by(t.model.c.name, t.label.c.position)
)
_name = t.model.c.name
_NEAR = _VERSIONS.where(or_(_name == bindparam("network"), func.starts_with(_name, bindparam("begin"))))
# By the index, where names are in the order of bytes.
_BETWEEN = and_(_name >= bindparam("begin"), _name < bindparam("end"))
_NEAR_BY_BYTES = _VERSIONS.where(or_(_name == bindparam("network"), _BETWEEN))
_LOCKED = (
    select(t.model.c.id)
    .where(t.model.c.name.in_(bindparam("names", expanding=True)))
    .order_by(t.model.c.name)
    .with_for_update()
)
_MADE_OF = (
    select(t.checkpoint.c.digest)
    .join(t.derivation, t.derivation.c.checkpoint_id == t.checkpoint.c.id)
    .join(t.derivation_parent, t.derivation_parent.c.derivation_id == t.derivation.c.id)
    .where(
        t.derivation_parent.c.checkpoint == bindparam("parent"),
        t.derivation.c.transform == bindparam("transform"),
    )
)
_LAYERS = select(
    t.layer.c.name, t.layer.c.kind, t.layer.c.groups, t.layer.c.split, t.layer.c.weight_name, t.layer.c.bias_name
).where(t.layer.c.structure_id == bindparam("structure"))
