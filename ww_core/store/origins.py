"""Who made results, and taking back what somebody made."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Column, Connection, Table, and_, bindparam, delete, false, func, or_, select

from ww_core.domain.identity import canonical_json, digest_of
from ww_core.errors import NotStoredError
from ww_core.store import tables as t
from ww_core.store.records import ColumnOrigin, Maker, OriginRecord
from ww_core.store.rows import chunks, readable, record_by_digest

SPECTRUM = "(spectrum)"
"""What stands for spectra among the columns of a report."""


def record_origins(connection: Connection, records: Collection[OriginRecord]) -> dict[OriginRecord, int]:
    """Store origins, and return their keys."""
    rows = {record: _row(record) for record in records}
    digests = {record: origin_digest(row) for record, row in rows.items()}
    keys = record_by_digest(connection, t.origin, [{"digest": digests[own]} | row for own, row in rows.items()])
    return {record: keys[digest] for record, digest in digests.items()}


def origin_digest(row: Mapping[str, Any]) -> str:
    """Return the content address of an origin: of its columns, short of key and digest."""
    return digest_of("origin", row)


def _row(record: OriginRecord) -> dict[str, Any]:
    return {
        "run": record.run,
        "program": record.program,
        "plugin": record.maker.plugin,
        "distribution": record.maker.distribution,
        "plugin_version": record.maker.version,
        "through": canonical_json(sorted(map(list, record.through))),
        "blas": record.blas,
    }


def _record(row: Any) -> OriginRecord:
    maker = Maker(row.plugin, row.distribution, row.plugin_version)
    through = tuple(Maker(*own) for own in json.loads(row.through))
    return OriginRecord(row.run, row.program, maker, through, row.blas)


def origins_of(
    connection: Connection, subjects: Collection[int], labels: Mapping[int, str], spectra: Collection[str]
) -> list[ColumnOrigin]:
    """List who made the values of columns and the spectra of subjects, columns in order, the newest run first.

    Args:
        connection: An open transaction.
        subjects: Keys of subjects.
        labels: Labels of the columns, by key.
        spectra: Digests of the identities of the spectra.
    """
    counts: Counter[tuple[str, int | None]] = Counter()
    for chunk in chunks(sorted(subjects)):
        for column, origin, count in connection.execute(_BY_ORIGIN, {"subjects": chunk}):
            if column in labels:
                counts[labels[column], origin] += count
        for origin, count in connection.execute(_SPECTRA_BY_ORIGIN, {"subjects": chunk, "spectra": list(spectra)}):
            counts[SPECTRUM, origin] += count
    keys = sorted({origin for _, origin in counts if origin is not None})
    found = {
        row.id: _record(row)
        for chunk in chunks(keys)
        for row in connection.execute(select(t.origin).where(t.origin.c.id.in_(chunk)))
    }
    order = {label: place for place, label in enumerate([*labels.values(), SPECTRUM])}
    told = [ColumnOrigin(label, count, found.get(key or 0)) for (label, key), count in counts.items()]
    return sorted(told, key=lambda own: (order[own.column], _newest_first(own.origin)))


def _newest_first(origin: OriginRecord | None) -> tuple[Any, ...]:
    return (0, "") if origin is None else (-origin.run, *origin[1:])


_value, _spectrum = t.value.c, t.spectrum.c
_BY_ORIGIN = (
    select(_value.column_id, _value.origin_id, func.count())
    .where(_value.subject_id.in_(bindparam("subjects", expanding=True)))
    .group_by(_value.column_id, _value.origin_id)
)
_SPECTRA_BY_ORIGIN = (
    select(_spectrum.origin_id, func.count())
    .join(t.identity, t.identity.c.id == _spectrum.identity_id)
    .where(
        _spectrum.subject_id.in_(bindparam("subjects", expanding=True)),
        t.identity.c.digest.in_(bindparam("spectra", expanding=True)),
    )
    .group_by(_spectrum.origin_id)
)


# --- taking back ------------------------------------------------------------------------------------------------------


class Distrusted(NamedTuple):
    """What came of a plugin, and is to be computed again."""

    values: int
    spectra: int
    files: int


@readable()
def distrust(connection: Connection, plugin: str, version: str = "") -> Distrusted:
    """Remove what a plugin had a hand in: its results, what follows from them, and the digests of files it has read.

    Args:
        connection: A transaction that writes alone.
        plugin: Name of the plugin, or of its distribution.
        version: Version of the distribution; empty for all.

    Raises:
        NotStoredError: Nothing stored came of it; the message lists what did.
    """
    every = {row.id: _record(row) for row in connection.execute(select(t.origin))}
    hands = {key: {record.maker, *record.through} for key, record in every.items()}
    guilty = [key for key, own in hands.items() if any(_is(maker, plugin, version) for maker in own)]
    files = _forget_files(connection, plugin, version, every)
    if not guilty and not files:
        known = sorted({_named(own) for makers in hands.values() for own in makers}) or ["no plugin that is recorded"]
        wanted = _wanted(plugin, version)
        raise NotStoredError(f"nothing in this store came of {wanted}: what is there came of {', '.join(known)}")
    matrices = _same_matrices(connection, _told(connection, t.spectrum.c.subject_id, t.spectrum, guilty))
    columns, tensors = _columns_of(connection, matrices), _tensors_of(connection, matrices)
    told = set[int]()
    for table in (t.value, t.table_value):
        columns |= _told(connection, table.c.column_id, table, guilty)
        told |= _told(connection, table.c.subject_id, table, guilty)
    tensors |= _tensors_of(connection, told)
    removed: Counter[str] = Counter()
    for table in (t.value, t.table_value, t.spectrum):
        removed[table.name] += _remove(connection, table, table.c.origin_id, guilty)
    for table in (t.value, t.table_value):
        # Whatever was computed of such a matrix was computed of what is not trusted.
        removed[table.name] += _remove(connection, table, table.c.subject_id, sorted(matrices))
    removed += _remove_dependents(connection, columns, tensors, told)
    if not (+removed or files):
        raise NotStoredError(f"all that came of {_wanted(plugin, version)} was taken back before")
    return Distrusted(removed["value"] + removed["table_value"], removed["spectrum"], files)


def _told(connection: Connection, wanted: Column[Any], table: Table, origins: Sequence[int]) -> set[int]:
    """Keys in a column of those rows that have one of these origins."""
    return {
        key
        for chunk in chunks(origins)
        for key in connection.scalars(select(wanted).where(table.c.origin_id.in_(chunk)).distinct())
    }


def _same_matrices(connection: Connection, subjects: Collection[int]) -> set[int]:
    """Add to matrices the same ones as they stand in their layers, and the others that their extractor makes."""
    one, other = t.matrix_subject, t.matrix_subject.alias("other")
    same = and_(other.c.tensor_id == one.c.tensor_id, other.c.extractor_id == one.c.extractor_id)
    query = select(other.c.subject_id).select_from(one.join(other, same))
    found = (connection.scalars(query.where(one.c.subject_id.in_(chunk))) for chunk in chunks(sorted(subjects)))
    return set(subjects).union(*found)


def _columns_of(connection: Connection, subjects: Collection[int]) -> set[int]:
    return {
        column
        for table in (t.value, t.table_value)
        for chunk in chunks(sorted(subjects))
        for column in connection.scalars(select(table.c.column_id).where(table.c.subject_id.in_(chunk)).distinct())
    }


def _remove(connection: Connection, table: Table, column: Column[Any], keys: Sequence[int]) -> int:
    return sum(connection.execute(delete(table).where(column.in_(chunk))).rowcount for chunk in chunks(keys))


def _wanted(plugin: str, version: str) -> str:
    return f"{plugin}=={version}" if version else plugin


def _is(maker: Maker, plugin: str, version: str) -> bool:
    named = plugin == maker.plugin or _normal(plugin) == _normal(maker.distribution)
    return named and version in {"", maker.version}


def _normal(distribution: str) -> str:
    """The name of a distribution as installers compare it."""
    return re.sub("[-_.]+", "-", distribution).lower()


def _named(maker: Maker) -> str:
    return f"{maker.plugin} ({maker.distribution}=={maker.version})" if maker.distribution else maker.plugin


def _tensors_of(connection: Connection, subjects: Collection[int]) -> set[int]:
    """Keys of the weights behind matrices and layers."""
    parts = ((t.matrix_subject.c.subject_id, t.matrix_subject.c.tensor_id), (t.layer_subject.c.subject_id, _weight))
    return {
        tensor
        for chunk in chunks(sorted(subjects))
        for subject, tensor_id in parts
        for tensor in connection.scalars(select(tensor_id).where(subject.in_(chunk)))
    }


_weight = t.layer_subject.c.weight_id


def _remove_dependents(
    connection: Connection, columns: Collection[int], tensors: Collection[int], subjects: Collection[int]
) -> Counter[str]:
    """Remove the values of what needs any of these columns, of the same weights, the models they are in, and pairs."""
    removed: Counter[str] = Counter()
    dependents = _columns_that_need(connection, columns)
    places = [select(t.pair_subject.c.subject_id)]
    places += [select(t.subject.c.id).where(t.subject.c.id.in_(chunk)) for chunk in chunks(sorted(subjects))]
    for chunk in chunks(sorted(tensors)):
        places.append(select(t.matrix_subject.c.subject_id).where(t.matrix_subject.c.tensor_id.in_(chunk)))
        places.append(select(t.layer_subject.c.subject_id).where(_weight.in_(chunk)))
        holders = (
            select(t.structure.c.checkpoint_id)
            .join(t.layer, t.layer.c.structure_id == t.structure.c.id)
            .where(t.layer.c.weight_id.in_(chunk))
        )
        places.append(select(t.model_subject.c.subject_id).where(t.model_subject.c.checkpoint_id.in_(holders)))
    for table in (t.value, t.table_value):
        for place in places:
            for chunk in chunks(dependents):
                gone = delete(table).where(table.c.column_id.in_(chunk), table.c.subject_id.in_(place))
                removed[table.name] += connection.execute(gone).rowcount
    return removed


def _columns_that_need(connection: Connection, columns: Iterable[int]) -> list[int]:
    """Keys of the columns of all metrics that need one of these, directly or not."""
    identities = connection.execute(select(t.identity.c.digest, t.identity.c.needs)).all()
    users: dict[str, list[str]] = defaultdict(list)
    for digest, needs in identities:
        for need in json.loads(needs).values():
            users[need.get("identity", "")].append(digest)
    every = connection.execute(
        select(t.metric_column.c.id, t.identity.c.digest).join(
            t.identity, t.identity.c.id == t.metric_column.c.identity_id
        )
    ).all()
    wanted = set(columns)
    reached = list(dict.fromkeys(digest for key, digest in every if key in wanted))
    needing = set[str]()
    for digest in reached:  # which grows
        fresh = [user for user in users[digest] if user not in needing]
        needing.update(fresh)
        reached += fresh
    return [key for key, digest in every if digest in needing]


def _forget_files(connection: Connection, plugin: str, version: str, every: Mapping[int, OriginRecord]) -> int:
    """Forget the digests of files that a loader of a plugin has read, so that they are read again."""
    makers = {maker for record in every.values() for maker in (record.maker, *record.through)}
    names = {maker.plugin for maker in makers if _is(maker, plugin, version)} | ({plugin} if not version else set())
    begins = [t.file_digest.c.stamp.startswith(f'["{name}:', autoescape=True) for name in sorted(names)]
    return connection.execute(delete(t.file_digest).where(or_(false(), *begins))).rowcount
