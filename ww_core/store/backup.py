"""Backup: a copy of an SQLite store, made while others use it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ww_core.errors import StoreError, UsageError
from ww_core.store.engine import Location, driver_of, explained
from ww_core.store.journals import BESIDE
from ww_core.store.new_files import new_file

if TYPE_CHECKING:
    from sqlalchemy import Connection


def copy_store(connection: Connection, target: Path) -> int:
    """Copy the store to a file that is not there yet, as the transaction sees it; the file is whole or not there.

    Args:
        connection: An open transaction on an SQLite store, which reads. In WAL mode writers go on meanwhile.
        target: Path of the copy.

    Returns:
        Bytes of the copy.

    Raises:
        UsageError: There is something at ``target`` already, or the journal of another file beside it.
        StoreError: The copy cannot be written there, or the store is damaged.
    """
    driver = driver_of(connection)
    with _reported(target), new_file(target) as copy:
        for ending in BESIDE:
            if os.path.lexists(part := f"{target}{ending}"):
                raise UsageError(
                    f"{part} is there, and would be taken for a part of the copy: give another name, or remove it first"
                )
        # Read first: the transaction now sees one state, and the copy does not begin anew when others write.
        driver.execute("SELECT count(*) FROM sqlite_master").fetchone()
        with contextlib.closing(sqlite3.connect(copy, isolation_level=None)) as written:
            with explained(Location(target)):
                driver.backup(written)
                written.execute("PRAGMA journal_mode = DELETE")  # one file, which can be read in any folder
            (verdict,) = written.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            cause = verdict.splitlines()[-1]  # the first tells which database it is
            raise StoreError(f"no copy was made, because the store is damaged ({cause}): look with `ww db check`")
        return copy.stat().st_size


@contextlib.contextmanager
def _reported(target: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError:
        raise UsageError(
            f"{target} exists already, and nothing is overwritten: give another name, or remove it first"
        ) from None
    except OSError as error:
        raise StoreError(f"no copy can be made at {target}: {error.strerror or error}") from error
