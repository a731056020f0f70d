"""The picture of ``ww plot esd``. It needs the extra ``plot``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import ww_core as ww
from ww_core.command import printable
from ww_core.command.picture import save_plot
from ww_plugins.commands.plot.esd import COLORS, draw_esd, draw_starts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ww_plugins.commands.plot.spectra import FittedSpectrum

MOST_PANELS = 64
LONGEST_NAME = 44


def draw(found: Sequence[FittedSpectrum], file: Path) -> None:
    """Draw spectra: a panel for each layer, and of one layer three.

    Raises:
        UsageError: There would be too many panels to look at.
        NotStoredError: None of them has an eigenvalue above its noise floor.
        OutputError: The file cannot be written.
    """
    drawable = [own for own in found if _floor(own) < float(own.spectrum.eigenvalues[0])]
    if not drawable:
        raise ww.NotStoredError("none of the spectra has an eigenvalue above its noise floor: there is nothing to draw")
    panels: dict[str, list[FittedSpectrum]] = {}
    for own in drawable:
        panels.setdefault(own.title, []).append(own)
    if len(panels) > MOST_PANELS:
        raise ww.UsageError(
            f"there would be {len(panels)} panels, and {MOST_PANELS} can be looked at: choose by --layers"
        )
    save_plot(_one(*panels.values()) if len(panels) == 1 else _several(panels), file, "--output")


def _one(layer: Sequence[FittedSpectrum]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 3.3), layout="constrained")
    log, linear, starts = figure.subplots(1, 3)
    _draw(log, layer, "log")
    _draw(linear, layer, "linear")
    own = layer[0]
    try:
        draw_starts(starts, own.spectrum.eigenvalues, own.tail, floor=_floor(own))
        starts.set_title(
            f"each start of the tail, {_name(own)}" if len(layer) > 1 else "each start of the tail", fontsize=9
        )
    except ww.NoValue as missing:
        starts.set_axis_off()
        starts.text(0.5, 0.5, str(missing), ha="center", wrap=True, fontsize=8, parse_math=False)
    figure.suptitle(_title(layer), parse_math=False, fontsize=11, wrap=True)
    return figure


def _several(panels: dict[str, list[FittedSpectrum]]) -> Figure:
    from matplotlib.figure import Figure

    columns = min(4, int(np.ceil(np.sqrt(len(panels)))))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(max(3.1 * columns, 4.6), 2.5 * rows + 0.4), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axis, (title, layer) in zip(axes, panels.items(), strict=False):
        _draw(axis, layer, "log")
        axis.set_title(_short(title), fontsize=8.5, parse_math=False, pad=11)
        axis.tick_params(labelsize=7.5)
        axis.xaxis.label.set_size(8.5)
        axis.yaxis.label.set_size(8.5)
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    every = [own for layer in panels.values() for own in layer]
    versions = ", ".join(dict.fromkeys(_name(own) for own in every))
    figure.suptitle(f"{versions}, profile {every[0].profile}", parse_math=False, fontsize=11, wrap=True)
    return figure


def _draw(axes: Axes, layer: Sequence[FittedSpectrum], scale: str) -> None:
    for number, own in enumerate(layer):
        draw_esd(
            axes,
            own.spectrum.eigenvalues,
            own.tail,
            scale="log" if scale == "log" else "linear",
            floor=_floor(own),
            randomized=own.permuted.eigenvalues if own.permuted is not None and len(layer) == 1 else None,
            edge=own.edge if len(layer) == 1 else None,
            color=COLORS[number % len(COLORS)],
            label=_name(own) if len(layer) > 1 else "",
        )
        if own.tail is None:
            axes.plot([], [], " ", label=f"no tail: {_short(own.reason)}")
    if axes.get_legend_handles_labels()[1]:
        rows = len(axes.get_legend_handles_labels()[1])
        if scale == "log":  # room above the spectrum, where the legend hides nothing
            low, high = axes.get_ylim()
            axes.set_ylim(low, high * (high / low) ** (0.1 * rows))
        # It ends left of the largest eigenvalue, whose line is 5 % from the edge.
        place: Any = {"loc": "upper right", "bbox_to_anchor": (0.95, 1.0), "borderaxespad": 0.3}
        legend = axes.legend(fontsize=7.5, framealpha=0.85, edgecolor="none", handlelength=1.6, **place)
        for text in legend.get_texts():
            text.set_parse_math("alpha" in text.get_text())


def _title(layer: Sequence[FittedSpectrum]) -> str:
    own = layer[0]
    names = ", ".join(dict.fromkeys(map(_name, layer)))
    shape = f"{own.row.kind}, {own.row.extractor}, N {own.row.N}, M {own.row.M}"
    return f"{names}: {_short(own.title)} ({shape}), profile {own.profile}"


def _floor(own: FittedSpectrum) -> float:
    return float(own.spectrum.noise_floor**2)


def _name(own: FittedSpectrum) -> str:
    return _short(f"{own.model}@{own.version}" if own.model else "weights without a name")


def _short(text: str) -> str:
    shown = printable(text)
    return shown if len(shown) <= LONGEST_NAME else f"...{shown[3 - LONGEST_NAME :]}"
