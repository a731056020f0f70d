"""Questions in SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ww_core.use_cases.naming import opened_store

if TYPE_CHECKING:
    import os

    from ww_core.domain.sql_answer import SqlAnswer
    from ww_core.store.store import Store


def sql(query: str, *, store: Store | str | os.PathLike[str], seconds: float = 10.0, rows: int = 10_000) -> SqlAnswer:
    """Answer a query in SQL, which reads the store and changes nothing.

    Args:
        query: One SELECT, in the SQL of the store's database.
        store: An open store, or its path or URL.
        seconds: As of ``Store.sql``, as is the other.
        rows: How many rows to return at most.

    Raises:
        WWError: As of ``Store.sql`` and ``open_store``.
    """
    with opened_store(store, mode="read") as opened:
        return opened.sql(query, seconds=seconds, rows=rows)
