"""The pictures of ``ww plot depth`` and ``ww plot histogram``. They need the extra ``plot``.

A picture has a row for each group of models, and a column for each metric. Sizes are such that it can be read at half a
page; models differ in marker or line as well as in colour.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ww_core.command.picture import save_plot
from ww_plugins.commands.plot.bins import round_bins
from ww_plugins.commands.plot.grid import Look, add_legend, quantity, short, subplots
from ww_plugins.commands.plot.legends import legend_label

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt
    from matplotlib.axes import Axes

    from ww_plugins.commands.plot.by_layer import MetricByLayer
    from ww_plugins.commands.plot.grid import Style

MOST_TICKS = 30
FEW = 4
"""Models in a panel whose means are drawn from edge to edge."""

CROWDED = 40
"""Layers from which on the markers become small."""


def draw_depth(found: Sequence[MetricByLayer], file: Path, look: Look | None = None) -> None:
    """Draw metrics over the depth of networks, a line for each.

    Where a layer has several matrices, each has a point, and the line leads through the means of the layers.

    Args:
        found: Metrics of models; several metrics have a panel each, side by side.
        file: The picture.
        look: How it is drawn.

    Raises:
        UsageError: There would be too many panels, or there is nothing to draw in the range.
        OutputError: The file cannot be written.
    """
    from matplotlib.ticker import MaxNLocator

    look = look or Look()
    grid = subplots(found, look, "over depth", height=2.1, share_depth=look.relative)
    for panel in grid.panels:
        look = panel.look
        for own, style in zip(panel.models, panel.styles, strict=True):
            _draw_line(panel.axes, own, style, look)
        if look.mark is not None:
            panel.axes.axhline(look.mark, color="#000000", linewidth=0.8, linestyle=":", zorder=1)
        if look.log:
            panel.axes.set_yscale("log")
        if look.low is not None or look.high is not None:
            panel.axes.set_ylim(look.low, look.high)
        panel.axes.set_ylabel(quantity(panel.models[0], "\n" if len(grid.rows) > 1 else " "), parse_math=False)
        panel.axes.grid(axis="y", color="#dddddd", linewidth=0.6)
        if not look.log:  # no power of ten above the axis, where the legend is
            panel.axes.yaxis.set_major_formatter(_told)
        if not look.relative:
            panel.axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        if len(panel.models) == 1 and not look.relative and len(grid.rows) == 1:
            _name_layers(panel.axes, panel.models[0])
        if panel.is_lowest:
            whole = "relative depth: first layer 0, last layer 1" if look.relative else "depth: layers in their order"
            panel.axes.set_xlabel(whole)
    add_legend(grid)
    save_plot(grid.figure, file, "--output")


def _told(value: float, _: float) -> str:
    return f"{value:.10g}"


def _draw_line(axes: Axes, own: MetricByLayer, style: Style, look: Look) -> None:
    means = own.layer_means()
    if look.log:
        means[Look(log=True).outside(means).any] = np.nan
    where = np.arange(1, means.size + 1, dtype=np.float64)
    depths = own.depths.astype(np.float64)
    if look.relative:
        where, depths = ((x - 1.0) / max(means.size - 1, 1) for x in (where, depths))
    outside = look.outside(own.values)
    size = 4.0 if means.size < CROWDED else 2.5
    many = means.size < own.values.size
    axes.plot(where, means, color=style.color, linestyle=style.line, linewidth=1.2 if many else 0.9)
    inside = np.where(outside.any, np.nan, own.values)
    axes.plot(
        depths,
        inside,
        style.marker,
        color=style.color,
        markersize=size,
        alpha=0.45 if many else 1.0,
        markeredgewidth=0.0 if many else None,
    )
    # What is beyond the range is shown at its edge, as a hollow marker.
    for beyond, edge, marker in ((outside.above, look.high, "^"), (outside.below, look.low, "v")):
        if edge is not None and beyond.any():
            x = depths[beyond]
            axes.plot(
                x,
                np.full(x.size, edge),
                marker,
                color=style.color,
                markersize=5,
                markerfacecolor="white",
                clip_on=False,
            )
    axes.plot(
        [],
        [],
        style.marker,
        color=style.color,
        linestyle=style.line,
        markersize=5,
        label=legend_label(_legend(own, look)),
    )


def _name_layers(axes: Axes, own: MetricByLayer) -> None:
    names = [short(layer) for layer in dict.fromkeys(own.layers)]
    if len(names) <= MOST_TICKS and not all(name.isdigit() for name in names):
        axes.set_xticks(range(1, len(names) + 1), names, rotation=90, fontsize=7, parse_math=False)


def draw_histogram(found: Sequence[MetricByLayer], file: Path, look: Look | None = None) -> None:
    """Draw how metrics are spread over the matrices of networks, a histogram for each with the same bins.

    Args:
        found: Metrics of models; several metrics have a panel each, side by side.
        file: The picture.
        look: How it is drawn.

    Raises:
        UsageError: There would be too many panels, or there is nothing to draw in the range.
        OutputError: The file cannot be written.
    """
    look = look or Look()
    of = " and ".join(dict.fromkeys(_plural(own) for own in found))
    grid = subplots(found, look, f"of {of}, dashes: mean", height=1.7, share_metric=True)
    bins = {
        metric: _bins([own for own in found if own.metric == metric], look.of(metric, grid.metrics))
        for metric in grid.metrics
    }
    for panel in grid.panels:
        edges, look = bins[panel.models[0].metric], panel.look
        for own, style in zip(panel.models, panel.styles, strict=True):
            _draw_stairs(panel.axes, own, style, edges, look, together=len(panel.models))
        if look.mark is not None:
            panel.axes.axvline(look.mark, color="#000000", linewidth=0.8, linestyle=":", zorder=1)
        if look.log:
            panel.axes.set_xscale("log")
        panel.axes.set_xlim(edges[0] if look.low is None else look.low, edges[-1] if look.high is None else look.high)
        panel.axes.grid(axis="y", color="#dddddd", linewidth=0.6)
        if panel.is_first:
            panel.axes.set_ylabel(f"{of} (%)")
        if panel.is_lowest:
            panel.axes.set_xlabel(quantity(panel.models[0]), parse_math=False)
    add_legend(grid)
    save_plot(grid.figure, file, "--output")


def _plural(own: MetricByLayer) -> str:
    return "layers" if own.scope == "layer" else "matrices"


def _draw_stairs(
    axes: Axes, own: MetricByLayer, style: Style, edges: npt.NDArray[np.float64], look: Look, *, together: int
) -> None:
    values = own.values[np.isfinite(own.values)]
    heights, _ = np.histogram(values[~look.outside(values).any], edges)
    shares = 100.0 * heights / values.size
    if together == 1:
        axes.stairs(shares, edges, color=style.color, fill=True, alpha=0.35)
    line = "-" if together == 1 else style.line
    axes.stairs(shares, edges, color=style.color, linewidth=1.5, linestyle=line, label=legend_label(_legend(own, look)))
    mean = float((values / values.size).sum())
    if not (look.log and Look(log=True).outside(np.array(mean)).any):
        # Of many models the means are ticks at the upper edge: whole lines would hide the rest.
        axes.axvline(
            mean, 0.0 if together <= FEW else 0.93, color=style.color, linewidth=1.0, linestyle=(0, (6, 3)), zorder=1
        )


def _bins(found: Sequence[MetricByLayer], look: Look) -> npt.NDArray[np.float64]:
    together = np.concatenate([own.values for own in found])
    kept = together[np.isfinite(together)]
    kept = kept[~look.outside(kept).any]
    count = int(np.clip(2.0 * np.sqrt(kept.size / len(found)), 5, 60))
    if look.log:
        return np.asarray(10.0 ** round_bins(np.log10(kept), count))
    return round_bins(kept, count)


def _legend(own: MetricByLayer, look: Look) -> str:
    """Return what a legend says of a model: its name, how many matrices it has, their mean, and what is not shown."""
    values = own.values[np.isfinite(own.values)]
    mean = float((values / values.size).sum())
    number = f"{mean:.2f}" if 0.1 <= abs(mean) < 1e4 else f"{mean:.3g}"
    said = [f"{short(own.name)}: mean {number}, n {values.size}"]
    if look.mark is not None:
        said.append(f"{int((values > look.mark).sum())} above {look.mark:g}")
    outside = look.outside(values)
    if outside.any.any():
        said.append(f"{int(outside.any.sum())} outside")
    return ", ".join(said)
