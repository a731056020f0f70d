"""The picture of ``ww trend``. It needs the extra ``plot``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ww_core.command import printable
from ww_core.command.picture import save_plot
from ww_core.domain.trend import group_name
from ww_core.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ww_core.domain.scored import ScoreColumn
    from ww_core.domain.trend import Trend, TrendLine, TrendMetric

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""They differ for the colour-blind too."""

MARKERS = "osD^vP*X"
TOGETHER = 7
"""Groups that share a panel; of more, each has a panel of its own."""

MOST_PANELS = 120
LONGEST_NAME = 40
"""Characters of a name that are shown: of a longer one its start and its end."""


def draw(trend: Trend, file: Path) -> None:
    """Draw the models and the line of each group: groups side by side in one panel a metric, or in panels of their own.

    Raises:
        UsageError: There would be too many panels to look at.
        OutputError: The file cannot be written.
    """
    groups = list(dict.fromkeys((own.series, own.dataset) for own in trend.lines))
    save_plot(_overlaid(trend) if len(groups) <= TOGETHER else _apart(trend), file)


def _overlaid(trend: Trend) -> Figure:
    """A panel for each metric, with all groups in it."""
    figure, panels = _panels(len(trend.metrics), columns=2)
    colors: dict[tuple[str, str], int] = {}
    for axis, metric in zip(panels, trend.metrics, strict=False):
        for line in (own for own in trend.lines if own.metric == metric.name):
            number = colors.setdefault((line.series, line.dataset), len(colors))
            _draw_line(axis, trend, line, COLORS[number % len(COLORS)], MARKERS[number % len(MARKERS)])
        _label(axis, trend, metric)
        if axis.lines:
            legend = axis.legend(fontsize=7, frameon=False)
            for text in legend.get_texts():
                text.set_parse_math(False)  # a name is no formula, whatever dollars it has
    return figure


def _apart(trend: Trend) -> Figure:
    """A panel for each metric and group."""
    if len(trend.lines) > MOST_PANELS:
        raise UsageError(
            f"--plot would draw {len(trend.lines)} panels, and {MOST_PANELS} can be looked at: choose fewer metrics or "
            "series"
        )
    figure, panels = _panels(len(trend.lines), columns=4)
    metrics = {own.name: own for own in trend.metrics}
    for axis, line in zip(panels, trend.lines, strict=False):
        _draw_line(axis, trend, line, COLORS[0], MARKERS[0])
        axis.set_title(f"{_group(line)}\n{_figures(line)}", fontsize=7, parse_math=False)
        _label(axis, trend, metrics[line.metric])
    return figure


def _panels(count: int, columns: int) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    columns = min(columns, count)
    rows = -(-count // columns)
    width, height = (5.5, 4.2) if columns <= 2 else (3.2, 2.6)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axis in axes[count:]:
        axis.set_axis_off()
    return figure, axes[:count]


def _draw_line(axis: Axes, trend: Trend, line: TrendLine, color: str, marker: str) -> None:
    own = [
        point
        for point in trend.points
        if (point.metric, point.series, point.dataset) == (line.metric, line.series, line.dataset)
    ]
    x, y = [point.x for point in own], [point.y for point in own]
    axis.plot(x, y, marker, color=color, markersize=5, linestyle="none", label=f"{_group(line)}: {_figures(line)}")
    if math.isfinite(line.slope.value):
        ends = [min(x), max(x)]
        axis.plot(ends, [line.slope.value * end + line.intercept.value for end in ends], color=color, linewidth=1.2)


def _label(axis: Axes, trend: Trend, metric: TrendMetric) -> None:
    size: Any = 8
    axis.set_xlabel(_quantity(metric), fontsize=size, parse_math=False)
    axis.set_ylabel(_quantity(trend.score), fontsize=size, parse_math=False)
    axis.tick_params(labelsize=7)
    axis.grid(color="#dddddd", linewidth=0.6)
    axis.set_axisbelow(True)


def _quantity(own: TrendMetric | ScoreColumn) -> str:
    """Return name, unit and direction, as an axis tells them."""
    unit = f" ({printable(own.unit)})" if own.unit else ""
    return f"{_name(own.name)}{unit}{'' if own.better == 'none' else f', {own.better} is better'}"


def _group(line: TrendLine) -> str:
    return _name(group_name(line.series, line.dataset))


def _figures(line: TrendLine) -> str:
    told = {"R2": line.r2.value, "RMSE": line.rmse.value, "tau": line.tau.value}
    return "  ".join([f"{name} {own:.2f}" for name, own in told.items() if math.isfinite(own)] + [f"n {line.n}"])


def _name(text: str) -> str:
    shown, half = printable(text), LONGEST_NAME // 2
    return shown if len(shown) <= LONGEST_NAME else f"{shown[: half - 3]}...{shown[-half:]}"
