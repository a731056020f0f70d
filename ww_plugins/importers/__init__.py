"""Built-in importers: tables of results that others made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ww_core as ww
from ww_plugins.importers.mapped import MappedImporter

if TYPE_CHECKING:
    from collections.abc import Sequence


@ww.hookimpl
def ww_register_importers() -> Sequence[ww.Importer]:
    """Register the importers, none of which needs a package beyond ww's own."""
    return [MappedImporter()]
