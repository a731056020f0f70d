"""The pictures of ``ww predictor``: predictions against what was measured, and importances.

They are figures 4 and 5 of the paper on the Small CNN Zoo (arXiv:2002.11448), the first one with the intervals. They
need the extra ``plot``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ww_core.command import printable
from ww_core.command.picture import save_plot
from ww_plugins.commands.plot.esd import COLORS
from ww_plugins.commands.plot.legends import legend_label, legend_of
from ww_plugins.commands.zoo.picture import draw_grid, groups_of

if TYPE_CHECKING:
    from pathlib import Path

    from ww_plugins.predictors.evaluating import Evaluation
    from ww_plugins.predictors.importance import Importances
    from ww_plugins.predictors.predictor import Predictor

MOST_INTERVALS = 400
"""Networks whose intervals are drawn; with more there is nothing to see."""

LONGEST_NAME = 40


def draw(predictor: Predictor, told: Evaluation, confidence: float, file: Path) -> None:
    """Draw predictions against what was measured, colours by optimizer, with a line where both are equal.

    Raises:
        OutputError: The file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 5.4), layout="constrained")
    axes = figure.subplots()
    if len(told.targets) <= MOST_INTERVALS and np.isfinite(told.high - told.low).all():
        axes.vlines(told.targets, told.low, told.high, color="#bbbbbb", linewidth=0.5, zorder=1)
    size = float(np.clip(400.0 / np.sqrt(len(told.targets)), 1.0, 14.0))
    groups = groups_of(told.zoo)
    for number, (name, own) in enumerate(groups.items()):
        color = COLORS[number % len(COLORS)]
        label = legend_label(name)
        axes.scatter(
            told.targets[own], told.predictions[own], s=size, color=color, alpha=0.6, linewidths=0, label=label
        )
    ends = [
        float(min(told.targets.min(), told.predictions.min())),
        float(max(told.targets.max(), told.predictions.max())),
    ]
    axes.plot(ends, ends, color="#666666", linewidth=0.8, linestyle=":")
    axes.set_xlabel(f"measured {printable(predictor.target).replace('_', ' ')}", parse_math=False)
    axes.set_ylabel("predicted")
    draw_grid(axes)
    if len(groups) > 1:
        legend_of(axes, fontsize=8, frameon=False, loc="upper left", markerscale=2)
    agreement = told.agreement
    axes.set_title(
        f"{printable(predictor.zoo)[:30]} on {printable(told.zoo.name)[:30]}: {agreement.networks:,} networks\n"
        f"R2 {agreement.r2:.3f}, tau {agreement.kendall_tau:.3f}; "
        f"{100 * confidence:g}% intervals hold for {told.coverage:.1%}",
        fontsize=10,
        parse_math=False,
    )
    save_plot(figure, file)


def draw_importances(predictor: Predictor, told: Importances, zoo: str, most: int, file: Path) -> None:
    """Draw the importances of what was permuted as bars, the greatest at the top, with deviations over the repeats.

    Args:
        predictor: The predictor.
        told: Its importances, the greatest first.
        zoo: Name of the zoo on whose networks these are.
        most: How many are drawn, at most.
        file: The picture.

    Raises:
        OutputError: The file cannot be written.
    """
    from matplotlib.figure import Figure

    shown = told.groups[:most]
    figure = Figure(figsize=(6.4, 1.2 + 0.24 * max(4, len(shown))), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(shown))
    axes.barh(places, [own.importance for own in shown], height=0.7, color=COLORS[0])
    errors = [own.importance_std for own in shown]
    if np.isfinite(errors).all():
        axes.errorbar(
            [own.importance for own in shown], places, xerr=errors, fmt="none", ecolor="#444444", elinewidth=1
        )
    axes.axvline(0.0, color="#444444", linewidth=0.8)
    axes.set_yticks(places, [_short(own.name) for own in shown], fontsize=8, parse_math=False)
    axes.invert_yaxis()
    axes.set_xlabel("growth of the mean squared error")
    draw_grid(axes)
    more = f", the first {len(shown)} of {len(told.groups):,}" if len(told.groups) > len(shown) else ""
    axes.set_title(
        f"{printable(predictor.zoo)[:30]} on {printable(zoo)[:30]}: {told.networks:,} networks{more}\n"
        f"mean squared error {told.mse:.4g}",
        fontsize=10,
        parse_math=False,
    )
    save_plot(figure, file)


def _short(name: str) -> str:
    shown = printable(name)
    return shown if len(shown) <= LONGEST_NAME else f"...{shown[3 - LONGEST_NAME :]}"
