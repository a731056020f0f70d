"""Names that are stored, and what they stand on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, case, func, select

from ww_core.domain.address import has_scheme
from ww_core.errors import NotStoredError, UsageError, near_names
from ww_core.store import tables as t
from ww_core.store.records import CheckpointRef, StoredVersion
from ww_core.store.rows import chunks, clean, execute

MIN_PREFIX = 6
"""Shortest digest prefix that names a checkpoint."""


class StoredLabel(NamedTuple):
    """The label of a version of a model, with the keys of its row, of the model and of what it stands on."""

    id: int
    model_id: int
    checkpoint_id: int
    structure_id: int
    digest: str
    structure: str
    model: str
    version: str
    source: str

    @property
    def ref(self) -> CheckpointRef:
        """What it stands on, under its name."""
        return CheckpointRef(self.digest, self.structure, self.model, self.version)


def find_checkpoint(connection: Connection, name: str) -> CheckpointRef:
    """Find what ``MODEL``, ``MODEL@VERSION`` or the prefix of a digest names. MODEL alone is its newest version.

    Raises:
        NotStoredError: Nothing carries the name; the message lists near ones.
        UsageError: A digest prefix fits several checkpoints.
    """
    name = clean(name)
    if not name:
        raise UsageError("the name is empty: give MODEL, MODEL@VERSION or the prefix of a digest")
    named = stored_labels(connection, name)
    if named:
        return named[0].ref
    by_digest = find_by_digest(connection, name)
    if by_digest:
        return by_digest
    if has_scheme(name):
        raise NotStoredError("this looks like an address, not like a model: give the address of a store by --store URL")
    model = name.partition("@")[0]
    models = [row.name for row in connection.execute(select(t.model.c.name))]
    near = near_names(model, models)
    hint = f"did you mean {', '.join(near)}?" if near else "`ww show` lists what is stored"
    if _could_be_digest(name) and len(name) < MIN_PREFIX:
        hint += f" (the prefix of a digest has {MIN_PREFIX} digits or more)"
    raise NotStoredError(f"no model {model!r} in this store: {hint}")


def find_by_digest(connection: Connection, name: str) -> CheckpointRef | None:
    """Find what the prefix of a digest names; None if it names nothing.

    Raises:
        UsageError: It fits several checkpoints.
    """
    return _by_digest_prefix(connection, name) if _could_be_digest(name) and len(name) >= MIN_PREFIX else None


def _could_be_digest(name: str) -> bool:
    return bool(name) and all(letter in "0123456789abcdef" for letter in name)


def stored_labels(connection: Connection, name: str) -> list[StoredLabel]:
    """List the versions that ``MODEL`` or ``MODEL@VERSION`` names, the newest first; none if there is no such model.

    Raises:
        NotStoredError: There is the model, and it has no such version.
    """
    model, at, version = clean(name).partition("@")
    query = _LABELLED.where(t.model.c.name == model).order_by(*_NEWEST_FIRST)
    labels = [StoredLabel(*row) for row in connection.execute(query)]
    named = [label for label in labels if not at or label.version == version]
    if labels and not named:
        versions = ", ".join(label.version for label in reversed(labels[:12]))
        raise NotStoredError(f"model {model!r} has no version {version!r}: it has {versions}")
    return named


_label = t.label.c
_LABELLED = (
    select(
        _label.id,
        _label.model_id,
        t.structure.c.checkpoint_id,
        _label.structure_id,
        t.checkpoint.c.digest,
        t.structure.c.digest.label("structure"),
        t.model.c.name,
        _label.name.label("version"),
        _label.source,
    )
    .join(t.model, t.model.c.id == _label.model_id)
    .join(t.structure, t.structure.c.id == _label.structure_id)
    .join(t.checkpoint, t.checkpoint.c.id == t.structure.c.checkpoint_id)
)

# Versions are in the order of their steps where all of a model have one, else in the order of recording.
# Whoever asks for the order asks for all versions of a model: these are what the windows count.
_with_step = func.count(_label.step).over(partition_by=_label.model_id)
_place = case((_with_step == func.count(_label.id).over(partition_by=_label.model_id), _label.step))
_IN_ORDER = (_place, _label.position)
_NEWEST_FIRST = (_place.desc(), _label.position.desc())


def find_versions(connection: Connection, name: str = "") -> list[CheckpointRef]:
    """Find every version of MODEL, or what ``MODEL@VERSION`` or a digest prefix names; without a name, all there are.

    Models come by name, versions in their order.

    Raises:
        NotStoredError: Nothing carries the name; the message lists near ones.
        UsageError: A digest prefix fits several checkpoints.
    """
    query = _LABELLED.order_by(t.model.c.name, *_IN_ORDER)
    if name:
        query = query.where(t.model.c.name == clean(name))
    found = [StoredLabel(*row).ref for row in connection.execute(query)]
    return found if found or not name else [find_checkpoint(connection, name)]


def versions_of(connection: Connection, models: Sequence[str]) -> list[CheckpointRef]:
    """List every version of those models, given by name, that are stored: models by name, versions in their order."""
    found: list[CheckpointRef] = []
    for chunk in chunks(sorted(set(map(clean, models)))):
        query = _LABELLED.where(t.model.c.name.in_(chunk)).order_by(t.model.c.name, *_IN_ORDER)
        found += [StoredLabel(*row).ref for row in connection.execute(query)]
    return found


def _by_digest_prefix(connection: Connection, prefix: str) -> CheckpointRef | None:
    query = select(t.checkpoint.c.digest).where(t.checkpoint.c.digest.startswith(prefix)).limit(3)
    found = list(connection.execute(query))
    if len(found) > 1:
        raise UsageError(f"digest {prefix} fits several checkpoints: give more digits")
    if not found:
        return None
    return newest_name(connection, found[0].digest)


def newest_name(connection: Connection, digest: str) -> CheckpointRef:
    """Return a checkpoint, named by its whole digest, under its newest label, if it has one."""
    named = newest_label(connection, digest)
    if named:
        return named
    newest = (
        select(t.structure.c.digest)
        .join(t.checkpoint, t.checkpoint.c.id == t.structure.c.checkpoint_id)
        .outerjoin(t.analysis, t.analysis.c.structure_id == t.structure.c.id)
        .outerjoin(t.run, t.run.c.analysis_id == t.analysis.c.id)
        .where(t.checkpoint.c.digest == digest)
        .group_by(t.structure.c.digest)
        .order_by(func.coalesce(func.max(t.run.c.started_at), "").desc(), t.structure.c.digest)
    )
    return CheckpointRef(digest, connection.execute(newest.limit(1)).scalar_one())


def newest_label(connection: Connection, digest: str) -> CheckpointRef | None:
    """Return a checkpoint under its newest label; None if it has none, or is not stored."""
    named = labels_of(connection, digest)
    return named[-1].ref if named else None


def labels_of(connection: Connection, digest: str) -> list[StoredLabel]:
    """List the labels of a checkpoint, the newest last."""
    named = connection.execute(_LABELLED.where(t.checkpoint.c.digest == digest).add_columns(_label.created_at)).all()
    # By what is stored, not by keys, which are others where a store was imported.
    return [StoredLabel(*own[:-1]) for own in sorted(named, key=lambda own: (own.created_at, own.name, own.version))]


def label_key(connection: Connection, ref: CheckpointRef) -> int | None:
    """Return the key of the label of a name, if it still stands on the same; None if not, or without a name."""
    named = {"model": ref.model, "version": ref.version, "structure": ref.structure}
    rows = execute(connection, _LABEL_KEY, named) if ref.model else []
    return rows[0].id if rows else None


_LABEL_KEY = select(_label.id).where(
    _label.name == bindparam("version"),
    _label.model_id == select(t.model.c.id).where(t.model.c.name == bindparam("model")).scalar_subquery(),
    _label.structure_id
    == select(t.structure.c.id).where(t.structure.c.digest == bindparam("structure")).scalar_subquery(),
)


def is_stored(connection: Connection, ref: CheckpointRef) -> bool:
    """Whether what a name stood on is still there, and the label still stands on it."""
    if ref.model:
        return label_key(connection, ref) is not None
    return connection.scalar(select(t.structure.c.id).where(t.structure.c.digest == ref.structure)) is not None


def counted_versions(connection: Connection) -> dict[str, int]:
    """Return how many versions each model has, models by name."""
    return {row.model: row.versions for row in execute(connection, _COUNTED, {})}


_COUNTED = (
    select(t.model.c.name.label("model"), func.count(_label.id).label("versions"))
    .join(t.label, _label.model_id == t.model.c.id)
    .group_by(t.model.c.id, t.model.c.name)
    .order_by(t.model.c.name)
)


def stored_versions(connection: Connection, models: Sequence[str] = ()) -> list[StoredVersion]:
    """List the versions of models, given by name, of every model for none: models by name, versions in their order."""
    members: dict[int, list[str]] = defaultdict(list)
    for row in execute(connection, _MEMBERS, {}):
        members[row.model_id].append(row.name)
    if models:
        parts = ({"models": chunk} for chunk in chunks(sorted(set(map(clean, models)))))
        rows = [row for part in parts for row in execute(connection, _STORED_OF_SOME, part)]
    else:
        rows = execute(connection, _STORED, {})
    return [StoredVersion._make((*row[1:], tuple(members[row[0]]))) for row in rows]


_MEMBERS = (
    select(t.series_member.c.model_id, t.series.c.name)
    .join(t.series)
    .where(t.series_member.c.model_id.is_not(None))
    .order_by(t.series.c.name)
)
_STORED = (
    select(
        _label.model_id,
        t.model.c.name.label("model"),
        _label.name.label("version"),
        _label.step,
        t.checkpoint.c.digest,
        _label.format,
        t.structure.c.parameters,
        _label.source,
        _label.created_at,
    )
    .join(t.model, t.model.c.id == _label.model_id)
    .join(t.structure, t.structure.c.id == _label.structure_id)
    .join(t.checkpoint, t.checkpoint.c.id == t.structure.c.checkpoint_id)
    .order_by(t.model.c.name, *_IN_ORDER)
)
_STORED_OF_SOME = _STORED.where(t.model.c.name.in_(bindparam("models", expanding=True)))
