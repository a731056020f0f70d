"""How tables show a statistic."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ww_core.command import cell

if TYPE_CHECKING:
    from ww_core.domain.statistic import Statistic


def shown_statistic(own: Statistic) -> str:
    """Return a statistic as tables show it, with its interval, or why it is missing."""
    if not math.isfinite(own.value):
        return own.reason
    interval = f" [{own.low:.3g}, {own.high:.3g}]" if math.isfinite(own.low) else ""
    return f"{cell(own.value)}{interval}"


def shown_chance(chance: float) -> str:
    """Return a chance as tables show it; nothing where there is none."""
    return f"{chance:.2g}" if math.isfinite(chance) else ""
