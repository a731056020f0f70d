"""Files and folders of this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import ww_core as ww
from ww_core.loading.files import FileSource


@dataclass(frozen=True)
class Files(ww.Opener):
    """Plain paths and ``file:`` URIs."""

    name = "local"
    description = "files and folders of this machine"
    schemes = ("", "file")

    def open(self, address: str) -> ww.Source:
        """Return the file or folder that is there."""
        path = Path(unquote(urlsplit(address).path) if address.startswith("file:") else address)
        try:
            if not path.exists():
                raise ww.SourceError(f"{path}: there is no such file or folder")
        except (OSError, ValueError) as error:
            raise ww.SourceError(f"{address!r} cannot be looked at: {error}") from None
        return FileSource(path)
