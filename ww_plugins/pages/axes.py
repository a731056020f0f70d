"""Axes of charts: from numbers to places on the paper, and the ticks between."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

Scale = Literal["linear", "log"]

STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
"""Distances of ticks, times a power of ten."""

MARGIN = 0.04
"""Of the range, on both sides of the numbers of a linear axis."""


SHORTEST, LONGEST = 1e-3, 1e4
"""Powers of ten that are written out, unless an axis has others too."""

RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

NARROWEST = 1e-300
"""A range that is not wider is that of one number."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a chart.

    Attributes:
        low: Number at its start, finite; positive on a logarithmic axis.
        high: Number at its end, larger.
        start: Place of its start on the paper.
        end: Place of its end.
        scale: ``linear`` or ``log``.
    """

    low: float
    high: float
    start: float
    end: float
    scale: Scale = "linear"

    @classmethod
    def around(cls, values: npt.NDArray[np.float64], start: float, end: float, scale: Scale = "linear") -> Axis:
        """Return an axis that holds the finite ones of some numbers, on a logarithmic axis the positive ones.

        Args:
            values: Any shape; without a number in it the axis leads from 0 to 1, or from 1 to 10.
            start: Place of its start on the paper.
            end: Place of its end.
            scale: ``linear`` or ``log``.
        """
        known = values[np.isfinite(values) & ((values > 0) | (scale == "linear"))]
        if not known.size:
            return cls(1.0, 10.0, start, end, scale) if scale == "log" else cls(0.0, 1.0, start, end, scale)
        low, high = float(known.min()), float(known.max())
        if scale == "log":
            return cls(*((low, high) if low < high else _around_one(low, scale)), start, end, scale)
        if not high / 2 - low / 2 > NARROWEST:
            return cls(*_around_one(low, scale), start, end, scale)
        largest = float(np.finfo(np.float64).max)
        room = MARGIN * (high - low) if math.isfinite(high - low) else 0.0
        return cls(max(low - room, -largest), min(high + room, largest), start, end, scale)

    def places(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the places of numbers, clipped to the axis; NaN for what is not finite."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            if self.scale == "log":
                low, high = math.log10(self.low), math.log10(self.high)
                share = (np.log10(values) - low) / (high - low)
            else:
                # Halved, so that no difference is beyond what a number can be.
                share = (values / 2 - self.low / 2) / (self.high / 2 - self.low / 2)
        places = self.start + np.clip(share, 0.0, 1.0) * (self.end - self.start)
        return np.where(np.isfinite(values), places, np.nan)

    def place(self, value: float) -> float:
        """Return the place of one number."""
        return float(self.places(np.array([value]))[0])

    def ticks(self, most: int = 6) -> list[tuple[float, str]]:
        """Return numbers at which the axis has a tick, with their texts: at most about so many."""
        ticks = _decades(self.low, self.high, most) if self.scale == "log" else _round(self.low, self.high, most)
        if self.scale == "log" and len(ticks) > 2 and not SHORTEST <= ticks[0] < ticks[-1] <= LONGEST:
            return [(tick, _power(tick)) for tick in ticks]
        return [(tick, f"{tick:.4g}") for tick in ticks]


def _power(value: float) -> str:
    """Return a power of ten as it is written by hand: 10⁻⁸."""
    return "10" + str(round(math.log10(value))).translate(RAISED)


def _around_one(value: float, scale: Scale) -> tuple[float, float]:
    """Return ends around a single number."""
    if scale == "log":
        return max(value / 2, 5e-324), min(value * 2, float(np.finfo(np.float64).max))
    room = max(abs(value) / 10, 10 * NARROWEST) if value else 1.0
    return (value - room, value + room) if math.isfinite(value + room - (value - room)) else (-abs(value), abs(value))


def _round(low: float, high: float, most: int) -> list[float]:
    width = high / most - low / most
    power = 10.0 ** math.floor(math.log10(width)) if width > 0 else 0.0
    if not power > 0 or not math.isfinite(power):
        return [low, high]
    step = next((own * power for own in STEPS if own * power >= width * (1 - 1e-9)), 10.0 * power)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    if last - first > 4 * most:  # a range so narrow that numbers cannot tell it apart
        return [low, high]
    return [number * step for number in range(first, last + 1)]


def _decades(low: float, high: float, most: int) -> list[float]:
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    if last - first < 1:
        return [low, high]
    every = -(-(last - first + 1) // most)
    return [10.0**number for number in range(first, last + 1, every) if 10.0**number > 0]
