"""The picture of ``ww compare-svd``. It needs the extra ``plot``."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

from ww_core.command import printable
from ww_core.command.picture import save_plot

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

    from ww_plugins.commands.compare_svd.comparison import Comparison, ExtractorResult

COLORS = ("#999999", "#0072b2", "#009e73", "#e69f00", "#d55e00")
"""By extractor; they differ for the colour-blind too."""

MARKERS = "osD^v"
PANELS = ("alpha, with its standard error", "spectral norm", "stable rank", "seconds")
WIDEST = 360
"""Layers that the widest picture has room for; more of them stand closer, and not all have their names."""

LONGEST_NAME = 48
SMALLEST, LARGEST = 1e-100, 1e100
"""What is drawn: matplotlib looks for ticks far beyond the data, and must find numbers there."""


def draw(comparison: Comparison, file: Path) -> None:
    """Draw alpha, spectral norm, stable rank and seconds over the layers, by extractor.

    Raises:
        OutputError: The file cannot be written.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of extractors that nothing is drawn of
        save_plot(_figure(comparison), file)


def _figure(comparison: Comparison) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogFormatter

    from ww_plugins.metrics.tails import warning

    names = [_shortened(layer.name) for layer in comparison.layers]
    figure = Figure(figsize=(max(7.0, 2.5 + 0.32 * min(len(names), WIDEST)), 11.0), layout="constrained")
    axes = figure.subplots(len(PANELS), 1, sharex=True)
    for place, extractor in enumerate(comparison.extractors):
        results = [
            (at, result)
            for at, layer in enumerate(comparison.layers)
            for result in layer.results
            if result.extractor == extractor
        ]
        shift = 0.12 * (place - (len(comparison.extractors) - 1) / 2)
        style = {"color": COLORS[place], "marker": MARKERS[place], "markersize": 5, "linestyle": "none"}
        for axis, numbers in zip(axes, zip(*(_numbers(result) for _, result in results), strict=True), strict=False):
            heights = [number for number, _ in numbers]
            errors = [error for _, error in numbers]
            places = [at + shift for at, _ in results]
            axis.errorbar(places, heights, yerr=errors, label=extractor, elinewidth=1, **style)
    thresholds = {parameter.name: parameter.default for parameter in warning.parameters}
    for threshold in (thresholds["over_trained"], thresholds["under_trained"]):
        axes[0].axhline(threshold, color="#666666", linewidth=0.8, linestyle=":")
    for axis, title in zip(axes, PANELS, strict=True):
        axis.set_ylabel(title)
        if math.isfinite(axis.dataLim.minposy):  # else nothing is drawn, and no scale fits
            axis.set_yscale("log")
            axis.yaxis.set_major_formatter(LogFormatter())
            axis.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1.0, 0.5)))
        axis.grid(axis="y", color="#dddddd", linewidth=0.6)
        axis.set_axisbelow(True)
    axes[0].legend(ncols=len(comparison.extractors), loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
    named = range(0, len(names), math.ceil(len(names) / WIDEST))
    # A name is no formula, whatever dollars it has.
    axes[-1].set_xticks(named, [names[at] for at in named], rotation=90, fontsize=8, parse_math=False)
    axes[-1].set_xlim(-0.6, len(names) - 0.4)
    figure.suptitle(f"{_shortened(comparison.model)}@{_shortened(comparison.version)}", parse_math=False)
    return figure


def _shortened(name: str) -> str:
    """A name that leaves room for the picture: its end tells more than its beginning."""
    shown = printable(name)
    return shown if len(shown) <= LONGEST_NAME else f"...{shown[3 - LONGEST_NAME :]}"


def _numbers(result: ExtractorResult) -> list[tuple[float, float]]:
    """Height and error by panel; NaN, which is not drawn, for what has no value or none that can be drawn."""
    tail = result.tail
    others = (result.spectral_norm, result.stable_rank or 0.0, result.seconds)
    return [
        (tail.alpha, tail.sigma) if tail else (math.nan, 0.0),
        *((number if SMALLEST < number < LARGEST else math.nan, 0.0) for number in others),
    ]
