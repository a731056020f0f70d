"""What came of an export or an import: plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

VALUE_COLUMNS: Mapping[str, type] = {
    "model": str,
    "version": str,
    "step": int,
    "position": int,
    "created_at": str,
    "digest": str,
    "profile": str,
    "scope": str,
    "layer": str,
    "extractor": str,
    "matrix_index": int,
    "column_name": str,
    "value": float,
    "text": str,
    "state": str,
    "better": str,
    "unit": str,
}
"""Columns of a table of values, those of the view ``v_metrics``, with their types."""


@dataclass(frozen=True, slots=True)
class TableExport:
    """A table of values that was written to a file.

    Attributes:
        path: The file.
        rows: How many rows it has, short of a header.
        bytes: How large it is.
    """

    path: str
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """A file of an export folder, which holds the rows of one table of the store.

    Attributes:
        columns: Names of its columns, in the order of the fields of a line.
        rows: How many rows it has, each on a line of its own.
        bytes: How large it is.
        blake3: Digest of its bytes, 64 hex digits.
    """

    columns: tuple[str, ...]
    rows: int
    bytes: int
    blake3: str


@dataclass(frozen=True, slots=True)
class FolderExport:
    """A folder that another store takes without loss.

    Attributes:
        path: The folder.
        digest: Content address of all rows in it: equal where the content is equal, whatever database it came from.
        files: Its files by the names of the tables.
    """

    path: str
    digest: str
    files: Mapping[str, ExportedFile]

    @property
    def rows(self) -> int:
        """Rows of all files."""
        return sum(file.rows for file in self.files.values())

    @property
    def bytes(self) -> int:
        """Bytes of all files, short of the manifest."""
        return sum(file.bytes for file in self.files.values())


@dataclass(frozen=True, slots=True)
class FolderImport:
    """What a store took of an export folder.

    Attributes:
        path: The folder.
        digest: Content address of all rows in it.
        rows: How many rows the folder has.
        added: How many of them are new in the store, by table; without those of which there are none.
    """

    path: str
    digest: str
    rows: int
    added: Mapping[str, int]
