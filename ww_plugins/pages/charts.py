"""Charts as SVG: each has its title, a sentence that says what it shows, and colours that follow the page's.

Every text goes escaped and shortened, and no script is needed to see a chart.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from ww_plugins.commands.plot.esd import above, density, log_start
from ww_plugins.pages.axes import Axis
from ww_plugins.pages.drawing import (
    BOTTOM,
    COLOURS,
    LEFT,
    LETTER,
    LONGEST_NAME,
    RIGHT,
    TOP,
    bars,
    figure,
    grid,
    named,
    points,
    rule,
    sentence,
    stroke,
    written,
)
from ww_plugins.pages.rendering import shown

if TYPE_CHECKING:
    import numpy.typing as npt

    from ww_plugins.commands.plot.esd import Tail

    Numbers = npt.NDArray[np.float64]

SMALLEST = 1e-140
"""Eigenvalues below it, or above its inverse, are not drawn: a density has no number for them."""

LONGEST_TICK = 16
"""Letters of a name under an axis; places with longer names are numbered."""

PEAK = 24
"""Room above and below all points for the names of the largest and the smallest value."""

LONGEST_PEAK = 28
"""Letters of such a name that a narrow screen has room for."""


def spectrum_chart(
    title: str,
    eigenvalues: Numbers,
    *,
    tail: Tail | None = None,
    floor: float = 0.0,
    edge: float | None = None,
    permuted: Numbers | None = None,
) -> Markup:
    """Draw the spectrum of a matrix (ESD) on logarithmic axes, with the power law that was fitted to its tail.

    Every eigenvalue counts in its bin, so that the chart has the same size for ten of them and for ten million.

    Args:
        title: What it is, as the name of the layer.
        eigenvalues: 1-D, in any order, weight^2.
        tail: What was fitted; None for none.
        floor: Eigenvalues that are not above it are rounding, and are left out; same unit.
        edge: Upper edge of the Marchenko-Pastur bulk; same unit.
        permuted: Eigenvalues of the same matrix with its elements permuted, drawn as a line.
    """
    every = above(eigenvalues, floor)
    kept = every[(every > SMALLEST) & (every < 1 / SMALLEST)]
    if not kept.size:
        return figure(title, "No eigenvalue is above the noise floor, and so there is nothing to draw.", [])
    start, largest = log_start(kept), float(kept[-1])
    edges, heights = density(kept[kept >= start], kept.size, "log")
    others = above(permuted, floor) if permuted is not None else np.empty(0)
    others = others[(others >= start) & (others <= largest)]
    other_edges, other_heights = density(others, others.size, "log") if others.size else (edges[:0], heights[:0])
    if edge is not None and not 0 < edge < math.inf:
        edge = None
    beyond = np.array([edges[0], edges[-1], edges[-1] if edge is None else edge])
    x = Axis.around(beyond, LEFT, RIGHT, "log")
    # A tail fit leads below what one eigenvalue is in the widest bin: the axis ends where the bars do.
    y = Axis.around(np.concatenate([heights, other_heights, heights[heights > 0] / 2]), BOTTOM, TOP, "log")
    parts = [*grid(x, y, "eigenvalue (weight²)", "density"), bars(x, y, edges, heights)]
    said = [f"{every.size:,} eigenvalues above the noise floor in {len(heights)} bins, each in its bin"]
    if (hidden := int((every < start).sum())) > 0:
        said.append(f"{hidden:,} below {start:.2g} not shown")
    if (hidden := int((every > largest).sum())) > 0:
        said.append(f"{hidden:,} beyond {largest:.2g} not shown")
    said.append(f"largest {largest:.4g}")
    if others.size:
        some = other_heights > 0
        middles = np.sqrt(other_edges[1:] * other_edges[:-1])
        parts.append(stroke(x.places(middles[some]), y.places(other_heights[some]), "line permuted"))
        said.append("grey line: the same weights in random order")
    if edge is not None:
        parts.append(rule(x.place(edge), "edge"))
        said.append(f"dotted line: edge of the Marchenko-Pastur bulk at {edge:.4g}")
    if tail is None:
        said.append("no power law was fitted")
    elif 0 < tail.xmin < largest:
        ends = np.geomspace(tail.xmin, largest, 24)
        fit = tail.density(ends, kept.size)
        seen = fit >= y.low
        parts += [stroke(x.places(ends[seen]), y.places(fit[seen]), "line fit"), rule(x.place(tail.xmin), "xmin")]
        parts.append(written(RIGHT, TOP - 10, f"alpha {tail.alpha:.4g} from xmin {tail.xmin:.4g}", "end", "told"))
        said.append(
            f"dashed line: power law from xmin {tail.xmin:.4g}, alpha {tail.alpha:.4g} ± {tail.sigma:.2g}, "
            f"D {tail.D:.4g}, {tail.n_tail:,} eigenvalues in the tail"
        )
    else:
        said.append(f"power law from xmin {tail.xmin:.4g}, alpha {tail.alpha:.4g}, beyond the spectrum")
    return figure(title, sentence(said), parts)


def depth_chart(title: str, layers: Sequence[str], values: Mapping[str, Numbers], *, unit: str = "") -> Markup:
    """Draw a column over the layers of one model or of several.

    Args:
        title: What it is, as the name of the column.
        layers: Names of the layers in order, n of them.
        values: Shape (n,) each, by what they are, as the name of the model; NaN where there is no value.
        unit: Of the values; empty for none.
    """
    return _tracks(title, layers, values, {}, unit, "layer, in order")


def history_chart(
    title: str,
    versions: Sequence[str],
    values: Mapping[str, Numbers],
    *,
    marked: Collection[int] = (),
    unit: str = "",
) -> Markup:
    """Draw a column, or several, over the versions of a model.

    Args:
        title: What it is, as the name of the column.
        versions: Labels of the versions in order, n of them.
        values: Shape (n,) each, by what they are; NaN where there is no value.
        marked: Places of versions from which on a level is another one, as ``ww regressions`` tells: each has a line.
        unit: Of the values; empty for none.
    """
    return _tracks(title, versions, values, {at: versions[at] for at in sorted(marked)}, unit, "version, in order")


def trend_chart(
    title: str,
    names: Sequence[str],
    x: Numbers,
    y: Numbers,
    *,
    labels: tuple[str, str],
    line: tuple[float, float] | None = None,
) -> Markup:
    """Draw one number of models over another, with a straight line.

    Args:
        title: What it is.
        names: Names of the models, n of them.
        x: Shape (n,); NaN where there is no value.
        y: Shape (n,).
        labels: What x and y are.
        line: Intercept and slope of y over x; None for none.
    """
    there = np.isfinite(x) & np.isfinite(y)
    horizontal, vertical = Axis.around(x[there], LEFT, RIGHT), Axis.around(y[there], BOTTOM, TOP)
    parts = grid(horizontal, vertical, *labels)
    said = [f"{int(there.sum()):,} models"]
    if line is not None and there.any():
        ends = np.array([horizontal.low, horizontal.high])
        with np.errstate(over="ignore", invalid="ignore"):
            heights = line[0] + line[1] * ends
        if np.isfinite(heights).all():
            parts.append(stroke(horizontal.places(ends), vertical.places(heights), "line fit"))
            sign = "-" if line[1] < 0 else "+"
            said.append(
                f"dashed line: {shown(labels[1])} = {line[0]:.4g} {sign} {abs(line[1]):.4g} · {shown(labels[0])}"
            )

    def told(at: int) -> str:
        return f"{named(names[at])}: {x[at]:.4g}, {y[at]:.4g}"

    parts.append(points(horizontal.places(x), vertical.places(y), told, 0))
    return figure(title, sentence(said), parts)


def _tracks(
    title: str, names: Sequence[str], values: Mapping[str, Numbers], marked: Mapping[int, str], unit: str, below: str
) -> Markup:
    """Draw values over places in a row: a line and its points for each track."""
    every = np.concatenate([np.empty(0), *values.values()])
    x = Axis(0.5, max(len(names), 1) + 0.5, LEFT, RIGHT)
    ticks = _places_of(names)
    several = len(values) > 1
    has_peaks = not several and len(ticks) < len(names)
    room = PEAK if has_peaks else 0
    y = Axis.around(every, BOTTOM - room, TOP + room)
    parts = [*grid(x, y, below, unit, ticks), *_marks(x, marked)]
    said = []
    for number, (label, own) in enumerate(values.items()):
        colour = number % COLOURS
        places, heights = x.places(np.arange(1.0, len(own) + 1)), y.places(own)
        parts.append(stroke(places, heights, f"line line{colour}"))

        def told(at: int, own: Numbers = own) -> str:
            return f"{named(names[at])}: {own[at]:.4g}"

        parts.append(points(places, heights, told, colour))
        parts += _peaks(names, own, places, heights, marked) if has_peaks else []
        said.append(f"{f'{named(label)}: ' if several else ''}{_range(names, own)}")
    if marked:
        said.append(f"red lines: another level from {', '.join(map(named, marked.values()))} on")
    return figure(title, sentence(said), parts, list(values) if several else [])


def _range(names: Sequence[str], values: Numbers) -> str:
    there = np.flatnonzero(np.isfinite(values))
    if not there.size:
        return "no value"
    low, high = int(there[values[there].argmin()]), int(there[values[there].argmax()])
    count = f"{there.size:,} of {len(values):,} {'has' if there.size == 1 else 'have'} a value"
    if values[low] == values[high]:
        return f"{count}, all {values[low]:.4g}"
    return (
        f"{count}, from {values[low]:.4g} ({named(names[low])}) to {values[high]:.4g} ({named(names[high])}), "
        f"the last {values[there[-1]]:.4g}"
    )


def _places_of(names: Sequence[str]) -> list[tuple[float, str]]:
    """Return ticks under places in a row: as many names as there is room for, or numbers where names are long."""
    count = len(names)
    longest = max(map(len, names), default=0)
    room = (RIGHT - LEFT) / LETTER
    every = max(1, math.ceil(count * (longest + 2) / room))
    if 0 < longest <= LONGEST_TICK and every * 3 <= count + 2:
        # The last place is at the edge of the paper, where a long name would be cut off.
        last = count if every == 1 else count - every // 2
        return [(at, names[at - 1]) for at in range(1, last + 1, every)]
    every = max(1, -(-count // 10))
    return [(at, str(at)) for at in range(1, count + 1, every)]


def _marks(x: Axis, marked: Mapping[int, str]) -> list[Markup]:
    """Draw a line at each marked place, with its name above where the one before leaves room."""
    parts, free = [], float(LEFT + LETTER * len("log10 weight^2"))
    for at, name in marked.items():
        place, half = x.place(at + 1), LETTER * min(len(name), LONGEST_NAME) / 2
        parts.append(rule(place, "mark"))
        middle = min(place, RIGHT - half)
        if middle - half >= free:
            parts.append(written(middle, TOP - 10, name, "middle", "told"))
            free = middle + half + LETTER
    return parts


def _peaks(names: Sequence[str], values: Numbers, x: Numbers, y: Numbers, marked: Collection[int]) -> list[Markup]:
    """Name the points of the largest value, above it, and of the smallest, below it, unless they are marked."""
    there = np.flatnonzero(np.isfinite(values))
    if there.size < 2 or values[there].min() == values[there].max():
        return []
    parts = []
    third = (RIGHT - LEFT) / 3
    for at, beyond in ((int(there[values[there].argmax()]), -9), (int(there[values[there].argmin()]), 19)):
        if at in marked:
            continue
        anchor = "start" if x[at] < LEFT + third else "end" if x[at] > RIGHT - third else "middle"
        name = "peak" if len(names[at]) <= LONGEST_PEAK else "peak wide"
        parts.append(written(float(x[at]), float(y[at]) + beyond, names[at], anchor, name))
    return parts
