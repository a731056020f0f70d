"""Built-in importers: tables of results that others made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ww_core as ww
from ww_plugins.importers.mapped import MappedImporter
from ww_plugins.importers.reports import ReportImporter
from ww_plugins.importers.summaries import SummaryImporter
from ww_plugins.importers.weightwatcher import WeightWatcherImporter

if TYPE_CHECKING:
    from collections.abc import Sequence


@ww.hookimpl
def ww_register_importers() -> Sequence[ww.Importer]:
    """Register the importers, none of which needs a package beyond ww's own."""
    return [WeightWatcherImporter(), SummaryImporter(), ReportImporter(), MappedImporter()]
