"""What lies beside an SQLite file and is part of it: its journal, its log, and the memory that its users share.

SQLite believes what it finds there. A journal of a transaction over several files names another one, which SQLite
deletes once it has undone the transaction; and it writes through a link as it does into a file.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from pathlib import Path

from ww_core.errors import StoreError

BESIDE = ("-journal", "-wal", "-shm")

_ENDS_WITH_A_NAME = bytes.fromhex("d9d505f920a163d7")  # the last bytes of a journal that names another file


def check_journals(path: Path) -> None:
    """Refuse what lies beside a store, or the place of one, and would have SQLite change another file.

    Looked at without opening anything but a journal: nothing of the store's own locks is touched.

    Raises:
        StoreError: A journal names another file; or a part is a link, a pipe or a device.
    """
    for ending in BESIDE:
        part = _part(path, ending)
        try:
            mode = os.lstat(part).st_mode
        except OSError:
            continue
        # A folder is none that SQLite could write into.
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise StoreError(
                f"{part} is a link, a pipe or a device, which SQLite would write to as a part of the store: "
                f"remove {part.name}, and copy the store anew if it was not closed"
            )
        if ending == "-journal" and stat.S_ISREG(mode) and _names_a_file(part):
            raise StoreError(
                f"{part} names another file, which SQLite would delete, and ww makes no such journal: open this store "
                f"with no program; take another copy of it, or remove {part.name} and look with `ww db check`"
            )


def remove_empty_log(path: Path) -> None:
    """Remove the log of a store if nothing is in it and nobody has the store open, and the shared memory with it.

    SQLite makes both for whoever reads, and lets a connection that may only read remove neither. One that may write
    does so when it is the last to close; it takes the locks for it, and writes nothing, as there is nothing to write.
    """
    with contextlib.suppress(OSError, sqlite3.Error):  # they do no harm where they must stay
        status = os.lstat(_part(path, "-wal"))
        if stat.S_ISREG(status.st_mode) and not status.st_size:
            uri = path.as_uri() + "?mode=rw"
            with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=0)) as connection:
                connection.execute("PRAGMA user_version").fetchone()  # before the first question no file is open


def _part(path: Path, ending: str) -> Path:
    whole = os.path.realpath(path) if path.is_symlink() else str(path)  # SQLite looks beside the file behind a link
    return Path(whole + ending)


def _names_a_file(journal: Path) -> bool:
    try:
        with journal.open("rb") as file:
            file.seek(-len(_ENDS_WITH_A_NAME), os.SEEK_END)
            return file.read() == _ENDS_WITH_A_NAME
    except OSError:  # shorter, or not to be read: then SQLite cannot either
        return False
