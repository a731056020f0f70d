"""The picture of ``ww history``. It needs the extra ``plot``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ww_core.command import printable
from ww_core.command.picture import save_plot

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

    from ww_core.domain.history import History, HistoryPlace

NAMED = 5
"""Layers that have a colour and a name in a panel: those that moved most."""

COLORS = ("#d55e00", "#009e73", "#e69f00", "#cc79a7", "#56b4e9")
"""They differ for the colour-blind too."""

LONGEST_NAME = 32
MOST_TICKS = 40


def draw(history: History, file: Path) -> None:
    """Draw a panel for each column: its mean, and every layer behind it.

    Raises:
        OutputError: The file cannot be written.
    """
    save_plot(_figure(history), file)


def _figure(history: History) -> Figure:
    import numpy as np
    from matplotlib.figure import Figure

    labels = list(history.tracks)
    rows = -(-len(labels) // 2) or 1
    figure = Figure(figsize=(13.0, 0.8 + 3.2 * rows), layout="constrained")
    panels = figure.subplots(rows, 2, squeeze=False, sharex=True).flat
    versions = np.arange(len(history.versions))
    colors: dict[HistoryPlace, str] = {}  # a layer has one in all panels
    for axis, label in zip(panels, labels, strict=False):
        track = history.tracks[label]
        moved = [move.place for move in history.moves(label)[:NAMED]] if track.column.scope != "model" else []
        for at, place in enumerate(track.places if track.column.scope != "model" else ()):
            if place not in moved:
                axis.plot(versions, track.values[:, at], color="#cccccc", linewidth=0.7, zorder=1)
        for place in moved:
            color = colors.setdefault(place, COLORS[len(colors) % len(COLORS)])
            values = track.values[:, track.places.index(place)]
            errors = None if track.errors is None else track.errors[:, track.places.index(place)]
            axis.errorbar(
                versions,
                values,
                yerr=errors,
                color=color,
                marker=".",
                linewidth=1,
                elinewidth=0.5,
                label=_name(str(place)),
            )
        name = "model" if track.column.scope == "model" else "mean"
        axis.plot(versions, track.means, color="#0072b2", marker="o", markersize=4, linewidth=2, label=name, zorder=5)
        axis.set_ylabel(f"{label} ({track.column.unit})" if track.column.unit else label, parse_math=False)
        axis.grid(axis="y", color="#dddddd", linewidth=0.6)
        axis.set_axisbelow(True)
        legend = axis.legend(fontsize=7, frameon=False)
        for text in legend.get_texts():
            text.set_parse_math(False)  # a name is no formula, whatever dollars it has
    for axis in list(figure.axes)[len(labels) :]:
        axis.set_axis_off()
    shown = versions[:: max(1, -(-len(versions) // MOST_TICKS))]
    names = [_name(history.versions[at].version) for at in shown]
    for axis in figure.axes[: len(labels)][-2:]:
        axis.set_xticks(shown, names, rotation=90 if max(map(len, names), default=0) > 3 else 0, parse_math=False)
        axis.tick_params(labelbottom=True)
    figure.suptitle(f"{_name(history.model)}, profile {_name(history.profile)}", parse_math=False)
    return figure


def _name(text: str) -> str:
    """A name that leaves room for the picture: its end tells more than its beginning."""
    shown = printable(text)
    return shown if len(shown) <= LONGEST_NAME else f"...{shown[3 - LONGEST_NAME :]}"
