"""The picture of ``ww zoo plot``: a point for each network. It needs the extra ``plot``.

The ranges of the first and of the last bias against each other are figure 3 of the paper on the Small CNN Zoo
(arXiv:2002.11448).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import ww_core as ww
from ww_core.command import printable
from ww_core.command.picture import save_plot
from ww_plugins.commands.plot.esd import COLORS
from ww_plugins.commands.plot.legends import legend_label, legend_of
from ww_plugins.commands.zoo.picture import GROUPED_BY, LONGEST_NAME, draw_grid
from ww_plugins.zoos.columns import named_columns

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt
    from matplotlib.axes import Axes

LONGEST_LABEL = 70

LARGEST = 1e200
"""Size of the numbers that matplotlib can still put on an axis; on a logarithmic one, of their inverses too."""

MOST_SHAPES = 20_000
"""Points of a picture of shapes (.svg, .pdf); more are put into it as pixels."""


@dataclass(frozen=True, eq=False)
class Points:
    """Two numbers of each checkpoint of a zoo, and what their colours tell. Arrays have shape (n,).

    Attributes:
        zoo: Name of the zoo.
        x_name: What the first axis is called.
        y_name: What the second axis is called.
        x: float64.
        y: float64.
        color_name: What colours tell; empty for nothing.
        colors: Numbers, float64, or texts, of which there are no more than colours.
    """

    zoo: str
    x_name: str
    y_name: str
    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]
    color_name: str
    colors: npt.NDArray[np.float64] | npt.NDArray[np.object_]


def points_of(
    zoo: ww.Zoo,
    x: str,
    y: str,
    color: str,
    features: str,
    *,
    store: ww.Store | str | Path | None = None,
    profile: str = "default",
    registry: ww.Registry | None = None,
) -> Points:
    """Find what is drawn.

    Args:
        zoo: The checkpoints.
        x: Of the first axis, as of `named_columns`.
        y: Of the second one.
        color: What colours tell: a hyperparameter, or a number. A zoo that tells no optimizer has one colour.
        features: Feature sets and metrics.
        store: Where metrics are, if features are metrics.
        profile: Profile of these.
        registry: Loaded plugins, if they are loaded already.

    Raises:
        UsageError: A hyperparameter has more values than there are colours, or as of `named_columns`.
    """
    told = zoo.hyperparameters.get(color)
    if (told is None and color == GROUPED_BY) or (told is not None and told.dtype.kind != "f"):
        found, (own_x, own_y) = named_columns(zoo, [x, y], features, store=store, profile=profile, registry=registry)
        if told is None:
            return Points(found.name, x, y, own_x, own_y, "", np.full(len(found), "", object))
        kinds = found.hyperparameters[color]
        if (several := len(set(kinds.tolist()))) > len(COLORS):
            raise ww.UsageError(
                f"{color} of zoo {zoo.name} has {several} values, and there are {len(COLORS)} colours: "
                "name another by --color"
            )
        return Points(found.name, x, y, own_x, own_y, color, kinds)
    found, (own_x, own_y, own_color) = named_columns(
        zoo, [x, y, color], features, store=store, profile=profile, registry=registry
    )
    return Points(found.name, x, y, own_x, own_y, color, own_color)


def drawn_points(points: Points, file: Path, *, log: bool) -> int:
    """Draw points, and return how many.

    Args:
        points: What is drawn.
        file: The picture.
        log: Whether axes are logarithmic.

    Raises:
        UsageError: No point can be drawn.
        OutputError: The file cannot be written.
    """
    from matplotlib.figure import Figure

    shown = (np.abs(points.x) < LARGEST) & (np.abs(points.y) < LARGEST)
    if points.colors.dtype.kind == "f":
        shown &= np.abs(points.colors.astype(np.float64)) < LARGEST
    if log:
        shown &= (points.x > 1 / LARGEST) & (points.y > 1 / LARGEST)
    if not shown.any():
        above = " that are above zero" if log else ""
        raise ww.UsageError(f"zoo {points.zoo}: no network has numbers {points.x_name} and {points.y_name}{above}")
    figure = Figure(figsize=(6.0, 5.2), layout="constrained")
    axes = figure.subplots()
    _draw_in_colors(axes, points, shown)
    if log:
        axes.set_xscale("log")
        axes.set_yscale("log")
    axes.set_xlabel(_label(points.x_name), parse_math=False)
    axes.set_ylabel(_label(points.y_name), parse_math=False)
    draw_grid(axes)
    count = int(shown.sum())
    axes.set_title(f"{printable(points.zoo)[:LONGEST_NAME]}: {count:,} points", fontsize=10, parse_math=False)
    save_plot(figure, file, "--output")
    return count


def _draw_in_colors(axes: Axes, points: Points, shown: npt.NDArray[np.bool_]) -> None:
    look: dict[str, Any] = {
        "s": float(np.clip(400.0 / np.sqrt(shown.sum()), 1.0, 14.0)),
        "alpha": 0.6,
        "linewidths": 0,
        "rasterized": bool(shown.sum() > MOST_SHAPES),
    }
    if points.colors.dtype.kind == "f":
        drawn = axes.scatter(points.x[shown], points.y[shown], c=points.colors[shown].astype(np.float64), **look)
        bar = axes.figure.colorbar(drawn, ax=axes)
        bar.set_label(_label(points.color_name), parse_math=False)
        return
    kinds = sorted(set(points.colors[shown].tolist()))
    for number, kind in enumerate(kinds):
        own = shown & (points.colors == kind)
        label = legend_label(_label(kind or "(none)"))
        axes.scatter(points.x[own], points.y[own], color=COLORS[number], label=label, **look)
    if len(kinds) > 1:
        legend_of(axes, fontsize=8, frameon=False, markerscale=2)


def _label(name: str) -> str:
    shown = printable(name)
    return shown if len(shown) <= LONGEST_LABEL else f"{shown[: LONGEST_LABEL - 3]}..."
