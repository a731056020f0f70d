"""Files and folders of this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import ww_core as ww
from ww_core.loading.files import FileSource, why_missing
from ww_core.loading.names import shown_address


@dataclass(frozen=True)
class Files(ww.Opener):
    """Plain paths and ``file:`` URIs."""

    name = "local"
    description = "files and folders of this machine"
    schemes = ("", "file")

    def open(self, address: str) -> ww.Source:
        """Return the file or folder that is there."""
        path = Path(_path_of(address) if address[:5].lower() == "file:" else address)
        try:
            if not path.exists():
                raise ww.SourceError(f"{shown_address(str(path))}: {why_missing(path)}")
        except (OSError, ValueError) as error:
            raise ww.SourceError(f"{address!r} cannot be looked at: {getattr(error, 'strerror', error)}") from None
        return FileSource(path)


def _path_of(address: str) -> str:
    """Return the path of a ``file:`` URI.

    Raises:
        SourceError: It names another machine or no path, or holds what must be written as %3F, %23, %09 or %0A.
    """
    parts = urlsplit(address)
    if parts.netloc.lower() not in {"", "localhost"}:
        raise ww.SourceError(
            f"{address!r} names a file of the machine {parts.netloc!r}: only files of this machine are opened"
        )
    if not parts.path or parts.query or parts.fragment or any(mark in address for mark in "?#\t\r\n"):
        raise ww.SourceError(
            f"{address!r} is not an address of a file: write ? as %3F and # as %23, or name the plain path"
        )
    return unquote(parts.path)
