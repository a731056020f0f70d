"""The picture of ``ww compare-svd``. It needs the extra ``plot``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ww_core.errors import MissingExtraError, OutputError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from ww_core.domain.comparison import Comparison, View

FORMATS = (".png", ".svg", ".pdf")
COLORS = ("#999999", "#0072b2", "#009e73", "#e69f00", "#d55e00")
"""By extractor; they differ for the colour-blind too."""

MARKERS = "osD^v"


def check_plot(file: Path) -> None:
    """Raise before anything is computed if no picture can be drawn there.

    Raises:
        UsageError: The name does not end as a picture's does, or its folder is missing.
        MissingExtraError: matplotlib is not installed.
    """
    if file.suffix.lower() not in FORMATS:
        raise UsageError(f"--plot {file}: a picture's name ends in {', '.join(FORMATS)}")
    if not file.parent.is_dir():
        raise UsageError(f"--plot {file}: there is no folder {file.parent}")
    try:
        import matplotlib.figure  # noqa: F401 - whether it is there
    except ImportError:
        raise MissingExtraError("matplotlib is not installed: pip install 'ww[plot]'") from None


def draw(comparison: Comparison, file: Path) -> None:
    """Draw alpha, spectral norm, stable rank and seconds over the layers, by extractor.

    Raises:
        OutputError: The file cannot be written.
    """
    from matplotlib.figure import Figure

    names = [layer.name for layer in comparison.layers]
    figure = Figure(figsize=(max(7.0, 2.5 + 0.32 * len(names)), 11.0), layout="constrained")
    axes = figure.subplots(4, 1, sharex=True)
    panels: tuple[tuple[Any, str, str], ...] = (
        (axes[0], "alpha, with its standard error", "linear"),
        (axes[1], "spectral norm", "log"),
        (axes[2], "stable rank", "log"),
        (axes[3], "seconds", "log"),
    )
    for place, extractor in enumerate(comparison.extractors):
        views = [
            (at, view)
            for at, layer in enumerate(comparison.layers)
            for view in layer.views
            if view.extractor == extractor
        ]
        shift = 0.12 * (place - (len(comparison.extractors) - 1) / 2)
        style = {"color": COLORS[place], "marker": MARKERS[place], "markersize": 5, "linestyle": "none"}
        for axis, numbers in zip(axes, zip(*(_numbers(view) for _, view in views), strict=True), strict=False):
            heights = [number for number, _ in numbers]
            errors = [error for _, error in numbers]
            axis.errorbar([at + shift for at, _ in views], heights, yerr=errors, label=extractor, elinewidth=1, **style)
    for axis, title, scale in panels:
        axis.set_ylabel(title)
        axis.set_yscale(scale)
        axis.grid(axis="y", color="#dddddd", linewidth=0.6)
        axis.set_axisbelow(True)
    for edge in (2.0, 6.0):
        axes[0].axhline(edge, color="#666666", linewidth=0.8, linestyle=":")
    axes[0].legend(ncols=len(comparison.extractors), loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
    axes[-1].set_xticks(range(len(names)), names, rotation=90, fontsize=8)
    axes[-1].set_xlim(-0.6, len(names) - 0.4)
    figure.suptitle(f"{comparison.model}@{comparison.version}")
    try:
        figure.savefig(file, dpi=130)
    except OSError as error:
        raise OutputError(f"--plot {file} cannot be written: {error.strerror or error}") from error


def _numbers(view: View) -> list[tuple[float, float]]:
    """Height and error by panel; NaN, which is not drawn, for what has no value."""
    tail = view.tail
    return [
        (tail.alpha, tail.sigma) if tail else (math.nan, 0.0),
        (view.spectral_norm, 0.0),
        (math.nan if view.stable_rank is None else view.stable_rank, 0.0),
        (view.seconds or math.nan, 0.0),
    ]
