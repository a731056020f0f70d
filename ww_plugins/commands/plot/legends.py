"""Legends that tell every name as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def legend_label(text: str) -> str:
    """Return a text as a label that a legend shows: matplotlib leaves out those that begin with an underscore."""
    return f" {text}" if text.startswith("_") else text


def legend_of(axes: Axes, **style: Any) -> None:
    """Add a legend of all that has a label, each as it is: a name is no formula, whatever dollars it has."""
    handles, labels = axes.get_legend_handles_labels()
    for text in axes.legend(handles, labels, **style).get_texts():
        text.set_parse_math(False)
        text.set_text(text.get_text().removeprefix(" "))
