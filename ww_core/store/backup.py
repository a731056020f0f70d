"""Backup: a copy of an SQLite store, made while others use it."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ww_core.errors import StoreError, UsageError
from ww_core.store.engine import Location, driver_of, explained

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
        UsageError: There is something at ``target`` already.
        StoreError: The copy cannot be written there, or the store is damaged.
    """
    if os.path.lexists(target):
        raise _in_the_way(target)
    driver = driver_of(connection)
    # Read first: the transaction now sees one state, and the copy does not begin anew when others write.
    driver.execute("SELECT count(*) FROM sqlite_master").fetchone()
    with _folder_beside(target) as folder:
        copy = folder / "copy.sqlite"
        with contextlib.closing(sqlite3.connect(copy, isolation_level=None)) as written:
            with explained(Location(target)):
                driver.backup(written)
                written.execute("PRAGMA journal_mode = DELETE")  # one file, which can be read in any folder
            (verdict,) = written.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise StoreError(f"no copy was made, because the store is damaged ({verdict}): look with `ww db check`")
        with _reported(target):
            _sync(copy)
            _put_in_place(copy, target)
            _sync(target.parent)
            return target.stat().st_size


def _in_the_way(target: Path) -> UsageError:
    return UsageError(f"{target} is there already, and nothing is overwritten: give another name, or remove it first")


@contextlib.contextmanager
def _folder_beside(target: Path) -> Iterator[Path]:
    """A folder on the same disk, which goes with all that is in it."""
    with _reported(target):
        folder = Path(tempfile.mkdtemp(prefix=".ww-backup-", dir=target.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _reported(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"no copy can be made at {target}: {error.strerror or error}") from error


def _sync(path: Path) -> None:
    """Let the disk have it all: what comes after a power cut is then the whole file, or none."""
    if os.name != "posix" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _put_in_place(copy: Path, target: Path) -> None:
    """Give the copy its name, unless somebody has taken it in the meantime."""
    try:
        try:
            os.link(copy, target)  # a rename would overwrite
        except FileExistsError:
            raise
        except OSError:  # a file system without links: the name is taken first
            os.close(os.open(target, os.O_CREAT | os.O_EXCL))
            copy.replace(target)
    except FileExistsError:
        raise _in_the_way(target) from None
