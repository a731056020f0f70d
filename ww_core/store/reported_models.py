"""Reported models: those of which there are no weights here, only what others say of them.

Each (name, version) is a subject of its own, which series and scores point at. The rows of tables are other subjects,
and belong to it by its name.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, bindparam, select

from ww_core.domain.identity import digest_of
from ww_core.store import tables as t
from ww_core.store.rows import chunks, clean, execute, insert_missing, record_by_digest

ReportedName = tuple[str, str]
"""Name and version of a reported model; the version is empty for none."""


def record_reported_models(connection: Connection, names: Collection[ReportedName]) -> dict[ReportedName, int]:
    """Store reported models, and return the keys of their subjects."""
    digests = {own: reported_model_digest(own) for own in names}
    keys = record_by_digest(connection, t.subject, [{"digest": own, "kind": "reported"} for own in digests.values()])
    rows = [
        {
            "subject_id": keys[digest],
            "source": "",
            "row": 0,
            "provider": "",
            "model": model,
            "version": version,
            "layer": "",
            "checkpoint_id": None,
        }
        for (model, version), digest in digests.items()
    ]
    insert_missing(connection, t.reported_subject, rows)
    return {own: keys[digest] for own, digest in digests.items()}


def reported_model_digest(name: ReportedName) -> str:
    """Return the content address of a reported model."""
    return digest_of("reported_model", {"model": name[0], "version": name[1]})


def find_reported_models(connection: Connection, names: Sequence[str]) -> dict[ReportedName, int]:
    """Return the keys of the subjects of those reported models, in all their versions, that are stored."""
    found: dict[ReportedName, int] = {}
    for chunk in chunks(list(dict.fromkeys(map(clean, names)))):
        for row in execute(connection, _BY_NAME, {"names": chunk}):
            found[row.model, row.version] = row.subject_id
    return found


def reported_names(connection: Connection) -> list[ReportedName]:
    """List all reported models, by name."""
    query = select(_reported.model, _reported.version).where(_reported.source == "")
    return [(row.model, row.version) for row in connection.execute(query.order_by(_reported.model, _reported.version))]


_reported = t.reported_subject.c
_BY_NAME = (
    select(_reported.model, _reported.version, _reported.subject_id)
    .where(_reported.model.in_(bindparam("names", expanding=True)), _reported.source == "")
    .order_by(_reported.model, _reported.version)
)
