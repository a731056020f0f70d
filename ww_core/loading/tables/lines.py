"""JSON lines: an object a line, one a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ww_core.errors import CorruptFileError
from ww_core.loading.json_text import parse_json
from ww_core.loading.tables.records import LARGEST_JSON
from ww_core.loading.tables.table import MOST_COLUMNS, CellRow, CellTable
from ww_core.loading.unpacked import unpacked_content

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ww_core.contracts.source import Source


class LineTable(CellTable):
    """A table in a file of JSON lines. Empty lines are passed over; a column that a line does not have is empty in it.

    Raises:
        SourceError: The file cannot be read.
        CorruptFileError: A line is not a JSON object whose values are texts, numbers, true, false and null.
    """

    unit = "line"

    def __init__(self, source: Source) -> None:
        self.label = source.label
        content = unpacked_content(source, LARGEST_JSON, "table in JSON lines")
        self._records: list[tuple[int, dict[str, Any]]] = []
        header: dict[str, None] = {}
        for number, line in enumerate(content.split(b"\n"), 1):
            if line.strip():
                record = parse_json(line, self.place(number), "JSON object", constant=float)
                if not isinstance(record, dict):
                    raise CorruptFileError(f"{self.place(number)}: an object of JSON is expected, as in the first line")
                self._records.append((number, record))
                if len(header) <= MOST_COLUMNS:
                    header |= dict.fromkeys(record)
        super().__init__(source.label, tuple(header))
        self._names = tuple(header)

    def _rows(self) -> Iterator[CellRow]:
        for number, record in self._records:
            cells = tuple(record.get(name) for name in self._names)
            for name, cell in zip(self.header, cells, strict=True):
                if isinstance(cell, (dict, list)):
                    kind = "an object" if isinstance(cell, dict) else "a list"
                    raise CorruptFileError(f"{self.place(number, name)}: a text or a number is expected, not {kind}")
            yield CellRow(number, cells)


def begins_with_object(head: bytes) -> bool:
    """Whether the first line of a file seems to be a whole object of JSON."""
    line = head.strip().partition(b"\n")[0].strip()
    return line.startswith(b"{") and line.endswith(b"}")
