"""Entry points and the variables that block them: names only, so that ``ww --help`` imports nothing."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

BLOCK_VARIABLE = "WW_BLOCK_PLUGINS"
"""Environment variable: plugins that are not loaded, by name or distribution, separated by commas."""

ONLY_VARIABLE = "WW_ONLY_PLUGINS"
"""Environment variable: the only installed plugins that are loaded besides ww's own; set and empty loads none."""

OWN_DISTRIBUTION = "ww-core"
"""What pip installs; the command is ``ww``, and so is the group of entry points."""


def is_own(distribution: str) -> bool:
    """Tell whether a distribution is ww's own: one name has several spellings, as ``ww_core`` (PEP 503)."""
    return re.sub(r"[-_.]+", "-", distribution).lower() == OWN_DISTRIBUTION


def blocked_by(name: str, distribution: str, environ: Mapping[str, str]) -> str:
    """Return the variable that blocks a plugin; empty if none does. Files and objects have no distribution."""
    names = {name, distribution} - {""}
    if names & _listed(environ.get(BLOCK_VARIABLE, "")):
        return BLOCK_VARIABLE
    installed = bool(distribution) and not is_own(distribution)
    if installed and ONLY_VARIABLE in environ and not names & _listed(environ[ONLY_VARIABLE]):
        return ONLY_VARIABLE
    return ""


def command_entry_points() -> dict[str, importlib.metadata.EntryPoint]:
    """Return the entry points in group ``ww.commands`` that are not blocked, by name, sorted.

    Of several distributions with one name, ww itself has it, else the first in alphabetical order.
    """
    points: dict[str, importlib.metadata.EntryPoint] = {}
    for point in all_command_entry_points():
        if not blocked_by(point.name, distribution_of(point), os.environ):
            points.setdefault(point.name, point)
    return points


def all_command_entry_points() -> list[importlib.metadata.EntryPoint]:
    """Return every entry point in group ``ww.commands``, each once: by name, ww's own first, then by distribution."""
    points = importlib.metadata.entry_points(group="ww.commands")
    distinct = {(point.name, distribution_of(point), point.value): point for point in points}
    ordered = sorted(distinct, key=lambda key: (key[0], not is_own(key[1]), key))
    return [distinct[key] for key in ordered]


def distribution_of(point: importlib.metadata.EntryPoint) -> str:
    """Return the name of the distribution that an entry point came with; damaged metadata has none."""
    return (point.dist and _told(point.dist)[0]) or ""


def version_of(point: importlib.metadata.EntryPoint) -> str:
    """Return the version of the distribution that an entry point came with; damaged metadata has none."""
    return (point.dist and _told(point.dist)[1]) or ""


@functools.lru_cache(maxsize=64)
def _told(distribution: importlib.metadata.Distribution) -> tuple[str | None, str | None]:
    """Return name and version: the metadata is a file that is read, and parsed, whenever something of it is asked."""
    return distribution.name, distribution.version


def _listed(text: str) -> set[str]:
    return {name.strip() for name in text.split(",") if name.strip()}
