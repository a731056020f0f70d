"""What columns mean, as the metrics say that are installed here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ww_core as ww

if TYPE_CHECKING:
    from ww_core.domain.report import ReportColumn


class Meanings:
    """The sentences that metrics say of their columns.

    Args:
        registry: The plugins that are installed.
    """

    def __init__(self, registry: ww.Registry) -> None:
        self._said = {
            (owned.key, owned.object.version, column.name): column.doc or owned.object.summary
            for owned in registry.quantities
            for column in owned.object.columns
        }

    def of(self, column: ReportColumn) -> str:
        """Return what a column means; of a metric that is not installed in this version, its name."""
        said = self._said.get((column.metric, column.version, column.column), "")
        return said.replace("``", "") or f"{column.metric}, version {column.version}, which is not installed here"

    def note(self, column: ReportColumn) -> str:
        """Return what a column means, with its unit and which direction is better."""
        unit = f"; unit: {column.unit}" if column.unit else ""
        better = f"; {column.better} is better" if column.better != "none" else ""
        return f"{self.of(column).rstrip('.')}{unit}{better}."
