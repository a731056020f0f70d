"""Names in a store, read at a glance: for completion in a shell, which cannot wait for SQLAlchemy.

Only files of SQLite are looked at, never a server. Nothing is made or changed, and what cannot be read has no names.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from pathlib import Path

MOST = 2_000
"""Names that are read at most."""

SECONDS = 0.15
"""How long one look may take: the file may come from somebody else."""

STEPS = 1_000
"""Instructions of SQLite's between two looks at the clock."""


def models(location: str) -> list[str]:
    """Return the names of models, those of reported ones too."""
    return _names(location, "SELECT name FROM model ORDER BY name")


def versions(location: str, model: str) -> list[str]:
    """Return the labels of a model's versions, in order."""
    query = "SELECT label.name FROM label JOIN model ON model.id = model_id WHERE model.name = ? ORDER BY position"
    return _names(location, query, model)


def layers(location: str, model: str, version: str = "") -> list[str]:
    """Return the names of a model's layers, of one version or of all."""
    query = """
        SELECT layer.name FROM layer
        JOIN label ON label.structure_id = layer.structure_id
        JOIN model ON model.id = label.model_id
        WHERE model.name = ? AND (label.name = ? OR ? = '')
        GROUP BY layer.name ORDER BY min(layer.position)
    """
    return _names(location, query, model, version, version)


def columns(location: str) -> list[str]:
    """Return the names of columns that something was computed of."""
    return _names(location, "SELECT DISTINCT name FROM metric_column ORDER BY name")


def series(location: str) -> list[str]:
    """Return the names of series."""
    return _names(location, "SELECT name FROM series ORDER BY name")


def _names(location: str, query: str, *arguments: str) -> list[str]:
    text = location.removeprefix("sqlite:///")
    if "://" in text or text == ":memory:":
        return []
    end = time.monotonic() + SECONDS
    try:
        path = Path(text).absolute()
        # Without a journal nobody writes, and to read as if somebody did would leave files beside the store.
        uri = path.as_uri() + ("?mode=ro" if Path(f"{path}-wal").exists() else "?mode=ro&immutable=1")
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=SECONDS)) as connection:
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.set_progress_handler(lambda: time.monotonic() > end, STEPS)
            found = connection.execute(query, arguments).fetchmany(MOST)
    except (sqlite3.Error, OSError, ValueError):
        return []
    return [name for (name,) in found if isinstance(name, str)]
