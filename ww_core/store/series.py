"""Series: families of models, stored ones and reported ones.

Every function works inside the caller's transaction, and may run twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select, text

from ww_core.errors import NotStoredError, UnknownNameError
from ww_core.store import tables as t
from ww_core.store.records import SeriesMember
from ww_core.store.reported_models import find_reported_models
from ww_core.store.rows import chunks, clean, execute, insert_missing


def record_members(connection: Connection, series: str, models: Sequence[str]) -> None:
    """Make models members of a series, which is made if it is new. A stored model wins over a reported one.

    Raises:
        NotStoredError: There is no such model, stored or reported.
    """
    stored, reported = _members(connection, models)
    insert_missing(connection, t.series, [{"name": series}])
    ((series_id,),) = execute(connection, _SERIES, {"name": clean(series)})
    insert_missing(connection, t.series_member, [{"series_id": series_id, "model_id": key} for key in stored])
    insert_missing(connection, t.series_member, [{"series_id": series_id, "subject_id": key} for key in reported])


def record_reported_members(connection: Connection, members: Mapping[str, Collection[int]]) -> None:
    """Make reported models, given by the keys of their subjects, members of series."""
    insert_missing(connection, t.series, [{"name": name} for name in members])
    keys = {name: execute(connection, _SERIES, {"name": clean(name)})[0].id for name in members}
    rows = [{"series_id": keys[name], "subject_id": key} for name, own in members.items() for key in sorted(own)]
    insert_missing(connection, t.series_member, rows)


def remove_members(connection: Connection, series: str, models: Sequence[str]) -> int:
    """Take models out of a series; the last one takes the series with it. Return how many were members.

    Raises:
        UnknownNameError: There is no such series.
        NotStoredError: There is no such model, stored or reported.
    """
    series_id = _series_key(connection, series)
    stored, reported = _members(connection, models) if models else ([], [])
    member = t.series_member.c
    of_series = delete(t.series_member).where(member.series_id == series_id)
    removed = 0
    if not models:
        removed = connection.execute(of_series).rowcount
    for column, keys in ((member.model_id, stored), (member.subject_id, reported)):
        for chunk in chunks(keys):
            removed += connection.execute(of_series.where(column.in_(chunk))).rowcount
    if connection.execute(select(member.id).where(member.series_id == series_id)).first() is None:
        connection.execute(delete(t.series).where(t.series.c.id == series_id))
    return removed


def stored_members(connection: Connection, name: str = "") -> list[SeriesMember]:
    """List the members of all series, by name, or of one.

    Raises:
        UnknownNameError: There is no such series.
    """
    if name:
        _series_key(connection, name)
    found = [
        SeriesMember(row.series, row.model, row.version or "", bool(row.is_reported))
        for row in connection.execute(_MEMBERS)
    ]
    return sorted(own for own in found if name in {"", own.series})


_MEMBERS = text("SELECT series, model, version, is_reported FROM v_series")
_SERIES = select(t.series.c.id).where(t.series.c.name == bindparam("name"))


def _series_key(connection: Connection, name: str) -> int:
    found = execute(connection, _SERIES, {"name": clean(name)})
    if not found:
        known = connection.scalars(select(t.series.c.name))
        raise UnknownNameError("series", name, known, "ww series list")
    return int(found[0].id)


def _members(connection: Connection, models: Iterable[str]) -> tuple[list[int], list[int]]:
    """Return the keys of stored models, and those of the subjects of reported ones.

    Raises:
        NotStoredError: There is no such model.
    """
    names = list(dict.fromkeys(map(clean, models)))
    stored: dict[str, int] = {}
    for chunk in chunks(names):
        rows: list[Any] = execute(connection, _MODELS, {"names": chunk})
        stored |= {row.name: row.id for row in rows}
    left = [name for name in names if name not in stored]
    reported: dict[str, list[int]] = defaultdict(list)
    for (name, _), key in find_reported_models(connection, left).items():
        reported[name].append(key)
    missing = [name for name in left if name not in reported]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise NotStoredError(
            f"no model {', '.join(map(repr, missing[:3]))}{more} in this store, stored or reported: "
            "`ww show` and `ww scores list` list what there is"
        )
    return list(stored.values()), [key for own in reported.values() for key in own]


_MODELS = select(t.model.c.name, t.model.c.id).where(t.model.c.name.in_(bindparam("names", expanding=True)))
