"""Where the store is that nobody named; without SQLAlchemy, for completion in a shell asks too."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def default_location() -> str:
    """Where the command line keeps its store: WW_STORE, else one file in the user's data directory."""
    return os.environ.get("WW_STORE") or str(Path(platformdirs.user_data_dir("ww", appauthor=False)) / "ww.sqlite")
