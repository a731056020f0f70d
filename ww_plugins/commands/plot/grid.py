"""Panels of pictures of metrics: which model stands where, in which colour, and what the legend says."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

import ww_core as ww
from ww_core.command import printable
from ww_plugins.commands.plot.esd import COLORS
from ww_plugins.commands.plot.legends import legend_of
from ww_plugins.commands.plot.panels import Panels

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ww_plugins.commands.plot.by_layer import MetricByLayer

MARKERS = "osD^vP*X"
LINES = ("-", "--", "-.", ":")
MOST_TOGETHER = math.lcm(len(COLORS), len(LINES))
"""Models in a panel: as many as differ in colour or line."""
LONGEST_NAME = 40
MOST_ROWS, MOST_COLUMNS = 12, 4
FONT, SMALL = 10, 8.5
FEW = 3
"""Of more models than that the legend of a picture with one metric has two columns."""
LONGEST_IN_TWO_COLUMNS = 20
"""Letters that the name of a model may have for that, with what else the legend says of it."""
LOG_ENDS = (1e-150, 1e150)
"""Numbers that a logarithmic axis can hold: with others its margin or a tick would be beyond the largest float."""
LINE, FREE_LINES = 0.17, 2
"""Height of a line of a legend in inches, and for how many of them each panel has room."""


class Outside(NamedTuple):
    """Which values are not in the range that is shown."""

    below: npt.NDArray[np.bool_]
    above: npt.NDArray[np.bool_]

    @property
    def any(self) -> npt.NDArray[np.bool_]:
        """Those below or above it."""
        return self.below | self.above


@dataclass(frozen=True, slots=True)
class Look:
    """How metrics are drawn.

    Attributes:
        panels: What has a panel of its own.
        low: Lower end of the axis of the first metric; None for what the values need.
        high: Upper end of it.
        mark: A value of the first metric at which a line is drawn; None for none.
        log: Whether the axis of every metric is logarithmic; then what is not from ``LOG_ENDS`` is outside.
        relative: Whether depth goes from 0 to 1 in each model.
    """

    panels: Panels = Panels.all
    low: float | None = None
    high: float | None = None
    mark: float | None = None
    log: bool = False
    relative: bool = False

    def of(self, metric: str, metrics: Sequence[str]) -> Look:
        """Return the look of one of the metrics: the range and the mark are those of the first one."""
        return self if metric == metrics[0] else replace(self, low=None, high=None, mark=None)

    def outside(self, values: npt.NDArray[np.float64]) -> Outside:
        """Return which values are not in the range; NaN is not outside."""
        nothing = np.zeros(values.shape, bool)
        below = nothing if self.low is None else values < self.low
        above = nothing if self.high is None else values > self.high
        if self.log:
            below, above = below | (values < LOG_ENDS[0]), above | (values > LOG_ENDS[1])
        return Outside(below, above)


class Style(NamedTuple):
    """How a model is told from others."""

    color: str
    marker: str
    line: str


def style_of(number: int) -> Style:
    """Return the style of the model with this number in its panel: each differs in colour and in marker."""
    return Style(COLORS[number % len(COLORS)], MARKERS[number % len(MARKERS)], LINES[number % len(LINES)])


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """A panel: models with one metric."""

    axes: Axes
    models: Sequence[MetricByLayer]
    styles: Sequence[Style]
    look: Look
    is_first: bool
    is_lowest: bool


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """A picture: rows of groups of models, columns of metrics."""

    figure: Figure
    rows: Sequence[str]
    metrics: Sequence[str]
    panels: Sequence[Panel]


def subplots(
    found: Sequence[MetricByLayer],
    look: Look,
    what: str,
    *,
    height: float,
    share_depth: bool = False,
    share_metric: bool = False,
) -> Grid:
    """Lay out the panels of a picture, with its title.

    Args:
        found: Metrics of models.
        look: How they are drawn.
        what: What is drawn, for the title.
        height: Height of a row where there are several, in inches.
        share_depth: Whether the horizontal axes are one, as they show depth.
        share_metric: Whether they are, as they show a metric.

    Raises:
        UsageError: There would be too many panels, or a model has no value in the range.
    """
    from matplotlib.figure import Figure

    groups: dict[str, list[MetricByLayer]] = {}
    metrics = list(dict.fromkeys(own.metric for own in found))
    for own in found:
        groups.setdefault(_group(own, look.panels), []).append(own)
        if not np.any(np.isfinite(own.values) & ~look.of(own.metric, metrics).outside(own.values).any):
            raise ww.UsageError(f"{own.name}: no value of {own.metric} is in the range that is shown")
    if len(groups) > MOST_ROWS or len(metrics) > MOST_COLUMNS:
        raise ww.UsageError(
            f"there would be {len(groups)} rows and {len(metrics)} columns of panels, and {MOST_ROWS} and "
            f"{MOST_COLUMNS} can be looked at: name fewer models or metrics"
        )
    together = max(len({own.name for own in group}) for group in groups.values())
    if together > MOST_TOGETHER:
        raise ww.UsageError(
            f"there would be {together} models in one panel, and {MOST_TOGETHER} can be told apart: name fewer models, "
            "or give each series or model a panel by --panels"
        )
    rows, columns = len(groups), len(metrics)
    width = 6.2 if columns == 1 else 4.0 * columns
    lines = [-(-len(own) // columns // _legend_columns(own, look, columns)) for own in groups.values()]
    legends = sum(max(own - FREE_LINES, 0) for own in lines)
    size = (width, 0.9 + (3.2 if rows == 1 else height * rows) + LINE * legends)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(
        rows,
        columns,
        squeeze=False,
        sharex="all" if share_depth else "col" if share_metric else "none",
        sharey="col",
    )
    panels = []
    for row, models in enumerate(groups.values()):
        for column, metric in enumerate(metrics):
            shown = [model for model in models if model.metric == metric]
            axis = axes[row][column]
            axis.tick_params(which="both", labelsize=SMALL)
            axis.xaxis.label.set_size(FONT)
            axis.yaxis.label.set_size(FONT)
            axis.set_axisbelow(True)
            styles = [style_of(at) for at in range(len(shown))]
            panels.append(Panel(axis, shown, styles, look.of(metric, metrics), column == 0, row == rows - 1))
    figure.suptitle(_title(found, metrics, what), fontsize=FONT + 1, parse_math=False, wrap=True)
    return Grid(figure, list(groups), metrics, panels)


def add_legend(grid: Grid) -> None:
    """Say above each panel what it shows, outside of the axes, where it hides nothing."""
    for panel in grid.panels:
        legend_of(
            panel.axes,
            loc="lower left",
            bbox_to_anchor=(0.0, 1.0),
            borderaxespad=0.2,
            borderpad=0.2,
            labelspacing=0.25,
            columnspacing=1.0,
            handlelength=2.6,
            frameon=False,
            fontsize=SMALL,
            ncols=_legend_columns(panel.models, panel.look, len(grid.metrics)),
        )


def _legend_columns(models: Sequence[MetricByLayer], look: Look, metrics: int) -> int:
    """Return 2 if many models have names so short that two columns fit above a panel, else 1."""
    counts = 12 * ((look.mark is not None) + (look.low is not None or look.high is not None or look.log))
    longest = max(len(short(own.name)) for own in models) + counts
    return 2 if metrics == 1 and len(models) > FEW and longest <= LONGEST_IN_TWO_COLUMNS else 1


def quantity(own: MetricByLayer, between: str = " ") -> str:
    """Return a metric with its unit."""
    return f"{printable(own.metric)}{between}({printable(own.unit)})" if own.unit else printable(own.metric)


def short(text: str) -> str:
    """Return a text that can be printed, without its beginning if it is long."""
    shown = printable(text)
    return shown if len(shown) <= LONGEST_NAME else f"...{shown[3 - LONGEST_NAME :]}"


def _group(own: MetricByLayer, panels: Panels) -> str:
    return {Panels.all: "", Panels.series: own.series, Panels.model: own.name}[panels]


def _title(found: Sequence[MetricByLayer], metrics: Sequence[str], what: str) -> str:
    origins = ", ".join(short(own) for own in dict.fromkeys(own.origin for own in found))
    return f"{', '.join(printable(metric) for metric in metrics)} {what}, {origins}"
