"""``ww zoo plot``: two numbers of each network against each other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ww_core.command import Output, Session, options, say, store_location
from ww_core.command.examples import examples
from ww_plugins.commands.zoo.features import LAST, chosen_epochs
from ww_plugins.commands.zoo.show import ZooName

NAMES = "A feature, result or hyperparameter, or the difference A-B of two."


@examples("ww zoo plot zoo --x learning_rate --y test_accuracy -o accuracies.png")
def plot(
    ctx: typer.Context,
    zoo: ZooName,
    x: Annotated[str, typer.Option("--x", metavar="A", callback=options.not_empty, help=NAMES)],
    y: Annotated[str, typer.Option("--y", metavar="B", callback=options.not_empty, help="Likewise.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The picture: .png, .svg or .pdf.")],
    color: Annotated[
        str,
        typer.Option(
            "--color",
            metavar="NAME",
            callback=options.not_empty,
            help="Colour of the points: a hyperparameter, or a number as for an axis.",
        ),
    ] = "optimizer",
    features: Annotated[
        str,
        typer.Option(
            "--features",
            metavar="SPEC",
            callback=options.not_empty,
            help="Whose features can be named: `ww zoo feature-sets` lists them.",
        ),
    ] = "statistics",
    epochs: Annotated[
        str, typer.Option("--epochs", metavar="last|all|N", help="Which checkpoints of each network.")
    ] = LAST,
    log: Annotated[bool, typer.Option("--log", help="Logarithmic axes.")] = False,
    profile: options.Profile = "default",
    store: options.Store = None,
) -> None:
    """Draw two numbers of each network against each other.

    Networks without both numbers are left out; on logarithmic axes also those with a number that is not above zero.
    """
    from ww_core.command.picture import check_plot
    from ww_plugins.commands.zoo.points import LARGEST, drawn_points, points_of
    from ww_plugins.zoos.finding import find_zoo

    check_plot(output, "--output")
    session: Session = ctx.obj
    place = store_location(store)
    found = chosen_epochs(find_zoo(zoo, place), epochs)
    for note in found.notes:
        say(f"note: {note}")
    points = points_of(found, x, y, color, features, store=place, profile=profile, registry=session.registry())
    drawn = drawn_points(points, output, log=log)
    what = "checkpoints" if epochs == "all" else "networks"
    Output().line(f"{drawn:,} {what} of {found.name} drawn in {output}")
    if drawn < len(found):
        why = f"a number is missing{', not above zero,' if log else ''} or beyond {LARGEST:g}"
        say(f"note: {len(found) - drawn:,} left out: {why}")
