"""Which tables and columns go into an export folder, and in which order their rows stand there.

Read from the tables' metadata: a table that is added to the store is in the folder without a word here. In a folder no
row has a key of the database: a row is known by the line it stands on, and the lines are in an order that follows from
the content alone, so that equal content gives equal bytes.
"""

from __future__ import annotations

from sqlalchemy import Column, MetaData, Table, UniqueConstraint
from sqlalchemy.schema import sort_tables

from ww_core.store import tables as t

MACHINE_BOUND = {"file_digest", "alembic_version"}
"""What speaks of files of one machine, or of the database itself."""

# A number that was given is never given again, because reports speak of it: it goes along.
_NUMBERED = {own.name for own in t.metadata.tables.values() if own.dialect_options["sqlite"]["autoincrement"]}


def exchanged_tables(metadata: MetaData) -> list[Table]:
    """Return the tables of a folder, in an order in which nothing points at what comes later."""
    return sort_tables([table for table in metadata.tables.values() if table.name not in MACHINE_BOUND])


def has_key(table: Table) -> bool:
    """Whether rows of a table have a key of the database, by which others point at them."""
    return "id" in table.columns


def is_numbered(table: Table) -> bool:
    """Whether the keys of a table are numbers that people know, and that go along."""
    return table.name in _NUMBERED


def exchanged_columns(table: Table) -> list[Column[object]]:
    """Return the columns of a file: all but the key of the database, unless it is a number that people know."""
    return [column for column in table.columns if column.name != "id" or is_numbered(table)]


def target_of(column: Column[object]) -> Table | None:
    """Return the table whose rows a column points at; None for one that holds what it says."""
    return next((key.column.table for key in column.foreign_keys if key.column.name == "id"), None)


def has_digest(table: Table) -> bool:
    """Whether rows of a table are known by the digest of their content, in any store."""
    return any(isinstance(own, UniqueConstraint) and own.columns.keys() == ["digest"] for own in table.constraints)


def ordering(table: Table) -> list[Column[object]]:
    """Return the columns that tell the rows of a table apart, in whose order these stand; those that point first."""
    if is_numbered(table):
        return [table.c.id]
    if not has_key(table):
        told = list(table.primary_key.columns)
    elif has_digest(table):
        return [table.c.digest]
    else:
        unique = [own.columns for own in table.constraints if isinstance(own, UniqueConstraint)]
        names = {column.name for columns in unique for column in columns}
        told = [column for column in exchanged_columns(table) if not names or column.name in names]
    return sorted(told, key=lambda column: (target_of(column) is None, column.nullable))


def owner_of(table: Table) -> Table | None:
    """Return the table each of whose rows owns a list of rows, which are told apart by their positions in it.

    A list is as whole as what owns it: nothing is added to one that is there.
    """
    columns = ordering(table)
    return target_of(columns[0]) if columns[-1].name == "position" else None


OWNERS = {owner.name for own in t.metadata.tables.values() if (owner := owner_of(own)) is not None}
"""Names of the tables whose rows own lists."""
