"""Whether the database is whole: its file, its references, the types of its cells, the rules of its tables."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Connection, select, text

from ww_core.store import tables as t
from ww_core.store.cells import wrong_cells
from ww_core.store.engine import NO_NUMBER_LEFT, driver_of
from ww_core.store.integrity.findings import SHOWN, Findings, place_of, rows_of


def check_file(connection: Connection, findings: Findings) -> None:
    """Find what SQLite finds wrong with its file."""
    for (verdict,) in connection.exec_driver_sql(f"PRAGMA integrity_check({SHOWN})"):
        for line in verdict.splitlines() if verdict != "ok" else ():
            if not line.startswith("*** in database"):  # there is one
                findings.fault("file", line)


def check_references(connection: Connection, findings: Findings) -> None:
    """Find rows that point at rows that are missing, in SQLite."""
    for table, row, parent, _ in connection.exec_driver_sql("PRAGMA foreign_key_check"):
        place = "a row" if row is None else f"row {row}"
        findings.fault("reference", f"{place} of {table} points at a missing row of {parent}")


def check_cells(connection: Connection, findings: Findings) -> None:
    """Find cells that hold what their columns cannot, in SQLite."""
    driver = driver_of(connection)
    for table in t.metadata.sorted_tables:
        for place, column, what in wrong_cells(driver, table):
            findings.fault("cell", f"{column} of {place} holds {what}")
    for (name,) in driver.execute(NO_NUMBER_LEFT):
        findings.fault("cell", f"no number is left for another row of {name}")


def check_constraints(connection: Connection, findings: Findings) -> None:
    """Find rows that break a rule of their table."""
    for table in t.metadata.sorted_tables:
        for constraint in table.constraints:
            if isinstance(constraint, CheckConstraint):
                broken = select(*table.primary_key).where(text(f"NOT ({constraint.sqltext})"))
                for row in rows_of(connection, broken):
                    findings.fault("constraint", f"{place_of(table, row)} breaks the rule {constraint.sqltext}")
