"""Extras of ww: whether what one installs is there."""

from __future__ import annotations

import functools
import re
from importlib.metadata import PackageNotFoundError, requires, version

from ww_core.plugins.entry_points import OWN_DISTRIBUTION

_OF_AN_EXTRA = re.compile(r"([A-Za-z0-9._-]+).*;.*\bextra == ['\"]([\w-]+)['\"]")


def to_install(extra: str) -> str:
    """Return the command that installs an extra; empty if there is none, or all of it is installed."""
    return f"pip install '{OWN_DISTRIBUTION}[{extra}]'" if extra and not _is_installed(extra) else ""


@functools.cache
def _is_installed(extra: str) -> bool:
    try:
        requirements = requires(OWN_DISTRIBUTION) or ()
    except PackageNotFoundError:  # ww runs from a folder, and nobody knows
        return True
    told = map(_OF_AN_EXTRA.match, requirements)
    return all(map(_is_there, (own[1] for own in told if own is not None and own[2] == extra)))


def _is_there(distribution: str) -> bool:
    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True
