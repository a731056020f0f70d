"""What charts are made of: axes with their ticks, bars, lines, points, texts, and the figure around them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from ww_plugins.pages.axes import Axis
from ww_plugins.pages.rendering import shown

if TYPE_CHECKING:
    import numpy.typing as npt

    Numbers = npt.NDArray[np.float64]

WIDTH, HEIGHT = 640, 320
LEFT, RIGHT, TOP, BOTTOM = 72, 626, 32, 264
"""Edges of the panel, in units of the paper."""

MOST_NAMED = 200
"""Points that each tell their name and value under the mouse; more of them are drawn as one line."""

LONGEST_NAME = 60

LETTER = 11
"""Width of a letter on a narrow screen, where letters are largest, in units of the paper."""

COLOURS = 6
"""Colours of lines that the style sheet has; more lines repeat them."""


def grid(x: Axis, y: Axis, below: str, beside: str, ticks: Sequence[tuple[float, str]] | None = None) -> list[Markup]:
    """Draw ticks with their numbers, the lines behind the data, and what the axes are."""
    lines, texts = [], []
    for value, text in x.ticks() if ticks is None else ticks:
        place = x.place(value)
        lines.append(f"M{place:.1f} {TOP}V{BOTTOM}")
        texts.append(written(place, BOTTOM + 20, text, "middle"))
    for value, text in y.ticks(5):
        place = y.place(value)
        lines.append(f"M{LEFT} {place:.1f}H{RIGHT}")
        texts.append(written(LEFT - 6, place + 5, text, "end"))
    frame = f"M{LEFT} {TOP}V{BOTTOM}H{RIGHT}"
    return [
        Markup('<path class="grid" d="{}"/>').format("".join(lines)),
        Markup('<path class="axis" d="{}"/>').format(frame),
        *texts,
        written((LEFT + RIGHT) / 2, HEIGHT - 8, below, "middle"),
        *([written(4, TOP - 10, beside, "start")] if beside else []),
    ]


def bars(x: Axis, y: Axis, edges: Numbers, heights: Numbers) -> Markup:
    """Draw bars with gaps where nothing is: on a logarithmic axis a height of 0 has no place."""
    places, tops = x.places(edges), y.places(heights)
    columns = [
        f"M{places[at]:.1f} {BOTTOM}V{tops[at]:.1f}H{places[at + 1]:.1f}V{BOTTOM}" for at in np.flatnonzero(heights > 0)
    ]
    return Markup('<path class="bars" d="{}"/>').format("".join(columns))


def stroke(x: Numbers, y: Numbers, name: str) -> Markup:
    """Draw a line through points; it has a gap where there is no value."""
    steps, is_drawn = [], False
    for across, down in zip(x.tolist(), y.tolist(), strict=True):
        if math.isfinite(across) and math.isfinite(down):
            steps.append(f"{'L' if is_drawn else 'M'}{across:.1f} {down:.1f}")
            is_drawn = True
        else:
            is_drawn = False
    return Markup('<path class="{}" d="{}"/>').format(name, "".join(steps))


def points(x: Numbers, y: Numbers, told: Callable[[int], str], colour: int) -> Markup:
    """Draw points, each with what is told of its place where they are few; of many all are one line of dots."""
    there = np.flatnonzero(np.isfinite(x) & np.isfinite(y)).tolist()
    if len(there) > MOST_NAMED:
        dots = "".join(
            [f"M{own:.1f} {other:.1f}h0" for own, other in zip(x[there].tolist(), y[there].tolist(), strict=True)]
        )
        return Markup('<path class="dots line{}" d="{}"/>').format(colour, dots)
    return Markup("").join(
        Markup('<circle class="dot{}" cx="{}" cy="{}" r="3.5"><title>{}</title></circle>').format(
            colour, f"{x[at]:.1f}", f"{y[at]:.1f}", told(at)
        )
        for at in there
    )


def rule(place: float, name: str) -> Markup:
    """Draw an upright line through the panel."""
    return Markup('<path class="rule {}" d="M{} {}V{}"/>').format(name, f"{place:.1f}", TOP, BOTTOM)


def written(x: float, y: float, text: str, anchor: str, name: str = "tick") -> Markup:
    """Write a text at a place: the start, the middle or the end of its line, as the anchor says."""
    return Markup('<text class="{}" x="{}" y="{}" text-anchor="{}">{}</text>').format(
        name, f"{x:.1f}", f"{y:.1f}", anchor, named(text)
    )


def named(text: str) -> str:
    """Return a name as a chart shows it, of at most ``LONGEST_NAME`` letters."""
    told = shown(text)
    return told if len(told) <= LONGEST_NAME else f"{told[: LONGEST_NAME - 1]}…"


def sentence(said: Sequence[str]) -> str:
    """Return what a chart says of itself as one sentence."""
    return f"{'; '.join(said)}."


def figure(title: str, sentence: str, parts: Sequence[Markup], lines: Sequence[str] = ()) -> Markup:
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
    items = [item.format(number % COLOURS, named(line)) for number, line in enumerate(lines)]
    return Markup('<ul class="legend">{}</ul>').format(Markup("").join(items))
