"""The ways to see a convolution as matrices, side by side: ``slice``, ``pool``, ``stack`` and ``fft``."""

from ww_plugins.commands.compare_svd.compare import compare_svd
from ww_plugins.commands.compare_svd.comparison import (
    ComparedLayer,
    Comparison,
    Disagreement,
    ExtractorResult,
    Law,
    Tail,
)

__all__ = ["ComparedLayer", "Comparison", "Disagreement", "ExtractorResult", "Law", "Tail", "compare_svd"]
