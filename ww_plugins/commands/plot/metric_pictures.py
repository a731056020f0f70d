"""The pictures of ``ww plot depth`` and ``ww plot histogram``. They need the extra ``plot``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ww_core.command import printable
from ww_core.command.picture import save_plot
from ww_plugins.commands.plot.esd import COLORS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from ww_plugins.commands.plot.by_layer import MetricByLayer

MARKERS = "osD^vP*X"
LONGEST_NAME = 40
MOST_TICKS = 30


def draw_depth(series: Sequence[MetricByLayer], metric: str, file: Path) -> None:
    """Draw a metric over the depth of networks, a line for each.

    Raises:
        OutputError: The file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 4.0), layout="constrained")
    axes = figure.subplots()
    for number, own in enumerate(series):
        color, marker = COLORS[number % len(COLORS)], MARKERS[number % len(MARKERS)]
        depths = np.arange(1, own.values.size + 1)
        axes.plot(depths, own.values, marker, color=color, markersize=4, linestyle="-", linewidth=0.8, label=_told(own))
    axes.set_xlabel("depth: matrices in the order of the layers")
    axes.set_ylabel(_quantity(metric, series), parse_math=False)
    if len(series) == 1 and len(series[0].places) <= MOST_TICKS:
        names = [_short(place) for place in series[0].places]
        axes.set_xticks(range(1, len(names) + 1), names, rotation=90, fontsize=7, parse_math=False)
    _finish(axes, series)
    save_plot(figure, file, "--output")


def draw_histogram(series: Sequence[MetricByLayer], metric: str, file: Path) -> None:
    """Draw how a metric is spread over the layers of networks, a histogram for each with the same bins.

    Raises:
        OutputError: The file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 4.0), layout="constrained")
    axes = figure.subplots()
    together = np.concatenate([own.values[np.isfinite(own.values)] for own in series])
    count = int(np.clip(2.0 * np.sqrt(together.size / len(series)), 5, 60))
    bins = np.histogram_bin_edges(together, count)
    for number, own in enumerate(series):
        values, color = own.values[np.isfinite(own.values)], COLORS[number % len(COLORS)]
        heights, _ = np.histogram(values, bins)
        alone = len(series) == 1
        axes.stairs(
            heights, bins, color=color, fill=alone, alpha=0.5 if alone else 1.0, linewidth=1.6, label=_told(own)
        )
        axes.axvline(float(values.mean()), color=color, linewidth=1.0, linestyle="--")
    axes.set_xlabel(f"{_quantity(metric, series)}; dashed: mean", parse_math=False)
    axes.set_ylabel("matrices")
    _finish(axes, series)
    save_plot(figure, file, "--output")


def _finish(axes: Axes, series: Sequence[MetricByLayer]) -> None:
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    if len(series) == 1:
        axes.set_title(_told(series[0]), fontsize=10, parse_math=False)
        return
    for text in axes.legend(fontsize=8, frameon=False).get_texts():
        text.set_parse_math(False)  # a name is no formula, whatever dollars it has


def _quantity(metric: str, series: Sequence[MetricByLayer]) -> str:
    unit = next((own.unit for own in series if own.unit), "")
    return f"{printable(metric)} ({printable(unit)})" if unit else printable(metric)


def _told(own: MetricByLayer) -> str:
    return f"{_short(own.name)}, {_short(own.origin)}"


def _short(text: str) -> str:
    shown = printable(text)
    return shown if len(shown) <= LONGEST_NAME else f"...{shown[3 - LONGEST_NAME :]}"
