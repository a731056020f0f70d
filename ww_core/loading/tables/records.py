"""JSON records: a list of objects, one a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ww_core.errors import CorruptFileError
from ww_core.loading.json_text import parse_json
from ww_core.loading.tables.table import MOST_COLUMNS, CellRow, CellTable
from ww_core.loading.unpacked import unpacked_content

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ww_core.contracts.source import Source

LARGEST_JSON = 2**26
"""Bytes of such a file, once it is unpacked."""


class RecordTable(CellTable):
    """A table in a file of JSON. A column that a record does not have is empty in it.

    Raises:
        SourceError: The file cannot be read.
        CorruptFileError: It is not JSON, or no list of objects whose values are texts, numbers, true, false and null.
    """

    unit = "record"

    def __init__(self, source: Source) -> None:
        self.label = source.label
        content = unpacked_content(source, LARGEST_JSON, "table in JSON")
        self._records = _checked(parse_json(content, self.label, "table in JSON", constant=float), self.label)
        header: dict[str, None] = {}
        for record in self._records:
            header |= dict.fromkeys(record)
            if len(header) > MOST_COLUMNS:
                break
        super().__init__(source.label, tuple(header))
        self._names = tuple(header)

    def _rows(self) -> Iterator[CellRow]:
        for number, record in enumerate(self._records, 1):
            cells = tuple(record.get(name) for name in self._names)
            for name, cell in zip(self.header, cells, strict=True):
                if isinstance(cell, (dict, list)):
                    kind = "an object" if isinstance(cell, dict) else "a list"
                    raise CorruptFileError(f"{self.place(number, name)}: a text or a number is expected, not {kind}")
            yield CellRow(number, cells)


def _checked(content: Any, label: str) -> list[dict[str, Any]]:
    if isinstance(content, dict):
        raise CorruptFileError(
            f"{label}: a list of objects is expected, one a row, not an object: write a data frame by "
            "to_json(..., orient='records')"
        )
    if not isinstance(content, list) or not all(isinstance(record, dict) for record in content):
        raise CorruptFileError(f"{label}: a list of objects is expected, one a row")
    if not content:
        raise CorruptFileError(f"{label}: the list is empty")
    return content
