r"""The spectrum of a layer, as the papers draw it: the density of its eigenvalues, and the tail that was fitted.

An ESD (empirical spectral density) is a histogram of eigenvalues whose area is 1. On logarithmic axes its bins are
equally wide in the logarithm, so that the tail has points up to its end. A fitted tail p(x) ~ x\ :sup:`-alpha` has the
area of its share of all eigenvalues: ``n_tail / n``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ww_core.spectral.power_law import fits_by_start

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""They differ for the colour-blind too."""

Scale = Literal["log", "linear"]

FAR = 30.0
"""How far below the smallest 2 % an eigenvalue lies that is not shown on a logarithmic axis, but counted."""

NARROWEST = 1e-12
"""Eigenvalues that differ by less, in relation to themselves, stand in one bin: they are equal but for rounding."""

LONG = 5.0
"""On linear axes a spectrum ends at twice its 95 % quantile, if its largest eigenvalue is so many times that one."""

NARROW = 100.0
"""A logarithmic axis whose ends are not so many times apart has numbers between the powers of ten."""

MOST_STARTS = 400
"""Starts of the tail at which alpha and D are drawn."""


@dataclass(frozen=True, slots=True)
class Tail:
    """A fitted tail p(x) ~ x**-alpha on x >= xmin.

    Attributes:
        alpha: Its exponent.
        xmin: Where it begins; unit of the eigenvalues.
        D: Kolmogorov-Smirnov distance of the tail from the fit.
        sigma: Standard error of alpha.
        n_tail: Eigenvalues in it.
    """

    alpha: float
    xmin: float
    D: float
    sigma: float
    n_tail: int

    def density(self, x: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.float64]:
        """Return the density at ``x``, where all ``count`` eigenvalues have the area 1."""
        share = self.n_tail / count
        return np.asarray(share * (self.alpha - 1.0) / self.xmin * (x / self.xmin) ** -self.alpha)


def draw_esd(
    axes: Axes,
    eigenvalues: npt.ArrayLike,
    tail: Tail | None = None,
    *,
    scale: Scale = "log",
    floor: float = 0.0,
    randomized: npt.ArrayLike | None = None,
    edge: float | None = None,
    color: str = COLORS[0],
    label: str = "",
) -> None:
    """Draw a spectrum: its density, the fitted tail with xmin, and the largest eigenvalue.

    Args:
        axes: Axes of matplotlib's.
        eigenvalues: 1-D, in any order; the unit is weight^2.
        tail: What was fitted; None for none.
        scale: Of both axes: ``log``, or ``linear``.
        floor: Eigenvalues that are not above it are rounding, and are left out; same unit.
        randomized: Eigenvalues of the same matrix with its elements permuted, drawn behind.
        edge: Upper edge of the Marchenko-Pastur bulk; same unit.
        color: Of the spectrum and its tail.
        label: Of the spectrum, in a legend.

    Raises:
        ValueError: No eigenvalue is above the floor.
    """
    kept = above(eigenvalues, floor)
    if not kept.size:
        raise ValueError("no eigenvalue is above the floor: there is nothing to draw")
    largest = float(kept[-1])
    start, end = (log_start(kept), largest) if scale == "log" else (0.0, _end(kept))
    if randomized is not None and (others := above(randomized, floor)).size:
        shown = others[(others >= start) & ((others <= end) | (end == largest))]
        _draw_density(axes, shown, others.size, scale, "#666666", "permuted weights", filled=False)
    _draw_density(axes, kept[(kept >= start) & (kept <= end)], kept.size, scale, color, label, filled=True)
    for left, where, bound in ((kept < start, "below", start), (kept > end, "beyond", end)):
        if left.any():
            axes.plot([], [], " ", label=f"{int(left.sum())} {where} {bound:.2g} not shown")
    if tail is not None and tail.xmin < largest:
        told = f"alpha {tail.alpha:.2f} ± {tail.sigma:.2f}, D {tail.D:.3f}"
        # A tail that begins beyond the end of a linear axis is told, and not drawn.
        x = np.geomspace(tail.xmin, end, 100) if tail.xmin < end else np.empty(0)
        axes.plot(x, tail.density(x, kept.size), color=color, linewidth=1.6, linestyle="--", label=told)
        if x.size:
            axes.axvline(tail.xmin, color=color, linewidth=0.9, linestyle=":")
            _name_line(axes, tail.xmin, "xmin", "right", color)
    if largest <= end:
        axes.axvline(largest, color=color, linewidth=0.9)
        _name_line(axes, largest, "$\\lambda_{max}$", "left", color)
    if edge is not None:
        axes.axvline(edge, color="#000000", linewidth=0.9, linestyle="-.", label="edge of the bulk (MP)")
    if scale == "log":
        axes.set_xscale("log")
        axes.set_yscale("log")
        _part_numbers(axes)
    axes.set_xlabel("eigenvalue $\\lambda$ (weight$^2$)")
    axes.set_ylabel("density")


def draw_starts(
    axes: Axes, eigenvalues: npt.ArrayLike, tail: Tail | None = None, *, floor: float = 0.0, color: str = COLORS[0]
) -> Axes:
    """Draw what a fit gives for each start of the tail: D on the left axis, alpha on the right one.

    Where there are many starts, some of them are drawn, spread evenly over the eigenvalues.

    Args:
        axes: Axes of matplotlib's.
        eigenvalues: 1-D, in any order.
        tail: What was chosen, marked; None for nothing.
        floor: Eigenvalues that are not above it are left out; same unit.
        color: Of D; alpha is orange.

    Returns:
        The axes on the right.
    """
    starts = fits_by_start(np.asarray(eigenvalues, np.float64), floor=floor, most=MOST_STARTS)
    xmin, alpha, distance = (np.array(own) for own in zip(*((s.xmin, s.alpha, s.D) for s in starts), strict=True))
    right: Axes = axes.twinx()
    axes.plot(xmin, distance, color=color, linewidth=1.4)
    right.plot(xmin, alpha, color=COLORS[1], linewidth=1.0)
    chosen = 1.0 if tail is None else tail.alpha
    # Of few eigenvalues alpha may be anything: the axis shows what most starts give, and what was chosen.
    right.set_ylim(1.0, max(2.0, 1.1 * chosen, min(float(np.median(alpha)) * 3.0, float(alpha.max()) * 1.05)))
    if tail is not None:
        axes.axvline(tail.xmin, color="#000000", linewidth=0.9, linestyle=":")
        axes.plot([tail.xmin], [tail.D], "o", color=color, markersize=5)
        right.plot([tail.xmin], [tail.alpha], "o", color=COLORS[1], markersize=5)
    axes.set_xscale("log")
    _part_numbers(axes)
    axes.set_ylim(bottom=0.0)
    axes.set_xlabel("xmin (weight$^2$)")
    axes.set_ylabel("D", color=color)
    right.set_ylabel("alpha", color=COLORS[1])
    return right


def above(eigenvalues: npt.ArrayLike, floor: float) -> npt.NDArray[np.float64]:
    """Return what is finite and above the floor, ascending."""
    own = np.sort(np.asarray(eigenvalues, np.float64).reshape(-1))
    return own[np.isfinite(own) & (own > max(floor, 0.0))]


def log_start(kept: npt.NDArray[np.float64]) -> float:
    """Return where a logarithmic axis begins: a few eigenvalues far below all others would take most of it."""
    low = float(np.quantile(kept, 0.02)) / FAR
    return low if kept[0] < low else float(kept[0])


def _end(kept: npt.NDArray[np.float64]) -> float:
    """Return where a linear axis ends: a few eigenvalues far above all others would take most of it."""
    high = float(np.quantile(kept, 0.95))
    return 2.0 * high if kept[-1] > LONG * high else float(kept[-1])


def density(
    shown: npt.NDArray[np.float64], count: int, scale: Scale
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the edges of bins that are equally wide on the axis, and the density in each.

    Args:
        shown: Eigenvalues that are shown, ascending, at least one.
        count: How many there are with those that are not shown: all together have the area 1.
        scale: Of the axis.
    """
    edges = _bins(shown, scale)
    numbers, _ = np.histogram(shown, edges)
    return edges, numbers / (count * np.diff(edges))


def _draw_density(
    axes: Axes,
    shown: npt.NDArray[np.float64],
    count: int,
    scale: Scale,
    color: str,
    label: str,
    *,
    filled: bool,
) -> None:
    if not shown.size:
        return
    edges, heights = density(shown, count, scale)
    style: dict[str, Any] = {"color": color, "label": label or None}
    if filled:
        # Bars with gaps where nothing is: on a logarithmic axis a height of 0 has no place.
        axes.stairs(np.where(heights > 0, heights, np.nan), edges, fill=True, alpha=0.35, **style)
    else:
        # A step at the middle of each bin that has something: no line falls to the edge of the panel.
        some = heights > 0
        middles = np.sqrt(edges[1:] * edges[:-1]) if scale == "log" else (edges[1:] + edges[:-1]) / 2
        axes.plot(middles[some], heights[some], linewidth=1.3, drawstyle="steps-mid", **style)


def _bins(kept: npt.NDArray[np.float64], scale: Scale) -> npt.NDArray[np.float64]:
    """Return edges of bins that are equally wide on the axis: as many as can be told apart, 10 to 100."""
    count = int(np.clip(2.0 * np.sqrt(kept.size), 10, 100))
    low, high = float(kept[0]), float(kept[-1])
    if not low * (1 + NARROWEST) < high:
        low, high = low * 0.9, high * 1.1
    edges = np.geomspace(low, high, count + 1) if scale == "log" else np.linspace(0.0, high, count + 1)
    edges[0], edges[-1] = min(edges[0], low), high  # rounding must leave nothing out
    return np.asarray(edges)


def _part_numbers(axes: Axes) -> None:
    """Give a logarithmic axis that spans few powers of ten a few short numbers: matplotlib's run into each other."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    low, high = axes.get_xlim()
    if high / low < NARROW:
        axes.xaxis.set_major_locator(
            LogLocator(subs=(1.0, 3.0)) if high / low > 10.0 else MaxNLocator(4, steps=[1, 2, 5, 10])
        )
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.6g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())


def _name_line(axes: Axes, x: float, text: str, side: Literal["left", "right"], color: str) -> None:
    """Name a line above the panel, on one side of it: two lines may be near each other. Of several only the first."""
    if any(own.get_text() == text for own in axes.texts):
        return
    place: Any = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
    axes.annotate(text, (x, 1.0), xytext=(1 if side == "left" else -1, 2), ha=side, fontsize=7, color=color, **place)
