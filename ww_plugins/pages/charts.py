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
from ww_plugins.pages.rendering import shown

if TYPE_CHECKING:
    import numpy.typing as npt

    from ww_plugins.commands.plot.esd import Tail

    Numbers = npt.NDArray[np.float64]

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 62, 626, 26, 256
"""Edges of the panel, in units of the paper."""

MOST_NAMED = 200
"""Points that each tell their name and value under the mouse; more of them are drawn as one line."""

SMALLEST = 1e-140
"""Eigenvalues below it, or above its inverse, are not drawn: a density has no number for them."""

LONGEST_NAME = 60
COLOURS = 6
"""Colours of lines that the style sheet has; more lines repeat them."""


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
        return _figure(title, "No eigenvalue is above the noise floor, and so there is nothing to draw.", [])
    start, largest = log_start(kept), float(kept[-1])
    edges, heights = density(kept[kept >= start], kept.size, "log")
    others = above(permuted, floor) if permuted is not None else np.empty(0)
    others = others[(others >= start) & (others <= largest)]
    other_edges, other_heights = density(others, others.size, "log") if others.size else (edges[:0], heights[:0])
    beyond = np.array([edges[0], edges[-1], edge if edge is not None and edge > 0 else edges[-1]])
    x = Axis.around(beyond, LEFT, RIGHT, "log")
    # A tail fit leads below what one eigenvalue is in the widest bin: the axis ends where the bars do.
    y = Axis.around(np.concatenate([heights, other_heights, heights[heights > 0] / 2]), BOTTOM, TOP, "log")
    parts = [*_grid(x, y, "eigenvalue (weight²)", "density"), _bars(x, y, edges, heights)]
    said = [f"{every.size:,} eigenvalues above the noise floor in {len(heights)} bins, each in its bin"]
    if (hidden := int((every < start).sum())) > 0:
        said.append(f"{hidden:,} below {start:.2g} not shown")
    if (hidden := int((every > largest).sum())) > 0:
        said.append(f"{hidden:,} beyond {largest:.2g} not shown")
    said.append(f"largest {largest:.4g}")
    if others.size:
        some = other_heights > 0
        middles = np.sqrt(other_edges[1:] * other_edges[:-1])
        parts.append(_line(x.places(middles[some]), y.places(other_heights[some]), "line permuted"))
        said.append("grey line: the same weights in random order")
    if edge is not None and edge > 0:
        parts.append(_rule(x.place(edge), "edge"))
        said.append(f"dotted line: edge of the Marchenko-Pastur bulk at {edge:.4g}")
    if tail is None:
        said.append("no power law was fitted")
    elif 0 < tail.xmin < largest:
        ends = np.geomspace(tail.xmin, largest, 24)
        fit = tail.density(ends, kept.size)
        seen = fit >= y.low
        parts += [_line(x.places(ends[seen]), y.places(fit[seen]), "line fit"), _rule(x.place(tail.xmin), "xmin")]
        said.append(
            f"dashed line: power law from xmin {tail.xmin:.4g}, alpha {tail.alpha:.4g} ± {tail.sigma:.2g}, "
            f"D {tail.D:.4g}, {tail.n_tail:,} eigenvalues in the tail"
        )
    else:
        said.append(f"power law from xmin {tail.xmin:.4g}, alpha {tail.alpha:.4g}, beyond the spectrum")
    return _figure(title, _sentence(said), parts)


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
    parts = _grid(horizontal, vertical, *labels)
    said = [f"{int(there.sum()):,} models"]
    if line is not None and there.any():
        ends = np.array([horizontal.low, horizontal.high])
        with np.errstate(over="ignore", invalid="ignore"):
            heights = line[0] + line[1] * ends
        if np.isfinite(heights).all():
            parts.append(_line(horizontal.places(ends), vertical.places(heights), "line fit"))
            said.append(f"dashed line: {shown(labels[1])} = {line[0]:.4g} {line[1]:+.4g} · {shown(labels[0])}")
    told = [
        f"{_name(name)}: {own:.4g}, {other:.4g}" for name, own, other in zip(names, x.tolist(), y.tolist(), strict=True)
    ]
    parts.append(_points(horizontal.places(x), vertical.places(y), told, 0))
    return _figure(title, _sentence(said), parts)


def _tracks(
    title: str, names: Sequence[str], values: Mapping[str, Numbers], marked: Mapping[int, str], unit: str, below: str
) -> Markup:
    """Draw values over places in a row: a line and its points for each track."""
    every = np.concatenate([np.empty(0), *values.values()])
    y = Axis.around(every, BOTTOM, TOP)
    x = Axis(0.5, max(len(names), 1) + 0.5, LEFT, RIGHT)
    parts = [*_grid(x, y, below, unit, _places_of(names)), *(_rule(x.place(at + 1), "mark") for at in marked)]
    said = []
    several = len(values) > 1
    for number, (label, own) in enumerate(values.items()):
        colour = number % COLOURS
        places, heights = x.places(np.arange(1.0, len(own) + 1)), y.places(own)
        parts.append(_line(places, heights, f"line line{colour}"))
        told = [f"{_name(name)}: {value:.4g}" for name, value in zip(names, own.tolist(), strict=True)]
        parts.append(_points(places, heights, told, colour))
        said.append(f"{f'{_name(label)}: ' if several else ''}{_range(names, own)}")
    if marked:
        said.append(f"red lines: another level from {', '.join(map(_name, marked.values()))} on")
    return _figure(title, _sentence(said), parts, list(values) if several else [])


def _range(names: Sequence[str], values: Numbers) -> str:
    there = np.flatnonzero(np.isfinite(values))
    if not there.size:
        return "no value"
    low, high = int(there[values[there].argmin()]), int(there[values[there].argmax()])
    count = f"{there.size:,} of {len(values):,} have a value"
    if values[low] == values[high]:
        return f"{count}, all {values[low]:.4g}"
    return (
        f"{count}, from {values[low]:.4g} ({_name(names[low])}) to {values[high]:.4g} ({_name(names[high])}), "
        f"the last {values[there[-1]]:.4g}"
    )


def _places_of(names: Sequence[str]) -> list[tuple[float, str]]:
    """Return ticks under places in a row: names where they are few and short, else numbers from 1 on."""
    count = len(names)
    if count and count * max(8, max(len(name) for name in names)) <= 100:
        return [(at, name) for at, name in enumerate(names, 1)]
    every = max(1, -(-count // 10))
    return [(at, str(at)) for at in range(1, count + 1, every)]


def _grid(x: Axis, y: Axis, below: str, beside: str, ticks: Sequence[tuple[float, str]] | None = None) -> list[Markup]:
    """Draw ticks with their numbers, the lines behind the data, and what the axes are."""
    lines, texts = [], []
    for value, text in x.ticks() if ticks is None else ticks:
        place = x.place(value)
        lines.append(f"M{place:.1f} {TOP}V{BOTTOM}")
        texts.append(_text(place, BOTTOM + 16, text, "middle"))
    for value, text in y.ticks(5):
        place = y.place(value)
        lines.append(f"M{LEFT} {place:.1f}H{RIGHT}")
        texts.append(_text(LEFT - 6, place + 4, text, "end"))
    frame = f"M{LEFT} {TOP}V{BOTTOM}H{RIGHT}"
    return [
        Markup('<path class="grid" d="{}"/>').format("".join(lines)),
        Markup('<path class="axis" d="{}"/>').format(frame),
        *texts,
        _text((LEFT + RIGHT) / 2, HEIGHT - 8, below, "middle"),
        *([_text(4, TOP - 12, beside, "start")] if beside else []),
    ]


def _bars(x: Axis, y: Axis, edges: Numbers, heights: Numbers) -> Markup:
    """Draw bars with gaps where nothing is: on a logarithmic axis a height of 0 has no place."""
    places, tops = x.places(edges), y.places(heights)
    bars = [
        f"M{places[at]:.1f} {BOTTOM}V{tops[at]:.1f}H{places[at + 1]:.1f}V{BOTTOM}" for at in np.flatnonzero(heights > 0)
    ]
    return Markup('<path class="bars" d="{}"/>').format("".join(bars))


def _line(x: Numbers, y: Numbers, name: str) -> Markup:
    """Draw a line through points; it has a gap where there is no value."""
    steps, is_drawn = [], False
    for across, down in zip(x.tolist(), y.tolist(), strict=True):
        if math.isfinite(across) and math.isfinite(down):
            steps.append(f"{'L' if is_drawn else 'M'}{across:.1f} {down:.1f}")
            is_drawn = True
        else:
            is_drawn = False
    return Markup('<path class="{}" d="{}"/>').format(name, "".join(steps))


def _points(x: Numbers, y: Numbers, told: Sequence[str], colour: int) -> Markup:
    """Draw points, each with its name where they are few; of many all are one line of dots."""
    there = np.flatnonzero(np.isfinite(x) & np.isfinite(y)).tolist()
    if len(there) > MOST_NAMED:
        dots = "".join(f"M{x[at]:.1f} {y[at]:.1f}h0" for at in there)
        return Markup('<path class="dots line{}" d="{}"/>').format(colour, dots)
    return Markup("").join(
        Markup('<circle class="dot{}" cx="{}" cy="{}" r="3.5"><title>{}</title></circle>').format(
            colour, f"{x[at]:.1f}", f"{y[at]:.1f}", told[at]
        )
        for at in there
    )


def _rule(place: float, name: str) -> Markup:
    return Markup('<path class="rule {}" d="M{} {}V{}"/>').format(name, f"{place:.1f}", TOP, BOTTOM)


def _text(x: float, y: float, text: str, anchor: str) -> Markup:
    return Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(f"{x:.1f}", f"{y:.1f}", anchor, _name(text))


def _name(text: str) -> str:
    told = shown(text)
    return told if len(told) <= LONGEST_NAME else f"{told[: LONGEST_NAME - 1]}…"


def _sentence(said: Sequence[str]) -> str:
    return f"{'; '.join(said)}."


def _figure(title: str, sentence: str, parts: Sequence[Markup], lines: Sequence[str] = ()) -> Markup:
    """Return a figure: the drawing with its title, what its lines are, and the sentence under it for all to read."""
    drawing = Markup("")
    if parts:
        drawing = Markup(
            '<svg class="chart" viewBox="0 0 {} {}" role="img"><title>{}</title><desc>{}</desc>{}</svg>'
        ).format(WIDTH, HEIGHT, shown(title), sentence, Markup("").join(parts))
    return Markup("<figure>{}{}<figcaption><strong><bdi>{}</bdi></strong> {}</figcaption></figure>").format(
        drawing, _legend(lines) if lines else "", shown(title), sentence
    )


def _legend(lines: Sequence[str]) -> Markup:
    item = Markup(
        '<li><svg class="sign" viewBox="0 0 28 8" aria-hidden="true"><path class="line line{}" d="M0 4H28"/></svg> '
        "<bdi>{}</bdi></li>"
    )
    items = [item.format(number % COLOURS, _name(line)) for number, line in enumerate(lines)]
    return Markup('<ul class="legend">{}</ul>').format(Markup("").join(items))
