"""From one store to another: what is missing is added, what is there stays as it is."""

from __future__ import annotations

from collections import Counter

from sqlalchemy import Connection
from sqlalchemy.schema import sort_tables

from ww_core.store import tables as t
from ww_core.store.exchange import rules
from ww_core.store.exchange.layout import exchanged_tables, has_digest, has_key
from ww_core.store.exchange.passage import Passage


def merge(source: Connection, target: Connection) -> Counter[str]:
    """Add to a store what another one has, and return how many rows are new, by table.

    Content is known by its digest in both, and names by themselves.

    Args:
        source: A transaction that reads the other store, which is sound.
        target: A transaction that writes while no other one does.

    Raises:
        UsageError: A label stands on something else here, or another table of others has the same source.
    """
    passage = Passage(source, target)
    # Origins speak of runs by their numbers.
    for table in sort_tables(exchanged_tables(t.metadata), extra_dependencies=[(t.run, t.origin)]):
        passage.begin(table)
        rule = rules.SPECIAL.get(table.name)
        if rule is not None:
            rule(passage)
        elif has_digest(table):
            passage.add_by_digest(table)
        elif has_key(table):
            passage.add_by_names(table)
        else:
            passage.add_keyed(table)
    rules.mend_summaries(passage)
    return +passage.added
