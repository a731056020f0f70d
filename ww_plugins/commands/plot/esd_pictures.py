"""The picture of ``ww plot esd``. It needs the extra ``plot``."""

from __future__ import annotations

import textwrap
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import ww_core as ww
from ww_core.command import printable
from ww_core.command.picture import save_plot
from ww_plugins.commands.plot.esd import COLORS, draw_esd, draw_starts
from ww_plugins.commands.plot.legends import legend_label, legend_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ww_plugins.commands.plot.esd import Tail
    from ww_plugins.commands.plot.spectra import FittedSpectrum

MOST_PANELS = 64
LONGEST_NAME = 44
LONGEST_LINE = 28
"""Letters of a line of a legend that fit in a panel."""

LINE, FREE_LINES = 0.17, 4
"""Height of a line of a legend in inches, and for how many of them each panel has room."""

FARTHEST = 200
"""Powers of ten of an eigenvalue beyond which an axis has a power of ten as its unit: floats end at 308."""


def draw(found: Sequence[FittedSpectrum], file: Path) -> None:
    """Draw spectra: a panel for each layer, and of one layer three.

    Raises:
        UsageError: There would be too many panels to look at.
        OutputError: The file cannot be written.
    """
    panels: dict[str, list[FittedSpectrum]] = {}
    for own in found:
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
    lines = [_draw(axes, layer, scale, height=2.3) for axes, scale in ((log, "log"), (linear, "linear"))]
    figure.set_figheight(3.3 + LINE * max(0, max(lines) - FREE_LINES))
    own, exponent = layer[0], _exponent(layer[:1])
    try:
        scaled = _Scaled.of(own, exponent)
        draw_starts(starts, scaled.eigenvalues, scaled.tail, floor=scaled.floor)
        _tell_unit(starts, exponent)
        of = f", {_name(own)}" if len(layer) > 1 else ""
        starts.set_title(f"each start of the tail{of}", fontsize=9, parse_math=False)
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
    lines = 0
    for axis, (title, layer) in zip(axes, panels.items(), strict=False):
        lines = max(lines, _draw(axis, layer, "log", height=1.7))
        axis.set_title(_short(title), fontsize=8.5, parse_math=False, pad=11)
        axis.tick_params(which="both", labelsize=7.5)
        axis.xaxis.label.set_size(8.5)
        axis.yaxis.label.set_size(8.5)
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    figure.set_figheight((2.5 + LINE * max(0, lines - FREE_LINES)) * rows + 0.4)
    every = [own for layer in panels.values() for own in layer]
    versions = ", ".join(dict.fromkeys(_name(own) for own in every))
    figure.suptitle(f"{versions}, {_profiles(every)}", parse_math=False, fontsize=11, wrap=True)
    return figure


def _draw(axes: Axes, layer: Sequence[FittedSpectrum], scale: str, *, height: float) -> int:
    """Draw spectra into a panel of that many inches, which grows with the legend; return the lines of the legend."""
    exponent = _exponent(layer)
    for number, own in enumerate(layer):
        scaled = _Scaled.of(own, exponent)
        if not scaled.eigenvalues[0] > scaled.floor:
            told = f"{_name(own)}: too small for an axis with the others"
            axes.plot([], [], " ", label=legend_label(textwrap.fill(told, LONGEST_LINE)))
            continue
        draw_esd(
            axes,
            scaled.eigenvalues,
            scaled.tail,
            scale="log" if scale == "log" else "linear",
            floor=scaled.floor,
            randomized=scaled.permuted if len(layer) == 1 else None,
            edge=scaled.edge if len(layer) == 1 else None,
            color=COLORS[number % len(COLORS)],
            label=legend_label(textwrap.fill(_label(own, layer), LONGEST_LINE)) if len(layer) > 1 else "",
        )
        if own.tail is None:
            axes.plot([], [], " ", label=textwrap.fill(f"no tail: {printable(own.reason)}", LONGEST_LINE))
    _tell_unit(axes, exponent)
    lines: int = sum(1 + label.count("\n") for label in axes.get_legend_handles_labels()[1])
    if lines:
        # Room above the spectrum, where the legend hides nothing; a few lines fit beside a linear one.
        share = LINE * lines / (height + LINE * max(0, lines - FREE_LINES))
        low, high = axes.get_ylim()
        if scale == "log":
            axes.set_ylim(low, high * (high / low) ** (share / (1.0 - share)))
        elif lines > FREE_LINES:
            axes.set_ylim(low, high / (1.0 - share))
        # It ends left of the largest eigenvalue, whose line is 5 % from the edge.
        place: Any = {"loc": "upper right", "bbox_to_anchor": (0.95, 1.0), "borderaxespad": 0.3}
        legend_of(axes, fontsize=7.5, framealpha=0.85, edgecolor="none", handlelength=1.6, **place)
    return lines


class _Scaled(NamedTuple):
    """A spectrum with what was fitted to it, in units of a power of ten of weight^2."""

    eigenvalues: npt.NDArray[np.float64]
    permuted: npt.NDArray[np.float64] | None
    floor: float
    tail: Tail | None
    edge: float | None

    @classmethod
    def of(cls, own: FittedSpectrum, exponent: int) -> _Scaled:
        # Singular values first: their squares may be too large or too small for a float.
        root = 10.0 ** (exponent // 2)
        return cls(
            (own.spectrum.singular_values / root) ** 2,
            None if own.permuted is None else (own.permuted.singular_values / root) ** 2,
            (own.spectrum.noise_floor / root) ** 2,
            None if own.tail is None else replace(own.tail, xmin=own.tail.xmin / root / root),
            None if own.edge is None else own.edge / root / root,
        )


def _exponent(layer: Sequence[FittedSpectrum]) -> int:
    """Return the power of ten that is the unit of a panel, an even one; 0 if eigenvalues are near enough to 1."""
    largest = max(float(own.spectrum.singular_values[0]) for own in layer)
    exponent = 2 * int(np.clip(np.floor(np.log10(largest)), -300, 300))
    return exponent if abs(exponent) > FARTHEST else 0


def _tell_unit(axes: Axes, exponent: int) -> None:
    if exponent:
        axes.set_xlabel(axes.get_xlabel().replace("(weight", f"($10^{{{exponent}}}$ weight"))


def _title(layer: Sequence[FittedSpectrum]) -> str:
    own = layer[0]
    names = ", ".join(dict.fromkeys(map(_name, layer)))
    shape = f"{own.row.kind}, {own.row.extractor}, N {own.row.N}, M {own.row.M}"
    return f"{names}: {_short(own.title)} ({shape}), {_profiles(layer)}"


def _profiles(spectra: Sequence[FittedSpectrum]) -> str:
    names = list(dict.fromkeys(printable(own.profile) for own in spectra))
    return f"profile{'s' if len(names) > 1 else ''} {', '.join(names)}"


def _label(own: FittedSpectrum, layer: Sequence[FittedSpectrum]) -> str:
    """The version, and its profile where there are several: that may scale the weights."""
    several = len({other.profile for other in layer}) > 1
    return f"{_name(own)}, {printable(own.profile)}" if several else _name(own)


def _name(own: FittedSpectrum) -> str:
    return _short(f"{own.model}@{own.version}" if own.model else "weights without a name")


def _short(text: str) -> str:
    shown = printable(text)
    return shown if len(shown) <= LONGEST_NAME else f"...{shown[3 - LONGEST_NAME :]}"
