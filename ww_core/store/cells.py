"""What a cell of an SQLite file holds: SQLite keeps any value in any column, and the file may be somebody else's.

Whatever is read is of the type that its column says. A server looks after that itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import BigInteger, Boolean, Column, Double, Integer, Join, LargeBinary, Select, String, Table, Text
from sqlalchemy.sql.elements import ColumnElement, Label
from sqlalchemy.sql.selectable import FromClause
from sqlalchemy.types import TypeEngine

from ww_core.errors import StoreError

if TYPE_CHECKING:
    import sqlite3

_HELD: dict[type[TypeEngine[Any]], tuple[type, ...]] = {
    Boolean: (int,),
    Integer: (int,),
    Double: (float, int),
    String: (str,),
    LargeBinary: (bytes,),
}
"""What the driver returns of a column of a type."""

_NOTHING = type(None)


def _held(kind: TypeEngine[Any]) -> frozenset[type] | None:
    """Return what a column of a type may hold, NULL left out; None for a type of which nothing is known."""
    return next((frozenset(types) for own, types in _HELD.items() if isinstance(kind, own)), None)


class CellCheck:
    """Checks the rows of a statement, a column at a time."""

    def __init__(self, statement: Select[Any]) -> None:
        optional = {table for source in statement.get_final_froms() for table in _optional(source)}
        self._columns: list[tuple[str, frozenset[type] | None]] = []
        for selected in statement.selected_columns:
            column = selected.element if isinstance(selected, Label) else selected
            held = _held(selected.type)
            if held is not None and not _is_certain(column, optional):
                held |= {_NOTHING}
            self._columns.append((str(selected.key), held))

    def __call__(self, rows: Sequence[Sequence[Any]]) -> None:
        """Look at all cells.

        Raises:
            StoreError: One holds what its column cannot.
        """
        for place, (name, held) in enumerate(self._columns):
            if held is not None and not held.issuperset(map(type, map(itemgetter(place), rows))):
                raise wrong_cell(name, next(row[place] for row in rows if type(row[place]) not in held))


def _optional(source: FromClause) -> Iterable[FromClause]:
    """Yield the tables of a join that may have no row for what is joined."""
    if isinstance(source, Join):
        yield from _optional(source.left)
        yield from _sources(source.right) if source.isouter else _optional(source.right)


def _sources(source: FromClause) -> Iterable[FromClause]:
    if isinstance(source, Join):
        yield from _sources(source.left)
        yield from _sources(source.right)
    else:
        yield source


def _is_certain(column: ColumnElement[Any], optional: set[FromClause]) -> bool:
    """Whether a column of a statement is never NULL in a store."""
    return isinstance(column, Column) and not column.nullable and column.table not in optional


def wrong_cell(name: str, cell: object) -> StoreError:
    """Return the error of a cell that holds what its column cannot."""
    what = "nothing" if cell is None else f"a value of type {type(cell).__name__}"
    return StoreError(f"something in the store is damaged ({name} holds {what}): `ww db check` lists what is damaged")


# --- all cells of a table ---------------------------------------------------------------------------------------------

_NAMES = {int: "integer", float: "real", str: "text", bytes: "blob"}
_SHOWN = 64  # letters of a key


def wrong_cells(driver: sqlite3.Connection, table: Table) -> Iterator[tuple[str, str, str]]:
    """Yield the cells of a table in an SQLite file that hold what their columns cannot.

    Yields:
        The row, by its key; the column; and what it holds: the type, or text that is none.
    """
    for column in table.columns:
        held = sorted(_NAMES[own] for own in _held(column.type) or ())
        held += ["null"] if column.nullable else []
        wrong = f"typeof({_quoted(column)}) NOT IN ({', '.join(map(repr, held))})"
        if isinstance(column.type, Boolean):
            wrong += f" OR {_quoted(column)} NOT IN (0, 1)"
        for what, *key in _select(driver, f"typeof({_quoted(column)})", table, wrong):
            yield _place(table, key), column.name, f"a value of type {what}"
        if isinstance(column.type, String):
            yield from ((_place(table, key), column.name, "no text") for key in _unreadable(driver, column))


def _unreadable(driver: sqlite3.Connection, column: Column[Any]) -> Iterator[list[Any]]:
    """Yield the keys of rows in which a text is no UTF-8."""
    cells = _select(driver, f"CAST({_quoted(column)} AS BLOB)", column.table, f"typeof({_quoted(column)}) = 'text'")
    for cell, *key in cells:
        try:
            cell.decode()
        except UnicodeDecodeError:
            yield key


def _select(driver: sqlite3.Connection, what: str, table: Table, condition: str) -> sqlite3.Cursor:
    # As blobs, because a key may be damaged too. Names are those of our tables.
    keys = ", ".join(f"substr(CAST({_quoted(column)} AS BLOB), 1, {_SHOWN})" for column in table.primary_key)
    return driver.execute(f'SELECT {what}, {keys} FROM "{table.name}" WHERE {condition}')  # noqa: S608 - see above


def _quoted(column: Column[Any]) -> str:
    return f'"{column.name}"'


def _place(table: Table, key: Iterable[bytes | None]) -> str:
    parts = (
        f"{column.name} {(part or b'').decode(errors='backslashreplace')}"
        for column, part in zip(table.primary_key, key, strict=True)
    )
    return f"{table.name} ({', '.join(parts)})"


# --- types that check what SQLAlchemy reads ---------------------------------------------------------------------------


class _Checked:
    """A type of which SQLAlchemy reads only what its columns may hold."""

    def result_processor(self, _dialect: Any, _coltype: object) -> Callable[[Any], Any]:
        held = _held(cast("TypeEngine[Any]", self)) or frozenset()

        def check(cell: Any) -> Any:
            if cell is not None and type(cell) not in held:
                raise wrong_cell("a column", cell)
            return cell

        return check


class _CheckedBoolean(_Checked, Boolean):
    def result_processor(self, dialect: Any, coltype: object) -> Callable[[Any], Any]:
        check = super().result_processor(dialect, coltype)
        return lambda cell: None if cell is None else bool(check(cell))  # which SQLite keeps as 0 and 1


CHECKED_TYPES: dict[type[TypeEngine[Any]], type[TypeEngine[Any]]] = {
    Boolean: _CheckedBoolean,
    **{
        own: type(own.__name__, (_Checked, own), {}) for own in (Integer, BigInteger, Double, String, Text, LargeBinary)
    },
}
"""By the types of tables, those by which SQLAlchemy reads their columns from an SQLite file."""
