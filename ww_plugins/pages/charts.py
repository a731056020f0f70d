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

WIDTH, HEIGHT = 640, 320
LEFT, RIGHT, TOP, BOTTOM = 72, 626, 32, 264
"""Edges of the panel, in units of the paper."""

MOST_NAMED = 200
"""Points that each tell their name and value under the mouse; more of them are drawn as one line."""

SMALLEST = 1e-140
"""Eigenvalues below it, or above its inverse, are not drawn: a density has no number for them."""

LONGEST_NAME = 60

LETTER = 11
"""Width of a letter on a narrow screen, where letters are largest, in units of the paper."""

LONGEST_TICK = 16
"""Letters of a name under an axis; places with longer names are numbered."""

PEAK = 24
"""Room above and below all points for the names of the largest and the smallest value."""

LONGEST_PEAK = 28
"""Letters of such a name that a narrow screen has room for."""

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
        parts.append(_text(RIGHT, TOP - 10, f"alpha {tail.alpha:.4g} from xmin {tail.xmin:.4g}", "end", "told"))
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
            sign = "-" if line[1] < 0 else "+"
            said.append(f"dashed line: {shown(labels[1])} = {line[0]:.4g} {sign} {abs(line[1]):.4g} · {shown(labels[0])}")
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
    x = Axis(0.5, max(len(names), 1) + 0.5, LEFT, RIGHT)
    ticks = _places_of(names)
    several = len(values) > 1
    has_peaks = not several and len(ticks) < len(names)
    room = PEAK if has_peaks else 0
    y = Axis.around(every, BOTTOM - room, TOP + room)
    parts = [*_grid(x, y, below, unit, ticks), *_marks(x, marked)]
    said = []
    for number, (label, own) in enumerate(values.items()):
        colour = number % COLOURS
        places, heights = x.places(np.arange(1.0, len(own) + 1)), y.places(own)
        parts.append(_line(places, heights, f"line line{colour}"))
        told = [f"{_name(name)}: {value:.4g}" for name, value in zip(names, own.tolist(), strict=True)]
        parts.append(_points(places, heights, told, colour))
        parts += _peaks(names, own, places, heights) if has_peaks else []
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
    """Return ticks under places in a row: as many names as there is room for, or numbers where names are long."""
    count = len(names)
    longest = max(map(len, names), default=0)
    room = (RIGHT - LEFT) / LETTER
    every = max(1, math.ceil(count * (longest + 2) / room))
    if 0 < longest <= LONGEST_TICK and every * 3 <= count + 2:
        return [(at, names[at - 1]) for at in range(1, count + 1, every)]
    every = max(1, -(-count // 10))
    return [(at, str(at)) for at in range(1, count + 1, every)]


def _marks(x: Axis, marked: Mapping[int, str]) -> list[Markup]:
    """Draw a line at each marked place, with its name above where the one before leaves room."""
    parts, free = [], float(LEFT + LETTER * len("log10 weight^2"))
    for at, name in marked.items():
        place, half = x.place(at + 1), LETTER * min(len(name), LONGEST_NAME) / 2
        parts.append(_rule(place, "mark"))
        middle = min(place, RIGHT - half)
        if middle - half >= free:
            parts.append(_text(middle, TOP - 10, name, "middle", "told"))
            free = middle + half + LETTER
    return parts


def _peaks(names: Sequence[str], values: Numbers, x: Numbers, y: Numbers) -> list[Markup]:
    """Name the points of the largest value, above it, and of the smallest, below it."""
    there = np.flatnonzero(np.isfinite(values))
    if there.size < 2 or values[there].min() == values[there].max():
        return []
    parts = []
    third = (RIGHT - LEFT) / 3
    for at, beyond in ((int(there[values[there].argmax()]), -9), (int(there[values[there].argmin()]), 19)):
        anchor = "start" if x[at] < LEFT + third else "end" if x[at] > RIGHT - third else "middle"
        name = "peak" if len(names[at]) <= LONGEST_PEAK else "peak wide"
        parts.append(_text(float(x[at]), float(y[at]) + beyond, names[at], anchor, name))
    return parts


def _grid(x: Axis, y: Axis, below: str, beside: str, ticks: Sequence[tuple[float, str]] | None = None) -> list[Markup]:
    """Draw ticks with their numbers, the lines behind the data, and what the axes are."""
    lines, texts = [], []
    for value, text in x.ticks() if ticks is None else ticks:
        place = x.place(value)
        lines.append(f"M{place:.1f} {TOP}V{BOTTOM}")
        is_last = place + LETTER * len(text) / 2 > WIDTH
        texts.append(_text(WIDTH if is_last else place, BOTTOM + 20, text, "end" if is_last else "middle"))
    for value, text in y.ticks(5):
        place = y.place(value)
        lines.append(f"M{LEFT} {place:.1f}H{RIGHT}")
        texts.append(_text(LEFT - 6, place + 5, text, "end"))
    frame = f"M{LEFT} {TOP}V{BOTTOM}H{RIGHT}"
    return [
        Markup('<path class="grid" d="{}"/>').format("".join(lines)),
        Markup('<path class="axis" d="{}"/>').format(frame),
        *texts,
        _text((LEFT + RIGHT) / 2, HEIGHT - 8, below, "middle"),
        *([_text(4, TOP - 10, beside, "start")] if beside else []),
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


def _text(x: float, y: float, text: str, anchor: str, name: str = "tick") -> Markup:
    return Markup('<text class="{}" x="{}" y="{}" text-anchor="{}">{}</text>').format(
        name, f"{x:.1f}", f"{y:.1f}", anchor, _name(text)
    )


def _name(text: str) -> str:
    told = shown(text)
    return told if len(told) <= LONGEST_NAME else f"{told[: LONGEST_NAME - 1]}…"


def _sentence(said: Sequence[str]) -> str:
    return f"{'; '.join(said)}."


def _figure(title: str, sentence: str, parts: Sequence[Markup], lines: Sequence[str] = ()) -> Markup:
    """Return a figure: its title, the drawing, what its lines are, and the sentence under it for all to read."""
    drawing = Markup("")
    if parts:
        drawing = Markup(
            '<svg class="chart" viewBox="0 0 {} {}" role="img"><title>{}</title><desc>{}</desc>{}</svg>'
        ).format(WIDTH, HEIGHT, shown(title), sentence, Markup("").join(parts))
    return Markup('<figure><p class="charted"><bdi>{}</bdi></p>{}{}<figcaption>{}</figcaption></figure>').format(
        shown(title), drawing, _legend(lines) if lines else "", sentence
    )


def _legend(lines: Sequence[str]) -> Markup:
    item = Markup(
        '<li><svg class="sign" viewBox="0 0 28 8" aria-hidden="true"><path class="line line{}" d="M0 4H28"/></svg> '
        "<bdi>{}</bdi></li>"
    )
    items = [item.format(number % COLOURS, _name(line)) for number, line in enumerate(lines)]
    return Markup('<ul class="legend">{}</ul>').format(Markup("").join(items))
