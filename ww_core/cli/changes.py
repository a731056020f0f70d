"""How tables and sentences tell a change."""

from __future__ import annotations

from ww_core.command import arrow


def told_change(change: float, verdict: str = "none") -> str:
    """Return a change with its sign, and what it means: ``+17.83 worse``."""
    return f"{change:+.4g}" if verdict == "none" else f"{change:+.4g} {verdict}"


def told_way(before: float, after: float, verdict: str = "none") -> str:
    """Return a value before and after, with the change: ``3.046 → 20.87 (+17.83 worse)``."""
    return f"{before:.4g} {arrow()} {after:.4g} ({told_change(after - before, verdict)})"
