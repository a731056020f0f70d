"""Show what is stored."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ww_core.store import queries
from ww_core.store.store import open_store

if TYPE_CHECKING:
    import os

    from ww_core.domain.report import AnalysisReport


def show(name: str, *, store: str | os.PathLike[str], profile: str = "") -> AnalysisReport:
    """Return the newest analysis of ``MODEL``, ``MODEL@VERSION`` or a digest prefix, under a profile if one is named.

    Raises:
        NotStoredError: There is none.
        StoreError: The store cannot be read.
    """
    with open_store(store, mode="read") as opened, opened.reading() as connection:
        ref = queries.find_checkpoint(connection, name)
        return queries.report_of_run(connection, queries.newest_run(connection, ref.id, profile), ref)


def versions(*, store: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """List every version of every model.

    Raises:
        StoreError: The store cannot be read.
    """
    with open_store(store, mode="read") as opened, opened.reading() as connection:
        return [asdict(version) for version in queries.stored_versions(connection)]
