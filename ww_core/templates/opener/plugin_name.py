"""An opener: `object-name://FILE` is a file of one folder, wherever a command is run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import ww_core as ww
from ww_core.loading.files import FileSource

FOLDER = "OBJECT_NAME_FOLDER"
"""Environment variable: the folder."""


@dataclass(frozen=True)
class ObjectName(ww.Opener):
    """Opens what lies in a folder of this machine, and nothing outside of it."""

    name = "object-name"
    description = "files of the folder that OBJECT_NAME_FOLDER names"
    schemes = ("object-name",)

    def open(self, address: str) -> ww.Source:
        """Return the file or folder that is there.

        Raises:
            SourceError: There is none, it lies outside of the folder, or the environment names no folder.
        """
        if not (named := os.environ.get(FOLDER)):
            raise ww.SourceError(f"{address}: set {FOLDER} to the folder that it lies in")
        folder = Path(named).resolve()
        path = folder / address.partition("://")[2]
        if not path.resolve().is_relative_to(folder):
            raise ww.SourceError(f"{address}: this leads out of {folder}")
        if not path.exists():
            raise ww.SourceError(f"{address}: there is no such file or folder in {folder}")
        return FileSource(path)


@ww.hookimpl
def ww_register_openers() -> list[ww.Opener]:
    """The openers of this plugin."""
    return [ObjectName()]
