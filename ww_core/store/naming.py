"""Names of what is stored: giving them, and taking them away. What they stand on is not touched."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, bindparam, delete, func, insert, select, true, update

from ww_core.domain.control import control_name
from ww_core.domain.identity import canonical_json
from ww_core.domain.layer import LayerKind
from ww_core.domain.name import check_name
from ww_core.errors import NotStoredError, UsageError
from ww_core.store import tables as t
from ww_core.store.labels import StoredLabel, find_checkpoint, stored_labels
from ww_core.store.pairing import Paired, controls_of, family_of, next_integer, view_of
from ww_core.store.records import CheckpointRef, LabelRecord, Renamed
from ww_core.store.rows import chunks, clean, execute, insert_missing, insert_one, now
from ww_core.store.series import drop_empty_series

if TYPE_CHECKING:
    from ww_core.domain.layer import Layer
    from ww_core.store.keys import Keys
    from ww_core.store.records import CheckpointRecord


MOST_STEPS = 2**63 - 1
"""What the database can count to."""

FORMS = "write `ww rename MODEL NEW` for a model, or `ww rename MODEL@VERSION MODEL@NEW` for a version"


def record_label(
    connection: Connection, record: LabelRecord, checkpoint: CheckpointRecord, keys: Keys
) -> tuple[str, str]:
    """Label the checkpoint of ``keys``, as its source presents it; model and label are made if they are new.

    A label stands on a checkpoint and its structure, and stays there. ``move`` lets it go to others. Without that it
    goes in two cases only, and the notice says so: from weights that could not all be read to more of them, and to
    a structure that tells more of the same weights, read from the same source with the same options. Runs of what a
    label has left lose their link to it.

    Args:
        connection: An open transaction.
        record: The label.
        checkpoint: The checkpoint as its source presents it.
        keys: Keys of checkpoint, structure and tensors.

    Returns:
        The version, and what the user should be told; empty for nothing.

    Raises:
        UsageError: The label stands on something else, or a default name is that of another network.
    """
    record = record._replace(
        source=clean(record.source),
        location=clean(record.location),
        home=clean(record.home),
        format=clean(record.format),
    )
    insert_missing(connection, t.model, [{"name": record.model, "created_at": now()}])
    # The row lock keeps two processes on a server from taking the same next version.
    ((model_id,),) = execute(connection, _LOCKED_MODEL, {"name": record.model})
    labels = execute(connection, _LABELS, {"model": model_id})
    layers = [layer for layer, _, _ in checkpoint.layers]
    _refuse_mixed(record, labels)
    here = [row for row in labels if row.structure_id == keys.structure]
    if labels and not here and not record.model_is_given:
        _refuse_another_network(connection, record, model_id, labels, layers)
    if not record.version_is_given:
        kept = [row for row in here if not record.version or (record.location and row.location == record.location)]
        if kept:
            return kept[-1].name, ""
        outgrown = [row for row in labels if _tells_less(connection, row, record, layers, keys)]
        if outgrown:
            return _stand_on(connection, outgrown[-1], record, keys, _MORE_IS_KNOWN)
    version, step = record.version, record.step
    if not version:
        version = _free_version(connection, record, checkpoint, {row.name for row in labels})
        # Counted on after versions that have told their steps; where none has, the order of recording is all there is.
        follows = bool(labels) and all(row.step is not None for row in labels)
        counts = follows and version.isascii() and version.isdigit() and int(version) <= MOST_STEPS
        step = int(version) if counts else None
    standing = next((row for row in labels if row.name == version), None)
    if standing is None:
        place = {"model_id": model_id, "name": version, "position": labels[-1].position + 1 if labels else 1}
        insert_one(connection, t.label, place | {"step": step} | _stance(record, keys))
        others = [row.name for row in labels if row.checkpoint_id == keys.checkpoint and not here]
        notice = _ANOTHER_VIEW.format(f"{record.model}@{others[-1]}", f"{record.model}@{version}") if others else ""
        return version, notice
    if standing.structure_id == keys.structure:
        return version, ""
    if record.move:
        return _stand_on(connection, standing, record, keys)
    if _is_part(connection, standing, checkpoint):
        return _stand_on(connection, standing, record, keys, _MORE_IS_READ if checkpoint.provisional else _ALL_IS_READ)
    if _tells_less(connection, standing, record, layers, keys):
        return _stand_on(connection, standing, record, keys, _MORE_IS_KNOWN)
    same = standing.checkpoint_id == keys.checkpoint
    what = "the same weights with other kinds, groups or layers" if same else "other weights"
    what = "these weights, of which more was read than now" if _is_whole(connection, standing, checkpoint) else what
    raise UsageError(
        f"{record.model}@{version} stands on {what} (from {standing.source}): "
        "take another --version, or --move-label to let it go"
    )


def _free_version(
    connection: Connection, record: LabelRecord, checkpoint: CheckpointRecord, taken: Collection[str]
) -> str:
    """Return the version of a network that nobody named.

    That is the version of a control of it which came first, if no other network has it; else the next integer of the
    model and of all its controls.
    """
    family = family_of(connection, record.model, lock=True)
    view = view_of(layer for layer, _, _ in checkpoint.layers)
    paired = controls_of(connection, family, checkpoint.digest, view)
    return next((own.version for own in paired if own.version not in taken), str(next_integer(family)))


_MORE_IS_KNOWN = "more is known now of kinds, groups or layers: {} stands on what this analysis was told"
_MORE_IS_READ = "more of the weights could be read now: {} stands on these"
_ALL_IS_READ = "all of the weights could be read now: {} stands on the whole of them"
_ANOTHER_VIEW = "{} stands on the same weights with other kinds, groups or layers: these are {}"


def _refuse_mixed(record: LabelRecord, labels: Sequence[Any]) -> None:
    """Raise if a control would stand among the versions of a network, or of other controls.

    Raises:
        UsageError: It would.
    """
    what = _what_it_is(record.options)
    others = {_what_it_is(json.loads(row.options or "{}")) for row in labels} - {what}
    if others:
        raise UsageError(
            f"{record.model!r} is the name of {' and '.join(sorted(others))}, and this is {what}: "
            "give it another --name"
        )


def _what_it_is(options: Mapping[str, Any]) -> str:
    control = options.get("control")
    return f"a control ({control})" if control else "a network"


def _refuse_another_network(
    connection: Connection, record: LabelRecord, model_id: int, labels: Sequence[Any], layers: Sequence[Layer]
) -> None:
    """Raise unless a default name means what it meant before.

    Raises:
        UsageError: The model comes from elsewhere, or shares no layer with this one.
    """
    if record.home not in {row.home for row in labels}:
        before = labels[-1].home or labels[-1].source
        raise UsageError(
            f"the default name {record.model!r} is taken by a model from {before}: give this one its --name, "
            f"or --name {record.model} if it is a version of that one"
        )
    names = chunks([clean(layer.name) for layer in layers])
    if layers and all(connection.execute(_SHARED, {"model": model_id, "names": c}).first() is None for c in names):
        raise UsageError(
            f"the default name {record.model!r} is taken by a model (from {labels[-1].source}) that shares no layer "
            "name with this one: give this one its --name"
        )


def _tells_less(connection: Connection, label: Any, record: LabelRecord, layers: Sequence[Layer], keys: Keys) -> bool:
    """Tell whether a label stands on the same weights, read from the same source, of which less was known then."""
    same_weights = label.checkpoint_id == keys.checkpoint and label.structure_id != keys.structure
    same_source = record.location != "" and label.location == record.location
    if not (same_weights and same_source and label.options == canonical_json(dict(record.options))):
        return False
    told = {clean(layer.weight.name): layer for layer in layers}
    stored = execute(connection, _TOLD, {"structure": label.structure_id})
    more = len(told) > len(stored)
    for before in stored:
        layer = told.get(before.weight_name)
        if layer is None or (before.bias_name and layer.bias is None):
            return False
        if before.groups > 1 and layer.groups != before.groups:
            return False
        if before.split and layer.split != before.split:
            return False
        if before.rounding and layer.weight.told_rounding != before.rounding:
            return False
        if before.kind != LayerKind.OTHER and layer.kind is LayerKind.OTHER:
            return False
        more |= (layer.kind, layer.groups, layer.split) != (before.kind, before.groups, before.split)
        more |= layer.weight.told_rounding != before.rounding
        more |= layer.bias is not None and not before.bias_name
    return more


def _is_part(connection: Connection, label: Any, checkpoint: CheckpointRecord) -> bool:
    """Tell whether a label stands on what could not be read whole, and here all that was read of it, and more, was."""
    if not label.provisional:
        return False
    here, before = _read(checkpoint), _stored(connection, label)
    is_kept = all(name in here and digest in {None, here[name]} for name, digest in before)
    return is_kept and any(digest is None and here[name] for name, digest in before)


def _is_whole(connection: Connection, label: Any, checkpoint: CheckpointRecord) -> bool:
    """Tell whether all that was read here is as a label stands on it, and the rest could not be read."""
    if not checkpoint.provisional:
        return False
    stored = dict(_stored(connection, label))
    return all(name in stored and digest in {"", stored[name]} for name, digest in _read(checkpoint).items())


def _read(checkpoint: CheckpointRecord) -> dict[str, str]:
    """Return the digests of tensors by name; empty of what could not be read."""
    here: dict[str, str] = {clean(tensor.name): digest for tensor, digest in checkpoint.skipped if not tensor.tied_to}
    for layer, weight, bias in checkpoint.layers:
        here |= {clean(layer.weight.name): weight} | ({clean(layer.bias.name): bias} if layer.bias else {})
    return here


def _stored(connection: Connection, label: Any) -> list[tuple[str, str | None]]:
    rows = [row for query in _TENSORS for row in connection.execute(query, {"structure": label.structure_id})]
    return [(name, digest) for name, digest in rows if name]


def _stand_on(connection: Connection, label: Any, record: LabelRecord, keys: Keys, notice: str = "") -> tuple[str, str]:
    """Let a label stand on the structure of ``keys``; what it answered for before it answers for no more."""
    connection.execute(update(t.label).where(t.label.c.id == label.id).values(_stance(record, keys)))
    cut_label(connection, [label.id])
    return label.name, notice.format(f"{record.model}@{label.name}")


def cut_label(connection: Connection, labels: Sequence[int]) -> None:
    """Take away the link of runs and analyses to labels."""
    for chunk in chunks(labels):
        connection.execute(update(t.run).where(t.run.c.label_id.in_(chunk)).values(label_id=None))
        connection.execute(delete(t.in_force).where(t.in_force.c.label_id.in_(chunk)))


def _stance(record: LabelRecord, keys: Keys) -> dict[str, Any]:
    return {
        "structure_id": keys.structure,
        "source": record.source,
        "location": record.location,
        "home": record.home,
        "format": record.format,
        "options": canonical_json(dict(record.options)),
        "created_at": now(),
    }


_MODEL = select(t.model.c.id).where(t.model.c.name == bindparam("name"))
_LOCKED_MODEL = _MODEL.with_for_update()
_LABELS = (
    select(t.label, t.structure.c.checkpoint_id, t.checkpoint.c.provisional)
    .join(t.structure, t.structure.c.id == t.label.c.structure_id)
    .join(t.checkpoint, t.checkpoint.c.id == t.structure.c.checkpoint_id)
    .where(t.label.c.model_id == bindparam("model"))
    .order_by(t.label.c.position)
)
_SHARED = (
    select(t.layer.c.id)
    .join(t.label, t.label.c.structure_id == t.layer.c.structure_id)
    .where(t.label.c.model_id == bindparam("model"), t.layer.c.name.in_(bindparam("names", expanding=True)))
    .limit(1)
)
_TOLD = select(t.layer).where(t.layer.c.structure_id == bindparam("structure"))
_TENSORS = [
    select(name, t.tensor.c.digest)
    .outerjoin(t.tensor, t.tensor.c.id == key)
    .where(name.table.c.structure_id == bindparam("structure"), untied)
    for name, key, untied in (
        (t.layer.c.weight_name, t.layer.c.weight_id, true()),
        (t.layer.c.bias_name, t.layer.c.bias_id, true()),
        (t.skipped_tensor.c.name, t.skipped_tensor.c.tensor_id, t.skipped_tensor.c.tied_to == ""),
    )
]


def set_step(connection: Connection, name: str, step: int | None) -> None:
    """Give ``MODEL@VERSION`` its place among the versions of its model; None takes it away.

    Raises:
        UsageError: The name is no ``MODEL@VERSION``, or the step is not a whole number that can be stored.
        NotStoredError: Nothing carries the name.
    """
    if "@" not in name:
        raise UsageError(f"{name!r} names no version: write MODEL@VERSION")
    if step is not None and not (type(step) is int and 0 <= step <= MOST_STEPS):
        raise UsageError(f"step {step!r} is not a whole number from 0 to {MOST_STEPS}")
    (label,) = named_labels(connection, name)
    connection.execute(update(t.label).where(t.label.c.id == label.id).values(step=step))


def forget(connection: Connection, names: Iterable[str]) -> list[CheckpointRef]:
    """Take labels away, and models that have no label left. Runs stay, and are found by the digest.

    Args:
        connection: A transaction that writes alone.
        names: ``MODEL``, for all its versions, or ``MODEL@VERSION``.

    Returns:
        The versions that were forgotten, in the order of the names, of a model in their own order.

    Raises:
        NotStoredError: Nothing carries one of the names; nothing is forgotten.
    """
    labels = {label.id: label for name in names for label in reversed(named_labels(connection, name))}
    cut_label(connection, list(labels))
    for chunk in chunks(list(labels)):
        connection.execute(delete(t.label).where(t.label.c.id.in_(chunk)))
    _drop_nameless(connection, {label.model_id for label in labels.values()})
    return [own.ref for own in labels.values()]


def rename(connection: Connection, old: str, new: str) -> Renamed:
    """Give a model or a version another name; a version may go to another model, and is recorded as its newest.

    It keeps its step: where all versions have one, these tell the order. A network takes its controls along, as far as
    they have its name and version; a control goes alone, and has a name of its own from then on.

    Args:
        connection: A transaction that writes alone.
        old: ``MODEL`` or ``MODEL@VERSION``.
        new: The same form, with the name it is to have.

    Raises:
        NotStoredError: Nothing carries the old name.
        UsageError: The new name is in use, cannot be used, or has another form than the old one.
    """
    if ("@" in old) != ("@" in new):
        raise UsageError(f"{old!r} and {new!r} are not both models or both versions: {FORMS}")
    named_labels(connection, old)
    model, at, version = old.partition("@")
    to_model, _, to_version = new.partition("@")
    rename_one = _rename_version if at else _rename_model
    controls = _own_controls(connection, model, version)
    renamed = rename_one(connection, old, new)
    carried = []
    for control in controls:
        name, to = control.model, control_name(to_model, control.control)
        try:
            rename_one(connection, f"{name}{at}{version}", f"{to}{at}{to_version}")
        except UsageError as error:
            raise UsageError(f"its control {name}{at}{version} cannot become {to}{at}{to_version}: {error}") from None
        carried.append(f"{to}{at}{to_version}")
    return renamed._replace(controls=tuple(carried))


def _own_controls(connection: Connection, model: str, version: str) -> list[Paired]:
    """List the controls of a network, each model of theirs once; with a version, those that have it."""
    family = family_of(connection, model)
    if any(own.control for own in family if own.model == clean(model)):
        return []
    controls = [own for own in family if own.control and version in {"", own.version}]
    return list({own.model: own for own in controls}.values())


def _rename_model(connection: Connection, old: str, new: str) -> Renamed:
    labels = named_labels(connection, old)
    check_name("the name of a model", new)
    standing = _model_named(connection, new)
    if standing not in {None, labels[0].model_id}:
        raise UsageError(
            f"there is a model {new!r} already: take another name, `ww forget {new}` first, "
            f"or move single versions (`ww rename {old}@VERSION {new}@VERSION`)"
        )
    connection.execute(update(t.model).where(t.model.c.id == labels[0].model_id).values(name=new))
    return Renamed(old, new, len(labels))


def _rename_version(connection: Connection, old: str, new: str) -> Renamed:
    (label,) = named_labels(connection, old)
    model, _, version = new.partition("@")
    check_name("the name of a model", model)
    check_name("the name of a version", version)
    model_id = _model_named(connection, model)
    standing = select(t.label.c.id, t.label.c.source).where(t.label.c.model_id == model_id, t.label.c.name == version)
    taken = connection.execute(standing).first()
    if taken is not None and taken.id != label.id:
        raise UsageError(
            f"{new} is a version already (from {taken.source}): take another name, or `ww forget {new}` first"
        )
    if model_id is None:
        made = insert(t.model).values(name=model, created_at=now()).returning(t.model.c.id)
        model_id = connection.execute(made).scalar_one()
    if model_id != label.model_id:
        newest = connection.scalar(select(func.max(t.label.c.position)).where(t.label.c.model_id == model_id)) or 0
        place = {"model_id": model_id, "position": newest + 1}
        connection.execute(update(t.label).where(t.label.c.id == label.id).values(place | {"name": version}))
        _drop_nameless(connection, {label.model_id})
    else:
        connection.execute(update(t.label).where(t.label.c.id == label.id).values(name=version))
    return Renamed(old, new, 1)


def named_labels(connection: Connection, name: str) -> Sequence[StoredLabel]:
    """List the versions that a name stands for, the newest first.

    Raises:
        NotStoredError: There is none: it is no name, or a digest, which cannot be taken away.
    """
    labels = stored_labels(connection, name)
    if not labels:
        found = find_checkpoint(connection, name)  # unless it is a digest, this raises and lists near names
        named = f"of {found.model}@{found.version}" if found.model else "of weights without a name"
        raise NotStoredError(f"{name!r} is the digest {named}, and no name: give MODEL or MODEL@VERSION")
    return labels


def _model_named(connection: Connection, name: str) -> int | None:
    return connection.scalar(select(t.model.c.id).where(t.model.c.name == name))


def _drop_nameless(connection: Connection, models: Collection[int]) -> None:
    """Remove those models that have no version left, with their membership of series."""
    left = set(connection.scalars(select(t.label.c.model_id).where(t.label.c.model_id.in_(models))))
    gone = set(models) - left
    connection.execute(delete(t.series_member).where(t.series_member.c.model_id.in_(gone)))
    connection.execute(delete(t.model).where(t.model.c.id.in_(gone)))
    drop_empty_series(connection)
