"""Names of what is stored: taking them away, and giving others. What they stand on is not touched."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select, update

from ww_core.domain.name import check_name
from ww_core.errors import NotStoredError, UsageError
from ww_core.store import tables as t
from ww_core.store.queries import CheckpointRef, StoredLabel, find_checkpoint, stored_labels
from ww_core.store.recording import chunks, now

FORMS = "write `ww rename MODEL NEW` for a model, or `ww rename MODEL@VERSION MODEL@NEW` for a version"


@dataclass(frozen=True, slots=True)
class Renamed:
    """A model or a version under its names before and after, and how many versions that concerns."""

    old: str
    new: str
    versions: int


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
    labels = {label.id: label for name in names for label in reversed(_labels(connection, name))}
    for chunk in chunks(list(labels)):
        connection.execute(update(t.run).where(t.run.c.label_id.in_(chunk)).values(label_id=None))
        connection.execute(delete(t.label).where(t.label.c.id.in_(chunk)))
    _drop_nameless(connection, {label.model_id for label in labels.values()})
    return [CheckpointRef(own.checkpoint_id, own.digest, own.model, own.version) for own in labels.values()]


def rename(connection: Connection, old: str, new: str) -> Renamed:
    """Give a model or a version another name; a version may go to another model, where it becomes the newest.

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
    return _rename_version(connection, old, new) if "@" in old else _rename_model(connection, old, new)


def _rename_model(connection: Connection, old: str, new: str) -> Renamed:
    labels = _labels(connection, old)
    _check_new("the name of a model", new)
    standing = _model_named(connection, new)
    if standing not in {None, labels[0].model_id}:
        raise UsageError(
            f"there is a model {new!r} already: take another name, `ww forget {new}` first, "
            f"or move single versions (`ww rename {old}@VERSION {new}@VERSION`)"
        )
    connection.execute(update(t.model).where(t.model.c.id == labels[0].model_id).values(name=new))
    return Renamed(old, new, len(labels))


def _rename_version(connection: Connection, old: str, new: str) -> Renamed:
    (label,) = _labels(connection, old)
    model, _, version = new.partition("@")
    _check_new("the name of a model", model)
    _check_new("the name of a version", version)
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


def _labels(connection: Connection, name: str) -> Sequence[StoredLabel]:
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


def _check_new(what: str, name: str) -> None:
    if not name:
        raise UsageError(f"{what} is empty: {FORMS}")
    check_name(what, name)


def _model_named(connection: Connection, name: str) -> int | None:
    return connection.scalar(select(t.model.c.id).where(t.model.c.name == name))


def _drop_nameless(connection: Connection, models: Collection[int]) -> None:
    """Remove those models that have no version left, with their membership of series."""
    left = set(connection.scalars(select(t.label.c.model_id).where(t.label.c.model_id.in_(models))))
    gone = set(models) - left
    connection.execute(delete(t.series_member).where(t.series_member.c.model_id.in_(gone)))
    connection.execute(delete(t.model).where(t.model.c.id.in_(gone)))
