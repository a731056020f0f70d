"""Names of what installed plugins give by one hook, read without the others: quick enough for completion."""

from __future__ import annotations

import importlib.metadata
import os
from typing import Any

from ww_core.plugins.command_summary import source_of
from ww_core.plugins.entry_points import blocked_by, distribution_of
from ww_core.plugins.isolation import forgiven


def names_of_hook(hook: str) -> list[str]:
    """Return the names of what plugins give; of metrics those of their columns.

    Only a plugin whose module names the hook in its source is imported. What is broken has no names.
    """
    names: list[str] = []
    for point in importlib.metadata.entry_points(group="ww"):
        with forgiven():
            if not blocked_by(point.name, distribution_of(point), os.environ) and hook in source_of(point):
                for thing in getattr(point.load(), hook)():
                    names += _names(thing)
    return names


def _names(thing: Any) -> list[str]:
    columns = getattr(thing, "columns", None)
    return [str(thing.name)] if columns is None else [str(column.name) for column in columns]
