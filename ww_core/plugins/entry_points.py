"""Entry points of command plugins: names only, so that ``ww --help`` imports nothing."""

from __future__ import annotations

import importlib.metadata


def command_entry_points() -> dict[str, importlib.metadata.EntryPoint]:
    """Return the entry points in group ``ww.commands`` by name, sorted."""
    points = importlib.metadata.entry_points(group="ww.commands")
    return {point.name: point for point in sorted(points, key=lambda point: point.name)}
