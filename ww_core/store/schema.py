"""What a store consists of, tables, indexes and views, and whether one has these parts as migrations make them.

A store may come from somebody else, and its parts are programs: a trigger deletes what is written elsewhere, a view may
never end, a unique index makes rows vanish. So each part of ours is compared with what ww makes, and others may be
there as long as they do nothing when ww reads or writes.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from ww_core.errors import NotAStoreError, StoreError
from ww_core.store import tables
from ww_core.store.engine import driver_of
from ww_core.store.views import VIEWS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from ww_core.store.engine import Location

FILE_DIGESTS = {
    "0001": "ef37aa338526e9adbd14cc5f97cee0e08cf86cd3cdd237dbc27b6ed4617a93ce",
    "0002": "763098f8bdba225de2993e08d05af02a5b28af6e0315bec511e1460626395055",
    "0003": "e68ecae31d31403addf0686fd422bb39f14366aed6c1d253213071a3d777dace",
    "0004": "705cca5575f34a7e61a76c1ea42f5867298f271df3a94fc162e7972f070ec34d",
}
"""By revision, the digest of the parts that an SQLite file has when the migrations have made it."""

_WHAT_TO_DO = "restore a copy, or ask for one that nobody has changed"


class Part(NamedTuple):
    """A part of an SQLite file, as its catalogue has it: nothing in it is certain, not even the types."""

    kind: str
    name: str
    table: str
    definition: str | None

    @property
    def is_table(self) -> bool:
        """Whether it is a plain table. SQLite goes by the definition, whatever the kind says."""
        return self.kind == "table" and str(self.definition).startswith("CREATE TABLE ")

    @property
    def is_own(self) -> bool:
        """Whether ww makes a part of this name."""
        name, table = str(self.name).casefold(), str(self.table).casefold()
        return name in _own_names() or (name.startswith("sqlite_autoindex_") and table in _own_tables())

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r}" + ("" if self.name == self.table else f" of {self.table!r}")


@functools.cache
def _own_tables() -> frozenset[str]:
    return frozenset({*tables.metadata.tables, "alembic_version", "sqlite_sequence"})


@functools.cache
def _own_indexes() -> frozenset[str]:
    return frozenset(str(index.name) for table in tables.metadata.tables.values() for index in table.indexes)


@functools.cache
def _own_names() -> frozenset[str]:
    return _own_tables() | _own_indexes() | {view.name for view in VIEWS}


# --- an SQLite file ---------------------------------------------------------------------------------------------------


def parts_of_file(driver: sqlite3.Connection) -> list[Part]:
    """List all parts of an SQLite file, by name."""
    rows = driver.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name")
    return list(map(Part._make, rows))


def check_file(
    driver: sqlite3.Connection,
    parts: Sequence[Part],
    location: Location,
    revision: str,
    made: Callable[[str], Sequence[Part]],
) -> None:
    """Refuse an SQLite file with parts of ours that are not as ww makes them, or with others that do something.

    Args:
        driver: A connection to it.
        parts: All its parts.
        location: Where it lies.
        revision: The revision of its schema, which is known.
        made: Gives the parts of a new store of a revision; called only where something differs.

    Raises:
        NotAStoreError: A part of ours is missing.
        StoreError: A part of ours was changed, or another one would do something.
    """
    if digest_of_parts(parts) == FILE_DIGESTS[revision]:
        return
    own = [part for part in parts if part.is_own]
    if digest_of_parts(own) != FILE_DIGESTS[revision]:
        # Another version of SQLAlchemy may word a definition otherwise: what this one makes counts too.
        _compare_with(own, made(revision), location)
    _check_others(driver, [part for part in parts if not part.is_own], location)


def digest_of_parts(parts: Sequence[Part]) -> str:
    """Return a digest of parts, in their order."""
    # With their count the text is of these parts only, whatever stands in them: this is computed at every opening.
    text = "\0".join([str(len(parts)), *map(str, itertools.chain.from_iterable(parts))])
    return hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()


def _compare_with(found: Sequence[Part], expected: Sequence[Part], location: Location) -> None:
    names = {part.name for part in found}
    for part in expected:
        if part.name not in names:
            raise _missing(location, str(part))
    for part in found:
        if part not in expected:
            raise _changed(location, str(part))


_BEGINNINGS = {
    "table": ("CREATE TABLE ", "CREATE VIRTUAL TABLE "),
    "view": ("CREATE VIEW ",),
    "index": ("CREATE INDEX ", "CREATE UNIQUE INDEX "),
}


def _check_others(driver: sqlite3.Connection, others: Sequence[Part], location: Location) -> None:
    for part in others:
        made_with = _BEGINNINGS.get(part.kind, ())
        is_automatic = part.definition is None and str(part.name).startswith("sqlite_autoindex_")
        if not (is_automatic or str(part.definition).startswith(made_with or ("\0",))):
            raise _not_ours(location, str(part))
        if part.is_table and _refers_to_ours(driver, part.name):
            raise _not_ours(location, str(part))
    for table in sorted(_own_tables()):
        for _, name, is_unique, _, is_partial in driver.execute(f'PRAGMA index_list("{table}")').fetchall():
            is_known = name in _own_indexes() or name.startswith("sqlite_autoindex_")
            if not is_known and (is_unique or is_partial or _computes(driver, name)):
                raise _not_ours(location, f"index {name!r} of {table!r}")


def _refers_to_ours(driver: sqlite3.Connection, table: str) -> bool:
    referred = driver.execute('SELECT "table" FROM pragma_foreign_key_list(?)', [table]).fetchall()
    return any(name.casefold() in _own_tables() for (name,) in referred)


def _computes(driver: sqlite3.Connection, index: str) -> bool:
    return any(column < 0 for (column,) in driver.execute("SELECT cid FROM pragma_index_info(?)", [index]).fetchall())


def _missing(location: Location, part: str) -> NotAStoreError:
    return NotAStoreError(f"{location} is damaged: it lacks a part that every store has ({part}): {_WHAT_TO_DO}")


def _changed(location: Location, part: str) -> StoreError:
    return StoreError(f"{location} is not as ww makes a store ({part}): {_WHAT_TO_DO}")


def _not_ours(location: Location, part: str) -> StoreError:
    return StoreError(
        f"{location} has a part that ww does not make, and that would act when ww reads or writes ({part}): "
        "remove it, if it is yours; else ask for a copy that nobody has changed"
    )


# --- a server ---------------------------------------------------------------------------------------------------------

_VISIBLE = "pg_table_is_visible(relation.oid) AND relation.relname = ANY(%(names)s)"

_ACTIVE = f"""
SELECT 'trigger', tgname, relname FROM pg_trigger JOIN pg_class AS relation ON relation.oid = tgrelid
WHERE NOT tgisinternal AND {_VISIBLE}
UNION ALL SELECT 'rule', rulename, relname FROM pg_rewrite JOIN pg_class AS relation ON relation.oid = ev_class
WHERE rulename <> '_RETURN' AND {_VISIBLE}
UNION ALL SELECT 'table', child.relname, relation.relname FROM pg_inherits
JOIN pg_class AS relation ON relation.oid = inhparent JOIN pg_class AS child ON child.oid = inhrelid
WHERE {_VISIBLE}
UNION ALL SELECT 'index', made.relname, relation.relname FROM pg_index
JOIN pg_class AS relation ON relation.oid = indrelid JOIN pg_class AS made ON made.oid = indexrelid
WHERE (indisunique OR indpred IS NOT NULL OR indexprs IS NOT NULL)
AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND conrelid = indrelid)
AND NOT made.relname = ANY(%(indexes)s) AND {_VISIBLE}
UNION ALL SELECT 'function', proname, relname FROM pg_depend
JOIN pg_rewrite ON pg_rewrite.oid = objid JOIN pg_class AS relation ON relation.oid = ev_class
JOIN pg_proc ON pg_proc.oid = refobjid
WHERE classid = 'pg_rewrite'::regclass AND refclassid = 'pg_proc'::regclass AND {_VISIBLE}
UNION ALL SELECT 'table', used.relname, relation.relname FROM pg_depend
JOIN pg_rewrite ON pg_rewrite.oid = objid JOIN pg_class AS relation ON relation.oid = ev_class
JOIN pg_class AS used ON used.oid = refobjid
WHERE classid = 'pg_rewrite'::regclass AND refclassid = 'pg_class'::regclass
AND NOT (pg_table_is_visible(used.oid) AND used.relname = ANY(%(names)s)) AND {_VISIBLE}
"""  # noqa: S608 - texts of this module

_COLUMNS = f"""
SELECT relname, relkind, attname, format_type(atttypid, atttypmod), attnotnull,
    attgenerated <> '' OR coalesce(pg_get_expr(adbin, adrelid), 'nextval(') NOT LIKE 'nextval(%%'
FROM pg_class AS relation JOIN pg_attribute ON attrelid = relation.oid AND attnum > 0 AND NOT attisdropped
LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
WHERE {_VISIBLE} ORDER BY relname, attnum
"""  # noqa: S608 - texts of this module


def check_active_parts(connection: Connection, location: Location) -> None:
    """Refuse a database on a server in which something of others would act when ww reads or writes.

    Raises:
        StoreError: There is a trigger, a rule, a part of a table, or an index that is more than one of columns; or a
            view of ours uses what is not ours.
    """
    asked = {"names": [*_own_names()], "indexes": [*_own_indexes()]}
    row = connection.exec_driver_sql(_ACTIVE, asked).first()
    if row is not None:
        raise _not_ours(location, f"{row[0]} {row[1]!r} of {row[2]!r}")


def check_columns(connection: Connection, location: Location) -> None:
    """Refuse a database on a server whose tables and views of the newest schema do not have the columns that ww makes.

    Raises:
        NotAStoreError: One is missing.
        StoreError: One was changed.
    """
    found: dict[str, list[tuple[Any, ...]]] = {}
    for name, *column in connection.exec_driver_sql(_COLUMNS, {"names": [*_own_names()]}):
        found.setdefault(name, []).append(tuple(column))
    for table in tables.metadata.sorted_tables:
        expected = sorted(
            ("r", column.name, _type_on_server(column, connection), not column.nullable, False)
            for column in table.columns
        )
        _compare(location, "table", table.name, sorted(found.get(table.name, [])), expected)
    for view in VIEWS:
        shown = [(kind, column) for kind, column, *_ in found.get(view.name, [])]
        _compare(location, "view", view.name, shown, [("v", column) for column in view.columns])


def _type_on_server(column: Any, connection: Connection) -> str:
    return re.sub("^varchar", "character varying", column.type.compile(connection.dialect).lower())


def _compare(location: Location, kind: str, name: str, found: list[Any], expected: list[Any]) -> None:
    if not found:
        raise _missing(location, f"{kind} {name!r}")
    if found != expected:
        raise _changed(location, f"{kind} {name!r}")


# --- what is not ours, and does nothing -------------------------------------------------------------------------------

_OTHERS = """
SELECT CASE relation.relkind WHEN 'i' THEN 'index' WHEN 'v' THEN 'view' WHEN 'm' THEN 'view' ELSE 'table' END,
    relation.relname
FROM pg_class AS relation LEFT JOIN pg_index ON indexrelid = relation.oid
LEFT JOIN pg_class AS indexed ON indexed.oid = indrelid
WHERE relation.relkind IN ('r', 'v', 'm', 'f', 'p', 'i') AND NOT relation.relname = ANY(%(names)s)
AND relation.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('alembic_version'))
AND (relation.relkind <> 'i' OR (indexed.relname = ANY(%(names)s)
    AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = relation.oid AND conrelid = indrelid)))
ORDER BY 1, 2
"""


def parts_of_others(connection: Connection) -> list[str]:
    """List the tables, views and indexes in a store that ww has not made and does not use, each as kind and name."""
    if connection.dialect.name == "sqlite":
        parts = parts_of_file(driver_of(connection))
        return [f"{part.kind} {part.name}" for part in parts if not part.is_own and part.definition is not None]
    return [f"{kind} {name}" for kind, name in connection.exec_driver_sql(_OTHERS, {"names": [*_own_names()]})]
