"""A statistic over models, with its interval."""

from __future__ import annotations

import math
from typing import Any, NamedTuple


class Statistic(NamedTuple):
    """A number that was computed from several models.

    Attributes:
        value: The number; NaN where it is undefined.
        low: Lower end of its bootstrap interval; NaN where there is none.
        high: Upper end.
        n: How many models it rests on.
        reason: Why the number or its interval is missing; empty where nothing is.
    """

    value: float
    low: float
    high: float
    n: int
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, None for what is not there."""
        return {
            "value": finite(self.value),
            "low": finite(self.low),
            "high": finite(self.high),
            "n": self.n,
            "reason": self.reason,
        }


class Agreement(NamedTuple):
    """How far two numbers put models in the same order.

    Attributes:
        tau: Kendall's tau-b.
        rho: Spearman's rho.
        chance: Chance of a tau so far from 0, were the order random; NaN where it is not known.
    """

    tau: Statistic
    rho: Statistic
    chance: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {"tau": self.tau.to_dict(), "rho": self.rho.to_dict(), "chance": finite(self.chance)}


def finite(number: float) -> float | None:
    """Return a finite number, and None for another: JSON knows no other numbers."""
    return number if math.isfinite(number) else None
