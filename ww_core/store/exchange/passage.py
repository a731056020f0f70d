"""How rows go from one store to another, where nothing is special about their table."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Table, func, select

from ww_core.store.exchange.layout import OWNERS, has_key, is_numbered, ordering, owner_of, target_of
from ww_core.store.rows import chunks, insert_very_many, keys_by_digest, record_by_digest

FETCHED = 5000
"""Rows that are in memory at a time."""

Fields = dict[str, Any]
"""A row by the names of its columns."""


class Passage:
    """The way of rows from one store to another, table by table, what is pointed at before what points at it.

    Attributes:
        source: A transaction that reads the one.
        target: A transaction that writes to the other.
        keys: Keys of rows in the target by those in the source, by table.
        fresh: Keys in the source of those rows that own lists and are new in the target, by table.
        added: How many rows are new in the target, by table.
        kept: How many were there already, of tables that nothing points at.
        numbers: Numbers of runs in the target by those in the source, which are their keys.
        has_met: Whether an analysis of the target says now what the source knew better.
    """

    def __init__(self, source: Connection, target: Connection) -> None:
        self.source = source
        self.target = target
        self.keys: dict[str, array[int] | dict[int, int]] = {}
        self.fresh: dict[str, set[int]] = defaultdict(set)
        self.added: Counter[str] = Counter()
        self.kept: Counter[str] = Counter()
        self.numbers: dict[int, int] = {}
        self.has_met = False

    def begin(self, table: Table) -> None:
        """Prepare for the rows of a table."""
        if is_numbered(table):
            self.keys[table.name] = self.numbers
        elif has_key(table):
            most = self.source.scalar(select(func.max(table.c.id))) or 0
            self.keys[table.name] = array("q", bytes(8 * (most + 1)))

    def lists(self, table: Table, fetched: int = FETCHED) -> Iterator[list[list[Any]]]:
        """Yield the rows of a table as lists of fields, in the order of their keys in the source.

        They point at rows of the target already; their own key, ``id``, is that in the source.
        """
        pointers = [
            (place, self.keys[target.name])
            for place, column in enumerate(table.columns)
            if (target := target_of(column)) is not None
        ]
        query = select(table).order_by(*table.primary_key)
        for rows in self.source.execute(query, execution_options={"yield_per": fetched}).partitions():
            batch = list(map(list, rows))
            for row in batch:
                for place, keys in pointers:
                    if row[place] is not None:
                        row[place] = keys[row[place]]
            yield batch

    def batches(self, table: Table) -> Iterator[list[Fields]]:
        """Yield the same as mappings."""
        names = table.columns.keys()
        for batch in self.lists(table):
            yield [dict(zip(names, row, strict=True)) for row in batch]

    def place(self, table: Table, source: int, target: int, *, fresh: bool) -> None:
        """Remember the key of a row in the target, and whether it is new there."""
        self.keys[table.name][source] = target
        if fresh and table.name in OWNERS:
            self.fresh[table.name].add(source)

    def add_by_digest(self, table: Table) -> None:
        """Add the rows whose digest is new."""
        for batch in self.batches(table):
            self.add_digests(table, batch)

    def add_digests(self, table: Table, batch: Sequence[Fields]) -> None:
        """Add those rows of a batch whose digest is new."""
        there = keys_by_digest(self.target, table, [row["digest"] for row in batch])
        sources = [row.pop("id") for row in batch]
        new = [row for row in batch if row["digest"] not in there]
        keys = there | record_by_digest(self.target, table, new)
        for source, row in zip(sources, batch, strict=True):
            self.place(table, source, keys[row["digest"]], fresh=row["digest"] not in there)
        self.added[table.name] += len(keys) - len(there)

    def add_by_names(self, table: Table) -> None:
        """Add the rows whose names, or whatever else tells them apart, are new."""
        names = [column.name for column in ordering(table)]
        for batch in self.batches(table):
            self.add_named(table, names, batch)

    def add_named(self, table: Table, names: Sequence[str], batch: Sequence[Fields]) -> None:
        """Add those rows of a batch that are new by these columns, of which the first is never empty."""

        def told(row: Fields) -> tuple[Any, ...]:
            return tuple(row[name] for name in names)

        firsts = {row[names[0]] for row in batch}
        there = self.stored_keys(table, names, firsts)
        new = [row for row in batch if told(row) not in there]
        self.insert(table, new)
        keys = self.stored_keys(table, names, firsts) if new else there
        for row in batch:
            self.place(table, row["id"], keys[told(row)], fresh=told(row) not in there)

    def stored_keys(self, table: Table, names: Sequence[str], firsts: Collection[Any]) -> dict[tuple[Any, ...], int]:
        """Return the keys of those rows of the target that have one of these values in the first of some columns.

        Returns:
            Keys by the values of these columns.
        """
        columns = [table.c[name] for name in names]
        return {
            tuple(row): key
            for chunk in chunks(sorted(firsts))
            for key, *row in self.target.execute(select(table.c.id, *columns).where(columns[0].in_(chunk)))
        }

    def insert(self, table: Table, rows: Sequence[Fields]) -> None:
        """Insert rows; the database gives them keys."""
        if rows:
            names = tuple(name for name in rows[0] if name != "id")
            fields = [tuple(row[name] for name in names) for row in rows]
            self.added[table.name] += insert_very_many(self.target, table, quoted(names), fields)

    def add_keyed(self, table: Table) -> None:
        """Add the rows whose primary key is new; of a list only with what owns it."""
        names = quoted(table.columns.keys())
        owner = owner_of(table)
        for batch in self.lists(table) if owner is None else self.fresh_lists(table, owner):
            added = insert_very_many(self.target, table, names, list(map(tuple, batch)))
            self.added[table.name] += added
            self.kept[table.name] += len(batch) - added

    def fresh_lists(self, table: Table, owner: Table) -> Iterator[list[list[Any]]]:
        """Yield those rows of a table whose owner is new."""
        place = table.columns.keys().index(ordering(table)[0].name)
        fresh = {self.keys[owner.name][source] for source in self.fresh[owner.name]}
        for batch in self.lists(table):
            yield [row for row in batch if row[place] in fresh]


def quoted(names: Iterable[str]) -> tuple[str, ...]:
    """Return names of columns as a statement has them: some are words of SQL."""
    return tuple(f'"{name}"' for name in names)
