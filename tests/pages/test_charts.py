"""Charts are whole drawings with text for those who do not see them, whatever the numbers and the names."""

import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ww_plugins.commands.plot.esd import Tail
from ww_plugins.pages.axes import Axis
from ww_plugins.pages.charts import depth_chart, history_chart, spectrum_chart, trend_chart
from ww_plugins.pages.drawing import HEIGHT, LETTER, WIDTH
from ww_plugins.pages.rendering import LONGEST, shown

NUMBERS = st.floats(allow_nan=True, allow_infinity=True, width=64)
NAMES = st.text(max_size=12)
PARETO = np.random.default_rng(0).pareto(2.0, 500) + 1.0


def drawing(chart):
    """The drawing of a figure, which must be well-formed and on its paper."""
    figure = ET.fromstring(str(chart))
    for place in ("cx", "cy", "x", "y"):
        for own in figure.iter():
            assert place not in own.attrib or -1 <= float(own.get(place)) <= 641
    for path in figure.iter("path"):
        assert not re.search("nan|inf", path.get("d"))
    return figure.find("svg"), figure.find("figcaption")


@settings(max_examples=25, deadline=None)
@given(arrays(np.float64, st.integers(0, 8), elements=NUMBERS), st.data())
def test_any_numbers_and_any_names_make_a_drawing(values, data):
    names = data.draw(st.lists(NAMES, min_size=len(values), max_size=len(values)))
    others = data.draw(arrays(np.float64, len(values), elements=NUMBERS))
    title = data.draw(NAMES)
    svg, caption = drawing(depth_chart(title, names, {"one": values, title: others}))
    assert svg.find("title").text in {shown(title), None}
    assert svg.find("desc").text in "".join(caption.itertext())
    drawing(history_chart(title, names, {title: values}, marked=range(len(names))))
    drawing(trend_chart(title, names, values, others, labels=(title, title), line=(0.0, 1e300)))
    drawing(spectrum_chart(title, values))


@settings(max_examples=60, deadline=None)
@given(arrays(np.float64, st.integers(1, 5), elements=NUMBERS), st.sampled_from(["linear", "log"]))
def test_an_axis_holds_its_numbers_and_has_few_ticks(values, scale):
    axis = Axis.around(values, 0.0, 100.0, scale)
    assert axis.low < axis.high
    known = values[np.isfinite(values) & ((values > 0) | (scale == "linear"))]
    places = axis.places(known)
    assert ((places >= 0) & (places <= 100)).all()
    assert (np.diff(places[np.argsort(known)]) >= 0).all()
    ticks = axis.ticks()
    assert 1 <= len(ticks) <= 14
    assert all(np.isfinite(axis.place(tick)) for tick, _ in ticks)


def test_an_axis_of_many_decades_has_powers_of_ten():
    assert [text for _, text in Axis(1e-8, 1.0, 0, 1, "log").ticks(5)] == ["10⁻⁸", "10⁻⁶", "10⁻⁴", "10⁻²", "10⁰"]
    assert [text for _, text in Axis(0.01, 100.0, 0, 1, "log").ticks(5)] == ["0.01", "0.1", "1", "10", "100"]


def test_a_spectrum_says_its_fit_in_words():
    tail = Tail(alpha=3.0, xmin=1.5, D=0.05, sigma=0.1, n_tail=200)
    chart = spectrum_chart("layer", PARETO, tail=tail, edge=2.0, permuted=PARETO[:50])
    svg, _ = drawing(chart)
    said = svg.find("desc").text
    for words in (
        "500 eigenvalues",
        "alpha 3 ± 0.1",
        "xmin 1.5",
        "D 0.05",
        "200 eigenvalues in the tail",
        "random order",
    ):
        assert words in said
    assert {own.get("class") for own in svg.iter("path")} >= {"bars", "line fit", "rule xmin", "rule edge"}


def test_a_spectrum_is_as_large_for_a_million_eigenvalues_as_for_a_thousand():
    many = np.random.default_rng(1).pareto(2.0, 1_000_000) + 1.0
    assert len(spectrum_chart("layer", many)) < 6_000


@pytest.mark.parametrize("eigenvalues", [[], [0.0, 0.0], [np.nan], [1e-30]])
def test_a_spectrum_without_eigenvalues_says_so(eigenvalues):
    chart = spectrum_chart("layer", np.array(eigenvalues, float), floor=1e-20)
    assert "nothing to draw" in chart
    assert "<svg" not in chart


def test_regressions_are_marked_and_named():
    chart = history_chart("alpha", ["v1", "v2", "v3"], {"alpha": np.array([1.0, 1.0, 5.0])}, marked=[2])
    assert chart.count('class="rule mark"') == 1
    assert "another level from v3 on" in chart


def texts(chart, name):
    """The texts of a drawing that are of a kind, with their places."""
    own = ET.fromstring(str(chart)).iter("text")
    return {text.text: float(text.get("x")) for text in own if name in text.get("class").split()}


def test_the_largest_and_the_smallest_layer_are_named_at_their_points():
    names = [f"block.{at}.attention.dense" for at in range(40)]
    chart = depth_chart("alpha", names, {"net": np.r_[np.linspace(3, 5, 38), 1.0, 9.0]})
    assert texts(chart, "peak").keys() == {names[38], names[39]}
    assert not texts(depth_chart("alpha", names[:3], {"net": np.arange(3.0)}), "peak").keys() - set(names)
    assert not texts(depth_chart("alpha", names, {"a": np.arange(40.0), "b": np.ones(40)}), "peak")


def test_a_mark_names_its_version_once():
    names = [f"epoch-{at}" for at in range(1, 13)]
    chart = history_chart("alpha", names, {"alpha": np.r_[np.ones(11), 5.0]}, marked=[11])
    assert texts(chart, "told").keys() == {"epoch-12"}
    assert "epoch-12" not in texts(chart, "peak")


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(1, 30))
def test_names_under_an_axis_do_not_meet(count, length):
    chart = depth_chart("alpha", [f"{at:0{length}}"[-length:] for at in range(count)], {"net": np.ones(count)})
    y = max(float(own.get("y")) for own in ET.fromstring(str(chart)).iter("text") if own.get("text-anchor") == "end")
    ticks = [own for own in ET.fromstring(str(chart)).iter("text") if y < float(own.get("y")) < HEIGHT - 20]
    places = [(float(own.get("x")), LETTER * len(own.text) / 2) for own in ticks]
    assert places
    for (one, half), (other, other_half) in pairwise(places):
        assert one + half < other - other_half
    assert places[-1][0] + places[-1][1] <= WIDTH + LETTER


def test_a_long_text_is_cut_and_says_how_long_it_was():
    told = shown("x" * 1_000_000)
    assert len(told) < LONGEST + 40
    assert "1,000,000 characters" in told


def test_what_changes_the_direction_of_text_is_escaped():
    assert shown("a\u202eb\x1b[1m\n") == r"a\u202eb\x1b[1m\x0a"


def test_eigenvalues_that_differ_by_their_last_digits_are_one_bar():
    ulp = 2.0**-52
    for values in (1.0 + ulp * np.arange(12), 1e16 * (1.0 + ulp * np.arange(3)), np.array([1e-16, 1e-16 * (1 + ulp)])):
        svg, _ = drawing(spectrum_chart("orthogonal", values))
        (bars,) = (own.get("d") for own in svg.iter("path") if own.get("class") == "bars")
        assert bars.count("M") == 1


def test_what_is_not_finite_is_no_point():
    values = np.array([1.0, np.inf, 3.0, -np.inf, np.nan])
    for chart in (
        depth_chart("column", [*"abcde"], {"net": values}),
        trend_chart("trend", [*"abcde"], values, np.arange(5.0), labels=("x", "y")),
        trend_chart("trend", [*"abcde"], np.arange(5.0), values, labels=("x", "y")),
    ):
        svg, _ = drawing(chart)
        assert [own.find("title").text[0] for own in svg.iter("circle")] == ["a", "c"]
    svg, _ = drawing(spectrum_chart("spectrum", PARETO, edge=np.inf))
    assert not [own for own in svg.iter("path") if "rule" in own.get("class")]
