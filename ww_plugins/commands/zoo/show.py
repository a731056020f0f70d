"""``ww zoo show``: what a zoo is like."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ww_core.command import Output, options, say, store_location
from ww_core.command.examples import examples

if TYPE_CHECKING:
    from ww_plugins.zoos.description import Numbers, ZooDescription

ZooName = Annotated[
    str,
    typer.Argument(
        metavar="ZOO", help="A zoo's folder, or the name of a zoo in the store.", callback=options.not_empty
    ),
]
MOST_COUNTED = 8


@examples("ww zoo show zoo", "ww zoo show zoo --plot accuracies.png")
def show(
    zoo: ZooName,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Draw accuracies into FILE: .png, .svg or .pdf.")
    ] = None,
    store: options.Store = None,
    as_json: options.AsJson = False,
) -> None:
    """Describe a zoo.

    It shows the number of networks, their hyperparameters and their results.
    """
    from ww_core.command.picture import check_plot
    from ww_plugins.zoos.description import described
    from ww_plugins.zoos.finding import find_zoo

    output = Output(as_json=as_json)
    if plot is not None:
        check_plot(plot)
    found = find_zoo(zoo, store_location(store))
    description = described(found)
    for note in description.notes:
        say(f"note: {note}")
    if output.format == "json":
        output.json(description.to_dict())
    else:
        _print(description, output)
    if plot is not None:
        from ww_plugins.commands.zoo.picture import draw

        draw(found.last(), plot)


def _print(zoo: ZooDescription, output: Output) -> None:
    output.line(f"{zoo.name}: {zoo.networks:,} networks, {zoo.checkpoints:,} checkpoints")
    if zoo.parameters:
        layers = ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in zoo.layers)
        output.line(f"{zoo.parameters:,} parameters in {len(zoo.layers)} layers ({zoo.layout}): {layers}")
    output.line("epochs: " + ", ".join(f"{epoch} ({count:,})" for epoch, count in zoo.epochs.items()))
    if zoo.hyperparameters:
        output.line()
        output.line("hyperparameters, of the last checkpoint of each network:")
        output.table([_row(own.name, own.numbers, own.counts) for own in zoo.hyperparameters], if_any=("counts",))
    if zoo.results:
        output.line()
        output.line("results:")
        output.table([_row(name, own, {}) for name, own in zoo.results.items()], if_any=("counts",))
        output.line()
    if zoo.chance is not None and zoo.at_chance is not None:
        output.line(f"{100 * zoo.at_chance:.1f} % are at chance: test accuracy at most {zoo.chance:.3g} + 0.02")
    if zoo.overfitting is not None:
        low, median, high = (zoo.overfitting.percentiles[at] for at in (0, 2, 4))
        told = "" if zoo.correlation is None else f"; correlation {zoo.correlation:.3f}"
        output.line(f"train minus test accuracy: {low:.3f} to {high:.3f}, median {median:.3f}{told}")


def _row(name: str, numbers: Numbers | None, counts: Mapping[str, int]) -> dict[str, Any]:
    shown = (None,) * 5 if numbers is None else numbers.percentiles
    row = {"name": name, **dict(zip(("min", "25 %", "median", "75 %", "max"), shown, strict=True))}
    listed = [f"{value or '(none)'} {count:,}" for value, count in list(counts.items())[:MOST_COUNTED]]
    more = f", and {len(counts) - MOST_COUNTED} more" if len(counts) > MOST_COUNTED else ""
    return row | {"counts": ", ".join(listed) + more}
