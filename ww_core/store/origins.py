"""Who made results: the run, the program, the plugin, the BLAS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from ww_core.domain.identity import digest_of
from ww_core.store import tables as t
from ww_core.store.rows import record_by_digest

if TYPE_CHECKING:
    from ww_core.store.records import OriginRecord


def record_origins(connection: Connection, records: Sequence[OriginRecord]) -> dict[OriginRecord, int]:
    """Store origins, and return their keys."""
    rows = {record: record._asdict() for record in records}
    digests = {record: digest_of("origin", row) for record, row in rows.items()}
    keys = record_by_digest(connection, t.origin, [{"digest": digests[record]} | row for record, row in rows.items()])
    return {record: keys[digest] for record, digest in digests.items()}
