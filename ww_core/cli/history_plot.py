"""The picture of ``ww history``. It needs the extra ``plot``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
    figure = Figure(figsize=(11.0, 0.8 + 3.0 * rows), layout="constrained")
    panels = figure.subplots(rows, 2, squeeze=False, sharex=True).flat
    versions = np.arange(len(history.versions))
    colors: dict[HistoryPlace, str] = {}  # a layer has one in all panels
    for axis, label in zip(panels, labels, strict=False):
        track = history.tracks[label]
        of_model = track.column.scope == "model"
        moved = [] if of_model else [move.place for move in history.moves(label)[:NAMED]]
        (mean,) = axis.plot(
            versions,
            track.means,
            color="#0072b2",
            marker="o",
            markersize=4,
            linewidth=2,
            label="model" if of_model else "mean",
            zorder=5,
        )
        handles: list[Any] = [mean]
        for number, place in enumerate(moved):
            at = track.places.index(place)
            # Beside each other, so that no error hides another.
            aside = 0.0 if track.errors is None else (number - (len(moved) - 1) / 2) * 0.08
            handles.append(
                axis.errorbar(
                    versions + aside,
                    track.values[:, at],
                    yerr=None if track.errors is None else track.errors[:, at],
                    color=colors.setdefault(place, COLORS[len(colors) % len(COLORS)]),
                    marker=".",
                    linewidth=1,
                    elinewidth=0.5,
                    label=_name(str(place)),
                )
            )
        others = [] if of_model else [at for at, place in enumerate(track.places) if place not in moved]
        if others:
            told = f"{len(others)} other{'' if len(others) == 1 else 's'}"
            lines = axis.plot(versions, track.values[:, others], color="#bbbbbb", linewidth=0.7, zorder=1, label=told)
            handles.append(lines[0])
        axis.set_ylabel(f"{label} ({track.column.unit})" if track.column.unit else label, parse_math=False)
        axis.grid(axis="y", color="#dddddd", linewidth=0.6)
        axis.set_axisbelow(True)
        legend = axis.legend(handles=handles, fontsize=7, frameon=False)
        for text in legend.get_texts():
            text.set_parse_math(False)  # a name is no formula, whatever dollars it has
    for axis in list(figure.axes)[len(labels) :]:
        axis.set_axis_off()
    shown = versions[:: max(1, -(-len(versions) // MOST_TICKS))]
    names = [_name(history.versions[at].version) for at in shown]
    for axis in figure.axes[: len(labels)][-2:]:
        axis.set_xticks(shown, names, rotation=90 if max(map(len, names), default=0) > 3 else 0, parse_math=False)
        axis.tick_params(labelbottom=True)
    bars = any(track.errors is not None for track in history.tracks.values())
    title = f"{_name(history.model)}, profile {_name(history.profile)}{'; bars are standard errors' if bars else ''}"
    figure.suptitle(title, parse_math=False, fontsize=11)
    return figure


def _name(text: str) -> str:
    """A name that leaves room for the picture: its end tells more than its beginning."""
    shown = printable(text)
    return shown if len(shown) <= LONGEST_NAME else f"...{shown[3 - LONGEST_NAME :]}"
