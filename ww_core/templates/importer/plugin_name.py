"""An importer: tables with the condition number of each layer, as CSV, TSV or JSON."""

from __future__ import annotations

from dataclasses import dataclass

import ww_core as ww
from ww_core.loading.tables import outcome_of, read_table, text_of

COLUMNS = ("model", "layer", "condition_number")


@dataclass(frozen=True)
class ObjectName(ww.Importer):
    """Reads tables with the columns `model`, `layer` and `condition_number`, in any order."""

    name = "object-name"
    description = "tables with the columns model, layer and condition_number"

    def probe(self, source: ww.Source) -> float:
        """Look at the header."""
        try:
            return float(set(COLUMNS) <= set(read_table(source).header))
        except ww.SourceError:  # no table, or no file
            return 0.0

    def read(self, source: ww.Source) -> ww.ReportedTable:
        """Read all rows.

        Raises:
            SourceError: It is not a table, or not one with these columns.
            CorruptFileError: A cell is no number; the message names its line.
        """
        table = read_table(source)
        if missing := [column for column in COLUMNS if column not in table.header]:
            raise ww.SourceError(f"{source.label}: the table has no column {missing[0]!r}")
        model, layer, number = map(table.header.index, COLUMNS)
        rows = []
        for row in table:
            try:
                values = {"condition_number": outcome_of(row.cells[number], "float")}
            except ValueError as error:
                raise ww.CorruptFileError(f"{table.place(row.number, 'condition_number')}: {error}") from None
            rows.append(ww.ReportedEntry(text_of(row.cells[model]), values, layer=text_of(row.cells[layer])))
        column = ww.ReportedColumn(
            name="condition_number",
            metric="object-name:condition_number",
            version="1",
            definition="Largest over smallest singular value of the layer's weight.",
            better="lower",
        )
        return ww.ReportedTable("", "", (column,), tuple(rows))  # its source and provider are said by who imports it


@ww.hookimpl
def ww_register_importers() -> list[ww.Importer]:
    """The importers of this plugin."""
    return [ObjectName()]
