"""Colours of pages: text has the contrast that WCAG AA asks for, and lines of charts too, in light and in dark."""

import re

import pytest

from ww_plugins.pages.rendering import asset

TEXTS = ("ink", "soft", "accent", "worse", "better", "fit")
PAPERS = ("paper", "shade", "warn-paper")
LINES = ("fit", "warn-line", *(f"line{number}" for number in range(6)))


def luminance(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (own / 12.92 if own <= 0.04045 else ((own + 0.055) / 1.055) ** 2.4 for own in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1, 2], ids=["light", "dark", "print"])
def test_contrast(scheme):
    block = re.findall(r":root \{(.*?)\}", asset("ww.css"), re.DOTALL)[scheme]
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
    assert min(contrast(colours[text], colours[paper]) for text in TEXTS for paper in PAPERS) >= 4.5
    assert min(contrast(colours[line], colours["paper"]) for line in LINES) >= 3
    assert contrast(colours["fit"], colours["bars"]) >= 3


def test_what_has_the_focus_is_seen():
    assert ":focus-visible { outline: 3px solid var(--accent)" in asset("ww.css")
    assert not re.search(r"outline: *(?:none|0)", asset("ww.css"))


def test_script_and_style_hold_no_end_tag_and_call_nothing_from_elsewhere():
    for name in ("ww.css", "ww.js"):
        assert not re.search(r"</|<!--|https?:|url\(|@import|eval\(|innerHTML|\.on\w+ *=", asset(name))


def test_on_paper_no_button_keeps_the_head_of_a_table_from_every_page():
    printed = asset("ww.css").rpartition("@media print {")[2]
    assert "thead button { display: contents; }" in printed
