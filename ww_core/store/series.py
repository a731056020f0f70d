"""Series: families of models, stored ones and reported ones.

Every function works inside the caller's transaction, and may run twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Boolean, Connection, Text, bindparam, delete, select, text

from ww_core.domain.text import shortened
from ww_core.errors import NotStoredError, UnknownNameError, near_names
from ww_core.store import tables as t
from ww_core.store.records import SeriesMember
from ww_core.store.reported_models import find_reported_models, reported_names
from ww_core.store.rows import chunks, clean, execute, insert_missing

SHOWN = 8
"""Unknown models that a message names."""


def record_members(connection: Connection, series: str, models: Sequence[str]) -> None:
    """Make models members of a series, which is made if it is new. A stored model wins over a reported one.

    Raises:
        NotStoredError: There is no such model, stored or reported.
    """
    stored, reported = _keys(connection, models)
    left = {name: keys for name, keys in reported.items() if name not in stored}
    insert_missing(connection, t.series, [{"name": series}])
    ((series_id,),) = execute(connection, _SERIES, {"name": clean(series)})
    insert_missing(connection, t.series_member, [{"series_id": series_id, "model_id": key} for key in stored.values()])
    rows = [{"series_id": series_id, "subject_id": key} for keys in left.values() for key in keys]
    insert_missing(connection, t.series_member, rows)


def record_reported_members(connection: Connection, members: Mapping[str, Collection[int]]) -> None:
    """Make reported models, given by the keys of their subjects, members of series."""
    insert_missing(connection, t.series, [{"name": name} for name in members])
    keys = {name: execute(connection, _SERIES, {"name": clean(name)})[0].id for name in members}
    rows = [{"series_id": keys[name], "subject_id": key} for name, own in members.items() for key in sorted(own)]
    insert_missing(connection, t.series_member, rows)


def remove_members(connection: Connection, series: str, models: Sequence[str]) -> list[SeriesMember]:
    """Take models out of a series, all of them for none, and return those that were members.

    A name takes the stored model and the reported ones of that name out. The last member takes the series with it.

    Args:
        connection: A transaction that writes alone.
        series: Name of the series.
        models: Names of models.

    Raises:
        UnknownNameError: There is no such series.
        NotStoredError: There is no such model, stored or reported.
    """
    series_id = _series_key(connection, series)
    members = stored_members(connection, series)
    stored, reported = _keys(connection, models)
    of_series = delete(t.series_member).where(t.series_member.c.series_id == series_id)
    if not models:
        connection.execute(of_series)
    subjects = [key for keys in reported.values() for key in keys]
    for column, keys in ((t.series_member.c.model_id, list(stored.values())), (t.series_member.c.subject_id, subjects)):
        for chunk in chunks(keys):
            connection.execute(of_series.where(column.in_(chunk)))
    drop_empty_series(connection)
    names = set(map(clean, models))
    return [own for own in members if not models or own.model in names]


def drop_empty_series(connection: Connection) -> None:
    """Remove series that have no member. The transaction writes alone."""
    members = select(t.series_member.c.id).where(t.series_member.c.series_id == t.series.c.id)
    connection.execute(delete(t.series).where(~members.exists()))


def stored_members(connection: Connection, name: str = "") -> list[SeriesMember]:
    """List the members of all series, by name, or of one.

    Raises:
        UnknownNameError: There is no such series.
    """
    if name:
        _series_key(connection, name)
    found = [
        SeriesMember(row.series, row.model, row.version or "", row.is_reported) for row in connection.execute(_MEMBERS)
    ]
    return sorted(own for own in found if name in {"", own.series})


_MEMBERS = text("SELECT series, model, version, is_reported FROM v_series").columns(
    series=Text, model=Text, version=Text, is_reported=Boolean
)
_SERIES = select(t.series.c.id).where(t.series.c.name == bindparam("name"))


def _series_key(connection: Connection, name: str) -> int:
    found = execute(connection, _SERIES, {"name": clean(name)})
    if not found:
        known = connection.scalars(select(t.series.c.name))
        raise UnknownNameError("series", name, known, "ww series list")
    return int(found[0].id)


def _keys(connection: Connection, models: Iterable[str]) -> tuple[dict[str, int], dict[str, list[int]]]:
    """Return the keys of stored models, and those of the subjects of reported ones, by name.

    Raises:
        NotStoredError: There is no such model.
    """
    names = list(dict.fromkeys(map(clean, models)))
    stored: dict[str, int] = {}
    for chunk in chunks(names):
        rows: list[Any] = execute(connection, _MODELS, {"names": chunk})
        stored |= {row.name: row.id for row in rows}
    reported: dict[str, list[int]] = defaultdict(list)
    for (name, _), key in find_reported_models(connection, names).items():
        reported[name].append(key)
    missing = [name for name in names if name not in stored and name not in reported]
    if missing:
        known = {*connection.scalars(select(t.model.c.name)), *(name for name, _ in reported_names(connection))}
        near = near_names(missing[0], known)
        hint = f"did you mean {', '.join(near)}?" if near else "`ww show` and `ww scores list` list what there is"
        told = shortened(list(map(repr, missing)), most=SHOWN)
        raise NotStoredError(f"no model {told} in this store, stored or reported: {hint}")
    return stored, reported


_MODELS = select(t.model.c.name, t.model.c.id).where(t.model.c.name.in_(bindparam("names", expanding=True)))
