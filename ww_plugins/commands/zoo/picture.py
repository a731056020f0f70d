"""The picture of ``ww zoo show``: test accuracies, and train against test. It needs the extra ``plot``.

It is figure 2 of the paper on the Small CNN Zoo (arXiv:2002.11448), of one zoo.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import ww_core as ww
from ww_core.command import printable
from ww_core.command.picture import save_plot
from ww_plugins.commands.plot.esd import COLORS
from ww_plugins.commands.plot.legends import legend_label, legend_of
from ww_plugins.zoos.description import chance_of

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt
    from matplotlib.axes import Axes

BINS = 50
LONGEST_NAME = 60
GROUPED_BY = "optimizer"
"""The hyperparameter that colours tell, as the paper finds it to matter most."""


def draw(zoo: ww.Zoo, file: Path) -> None:
    """Draw the test accuracies of networks as a histogram, and their train accuracies against them.

    Args:
        zoo: One checkpoint of each network.
        file: The picture.

    Raises:
        UsageError: No network has a test accuracy.
        OutputError: The file cannot be written.
    """
    from matplotlib.figure import Figure

    test = zoo.results.get("test_accuracy")
    if test is None or not np.isfinite(test).any():
        raise ww.UsageError(f"zoo {zoo.name}: no network has a test accuracy that could be drawn")
    figure = Figure(figsize=(10.0, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    groups = groups_of(zoo)
    colors = [COLORS[number % len(COLORS)] for number in range(len(groups))]
    _draw_histogram(left, test, groups, colors, chance_of(zoo))
    train = zoo.results.get("train_accuracy")
    if train is not None and np.isfinite(train).any():
        _draw_train_and_test(right, train, test, groups, colors)
    else:
        right.set_visible(False)
    if len(groups) > 1:
        legend_of(left, fontsize=8, frameon=False, loc="upper center")
    shown = printable(zoo.name)
    told = shown if len(shown) <= LONGEST_NAME else f"...{shown[3 - LONGEST_NAME :]}"
    figure.suptitle(f"{told}: {len(zoo):,} networks", fontsize=11, parse_math=False)
    save_plot(figure, file)


def _draw_histogram(
    axes: Axes,
    test: npt.NDArray[np.float64],
    groups: dict[str, npt.NDArray[np.bool_]],
    colors: list[str],
    chance: float | None,
) -> None:
    top = max(1.0, float(np.nanmax(test)))
    bins = np.linspace(0.0, top, BINS + 1)
    stacked = [test[own & np.isfinite(test)] for own in groups.values()]
    axes.hist(stacked, bins=list(bins), stacked=True, color=colors, label=[legend_label(name) for name in groups])
    axes.set_xlim(0.0, top)
    axes.set_xlabel("test accuracy")
    axes.set_ylabel("networks")
    draw_grid(axes)
    if chance is not None:
        axes.axvline(chance, color="#444444", linewidth=1.0, linestyle="--", label="chance")


def _draw_train_and_test(
    axes: Axes,
    train: npt.NDArray[np.float64],
    test: npt.NDArray[np.float64],
    groups: dict[str, npt.NDArray[np.bool_]],
    colors: list[str],
) -> None:
    size = float(np.clip(400.0 / np.sqrt(len(test)), 1.0, 14.0))
    for own, color in zip(groups.values(), colors, strict=True):
        axes.scatter(train[own], test[own], s=size, color=color, alpha=0.5, linewidths=0)
    axes.plot([0, 1], [0, 1], color="#666666", linewidth=0.8, linestyle=":")
    axes.set_xlim(0, 1.01)
    axes.set_ylim(0, 1.01)
    axes.set_xlabel("train accuracy")
    axes.set_ylabel("test accuracy")
    draw_grid(axes)


def draw_grid(axes: Axes) -> None:
    """Draw pale lines behind the points."""
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)


def groups_of(zoo: ww.Zoo) -> dict[str, npt.NDArray[np.bool_]]:
    """Return which networks have which optimizer; all in one group, where that is not told, or there are too many."""
    told = zoo.hyperparameters.get(GROUPED_BY)
    names = sorted(set(told.tolist())) if told is not None and told.dtype.kind == "O" else []
    if told is None or not 1 < len(names) <= len(COLORS):
        return {"all": np.ones(len(zoo), bool)}
    return {printable(name or "(none)"): told == name for name in names}
