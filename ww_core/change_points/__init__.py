"""Pure functions on arrays: in which version a value stepped from one level to another. Numpy and scipy only."""

from __future__ import annotations

from ww_core.change_points.piecewise import piecewise_constant
from ww_core.change_points.steps import Step, find_steps, find_suspects

__all__ = ["Step", "find_steps", "find_suspects", "piecewise_constant"]
