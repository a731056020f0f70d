"""Pure functions on arrays: whether two numbers order models alike, and the line through both. Numpy and scipy only."""

from __future__ import annotations

from ww_core.rank_statistics.correlation import (
    Correlation,
    GroupedCorrelation,
    Pairs,
    correlation,
    grouped_correlation,
)
from ww_core.rank_statistics.disagreement import Disagreement, disagreement
from ww_core.rank_statistics.estimate import Estimate, Undefined
from ww_core.rank_statistics.line import Coefficient, Line, fit_line

__all__ = [
    "Coefficient",
    "Correlation",
    "Disagreement",
    "Estimate",
    "GroupedCorrelation",
    "Line",
    "Pairs",
    "Undefined",
    "correlation",
    "disagreement",
    "fit_line",
    "grouped_correlation",
]
